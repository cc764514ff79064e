/**
 * Sliding window against replays (whitepaper §5.4.6; RFC 6479): a ring of 8192 bits of which the last 8128 counters
 * count. 64-bit counters come as two unsigned 32-bit words; a JavaScript number would lose bits past 2^53.
 * A new window has seen nothing. A window moves by `accept` only, after the packet has been authenticated.
 */
import { REJECT_AFTER_MESSAGES_HI, REJECT_AFTER_MESSAGES_LO, REPLAY_RING_BITS, REPLAY_WINDOW } from './constants.ts';

const WORDS = REPLAY_RING_BITS / 32; // a power of two
const WORD_MASK = WORDS - 1;

/** Whether a counter has reached REJECT_AFTER_MESSAGES, where a session ends whatever its age. */
export function pastLimit(lo: number, hi: number): boolean {
  return hi === REJECT_AFTER_MESSAGES_HI && lo >= REJECT_AFTER_MESSAGES_LO;
}

export class ReplayWindow {
  readonly #ring = new Uint32Array(WORDS);
  /** Greatest counter accepted: low word, high word. */
  readonly #greatest = new Uint32Array(2);

  /** Whether `accept` would take the counter. Changes nothing, so a replay can be refused before it is decrypted. */
  isFresh(lo: number, hi: number): boolean {
    const greatestLo = this.#greatest[0]!;
    const greatestHi = this.#greatest[1]!;
    if (hi > greatestHi || (hi === greatestHi && lo > greatestLo)) return true;
    // distance back = greatest - counter: its high word must be 0, its low word within the window
    const behind = (greatestLo - lo) >>> 0;
    const borrow = lo > greatestLo ? 1 : 0;
    if (greatestHi - hi - borrow !== 0 || behind > REPLAY_WINDOW) return false;
    return (this.#ring[(lo >>> 5) & WORD_MASK]! & (1 << (lo & 31))) === 0;
  }

  /** Marks the counter as seen; false if it was already, or lies behind the window. */
  accept(lo: number, hi: number): boolean {
    if (!this.isFresh(lo, hi)) return false;
    const ring = this.#ring;
    const greatestLo = this.#greatest[0]!;
    const greatestHi = this.#greatest[1]!;
    if (hi > greatestHi || (hi === greatestHi && lo > greatestLo)) {
      const ahead = (lo - greatestLo) >>> 0;
      const borrow = lo < greatestLo ? 1 : 0;
      if (hi - greatestHi - borrow !== 0 || ahead >= REPLAY_RING_BITS) {
        ring.fill(0);
      } else {
        const from = greatestLo >>> 5;
        const words = ((lo >>> 5) - from) & 0x7ff_ffff; // word numbers modulo 2^27
        for (let i = 1; i <= words && i <= WORDS; i++) ring[(from + i) & WORD_MASK] = 0;
      }
      this.#greatest[0] = lo;
      this.#greatest[1] = hi;
    }
    ring[(lo >>> 5) & WORD_MASK]! |= 1 << (lo & 31);
    return true;
  }
}
