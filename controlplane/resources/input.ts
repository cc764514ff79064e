/** What the translation of proxy keys to Envoy resources needs to know. Plain data. */

import type { Policy, ProxyKey } from '../../rules/index.ts';

/** A proxy key with what may be said about it beyond its rules. */
export interface ResourceKey extends ProxyKey {
  /** Who may use it. Absent: everybody. */
  policy?: Policy;
  /** Seconds without a datagram after which a UDP session ends; 60 by default. */
  udpIdleSeconds?: number;
  /** Seconds without a byte in either direction after which Envoy closes a TCP connection; absent: never, as a tunnel does. */
  tcpIdleSeconds?: number;
}

/** Where the companion takes the datagrams for one destination: a port on 127.0.0.1. */
export interface UdpPort {
  destination: { host: string; port: number };
  port: number;
}

export interface ResourceInput {
  keys: readonly ResourceKey[];
  /** Egress listen address: an IP address, or '' for all of IPv4 and, unless `ipv6` is false, IPv6. */
  bind: string;
  /** Whether this machine can open IPv6 sockets; true by default. Only asked when `bind` is ''. */
  ipv6?: boolean;
  paths: {
    /** The companion's unix socket. */
    companionSocket: string;
    /** Folder of the pipe listeners: `<ingressDirectory>/tcp/443.sock`. */
    ingressDirectory: string;
    /** The filter's Wasm on the disk of the node that runs Envoy. */
    filterWasm: string;
  };
  /** The filter's bytes, for an Envoy that shares no disk with us: inlined into each policy in place of `paths.filterWasm`. */
  filterBytes?: Uint8Array;
  /** Egress UDP: by proxy key, the loopback ports that the companion reported. A key without them gets no resources yet. */
  udpPorts: ReadonlyMap<string, readonly UdpPort[]>;
  /** Ingress UDP: by proxy key, the loopback port at which Envoy listens for the companion. A key without one gets no resources yet. */
  ingressUdpPorts: ReadonlyMap<string, number>;
  /** Destinations known to be unhealthy, as `host:port` texts of formatEndpoint, by proxy key. */
  unhealthy?: ReadonlyMap<string, ReadonlySet<string>>;
  /** Whether the kernel probes silent clients (egress TCP); true by default. Linux only: false for an Envoy elsewhere. */
  tcpKeepalive?: boolean;
  /** One JSON line per finished connection to this file ('/dev/stdout': Envoy's standard output). Absent: none. */
  accessLog?: string;
}

/** One proxy key that cannot be served and why. */
export interface ResourceError {
  key: string;
  error: string;
}
