import {
  AF_INET,
  AF_INET6,
  EPOLLIN,
  EPOLLOUT,
  IP_MTU_DISCOVER,
  IP_PMTUDISC_DONT,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPPROTO_UDP,
  IPV6_V6ONLY,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOL_SOCKET,
  UDP_GRO,
} from './constants.ts';
import type { Counters } from './counters.ts';
import { EACCES, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EAGAIN } from './errno.ts';
import type { LinearMemory, Pointer } from './memory.ts';
import { OuterReceiver } from './outer-receive.ts';
import { OuterSender, type SendPath } from './outer-send.ts';
import type { Reactor } from './reactor.ts';
import { ENDPOINT_BYTES, isMapped, writeSocketAddress } from './socket-address.ts';
import { errnoName, type SystemCalls } from './system-calls.ts';

// Implementation.
/** Asked of the kernel for either direction; without CAP_NET_ADMIN it gives at most net.core.{r,w}mem_max. */
const SOCKET_BUFFER_BYTES = 8 << 20;
const RECEIVE_BATCH = 8;
/** A random port may be taken in the other family: so often another one is tried. */
const PORT_ATTEMPTS = 32;
/** Datagrams that wait behind a full socket (handshakes and keepalives: the rest waits in the stack). */
const WAITING_DATAGRAMS = 1024;
const KNOWN_SCOPES = 64;
const DATAGRAM_BYTES = 65_536;

export type OuterSocketOpened = { ok: true; socket: OuterSocket } | { ok: false; error: string };

interface WaitingDatagram {
  readonly endpoint: Uint8Array;
  readonly datagram: Uint8Array;
}

/** WireGuard's outer socket: IPv4 and IPv6 on one port, with the kernel's merging and cutting of datagrams where it has them. */
export class OuterSocket {
  /** Host byte order; never 0. */
  port: number;
  readonly receiver: OuterReceiver;
  readonly #sys: SystemCalls;
  readonly #memory: LinearMemory;
  readonly #counters: Counters;
  readonly #reactor: Reactor;
  readonly #sender: OuterSender;
  readonly #opener: Opener;
  readonly #onReadable: (fd: number) => void;
  #v4: number;
  #v6: number;
  readonly #single: Pointer;
  readonly #endpoint: Pointer;
  readonly #anyPath: SendPath = { gsoRefusedUntil: 0 };
  #waiting: WaitingDatagram[] = [];
  readonly #scopes = new Map<string, number>();

  private constructor(o: OuterSocketOptions, opener: Opener, { port, v4, v6 }: Bound) {
    this.port = port;
    this.#opener = opener;
    this.#onReadable = o.onReadable;
    this.#sys = o.sys;
    this.#memory = o.memory;
    this.#counters = o.counters;
    this.#reactor = o.reactor;
    this.#v4 = v4;
    this.#v6 = v6;
    this.receiver = new OuterReceiver(o.sys, o.memory, RECEIVE_BATCH);
    this.#sender = new OuterSender(o.sys, o.memory, o.counters);
    this.#single = o.memory.reserve(DATAGRAM_BYTES);
    this.#endpoint = o.memory.reserve(ENDPOINT_BYTES);
    this.#watch();
  }

  /**
   * Opens the sockets on `port`, or on a random one (0) that is the same for both families. A machine without IPv6 gets IPv4 alone,
   * and the other way round. `onReadable` is told which descriptor to give to `receive`.
   */
  static open(o: OuterSocketOptions): OuterSocketOpened {
    const opener = new Opener(o);
    const bound = opener.open(o.port);
    return 'errno' in bound ? refused(o.port, bound.errno) : { ok: true, socket: new OuterSocket(o, opener, bound) };
  }

  /**
   * Moves to another port, or to another random one (0). -> 0; or -errno, and the old port stays. Datagrams that wait in the old
   * sockets unread are lost.
   */
  rebind(port: number): number {
    if (port === this.port) return 0;
    const bound = this.#opener.open(port);
    if ('errno' in bound) return -bound.errno;
    const heldV6 = this.#sender.blockedDescriptor === this.#v6;
    this.#closeSockets();
    this.port = bound.port;
    this.#v4 = bound.v4;
    this.#v6 = bound.v6;
    this.#watch();
    if (this.blocked) {
      const fd = heldV6 ? bound.v6 : bound.v4;
      // A family that has gone since: any other refuses what is held, which drops it.
      this.#sender.blockedDescriptor = fd >= 0 ? fd : Math.max(bound.v4, bound.v6);
      this.#reactor.modify(this.#sender.blockedDescriptor, EPOLLIN | EPOLLOUT);
    }
    return 0;
  }

  /** A send is held: leave the bytes of the last `send` alone, and send no more, until `onWritable` says so. */
  get blocked(): boolean {
    return this.#sender.blocked;
  }

  /** Called when what was held has left. */
  onWritable: () => void = () => {};

  /** Messages in `receiver`, 0 when there are none. */
  receive(fd: number): number {
    const count = this.receiver.receive(fd);
    if (count >= 0) {
      for (let i = 0; i < count; i++) this.#noteScope(i);
      return count;
    }
    if (count !== -EAGAIN) this.#counters.count(`outer_receive_failed_${errnoName(count).toLowerCase()}`);
    return 0;
  }

  /** Sends `bytes` at `at` to `endpoint`, cut every `segment` bytes. Not while `blocked`. See OuterSender.send. */
  send(endpoint: Pointer, at: Pointer, bytes: number, segment: number, path: SendPath): void {
    const fd = isMapped(this.#memory, endpoint) ? this.#v4 : this.#v6;
    if (fd < 0) {
      this.#counters.count('outer_send_failed_no_family');
      return;
    }
    this.#sender.send(fd, endpoint, this.#scopeOf(endpoint), at, bytes, segment, path, this.#reactor.now);
    if (this.#sender.blocked) this.#reactor.modify(fd, EPOLLIN | EPOLLOUT);
  }

  /** Sends one datagram now, or after what is held. At most 1,024 wait; one more pushes out the oldest. */
  sendDatagram(endpoint: Uint8Array, datagram: Uint8Array): void {
    if (this.blocked) {
      if (this.#waiting.length === WAITING_DATAGRAMS) {
        this.#waiting.shift();
        this.#counters.count('outer_waiting_dropped');
      }
      this.#waiting.push({ endpoint: endpoint.slice(), datagram: datagram.slice() });
      return;
    }
    this.#memory.u8.set(endpoint, this.#endpoint);
    this.#memory.u8.set(datagram, this.#single);
    this.send(this.#endpoint, this.#single, datagram.length, datagram.length, this.#anyPath);
  }

  close(): void {
    this.#closeSockets();
    this.#waiting = [];
  }

  #watch(): void {
    for (const fd of this.#descriptors())
      this.#reactor.add(fd, EPOLLIN, events => this.#ready(fd, events, this.#onReadable));
  }

  #closeSockets(): void {
    for (const fd of this.#descriptors()) {
      this.#reactor.remove(fd);
      this.#sys.close(fd);
    }
  }

  #descriptors(): number[] {
    return [this.#v4, this.#v6].filter(fd => fd >= 0);
  }

  #ready(fd: number, events: number, onReadable: (fd: number) => void): void {
    if ((events & EPOLLOUT) !== 0 && this.blocked) {
      const held = this.#sender.blockedDescriptor;
      this.#sender.flush(this.#reactor.now);
      if (!this.blocked) {
        this.#reactor.modify(held, EPOLLIN);
        const waiting = this.#waiting;
        this.#waiting = [];
        for (const { endpoint, datagram } of waiting) this.sendDatagram(endpoint, datagram);
        if (!this.blocked) this.onWritable();
      }
    }
    if ((events & ~EPOLLOUT) !== 0) onReadable(fd);
  }

  /** A link-local address means something on its own link alone, and an endpoint has no room to say which. */
  #noteScope(i: number): void {
    const scope = this.receiver.scope(i);
    if (scope === 0) return;
    const key = this.#scopeKey(this.receiver.source(i));
    if (this.#scopes.get(key) === scope) return;
    if (this.#scopes.size === KNOWN_SCOPES) this.#scopes.delete(this.#scopes.keys().next().value!);
    this.#scopes.set(key, scope);
  }

  #scopeOf(endpoint: Pointer): number {
    // fe80::/10, RFC 4291 §2.5.6.
    if ((this.#memory.view.getUint16(endpoint) & 0xffc0) !== 0xfe80) return 0;
    return this.#scopes.get(this.#scopeKey(endpoint)) ?? 0;
  }

  #scopeKey(endpoint: Pointer): string {
    return Buffer.from(this.#memory.u8.subarray(endpoint, endpoint + 16)).toString('latin1');
  }
}

export interface OuterSocketOptions {
  sys: SystemCalls;
  memory: LinearMemory;
  reactor: Reactor;
  counters: Counters;
  /** 0: random. */
  port: number;
  onReadable: (fd: number) => void;
}

/** One port in both families; -1 for a family that the machine does not have. */
interface Bound {
  readonly port: number;
  readonly v4: number;
  readonly v6: number;
}

/** Opens, tunes and binds the sockets. */
class Opener {
  readonly #sys: SystemCalls;
  readonly #memory: LinearMemory;
  readonly #name: Pointer;
  readonly #endpoint: Pointer;
  readonly #value: Pointer;

  constructor({ sys, memory }: { sys: SystemCalls; memory: LinearMemory }) {
    this.#sys = sys;
    this.#memory = memory;
    this.#name = memory.reserve(96);
    this.#endpoint = this.#name + 32;
    this.#value = this.#name + 64;
  }

  open(port: number): Bound | { errno: number } {
    for (let attempt = 1; ; attempt++) {
      const first = this.#bound(AF_INET6, port);
      if ('errno' in first && !absent(first.errno)) return first;
      const v6 = 'errno' in first ? undefined : first;
      const second = this.#bound(AF_INET, v6?.port ?? port);
      if (!('errno' in second)) return { port: second.port, v4: second.fd, v6: v6?.fd ?? -1 };
      if (v6 !== undefined && absent(second.errno)) return { port: v6.port, v4: -1, v6: v6.fd };
      if (v6 !== undefined) this.#sys.close(v6.fd);
      if (port !== 0 || second.errno !== EADDRINUSE || attempt === PORT_ATTEMPTS) return second;
    }
  }

  #bound(family: number, port: number): { fd: number; port: number } | { errno: number } {
    const { base, u8, view } = this.#memory;
    const fd = this.#sys.socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return { errno: -fd };
    if (family === AF_INET6) this.#set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    // As in the kernel's WireGuard: no DF on the outer packet, so that a path narrower than we think fragments instead of losing it.
    else this.#set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
    for (const [forced, plain] of [
      [SO_RCVBUFFORCE, SO_RCVBUF],
      [SO_SNDBUFFORCE, SO_SNDBUF],
    ] as const)
      if (this.#set(fd, SOL_SOCKET, forced, SOCKET_BUFFER_BYTES) < 0)
        this.#set(fd, SOL_SOCKET, plain, SOCKET_BUFFER_BYTES);
    this.#set(fd, IPPROTO_UDP, UDP_GRO, 1);

    // As an endpoint: all zero is [::]:port, ::ffff:0:0 is 0.0.0.0:port.
    u8.fill(0, this.#endpoint, this.#endpoint + ENDPOINT_BYTES);
    if (family === AF_INET) view.setUint16(this.#endpoint + 10, 0xffff);
    view.setUint16(this.#endpoint + 16, port);
    const length = writeSocketAddress(this.#memory, this.#name, this.#endpoint);
    const result = this.#sys.bind(fd, base + this.#name, length);
    if (result < 0) {
      this.#sys.close(fd);
      return { errno: -result };
    }
    view.setUint32(this.#value, 28, true);
    this.#sys.getsockname(fd, base + this.#name, base + this.#value);
    return { fd, port: view.getUint16(this.#name + 2) };
  }

  #set(fd: number, level: number, option: number, value: number): number {
    this.#memory.view.setInt32(this.#value, value, true);
    return this.#sys.setsockopt(fd, level, option, this.#memory.base + this.#value, 4);
  }
}

function absent(errno: number): boolean {
  return errno === EAFNOSUPPORT || errno === EADDRNOTAVAIL;
}

function refused(port: number, errno: number): OuterSocketOpened {
  const what = port === 0 ? 'a UDP port for WireGuard' : `UDP port ${port} for WireGuard`;
  if (errno === EADDRINUSE) return { ok: false, error: `${what}: in use by another process (EADDRINUSE)` };
  if (errno === EACCES) return { ok: false, error: `${what}: not permitted (EACCES); choose one above 1023` };
  return { ok: false, error: `${what}: ${errnoName(errno)}` };
}
