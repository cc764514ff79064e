import { now } from '../clock';
import { FIN, INITIAL_WINDOW_SEGMENTS, PAGE_SIZE, PSH, QUANTUM_SEGMENTS } from '../constants';
import { count, TCP_RETRANSMITS, TCP_TAIL_PROBES, TCP_WINDOW_PROBES } from '../counters';
import { filled, full } from '../out';
import { nextPage } from '../pages';
import { emitBare, emitData, emitSyn } from './emit';
import { onIdleRestart } from './cubic';
import { paceBudget, paceDue, paceSent } from './pacing';
import { noteRetransmission } from './recovery';
import { backedOff } from './rtt';
import { firstLost, inFlight, limitRecord, markRetransmitted, R_FIN, R_SACKED, Rec, recordSent } from './scoreboard';
import { settleCursor } from './sendqueue';
import {
  after, before, clear, ESTABLISHED, F_ACK_ALONE, F_ACK_NOW, F_CWND_LIMITED, F_FIN_SENT, F_FIN_WANTED,
  F_INTERACTIVE, F_SEND_KEEPALIVE, F_SEND_PROBE, F_SEND_SYN, F_SEND_TLP, F_TLP_RETRANS, has, LAST_ACK, OPEN,
  set, SYN_RECEIVED, SYN_SENT, Tcb,
} from './tcb';
import { armProbes, rearm, startRto } from './timing';
import { delayedAckDue } from './ackpolicy';
import { selectWindow } from './window';

/** Decides what a connection may send now, and has it written into the poll's slots. */

/** @returns whether the connection has more to send at its next turn */
export function transmit(t: Tcb): bool {
  const state = <u32>t.state;
  if (state === SYN_SENT || (state === SYN_RECEIVED && has(t, F_SEND_SYN))) {
    if (has(t, F_SEND_SYN)) {
      clear(t, F_SEND_SYN | F_ACK_NOW);
      t.lastSent = now;
      emitSyn(t);
    }
    return false;
  }
  if (state < SYN_RECEIVED || state > LAST_ACK) return false;
  if (has(t, F_ACK_ALONE)) {
    clear(t, F_ACK_ALONE | F_ACK_NOW);
    emitBare(t, t.sndNxt, t.rcvNxt, 0);
  }
  const start = filled;
  let more = false;
  if (state >= ESTABLISHED) {
    more = sendStream(t);
    if (has(t, F_SEND_PROBE)) sendWindowProbe(t);
    if (has(t, F_SEND_KEEPALIVE) && !full()) {
      clear(t, F_SEND_KEEPALIVE | F_ACK_NOW);
      emitBare(t, t.sndUna - 1, t.rcvNxt, 0);
    }
  }
  if (filled !== start) clear(t, F_ACK_NOW);
  if (full()) {
    more = more || has(t, F_ACK_NOW) || t.ackBytes > 0;
  } else if (has(t, F_ACK_NOW) || (t.ackBytes > 0 && delayedAckDue(t))) {
    clear(t, F_ACK_NOW);
    emitBare(t, t.sndNxt, t.rcvNxt, 0);
  }
  rearm(t);
  return more;
}

/** Retransmissions, new data, FIN. @returns whether more could go out but for the quantum or the slots */
function sendStream(t: Tcb): bool {
  let quantum = QUANTUM_SEGMENTS;
  if (t.lostOut > 0) {
    while (inFlight(t) < t.cwnd) {
      const rec = firstLost(t);
      // Beyond the edge only probes go (the retransmission timer turns into theirs).
      if (changetype<usize>(rec) === 0 || !before(rec.seq, t.sndUna + t.sndWnd)) break;
      if (full() || quantum-- === 0) return true;
      if (!retransmit(t, rec)) break;
    }
  }
  if (has(t, F_SEND_TLP)) sendTailProbe(t);
  const unsent = t.sndQueued - dataInFlight(t);
  if (unsent === 0 && (!has(t, F_FIN_WANTED) || has(t, F_FIN_SENT))) {
    clear(t, F_CWND_LIMITED);
    return false;
  }
  return sendNew(t, unsent, quantum);
}

/** Bytes of the stream in sndUna..sndNxt, without a FIN. */
// @ts-ignore: decorator
@inline
function dataInFlight(t: Tcb): u32 {
  const span = t.sndNxt - t.sndUna;
  return span > 0 && has(t, F_FIN_SENT) ? span - 1 : span;
}

/** Sends the first segment's worth of a lost record again. @returns false = no record to split with */
function retransmit(t: Tcb, rec: Rec): bool {
  const mss = <u32>t.mss;
  if (!limitRecord(t, rec, rec.seq + mss)) return false;
  markRetransmitted(t, rec, now);
  noteRetransmission(t);
  t.retransmits++;
  count(TCP_RETRANSMITS);
  const length = rec.end - rec.seq;
  t.prrOut += length;
  paceSent(t, length);
  emitRecord(t, rec);
  startRto(t);
  return true;
}

/** A record of at most one segment goes out once more. */
function emitRecord(t: Tcb, rec: Rec): void {
  const fin: u32 = rec.flags & R_FIN ? 1 : 0;
  const length = rec.end - rec.seq - fin;
  const flags: u32 = fin ? FIN : 0;
  if (length === 0) {
    emitBare(t, rec.seq, t.rcvNxt, flags);
    return;
  }
  emitData(t, rec.seq, flags | PSH, rec.page, rec.offset, length, selectWindow(t, t.rcvNxt));
}

/** New data within congestion window, peer's window, pacing and quantum; then the FIN. */
function sendNew(t: Tcb, unsent: u32, quantum: i32): bool {
  const mss = <u32>t.mss;
  restartAfterIdle(t);
  let credit = paceBudget(t);
  let flight = inFlight(t);
  const edge = t.sndUna + t.sndWnd;
  const idle = t.sndNxt === t.sndUna;
  let window: u32 = 0;
  let sent = false;
  let more = false;
  while (unsent > 0) {
    const open = before(t.sndNxt, edge) ? edge - t.sndNxt : 0;
    let length = min(unsent, mss);
    if (length > open) {
      // Sender's silly window avoidance (RFC 9293 3.8.6.2.1): part of a segment only if it is half the largest window ever offered.
      if (open === 0 || open < t.maxSndWnd >>> 1) break;
      length = open;
    }
    if (flight + length > t.cwnd && flight > 0) {
      set(t, F_CWND_LIMITED);
      break;
    }
    if (credit <= 0) {
      t.paceAt = paceDue(t);
      set(t, F_CWND_LIMITED);
      break;
    }
    if (full() || quantum-- <= 0) {
      more = true;
      break;
    }
    settleCursor(t);
    const last = length === unsent;
    const fin = last && has(t, F_FIN_WANTED) && !has(t, F_FIN_SENT) && length < open;
    const end = t.sndNxt + length + <u32>(fin ? 1 : 0);
    const page = t.sndCursor;
    const offset = <u32>t.sndCursorOffset;
    if (!recordSent(t, t.sndNxt, end, page, offset, fin, now)) break;
    if (!sent) window = selectWindow(t, t.rcvNxt);
    emitData(t, t.sndNxt, (last ? PSH : 0) | (fin ? FIN : 0), page, offset, length, window);
    advanceCursor(t, length);
    t.sndNxt = end;
    if (fin) finSent(t);
    unsent -= length;
    flight += length;
    credit -= <i32>length;
    paceSent(t, length);
    if (<u32>t.phase !== OPEN) t.prrOut += length;
    sent = true;
  }
  // A FIN takes a place in the window like a byte (RFC 9293 3.4).
  if (unsent === 0 && has(t, F_FIN_WANTED) && !has(t, F_FIN_SENT) && before(t.sndNxt, edge)) {
    if (full()) {
      more = true;
    } else if (recordSent(t, t.sndNxt, t.sndNxt + 1, t.sndCursor, t.sndCursorOffset, true, now)) {
      emitBare(t, t.sndNxt, t.rcvNxt, FIN);
      t.sndNxt++;
      finSent(t);
      sent = true;
    }
  }
  if (unsent === 0 && !more) clear(t, F_CWND_LIMITED);
  if (sent) {
    if (idle) t.unansweredSince = now;
    t.lastSent = now;
    set(t, F_INTERACTIVE);
    startRto(t);
    armProbes(t);
  } else if (t.sndNxt === t.sndUna && !more && (unsent > 0 || !has(t, F_FIN_SENT)) && t.paceAt === Infinity && t.persistAt === Infinity) {
    // The peer's window holds back everything: probe it (RFC 9293 3.8.6.1).
    t.persistAt = now + backedOff(t);
    if (t.unansweredSince === 0) t.unansweredSince = now;
  }
  return more;
}

function finSent(t: Tcb): void {
  set(t, F_FIN_SENT);
}

// @ts-ignore: decorator
@inline
function advanceCursor(t: Tcb, bytes: u32): void {
  let offset = <u32>t.sndCursorOffset + bytes;
  while (offset > PAGE_SIZE) {
    t.sndCursor = nextPage(t.sndCursor);
    offset -= PAGE_SIZE;
  }
  t.sndCursorOffset = <u16>offset;
}

/** RFC 5681 4.1, softened as Linux does it: half the window per RTO of idle, not below the initial window. */
function restartAfterIdle(t: Tcb): void {
  if (t.sndNxt !== t.sndUna || t.lastSent === 0) return;
  let idle = now - t.lastSent;
  if (idle <= t.rto) return;
  const least = INITIAL_WINDOW_SEGMENTS * <u32>t.mss;
  while (idle > t.rto && t.cwnd > least) {
    t.cwnd = max(t.cwnd >>> 1, least);
    idle -= t.rto;
  }
  onIdleRestart(t);
  t.roundEnd = t.sndNxt;
  t.lastSent = now;
}

/** RFC 8985 7.3: new data if the window allows, else the last segment again. */
function sendTailProbe(t: Tcb): void {
  if (full()) return;
  clear(t, F_SEND_TLP);
  if (t.sndNxt === t.sndUna || t.tlpEnd !== 0) return;
  count(TCP_TAIL_PROBES);
  const unsent = t.sndQueued - dataInFlight(t);
  const mss = <u32>t.mss;
  const open = t.sndUna + t.sndWnd - t.sndNxt;
  if (unsent > 0 && after(t.sndUna + t.sndWnd, t.sndNxt)) {
    const length = min(min(unsent, mss), open);
    settleCursor(t);
    if (!recordSent(t, t.sndNxt, t.sndNxt + length, t.sndCursor, t.sndCursorOffset, false, now)) return;
    emitData(t, t.sndNxt, PSH, t.sndCursor, t.sndCursorOffset, length, selectWindow(t, t.rcvNxt));
    advanceCursor(t, length);
    t.sndNxt += length;
    clear(t, F_TLP_RETRANS);
  } else {
    let at = t.recTail;
    while (at !== 0 && changetype<Rec>(at).flags & R_SACKED) at = changetype<Rec>(at).previous;
    if (at === 0) return;
    let rec = changetype<Rec>(at);
    if (rec.end - rec.seq > mss) {
      if (!limitRecord(t, rec, rec.end - mss)) return;
      rec = changetype<Rec>(rec.next);
    }
    markRetransmitted(t, rec, now);
    noteRetransmission(t);
    t.retransmits++;
    count(TCP_RETRANSMITS);
    emitRecord(t, rec);
    set(t, F_TLP_RETRANS);
  }
  t.tlpEnd = t.sndNxt;
  t.lastSent = now;
  // RFC 8985 7.3: the RTO starts anew after the probe.
  t.rtoAt = now + backedOff(t);
}

/** What fits of the window, at least a byte (or FIN) beyond it, or the oldest unacknowledged one again: the peer must answer. */
function sendWindowProbe(t: Tcb): void {
  if (full()) return;
  clear(t, F_SEND_PROBE | F_ACK_NOW);
  count(TCP_WINDOW_PROBES);
  const window = selectWindow(t, t.rcvNxt);
  if (t.recHead !== 0) {
    const rec = changetype<Rec>(t.recHead);
    if (rec.flags & R_FIN && rec.end - rec.seq === 1) emitBare(t, rec.seq, t.rcvNxt, FIN);
    else emitData(t, rec.seq, PSH, rec.page, rec.offset, 1, window);
    return;
  }
  if (t.sndQueued > 0) {
    settleCursor(t);
    const length = min(max<u32>(t.sndWnd, 1), min<u32>(t.sndQueued, t.mss));
    if (!recordSent(t, t.sndNxt, t.sndNxt + length, t.sndCursor, t.sndCursorOffset, false, now)) return;
    emitData(t, t.sndNxt, PSH, t.sndCursor, t.sndCursorOffset, length, window);
    advanceCursor(t, length);
    t.sndNxt += length;
  } else if (has(t, F_FIN_WANTED) && !has(t, F_FIN_SENT)) {
    if (!recordSent(t, t.sndNxt, t.sndNxt + 1, t.sndCursor, t.sndCursorOffset, true, now)) return;
    emitBare(t, t.sndNxt, t.rcvNxt, FIN);
    t.sndNxt++;
    finSent(t);
  }
}
