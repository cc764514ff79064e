/**
 * One peer as the transport half knows it: endpoint, sessions, timers, packets that wait for a session, byte counts.
 */
import type { PeerId } from './actions.ts';
import { MAX_STAGED_PACKETS } from './constants.ts';
import { KeypairSlots } from './keypair.ts';
import { PeerTimers } from './timers.ts';

/** What a receive batch brought; `Tunnel.endBatch` turns it into timer events once per peer. */
export const BATCH_RECEIVED = 1;
export const BATCH_DATA = 2;
export const BATCH_CONFIRMED = 4;
export const BATCH_ROAMED = 8;

export class TunnelPeerState {
  readonly id: PeerId;
  readonly publicKey: Uint8Array;
  readonly keypairs = new KeypairSlots();
  readonly timers: PeerTimers;
  /** 18 bytes in linear memory. */
  readonly endpoint: number;
  hasEndpoint = false;
  /** A handshake was wanted while no endpoint was known: it starts as soon as there is one. */
  awaitsEndpoint = false;
  /** Waiting for a session, oldest first; an empty one is a keepalive. */
  staged: Uint8Array[] = [];
  /** In the Tunnel's list of peers with something to take. */
  listed = false;
  batch = 0;
  rxBytes = 0;
  txBytes = 0;

  constructor(id: PeerId, publicKey: Uint8Array, endpoint: number, jitter: () => number) {
    this.id = id;
    this.publicKey = publicKey;
    this.endpoint = endpoint;
    this.timers = new PeerTimers(jitter);
  }

  /** Whether the oldest packet had to go for this one. */
  stage(packet: Uint8Array): boolean {
    this.staged.push(packet);
    if (this.staged.length <= MAX_STAGED_PACKETS) return false;
    this.staged.shift();
    return true;
  }
}
