import type { Netstack } from '../netstack/index.ts';
import { IOVEC_BYTES } from './constants.ts';
import type { LinearMemory, Pointer } from './memory.ts';
import { MAX_HEADER_BYTES } from './proxy-protocol.ts';
import type { TimerId } from './reactor.ts';
import type { RelayContext } from './relay-context.ts';
import { Sockets } from './sockets.ts';
import type { Stream } from './stream.ts';
import type { SystemCalls } from './system-calls.ts';

// Implementation

/** Spans of a stack buffer that one readv or writev takes. */
export const MAX_SPANS = 64;
/** Bytes that one stream moves in one direction before the others have their turn. */
export const TURN_BYTES = 256 * 1024;

/** How long the last bytes before a reset may take, and how often we look. */
const LAST_BYTES_US = 1_000_000;
const LAST_BYTES_LOOK_US = 2_000;

/** Whoever answers for a connection of the stack: a stream, or the attempt to make one. */
export interface ConnectionOwner {
  onStack(events: number): void;
}

/** Work that was cut off to let others have a turn. */
export interface Resumable {
  resume(): void;
}

/** What all relays of a thread share: scratch space for system calls, the owners of connections, and what waits for the next turn. */
export class RelayIo {
  readonly ctx: RelayContext;
  readonly stack: Netstack;
  readonly sys: SystemCalls;
  readonly sockets: Sockets;
  readonly memory: LinearMemory;
  /** By handle in the stack. */
  readonly owners = new Map<number, ConnectionOwner>();
  /** Streams that live. */
  readonly streams = new Set<Stream>();
  /** iovecs; the one before `spans` (at `discard`) leads to a byte that nobody reads. */
  readonly spans: Pointer;
  readonly discard: Pointer;
  /** 64 bytes for a system call's results. */
  readonly scratch: Pointer;
  /** `MAX_HEADER_BYTES` for the header of a stream that begins. */
  readonly headerBuffer: Pointer;
  /** Where bytes go that nobody wants. */
  readonly sink: Pointer;
  readonly sinkBytes = 65_536;
  /** Native address of the byte behind what `trim` kept. */
  behind = 0;
  readonly #bytesToPeer: number;
  readonly #bytesFromPeer: number;
  #resumable: Resumable[] = [];
  #doomed: { connection: number; until: number }[] = [];
  #doomTimer: TimerId = 0;

  constructor(ctx: RelayContext) {
    this.ctx = ctx;
    this.stack = ctx.stack;
    this.sys = ctx.sys;
    this.memory = ctx.memory;
    this.sockets = new Sockets(ctx.sys, ctx.memory);
    this.#bytesToPeer = ctx.counters.slot('tcp_bytes_to_peer');
    this.#bytesFromPeer = ctx.counters.slot('tcp_bytes_from_peer');
    this.scratch = ctx.memory.reserve(64);
    this.sink = ctx.memory.reserve(this.sinkBytes);
    this.headerBuffer = ctx.memory.reserve(MAX_HEADER_BYTES);
    this.discard = ctx.memory.reserve((1 + MAX_SPANS) * IOVEC_BYTES);
    this.spans = this.discard + IOVEC_BYTES;
    const { u32, base } = ctx.memory;
    const trash = base + this.scratch + 32;
    u32[this.discard >>> 2] = trash >>> 0;
    u32[(this.discard >>> 2) + 1] = Math.floor(trash / 0x1_0000_0000);
    u32[(this.discard >>> 2) + 2] = 1;
    u32[(this.discard >>> 2) + 3] = 0;
  }

  /** Bytes in the first `count` spans. */
  total(count: number): number {
    const { u32 } = this.memory;
    let bytes = 0;
    for (let at = (this.spans >>> 2) + 2, i = 0; i < count; i++, at += 4) bytes += u32[at]!;
    return bytes;
  }

  /** Cuts the first `count` spans to their first `bytes`, which they must hold; answers how many spans that takes. */
  trim(count: number, bytes: number): number {
    const { u32 } = this.memory;
    let left = bytes;
    for (let at = this.spans >>> 2, i = 0; i < count; i++, at += 4) {
      const length = u32[at + 2]!;
      if (left < length) {
        u32[at + 2] = left;
        this.behind = u32[at]! + u32[at + 1]! * 0x1_0000_0000 + left;
        return left === 0 ? i : i + 1;
      }
      left -= length;
    }
    return count;
  }

  countToPeer(bytes: number): void {
    this.ctx.counters.add(this.#bytesToPeer, bytes);
  }

  countFromPeer(bytes: number): void {
    this.ctx.counters.add(this.#bytesFromPeer, bytes);
  }

  /** Runs `work.resume()` in the next turn, after the stack has had the chance to send. */
  resumeLater(work: Resumable): void {
    if (this.#resumable.push(work) > 1) return;
    this.#inNextTurn(() => {
      const all = this.#resumable;
      this.#resumable = [];
      for (const one of all) one.resume();
    });
  }

  /**
   * Resets a connection when the peer has all that its buffer holds, as it would have had by then if it were nearer; at the latest after
   * `LAST_BYTES_US`. The caller is done with it.
   */
  abortLater(connection: number): void {
    if (this.stack.sendQueued(connection) === 0) {
      this.abort(connection);
      return;
    }
    this.owners.delete(connection);
    this.ctx.reactor.pump();
    if (this.#doomed.push({ connection, until: this.ctx.reactor.now + LAST_BYTES_US }) === 1) this.#watchDoomed();
  }

  /** Resets without waiting. */
  abort(connection: number): void {
    this.owners.delete(connection);
    this.stack.abort(connection);
    this.ctx.reactor.pump();
  }

  /** Refuses a deferred SYN, or forgets it if the peer has already done so. */
  reject(connection: number): void {
    this.stack.reject(connection);
    this.stack.close(connection);
    this.ctx.reactor.pump();
  }

  /** Resets those that still wait for their last bytes. */
  abortDoomed(): void {
    for (const { connection } of this.#doomed.splice(0)) this.stack.abort(connection);
    this.ctx.reactor.clearTimer(this.#doomTimer);
    this.ctx.reactor.pump();
  }

  #watchDoomed(): void {
    const { reactor } = this.ctx;
    this.#doomTimer = reactor.setTimer(reactor.now + LAST_BYTES_LOOK_US, () => {
      this.#doomed = this.#doomed.filter(({ connection, until }) => {
        if (reactor.now < until && this.stack.sendQueued(connection) > 0) return true;
        this.stack.abort(connection);
        return false;
      });
      reactor.pump();
      if (this.#doomed.length > 0) this.#watchDoomed();
    });
  }

  /** A timer that is due at once would fire in this very turn, before the stack was polled. */
  #inNextTurn(fn: () => void): void {
    this.ctx.reactor.setTimer(this.ctx.reactor.now + 1, fn);
  }
}
