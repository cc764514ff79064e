import { chmodSync, lstatSync } from 'node:fs';
import { formatEndpoint, parseAddress } from '../../rules/index.ts';
import {
  AF_INET6,
  AF_UNIX,
  IPPROTO_IPV6,
  IPPROTO_TCP,
  IPV6_V6ONLY,
  SO_ERROR,
  SO_LINGER,
  SO_REUSEADDR,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOCKADDR_IN6_BYTES,
  SOCKADDR_UN_BYTES,
  SOL_SOCKET,
  TCP_NODELAY,
  UNIX_PATH_MAX_BYTES,
} from './constants.ts';
import { EACCES, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, ECONNREFUSED, EINPROGRESS, EINVAL, ENOENT } from './errno.ts';
import type { LinearMemory, Pointer } from './memory.ts';
import type { SocketAddress } from './proxy-protocol.ts';
import { ENDPOINT_BYTES, readSocketAddress, writeSocketAddress, writeUnixAddress } from './socket-address.ts';
import { errnoName, type SystemCalls } from './system-calls.ts';

// Specification: Linux socket options (socket(7), tcp(7)).
const SO_KEEPALIVE = 9;
const TCP_KEEPIDLE = 4;
const TCP_KEEPINTVL = 5;
const TCP_KEEPCNT = 6;

// Implementation: a peer that is gone without a word is found after 60 + 8 * 15 s.
const KEEPALIVE_IDLE_S = 60;
const KEEPALIVE_INTERVAL_S = 15;
const KEEPALIVE_PROBES = 8;
const BACKLOG = 4096;

export type Opened = { ok: true; fd: number } | { ok: false; errno: number; error: string };

/**
 * Opening, naming and closing non-blocking sockets. One instance per thread: it owns the scratch space that the kernel's structures
 * pass through.
 */
export class Sockets {
  readonly sys: SystemCalls;
  readonly memory: LinearMemory;
  readonly #name: Pointer;
  readonly #nameLength: Pointer;
  readonly #option: Pointer;
  readonly #endpoint: Pointer;

  constructor(sys: SystemCalls, memory: LinearMemory) {
    this.sys = sys;
    this.memory = memory;
    const scratch = memory.reserve(256);
    this.#name = scratch;
    this.#nameLength = scratch + 128;
    this.#option = scratch + 136;
    this.#endpoint = scratch + 144;
  }

  /** Listens on a path with mode 0600. A socket file that nobody answers on is replaced, one that lives is not. */
  listenUnix(path: string): Opened {
    const length = this.#unixName(path);
    if (length === 0) return failed(EINVAL, `${path}: a unix socket's path has at most ${UNIX_PATH_MAX_BYTES} bytes`);
    const probe = this.connectUnix(path);
    if (probe.ok) {
      this.close(probe.fd);
      return failed(EADDRINUSE, `${path}: another process listens on it`);
    }
    this.#unixName(path);
    // A plain file answers a connect with ECONNREFUSED as well.
    if (probe.errno === ECONNREFUSED && lstatSync(path).isSocket()) this.sys.unlink(this.#at(this.#name + 2));
    const fd = this.sys.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return failed(-fd, `unix socket: ${errnoName(fd)}`);
    const bound = this.sys.bind(fd, this.#at(this.#name), length);
    if (bound < 0) return this.#giveUp(fd, bound, path);
    // Nobody can connect before listen(), so there is no moment with wider rights.
    chmodSync(path, 0o600);
    const listening = this.sys.listen(fd, BACKLOG);
    return listening < 0 ? this.#giveUp(fd, listening, path) : { ok: true, fd };
  }

  /** A stream to a path: it stands at once or not at all (`EAGAIN`: the listener's backlog is full). */
  connectUnix(path: string): Opened {
    const length = this.#unixName(path);
    if (length === 0) return failed(EINVAL, `${path}: a unix socket's path has at most ${UNIX_PATH_MAX_BYTES} bytes`);
    const fd = this.sys.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return failed(-fd, `unix socket: ${errnoName(fd)}`);
    const connected = this.sys.connect(fd, this.#at(this.#name), length);
    return connected < 0 ? this.#giveUp(fd, connected, path) : { ok: true, fd };
  }

  /** Listens for TCP. `bind` is an address; `::` and the empty text are every address of both families. */
  listenTcp(bind: string, port: number): Opened {
    const opened = this.#openBound(SOCK_STREAM, bind, port);
    if (!opened.ok) return opened;
    const listening = this.sys.listen(opened.fd, BACKLOG);
    return listening < 0 ? this.#giveUp(opened.fd, listening, `tcp ${formatEndpoint(bind || '::', port)}`) : opened;
  }

  /** A UDP socket bound to an address and port (0: the system chooses). */
  bindUdp(bind: string, port: number): Opened {
    return this.#openBound(SOCK_DGRAM, bind, port);
  }

  /** Starts connecting: `connected` tells later, when the socket is writable. */
  connectTcp(to: SocketAddress): Opened {
    const opened = this.#connect(SOCK_STREAM, to);
    if (opened.ok) this.tuneTcp(opened.fd);
    return opened;
  }

  connectUdp(to: SocketAddress): Opened {
    return this.#connect(SOCK_DGRAM, to);
  }

  /** 0 for a connect that succeeded, else its errno; the socket's pending error either way. */
  pendingError(fd: number): number {
    this.memory.view.setUint32(this.#nameLength, 4, true);
    const result = this.sys.getsockopt(fd, SOL_SOCKET, SO_ERROR, this.#at(this.#option), this.#at(this.#nameLength));
    return result < 0 ? -result : this.memory.view.getInt32(this.#option, true);
  }

  /** Small writes leave at once; a peer that is gone is noticed. */
  tuneTcp(fd: number): void {
    this.setOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    this.setOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    this.setOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
    this.setOption(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
    this.setOption(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
  }

  /** The remote end of a TCP socket; undefined when it is already gone. */
  peerName(fd: number): SocketAddress | undefined {
    this.memory.view.setUint32(this.#nameLength, SOCKADDR_IN6_BYTES, true);
    if (this.sys.getpeername(fd, this.#at(this.#name), this.#at(this.#nameLength)) < 0) return undefined;
    return this.#readName();
  }

  localPort(fd: number): number {
    this.memory.view.setUint32(this.#nameLength, SOCKADDR_IN6_BYTES, true);
    if (this.sys.getsockname(fd, this.#at(this.#name), this.#at(this.#nameLength)) < 0) return 0;
    return this.#readName()?.port ?? 0;
  }

  setOption(fd: number, level: number, name: number, value: number): number {
    this.memory.view.setInt32(this.#option, value, true);
    return this.sys.setsockopt(fd, level, name, this.#at(this.#option), 4);
  }

  close(fd: number): void {
    this.sys.close(fd);
  }

  /** Closes a TCP socket with RST: a linger time of 0 throws away what is unsent (socket(7)). */
  reset(fd: number): void {
    this.memory.view.setInt32(this.#option, 1, true);
    this.memory.view.setInt32(this.#option + 4, 0, true);
    this.sys.setsockopt(fd, SOL_SOCKET, SO_LINGER, this.#at(this.#option), 8);
    this.sys.close(fd);
  }

  #connect(type: number, to: SocketAddress): Opened {
    const length = this.#writeName(to);
    const family = this.memory.view.getUint16(this.#name, true);
    const fd = this.sys.socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return failed(-fd, `socket: ${errnoName(fd)}`);
    const result = this.sys.connect(fd, this.#at(this.#name), length);
    if (result < 0 && result !== -EINPROGRESS) return this.#giveUp(fd, result, 'connect');
    return { ok: true, fd };
  }

  #openBound(type: number, bind: string, port: number): Opened {
    const what = `${type === SOCK_STREAM ? 'tcp' : 'udp'} ${formatEndpoint(bind || '::', port)}`;
    const everywhere = bind === '' || bind === '::';
    const address = parseAddress(everywhere ? '::' : bind);
    if (address === undefined) return failed(EINVAL, `${what}: not an address to listen on`);
    const opened = this.#tryBound(type, { address, port }, what);
    // A kernel without IPv6 has IPv4 alone to offer.
    if (!opened.ok && everywhere && [EAFNOSUPPORT, EADDRNOTAVAIL].includes(opened.errno))
      return this.#tryBound(type, { address: parseAddress('0.0.0.0')!, port }, what);
    return opened;
  }

  #tryBound(type: number, at: SocketAddress, what: string): Opened {
    const length = this.#writeName(at);
    const family = this.memory.view.getUint16(this.#name, true);
    const fd = this.sys.socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return failed(-fd, `${what}: ${errnoName(fd)}`);
    if (family === AF_INET6) this.setOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    // For TCP it lets a restart pass the TIME_WAIT of old connections; for UDP it would let two processes share the port.
    if (type === SOCK_STREAM) this.setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    const bound = this.sys.bind(fd, this.#at(this.#name), length);
    return bound < 0 ? this.#giveUp(fd, bound, what) : { ok: true, fd };
  }

  #giveUp(fd: number, result: number, what: string): Opened {
    this.sys.close(fd);
    return failed(-result, `${what}: ${explain(-result)}`);
  }

  #unixName(path: string): number {
    return writeUnixAddress(this.memory, this.#name, path);
  }

  #writeName({ address, port }: SocketAddress): number {
    this.memory.u8.set(address, this.#endpoint);
    this.memory.view.setUint16(this.#endpoint + 16, port);
    return writeSocketAddress(this.memory, this.#name, this.#endpoint);
  }

  #readName(): SocketAddress | undefined {
    if (!readSocketAddress(this.memory, this.#name, this.#endpoint)) return undefined;
    return readEndpoint(this.memory, this.#endpoint);
  }

  #at(pointer: Pointer): number {
    return this.memory.base + pointer;
  }
}

/** A copy of the 18 bytes of an endpoint. */
export function readEndpoint({ u8, view }: LinearMemory, endpoint: Pointer): SocketAddress {
  return { address: u8.slice(endpoint, endpoint + 16), port: view.getUint16(endpoint + 16) };
}

/** Room for any name that these functions write. */
export const NAME_BYTES = Math.max(SOCKADDR_UN_BYTES, SOCKADDR_IN6_BYTES, ENDPOINT_BYTES);

function failed(errno: number, error: string): Opened {
  return { ok: false, errno, error };
}

/** What a person can do something with. */
function explain(errno: number): string {
  switch (errno) {
    case EADDRINUSE:
      return 'the port is in use by another process (EADDRINUSE)';
    case EACCES:
      return 'not permitted; ports below net.ipv4.ip_unprivileged_port_start (1024) need CAP_NET_BIND_SERVICE (EACCES)';
    case EADDRNOTAVAIL:
      return 'this machine has no such address (EADDRNOTAVAIL)';
    case ENOENT:
      return 'no such socket (ENOENT)';
    case ECONNREFUSED:
      return 'nobody listens (ECONNREFUSED)';
    default:
      return errnoName(errno);
  }
}
