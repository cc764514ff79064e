import { parseAddress } from '../../rules/index.ts';
import { type Destinations, equalBytes, RoundRobin } from './destinations.ts';
import { ECONNREFUSED, EMFILE, ENFILE } from './errno.ts';
import { Gate } from './gate.ts';
import type { Pointer } from './memory.ts';
import { formatSocketAddress, type SocketAddress } from './proxy-protocol.ts';
import type { ProxyKeyConfig } from './relay-context.ts';
import type { Opened } from './sockets.ts';
import { UdpFlowExpiry } from './udp-flow-expiry.ts';
import { UdpFlowTable } from './udp-flow-table.ts';
import type { DatagramReader } from './udp-intake.ts';
import type { UdpIo, UdpPortOwner } from './udp-io.ts';
import type { DatagramTarget } from './udp-sender.ts';

const LOOPBACK = parseAddress('127.0.0.1')!;

/** One peer's exchange: a connected socket towards Envoy's listener or the local service, so that each answer has one way to go. */
class IngressFlow implements DatagramReader, DatagramTarget {
  readonly fd: number;
  readonly slot: number;
  readonly peer: SocketAddress;
  readonly to: SocketAddress;
  closed = false;
  readonly #owner: UdpIngress;

  constructor(owner: UdpIngress, fd: number, slot: number, peer: SocketAddress, to: SocketAddress) {
    this.#owner = owner;
    this.fd = fd;
    this.slot = slot;
    this.peer = peer;
    this.to = to;
  }

  onDatagram(payload: Pointer, length: number): boolean {
    return this.#owner.onAnswer(this, payload, length);
  }

  onReceiveError(errno: number): void {
    this.#owner.onSocketError(this, errno);
  }

  writeName(): number {
    return 0;
  }

  writePacketInfo(): boolean {
    return false;
  }

  onSendError(_slot: number, errno: number): void {
    this.#owner.onSocketError(this, errno);
  }
}

/**
 * Ingress UDP: a port of ours in the tunnel. The companion enforces the policy, also with Envoy, whose UDP listeners take no filter
 * that could. A flow ends when nothing has passed in either direction for a while, or when the local side or the peer says by ICMP
 * that nobody is there.
 */
export class UdpIngress implements UdpPortOwner {
  readonly #io: UdpIo;
  readonly #destinations: Destinations;
  readonly #table: UdpFlowTable;
  readonly #expiry: UdpFlowExpiry;
  readonly #flows: (IngressFlow | undefined)[] = [];
  readonly #turn = new RoundRobin();
  #key: ProxyKeyConfig;
  #gate: Gate;

  /** `key.port` is bound in the stack, and is this object's own from now on. */
  constructor(io: UdpIo, destinations: Destinations, key: ProxyKeyConfig, random: number) {
    this.#io = io;
    this.#destinations = destinations;
    this.#key = key;
    this.#gate = new Gate(key.policy);
    this.#table = new UdpFlowTable(io.flowsPerRule, random);
    const { reactor } = io.relay.ctx;
    this.#expiry = new UdpFlowExpiry(reactor, this.#table, io.idleUs(key), slot =>
      this.#end(this.#flows[slot]!, 'idle'),
    );
    io.ports.set(key.port, this);
  }

  get flows(): number {
    return this.#table.size;
  }

  /** Flows whose local side is no longer one, or whose peer may no longer enter, end; the others stay. */
  update(key: ProxyKeyConfig): void {
    this.#key = key;
    this.#gate = new Gate(key.policy);
    this.#expiry.setIdle(this.#io.idleUs(key));
    for (const flow of [...this.#flows]) {
      if (flow === undefined) continue;
      if (!this.#isTarget(flow.to)) this.#end(flow, 'destination_removed');
      else if (!this.#gate.permits(flow.peer.address)) this.#end(flow, 'denied');
    }
  }

  close(): void {
    for (const flow of [...this.#flows]) if (flow !== undefined) this.#end(flow, 'rule_removed');
    this.#expiry.stop();
    this.#io.ports.delete(this.#key.port);
    this.#io.relay.stack.udpUnbind(this.#key.port);
  }

  onTunnelDatagram(): void {
    const { stack, memory, ctx } = this.#io.relay;
    const { source, sourcePort, payload, length } = stack.udp;
    let slot = this.#table.find(memory, source, sourcePort);
    if (slot < 0) {
      slot = this.#begin(source, sourcePort);
      if (slot < 0) return;
    } else this.#table.touch(slot, ctx.reactor.now);
    this.#io.countFromPeer(length);
    this.#io.sender.send(this.#flows[slot]!, slot, payload, length);
  }

  onTunnelError(): void {
    const { stack, memory } = this.#io.relay;
    const slot = this.#table.find(memory, stack.udp.source, stack.udp.sourcePort);
    if (slot >= 0) this.#end(this.#flows[slot]!, 'peer_refused');
  }

  onAnswer(flow: IngressFlow, payload: Pointer, length: number): boolean {
    const { stack, ctx } = this.#io.relay;
    const address = this.#io.addressPointer(flow.peer.address);
    if (!stack.udpSend(this.#key.port, address, flow.peer.port, payload, length)) return false;
    this.#table.touch(flow.slot, ctx.reactor.now);
    this.#io.countToPeer(length);
    ctx.reactor.pump();
    return true;
  }

  onSocketError(flow: IngressFlow, errno: number): void {
    if (flow.closed) return;
    if (errno === ECONNREFUSED) this.#end(flow, 'refused');
    else this.#io.relay.ctx.counters.count('ingress_udp_socket_error');
  }

  #begin(source: Pointer, port: number): number {
    const { memory, ctx } = this.#io.relay;
    const peer: SocketAddress = { address: memory.u8.slice(source, source + 16), port };
    if (!this.#gate.permits(peer.address)) {
      ctx.counters.count('ingress_udp_denied');
      return -1;
    }
    const to = this.#chooseTarget();
    if (to === undefined) {
      ctx.counters.count('ingress_udp_no_destination');
      return -1;
    }
    if (this.#table.size >= this.#table.capacity) this.#evict();
    const opened = this.#open(to);
    if (!opened.ok) {
      ctx.counters.count('ingress_udp_no_socket');
      ctx.log('warn', 'no socket for an ingress UDP flow', { key: this.#key.name, error: opened.error });
      return -1;
    }
    const slot = this.#table.insert(memory, source, port, ctx.reactor.now);
    const flow = new IngressFlow(this, opened.fd, slot, peer, to);
    this.#flows[slot] = flow;
    this.#io.intake.watch(flow);
    ctx.counters.count('ingress_udp_flows');
    ctx.log('debug', 'ingress UDP flow', {
      key: this.#key.name,
      source: formatSocketAddress(peer),
      to: formatSocketAddress(to),
    });
    this.#expiry.arm();
    return slot;
  }

  #open(to: SocketAddress): Opened {
    const { sockets, ctx } = this.#io.relay;
    const opened = sockets.connectUdp(to);
    if (opened.ok || (opened.errno !== EMFILE && opened.errno !== ENFILE)) return opened;
    ctx.counters.count('fd_exhausted');
    if (this.#table.size === 0) return opened;
    this.#evict();
    return sockets.connectUdp(to);
  }

  #evict(): void {
    this.#end(this.#flows[this.#table.oldest]!, 'evicted');
  }

  #chooseTarget(): SocketAddress | undefined {
    if (this.#io.relay.ctx.config.mode === 'envoy') {
      const port = this.#key.ingressUdpPort;
      return port === undefined ? undefined : { address: LOOPBACK, port };
    }
    return this.#turn.next(this.#key.destinations).flatMap(one => this.#destinations.endpoints(one))[0];
  }

  #isTarget(to: SocketAddress): boolean {
    if (this.#io.relay.ctx.config.mode === 'envoy')
      return to.port === this.#key.ingressUdpPort && equalBytes(to.address, LOOPBACK);
    return this.#destinations.holds(this.#key.destinations, to);
  }

  #end(flow: IngressFlow, why: string): void {
    if (flow.closed) return;
    this.#io.sender.forget(flow);
    // The last send may have met ECONNREFUSED and ended it.
    if (flow.closed) return;
    flow.closed = true;
    this.#io.intake.unwatch(flow);
    this.#io.relay.sockets.close(flow.fd);
    this.#table.remove(flow.slot);
    this.#flows[flow.slot] = undefined;
    this.#io.relay.ctx.counters.count(`ingress_udp_flow_ended_${why}`);
  }
}
