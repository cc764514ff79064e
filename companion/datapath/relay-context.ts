import type { Policy, ProxyKey } from '../../rules/index.ts';
import type { Netstack } from '../netstack/index.ts';
import type { Counters } from './counters.ts';
import type { LinearMemory } from './memory.ts';
import type { Reactor } from './reactor.ts';
import type { SystemCalls } from './system-calls.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export interface RelayConfig {
  /** `envoy`: Envoy listens and calls by unix socket. `none`: the companion listens itself. */
  mode: 'envoy' | 'none';
  /** Listen address of egress in mode `none`; `::` or empty is every address of both families. */
  bind: string;
  /** Of mode 0700; holds companion.sock and ingress/tcp/PORT.sock. */
  runtimeDirectory: string;
  /**
   * Whether a connection from Envoy may name no proxy key (an operator's own cluster with the tunnel transport socket): it may then
   * dial whatever any egress rule names. Off unless the operator marked such a cluster.
   */
  allowUnkeyed?: boolean;
  /** Datagram flows per rule, the oldest idle one makes room. Default 4096. */
  udpFlowsPerRule?: number;
  /** In mode `none`: a stream without a byte for so long is reset. Default 3600; 0 never. With Envoy, Envoy's idle timeouts hold. */
  tcpIdleSeconds?: number;
}

export interface ProxyKeyConfig extends ProxyKey {
  policy?: Policy;
  /** Default 60. */
  udpIdleSeconds?: number;
  /** Envoy's UDP listener on 127.0.0.1 (ingress, mode `envoy`). */
  ingressUdpPort?: number;
}

export interface ProxyKeyReport {
  name: string;
  ok: boolean;
  error?: string;
  /** Egress UDP in mode `envoy`: the loopback port by destination. */
  udpPorts?: { destination: { host: string; port: number }; port: number }[];
}

/** The world of the relays: all of it lives on the data path's thread. */
export interface RelayContext {
  readonly reactor: Reactor;
  readonly stack: Netstack;
  /** The stack's memory: the relays' iovecs and buffers are in it. */
  readonly memory: LinearMemory;
  readonly sys: SystemCalls;
  readonly config: RelayConfig;
  readonly counters: Counters;
  log(level: LogLevel, message: string, fields: Record<string, string | number>): void;
  /** Whether some peer's allowed IPs cover the address. */
  hasRoute(address: Uint8Array): boolean;
  peerOf(address: Uint8Array): { id: number; publicKeyBase64: string } | undefined;
  /** Asks for the addresses of a name; the answer comes to `Relays.resolved`. Absent: names have no address. */
  resolve?(host: string): void;
}
