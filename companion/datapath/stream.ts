import { EventBits } from '../netstack/index.ts';
import {
  EPOLLERR,
  EPOLLET,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLRDHUP,
  FIONREAD,
  MSG_PEEK,
  SHUT_WR,
} from './constants.ts';
import { EAGAIN } from './errno.ts';
import type { TimerId } from './reactor.ts';
import { type ConnectionOwner, MAX_SPANS, type RelayIo, type Resumable, TURN_BYTES } from './relay-io.ts';
import { resetUnix } from './reset-drain.ts';

// Specification: unix(7). Bytes written that the other side has not read.
const SIOCOUTQ = 0x5411;

// Implementation
const HEADER_LOOK_US = 1_000;

/** What a stream's socket is watched for; EPOLLOUT joins when a write was cut short. */
export const STREAM_EVENTS = EPOLLIN | EPOLLRDHUP | EPOLLET;

export type StreamEnd = 'closed' | 'reset-by-socket' | 'reset-by-peer' | 'idle' | 'closing';

export interface StreamOptions {
  /** Non-blocking, in the reactor with `STREAM_EVENTS`; its events are handed to `onSocket`. The stream owns it from now on. */
  fd: number;
  /** In the stack, established or accepted. The stream owns it from now on. */
  connection: number;
  kind: 'unix' | 'tcp';
  /** `unix`: the first byte in the socket's queue was dealt with and is only there to be left. */
  kept?: boolean;
  /**
   * `unix`: what it means that the other side closed both directions while ours was open. From `tcp_proxy` it is a reset, for it passes
   * a FIN on as a half-close; from a connection pool of Envoy's it is an ordinary close.
   */
  hangUp?: 'reset' | 'close';
  /**
   * `unix`: what was written is a PROXY header that must be read before the socket's writing side is shut. Envoy closes the whole
   * connection when the end comes while its listener filter still waits for the header.
   */
  headerFirst?: boolean;
  /** EPOLLOUT is already among the events it is watched for. */
  watchesOut?: boolean;
  onEnd?: (end: StreamEnd) => void;
}

/**
 * A stream socket and a connection of the TCP/IP stack, joined. Bytes go from readv into the stack's send buffer and from its receive
 * buffer into writev; a full buffer on one side leaves the bytes on the other, so that is the back pressure.
 *
 * Each direction ends by itself: EOF of one side becomes the other's FIN when all before it has been handed over. A reset of one side
 * resets the other.
 *
 * Reset over a unix socket: there is no RST. The kernel tells the other side ECONNRESET if we close with bytes unread
 * (unix_release_sock), so one byte always stays in the queue: its content is forwarded by MSG_PEEK at once, and it is taken out for a
 * clean close only. Where the other side has never sent a byte there is none to keep, and a reset shows as a close.
 * With a byte kept, read() never answers 0: EOF is EPOLLRDHUP with nothing but that byte queued.
 */
export class Stream implements ConnectionOwner, Resumable {
  readonly fd: number;
  readonly connection: number;
  /** µs of the last event on either side. */
  lastActive: number;
  readonly #io: RelayIo;
  readonly #unix: boolean;
  readonly #closeOnHangUp: boolean;
  readonly #onEnd: ((end: StreamEnd) => void) | undefined;
  /** 0 or 1. */
  #kept: number;
  /** The socket may have bytes, or its end, to read. */
  #readable = true;
  /** Its writing side has ended: after what is queued comes EOF. */
  #remoteEnded = false;
  #hungUp = false;
  #failed = false;
  /** EPOLLOUT is watched for. */
  #watchesOut: boolean;
  /** A write was cut short and EPOLLOUT has not come since. */
  #blocked = false;
  /** The peer's FIN has arrived. */
  #peerEnded = false;
  /** Our FIN went to the peer. */
  #toPeerEnded = false;
  /** The socket's writing side is shut. */
  #toSocketEnded = false;
  #headerFirst: boolean;
  #headerTimer: TimerId = 0;
  #queued = false;
  #ended = false;

  constructor(io: RelayIo, o: StreamOptions) {
    this.#io = io;
    this.fd = o.fd;
    this.connection = o.connection;
    this.#unix = o.kind === 'unix';
    this.#kept = o.kept === true ? 1 : 0;
    this.#closeOnHangUp = o.hangUp === 'close';
    this.#headerFirst = o.headerFirst === true;
    this.#watchesOut = o.watchesOut === true;
    this.#onEnd = o.onEnd;
    this.lastActive = io.ctx.reactor.now;
    io.owners.set(o.connection, this);
    io.streams.add(this);
  }

  /** `events`: EPOLL* bits, also those that came before there was a stream. */
  onSocket(events: number): void {
    if (this.#ended) return;
    this.lastActive = this.#io.ctx.reactor.now;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) this.#readable = true;
    if (events & (EPOLLRDHUP | EPOLLHUP)) this.#remoteEnded = true;
    if (events & EPOLLHUP) this.#hungUp = true;
    if (events & EPOLLERR) this.#failed = true;
    if (events & EPOLLOUT) {
      if (this.#blocked) this.#blocked = false;
      // A unix socket tells of room after each read of the other side: while we have all the room we want, each would wake us.
      else if (this.#watchesOut) this.#watchOut(false);
    }
    this.#move();
  }

  onStack(events: number): void {
    if (this.#ended) return;
    this.lastActive = this.#io.ctx.reactor.now;
    if (events & EventBits.EOF) this.#peerEnded = true;
    if (events & (EventBits.RESET | EventBits.ERROR)) {
      this.#resetSocket('reset-by-peer');
      return;
    }
    this.#move();
  }

  resume(): void {
    this.#queued = false;
    if (!this.#ended) this.#move();
  }

  /** Ends it by a reset to both sides. */
  reset(end: StreamEnd): void {
    if (!this.#ended) this.#resetSocket(end);
  }

  #move(): void {
    this.#fromSocket();
    if (!this.#ended) this.#toSocket();
    if (!this.#ended && (this.#failed || (this.#unix && this.#hungUp && !this.#toSocketEnded))) this.#socketIsGone();
    if (!this.#ended && this.#toPeerEnded && this.#toSocketEnded) this.#finish();
  }

  #fromSocket(): void {
    const { stack } = this.#io;
    let budget = TURN_BYTES;
    while (this.#readable && !this.#toPeerEnded) {
      const spans = stack.sendReserve(this.connection, this.#io.spans, MAX_SPANS);
      if (spans === 0) {
        // EOF needs no room.
        if (this.#unix && this.#remoteEnded && this.#queuedBytes() === this.#kept) this.#endToPeer();
        return;
      }
      if (budget <= 0) {
        this.#resumeLater();
        return;
      }
      const taken = this.#unix ? this.#readUnix(spans) : this.#readTcp(spans);
      if (taken <= 0) return;
      budget -= taken;
    }
  }

  /** -> bytes forwarded; 0 or less: no more for now. */
  #readTcp(spans: number): number {
    const { sys, memory } = this.#io;
    const room = this.#io.total(spans);
    const got = sys.readv(this.fd, memory.base + this.#io.spans, spans);
    if (got > 0) {
      this.#commit(got);
      // Less than asked for: the queue is empty now, and what comes later makes an edge (epoll(7)). Not so for an EOF already told.
      if (got < room && !this.#remoteEnded) this.#readable = false;
      return got;
    }
    this.#readable = false;
    if (got === 0) this.#endToPeer();
    else if (got !== -EAGAIN) this.#failed = true;
    return got;
  }

  #readUnix(spans: number): number {
    const { sys, memory } = this.#io;
    const fresh = this.#queuedBytes() - this.#kept;
    if (fresh <= 0) {
      this.#readable = false;
      if (this.#remoteEnded && !(this.#hungUp && !this.#toSocketEnded)) this.#endToPeer();
      return 0;
    }
    const room = this.#io.total(spans);
    const last = fresh <= room;
    const take = last ? fresh - 1 : room;
    let got = 0;
    // The byte after `take` is peeked into the place behind them.
    const used = this.#io.trim(spans, take);
    if (take + this.#kept > 0) {
      const discarded = this.#kept;
      const first = discarded === 1 ? this.#io.discard : this.#io.spans;
      const read = sys.readv(this.fd, memory.base + first, used + discarded);
      if (read <= 0) return this.#unreadable(read);
      got = read - discarded;
      this.#kept = 0;
    }
    if (last && got === take) {
      const peeked = sys.recv(this.fd, this.#io.behind, 1, MSG_PEEK);
      if (peeked !== 1) return this.#unreadable(peeked);
      got++;
      this.#kept = 1;
    }
    this.#commit(got);
    return got;
  }

  /** FIONREAD told of bytes, and they are not there: only an error explains it. */
  #unreadable(result: number): number {
    this.#readable = false;
    if (result !== -EAGAIN) this.#failed = true;
    return 0;
  }

  #queuedBytes(): number {
    const { sys, memory, scratch } = this.#io;
    if (sys.ioctl(this.fd, FIONREAD, memory.base + scratch) < 0) return 0;
    return memory.u32[scratch >>> 2]!;
  }

  #commit(bytes: number): void {
    this.#io.stack.sendCommit(this.connection, bytes);
    this.#io.countToPeer(bytes);
    this.#io.ctx.reactor.pump();
  }

  #endToPeer(): void {
    this.#toPeerEnded = true;
    this.#io.stack.shutdown(this.connection);
    this.#io.ctx.reactor.pump();
  }

  #toSocket(): void {
    const { sys, stack, memory } = this.#io;
    let budget = TURN_BYTES;
    while (!this.#toSocketEnded && !this.#blocked) {
      const spans = stack.recvPeek(this.connection, this.#io.spans, MAX_SPANS);
      if (spans === 0) {
        if (!this.#peerEnded || !this.#headerTaken()) return;
        sys.shutdown(this.fd, SHUT_WR);
        this.#toSocketEnded = true;
        return;
      }
      if (budget <= 0) {
        this.#resumeLater();
        return;
      }
      const available = this.#io.total(spans);
      const written = sys.writev(this.fd, memory.base + this.#io.spans, spans);
      if (written > 0) {
        stack.recvConsume(this.connection, written);
        this.#io.countFromPeer(written);
        this.#io.ctx.reactor.pump();
        budget -= written;
      }
      if (written === available) continue;
      if (written < 0 && written !== -EAGAIN) {
        this.#failed = true;
        return;
      }
      this.#blocked = true;
      if (!this.#watchesOut) this.#watchOut(true);
    }
  }

  /** Whether the other side has read all that was written, or need not have. If not, it is looked at again in a moment. */
  #headerTaken(): boolean {
    if (!this.#headerFirst) return true;
    const { sys, memory, scratch, ctx } = this.#io;
    const asked = sys.ioctl(this.fd, SIOCOUTQ, memory.base + scratch);
    this.#headerFirst = asked === 0 && memory.u32[scratch >>> 2]! > 0;
    if (this.#headerFirst && this.#headerTimer === 0)
      this.#headerTimer = ctx.reactor.setTimer(ctx.reactor.now + HEADER_LOOK_US, () => {
        this.#headerTimer = 0;
        if (!this.#ended) this.#move();
      });
    return !this.#headerFirst;
  }

  #watchOut(on: boolean): void {
    this.#watchesOut = on;
    this.#io.ctx.reactor.modify(this.fd, on ? STREAM_EVENTS | EPOLLOUT : STREAM_EVENTS);
  }

  #resumeLater(): void {
    if (this.#queued) return;
    this.#queued = true;
    this.#io.resumeLater(this);
  }

  /** The socket failed, or its other side is closed altogether. What it had sent has been read as far as there was room. */
  #socketIsGone(): void {
    const { ctx, stack } = this.#io;
    if (!this.#failed && this.#closeOnHangUp) {
      // Its last bytes still wait for room.
      if (this.#queuedBytes() > this.#kept) return;
      this.#end('closed');
      ctx.reactor.remove(this.fd);
      this.#io.sockets.close(this.fd);
      this.#io.owners.delete(this.connection);
      stack.close(this.connection);
      ctx.reactor.pump();
      return;
    }
    this.#end('reset-by-socket');
    ctx.reactor.remove(this.fd);
    this.#io.sockets.close(this.fd);
    this.#io.abortLater(this.connection);
  }

  #resetSocket(end: StreamEnd): void {
    // What came before the RST goes out before it, as far as the socket takes it.
    if (end === 'reset-by-peer') this.#toSocket();
    this.#end(end);
    this.#io.ctx.reactor.remove(this.fd);
    if (this.#unix) resetUnix(this.#io, this.fd);
    else this.#io.sockets.reset(this.fd);
    this.#io.abort(this.connection);
  }

  #finish(): void {
    const { sys, memory, scratch, ctx, stack } = this.#io;
    if (this.#kept === 1) sys.recv(this.fd, memory.base + scratch, 1, 0);
    this.#end('closed');
    ctx.reactor.remove(this.fd);
    this.#io.sockets.close(this.fd);
    this.#io.owners.delete(this.connection);
    stack.close(this.connection);
    ctx.reactor.pump();
  }

  #end(end: StreamEnd): void {
    this.#ended = true;
    this.#io.streams.delete(this);
    this.#onEnd?.(end);
  }
}
