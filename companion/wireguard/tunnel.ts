/**
 * The transport half of the engine (whitepaper §5.4.6, §6): packets in, packets out, sessions, timers, cryptokey
 * routing and roaming, over linear memory. Knows no static key and no handshake: sessions are handed to it.
 *
 * `receive`, `route`, `ready` and `sealBatch` run per packet and allocate nothing. Time stands still between two calls
 * that carry `now`: begin each turn of the event loop with `advance(now)`.
 *
 * Longer than a file here should be: what a packet, a timer or a session changes is the same state of the same peer.
 */
import type { PeerId, SessionAction, TransportAction } from './actions.ts';
import type { Aead } from './aead.ts';
import type { Prefix } from './allowed-ips.ts';
import * as c from './constants.ts';
import { CryptokeyRouting } from './cryptokey-routing.ts';
import { DropCounters, dropCode } from './drops.ts';
import { IndexTable } from './index-table.ts';
import { innerLength } from './inner.ts';
import { KeyMemory, Keypair } from './keypair.ts';
import type { MemoryView } from './memory.ts';
import { TRANSPORT } from './messages.ts';
import { BATCH_CONFIRMED, BATCH_DATA, BATCH_RECEIVED, BATCH_ROAMED, TunnelPeerState } from './peer.ts';
import { pastLimit } from './replay.ts';
import { Sealer } from './sealer.ts';
import type { PeerStats, TunnelOptions, TunnelPeer, TunnelPeerChange } from './tunnel-types.ts';

const LENGTH = dropCode('length');
const TYPE = dropCode('type');
const UNKNOWN_INDEX = dropCode('unknown-index');
const EXPIRED = dropCode('expired');
const COUNTER_LIMIT = dropCode('counter-limit');
const REPLAYED = dropCode('replayed');
const TAG = dropCode('tag');
const INNER_SOURCE = dropCode('inner-source');

const EMPTY = new Uint8Array(0);

export class Tunnel {
  /** Whose packet the last `receive` or `takeDatagram` was about; -1: nobody's. */
  lastPeer: PeerId = -1;
  /** Of the last `sealBatch`: the size of each datagram but the last, and how many packets were sealed. */
  segmentSize = 0;
  sealedPackets = 0;
  /** When `advance` is due next; may be early, never late. Infinity: nothing is due. */
  deadline = Number.POSITIVE_INFINITY;
  readonly drops = new DropCounters();

  readonly #memory: MemoryView;
  readonly #aead: Aead;
  readonly #jitter: () => number;
  readonly #rekeyAfterTime: number;
  readonly #keys: KeyMemory;
  readonly #peers: (TunnelPeerState | undefined)[] = [];
  readonly #sessions = new IndexTable<Keypair>();
  readonly #routing: CryptokeyRouting;
  readonly #sealer: Sealer;
  readonly #endpoints: number[] = [];
  #now: number;
  #actions: TransportAction[] = [];
  #batch: TunnelPeerState[] = [];
  #listed: TunnelPeerState[] = [];

  constructor(options: TunnelOptions) {
    this.#memory = options.memory;
    this.#aead = options.aead;
    this.#now = options.now;
    this.#rekeyAfterTime = options.rekeyAfterTime ?? c.REKEY_AFTER_TIME;
    this.#keys = new KeyMemory(options.memory);
    this.#routing = new CryptokeyRouting(options.memory.view);
    this.#sealer = new Sealer(options.memory, options.aead, options.mtu);
    this.#jitter = () => {
      const [a, b] = options.random(2) as unknown as [number, number];
      return ((a << 8) | b) % c.REKEY_TIMEOUT_JITTER;
    };
  }

  setMtu(mtu: number): void {
    this.#sealer.mtu = mtu;
  }

  /** Own inner addresses (16 bytes each): a packet out of the tunnel that claims one as its source is dropped. */
  setAddresses(addresses: readonly Uint8Array[]): void {
    this.#routing.setOwnAddresses(addresses);
  }

  /** Throws RangeError on an id that is taken: a programmer error. Allowed IPs of others move to this peer. */
  addPeer(id: PeerId, options: TunnelPeer): void {
    if (this.#peers[id] !== undefined) throw new RangeError(`peer ${id} is there already`);
    while (this.#peers.length < id) this.#peers.push(undefined); // keeps the array dense
    const endpoint = this.#endpoints.pop() ?? this.#memory.reserve(c.ENDPOINT_SIZE);
    this.#peers[id] = new TunnelPeerState(id, Uint8Array.from(options.publicKey), endpoint, this.#jitter);
    this.updatePeer(id, options);
  }

  updatePeer(id: PeerId, change: TunnelPeerChange): void {
    const peer = this.#peers[id];
    if (peer === undefined) return;
    if (change.allowedIps !== undefined) this.#routing.allowedIps.removePeer(id);
    for (const prefix of change.allowedIps ?? []) this.#routing.allowedIps.insert(prefix, id);
    for (const prefix of change.addAllowedIps ?? []) this.#routing.allowedIps.insert(prefix, id);
    for (const prefix of change.removeAllowedIps ?? []) this.#routing.allowedIps.remove(prefix, id);
    if (change.endpoint !== undefined) {
      this.#memory.u8.set(change.endpoint, peer.endpoint);
      peer.hasEndpoint = true;
      if (peer.awaitsEndpoint) this.#initiate(peer, false);
    }
    if (change.persistentKeepalive !== undefined) {
      const before = peer.timers.persistentInterval;
      peer.timers.setPersistentInterval(change.persistentKeepalive * 1000, this.#now);
      // at once, so that a node behind NAT is reachable from the start
      if (before === 0 && change.persistentKeepalive > 0) this.#sendKeepalive(peer);
      this.#schedule(peer);
    }
  }

  removePeer(id: PeerId): void {
    const peer = this.#peers[id];
    if (peer === undefined) return;
    this.#deleteKeypairs(peer.keypairs.clear());
    this.#dropStaged(peer);
    this.#routing.allowedIps.removePeer(id);
    this.#memory.u8.fill(0, peer.endpoint, peer.endpoint + c.ENDPOINT_SIZE);
    this.#endpoints.push(peer.endpoint);
    this.#peers[id] = undefined;
    this.#batch = this.#batch.filter(p => p !== peer);
    this.#listed = this.#listed.filter(p => p !== peer);
  }

  allowedIps(id: PeerId): Prefix[] {
    return this.#routing.allowedIps.prefixesOf(id);
  }

  /** After a change of our private key: nothing more is sent on the present sessions, handshakes may start at once. */
  expireSessions(): void {
    for (const peer of this.#peers) {
      if (peer === undefined) continue;
      if (peer.keypairs.current !== undefined) peer.keypairs.current.sending = false;
      if (peer.keypairs.next !== undefined) peer.keypairs.next.sending = false;
      peer.timers.lastHandshakeSent = Number.NEGATIVE_INFINITY;
      if (peer.timers.persistentInterval > 0) this.#sendKeepalive(peer);
    }
  }

  /** Asks for a handshake now, unless there is a session: for a node that waits for others to connect to it. */
  connect(id: PeerId): void {
    const peer = this.#peers[id];
    if (peer !== undefined && !this.#canSend(peer)) this.#initiate(peer, false);
  }

  /**
   * One datagram of type 4: `length` bytes at `src`, from `source` (18 bytes in memory). Answers the length of the
   * inner packet, now at `dst` and trimmed to its own length, its sanity and cryptokey routing checked; 0 for a
   * keepalive; below zero a `dropCode`, already counted. `dst` needs `length` bytes, and dst - 64 to dst is clobbered;
   * the 48 bytes before `src` must exist.
   */
  receive(src: number, length: number, dst: number, source: number): number {
    this.lastPeer = -1;
    const result = this.#receive(src, length, dst, source);
    if (result < 0) this.drops.addCode(result);
    return result;
  }

  #receive(src: number, length: number, dst: number, source: number): number {
    const { view } = this.#memory;
    if (length < c.KEEPALIVE_SIZE) return LENGTH;
    if (view.getUint32(src, true) !== c.MESSAGE_TRANSPORT) return TYPE;
    const keypair = this.#sessions.get(view.getUint32(src + TRANSPORT.receiver, true));
    if (keypair === undefined) return UNKNOWN_INDEX;
    const lo = view.getUint32(src + TRANSPORT.counter, true);
    const hi = view.getUint32(src + TRANSPORT.counter + 4, true);
    if (pastLimit(lo, hi)) return COUNTER_LIMIT;
    if (this.#now - keypair.created >= c.REJECT_AFTER_TIME) return EXPIRED;
    if (!keypair.replay.isFresh(lo, hi)) return REPLAYED; // saves the decryption; the window moves below only
    const sealed = length - c.TRANSPORT_HEADER_SIZE;
    if (!this.#aead.open(dst, src + TRANSPORT.packet, sealed, keypair.receiveKey, lo, hi)) return TAG;
    keypair.replay.accept(lo, hi);

    // from here on the datagram is the peer's, whatever is inside
    const { peer } = keypair;
    this.lastPeer = peer.id;
    peer.rxBytes += length;
    if (peer.batch === 0) this.#batch.push(peer);
    peer.batch |= BATCH_RECEIVED;
    if (peer.keypairs.next === keypair) this.#confirm(peer);
    if (!this.#sameEndpoint(peer, source)) this.#roam(peer, source);

    const plain = sealed - c.TAG_SIZE;
    if (plain === 0) return 0;
    peer.batch |= BATCH_DATA;
    const inner = innerLength(view, dst, plain);
    if (inner < 0) return inner;
    const owner = this.#routing.sourceOwner(dst);
    if (owner < -1) return owner;
    return owner === peer.id ? inner : INNER_SOURCE;
  }

  #sameEndpoint(peer: TunnelPeerState, source: number): boolean {
    const { view } = this.#memory;
    const endpoint = peer.endpoint;
    return (
      view.getUint32(endpoint) === view.getUint32(source) &&
      view.getUint32(endpoint + 4) === view.getUint32(source + 4) &&
      view.getUint32(endpoint + 8) === view.getUint32(source + 8) &&
      view.getUint32(endpoint + 12) === view.getUint32(source + 12) &&
      view.getUint16(endpoint + 16) === view.getUint16(source + 16)
    );
  }

  #roam(peer: TunnelPeerState, source: number): void {
    this.#memory.u8.copyWithin(peer.endpoint, source, source + c.ENDPOINT_SIZE);
    peer.hasEndpoint = true;
    peer.batch |= BATCH_ROAMED;
  }

  /** The initiator has shown that it has the session of our response: it becomes current. */
  #confirm(peer: TunnelPeerState): void {
    const out = peer.keypairs.confirm();
    if (out !== undefined) this.#deleteKeypair(out);
    peer.batch |= BATCH_CONFIRMED;
  }

  /** Once after the datagrams that were read together: timers, rekeying, roaming reports. */
  endBatch(now: number): void {
    this.#now = now;
    for (const peer of this.#batch) {
      const { batch, timers } = peer;
      peer.batch = 0;
      timers.anyAuthenticatedPacketTraversal(now);
      timers.anyAuthenticatedPacketReceived();
      if (batch & BATCH_CONFIRMED) {
        timers.handshakeComplete(now);
        this.#actions.push({ type: 'established', peer: peer.id, initiator: false });
        this.#flush(peer);
      }
      if (batch & BATCH_DATA) timers.dataReceived(now);
      if (batch & BATCH_ROAMED) this.#reportRoamed(peer);
      const { current } = peer.keypairs;
      const lastMinute = current?.initiator && now - current.created >= c.REKEY_AFTER_TIME_RECEIVING;
      if (lastMinute && !timers.sentLastMinuteHandshake) {
        timers.sentLastMinuteHandshake = true;
        this.#initiate(peer, false);
      }
      this.#schedule(peer);
    }
    this.#batch.length = 0;
  }

  /** The peer for the inner destination at `packet` (a whole IP header), or -1. */
  route(packet: number): PeerId {
    return this.#routing.destinationPeer(packet);
  }

  /** Whom an inner address (16 bytes) belongs to, or -1: for whoever wants to refuse a connection early. */
  routeAddress(address: Uint8Array): PeerId {
    const view = new DataView(address.buffer, address.byteOffset, 16);
    return this.#routing.allowedIps.lookup(view.getInt32(0), view.getInt32(4), view.getInt32(8), view.getInt32(12));
  }

  /** Whether `sealBatch` may be used; false also while staged packets wait, so that `stage` keeps the order. */
  ready(id: PeerId): boolean {
    const peer = this.#peers[id];
    return peer !== undefined && peer.staged.length === 0 && this.#canSend(peer);
  }

  /**
   * Seals packets for one GSO send. Packet i lies at `slots + i * stride`, `lengths` is u32[n]; each needs 64 zero
   * bytes before it, and up to 15 bytes after it are zeroed as padding. Datagrams go to `out` one after the other (out -
   * 64 to out is clobbered). Stops after the longest run of equal datagrams with a last one that may be shorter:
   * `sealedPackets` says how many of the n are done, `segmentSize` how long each but the last is.
   * Answers the bytes in all; 0 when the peer is not `ready`.
   */
  sealBatch(id: PeerId, slots: number, stride: number, lengths: number, n: number, out: number): number {
    this.sealedPackets = 0;
    this.segmentSize = 0;
    const peer = this.#peers[id];
    const keypair = peer?.keypairs.current;
    if (peer === undefined || keypair === undefined || n === 0 || !keypair.canSend(this.#now)) return 0;
    const total = this.#sealer.batch(keypair, slots, stride, lengths, n, out);
    this.sealedPackets = this.#sealer.sealedPackets;
    this.segmentSize = this.#sealer.segmentSize;
    peer.txBytes += total;
    peer.timers.anyAuthenticatedPacketTraversal(this.#now);
    peer.timers.anyAuthenticatedPacketSent();
    peer.timers.dataSent(this.#now);
    this.#keepKeyFreshSending(peer, keypair);
    this.#schedule(peer);
    return total;
  }

  /** Copies a packet that finds no session; at most 128 per peer, then the oldest goes. Asks for a handshake. */
  stage(id: PeerId, packet: number, length: number): void {
    const peer = this.#peers[id];
    if (peer === undefined) return;
    if (peer.stage(this.#memory.u8.slice(packet, packet + length))) this.drops.add('staged-overflow');
    this.#flush(peer);
  }

  /** A session from the Handshaker. Zeroes the keys in `action`. */
  session(action: SessionAction, now: number): void {
    this.#now = now;
    const peer = this.#peers[action.peer];
    if (peer === undefined) {
      action.sendKey.fill(0);
      action.receiveKey.fill(0);
      this.#actions.push({ type: 'release', localIndex: action.localIndex });
      return;
    }
    const keypair = new Keypair(peer, action, this.#keys.take(action.sendKey, action.receiveKey), now);
    this.#sessions.set(keypair.localIndex, keypair);
    this.#deleteKeypairs(peer.keypairs.install(keypair));
    this.#adoptEndpoint(peer, action.endpoint);

    const { timers } = peer;
    peer.rxBytes += action.received;
    timers.anyAuthenticatedPacketReceived();
    timers.anyAuthenticatedPacketTraversal(now);
    timers.sessionDerived(now);
    if (action.initiator) {
      timers.handshakeComplete(now);
      this.#actions.push({ type: 'established', peer: peer.id, initiator: true });
      this.#sendKeepalive(peer); // or what is staged: the responder waits for a packet to confirm the session
    } else {
      timers.lastHandshakeSent = now; // our response goes out next
    }
    this.#schedule(peer);
  }

  /** A handshake datagram of `length` bytes just left for the peer. */
  handshakeSent(id: PeerId, length: number): void {
    const peer = this.#peers[id];
    if (peer === undefined) return;
    peer.txBytes += length;
    peer.timers.anyAuthenticatedPacketTraversal(this.#now);
    peer.timers.anyAuthenticatedPacketSent();
    this.#schedule(peer);
  }

  /** Lets every timer run out that is due. Cheap before `deadline`. */
  advance(now: number): void {
    this.#now = now;
    if (now < this.deadline) return;
    this.deadline = Number.POSITIVE_INFINITY;
    for (const peer of this.#peers) {
      if (peer === undefined) continue;
      for (let name = peer.timers.due(now); name !== undefined; name = peer.timers.due(now)) {
        switch (name) {
          case 'retransmit':
            this.#retransmit(peer);
            break;
          case 'newHandshake':
            this.#initiate(peer, false);
            break;
          case 'keepalive':
          case 'persistent':
            this.#sendKeepalive(peer);
            break;
          case 'wipe':
            this.#wipe(peer);
            break;
        }
      }
      this.#schedule(peer);
    }
  }

  /** A handshake that happens to be under way, and what waits for it, is left alone until the next time. */
  #wipe(peer: TunnelPeerState): void {
    this.#deleteKeypairs(peer.keypairs.clear());
    if (peer.timers.handshaking) {
      peer.timers.sessionDerived(this.#now);
      return;
    }
    this.#dropStaged(peer);
    this.#actions.push({ type: 'forget', peer: peer.id });
  }

  /**
   * Writes the next datagram that is due by itself (keepalive, staged packet) at `out` (out - 64 to out is clobbered)
   * for `lastPeer`; answers its length, 0: none. Drain it after each endBatch, advance, session, stage and updatePeer.
   */
  takeDatagram(out: number): number {
    for (let peer = this.#listed[0]; peer !== undefined; peer = this.#listed[0]) {
      const keypair = peer.keypairs.current;
      if (peer.staged.length === 0 || keypair === undefined || !keypair.canSend(this.#now)) {
        this.#listed.shift();
        peer.listed = false;
        if (peer.staged.length > 0) this.#initiate(peer, false);
        continue;
      }
      const packet = peer.staged.shift()!;
      const total = this.#sealer.one(keypair, packet, out);
      this.lastPeer = peer.id;
      peer.txBytes += total;
      peer.timers.anyAuthenticatedPacketTraversal(this.#now);
      if (packet.length > 0) {
        peer.timers.anyAuthenticatedPacketSent();
        peer.timers.dataSent(this.#now);
      } else peer.timers.keepaliveSent(this.#now);
      this.#keepKeyFreshSending(peer, keypair);
      this.#schedule(peer);
      return total;
    }
    return 0;
  }

  /** What has come up since the last call; drain it after every call into the tunnel. */
  actions(): TransportAction[] {
    if (this.#actions.length === 0) return []; // not the live one, which will grow
    const actions = this.#actions;
    this.#actions = [];
    return actions;
  }

  /** Offset of 18 bytes, or 0 while the peer has none. Valid until the peer is removed. */
  endpoint(id: PeerId): number {
    const peer = this.#peers[id];
    return peer?.hasEndpoint ? peer.endpoint : 0;
  }

  stats(id: PeerId): PeerStats | undefined {
    const peer = this.#peers[id];
    if (peer === undefined) return undefined;
    return {
      rxBytes: peer.rxBytes,
      txBytes: peer.txBytes,
      lastHandshake: peer.timers.lastHandshakeComplete,
      persistentKeepalive: peer.timers.persistentInterval / 1000,
      hasSession: this.#canSend(peer),
    };
  }

  /** The session that packets are sent on: for diagnosis, and for tests of what happens after 2^60 packets. */
  currentKeypair(id: PeerId): Keypair | undefined {
    return this.#peers[id]?.keypairs.current;
  }

  #canSend(peer: TunnelPeerState): boolean {
    const { current } = peer.keypairs;
    return current?.canSend(this.#now) ?? false;
  }

  /** An empty packet behind nothing else: if data is staged, that serves as well. */
  #sendKeepalive(peer: TunnelPeerState): void {
    if (peer.staged.length === 0) peer.stage(EMPTY);
    this.#flush(peer);
  }

  /** Staged packets go to `takeDatagram` if there is a session, else to the handshake that will make one. */
  #flush(peer: TunnelPeerState): void {
    if (peer.staged.length === 0) return;
    if (!this.#canSend(peer)) {
      this.#initiate(peer, false);
      return;
    }
    if (peer.listed) return;
    peer.listed = true;
    this.#listed.push(peer);
  }

  #keepKeyFreshSending(peer: TunnelPeerState, keypair: Keypair): void {
    if (keypair.wantsRekeySending(this.#now, this.#rekeyAfterTime)) this.#initiate(peer, false);
  }

  /** Whitepaper §6.4: never two within REKEY_TIMEOUT, whoever asks. A fresh reason starts a fresh count of attempts. */
  #initiate(peer: TunnelPeerState, isRetry: boolean): void {
    const { timers } = peer;
    if (!isRetry) timers.attempts = 0;
    if (this.#now - timers.lastHandshakeSent < c.REKEY_TIMEOUT) return;
    peer.awaitsEndpoint = !peer.hasEndpoint;
    if (!peer.hasEndpoint) return;
    timers.handshakeInitiated(this.#now);
    timers.unanswered++;
    this.#actions.push({ type: 'initiate', peer: peer.id });
    this.#schedule(peer);
  }

  #retransmit(peer: TunnelPeerState): void {
    const { timers } = peer;
    const gaveUp = timers.attempts > c.MAX_TIMER_HANDSHAKES;
    this.#actions.push({ type: 'failing', peer: peer.id, attempts: timers.unanswered, gaveUp });
    if (gaveUp) {
      timers.gaveUp(this.#now);
      this.#dropStaged(peer);
      return;
    }
    timers.attempts++;
    this.#initiate(peer, true);
  }

  #adoptEndpoint(peer: TunnelPeerState, endpoint: Uint8Array): void {
    const { u8 } = this.#memory;
    const same = peer.hasEndpoint && endpoint.every((byte, i) => byte === u8[peer.endpoint + i]);
    if (same) return;
    u8.set(endpoint, peer.endpoint);
    peer.hasEndpoint = true;
    peer.awaitsEndpoint = false;
    this.#reportRoamed(peer);
  }

  #reportRoamed(peer: TunnelPeerState): void {
    const endpoint = this.#memory.u8.slice(peer.endpoint, peer.endpoint + c.ENDPOINT_SIZE);
    this.#actions.push({ type: 'roamed', peer: peer.id, endpoint });
  }

  #dropStaged(peer: TunnelPeerState): void {
    const data = peer.staged.filter(packet => packet.length > 0).length;
    if (data > 0) this.drops.add('staged-expired', data);
    peer.staged = [];
  }

  #deleteKeypairs(keypairs: readonly Keypair[]): void {
    for (const keypair of keypairs) this.#deleteKeypair(keypair);
  }

  #deleteKeypair(keypair: Keypair): void {
    this.#sessions.delete(keypair.localIndex);
    this.#keys.wipe(keypair.sendKey);
    this.#actions.push({ type: 'release', localIndex: keypair.localIndex });
  }

  #schedule(peer: TunnelPeerState): void {
    this.deadline = Math.min(this.deadline, peer.timers.next);
  }
}
