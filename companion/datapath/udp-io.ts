import { SO_RCVBUF, SO_RCVBUFFORCE, SO_SNDBUF, SO_SNDBUFFORCE, SOL_SOCKET } from './constants.ts';
import type { Pointer } from './memory.ts';
import type { ProxyKeyConfig } from './relay-context.ts';
import type { RelayIo } from './relay-io.ts';
import { ENDPOINT_BYTES } from './socket-address.ts';
import { UdpIntake } from './udp-intake.ts';
import { UdpSender } from './udp-sender.ts';

// Implementation
const IDLE_SECONDS = 60;
const FLOWS_PER_RULE = 4096;
/** A burst waits here while the thread is busy; asked for, the system gives what it allows (net.core.rmem_max). */
const SOCKET_BUFFER_BYTES = 4 * 1024 * 1024;

/** Who owns a UDP port in the tunnel. The datagram, or what ICMP quotes of it, is in `stack.udp`. */
export interface UdpPortOwner {
  onTunnelDatagram(): void;
  /** ICMP: what was sent from the port to `udp.source`, `udp.sourcePort` found nobody. */
  onTunnelError(): void;
}

/** What the UDP relays of a thread share. */
export class UdpIo {
  readonly relay: RelayIo;
  readonly intake: UdpIntake;
  readonly sender: UdpSender;
  readonly ports = new Map<number, UdpPortOwner>();
  readonly flowsPerRule: number;
  /** Scratch for an endpoint (18 bytes). */
  readonly endpoint: Pointer;
  readonly #addressAt: Pointer;
  readonly #toPeer: number;
  readonly #fromPeer: number;
  readonly #bytesToPeer: number;
  readonly #bytesFromPeer: number;
  /** The address whose bytes are at `#addressAt`. */
  #address: Uint8Array | undefined;

  constructor(relay: RelayIo) {
    this.relay = relay;
    this.intake = new UdpIntake(relay);
    this.sender = new UdpSender(relay);
    this.flowsPerRule = relay.ctx.config.udpFlowsPerRule ?? FLOWS_PER_RULE;
    this.endpoint = relay.memory.reserve(ENDPOINT_BYTES);
    this.#addressAt = relay.memory.reserve(16);
    const { counters } = relay.ctx;
    this.#toPeer = counters.slot('udp_datagrams_to_peer');
    this.#fromPeer = counters.slot('udp_datagrams_from_peer');
    this.#bytesToPeer = counters.slot('udp_bytes_to_peer');
    this.#bytesFromPeer = counters.slot('udp_bytes_from_peer');
  }

  /** Where the stack can read the address, until the next call. The array must not change while it serves here. */
  addressPointer(address: Uint8Array): Pointer {
    if (this.#address !== address) {
      this.relay.memory.u8.set(address, this.#addressAt);
      this.#address = address;
    }
    return this.#addressAt;
  }

  /** Whether the 16 bytes at `pointer` are that address. */
  holds(pointer: Pointer, address: Uint8Array): boolean {
    const { u8 } = this.relay.memory;
    for (let i = 15; i >= 0; i--) if (u8[pointer + i] !== address[i]) return false;
    return true;
  }

  idleUs(key: ProxyKeyConfig): number {
    return (key.udpIdleSeconds ?? IDLE_SECONDS) * 1_000_000;
  }

  /** Gives a socket that many clients may share a large queue. The forced form passes the system's limit, where we may. */
  widen(fd: number): void {
    const { sockets } = this.relay;
    if (sockets.setOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER_BYTES) < 0)
      sockets.setOption(fd, SOL_SOCKET, SO_RCVBUF, SOCKET_BUFFER_BYTES);
    if (sockets.setOption(fd, SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BUFFER_BYTES) < 0)
      sockets.setOption(fd, SOL_SOCKET, SO_SNDBUF, SOCKET_BUFFER_BYTES);
  }

  countToPeer(bytes: number): void {
    const { counters } = this.relay.ctx;
    counters.add(this.#toPeer);
    counters.add(this.#bytesToPeer, bytes);
  }

  countFromPeer(bytes: number): void {
    const { counters } = this.relay.ctx;
    counters.add(this.#fromPeer);
    counters.add(this.#bytesFromPeer, bytes);
  }

  onTunnelDatagram(): void {
    const owner = this.ports.get(this.relay.stack.udp.localPort);
    if (owner === undefined) this.relay.ctx.counters.count('udp_port_unknown');
    else owner.onTunnelDatagram();
  }

  onTunnelError(): void {
    this.ports.get(this.relay.stack.udp.localPort)?.onTunnelError();
  }
}
