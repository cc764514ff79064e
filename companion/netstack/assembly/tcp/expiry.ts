import { now } from '../clock';
import { KEEPALIVE_INTERVAL, KEEPALIVE_PROBES, ORPHAN_PERSIST_LIMIT, PERSIST_MAX, SYN_ACK_RETRIES, SYN_RETRIES } from '../constants';
import { count, TCP_ABORT_ORPHAN, TCP_ABORT_TIMEOUT, TCP_ATTEMPT_FAILS, TCP_TIMEOUTS } from '../counters';
import { E_ABORTED, E_TIMEOUT } from '../events';
import { connectTimeout, keepaliveIdle, userTimeout } from '../settings';
import { firstTimer, wakeAt } from '../timers';
import { suspectBlackHole } from './blackhole';
import { abortConnection, destroy, fail } from './lifecycle';
import { ready } from './lists';
import { rackDetect } from './rack';
import { enterLoss, enterRecovery } from './recovery';
import { backedOff } from './rtt';
import { inFlight, markAllLost, R_SACKED, Rec } from './scoreboard';
import {
  CLOSED, DEFERRED, F_ACK_NOW, F_DEFERRED, F_ORPHAN, F_PASSIVE, F_SEND_KEEPALIVE, F_SEND_PROBE, F_SEND_SYN, F_SEND_TLP, F_SYN_RESENT,
  has, none, OPEN, set, SYN_RECEIVED, SYN_SENT, Tcb,
} from './tcb';
import { earliest } from './timing';
import { expireWaiting } from './timewait';

/** Timers that have come due. One late call fires each timer once, however late it is. */

/** What segments go out is put down for the next poll. */
export function fireTimers(): void {
  expireWaiting();
  while (true) {
    const t = firstTimer();
    if (none(t) || t.wakeAt > now) return;
    if (fire(t)) wakeAt(t, earliest(t));
  }
}

/** @returns false = the connection is gone */
function fire(t: Tcb): bool {
  if (t.stateAt <= now && !lifeOver(t)) return false;
  if (t.rtoAt <= now && !retransmissionTimeout(t)) return false;
  if (t.persistAt <= now && !persistTimeout(t)) return false;
  if (t.keepaliveAt <= now && !keepaliveTimeout(t)) return false;
  if (t.rackAt <= now) {
    t.rackAt = Infinity;
    const flight = inFlight(t);
    if (rackDetect(t)) {
      if (<u32>t.phase === OPEN) {
        enterRecovery(t, flight);
        t.cwnd = max<u32>(t.cwnd < t.ssthresh ? t.cwnd : t.ssthresh, t.mss);
      }
      ready(t);
    }
  }
  if (t.tlpAt <= now) {
    t.tlpAt = Infinity;
    set(t, F_SEND_TLP);
    ready(t);
  }
  if (t.delackAt <= now) {
    t.delackAt = Infinity;
    set(t, F_ACK_NOW);
    ready(t);
  }
  if (t.paceAt <= now) {
    t.paceAt = Infinity;
    ready(t);
  }
  return true;
}

/** Deferred SYN never answered, FIN-WAIT-2 without a reader, orphan held up. */
function lifeOver(t: Tcb): bool {
  t.stateAt = Infinity;
  if (<u32>t.state === DEFERRED) {
    fail(t, E_TIMEOUT);
  } else {
    count(TCP_ABORT_ORPHAN);
    abortConnection(t, E_ABORTED);
  }
  return false;
}

/** How long the peer may owe an answer. */
function patience(t: Tcb): f64 {
  return has(t, F_ORPHAN) ? min<f64>(userTimeout, ORPHAN_PERSIST_LIMIT) : userTimeout;
}

/** @returns whether it still may, given what it owes */
function stillPatient(t: Tcb): bool {
  if (t.unansweredSince === 0 || now - t.unansweredSince < patience(t)) return true;
  count(TCP_ABORT_TIMEOUT);
  abortConnection(t, E_TIMEOUT);
  return false;
}

function retransmissionTimeout(t: Tcb): bool {
  t.rtoAt = Infinity;
  const state = <u32>t.state;
  if (state === SYN_SENT || state === SYN_RECEIVED) return handshakeTimeout(t);
  if (t.sndUna === t.sndNxt) return true;
  if (!stillPatient(t)) return false;
  if (t.sndWnd === 0) {
    // The window closed over what is in flight: that is no loss, but must be probed.
    t.persistAt = now;
    return true;
  }
  count(TCP_TIMEOUTS);
  const flight = inFlight(t);
  if (t.backoff < 30) t.backoff++;
  suspectBlackHole(t);
  // RFC 2018 8: a head that was sacked and yet is not acknowledged says that the peer threw it away.
  const reneged = t.recHead !== 0 && (changetype<Rec>(t.recHead).flags & R_SACKED) !== 0;
  enterLoss(t, flight);
  markAllLost(t, reneged);
  t.tlpAt = Infinity;
  t.rackAt = Infinity;
  t.tlpEnd = 0;
  t.rtoAt = now + backedOff(t);
  ready(t);
  return true;
}

function handshakeTimeout(t: Tcb): bool {
  const active = !has(t, F_PASSIVE);
  const limit = active ? SYN_RETRIES : SYN_ACK_RETRIES;
  if (<u32>t.backoff >= limit || (active && now - t.unansweredSince >= connectTimeout)) {
    count(TCP_ATTEMPT_FAILS);
    // A listener's connection that nobody has heard of goes silently.
    if (!active && !has(t, F_DEFERRED)) destroy(t);
    else fail(t, E_TIMEOUT);
    return false;
  }
  t.backoff++;
  set(t, F_SEND_SYN | F_SYN_RESENT);
  t.rtoAt = now + backedOff(t);
  if (active) t.rtoAt = min<f64>(t.rtoAt, t.unansweredSince + connectTimeout);
  ready(t);
  return true;
}

/** RFC 9293 3.8.6.1: for ever while the peer answers, with backoff. */
function persistTimeout(t: Tcb): bool {
  t.persistAt = Infinity;
  if (<u32>t.state === CLOSED || !stillPatient(t)) return false;
  if (has(t, F_ORPHAN) && t.stateAt === Infinity) t.stateAt = now + ORPHAN_PERSIST_LIMIT;
  if (t.backoff < 30) t.backoff++;
  t.persistAt = now + min<f64>(backedOff(t), PERSIST_MAX);
  set(t, F_SEND_PROBE);
  ready(t);
  return true;
}

function keepaliveTimeout(t: Tcb): bool {
  if (keepaliveIdle === 0) {
    t.keepaliveAt = Infinity;
    return true;
  }
  if (t.sndUna !== t.sndNxt || t.persistAt !== Infinity) {
    // Retransmissions or probes tell already.
    t.keepaliveAt = now + keepaliveIdle;
    return true;
  }
  if (<u32>t.keepProbes >= KEEPALIVE_PROBES) {
    count(TCP_ABORT_TIMEOUT);
    abortConnection(t, E_TIMEOUT);
    return false;
  }
  t.keepProbes++;
  t.keepaliveAt = now + KEEPALIVE_INTERVAL;
  set(t, F_SEND_KEEPALIVE);
  ready(t);
  return true;
}
