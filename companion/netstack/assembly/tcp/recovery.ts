import { now } from '../clock';
import { count, TCP_RECOVERIES, TCP_UNDOS } from '../counters';
import { onCongestion } from './cubic';
import { rackRecovered } from './rack';
import { inFlight, unmarkLost } from './scoreboard';
import { before, clear, F_UNDO, LOSS, OPEN, RECOVERY, set, Tcb } from './tcb';
import { stampNow } from './stamps';

/** Fast recovery with Proportional Rate Reduction (RFC 6937), and taking it back when it was for nothing. */

/** @param flight bytes in flight before the loss was noticed */
export function enterRecovery(t: Tcb, flight: u32): void {
  count(TCP_RECOVERIES);
  beginUndo(t);
  onCongestion(t, flight);
  t.phase = <u8>RECOVERY;
  t.recoverySeq = t.sndNxt;
  t.prrDelivered = 0;
  t.prrOut = 0;
  t.recoverFlight = max(flight, <u32>t.mss);
}

/** Remembers what an undo restores. */
export function beginUndo(t: Tcb): void {
  t.priorCwnd = t.cwnd;
  t.priorSsthresh = t.ssthresh;
  t.undoMarker = t.sndUna;
  t.undoRetrans = 0;
  t.retransStamp = 0;
  set(t, F_UNDO);
}

/** One segment was retransmitted. */
export function noteRetransmission(t: Tcb): void {
  t.undoRetrans++;
  if (t.retransStamp === 0) t.retransStamp = max<u32>(stampNow(t), 1);
}

/**
 * PRR, once per ACK in recovery: how large cwnd is until the next.
 * @param delivered bytes that this ACK newly acknowledged or sacked
 * @param progress whether sndUna advanced and nothing more was lost (RFC 6937bis' SafeACK)
 */
export function proportionalReduction(t: Tcb, delivered: u32, progress: bool): void {
  const mss = <u32>t.mss;
  t.prrDelivered += delivered;
  const pipe = inFlight(t);
  let allowed: u32;
  if (pipe > t.ssthresh) {
    const target = <u32>((<u64>t.prrDelivered * <u64>t.ssthresh + <u64>t.recoverFlight - 1) / <u64>t.recoverFlight);
    allowed = target > t.prrOut ? target - t.prrOut : 0;
  } else {
    const owed = t.prrDelivered > t.prrOut ? t.prrDelivered - t.prrOut : 0;
    let limit = max(owed, delivered);
    if (progress) limit += mss;
    allowed = min(t.ssthresh - pipe, limit);
  }
  // The first retransmission goes out at once.
  if (t.prrOut === 0) allowed = max(allowed, mss);
  t.cwnd = max(pipe + allowed, mss);
}

/** The ACK reached recoverySeq. */
export function leaveRecovery(t: Tcb): void {
  if (<u32>t.phase === RECOVERY) {
    t.cwnd = max(t.ssthresh, <u32>t.mss);
    rackRecovered(t);
  }
  t.phase = <u8>OPEN;
  // A D-SACK within the next round trip may still show that it was needless.
  t.recoverySeq = t.sndNxt;
}

/**
 * Whether the retransmissions are known to have been needless: the first ACK to advance sndUna echoes a timestamp from before them
 * (Eifel, RFC 3522), or D-SACKs told of all of them (RFC 3708).
 */
export function spurious(t: Tcb, advanced: bool, hasEcho: bool, echo: u32): bool {
  if ((t.flags & F_UNDO) === 0) return false;
  if (advanced && hasEcho && t.retransStamp !== 0 && before(echo, t.retransStamp)) return true;
  return t.retransStamp !== 0 && t.undoRetrans === 0;
}

export function undo(t: Tcb): void {
  count(TCP_UNDOS);
  t.cwnd = max(t.cwnd, t.priorCwnd);
  t.ssthresh = t.priorSsthresh;
  t.cubicEpoch = 0;
  t.wMax = 0;
  clear(t, F_UNDO);
  unmarkLost(t);
  t.phase = <u8>OPEN;
  t.backoff = 0;
}

/** Whether cwnd is reduced now (RECOVERY or LOSS). */
// @ts-ignore: decorator
@inline
export function recovering(t: Tcb): bool {
  return <u32>t.phase !== OPEN;
}

/** RFC 5681 4.1: after a timeout or idle. */
export function enterLoss(t: Tcb, flight: u32): void {
  if (<u32>t.phase !== LOSS) {
    if (<u32>t.phase === OPEN) {
      beginUndo(t);
      onCongestion(t, flight);
    }
    t.recoverySeq = t.sndNxt;
    t.phase = <u8>LOSS;
  }
  t.cwnd = <u32>t.mss;
  t.lastSent = now;
}
