import { nowMs, toMs } from '../clock';
import { Tcb } from './tcb';

/** Timestamps, RFC 7323: a clock of 1 ms with an offset per flow (keyed hash), so that it tells nobody our uptime. */

// @ts-ignore: decorator
@inline
export function stampAt(t: Tcb, when: f64): u32 {
  return toMs(when) + t.tsOffset;
}

// @ts-ignore: decorator
@inline
export function stampNow(t: Tcb): u32 {
  return nowMs + t.tsOffset;
}

/** RTT in µs that an echoed timestamp tells; negative = nonsense. */
export function echoedRtt(t: Tcb, echo: u32): f64 {
  const ms = <i32>(stampNow(t) - echo);
  return ms < 0 ? -1 : max<f64>(<f64>ms * 1000, 500);
}
