/**
 * The handshake half of the engine (whitepaper §5.4): consumes and creates messages of types 1, 2 and 3. Owns the
 * static key, the peers' keys and cookies, our timestamps and all local indices. Knows no endpoint and no timer: the
 * Tunnel says when to initiate.
 *
 * Our own unanswered initiation is kept apart from answering the peer's. A responder is done within one call, so it
 * has no state to keep; and when both sides initiate at once, both handshakes complete and traffic flows at once,
 * where a shared state would have each side drop the other's response and wait for a retransmission.
 */
import type { HandshakeAction, Now, PeerId, SessionAction } from './actions.ts';
import * as c from './constants.ts';
import { CookieChecker, CookieGenerator } from './cookie.ts';
import { DropCounters, type DropReason } from './drops.ts';
import type { KeyPair } from './ikpsk2.ts';
import { LoadMeter, SourceLimiter } from './load.ts';
import { COOKIE_REPLY, INITIATION, messageType, RESPONSE, readIndex } from './messages.ts';
import {
  beginSymmetricSession,
  consumeMessageInitiation,
  consumeMessageResponse,
  createMessageInitiation,
  createMessageResponse,
  type InitiatorState,
  wipeInitiator,
} from './noise.ts';
import { compareStamps, TIMESTAMP_SIZE, TimestampClock, unixMilliseconds } from './tai64n.ts';
import { clamp, isZero, opensslX25519, type X25519 } from './x25519.ts';

export interface HandshakerOptions {
  /** 32 bytes; absent or all zero: no handshake can happen until `setPrivateKey`. */
  readonly privateKey?: Uint8Array;
  /** Cryptographically strong random bytes. */
  readonly random: (n: number) => Uint8Array;
  /** The stamp of the last `stamp` action of an earlier run (12 bytes). */
  readonly lastStamp?: Uint8Array;
  /** Default: OpenSSL's. */
  readonly x25519?: X25519;
  /** For tests: ask everyone for a cookie. */
  readonly forceUnderLoad?: boolean;
}

export interface HandshakePeer {
  /** 32 bytes. Our own key, or a low-order point, makes a peer that can be configured but never shakes hands. */
  readonly publicKey: Uint8Array;
  /** 32 bytes; absent: all zero, which is WireGuard's "none". */
  readonly presharedKey?: Uint8Array;
}

interface Peer {
  readonly id: PeerId;
  readonly publicKey: Uint8Array;
  presharedKey: Uint8Array;
  /** DH of both static keys; made on first use, since it is the cost of adding a thousand peers. */
  staticStatic: Uint8Array | 'low-order' | undefined;
  initiator: InitiatorState | undefined;
  readonly cookies: CookieGenerator;
  /** Greatest TAI64N that the peer sent us in an initiation. */
  lastTimestamp: Uint8Array;
  lastInitiation: number;
  /** Local indices given out for this peer, the initiator's among them. */
  readonly indices: Set<number>;
}

export class Handshaker {
  readonly drops = new DropCounters();
  /** Initiations dated more than a day ahead: until that day the peer cannot reach us with an honest clock. */
  futureTimestamps = 0;

  readonly #random: (n: number) => Uint8Array;
  readonly #dh: X25519;
  readonly #clock: TimestampClock;
  readonly #forceUnderLoad: boolean;
  readonly #peers = new Map<PeerId, Peer>();
  readonly #byPublicKey = new Map<string, Peer>();
  readonly #byIndex = new Map<number, Peer>();
  readonly #load = new LoadMeter();
  readonly #limiter = new SourceLimiter();
  #local: (KeyPair & { checker: CookieChecker }) | undefined;

  constructor(options: HandshakerOptions) {
    this.#random = options.random;
    this.#dh = options.x25519 ?? opensslX25519;
    this.#clock = new TimestampClock(options.lastStamp);
    this.#forceUnderLoad = options.forceUnderLoad ?? false;
    this.setPrivateKey(options.privateKey);
  }

  get publicKey(): Uint8Array | undefined {
    return this.#local?.publicKey;
  }

  /** Times our wall clock was ahead of all reason, so that stamps did not follow it. */
  get clockHeldBack(): number {
    return this.#clock.heldBack;
  }

  /** 32 bytes; undefined or all zero: none. Handshakes under way end; the caller also calls `Tunnel.expireSessions`. */
  setPrivateKey(key: Uint8Array | undefined): void {
    this.#local?.privateKey.fill(0);
    this.#local?.checker.wipe();
    this.#local = undefined;
    for (const peer of this.#peers.values()) {
      this.#dropInitiator(peer);
      wipeStaticStatic(peer);
    }
    if (key === undefined || isZero(key)) return;
    const privateKey = Uint8Array.from(key);
    const publicKey = this.#dh.publicKey(privateKey);
    this.#local = { privateKey, publicKey, checker: new CookieChecker(publicKey, this.#random) };
  }

  /** For the UAPI, which shows it: a copy, clamped (as WireGuard keeps it), for the caller to wipe. */
  copyPrivateKey(): Uint8Array | undefined {
    return this.#local && clamp(this.#local.privateKey);
  }

  /** Throws RangeError on a duplicate id or public key: programmer errors. */
  addPeer(id: PeerId, { publicKey, presharedKey }: HandshakePeer): void {
    const name = keyName(publicKey);
    if (this.#peers.has(id) || this.#byPublicKey.has(name)) throw new RangeError(`peer ${id} is there already`);
    if (publicKey.length !== c.KEY_SIZE) throw new RangeError('a public key has 32 bytes');
    const peer: Peer = {
      id,
      publicKey: Uint8Array.from(publicKey),
      presharedKey: Uint8Array.from(presharedKey ?? new Uint8Array(c.KEY_SIZE)),
      staticStatic: undefined,
      initiator: undefined,
      cookies: new CookieGenerator(publicKey),
      lastTimestamp: new Uint8Array(TIMESTAMP_SIZE),
      lastInitiation: Number.NEGATIVE_INFINITY,
      indices: new Set(),
    };
    this.#peers.set(id, peer);
    this.#byPublicKey.set(name, peer);
  }

  /** Takes effect at the next handshake; the live session stays. */
  updatePeer(id: PeerId, { presharedKey }: { readonly presharedKey?: Uint8Array }): void {
    const peer = this.#peers.get(id);
    if (peer === undefined || presharedKey === undefined) return;
    peer.presharedKey.fill(0);
    peer.presharedKey = Uint8Array.from(presharedKey);
  }

  removePeer(id: PeerId): void {
    const peer = this.#peers.get(id);
    if (peer === undefined) return;
    this.#dropInitiator(peer);
    for (const index of peer.indices) this.#byIndex.delete(index);
    wipeStaticStatic(peer);
    peer.presharedKey.fill(0);
    peer.cookies.wipe();
    this.#byPublicKey.delete(keyName(peer.publicKey));
    this.#peers.delete(id);
  }

  /** For an operator: accept the peer's next initiation whatever its date (CVE-2021-46873). */
  resetTimestamp(id: PeerId): void {
    this.#peers.get(id)?.lastTimestamp.fill(0);
  }

  /** The Tunnel's session is gone. */
  release(localIndex: number): void {
    const peer = this.#byIndex.get(localIndex);
    if (peer === undefined || peer.initiator?.localIndex === localIndex) return;
    peer.indices.delete(localIndex);
    this.#byIndex.delete(localIndex);
  }

  /** Wipes what is left of an unanswered initiation, and the cookie. */
  forget(id: PeerId): void {
    const peer = this.#peers.get(id);
    if (peer === undefined) return;
    this.#dropInitiator(peer);
    peer.cookies.wipe();
  }

  /** A fresh initiation; an earlier unanswered one is forgotten. */
  initiate(id: PeerId, now: Now): HandshakeAction[] {
    const peer = this.#peers.get(id);
    if (peer === undefined) return this.#drop('unknown-peer');
    const local = this.#local;
    if (local === undefined) return this.#drop('no-private-key', id);
    const staticStatic = this.#staticStatic(peer, local);
    if (typeof staticStatic === 'string') return this.#drop(staticStatic, id);

    this.#dropInitiator(peer);
    const { stamp, persist } = this.#clock.next(now);
    const index = this.#newIndex(peer);
    const ephemeral = this.#newEphemeral();
    const created = createMessageInitiation(this.#dh, local, peer.publicKey, staticStatic, ephemeral, index, stamp);
    if (created === undefined) {
      this.#freeIndex(peer, index);
      return this.#drop('low-order', id);
    }
    peer.initiator = created.initiator;
    peer.cookies.addMacs(created.message, now.mono);
    const actions: HandshakeAction[] = [];
    if (persist !== undefined) actions.push({ type: 'stamp', stamp: persist });
    actions.push({ type: 'send', peer: id, kind: 'initiation', datagram: created.message });
    return actions;
  }

  /**
   * One datagram of type 1, 2 or 3 from `source` (18 bytes). `queued`: handshake datagrams that wait behind it, if
   * the caller knows; it should hold at most `HANDSHAKE_QUEUE_SIZE` and drop the rest unread.
   */
  receive(datagram: Uint8Array, source: Uint8Array, now: Now, queued = 0): HandshakeAction[] {
    const type = messageType(datagram);
    if (typeof type === 'string') return this.#drop(type);
    const local = this.#local;
    switch (type) {
      case c.MESSAGE_COOKIE_REPLY:
        return this.#receiveCookieReply(datagram, now);
      case c.MESSAGE_INITIATION:
      case c.MESSAGE_RESPONSE: {
        if (local === undefined) return this.#drop('no-private-key');
        // the only work that a stranger gets without knowing our public key
        if (!local.checker.checkMac1(datagram)) return this.#drop('mac1');
        const refused = this.#defend(local.checker, datagram, source, now, queued);
        if (refused !== undefined) return refused;
        return type === c.MESSAGE_INITIATION
          ? this.#receiveInitiation(local, datagram, source, now)
          : this.#receiveResponse(local, datagram, source);
      }
      default:
        return this.#drop('type');
    }
  }

  /** Under load: a cookie reply, or silence past the source's rate; undefined lets the message through. */
  #defend(
    checker: CookieChecker,
    message: Uint8Array,
    source: Uint8Array,
    now: Now,
    queued: number,
  ): HandshakeAction[] | undefined {
    if (!this.#load.observe(now.mono, queued) && !this.#forceUnderLoad) return undefined;
    if (checker.checkMac2(message, source, now.mono)) {
      return this.#limiter.allow(source, now.mono) ? undefined : this.#drop('rate-limited');
    }
    const sender = readIndex(message, INITIATION.sender); // at the same place in a response
    const reply = checker.createReply(message, sender, source, now.mono);
    const send: HandshakeAction = { type: 'send', kind: 'cookie-reply', datagram: reply, to: Uint8Array.from(source) };
    return [send, ...this.#drop('cookie-required')];
  }

  #receiveInitiation(local: KeyPair, message: Uint8Array, source: Uint8Array, now: Now): HandshakeAction[] {
    let peer: Peer | undefined;
    const consumed = consumeMessageInitiation(this.#dh, local, message, remoteStatic => {
      peer = this.#byPublicKey.get(keyName(remoteStatic));
      return peer === undefined ? 'unknown-peer' : this.#staticStatic(peer, local);
    });
    if (!consumed.ok) return this.#drop(consumed.error, peer?.id);
    if (peer === undefined) return this.#drop('unknown-peer');
    const { responder } = consumed;

    // replay and flood (whitepaper §5.1)
    const stale = compareStamps(responder.timestamp, peer.lastTimestamp) <= 0;
    if (stale || now.mono - peer.lastInitiation <= c.INITIATION_INTERVAL) {
      responder.state.wipe();
      return this.#drop(stale ? 'old-timestamp' : 'initiation-flood', peer.id);
    }
    const index = this.#newIndex(peer);
    const ephemeral = this.#newEphemeral();
    const created = createMessageResponse(this.#dh, responder, ephemeral, peer.presharedKey, index);
    if (created === undefined) {
      this.#freeIndex(peer, index);
      return this.#drop('low-order', peer.id);
    }
    peer.lastTimestamp = responder.timestamp;
    peer.lastInitiation = now.mono;
    peer.cookies.addMacs(created.message, now.mono);

    const actions: HandshakeAction[] = [];
    const aheadMs = unixMilliseconds(responder.timestamp) - now.wall;
    if (aheadMs > 86_400_000) {
      this.futureTimestamps++;
      actions.push({ type: 'future-timestamp', peer: peer.id, aheadMs });
    }
    actions.push(this.#session(peer, created.state, false, index, responder.remoteIndex, source, message.length), {
      type: 'send',
      peer: peer.id,
      kind: 'response',
      datagram: created.message,
      to: Uint8Array.from(source),
    });
    return actions;
  }

  #receiveResponse(local: KeyPair, message: Uint8Array, source: Uint8Array): HandshakeAction[] {
    const index = readIndex(message, RESPONSE.receiver);
    const peer = this.#byIndex.get(index);
    if (peer === undefined) return this.#drop('unknown-index');
    const { initiator } = peer;
    if (initiator === undefined || initiator.localIndex !== index) return this.#drop('unexpected-response', peer.id);
    const consumed = consumeMessageResponse(this.#dh, local, initiator, peer.presharedKey, message);
    if (!consumed.ok) return this.#drop(consumed.error, peer.id);
    wipeInitiator(initiator);
    peer.initiator = undefined; // its index stays taken: it is the session's now
    return [this.#session(peer, consumed.state, true, index, consumed.remoteIndex, source, message.length)];
  }

  #receiveCookieReply(reply: Uint8Array, now: Now): HandshakeAction[] {
    const peer = this.#byIndex.get(readIndex(reply, COOKIE_REPLY.receiver));
    if (peer === undefined) return this.#drop('unknown-index');
    // whitepaper §6.6: stored for the next message, nothing is sent now
    return peer.cookies.consumeReply(reply, now.mono) ? [] : this.#drop('unexpected-cookie', peer.id);
  }

  #session(
    peer: Peer,
    state: InitiatorState['state'],
    initiator: boolean,
    localIndex: number,
    remoteIndex: number,
    source: Uint8Array,
    received: number,
  ): SessionAction {
    const keys = beginSymmetricSession(state, initiator);
    const endpoint = Uint8Array.from(source);
    return { type: 'session', peer: peer.id, initiator, localIndex, remoteIndex, ...keys, endpoint, received };
  }

  #staticStatic(peer: Peer, local: KeyPair): Uint8Array | 'low-order' | 'unknown-peer' {
    // a peer with our own key would be ourselves
    if (keyName(peer.publicKey) === keyName(local.publicKey)) return 'unknown-peer';
    peer.staticStatic ??= this.#dh.sharedSecret(local.privateKey, peer.publicKey) ?? 'low-order';
    return peer.staticStatic;
  }

  #newEphemeral(): KeyPair {
    const privateKey = Uint8Array.from(this.#random(c.KEY_SIZE));
    return { privateKey, publicKey: this.#dh.publicKey(privateKey) };
  }

  /** Random, so that an observer learns nothing of how many sessions there are (gotatun 0.3.0). */
  #newIndex(peer: Peer): number {
    for (;;) {
      const index = readIndex(this.#random(4), 0);
      if (this.#byIndex.has(index)) continue;
      this.#byIndex.set(index, peer);
      peer.indices.add(index);
      return index;
    }
  }

  #freeIndex(peer: Peer, index: number): void {
    this.#byIndex.delete(index);
    peer.indices.delete(index);
  }

  #dropInitiator(peer: Peer): void {
    if (peer.initiator === undefined) return;
    wipeInitiator(peer.initiator);
    this.#freeIndex(peer, peer.initiator.localIndex);
    peer.initiator = undefined;
  }

  #drop(reason: DropReason, peer?: PeerId): HandshakeAction[] {
    this.drops.add(reason);
    return [peer === undefined ? { type: 'drop', reason } : { type: 'drop', reason, peer }];
  }
}

function wipeStaticStatic(peer: Peer): void {
  if (peer.staticStatic instanceof Uint8Array) peer.staticStatic.fill(0);
  peer.staticStatic = undefined;
}

/** Public keys only: a string cannot be wiped. */
function keyName(publicKey: Uint8Array): string {
  return String.fromCharCode(...publicKey);
}
