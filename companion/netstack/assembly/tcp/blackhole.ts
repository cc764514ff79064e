import { count, TCP_BLACK_HOLES } from '../counters';
import { effectiveMss, headersOf } from './mss';
import { ready } from './lists';
import { markAllLost } from './scoreboard';
import { F_V6, has, Tcb } from './tcb';

/** When the path takes less than was thought. */

/** Packets that pass everywhere in practice: IPv6's least MTU; then what 1024 bytes of payload need. */
const FIRST_GUESS: u32 = 1280;
const SECOND_GUESS: u32 = 1024;
/** RTOs in a row before the size is suspected, and before the first guess is. */
const SUSPICIOUS: u32 = 2;
const VERY_SUSPICIOUS: u32 = 4;

/** The path MTU went down: what is in flight was too large, so it goes again at once, without touching cwnd. */
export function refitSegments(t: Tcb): void {
  t.mss = effectiveMss(t);
  markAllLost(t, false);
  ready(t);
}

/** RFC 4821 in small: full segments vanish and nobody says why. Call at an RTO, when `backoff` has been counted. */
export function suspectBlackHole(t: Tcb): void {
  if (<u32>t.backoff < SUSPICIOUS) return;
  const whole = <u32>t.mss + headersOf(has(t, F_V6));
  const guess = whole > FIRST_GUESS ? FIRST_GUESS : whole > SECOND_GUESS && !has(t, F_V6) && <u32>t.backoff >= VERY_SUSPICIOUS ? SECOND_GUESS : 0;
  // The segment that is stuck must have been larger than the guess for this to help.
  if (guess === 0 || t.sndNxt - t.sndUna + headersOf(has(t, F_V6)) <= guess) return;
  count(TCP_BLACK_HOLES);
  t.pathMtu = <u16>guess;
  t.mss = effectiveMss(t);
}
