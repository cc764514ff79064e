import { now } from '../clock';
import { DUPLICATE_THRESHOLD } from '../constants';
import { clear, F_CWND_LIMITED, has, Tcb } from './tcb';

/** CUBIC (RFC 9438) with HyStart++ (RFC 9406). Windows are bytes outside, segments as f64 inside: no fixed point, no overflow. */

/** RFC 9438 4.6, 5. */
const BETA: f64 = 0.7;
const C: f64 = 0.4;
const ALPHA: f64 = (3.0 * (1.0 - BETA)) / (1.0 + BETA);
/** RFC 9406 4.2. */
const MIN_RTT_THRESHOLD: f64 = 4_000;
const MAX_RTT_THRESHOLD: f64 = 16_000;
const MIN_RTT_DIVISOR: f64 = 8;
const ROUND_SAMPLES: u16 = 8;
const CSS_GROWTH_DIVISOR: u32 = 4;
const CSS_ROUNDS: u16 = 5;
/** Largest window, bytes: what the send buffer can fill twice. */
const CWND_MAX: u32 = 1 << 24;
/** RFC 3465 2.2's limit against ACKs that claim much; large, for peers that stretch ACKs over batches. Segments. */
const ACK_LIMIT: u32 = 64;

/** One ACK that advanced sndUna by `acked` bytes outside recovery. @param flight bytes in flight before it */
export function onAcked(t: Tcb, acked: u32, flight: u32): void {
  if (t.cwnd < t.ssthresh) {
    if (t.cwnd >= flight << 1) return;
    let grow = min(acked, ACK_LIMIT * <u32>t.mss);
    if (t.cssRounds !== 0) grow /= CSS_GROWTH_DIVISOR;
    t.cwnd = min(t.cwnd + grow, CWND_MAX);
    if (t.cwnd > t.ssthresh) t.cwnd = t.ssthresh;
    return;
  }
  if (!has(t, F_CWND_LIMITED)) return;
  avoidCongestion(t, acked);
}

function avoidCongestion(t: Tcb, acked: u32): void {
  const mss = <f64>t.mss;
  const cwnd = <f64>t.cwnd / mss;
  const segments = <f64>acked / mss;
  if (t.cubicEpoch === 0) {
    t.cubicEpoch = now;
    t.wEst = cwnd;
    if (t.cwndPrior === 0) t.cwndPrior = cwnd;
    if (cwnd < t.wMax) {
      t.cubicK = Math.cbrt((t.wMax - cwnd) / C);
      t.cubicOrigin = t.wMax;
    } else {
      t.cubicK = 0;
      t.cubicOrigin = cwnd;
    }
  }
  // RFC 9438 4.2: the window of one RTT ahead, held to 1..1.5 of now.
  const elapsed = (now - t.cubicEpoch) / 1_000_000;
  const target = clamp(t.cubicOrigin + cube(elapsed + t.srtt / 1_000_000 - t.cubicK) * C, cwnd, 1.5 * cwnd);
  // RFC 9438 4.3: what Reno would have.
  t.wEst += ((t.wEst >= t.cwndPrior ? 1.0 : ALPHA) * segments) / cwnd;
  const curve = t.cubicOrigin + cube(elapsed - t.cubicK) * C;
  let grow: f64;
  if (curve < t.wEst) grow = max<f64>(0, t.wEst - cwnd);
  else grow = ((target - cwnd) / cwnd) * segments;
  t.cwndCredit += grow * mss;
  if (t.cwndCredit >= 1) {
    // No more than the bytes acknowledged: the curve may be far ahead after a long silence.
    const whole = <u32>min<f64>(t.cwndCredit, <f64>acked);
    t.cwndCredit = 0;
    t.cwnd = min(t.cwnd + whole, CWND_MAX);
  }
}

// @ts-ignore: decorator
@inline
function cube(x: f64): f64 {
  return x * x * x;
}

// @ts-ignore: decorator
@inline
function clamp(x: f64, low: f64, high: f64): f64 {
  return min<f64>(max<f64>(x, low), high);
}

/** Multiplicative decrease, RFC 9438 4.6 and 4.7: sets ssthresh, leaves cwnd to PRR or the timeout. @param flight bytes in flight */
export function onCongestion(t: Tcb, flight: u32): void {
  const mss = <f64>t.mss;
  const cwnd = <f64>t.cwnd / mss;
  t.cwndPrior = cwnd;
  // Fast convergence.
  t.wMax = cwnd < t.wMax ? (cwnd * (1 + BETA)) / 2 : cwnd;
  t.cubicEpoch = 0;
  t.cwndCredit = 0;
  t.cssRounds = 0;
  // RFC 9438 4.6 reduces the window; a flight far below it (application limited) must not keep an unproven window.
  const base = min<f64>(<f64>t.cwnd, max<f64>(<f64>flight * 2, <f64>t.mss * 10));
  t.ssthresh = max(<u32>(base * BETA), 2 * <u32>t.mss);
}

/** After idle the curve's clock must not have run on. */
export function onIdleRestart(t: Tcb): void {
  t.cubicEpoch = 0;
  t.roundSamples = 0;
}

/** HyStart++, per RTT sample in slow start. */
export function onRttSample(t: Tcb, rtt: f64): void {
  if (t.cwnd >= t.ssthresh) return;
  if (rtt < t.roundMinRtt) t.roundMinRtt = rtt;
  t.roundSamples++;
  if (t.roundSamples < ROUND_SAMPLES || t.lastRoundMinRtt === Infinity) return;
  if (t.cssRounds === 0) {
    const threshold = clamp(t.lastRoundMinRtt / MIN_RTT_DIVISOR, MIN_RTT_THRESHOLD, MAX_RTT_THRESHOLD);
    if (t.roundMinRtt >= t.lastRoundMinRtt + threshold) {
      t.cssBaseline = t.roundMinRtt;
      t.cssRounds = 1;
    }
  } else if (t.roundMinRtt < t.cssBaseline) {
    // The delay was no queue after all.
    t.cssRounds = 0;
  }
}

/** HyStart++, when an ACK passes the end of a round. */
export function onRound(t: Tcb): void {
  t.roundEnd = t.sndNxt;
  t.lastRoundMinRtt = t.roundMinRtt;
  t.roundMinRtt = Infinity;
  t.roundSamples = 0;
  if (t.cssRounds !== 0 && t.cwnd < t.ssthresh && t.cssRounds++ >= CSS_ROUNDS) {
    t.ssthresh = t.cwnd;
    t.cssRounds = 0;
  }
}

/** Whether so many bytes are surely beyond reordering, RFC 8985 6.2 step 4. */
// @ts-ignore: decorator
@inline
export function passesDuplicateThreshold(t: Tcb): bool {
  return t.sackedOut >= DUPLICATE_THRESHOLD * <u32>t.mss;
}

export function clearLimited(t: Tcb): void {
  clear(t, F_CWND_LIMITED);
}
