import type { Netstack } from '../netstack/index.ts';
import type { PeerId, TransportAction, Tunnel } from '../wireguard/index.ts';
import type { Counters } from './counters.ts';
import type { LinearMemory, Pointer } from './memory.ts';
import type { ReceivedHandshake } from './messages.ts';
import { MAX_SEGMENTS, MAX_SEND_BYTES, type SendPath } from './outer-send.ts';
import type { OuterSocket } from './outer-socket.ts';
import type { Reactor } from './reactor.ts';

// Specification (whitepaper §5.4): first byte of a message, and the sizes of handshake messages by it.
const TYPE_TRANSPORT = 4;
const HANDSHAKE_BYTES = [0, 148, 92, 64];
/** Transport header and tag around a packet; its padding never passes the MTU. */
const OVERHEAD = 32;

// Implementation.
/** Batches of packets that are sent in one turn, before sockets are looked at again. */
const SENDS_PER_TURN = 8;
/** Times in one turn that the relays may answer what was sent with more to send. */
const ROUNDS_PER_TURN = 16;
/** Bytes before each slot and before the datagrams: the AEAD's key block. */
const HEADROOM = 64;
/** How long to wait for a full socket when the stack would like to send at once; its writability wakes us earlier. */
const BLOCKED_WAIT_US = 10_000;

/** Who is told of what packets brought. The relays, in the product. */
export interface PumpClient {
  onStackEvent(connection: number, bits: number): void;
  /** `stack.udp` holds a datagram, until the next packet. */
  onUdp(): void;
  /** `stack.udp` holds an ICMP error about a datagram of ours, until the next packet. */
  onUdpError(): void;
  /** A batch of packets was taken in. */
  afterInput(): void;
  /** The stack was drained: a queue that was full may have room. */
  afterPoll(): void;
}

export interface PumpOptions {
  stack: Netstack;
  tunnel: Tunnel;
  socket: OuterSocket;
  reactor: Reactor & { pumpWanted: boolean };
  memory: LinearMemory;
  counters: Counters;
  mtu: number;
  client: PumpClient;
  /** Handshake messages of a batch, for the other thread. False: it has too many already, they are dropped. */
  onHandshakes(received: ReceivedHandshake[]): boolean;
  onActions(actions: TransportAction[]): void;
  /** Each inner packet, both ways, when someone wants to look. */
  onPacket: ((packet: Pointer, length: number) => void) | undefined;
}

/**
 * Moves packets: datagrams from the socket through the tunnel into the stack, and packets from the stack through the tunnel into the
 * socket. It holds no queue of its own beyond the batch at hand: what the socket does not take stays in the stack as bytes of
 * streams, so that back pressure reaches the sender.
 */
export class Pump {
  readonly #o: PumpOptions;
  readonly #plain: Pointer;
  readonly #slots: Pointer;
  readonly #stride: number;
  /** Packets taken from the stack at a time: as many full ones as one segmented send carries. */
  readonly #batch: number;
  readonly #lengths: Pointer;
  readonly #out: Pointer;
  readonly #noRoute: number;
  readonly #junk: number;
  readonly #paths: SendPath[] = [];
  #handshakes: ReceivedHandshake[] = [];
  // The batch of packets at hand: slots next..count-1 still have to leave.
  #next = 0;
  #count = 0;

  constructor(o: PumpOptions) {
    this.#o = o;
    const { memory } = o;
    this.#plain = memory.reserve(HEADROOM + 65_536) + HEADROOM;
    // Behind a packet in its slot come up to 15 bytes of padding.
    this.#stride = (HEADROOM + o.mtu + 16 + 63) & ~63;
    this.#batch = Math.max(1, Math.min(MAX_SEGMENTS, Math.floor(MAX_SEND_BYTES / (o.mtu + OVERHEAD))));
    this.#slots = memory.reserve(this.#batch * this.#stride) + HEADROOM;
    this.#lengths = memory.reserve(4 * this.#batch);
    this.#out = memory.reserve(HEADROOM + 65_536 + OVERHEAD) + HEADROOM;
    this.#noRoute = o.counters.slot('tunnel_drop_no_route');
    this.#junk = o.counters.slot('outer_drop_malformed');
  }

  /**
   * At the start of each turn, before anything else is done in it. Both engines know the time only by being told: a packet that ends a
   * long silence must not be taken for one of the time when the silence began, or its handshake is timed out when it is sent.
   */
  wake(now: number): void {
    this.#o.stack.setNow(now);
    this.#o.tunnel.advance(now / 1000);
  }

  /** Takes one batch from a readable socket. */
  receive(fd: number): void {
    const { socket, tunnel, reactor, client } = this.#o;
    const { receiver } = socket;
    const messages = socket.receive(fd);
    for (let i = 0; i < messages; i++) {
      const at = receiver.buffer(i);
      const length = receiver.length(i);
      const segment = receiver.segment(i);
      const source = receiver.source(i);
      for (let offset = 0; offset < length; offset += segment)
        this.#datagram(at + offset, Math.min(segment, length - offset), source);
    }
    if (messages === 0) return;
    if (this.#handshakes.length > 0) this.#passHandshakes();
    this.#drainEvents();
    client.afterInput();
    tunnel.endBatch(reactor.now / 1000);
    this.settle();
    reactor.pump();
  }

  /**
   * Runs what is due and sends what may be sent, within bounds.
   * @returns µs: when to run again at the latest; not after `now`: at once, after a look at the sockets.
   */
  run(): number {
    const { stack, tunnel, socket, reactor, client } = this.#o;
    const now = reactor.now;
    this.settle();
    stack.advance();
    let sends = 0;
    let more = true;
    for (let round = 0; more && round < ROUNDS_PER_TURN; round++) {
      reactor.pumpWanted = false;
      this.#drainEvents();
      const before = sends;
      sends = this.#send(sends);
      for (let kind = stack.nextLocal(); kind !== 0; kind = stack.nextLocal()) this.#passUdp(kind);
      client.afterPoll();
      // A packet to an address of our own is delivered inside poll(): it may leave events where nothing was sent.
      const delivered = this.#drainEvents();
      more = (sends > before || delivered || reactor.pumpWanted) && sends < SENDS_PER_TURN && !socket.blocked;
    }
    this.settle();
    const due = stack.advance();
    // What a timer just ended must not wait for the next packet to be told.
    if (this.#drainEvents()) more = true;
    if (socket.blocked) return Math.min(tunnel.deadline * 1000, now + BLOCKED_WAIT_US);
    return more ? now : Math.min(tunnel.deadline * 1000, due);
  }

  /** Carries out what the tunnel asks for by itself. After every call into it that may change its mind. */
  settle(): void {
    const { tunnel, socket, onActions } = this.#o;
    const actions = tunnel.actions();
    if (actions.length > 0) {
      for (const action of actions) if (action.type === 'roamed') this.forgetPath(action.peer);
      onActions(actions);
    }
    while (!socket.blocked) {
      const bytes = tunnel.takeDatagram(this.#out);
      if (bytes === 0) return;
      const endpoint = tunnel.endpoint(tunnel.lastPeer);
      if (endpoint !== 0) socket.send(endpoint, this.#out, bytes, bytes, this.#path(tunnel.lastPeer));
    }
  }

  /** The peer has another endpoint: what was learned about the way to the old one is void. */
  forgetPath(peer: PeerId): void {
    this.#paths[peer] = { gsoRefusedUntil: 0 };
  }

  #datagram(at: Pointer, size: number, source: Pointer): void {
    const { memory, tunnel, stack, onPacket } = this.#o;
    const type = size < 4 ? 0 : memory.view.getUint32(at, true);
    if (type === TYPE_TRANSPORT) {
      const length = tunnel.receive(at, size, this.#plain, source);
      if (length <= 0) return;
      if (onPacket !== undefined) onPacket(this.#plain, length);
      const kind = stack.input(this.#plain, length);
      if (kind !== 0) this.#passUdp(kind);
    } else if (HANDSHAKE_BYTES[type] === size && type !== 0) {
      this.#handshakes.push({ datagram: memory.u8.slice(at, at + size), source: memory.u8.slice(source, source + 18) });
    } else {
      this.#o.counters.add(this.#junk);
    }
  }

  #passUdp(kind: number): void {
    if (kind === 1) this.#o.client.onUdp();
    else this.#o.client.onUdpError();
  }

  #passHandshakes(): void {
    const received = this.#handshakes;
    this.#handshakes = [];
    if (!this.#o.onHandshakes(received)) this.#o.counters.count('handshake_drop_queue_full', received.length);
  }

  /** -> whether there were any. */
  #drainEvents(): boolean {
    const { stack, client } = this.#o;
    let connection = stack.nextEvent();
    const any = connection !== 0;
    for (; connection !== 0; connection = stack.nextEvent()) client.onStackEvent(connection, stack.eventBits);
    return any;
  }

  /** Polls and sends until there is nothing, the socket is full or the turn's share is used. -> `sends` + batches sent. */
  #send(sends: number): number {
    const { stack, socket, onPacket } = this.#o;
    while (sends < SENDS_PER_TURN && !socket.blocked) {
      if (this.#next === this.#count) {
        this.#next = 0;
        this.#count = stack.poll(this.#slots, this.#stride, this.#batch, this.#lengths);
        if (this.#count === 0) break;
        if (onPacket !== undefined)
          for (let i = 0; i < this.#count; i++) onPacket(this.#slot(i), this.#o.memory.u32[(this.#lengths >>> 2) + i]!);
      }
      this.#sendSlots();
      sends++;
    }
    return sends;
  }

  /** Sends the batch at hand, run by run of one peer, as far as the socket takes it. */
  #sendSlots(): void {
    const { tunnel, socket, counters } = this.#o;
    while (this.#next < this.#count && !socket.blocked) {
      const peer = tunnel.route(this.#slot(this.#next));
      let end = this.#next + 1;
      while (end < this.#count && tunnel.route(this.#slot(end)) === peer) end++;
      if (peer < 0) {
        counters.add(this.#noRoute, end - this.#next);
        this.#next = end;
      } else this.#sendRun(peer, end);
    }
  }

  /** Sends slots next..end-1, all for `peer`, as far as the socket takes them. */
  #sendRun(peer: PeerId, end: number): void {
    const { tunnel, socket, memory } = this.#o;
    while (this.#next < end && !socket.blocked) {
      const slot = this.#slot(this.#next);
      const lengths = this.#lengths + 4 * this.#next;
      const bytes = tunnel.ready(peer)
        ? tunnel.sealBatch(peer, slot, this.#stride, lengths, end - this.#next, this.#out)
        : 0;
      if (bytes === 0) {
        // No session, or one that just ended: wait for the handshake.
        for (; this.#next < end; this.#next++)
          tunnel.stage(peer, this.#slot(this.#next), memory.u32[(this.#lengths >>> 2) + this.#next]!);
        return;
      }
      this.#next += tunnel.sealedPackets;
      const endpoint = tunnel.endpoint(peer);
      if (endpoint !== 0) socket.send(endpoint, this.#out, bytes, tunnel.segmentSize, this.#path(peer));
    }
  }

  #slot(i: number): Pointer {
    return this.#slots + i * this.#stride;
  }

  #path(peer: PeerId): SendPath {
    const known = this.#paths[peer];
    if (known !== undefined) return known;
    const path = { gsoRefusedUntil: 0 };
    this.#paths[peer] = path;
    return path;
  }
}
