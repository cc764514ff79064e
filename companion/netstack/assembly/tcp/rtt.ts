import { RTO_MIN } from '../constants';
import { now } from '../clock';
import { rtoMax } from '../settings';
import { Tcb } from './tcb';

/** How long the least RTT seen holds, µs: paths change. */
const MIN_RTT_AGE: f64 = 300_000_000;

/** RFC 6298 2.2, 2.3 with a sample in µs, never of a retransmitted segment (Karn) unless a timestamp tells which one it was. */
export function sampleRtt(t: Tcb, rtt: f64): void {
  if (rtt < 1) rtt = 1;
  if (rtt <= t.minRtt || now - t.minRttAt > MIN_RTT_AGE) {
    t.minRtt = rtt;
    t.minRttAt = now;
  }
  if (t.srtt === 0) {
    t.srtt = rtt;
    t.rttvar = rtt / 2;
  } else {
    t.rttvar += (abs<f64>(t.srtt - rtt) - t.rttvar) / 4;
    t.srtt += (rtt - t.srtt) / 8;
  }
  // The floor is on the variance term, as Linux has it: a steady path with a long RTT still needs slack.
  t.rto = min<f64>(t.srtt + max<f64>(4 * t.rttvar, RTO_MIN), rtoMax);
  t.backoff = 0;
}

/** RTO with its backoff, RFC 6298 5.5. */
export function backedOff(t: Tcb): f64 {
  return min<f64>(t.rto * <f64>(1 << min<u32>(t.backoff, 20)), rtoMax);
}
