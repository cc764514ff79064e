import { now } from '../clock';
import { passesDuplicateThreshold } from './cubic';
import { markLost, R_EVER_RETRANS, Rec } from './scoreboard';
import { after, before, F_REORDERING, F_TS, has, OPEN, set, Tcb } from './tcb';
import { stampAt } from './stamps';

/** RACK (RFC 8985): a segment is lost when one sent enough later has arrived. */

/** RFC 8985 6.2: recoveries without a D-SACK after which the reordering window shrinks back. */
const REO_PERSIST: u16 = 16;
const REO_MULT_MAX: u16 = 64;

/** Step 2, for each record newly acknowledged or sacked. @param echo TSecr of the ACK, if `hasEcho` */
export function rackUpdate(t: Tcb, rec: Rec, hasEcho: bool, echo: u32): void {
  const rtt = now - rec.xmitAt;
  if (rec.flags & R_EVER_RETRANS) {
    // Perhaps this acknowledges the original: then the retransmission's time says nothing.
    if (rtt < t.minRtt) return;
    if (hasEcho && has(t, F_TS) && before(echo, stampAt(t, rec.xmitAt))) return;
  }
  t.rackRtt = rtt;
  if (rec.xmitAt > t.rackXmit || (rec.xmitAt === t.rackXmit && after(rec.end, t.rackEnd))) {
    t.rackXmit = rec.xmitAt;
    t.rackEnd = rec.end;
  }
}

/** Step 3, for each such record in sequence order. */
export function rackReordering(t: Tcb, rec: Rec): void {
  if (after(rec.end, t.rackFack)) t.rackFack = rec.end;
  else if (before(rec.end, t.rackFack) && (rec.flags & R_EVER_RETRANS) === 0) set(t, F_REORDERING);
}

/** A D-SACK arrived: our retransmission was needless, so wait longer (step 4, at most once per round). */
export function rackDsack(t: Tcb): void {
  if (before(t.sndUna, t.rackRound)) return;
  t.rackRound = t.sndNxt;
  if (t.reoMult < REO_MULT_MAX) t.reoMult++;
  t.reoPersist = REO_PERSIST;
  set(t, F_REORDERING);
}

/** A recovery ended. */
export function rackRecovered(t: Tcb): void {
  if (t.reoPersist > 0 && --t.reoPersist === 0) t.reoMult = 1;
}

/** Step 4: µs. */
export function reorderWindow(t: Tcb): f64 {
  if (!has(t, F_REORDERING) && (<u32>t.phase !== OPEN || passesDuplicateThreshold(t))) return 0;
  if (t.minRtt === Infinity) return 0;
  return min<f64>((<f64>t.reoMult * t.minRtt) / 4, t.srtt);
}

/**
 * Step 5: marks what is lost and sets the timer for what soon may be.
 * @returns whether something was marked
 */
export function rackDetect(t: Tcb): bool {
  t.rackAt = Infinity;
  if (t.rackXmit === 0) return false;
  const wait = t.rackRtt + reorderWindow(t);
  let found = false;
  let at = t.timeHead;
  while (at !== 0) {
    const rec = changetype<Rec>(at);
    if (rec.xmitAt > t.rackXmit || (rec.xmitAt === t.rackXmit && !before(rec.end, t.rackEnd))) {
      if (rec.xmitAt > t.rackXmit) break;
      at = rec.timeNext;
      continue;
    }
    const next = rec.timeNext;
    const due = rec.xmitAt + wait;
    if (due <= now) {
      markLost(t, rec);
      found = true;
    } else if (due < t.rackAt) {
      // Later ones are due later: the earliest is enough to wake for.
      t.rackAt = due;
      break;
    }
    at = next;
  }
  return found;
}
