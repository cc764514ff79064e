/** What a Tunnel is made of, told about and asked for. */
import type { Aead } from './aead.ts';
import type { Prefix } from './allowed-ips.ts';
import type { MemoryView } from './memory.ts';

export interface TunnelOptions {
  readonly memory: MemoryView;
  readonly aead: Aead;
  /** Used for timer jitter only. */
  readonly random: (n: number) => Uint8Array;
  /** Monotonic milliseconds. */
  readonly now: number;
  /** Largest inner packet, 1 to 65535. */
  readonly mtu: number;
  /** For tests: in place of REKEY_AFTER_TIME (ms). */
  readonly rekeyAfterTime?: number;
}

export interface TunnelPeer {
  readonly publicKey: Uint8Array;
  /** 18 bytes. */
  readonly endpoint?: Uint8Array;
  /** Seconds, 0 to 65535; 0 or absent: off. */
  readonly persistentKeepalive?: number;
  readonly allowedIps: readonly Prefix[];
}

/** Absent: unchanged. */
export interface TunnelPeerChange {
  readonly endpoint?: Uint8Array;
  readonly persistentKeepalive?: number;
  /** Replaces all of the peer's. */
  readonly allowedIps?: readonly Prefix[];
  readonly addAllowedIps?: readonly Prefix[];
  readonly removeAllowedIps?: readonly Prefix[];
}

export interface PeerStats {
  /** Bytes of authenticated datagrams, handshakes and keepalives included, as `wg show` counts them. */
  readonly rxBytes: number;
  readonly txBytes: number;
  /** On the clock of `now`; undefined: never. */
  readonly lastHandshake: number | undefined;
  /** Seconds. */
  readonly persistentKeepalive: number;
  /** Whether packets can be sent right now. */
  readonly hasSession: boolean;
}
