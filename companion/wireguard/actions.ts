/**
 * What the two halves of the engine ask of the I/O around them. Plain data: any of these may cross a MessagePort.
 */
import type { DropReason } from './drops.ts';

/** A small integer that the caller gave the peer; both halves use it. Dense: it indexes arrays. */
export type PeerId = number;

/** Both clocks, in milliseconds. `mono` never steps; `wall` (Unix time) only feeds the handshake's TAI64N timestamp. */
export interface Now {
  readonly mono: number;
  readonly wall: number;
}

/** A session that a handshake derived. Each key owns its buffer, so post it with both buffers in the transfer list. */
export interface SessionAction {
  readonly type: 'session';
  readonly peer: PeerId;
  readonly initiator: boolean;
  readonly localIndex: number;
  readonly remoteIndex: number;
  /** 32 bytes each. `Tunnel.session` copies and zeroes them. */
  readonly sendKey: Uint8Array;
  readonly receiveKey: Uint8Array;
  /** Where the authenticated message came from (18 bytes). */
  readonly endpoint: Uint8Array;
  /** Size of the message that was received, for the peer's byte counter. */
  readonly received: number;
}

/**
 * In the order in which they must take effect: `stamp` is on disk before the initiation leaves, `session` is
 * installed before the response leaves (its answer may be back before the next message to a worker is).
 */
export type HandshakeAction =
  | {
      readonly type: 'send';
      /** Absent on a cookie reply. When present, call `Tunnel.handshakeSent` as the datagram leaves. */
      readonly peer?: PeerId;
      readonly kind: 'initiation' | 'response' | 'cookie-reply';
      readonly datagram: Uint8Array;
      /** 18 bytes: answer there. Absent: the peer's endpoint, which `Tunnel.endpoint` knows. */
      readonly to?: Uint8Array;
    }
  | SessionAction
  /** No stamp sent is greater than this one (12 bytes): persist it, hand it back as `lastStamp` after a restart. */
  | { readonly type: 'stamp'; readonly stamp: Uint8Array }
  /** A valid initiation dated `aheadMs` ahead, over a day: the peer's honest ones will be refused until then. Log it. */
  | { readonly type: 'future-timestamp'; readonly peer: PeerId; readonly aheadMs: number }
  | { readonly type: 'drop'; readonly reason: DropReason; readonly peer?: PeerId };

export type TransportAction =
  /** Call `Handshaker.initiate(peer)`. The retransmission timer already runs. */
  | { readonly type: 'initiate'; readonly peer: PeerId }
  /** Call `Handshaker.release(localIndex)`: the session is gone, its index may be given out again. */
  | { readonly type: 'release'; readonly localIndex: number }
  /** Call `Handshaker.forget(peer)`: silent for 540 s, what is left of a handshake must go too. */
  | { readonly type: 'forget'; readonly peer: PeerId }
  /** A session was confirmed in both directions. */
  | { readonly type: 'established'; readonly peer: PeerId; readonly initiator: boolean }
  /** An authenticated packet came from a new endpoint (18 bytes), which the tunnel has adopted. */
  | { readonly type: 'roamed'; readonly peer: PeerId; readonly endpoint: Uint8Array }
  /** `attempts` initiations went unanswered: resolve the endpoint's name again. `gaveUp`: none follows by itself. */
  | { readonly type: 'failing'; readonly peer: PeerId; readonly attempts: number; readonly gaveUp: boolean };
