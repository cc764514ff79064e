import type { Random } from './random.ts';

/** What a link does to packets. Times in µs. */
export interface LinkOptions {
  delay: number;
  /** Extra delay, evenly 0..jitter, that keeps order. */
  jitter: number;
  loss: number;
  duplicate: number;
  corrupt: number;
  /** Share of packets that are held back by up to `reorderBy` and so overtaken. */
  reorder: number;
  reorderBy: number;
  /** Bytes per µs; Infinity = none. */
  rate: number;
  /** Bytes that may wait for the rate; more are dropped. */
  queue: number;
  /** Longer packets vanish without a word. */
  largest?: number;
}

export const PERFECT: LinkOptions = {
  delay: 1000,
  jitter: 0,
  loss: 0,
  duplicate: 0,
  corrupt: 0,
  reorder: 0,
  reorderBy: 0,
  rate: Number.POSITIVE_INFINITY,
  queue: Number.POSITIVE_INFINITY,
};

interface Travelling {
  at: number;
  order: number;
  packet: Uint8Array;
}

/** One direction of a path: delay, rate with a drop-tail queue, loss, duplication, corruption, reordering; all from one seed. */
export class Link {
  readonly options: LinkOptions;
  dropped = 0;
  #random: Random;
  #heap: Travelling[] = [];
  #order = 0;
  #free = 0;
  #lastAt = 0;

  constructor(options: LinkOptions, random: Random) {
    this.options = options;
    this.#random = random;
  }

  send(packet: Uint8Array, now: number): void {
    const o = this.options;
    const r = this.#random;
    if (packet.length > (o.largest ?? Number.POSITIVE_INFINITY) || r.chance(o.loss)) {
      this.dropped++;
      return;
    }
    let at = now;
    if (o.rate !== Number.POSITIVE_INFINITY) {
      const start = Math.max(now, this.#free);
      if ((start - now) * o.rate > o.queue) {
        this.dropped++;
        return;
      }
      this.#free = start + packet.length / o.rate;
      at = this.#free;
    }
    at += o.delay;
    if (o.jitter > 0) at = Math.max(at + r.next() * o.jitter, this.#lastAt);
    this.#lastAt = Math.max(at, this.#lastAt);
    if (o.reorder > 0 && r.chance(o.reorder)) at += r.next() * o.reorderBy;
    let sent = packet;
    if (o.corrupt > 0 && r.chance(o.corrupt)) {
      sent = packet.slice();
      // One byte: a sum of 16-bit words misses no change of a single byte.
      sent[r.integer(0, sent.length - 1)]! ^= r.integer(1, 255);
    }
    this.#push(sent, at);
    if (o.duplicate > 0 && r.chance(o.duplicate)) this.#push(packet, at + r.next() * (o.reorderBy + o.delay));
  }

  /** When the next packet arrives; Infinity = none travels. */
  get next(): number {
    return this.#heap[0]?.at ?? Number.POSITIVE_INFINITY;
  }

  /** The next packet, if it has arrived by `now`. */
  take(now: number): Uint8Array | undefined {
    const first = this.#heap[0];
    if (first === undefined || first.at > now) return undefined;
    const last = this.#heap.pop()!;
    if (this.#heap.length > 0) {
      this.#heap[0] = last;
      let i = 0;
      while (true) {
        let least = i;
        for (const child of [2 * i + 1, 2 * i + 2])
          if (child < this.#heap.length && earlier(this.#heap[child]!, this.#heap[least]!)) least = child;
        if (least === i) break;
        [this.#heap[i], this.#heap[least]] = [this.#heap[least]!, this.#heap[i]!];
        i = least;
      }
    }
    return first.packet;
  }

  #push(packet: Uint8Array, at: number): void {
    let i = this.#heap.push({ at, order: this.#order++, packet }) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!earlier(this.#heap[i]!, this.#heap[parent]!)) break;
      [this.#heap[i], this.#heap[parent]] = [this.#heap[parent]!, this.#heap[i]!];
      i = parent;
    }
  }
}

function earlier(a: Travelling, b: Travelling): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
