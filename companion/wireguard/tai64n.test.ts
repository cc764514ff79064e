import { describe, expect, test } from 'vitest';
import { compareStamps, TimestampClock, unixMilliseconds } from './tai64n.ts';
import { SeededRandom } from './testing/random.ts';

const WALL = Date.UTC(2026, 6, 1);
const DAY = 86_400_000;
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** TAI64N by its definition, in BigInt, whitened to 2^24 ns. */
function naive(unixMs: number): string {
  const ns = BigInt(Math.floor(unixMs * 1000)) * 1000n;
  const seconds = 2n ** 62n + 10n + ns / 1_000_000_000n;
  const rest = ((ns % 1_000_000_000n) >> 24n) << 24n;
  return seconds.toString(16).padStart(16, '0') + rest.toString(16).padStart(8, '0');
}

test('encodes as TAI64N, whitened to 2^24 ns', () => {
  const random = new SeededRandom(7);
  expect(hex(new TimestampClock().next({ mono: 0, wall: 0 }).stamp)).toBe('400000000000000a00000000');
  for (let i = 0; i < 1000; i++) {
    const wall = WALL + random.u32() + random.below(1000) / 1000;
    const { stamp } = new TimestampClock().next({ mono: 0, wall });
    expect(hex(stamp)).toBe(naive(wall));
    expect(unixMilliseconds(stamp)).toBeGreaterThan(wall - 18);
    expect(unixMilliseconds(stamp)).toBeLessThanOrEqual(wall);
  }
});

test('H-8: a stamp tells nothing finer than 16.8 ms', () => {
  const { stamp } = new TimestampClock().next({ mono: 0, wall: WALL + 0.999 });
  expect([...stamp.subarray(9)]).toEqual([0, 0, 0]);
});

describe('H-9: strictly increasing', () => {
  test('within a tick, and when the clock steps back an hour or ten years', () => {
    const clock = new TimestampClock();
    let last = clock.next({ mono: 0, wall: WALL }).stamp;
    for (const wall of [WALL, WALL, WALL + 1, WALL - 3_600_000, WALL - 3650 * DAY, 0, -1]) {
      const { stamp } = clock.next({ mono: 5, wall });
      expect(compareStamps(stamp, last)).toBeGreaterThan(0);
      last = stamp;
    }
  });

  test('over 50 restarts within one tick, with the persisted bound', () => {
    let stored: Uint8Array | undefined;
    let last: Uint8Array = new Uint8Array(12);
    for (let restart = 0; restart < 50; restart++) {
      const clock = new TimestampClock(stored);
      for (let i = 0; i < 3; i++) {
        const { stamp, persist } = clock.next({ mono: i, wall: WALL - restart * 1000 });
        if (persist !== undefined) stored = persist;
        expect(stored && compareStamps(stored, stamp)).toBeGreaterThanOrEqual(0);
        expect(compareStamps(stamp, last)).toBeGreaterThan(0);
        last = stamp;
      }
    }
    expect(unixMilliseconds(last) - WALL, 'and the bound has not run away').toBeLessThan(60_000);
  });

  test('the bound is written once a second at most', () => {
    const clock = new TimestampClock();
    let writes = 0;
    for (let ms = 0; ms < 60_000; ms += 20) if (clock.next({ mono: ms, wall: WALL + ms }).persist) writes++;
    expect(writes).toBeLessThanOrEqual(61);
    expect(writes).toBeGreaterThan(30);
  });

  test('garbage in the file is no stamp', () => {
    for (const stored of [new Uint8Array(0), new Uint8Array(12), new Uint8Array(12).fill(255), new Uint8Array(11)]) {
      expect(hex(new TimestampClock(stored).next({ mono: 0, wall: WALL }).stamp)).toBe(naive(WALL));
    }
  });
});

describe('H-9 guard: a clock that leaps ahead is not followed (CVE-2021-46873)', () => {
  test('during a run: ten years ahead cost nothing', () => {
    const clock = new TimestampClock();
    clock.next({ mono: 0, wall: WALL });
    const { stamp } = clock.next({ mono: 5000, wall: WALL + 3650 * DAY });
    expect(Math.abs(unixMilliseconds(stamp) - (WALL + 5000))).toBeLessThan(40);
    expect(clock.heldBack).toBe(1);
    const after = clock.next({ mono: 10_000, wall: WALL + 10_000 }).stamp;
    expect(compareStamps(after, stamp)).toBeGreaterThan(0);
    expect(Math.abs(unixMilliseconds(after) - (WALL + 10_000))).toBeLessThan(40);
  });

  test('during a run: a step of an hour is honest', () => {
    const clock = new TimestampClock();
    clock.next({ mono: 0, wall: WALL });
    expect(hex(clock.next({ mono: 1000, wall: WALL + 3_600_000 }).stamp)).toBe(naive(WALL + 3_600_000));
    expect(clock.heldBack).toBe(0);
  });

  test('at start: years past the last stamp are refused, a month switched off is not', () => {
    const stored = new TimestampClock().next({ mono: 0, wall: WALL }).persist!;
    const month = new TimestampClock(stored).next({ mono: 0, wall: WALL + 30 * DAY }).stamp;
    expect(hex(month)).toBe(naive(WALL + 30 * DAY));
    const clock = new TimestampClock(stored);
    const years = clock.next({ mono: 0, wall: WALL + 3650 * DAY }).stamp;
    expect(unixMilliseconds(years) - WALL).toBeLessThan(5000);
    expect(compareStamps(years, stored)).toBeGreaterThan(0);
    expect(clock.heldBack).toBe(1);
  });
});
