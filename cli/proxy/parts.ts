/** What the daemon needs of the parts that carry the traffic; the companion and Envoy's side satisfy it. */

import type { PeerStatus } from '../../companion/index.ts';
import type { Policy, ProxyKey } from '../../rules/index.ts';

/** A proxy key with what the command line says about it. */
export interface ServedKey extends ProxyKey {
  policy?: Policy;
  udpIdleSeconds?: number;
  /** Envoy's loopback UDP listener for an ingress key. */
  ingressUdpPort?: number;
}

export interface KeyReport {
  name: string;
  ok: boolean;
  error?: string;
  /** Egress UDP: where Envoy finds each destination. */
  udpPorts?: { destination: { host: string; port: number }; port: number }[];
}

export interface DataPathStatus {
  /** base64; by wg it may have become another than that of the configuration. */
  publicKey: string;
  /** UDP port of WireGuard. */
  listenPort: number;
  aead: string;
  peers: PeerStatus[];
  counters: Record<string, number>;
  connections: number;
}

export interface DataPath {
  /** Replace all keys. Each is reported on; keys that fail leave the others in force. */
  setProxyKeys(keys: ServedKey[]): Promise<KeyReport[]>;
  status(): Promise<DataPathStatus>;
  close(): Promise<void>;
}

export interface RejectedRule {
  /** Proxy key, or the resource's name where it belongs to none. */
  name: string;
  message: string;
}

export interface FrontStatus {
  /** `none`, `external`, or of our own child. */
  kind: 'none' | 'external' | 'child';
  /** For a person: `running (pid 17, 1.40.0)`, `waiting for it to connect`. */
  state: string;
  /** Whether it serves. */
  ready: boolean;
  rejected: RejectedRule[];
}

/** Who listens: Envoy, or (with `--envoy none`) the companion itself. */
export interface Front {
  /** Complete a key before the data path gets it (ports that must be known to both). */
  prepare(keys: ProxyKey[]): Promise<Map<string, number>>;
  /** Serve exactly these keys. `changed` are new or different. Resolves when they are served; Failure otherwise. */
  serve(keys: ServedKey[], reports: KeyReport[], changed: ReadonlySet<string>): Promise<void>;
  status(): FrontStatus;
  close(): Promise<void>;
}
