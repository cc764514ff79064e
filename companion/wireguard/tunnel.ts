import type { PeerId, SessionAction, TransportAction } from './actions.ts';
import type { Aead } from './aead.ts';
import { DropCounters } from './drops.ts';
import type { MemoryView } from './memory.ts';

/** 16 bytes (IPv4 as ::ffff:a.b.c.d) and 0 to 128 (IPv4 length + 96), as `rules/address.ts` parses them. */
export interface Prefix {
  readonly address: Uint8Array;
  readonly length: number;
}

export interface TunnelOptions {
  readonly memory: MemoryView;
  readonly aead: Aead;
  /** Random bytes; used for timer jitter only. */
  readonly random: (n: number) => Uint8Array;
  /** Monotonic milliseconds. */
  readonly now: number;
  /** Largest inner packet. */
  readonly mtu: number;
}

export interface TunnelPeer {
  readonly publicKey: Uint8Array;
  /** 18 bytes. */
  readonly endpoint?: Uint8Array;
  /** Seconds; 0 or absent: off. */
  readonly persistentKeepalive?: number;
  readonly allowedIps: readonly Prefix[];
}

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
  readonly persistentKeepalive: number;
  readonly hasSession: boolean;
}

/** SKELETON of 16:10: the face is settled, the body comes. See contracts.md. */
export class Tunnel {
  /** Whose packet the last `receive` or `takeDatagram` was about; -1 when unknown. */
  lastPeer: PeerId = -1;
  /** Set by `sealBatch`: size of each datagram but the last, and how many of the n packets were sealed. */
  segmentSize = 0;
  sealedPackets = 0;
  /** When `advance` is due next; may be early, never late. Infinity: nothing is due. */
  deadline = Number.POSITIVE_INFINITY;
  readonly drops = new DropCounters();

  constructor(readonlyOptions: TunnelOptions) {
    void readonlyOptions;
  }
  setMtu(_mtu: number): void {}
  /** Own inner addresses (16 bytes each): a packet from the tunnel that claims one as its source is dropped. */
  setAddresses(_addresses: readonly Uint8Array[]): void {}
  addPeer(_id: PeerId, _peer: TunnelPeer): void {}
  updatePeer(_id: PeerId, _change: TunnelPeerChange): void {}
  removePeer(_id: PeerId): void {}
  /** After a change of our private key: nothing more is sent on the present sessions. */
  expireSessions(): void {}
  /** Asks for a handshake now (at start, for a node that only listens). No-op if the peer has a valid session. */
  connect(_peer: PeerId): void {}
  /** See contracts.md: inner length (0: keepalive) with the packet at `dst`, or a negative `dropCode`. */
  receive(_src: number, _length: number, _dst: number, _source: number): number {
    return -1;
  }
  endBatch(_now: number): void {}
  route(_packet: number): PeerId {
    return -1;
  }
  /** False also while staged packets wait: then `stage` keeps the order. */
  ready(_peer: PeerId): boolean {
    return false;
  }
  /**
   * Seals packets 0..k-1 of n, where k (`sealedPackets`) is the longest run that one GSO send can carry: all
   * datagrams equal but the last, which may be shorter. Up to 15 bytes after each packet in its slot are zeroed (padding).
   */
  sealBatch(_peer: PeerId, _slots: number, _stride: number, _lengths: number, _n: number, _out: number): number {
    return 0;
  }
  stage(_peer: PeerId, _packet: number, _length: number): void {}
  session(_action: SessionAction, _now: number): void {}
  /** A handshake datagram of `length` bytes just left for the peer. */
  handshakeSent(_peer: PeerId, _length: number): void {}
  advance(_now: number): void {}
  /**
   * Writes the next datagram that is due by itself (keepalive, staged packet) at `out` (out-64..out clobbered) for
   * `lastPeer`; 0: none. Drain after each endBatch, advance, session, updatePeer.
   */
  takeDatagram(_out: number): number {
    return 0;
  }
  actions(): TransportAction[] {
    return [];
  }
  /** Offset of 18 bytes, or 0 if the peer has none. Valid until the peer is removed. */
  endpoint(_peer: PeerId): number {
    return 0;
  }
  stats(_peer: PeerId): PeerStats | undefined {
    return undefined;
  }
}
