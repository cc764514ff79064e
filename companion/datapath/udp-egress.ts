import { IPPROTO_IPV6 } from './constants.ts';
import { type Destinations, type HostPort, RoundRobin } from './destinations.ts';
import { Gate } from './gate.ts';
import type { Pointer } from './memory.ts';
import { formatSocketAddress, type SocketAddress } from './proxy-protocol.ts';
import type { ProxyKeyConfig } from './relay-context.ts';
import { writeSocketAddress } from './socket-address.ts';
import { readEndpoint } from './sockets.ts';
import { UdpFlowExpiry } from './udp-flow-expiry.ts';
import { UdpFlowTable } from './udp-flow-table.ts';
import { type DatagramReader, IN6_PKTINFO_BYTES, IPV6_RECVPKTINFO } from './udp-intake.ts';
import type { UdpIo } from './udp-io.ts';
import type { DatagramTarget } from './udp-sender.ts';

export interface UdpEgressOptions {
  /** Bound, non-blocking; owned from now on. */
  fd: number;
  key: ProxyKeyConfig;
  /** One of the key's, or all for round robin per flow. */
  targets: readonly HostPort[];
  /** Bound to every address: answers must leave from the one that was asked. */
  wildcard: boolean;
  /** Whether clients must pass the key's policy here; Envoy has done it otherwise. */
  gated: boolean;
  random: number;
}

/** One client's exchange with one destination. */
class EgressFlow {
  readonly socket: UdpEgress;
  readonly slot: number;
  readonly client: SocketAddress;
  readonly tunnelPort: number;
  readonly to: SocketAddress;
  /** struct in6_pktinfo of the client's first datagram. */
  readonly local: Uint8Array | undefined;

  constructor(
    socket: UdpEgress,
    slot: number,
    client: SocketAddress,
    tunnelPort: number,
    to: SocketAddress,
    local: Uint8Array | undefined,
  ) {
    this.socket = socket;
    this.slot = slot;
    this.client = client;
    this.tunnelPort = tunnelPort;
    this.to = to;
    this.local = local;
  }

  onTunnelDatagram(): void {
    this.socket.onTunnelDatagram(this);
  }

  onTunnelError(): void {
    this.socket.onTunnelError(this);
  }
}

/**
 * Egress UDP: a socket that clients (or Envoy) send to. Each client address has its own source port in the tunnel, so that an answer
 * finds its way to the one client that it is for. A flow ends when nothing has passed in either direction for a while, or when the
 * destination says by ICMP that nobody is there.
 */
export class UdpEgress implements DatagramReader, DatagramTarget {
  readonly fd: number;
  closed = false;
  readonly #io: UdpIo;
  readonly #destinations: Destinations;
  readonly #table: UdpFlowTable;
  readonly #flows: (EgressFlow | undefined)[] = [];
  readonly #turn = new RoundRobin();
  readonly #expiry: UdpFlowExpiry;
  readonly #wildcard: boolean;
  readonly #gated: boolean;
  readonly #wrongSource: number;
  #targets: readonly HostPort[];
  #name: string;
  #gate: Gate;

  constructor(io: UdpIo, destinations: Destinations, o: UdpEgressOptions) {
    this.#io = io;
    this.#destinations = destinations;
    this.fd = o.fd;
    this.#name = o.key.name;
    this.#targets = o.targets;
    this.#gated = o.gated;
    this.#gate = new Gate(o.gated ? o.key.policy : undefined);
    this.#wildcard = o.wildcard;
    this.#table = new UdpFlowTable(io.flowsPerRule, o.random);
    this.#expiry = new UdpFlowExpiry(io.relay.ctx.reactor, this.#table, io.idleUs(o.key), slot =>
      this.#end(this.#flows[slot]!, 'idle'),
    );
    this.#wrongSource = io.relay.ctx.counters.slot('egress_udp_wrong_source');
    if (o.wildcard) io.relay.sockets.setOption(o.fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    io.widen(o.fd);
    io.intake.watch(this);
  }

  /** Flows keep their destination; those whose destination is no longer one, or whose client may no longer enter, end. */
  update(key: ProxyKeyConfig, targets: readonly HostPort[]): void {
    this.#name = key.name;
    this.#targets = targets;
    this.#gate = new Gate(this.#gated ? key.policy : undefined);
    this.#expiry.setIdle(this.#io.idleUs(key));
    for (const flow of [...this.#flows]) {
      if (flow === undefined) continue;
      if (!this.#destinations.holds(targets, flow.to)) this.#end(flow, 'destination_removed');
      else if (!this.#gate.permits(flow.client.address)) this.#end(flow, 'denied');
    }
  }

  get flows(): number {
    return this.#table.size;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const flow of [...this.#flows]) if (flow !== undefined) this.#end(flow, 'rule_removed');
    this.#expiry.stop();
    this.#io.intake.unwatch(this);
    this.#io.relay.sockets.close(this.fd);
  }

  onDatagram(payload: Pointer, length: number, source: Pointer, local: Pointer): boolean {
    const { stack, memory, ctx } = this.#io.relay;
    const port = memory.view.getUint16(source + 16);
    let slot = this.#table.find(memory, source, port);
    if (slot < 0) {
      slot = this.#begin(source, port, local);
      if (slot < 0) return true;
    }
    const flow = this.#flows[slot]!;
    if (!stack.udpSend(flow.tunnelPort, this.#io.addressPointer(flow.to.address), flow.to.port, payload, length))
      return false;
    this.#table.touch(slot, ctx.reactor.now);
    this.#io.countToPeer(length);
    ctx.reactor.pump();
    return true;
  }

  onReceiveError(): void {
    this.#io.relay.ctx.counters.count('egress_udp_receive_error');
  }

  /** An answer from the tunnel, in `stack.udp`. */
  onTunnelDatagram(flow: EgressFlow): void {
    const { stack, ctx } = this.#io.relay;
    const { udp } = stack;
    if (udp.sourcePort !== flow.to.port || !this.#io.holds(udp.source, flow.to.address)) {
      ctx.counters.add(this.#wrongSource);
      return;
    }
    this.#table.touch(flow.slot, ctx.reactor.now);
    this.#io.countFromPeer(udp.length);
    this.#io.sender.send(this, flow.slot, udp.payload, udp.length);
  }

  /** ICMP: nobody is at the destination. */
  onTunnelError(flow: EgressFlow): void {
    this.#end(flow, 'refused');
  }

  writeName(slot: number, at: Pointer): number {
    const { memory } = this.#io.relay;
    this.#table.readAddress(slot, memory, this.#io.endpoint);
    memory.view.setUint16(this.#io.endpoint + 16, this.#table.port(slot));
    return writeSocketAddress(memory, at, this.#io.endpoint);
  }

  writePacketInfo(slot: number, at: Pointer): boolean {
    const local = this.#flows[slot]?.local;
    if (local === undefined) return false;
    this.#io.relay.memory.u8.set(local, at);
    return true;
  }

  onSendError(): void {
    this.#io.relay.ctx.counters.count('egress_udp_send_error');
  }

  #begin(source: Pointer, port: number, local: Pointer): number {
    const { stack, memory, ctx } = this.#io.relay;
    const client = readEndpoint(memory, source);
    if (!this.#gate.permits(client.address)) {
      ctx.counters.count('egress_udp_denied');
      return -1;
    }
    const to = this.#turn
      .next(this.#targets)
      .flatMap(one => this.#destinations.endpoints(one))
      .find(one => ctx.hasRoute(one.address));
    if (to === undefined) {
      ctx.counters.count('egress_udp_no_route');
      return -1;
    }
    if (this.#table.size >= this.#table.capacity) {
      ctx.counters.count('egress_udp_flow_evicted');
      this.#end(this.#flows[this.#table.oldest]!, 'evicted');
    }
    const tunnelPort = stack.udpBind(0);
    if (tunnelPort <= 0) {
      ctx.counters.count('egress_udp_no_port');
      return -1;
    }
    const slot = this.#table.insert(memory, source, port, ctx.reactor.now);
    const info =
      this.#wildcard && local !== 0 ? packetInfo(memory.u8.slice(local, local + IN6_PKTINFO_BYTES)) : undefined;
    const flow = new EgressFlow(this, slot, client, tunnelPort, to, info);
    this.#flows[slot] = flow;
    this.#io.ports.set(tunnelPort, flow);
    ctx.counters.count('egress_udp_flows');
    ctx.log('debug', 'egress UDP flow', {
      key: this.#name,
      source: formatSocketAddress(client),
      to: formatSocketAddress(to),
    });
    this.#expiry.arm();
    return slot;
  }

  #end(flow: EgressFlow, why: string): void {
    this.#io.sender.flushFlow(this, flow.slot);
    this.#io.ports.delete(flow.tunnelPort);
    this.#io.relay.stack.udpUnbind(flow.tunnelPort);
    this.#table.remove(flow.slot);
    this.#flows[flow.slot] = undefined;
    this.#io.relay.ctx.counters.count(`egress_udp_flow_ended_${why}`);
  }
}

/** The address to answer from. Its interface stays named for link-local ones alone: for others the routes decide, as they did before. */
function packetInfo(info: Uint8Array): Uint8Array {
  const linkLocal = info[0] === 0xfe && (info[1]! & 0xc0) === 0x80;
  if (!linkLocal) info.fill(0, 16);
  return info;
}
