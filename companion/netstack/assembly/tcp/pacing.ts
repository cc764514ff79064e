import { now } from '../clock';
import { PACING_BURST_SEGMENTS, PACING_LEAST_RTT, PACING_SLACK } from '../constants';
import { Tcb } from './tcb';

/**
 * Pacing: a bucket that fills at a little more than cwnd per round trip. Its depth is several ms of the rate, since the caller's timers
 * are coarse; a path with a short round trip is not paced at all.
 */

/** µs⁻¹ bytes. */
function rate(t: Tcb): f64 {
  const gain: f64 = t.cwnd < t.ssthresh ? 2.0 : 1.25;
  return (gain * <f64>t.cwnd) / t.srtt;
}

// @ts-ignore: decorator
@inline
function unpaced(t: Tcb): bool {
  return t.srtt < PACING_LEAST_RTT;
}

/** Bytes that may go out now; a last segment may overdraw. */
export function paceBudget(t: Tcb): i32 {
  if (unpaced(t)) return i32.MAX_VALUE;
  const speed = rate(t);
  const depth = max<f64>(speed * PACING_SLACK, <f64>(PACING_BURST_SEGMENTS * <u32>t.mss));
  t.paceCredit = min<f64>(t.paceCredit + (now - t.pacedAt) * speed, depth);
  t.pacedAt = now;
  return <i32>t.paceCredit;
}

// @ts-ignore: decorator
@inline
export function paceSent(t: Tcb, bytes: u32): void {
  t.paceCredit -= <f64>bytes;
}

/** When the bucket holds a burst again, for a connection that it holds back. */
export function paceDue(t: Tcb): f64 {
  const speed = rate(t);
  const burst = min<f64>(<f64>(<u32>t.mss << 3), max<f64>(<f64>t.mss * 2, speed * 1000));
  return now + max<f64>((burst - t.paceCredit) / speed, 10);
}
