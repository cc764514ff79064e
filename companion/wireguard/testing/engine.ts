/**
 * Handshaker and Tunnel joined on one thread, the way an I/O shell joins them, minus the I/O: datagrams go out through
 * a function, time comes in as an argument. Used by the scenarios (virtual clock) and by the interop test (real one).
 */
import type { HandshakeAction, Now, PeerId, TransportAction } from '../actions.ts';
import { NobleAead } from '../aead.ts';
import { ENDPOINT_SIZE } from '../constants.ts';
import { Handshaker, type HandshakerOptions } from '../handshaker.ts';
import { createMemory, type MemoryView } from '../memory.ts';
import { Tunnel } from '../tunnel.ts';

export interface EngineOptions extends HandshakerOptions {
  readonly now: number;
  readonly mtu?: number;
  readonly rekeyAfterTime?: number;
  readonly send: (datagram: Uint8Array, to: Uint8Array) => void;
  /** How an action gets from one half to the other: at once, unless a test puts two threads in between. */
  readonly cross?: (run: (now: Now) => void, now: Now) => void;
}

const SLOT = 2048;

export class Engine {
  readonly memory: MemoryView = createMemory(new ArrayBuffer(1 << 20));
  readonly handshaker: Handshaker;
  readonly tunnel: Tunnel;
  /** Inner packets that came out, with their peer. */
  readonly delivered: { peer: PeerId; packet: Uint8Array }[] = [];
  readonly events: (HandshakeAction | TransportAction)[] = [];
  stamp: Uint8Array | undefined;
  readonly #send: EngineOptions['send'];
  readonly #deferred: boolean;
  readonly #cross: NonNullable<EngineOptions['cross']>;
  readonly #src = this.memory.reserve(66_000) + 64;
  readonly #dst = this.memory.reserve(66_000) + 64;
  readonly #out = this.memory.reserve(66_000) + 64;
  readonly #slots = this.memory.reserve(64 * SLOT) + 64;
  readonly #lengths = this.memory.reserve(256);
  readonly #source = this.memory.reserve(ENDPOINT_SIZE);

  constructor(options: EngineOptions) {
    this.#send = options.send;
    this.#deferred = options.cross !== undefined;
    this.#cross = options.cross ?? ((run, now) => run(now));
    this.handshaker = new Handshaker(options);
    this.tunnel = new Tunnel({
      memory: this.memory,
      aead: new NobleAead(this.memory),
      random: options.random,
      now: options.now,
      mtu: options.mtu ?? 1420,
      ...(options.rekeyAfterTime === undefined ? {} : { rekeyAfterTime: options.rekeyAfterTime }),
    });
  }

  /** A datagram from the network. Answers what `Tunnel.receive` did, for type 4. */
  receive(datagram: Uint8Array, source: Uint8Array, now: Now): number | undefined {
    this.tunnel.advance(now.mono);
    if (datagram[0] !== 4) {
      const copy = Uint8Array.from(datagram);
      this.#cross(later => this.#handshakeActions(this.handshaker.receive(copy, source, later), later), now);
      this.pump(now);
      return undefined;
    }
    const { u8 } = this.memory;
    u8.set(datagram, this.#src);
    u8.set(source, this.#source);
    const result = this.tunnel.receive(this.#src, datagram.length, this.#dst, this.#source);
    if (result > 0) {
      this.delivered.push({ peer: this.tunnel.lastPeer, packet: u8.slice(this.#dst, this.#dst + result) });
    }
    this.tunnel.endBatch(now.mono);
    this.pump(now);
    return result;
  }

  /** An inner packet, or several of them, from the stack. Answers whether a peer was found for the first. */
  sendPackets(packets: readonly Uint8Array[], now: Now): boolean {
    this.tunnel.advance(now.mono);
    const { u8, u32 } = this.memory;
    u8.set(packets[0]!, this.#slots);
    const peer = this.tunnel.route(this.#slots);
    if (peer < 0) return false;
    if (!this.tunnel.ready(peer)) {
      for (const packet of packets) {
        u8.set(packet, this.#slots);
        this.tunnel.stage(peer, this.#slots, packet.length);
      }
    } else {
      for (let done = 0; done < packets.length; done += this.tunnel.sealedPackets) {
        const run = packets.slice(done, done + 31);
        run.forEach((packet, i) => {
          u8.fill(0, this.#slots + i * SLOT - 64, this.#slots + i * SLOT);
          u8.set(packet, this.#slots + i * SLOT);
          u32[(this.#lengths >>> 2) + i] = packet.length;
        });
        const bytes = this.tunnel.sealBatch(peer, this.#slots, SLOT, this.#lengths, run.length, this.#out);
        this.#split(bytes, peer);
      }
    }
    this.pump(now);
    return true;
  }

  #split(bytes: number, peer: PeerId): void {
    const to = this.#endpoint(peer);
    for (let at = 0; at < bytes; at += this.tunnel.segmentSize) {
      const end = Math.min(bytes, at + this.tunnel.segmentSize);
      if (to !== undefined) this.#send(this.memory.u8.slice(this.#out + at, this.#out + end), to);
    }
  }

  advance(now: Now): void {
    this.tunnel.advance(now.mono);
    this.pump(now);
  }

  /** Carries actions and datagrams that are due until there are none. Call it after touching the tunnel directly. */
  pump(now: Now): void {
    for (;;) {
      const actions = this.tunnel.actions();
      for (const action of actions) this.#transportAction(action, now);
      const length = this.tunnel.takeDatagram(this.#out);
      if (length > 0) {
        const to = this.#endpoint(this.tunnel.lastPeer);
        if (to !== undefined) this.#send(this.memory.u8.slice(this.#out, this.#out + length), to);
      } else if (actions.length === 0) return;
    }
  }

  #transportAction(action: TransportAction, now: Now): void {
    this.events.push(action);
    if (action.type === 'initiate') {
      this.#cross(later => this.#handshakeActions(this.handshaker.initiate(action.peer, later), later), now);
    } else if (action.type === 'release') this.#cross(() => this.handshaker.release(action.localIndex), now);
    else if (action.type === 'forget') this.#cross(() => this.handshaker.forget(action.peer), now);
  }

  /** From the handshake half to the transport half, all in one message: their order counts. */
  #handshakeActions(actions: readonly HandshakeAction[], now: Now): void {
    this.events.push(...actions);
    for (const action of actions) if (action.type === 'stamp') this.stamp = action.stamp;
    this.#cross(later => {
      this.tunnel.advance(later.mono);
      for (const action of actions) {
        if (action.type === 'session') this.tunnel.session(action, later.mono);
        if (action.type !== 'send') continue;
        const to = action.to ?? this.#endpoint(action.peer!);
        if (to === undefined) continue;
        this.#send(action.datagram, to);
        if (action.peer !== undefined) this.tunnel.handshakeSent(action.peer, action.datagram.length);
      }
      if (this.#deferred) this.pump(later);
    }, now);
  }

  #endpoint(peer: PeerId): Uint8Array | undefined {
    const ptr = this.tunnel.endpoint(peer);
    return ptr === 0 ? undefined : this.memory.u8.slice(ptr, ptr + ENDPOINT_SIZE);
  }
}
