import { parseAddress } from '../../rules/index.ts';
import { ERROR_IN_USE } from '../netstack/index.ts';
import { UNIX_PATH_MAX_BYTES } from './constants.ts';
import { type Destinations, type HostPort, sameDestination } from './destinations.ts';
import { IngressTcp } from './ingress-tcp.ts';
import type { ProxyKeyConfig, ProxyKeyReport } from './relay-context.ts';
import type { RelayIo } from './relay-io.ts';
import { TcpListener } from './tcp-listener.ts';
import { UdpEgress } from './udp-egress.ts';
import { UdpIngress } from './udp-ingress.ts';
import type { UdpIo } from './udp-io.ts';

/** What a proxy key has open. */
export interface KeyRelay {
  /**
   * Opens what the key needs and has not got, closes what it no longer needs, and takes over the rest of the key. Called for a new key, for
   * a changed one, and again while it reports an error. Connections and flows that the new key still covers are not disturbed.
   */
  update(key: ProxyKeyConfig): ProxyKeyReport;
  /** Listening ends at once; streams live on until their ends close them, as those of a drained Envoy listener do. */
  close(): void;
}

/** What the relays of all keys share. */
export interface KeyRelayParts {
  readonly io: RelayIo;
  readonly udp: UdpIo;
  readonly destinations: Destinations;
  /** Ingress by port in the tunnel, for SYNs. */
  readonly ingress: Map<number, IngressTcp>;
  /** 32 random bits. */
  random(): number;
}

export function openKeyRelay(parts: KeyRelayParts, { direction, protocol }: ProxyKeyConfig): KeyRelay {
  const envoy = parts.io.ctx.config.mode === 'envoy';
  if (direction === 'ingress') return protocol === 'tcp' ? new IngressTcpKey(parts) : new IngressUdpKey(parts);
  if (protocol === 'tcp') return envoy ? new EnvoyTcpKey() : new ListenerTcpKey(parts);
  return envoy ? new EnvoyUdpKey(parts) : new ListenerUdpKey(parts);
}

const fine = ({ name }: ProxyKeyConfig): ProxyKeyReport => ({ name, ok: true });
const bad = ({ name }: ProxyKeyConfig, error: string): ProxyKeyReport => ({ name, ok: false, error });

/** Egress TCP with Envoy: companion.sock serves all keys, and looks each up when a connection names it. */
class EnvoyTcpKey implements KeyRelay {
  update(key: ProxyKeyConfig): ProxyKeyReport {
    return fine(key);
  }

  close(): void {}
}

/** Egress TCP on a listener of our own. */
class ListenerTcpKey implements KeyRelay {
  readonly #parts: KeyRelayParts;
  #listener: TcpListener | undefined;

  constructor(parts: KeyRelayParts) {
    this.#parts = parts;
  }

  update(key: ProxyKeyConfig): ProxyKeyReport {
    const { io, destinations } = this.#parts;
    if (this.#listener !== undefined) {
      this.#listener.key = key;
      return fine(key);
    }
    const opened = io.sockets.listenTcp(io.ctx.config.bind, key.port);
    if (!opened.ok) return bad(key, opened.error);
    this.#listener = new TcpListener(io, opened.fd, key, destinations);
    return fine(key);
  }

  close(): void {
    this.#listener?.close();
  }
}

class IngressTcpKey implements KeyRelay {
  readonly #parts: KeyRelayParts;
  #ingress: IngressTcp | undefined;
  #port = 0;

  constructor(parts: KeyRelayParts) {
    this.#parts = parts;
  }

  update(key: ProxyKeyConfig): ProxyKeyReport {
    const { io, destinations, ingress } = this.#parts;
    if (this.#ingress !== undefined) {
      this.#ingress.key = key;
      return fine(key);
    }
    const { mode, runtimeDirectory } = io.ctx.config;
    const path = `${runtimeDirectory}/ingress/tcp/${key.port}.sock`;
    if (mode === 'envoy' && Buffer.byteLength(path) > UNIX_PATH_MAX_BYTES)
      return bad(key, `${path}: a unix socket's path has at most ${UNIX_PATH_MAX_BYTES} bytes`);
    const listener = io.stack.listen(key.port, { deferred: true });
    if (listener <= 0) return bad(key, `tcp port ${key.port} in the tunnel: ${stackError(listener)}`);
    this.#ingress = new IngressTcp(io, listener, key, destinations);
    this.#port = key.port;
    ingress.set(key.port, this.#ingress);
    return fine(key);
  }

  close(): void {
    if (this.#ingress === undefined) return;
    this.#parts.ingress.delete(this.#port);
    this.#ingress.close();
  }
}

/** Egress UDP with Envoy: a loopback port per destination, since a datagram from udp_proxy can name none. */
class EnvoyUdpKey implements KeyRelay {
  readonly #parts: KeyRelayParts;
  #open: { destination: HostPort; port: number; egress: UdpEgress }[] = [];

  constructor(parts: KeyRelayParts) {
    this.#parts = parts;
  }

  update(key: ProxyKeyConfig): ProxyKeyReport {
    const { io, udp, destinations } = this.#parts;
    const kept = this.#open.filter(one => key.destinations.some(wanted => sameDestination(one.destination, wanted)));
    for (const one of this.#open) if (!kept.includes(one)) one.egress.close();
    this.#open = kept;
    const errors: string[] = [];
    for (const destination of key.destinations) {
      const known = this.#open.find(one => sameDestination(one.destination, destination));
      if (known !== undefined) {
        known.egress.update(key, [destination]);
        continue;
      }
      const opened = io.sockets.bindUdp('127.0.0.1', 0);
      if (!opened.ok) {
        errors.push(opened.error);
        continue;
      }
      const port = io.sockets.localPort(opened.fd);
      const options = { fd: opened.fd, key, targets: [destination], wildcard: false, gated: false };
      const egress = new UdpEgress(udp, destinations, { ...options, random: this.#parts.random() });
      this.#open.push({ destination, port, egress });
    }
    const report = errors.length === 0 ? fine(key) : bad(key, errors.join('; '));
    const udpPorts = this.#open.map(({ destination, port }) => ({ destination: { ...destination }, port }));
    return { ...report, udpPorts };
  }

  close(): void {
    for (const one of this.#open) one.egress.close();
  }
}

/** Egress UDP on a socket of our own. */
class ListenerUdpKey implements KeyRelay {
  readonly #parts: KeyRelayParts;
  #egress: UdpEgress | undefined;

  constructor(parts: KeyRelayParts) {
    this.#parts = parts;
  }

  update(key: ProxyKeyConfig): ProxyKeyReport {
    const { io, udp, destinations } = this.#parts;
    if (this.#egress !== undefined) {
      this.#egress.update(key, key.destinations);
      return fine(key);
    }
    const { bind } = io.ctx.config;
    const opened = io.sockets.bindUdp(bind, key.port);
    if (!opened.ok) return bad(key, opened.error);
    const wildcard = bind === '' || parseAddress(bind)?.every(byte => byte === 0) === true;
    const options = { fd: opened.fd, key, targets: key.destinations, wildcard, gated: true };
    this.#egress = new UdpEgress(udp, destinations, { ...options, random: this.#parts.random() });
    return fine(key);
  }

  close(): void {
    this.#egress?.close();
  }
}

class IngressUdpKey implements KeyRelay {
  readonly #parts: KeyRelayParts;
  #ingress: UdpIngress | undefined;

  constructor(parts: KeyRelayParts) {
    this.#parts = parts;
  }

  update(key: ProxyKeyConfig): ProxyKeyReport {
    const { io, udp, destinations, random } = this.#parts;
    const ready =
      io.ctx.config.mode === 'none' || key.ingressUdpPort !== undefined
        ? fine(key)
        : bad(key, 'the port of Envoy’s UDP listener is not known yet');
    if (this.#ingress !== undefined) {
      this.#ingress.update(key);
      return ready;
    }
    const port = io.stack.udpBind(key.port);
    if (port <= 0) return bad(key, `udp port ${key.port} in the tunnel: ${stackError(port)}`);
    this.#ingress = new UdpIngress(udp, destinations, key, random());
    return ready;
  }

  close(): void {
    this.#ingress?.close();
  }
}

function stackError(code: number): string {
  return code === ERROR_IN_USE ? 'in use' : `no room in the stack (${code})`;
}
