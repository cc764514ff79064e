import type { AeadTier } from './datapath/aead-tiers.ts';
import type { ProxyKeyReport } from './datapath/relay-context.ts';

export type { AeadTier } from './datapath/aead-tiers.ts';
export type { ProxyKeyConfig, ProxyKeyReport } from './datapath/relay-context.ts';

/** What `Companion.start` takes. Nothing of it is read from files or the environment. */
export interface CompanionConfig {
  /** 32 bytes, X25519. Copied; the caller may zero its own. */
  privateKey: Uint8Array;
  /** The node's addresses inside the network, as CIDR or plain address: `10.0.0.2/24`, `200::1/128`. At most 64. */
  addresses: string[];
  /** UDP port of WireGuard, on IPv4 and IPv6; 0 takes a random one. */
  listenPort: number;
  /** Largest packet inside the tunnel, bytes, 576..65455. WireGuard's habit is 1420; below 1280 IPv6 does not work. */
  mtu: number;
  peers: PeerConfig[];
  /** `envoy`: Envoy listens and calls by unix socket. `none`: the companion listens itself. */
  mode: 'envoy' | 'none';
  /** Mode `none`: where egress listens; empty or `::` is everywhere. */
  bind: string;
  /** Mode 0700, made by the caller; sockets are put there. */
  runtimeDirectory: string;
  /** The stamp that `saveStamp` was last given (12 bytes), so that peers take our handshakes after a restart or a step of the clock. */
  loadStamp?: () => Uint8Array | undefined | Promise<Uint8Array | undefined>;
  /** Keeps a TAI64N stamp before it is used. When it fails, that handshake is not sent and the error is logged. */
  saveStamp?: (stamp: Uint8Array) => void | Promise<void>;
  /** A connection from Envoy without a proxy key may dial what any egress rule names. Default false. */
  allowUnkeyed?: boolean;
  /** Datagram flows per rule. Default 4096. */
  udpFlowsPerRule?: number;
  /** Mode `none`: a stream without a byte for so long is reset; 0 never. Default 3600. */
  tcpIdleSeconds?: number;
  /** Writes every inner packet, both ways, to this pcap file (raw IP). It holds what users send: for debugging alone. */
  pcap?: string;
  /** Address space of the data path, bytes; pages cost only when used. Default 256 MiB. */
  memoryBytes?: number;
  /** Threads of the data path; only 1 now. */
  threads?: 1;
}

export interface PeerConfig {
  /** 32 bytes; names the peer. A peer with our own key is left out. */
  publicKey: Uint8Array;
  /** 32 bytes. */
  presharedKey?: Uint8Array;
  /** A name is resolved anew whenever handshakes fail; it may not resolve yet. Without one the peer must call first. */
  endpoint?: { host: string; port: number };
  /** CIDR. What the peer may send from, and what is sent to it. */
  allowedIps: string[];
  /** Seconds, 0 or absent off. */
  persistentKeepalive?: number;
}

export interface PeerStatus {
  /** Base64. */
  publicKey: string;
  /** `address:port` in use now; undefined when not known yet. */
  endpoint: string | undefined;
  allowedIps: string[];
  /** Unix seconds; 0 never. */
  latestHandshake: number;
  /** Bytes on the wire of authenticated datagrams, as `wg show` counts. */
  rx: number;
  tx: number;
  /** Seconds; 0 off. */
  persistentKeepalive: number;
}

export interface CompanionStatus {
  /** Base64; of 32 zero bytes when the private key was taken away by the UAPI. */
  publicKey: string;
  listenPort: number;
  aead: AeadTier;
  peers: PeerStatus[];
  /** All counters of WireGuard (`wireguard_drop_*`), the stack (`stack_*`), the relays and the outer socket. */
  counters: Record<string, number>;
  /** TCP connections that stand inside the tunnel. */
  connections: number;
}

export interface CompanionEvents {
  /** A proxy key that could not be opened (its port was another's) is open now. */
  'key-report': [ProxyKeyReport];
  /** The data path is gone: nothing is relayed any more. `close` it, and start another. */
  fatal: [Error];
}

/** What the companion needs of a logger; a pino logger is one. */
export interface CompanionLog {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
