import { expect, test } from 'vitest';
import { REPLAY_WINDOW } from './constants.ts';
import { pastLimit, ReplayWindow } from './replay.ts';
import { SeededRandom } from './testing/random.ts';

const REJECT = 2n ** 64n - 2n ** 13n - 1n;
const lo = (n: bigint): number => Number(n & 0xffff_ffffn);
const hi = (n: bigint): number => Number((n >> 32n) & 0xffff_ffffn);

function accept(window: ReplayWindow, n: bigint): boolean {
  return !pastLimit(lo(n), hi(n)) && window.accept(lo(n), hi(n));
}

/** The table of the Linux kernel's counter self-test: each counter and whether it must be taken. LIM = window + 1. */
test('D-1: the kernel table', () => {
  const lim = BigInt(REPLAY_WINDOW) + 1n;
  const table: [bigint, boolean][] = [
    [0n, true],
    [1n, true],
    [1n, false],
    [9n, true],
    [8n, true],
    [7n, true],
    [7n, false],
    [lim, true],
    [lim - 1n, true],
    [lim - 1n, false],
    [lim - 2n, true],
    [2n, true],
    [2n, false],
    [lim + 16n, true],
    [3n, false],
    [lim + 16n, false],
    [lim * 4n, true],
    [lim * 4n - (lim - 1n), true],
    [10n, false],
    [lim * 4n - lim, false],
    [lim * 4n - (lim + 1n), false],
    [lim * 4n - (lim - 2n), true],
    [lim * 4n + 1n - lim, false],
    [0n, false],
    [REJECT, false],
    [REJECT - 1n, true],
    [REJECT, false],
    [REJECT - 1n, false],
    [REJECT - 2n, true],
    [REJECT + 1n, false],
    [REJECT + 2n, false],
    [REJECT - 2n, false],
    [REJECT - 3n, true],
    [0n, false],
  ];
  const window = new ReplayWindow();
  table.forEach(([n, taken], row) => {
    expect(accept(window, n), `row ${row}: ${n}`).toBe(taken);
  });
});

/** Its six loops: runs up and down through the whole window, then the edges. */
test('D-1: the kernel loops', () => {
  const W = REPLAY_WINDOW;
  const up = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
  const down = (from: number, to: number) => up(to, from).reverse();
  const loops: { run: number[]; edges: [number, boolean][] }[] = [
    {
      run: up(1, W),
      edges: [
        [0, true],
        [0, false],
      ],
    },
    {
      run: up(2, W + 1),
      edges: [
        [1, true],
        [0, false],
      ],
    },
    { run: down(W, 0), edges: [] },
    { run: down(W + 1, 1), edges: [[0, false]] },
    {
      run: down(W - 1, 1),
      edges: [
        [W + 1, true],
        [0, false],
      ],
    },
    {
      run: down(W - 1, 1),
      edges: [
        [W, true],
        [0, true],
        [W + 1, true],
      ],
    },
  ];
  for (const { run, edges } of loops) {
    const window = new ReplayWindow();
    for (const n of run) if (!accept(window, BigInt(n))) throw new Error(`${n} was refused`);
    for (const [n, taken] of edges) expect(accept(window, BigInt(n)), `${n} after ${run.length}`).toBe(taken);
  }
});

/** The obvious way: remember every counter. */
class NaiveWindow {
  readonly #seen = new Set<bigint>();
  #greatest = 0n;

  accept(n: bigint): boolean {
    if (n + BigInt(REPLAY_WINDOW) < this.#greatest || this.#seen.has(n)) return false;
    this.#seen.add(n);
    if (n > this.#greatest) this.#greatest = n;
    return true;
  }
}

test('D-1, D-2: agrees with a naive twin around every word boundary', () => {
  const seed = Date.now() >>> 0;
  const random = new SeededRandom(seed);
  for (const base of [0n, 2n ** 31n, 2n ** 32n, 2n ** 53n, 2n ** 60n, 2n ** 64n - 60_000n]) {
    const window = new ReplayWindow();
    const naive = new NaiveWindow();
    let at = base < 20_000n ? 0n : base - 20_000n;
    for (let i = 0; i < 8000; i++) {
      const step = random.pick([1, 1, 1, 2, 31, 32, 33, 64, 500, 8127, 8128, 8129, 8192]);
      const n = random.chance(0.5) ? at + BigInt(step % 40) : at - BigInt(random.below(9000));
      if (n < 0n || n >= 2n ** 64n) continue;
      const fresh = window.isFresh(lo(n), hi(n));
      const taken = window.accept(lo(n), hi(n));
      if (taken !== naive.accept(n) || fresh !== taken) throw new Error(`seed ${seed}: ${n}, step ${i}: ${taken}`);
      if (taken && n > at) at = n;
      if (random.chance(0.01)) at += BigInt(step);
    }
  }
});
