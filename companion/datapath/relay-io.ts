import type { Netstack } from '../netstack/index.ts';
import { IOVEC_BYTES } from './constants.ts';
import type { LinearMemory, Pointer } from './memory.ts';
import { MAX_HEADER_BYTES } from './proxy-protocol.ts';
import type { RelayContext } from './relay-context.ts';
import { Sockets } from './sockets.ts';
import type { Stream } from './stream.ts';
import type { SystemCalls } from './system-calls.ts';

// Implementation

/** Spans of a stack buffer that one readv or writev takes. */
export const MAX_SPANS = 16;
/** Bytes that one stream moves in one direction before the others have their turn. */
export const TURN_BYTES = 256 * 1024;

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
  /** Native address of the byte behind what `trim` kept. */
  behind = 0;
  readonly #bytesToPeer: number;
  readonly #bytesFromPeer: number;
  #resumable: Resumable[] = [];
  #doomed: number[] = [];

  constructor(ctx: RelayContext) {
    this.ctx = ctx;
    this.stack = ctx.stack;
    this.sys = ctx.sys;
    this.memory = ctx.memory;
    this.sockets = new Sockets(ctx.sys, ctx.memory);
    this.#bytesToPeer = ctx.counters.slot('tcp_bytes_to_peer');
    this.#bytesFromPeer = ctx.counters.slot('tcp_bytes_from_peer');
    this.scratch = ctx.memory.reserve(64);
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
   * Resets a connection once what its buffer holds has had the chance to be sent, as the data before a RST have in the kernel.
   * The caller is done with it.
   */
  abortLater(connection: number): void {
    this.owners.delete(connection);
    this.ctx.reactor.pump();
    if (this.#doomed.push(connection) > 1) return;
    this.#inNextTurn(() => this.abortDoomed());
  }

  /** Resets without waiting. */
  abort(connection: number): void {
    this.owners.delete(connection);
    this.stack.abort(connection);
    this.ctx.reactor.pump();
  }

  abortDoomed(): void {
    const doomed = this.#doomed;
    this.#doomed = [];
    for (const connection of doomed) this.stack.abort(connection);
    this.ctx.reactor.pump();
  }

  /** A timer that is due at once would fire in this very turn, before the stack was polled. */
  #inNextTurn(fn: () => void): void {
    this.ctx.reactor.setTimer(this.ctx.reactor.now + 1, fn);
  }
}
