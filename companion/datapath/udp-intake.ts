import {
  CMSGHDR_BYTES,
  EPOLLET,
  EPOLLIN,
  IOVEC_BYTES,
  IPPROTO_IPV6,
  MMSGHDR_BYTES,
  SOCKADDR_IN6_BYTES,
} from './constants.ts';
import { EAGAIN, EINTR } from './errno.ts';
import { type Pointer, writeU64 } from './memory.ts';
import type { RelayIo, Resumable } from './relay-io.ts';
import { ENDPOINT_BYTES, readSocketAddress } from './socket-address.ts';

// Specification: ipv6(7), struct in6_pktinfo.
export const IPV6_RECVPKTINFO = 49;
export const IPV6_PKTINFO = 50;
export const IN6_PKTINFO_BYTES = 20;

// Implementation

const BATCH = 32;
/** Batches of one socket before the others have their turn. */
const BATCHES_PER_TURN = 4;
/** Over the greatest UDP payload, 65,507 bytes. */
const PAYLOAD_BYTES = 65_536;
const CONTROL_BYTES = 64;

/** A UDP socket's owner. */
export interface DatagramReader {
  /** Non-blocking. */
  readonly fd: number;
  /** It has been taken off by `unwatch`. */
  readonly closed: boolean;
  /**
   * One datagram, 0..65,507 bytes at `payload`, from the endpoint (18 bytes) at `source`. `local`: 20 bytes of struct in6_pktinfo with the
   * address it was sent to, 0 if the socket does not ask for it. False: it cannot be passed on before the stack was polled; it comes again.
   */
  onDatagram(payload: Pointer, length: number, source: Pointer, local: Pointer): boolean;
  /** `errno` of a receive, such as ECONNREFUSED by ICMP. The reader may close itself. */
  onReceiveError(errno: number): void;
}

/**
 * Receives for all UDP sockets with one set of buffers: 32 datagrams by one recvmmsg. While the stack's queue is full, nothing is read:
 * datagrams wait in the kernel, and are dropped there when that queue is full too.
 */
export class UdpIntake implements Resumable {
  readonly #io: RelayIo;
  readonly #messages: Pointer;
  readonly #names: Pointer;
  readonly #controls: Pointer;
  readonly #payloads: Pointer;
  readonly #source: Pointer;
  /** Messages whose lengths the last call has changed. */
  #used = BATCH;
  /** A batch that the stack had no room for: of `#holder`, from `#heldNext` on. */
  #holder: DatagramReader | undefined;
  #heldNext = 0;
  #heldCount = 0;
  /** Readers that may have more to read. */
  #waiting = new Set<DatagramReader>();

  constructor(io: RelayIo) {
    this.#io = io;
    const { memory } = io;
    this.#messages = memory.reserve(BATCH * MMSGHDR_BYTES);
    const iovecs = memory.reserve(BATCH * IOVEC_BYTES);
    this.#names = memory.reserve(BATCH * SOCKADDR_IN6_BYTES);
    this.#controls = memory.reserve(BATCH * CONTROL_BYTES);
    this.#payloads = memory.reserve(BATCH * PAYLOAD_BYTES);
    this.#source = memory.reserve(ENDPOINT_BYTES);
    for (let i = 0; i < BATCH; i++) {
      const message = this.#messages + i * MMSGHDR_BYTES;
      const iovec = iovecs + i * IOVEC_BYTES;
      writeU64(memory, iovec, memory.base + this.#payloads + i * PAYLOAD_BYTES);
      writeU64(memory, iovec + 8, PAYLOAD_BYTES);
      writeU64(memory, message, memory.base + this.#names + i * SOCKADDR_IN6_BYTES);
      writeU64(memory, message + 16, memory.base + iovec);
      writeU64(memory, message + 24, 1);
      writeU64(memory, message + 32, memory.base + this.#controls + i * CONTROL_BYTES);
    }
  }

  /** Starts reading for `reader`. */
  watch(reader: DatagramReader): void {
    this.#io.ctx.reactor.add(reader.fd, EPOLLIN | EPOLLET, () => this.#drain(reader));
  }

  /** Before the reader closes its socket: it is told of nothing any more. */
  unwatch(reader: DatagramReader): void {
    this.#io.ctx.reactor.remove(reader.fd);
    this.#waiting.delete(reader);
    if (this.#holder === reader) this.#holder = undefined;
  }

  /** The stack may have room again. */
  afterPoll(): void {
    const holder = this.#holder;
    if (holder !== undefined) {
      this.#holder = undefined;
      if (!this.#deliver(holder, this.#heldNext, this.#heldCount)) return;
    } else if (this.#waiting.size === 0) return;
    this.resume();
  }

  resume(): void {
    if (this.#holder !== undefined || this.#waiting.size === 0) return;
    const all = this.#waiting;
    this.#waiting = new Set();
    for (const reader of all) this.#drain(reader);
  }

  #drain(reader: DatagramReader): void {
    if (this.#holder !== undefined) {
      this.#waiting.add(reader);
      return;
    }
    const { sys, memory } = this.#io;
    this.#waiting.delete(reader);
    for (let i = 0; i < BATCHES_PER_TURN; i++) {
      this.#rearm();
      const count = sys.recvmmsg(reader.fd, memory.base + this.#messages, BATCH, 0);
      if (count < 0) {
        if (count === -EAGAIN) return;
        if (count === -EINTR) continue;
        reader.onReceiveError(-count);
        if (reader.closed) return;
        continue;
      }
      this.#used = count;
      if (!this.#deliver(reader, 0, count)) return;
      // Fewer than asked for: the queue is empty now, and what comes later makes an edge.
      if (reader.closed || count < BATCH) return;
    }
    this.#waiting.add(reader);
    this.#io.resumeLater(this);
  }

  #deliver(reader: DatagramReader, from: number, count: number): boolean {
    const { memory } = this.#io;
    for (let i = from; i < count; i++) {
      const message = this.#messages + i * MMSGHDR_BYTES;
      const named = readSocketAddress(memory, this.#names + i * SOCKADDR_IN6_BYTES, this.#source);
      if (!named) continue;
      const length = memory.view.getUint32(message + 56, true);
      const taken = reader.onDatagram(this.#payloads + i * PAYLOAD_BYTES, length, this.#source, this.#localOf(i));
      if (reader.closed) return true;
      if (taken) continue;
      this.#holder = reader;
      this.#heldNext = i;
      this.#heldCount = count;
      this.#waiting.add(reader);
      this.#io.ctx.reactor.pump();
      return false;
    }
    return true;
  }

  #localOf(i: number): Pointer {
    const { view } = this.#io.memory;
    const control = this.#controls + i * CONTROL_BYTES;
    const length = view.getUint32(this.#messages + i * MMSGHDR_BYTES + 40, true);
    if (length < CMSGHDR_BYTES + IN6_PKTINFO_BYTES) return 0;
    const isPacketInfo =
      view.getUint32(control + 8, true) === IPPROTO_IPV6 && view.getUint32(control + 12, true) === IPV6_PKTINFO;
    return isPacketInfo ? control + CMSGHDR_BYTES : 0;
  }

  /** The kernel wrote the lengths it used over the capacities. */
  #rearm(): void {
    const { memory } = this.#io;
    for (let i = 0; i < this.#used; i++) {
      const message = this.#messages + i * MMSGHDR_BYTES;
      memory.view.setUint32(message + 8, SOCKADDR_IN6_BYTES, true);
      writeU64(memory, message + 40, CONTROL_BYTES);
    }
    this.#used = 0;
  }
}
