import type { PeerId, SessionAction, TransportAction, Tunnel } from '../wireguard/index.ts';
import type { AeadTier } from './aead-tiers.ts';
import type { LogLevel, ProxyKeyConfig, ProxyKeyReport, RelayConfig } from './relay-context.ts';

// What crosses between the main thread and the data path's thread. All of it is plain data.

/** `workerData` of the data path's thread. */
export interface WorkerStart {
  readonly port: import('node:worker_threads').MessagePort;
  /** 16 bytes each. */
  readonly addresses: readonly Uint8Array[];
  readonly listenPort: number;
  readonly mtu: number;
  readonly memoryBytes?: number;
  readonly relays: RelayConfig;
  /** Path of a pcap file for inner packets. */
  readonly pcap?: string;
  /** Two i32: handshake datagrams posted by the worker, and of those taken by the main thread. Both wrap. */
  readonly handshakes: SharedArrayBuffer;
}

export const POSTED = 0;
export const TAKEN = 1;

type TunnelPeer = Parameters<Tunnel['addPeer']>[1];
type TunnelPeerChange = Parameters<Tunnel['updatePeer']>[1];

export type ToWorker =
  | { readonly type: 'peer-add'; readonly id: PeerId; readonly peer: TunnelPeer; readonly publicKeyBase64: string }
  | { readonly type: 'peer-update'; readonly id: PeerId; readonly change: TunnelPeerChange }
  | { readonly type: 'peer-remove'; readonly id: PeerId }
  | { readonly type: 'expire-sessions' }
  | { readonly type: 'connect'; readonly peer: PeerId }
  | SessionAction
  | { readonly type: 'handshake-send'; readonly peer?: PeerId; readonly datagram: Uint8Array; readonly to?: Uint8Array }
  | { readonly type: 'resolved'; readonly host: string; readonly addresses: readonly Uint8Array[] }
  | { readonly type: 'proxy-keys'; readonly request: number; readonly keys: ProxyKeyConfig[] }
  | { readonly type: 'status'; readonly request: number }
  /** 0: a random one. */
  | { readonly type: 'listen-port'; readonly request: number; readonly port: number }
  | { readonly type: 'close' };

export interface WorkerPeerStatus {
  readonly id: PeerId;
  /** 18 bytes. */
  readonly endpoint: Uint8Array | undefined;
  /** Unix seconds, 0 never. */
  readonly latestHandshake: number;
  readonly rx: number;
  readonly tx: number;
}

export type FromWorker =
  | {
      readonly type: 'ready';
      readonly listenPort: number;
      readonly aead: AeadTier;
      readonly skipped: readonly { tier: AeadTier; reason: string }[];
      /** The eventfd that wakes the worker, valid in this process. */
      readonly kick: number;
    }
  | { readonly type: 'refused'; readonly error: string }
  | { readonly type: 'handshakes'; readonly received: readonly ReceivedHandshake[] }
  | { readonly type: 'tunnel'; readonly actions: readonly TransportAction[] }
  | { readonly type: 'resolve'; readonly host: string }
  | { readonly type: 'log'; readonly level: LogLevel; readonly message: string; readonly fields: object }
  /** A key that could not be opened is open now. */
  | { readonly type: 'key-report'; readonly report: ProxyKeyReport }
  | { readonly type: 'proxy-keys'; readonly request: number; readonly reports: ProxyKeyReport[] }
  | {
      readonly type: 'status';
      readonly request: number;
      readonly peers: WorkerPeerStatus[];
      readonly counters: Record<string, number>;
      readonly connections: number;
    }
  /** The port in use from now on; it is the old one when `errno`, negative then, is not 0. */
  | { readonly type: 'listen-port'; readonly request: number; readonly port: number; readonly errno: number }
  | { readonly type: 'failed'; readonly request: number; readonly error: string };

export interface ReceivedHandshake {
  readonly datagram: Uint8Array;
  /** 18 bytes. */
  readonly source: Uint8Array;
}
