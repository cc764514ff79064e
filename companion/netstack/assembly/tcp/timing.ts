import { now } from '../clock';
import { WORST_DELAYED_ACK } from '../constants';
import { keepaliveIdle } from '../settings';
import { wakeBy } from '../timers';
import { backedOff } from './rtt';
import { inFlight } from './scoreboard';
import { OPEN, Tcb } from './tcb';

/** When a connection next wants to be woken. Each timer is a field of its own; the heap knows the earliest, or earlier. */

/** The earliest of all timers. */
export function earliest(t: Tcb): f64 {
  return min<f64>(
    min<f64>(min<f64>(t.rtoAt, t.rackAt), min<f64>(t.tlpAt, t.persistAt)),
    min<f64>(min<f64>(t.delackAt, t.paceAt), min<f64>(t.keepaliveAt, t.stateAt)),
  );
}

/** Call after anything that set a timer. */
// @ts-ignore: decorator
@inline
export function rearm(t: Tcb): void {
  wakeBy(t, earliest(t));
}

/** All timers off. */
export function stopTimers(t: Tcb): void {
  t.rtoAt = Infinity;
  t.rackAt = Infinity;
  t.tlpAt = Infinity;
  t.persistAt = Infinity;
  t.delackAt = Infinity;
  t.paceAt = Infinity;
  t.keepaliveAt = Infinity;
  t.stateAt = Infinity;
}

/** RFC 6298 5.1: starts the retransmission timer unless it runs. */
export function startRto(t: Tcb): void {
  if (t.rtoAt === Infinity) t.rtoAt = now + backedOff(t);
  if (t.unansweredSince === 0) t.unansweredSince = now;
}

/** RFC 6298 5.2, 5.3: sndUna advanced. */
export function restartRto(t: Tcb): void {
  if (t.sndUna === t.sndNxt) {
    t.rtoAt = Infinity;
    t.rackAt = Infinity;
    t.tlpAt = Infinity;
    t.tlpEnd = 0;
  } else {
    t.rtoAt = now + backedOff(t);
  }
}

/** RFC 8985 7.2: arms the tail loss probe, after new data went out or an ACK came in. It yields to everything else. */
export function armProbes(t: Tcb): void {
  t.tlpAt = Infinity;
  if (t.rtoAt === Infinity || <u32>t.phase !== OPEN || t.tlpEnd !== 0 || t.sackedOut !== 0 || t.sndWnd === 0 || t.rackAt !== Infinity || t.backoff !== 0)
    return;
  let wait: f64 = 1_000_000;
  if (t.srtt > 0) {
    wait = 2 * t.srtt;
    if (inFlight(t) <= <u32>t.mss) wait += WORST_DELAYED_ACK;
    // Nothing answers faster than its own timer slack.
    wait = max<f64>(wait, 2_000);
  }
  const at = now + wait;
  if (at < t.rtoAt) t.tlpAt = at;
}

/** The peer was heard: its keepalive count starts anew. */
export function heard(t: Tcb): void {
  t.lastReceived = now;
  t.keepProbes = 0;
  if (keepaliveIdle > 0) t.keepaliveAt = now + keepaliveIdle;
}
