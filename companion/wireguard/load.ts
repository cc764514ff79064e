/**
 * When the handshake half defends itself: the under-load decision (whitepaper §5.3) and, behind the cookie, a token
 * bucket per source. Both see only messages whose MAC1 is right.
 */
import * as c from './constants.ts';

/**
 * Under load, for a second each time, when an eighth of the handshake queue is waiting, or when messages have come
 * faster than `HANDSHAKE_RATE` for longer than an eighth of the queue would have bridged. The second rule stands in
 * for the first where the queue is out of sight (in the sockets of another thread).
 */
export class LoadMeter {
  #tokens = c.UNDER_LOAD_QUEUE;
  #last = Number.NEGATIVE_INFINITY;
  #until = Number.NEGATIVE_INFINITY;

  /** Counts one message, with `queued` more waiting behind it; answers whether it comes under load. */
  observe(mono: number, queued: number): boolean {
    const refill = ((mono - this.#last) / 1000) * c.HANDSHAKE_RATE;
    this.#last = mono;
    this.#tokens = Math.min(c.UNDER_LOAD_QUEUE, this.#tokens + refill) - 1;
    if (this.#tokens < 0) this.#tokens = 0;
    if (queued >= c.UNDER_LOAD_QUEUE || this.#tokens === 0) this.#until = mono + c.UNDER_LOAD_TIME;
    return mono < this.#until;
  }
}

interface Bucket {
  tokens: number;
  last: number;
}

/** 20 a second, bursts of 5, per IPv4 address or IPv6 /64; at most `LIMITER_ENTRIES` sources, idle ones go after 1 s. */
export class SourceLimiter {
  readonly #buckets = new Map<string, Bucket>();
  #swept = Number.NEGATIVE_INFINITY;

  get size(): number {
    return this.#buckets.size;
  }

  /** `source`: 18 bytes. A new source is refused while the table is full: its cookie was valid, so it is real. */
  allow(source: Uint8Array, mono: number): boolean {
    if (mono - this.#swept >= c.UNDER_LOAD_TIME) this.#sweep(mono);
    const key = sourceKey(source);
    const bucket = this.#buckets.get(key);
    if (bucket === undefined) {
      if (this.#buckets.size >= c.LIMITER_ENTRIES) return false;
      this.#buckets.set(key, { tokens: c.HANDSHAKE_BURST - 1, last: mono });
      return true;
    }
    bucket.tokens = Math.min(
      c.HANDSHAKE_BURST,
      bucket.tokens + ((mono - bucket.last) / 1000) * c.HANDSHAKES_PER_SECOND,
    );
    bucket.last = mono;
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }

  #sweep(mono: number): void {
    this.#swept = mono;
    for (const [key, bucket] of this.#buckets) if (mono - bucket.last > c.UNDER_LOAD_TIME) this.#buckets.delete(key);
  }
}

/** A whole /64 is one subscriber (as in the kernel); an IPv4 address stands in the last four bytes. */
function sourceKey(source: Uint8Array): string {
  let v4 = source[10] === 0xff && source[11] === 0xff;
  for (let i = 0; i < 10; i++) v4 &&= source[i] === 0;
  return String.fromCharCode(...(v4 ? source.subarray(12, 16) : source.subarray(0, 8)));
}
