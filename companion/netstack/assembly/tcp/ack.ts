import { now } from '../clock';
import { PAGE_SIZE } from '../constants';
import { ready, raise } from './lists';
import { WRITABLE } from '../events';
import { onAcked, onRound, onRttSample, onCongestion } from './cubic';
import { rackDetect, rackReordering, rackUpdate } from './rack';
import { enterRecovery, leaveRecovery, proportionalReduction, recovering, spurious, undo } from './recovery';
import { sampleRtt } from './rtt';
import { newlySacked, sackRtt, sawDsack, takeSacks } from './sack';
import { dropFirst, inFlight, markAllLost, R_EVER_RETRANS, R_FIN, R_SACKED, Rec, trimFirst } from './scoreboard';
import { releaseSent, sendRoom } from './sendqueue';
import { echoedRtt } from './stamps';
import {
  after, before, clear, F_FIN_ACKED, F_FIN_WANTED, F_ORPHAN, F_TLP_RETRANS, F_TS, F_UNDO, F_WANT_SPACE, FIN_WAIT_2, has, LOSS, OPEN, RECOVERY, set, Tcb,
} from './tcb';
import { armProbes, restartRto } from './timing';

/**
 * An acceptable acknowledgment (sndUna <= ack <= sndNxt, RFC 9293 3.10.7.4) of a synchronized connection.
 * @param window already scaled, bytes
 * @param blocks SACK blocks at `sackAt`
 * @param bare the segment carries neither data nor FIN
 */
export function acknowledge(
  t: Tcb, seq: u32, ack: u32, window: u32, sackAt: usize, blocks: u32, hasEcho: bool, echo: u32, bare: bool,
): void {
  const una = t.sndUna;
  if (ack === t.sndNxt && ack === una && blocks === 0) {
    // Nothing is out, as on the receiving side of a bulk transfer: only the window can be news.
    updateWindow(t, seq, ack, window, una);
    if (t.sndQueued > 0 || has(t, F_FIN_WANTED)) ready(t);
    return;
  }
  const advanced = after(ack, una);
  const flight = inFlight(t);
  const sameWindow = window === t.sndWnd;
  const lostBefore = t.lostOut;
  takeSacks(t, ack, sackAt, blocks, hasEcho, echo);
  updateWindow(t, seq, ack, window, una);

  let rtt: f64 = -1;
  if (advanced) {
    rtt = dropAcknowledged(t, ack, hasEcho, echo);
    t.unansweredSince = ack === t.sndNxt ? 0 : now;
    t.probes = 0;
  }
  if (rtt < 0 && newlySacked > 0) rtt = sackRtt;
  if (rtt < 0 && advanced && hasEcho && echo !== 0 && has(t, F_TS)) rtt = echoedRtt(t, echo);
  if (rtt >= 0) {
    sampleRtt(t, rtt);
    onRttSample(t, rtt);
  }
  if (advanced && !before(ack, t.roundEnd)) onRound(t);

  if (t.tlpEnd !== 0) endTailProbe(t, ack, advanced, sameWindow && bare, flight);
  if ((recovering(t) || sawDsack) && spurious(t, advanced, hasEcho && has(t, F_TS), echo)) undo(t);
  if (<u32>t.phase === OPEN && after(ack, t.recoverySeq)) clear(t, F_UNDO);
  const acked = ack - una;
  if (recovering(t) && !before(ack, t.recoverySeq)) {
    // The last ACK of a timeout's slow start still counts towards it.
    if (<u32>t.phase === LOSS && advanced) onAcked(t, acked, flight);
    leaveRecovery(t);
  }
  const fresh = rackDetect(t);
  if (<u32>t.phase === OPEN && fresh) enterRecovery(t, flight);
  if (<u32>t.phase === RECOVERY) proportionalReduction(t, acked + newlySacked, advanced && !fresh && t.lostOut <= lostBefore);
  else if (advanced) onAcked(t, acked, flight);

  if (advanced) restartRto(t);
  armProbes(t);
  if (advanced && has(t, F_WANT_SPACE)) offerSpace(t);
  if (t.sndQueued > t.sndNxt - t.sndUna || t.lostOut > 0 || has(t, F_FIN_WANTED)) ready(t);
}

/** Frees what the peer has. @returns RTT in µs of the newest record that was sent once, negative = none */
function dropAcknowledged(t: Tcb, ack: u32, hasEcho: bool, echo: u32): f64 {
  let rtt: f64 = -1;
  let bytes = ack - t.sndUna;
  while (t.recHead !== 0) {
    const rec = changetype<Rec>(t.recHead);
    if (after(rec.end, ack)) {
      if (after(ack, rec.seq)) {
        if ((rec.flags & (R_SACKED | R_EVER_RETRANS)) === 0) {
          rtt = now - rec.xmitAt;
          if (rec.xmitAt >= t.rackXmit) {
            t.rackXmit = rec.xmitAt;
            t.rackEnd = ack;
            t.rackRtt = rtt;
          }
          if (after(ack, t.rackFack)) t.rackFack = ack;
        }
        trimFirst(t, ack);
      }
      break;
    }
    if ((rec.flags & R_SACKED) === 0) {
      if ((rec.flags & R_EVER_RETRANS) === 0) rtt = now - rec.xmitAt;
      rackUpdate(t, rec, hasEcho, echo);
      rackReordering(t, rec);
    }
    if (rec.flags & R_FIN) {
      set(t, F_FIN_ACKED);
      bytes--;
    }
    dropFirst(t);
  }
  t.sndUna = ack;
  releaseSent(t, bytes);
  return rtt;
}

/**
 * RFC 9293 3.10.7.4, with Linux's latitude: an ACK that advances, a newer segment, or the same one with a larger (or closed) window.
 * @param una sndUna before this ACK
 */
function updateWindow(t: Tcb, seq: u32, ack: u32, window: u32, una: u32): void {
  if (!after(ack, una) && !after(seq, t.sndWl1) && !(seq === t.sndWl1 && (window > t.sndWnd || window === 0))) return;
  if (after(ack + window, una + t.sndWnd)) ready(t);
  t.sndWl1 = seq;
  t.sndWl2 = ack;
  t.sndWnd = window;
  if (window > t.maxSndWnd) t.maxSndWnd = window;
  if (window > 0 && t.persistAt !== Infinity) {
    t.persistAt = Infinity;
    t.backoff = 0;
    // What was sent into the closed window was dropped for that, not by the network: it goes again, cwnd stays.
    markAllLost(t, false);
    if (has(t, F_ORPHAN) && <u32>t.state !== FIN_WAIT_2) t.stateAt = Infinity;
  }
}

/** RFC 8985 7.4: what became of the tail loss probe. */
function endTailProbe(t: Tcb, ack: u32, advanced: bool, duplicate: bool, flight: u32): void {
  if (before(ack, t.tlpEnd)) return;
  if (!has(t, F_TLP_RETRANS) || sawDsack) {
    t.tlpEnd = 0;
  } else if (after(ack, t.tlpEnd) || (advanced && ack === t.tlpEnd && !sawDsack)) {
    // The probe repaired a loss that nothing else told of: reduce, without a recovery to go through.
    if (after(ack, t.tlpEnd)) {
      t.tlpEnd = 0;
      if (<u32>t.phase === OPEN) {
        onCongestion(t, flight);
        t.cwnd = min(t.cwnd, t.ssthresh);
      }
    }
  } else if (duplicate && newlySacked === 0) {
    t.tlpEnd = 0;
  }
}

/** Tells the application that waited for space, once there is enough to be worth its while. */
export function offerSpace(t: Tcb): void {
  const room = sendRoom(t);
  if (room < min(t.sndBuffer >>> 2, 16 * PAGE_SIZE)) return;
  clear(t, F_WANT_SPACE);
  raise(t, WRITABLE);
}
