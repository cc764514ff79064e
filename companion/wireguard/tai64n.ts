/**
 * TAI64N timestamps of initiations (whitepaper §5.1): 8 bytes of TAI seconds, 4 of nanoseconds, big-endian.
 *
 * A responder only asks that they grow. So ours grow across restarts (a persisted upper bound) and clock steps back
 * (last + 1 tick), and do not follow a clock that leaps ahead: one initiation dated years ahead would make every peer
 * refuse us for years (CVE-2021-46873). Nanoseconds are whitened to 2^24 ns, so they tell no one about our scheduling.
 */
import type { Now } from './actions.ts';

export const TIMESTAMP_SIZE = 12;

/** TAI64 label of the Unix epoch: 2^62, plus the 10 leap seconds of 1972. The low word has room for 136 years. */
const EPOCH_HI = 0x4000_0000;
const LEAP_SECONDS = 10;

/** A tick is 2^24 ns = 16.8 ms; 60 of them begin in a second. Time as one integer: unix seconds * 60 + tick. */
const TICK_BITS = 24;
const TICKS_PER_SECOND = 60;
const DAY = 86_400 * TICKS_PER_SECOND;
/** In one run no honest clock steps ahead further than this. */
const MAX_STEP = DAY;
/** Between two runs a machine may have been switched off this long. */
const MAX_STEP_AT_START = 366 * DAY;
/** How far ahead of use the persisted bound is put, so that a busy node writes once a second at most. */
const RESERVE = TICKS_PER_SECOND;

function ticksOf(unixMs: number): number {
  const seconds = Math.floor(unixMs / 1000);
  return seconds * TICKS_PER_SECOND + Math.floor(((unixMs - seconds * 1000) * 1e6) / 2 ** TICK_BITS);
}

function encode(ticks: number): Uint8Array {
  const seconds = Math.floor(ticks / TICKS_PER_SECOND) + LEAP_SECONDS;
  const stamp = new Uint8Array(TIMESTAMP_SIZE);
  const view = new DataView(stamp.buffer);
  view.setUint32(0, EPOCH_HI + Math.floor(seconds / 2 ** 32));
  view.setUint32(4, seconds % 2 ** 32);
  view.setUint32(8, (ticks % TICKS_PER_SECOND) * 2 ** TICK_BITS);
  return stamp;
}

/** Unix milliseconds of any stamp; it may be absurd, a peer wrote it. */
export function unixMilliseconds(stamp: Uint8Array): number {
  const view = new DataView(stamp.buffer, stamp.byteOffset, TIMESTAMP_SIZE);
  const seconds = (view.getUint32(0) - EPOCH_HI) * 2 ** 32 + view.getUint32(4) - LEAP_SECONDS;
  return seconds * 1000 + Math.floor(view.getUint32(8) / 1e6);
}

/** Order of two stamps: negative, 0 or positive. Big-endian, so byte order is time order. */
export function compareStamps(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < TIMESTAMP_SIZE; i++) {
    const d = a[i]! - b[i]!;
    if (d !== 0) return d;
  }
  return 0;
}

export class TimestampClock {
  #last: number;
  #reserved: number;
  #reference: { mono: number; ticks: number } | undefined;
  /** Times the wall clock was ahead of all reason and was not followed. */
  heldBack = 0;

  /** `lastStamp`: what `next` asked to persist in an earlier run; ignored if it is no stamp of ours. */
  constructor(lastStamp?: Uint8Array) {
    let last = -1;
    if (lastStamp?.length === TIMESTAMP_SIZE && unixMilliseconds(lastStamp) >= 0) {
      const ticks = ticksOf(unixMilliseconds(lastStamp)) + 1; // milliseconds round down: never end below the stamp
      if (Number.isSafeInteger(ticks) && lastStamp[0] === 0x40) last = ticks;
    }
    this.#last = last;
    this.#reserved = last;
  }

  /** A stamp greater than every one before. `persist`, when present, must be on disk before the stamp is sent. */
  next(now: Now): { stamp: Uint8Array; persist: Uint8Array | undefined } {
    const wall = ticksOf(Math.max(0, now.wall));
    const ticks = Math.max(this.#sane(wall, now.mono), this.#last + 1);
    this.#last = ticks;
    this.#reference = { mono: now.mono, ticks };
    if (ticks <= this.#reserved) return { stamp: encode(ticks), persist: undefined };
    this.#reserved = ticks + RESERVE;
    return { stamp: encode(ticks), persist: encode(this.#reserved) };
  }

  #sane(wall: number, mono: number): number {
    if (this.#reference === undefined) {
      if (this.#last < 0 || wall <= this.#last + MAX_STEP_AT_START) return wall;
      this.heldBack++;
      return this.#last;
    }
    const elapsed = Math.floor(((mono - this.#reference.mono) * TICKS_PER_SECOND) / 1000);
    const expected = this.#reference.ticks + elapsed;
    if (wall <= expected + MAX_STEP) return wall;
    this.heldBack++;
    return expected;
  }
}
