// The bad network, as a pure function: what happens to each datagram, from a seed. The I/O around it is relay.ts.

export interface Impairment {
  /** Chance of each, 0..1. */
  drop?: number;
  duplicate?: number;
  corrupt?: number;
  /** Chance that a datagram waits until `depth` later ones have passed. */
  reorder?: number;
  reorderDepth?: number;
  /** One-way delay and its uniform jitter, ms. Jitter alone never reorders. */
  delayMs?: number;
  jitterMs?: number;
  /** Largest UDP payload that passes, bytes. */
  mtu?: number;
}

/** One copy of a datagram on its way. */
export interface Passage {
  /** ms from now. */
  delayMs: number;
  /** How many later datagrams overtake it. */
  behind: number;
  /** Which bit to flip, or -1. */
  flipBit: number;
}

/** @returns numbers in [0,1): mulberry32. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The fate of each datagram in order; the same seed and sizes give the same fates. */
export class ImpairedLink {
  #random: () => number;
  #o: Impairment;

  constructor(seed: number, o: Impairment) {
    this.#random = seededRandom(seed);
    this.#o = o;
  }

  /** @returns no, one or two passages of a datagram of `length` bytes. */
  pass(length: number): Passage[] {
    const o = this.#o;
    // Every draw is made for every datagram, so that changing one chance does not shift the others' fates.
    const [drop, duplicate, corrupt, reorder, jitter, bit] = Array.from({ length: 6 }, () => this.#random()) as [
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    if (drop < (o.drop ?? 0) || length > (o.mtu ?? 65_535)) return [];
    const passage: Passage = {
      delayMs: (o.delayMs ?? 0) + jitter * (o.jitterMs ?? 0),
      behind: reorder < (o.reorder ?? 0) ? (o.reorderDepth ?? 3) : 0,
      flipBit: corrupt < (o.corrupt ?? 0) && length > 0 ? Math.floor(bit * length * 8) : -1,
    };
    return duplicate < (o.duplicate ?? 0) ? [passage, { ...passage, flipBit: -1 }] : [passage];
  }
}
