import { carveSlab, give, Slab, take } from '../slab';
import { after, before, Tcb } from './tcb';
import { walk, walkOffset, walkPage } from './sendqueue';

/**
 * What is in flight, as records: runs of bytes that were sent at the same time and share their fate. One poll's burst is one record
 * until a SACK or a retransmission splits it. Records form a list in sequence order and one in order of (re)transmission, from which
 * sacked and lost ones are missing (RFC 8985 6.2 walks that).
 */
@unmanaged
export class Rec {
  next: usize;
  previous: usize;
  timeNext: usize;
  timePrevious: usize;
  seq: u32;
  /** Exclusive; counts a FIN as one. */
  end: u32;
  page: u32;
  offset: u16;
  flags: u8;
  retrans: u8;
  xmitAt: f64;
}

export const R_SACKED: u8 = 1;
export const R_LOST: u8 = 2;
/** Retransmitted, and that is still in flight. */
export const R_RETRANS: u8 = 4;
export const R_EVER_RETRANS: u8 = 8;
/** The last byte is the FIN. */
export const R_FIN: u8 = 16;
/** In the list by time. */
export const R_TIMED: u8 = 32;

let slab: Slab = changetype<Slab>(0);

export function carveRecords(capacity: u32): void {
  slab = carveSlab((offsetof<Rec>() + 7) & ~7, capacity);
}

export function recordsUsed(): u32 {
  return slab.used;
}

function timeAppend(t: Tcb, rec: Rec): void {
  const self = changetype<usize>(rec);
  rec.flags |= R_TIMED;
  rec.timeNext = 0;
  rec.timePrevious = t.timeTail;
  if (t.timeTail === 0) t.timeHead = self;
  else changetype<Rec>(t.timeTail).timeNext = self;
  t.timeTail = self;
}

export function timeRemove(t: Tcb, rec: Rec): void {
  if ((rec.flags & R_TIMED) === 0) return;
  rec.flags &= ~R_TIMED;
  if (rec.timePrevious === 0) t.timeHead = rec.timeNext;
  else changetype<Rec>(rec.timePrevious).timeNext = rec.timeNext;
  if (rec.timeNext === 0) t.timeTail = rec.timePrevious;
  else changetype<Rec>(rec.timeNext).timePrevious = rec.timePrevious;
}

/**
 * Notes that [seq, end) was sent for the first time, from that place of the send chain.
 * @returns false = no record free (the segment must not be sent)
 */
export function recordSent(t: Tcb, seq: u32, end: u32, page: u32, offset: u32, fin: bool, when: f64): bool {
  const last = changetype<Rec>(t.recTail);
  if (t.recTail !== 0 && last.xmitAt === when && last.end === seq && last.flags === R_TIMED && t.timeTail === t.recTail) {
    last.end = end;
    if (fin) last.flags |= R_FIN;
    return true;
  }
  const at = take(slab);
  if (at === 0) return false;
  const rec = changetype<Rec>(at);
  rec.seq = seq;
  rec.end = end;
  rec.page = page;
  rec.offset = <u16>offset;
  rec.flags = fin ? R_FIN : 0;
  rec.xmitAt = when;
  rec.previous = t.recTail;
  if (t.recTail === 0) t.recHead = at;
  else last.next = at;
  t.recTail = at;
  timeAppend(t, rec);
  return true;
}

/** Splits a record at `seq`, strictly inside. @returns the later part, null = no record free */
export function split(t: Tcb, rec: Rec, seq: u32): Rec {
  const at = take(slab);
  if (at === 0) return changetype<Rec>(0);
  const rest = changetype<Rec>(at);
  rest.seq = seq;
  rest.end = rec.end;
  rest.flags = rec.flags;
  rest.retrans = rec.retrans;
  rest.xmitAt = rec.xmitAt;
  walk(rec.page, rec.offset, seq - rec.seq);
  rest.page = walkPage;
  rest.offset = <u16>walkOffset;
  rec.end = seq;
  rec.flags &= ~R_FIN;
  rest.previous = changetype<usize>(rec);
  rest.next = rec.next;
  if (rec.next === 0) t.recTail = at;
  else changetype<Rec>(rec.next).previous = at;
  rec.next = at;
  if (rec.flags & R_TIMED) {
    rest.timePrevious = changetype<usize>(rec);
    rest.timeNext = rec.timeNext;
    if (rec.timeNext === 0) t.timeTail = at;
    else changetype<Rec>(rec.timeNext).timePrevious = at;
    rec.timeNext = at;
  }
  return rest;
}

/** Takes a record's bytes out of the counts of its flags. */
function uncount(t: Tcb, rec: Rec, bytes: u32): void {
  if (rec.flags & R_SACKED) t.sackedOut -= bytes;
  if (rec.flags & R_LOST) t.lostOut -= bytes;
  if (rec.flags & R_RETRANS) t.retransOut -= bytes;
}

/** Removes the first record, all of which was acknowledged. */
export function dropFirst(t: Tcb): void {
  const rec = changetype<Rec>(t.recHead);
  uncount(t, rec, rec.end - rec.seq);
  timeRemove(t, rec);
  t.recHead = rec.next;
  if (rec.next === 0) t.recTail = 0;
  else changetype<Rec>(rec.next).previous = 0;
  if (t.lostHint === changetype<usize>(rec)) t.lostHint = rec.next;
  give(slab, changetype<usize>(rec));
}

/** Cuts the acknowledged part off the first record. */
export function trimFirst(t: Tcb, una: u32): void {
  const rec = changetype<Rec>(t.recHead);
  const bytes = una - rec.seq;
  uncount(t, rec, bytes);
  walk(rec.page, rec.offset, bytes);
  rec.page = walkPage;
  rec.offset = <u16>walkOffset;
  rec.seq = una;
}

export function markSacked(t: Tcb, rec: Rec): void {
  const bytes = rec.end - rec.seq;
  uncount(t, rec, bytes);
  timeRemove(t, rec);
  rec.flags = (rec.flags & ~(R_LOST | R_RETRANS)) | R_SACKED;
  t.sackedOut += bytes;
}

/** Makes one record of this sacked one and a sacked neighbour before it, so that a long run costs one step of a walk. @returns which stays */
export function mergeSacked(t: Tcb, rec: Rec): Rec {
  if (rec.previous === 0) return rec;
  const previous = changetype<Rec>(rec.previous);
  if ((previous.flags & R_SACKED) === 0) return rec;
  previous.end = rec.end;
  previous.flags |= rec.flags & (R_FIN | R_EVER_RETRANS);
  previous.next = rec.next;
  if (rec.next === 0) t.recTail = changetype<usize>(previous);
  else changetype<Rec>(rec.next).previous = changetype<usize>(previous);
  if (t.lostHint === changetype<usize>(rec)) t.lostHint = rec.next;
  give(slab, changetype<usize>(rec));
  return previous;
}

/** The bytes left the network without arriving, whether first sent or retransmitted. */
export function markLost(t: Tcb, rec: Rec): void {
  const bytes = rec.end - rec.seq;
  if (rec.flags & R_RETRANS) {
    t.retransOut -= bytes;
    rec.flags &= ~R_RETRANS;
  }
  if ((rec.flags & R_LOST) === 0) {
    t.lostOut += bytes;
    rec.flags |= R_LOST;
  }
  if (t.lostHint === 0 || before(rec.seq, changetype<Rec>(t.lostHint).seq)) t.lostHint = changetype<usize>(rec);
  timeRemove(t, rec);
}

/** A lost record goes out again. */
export function markRetransmitted(t: Tcb, rec: Rec, when: f64): void {
  if ((rec.flags & R_RETRANS) === 0) t.retransOut += rec.end - rec.seq;
  rec.flags |= R_RETRANS | R_EVER_RETRANS;
  if (rec.retrans < 255) rec.retrans++;
  rec.xmitAt = when;
  timeRemove(t, rec);
  timeAppend(t, rec);
}

/** After a spurious recovery: nothing is lost after all. */
export function unmarkLost(t: Tcb): void {
  t.timeHead = 0;
  t.timeTail = 0;
  for (let at = t.recHead; at !== 0; ) {
    const rec = changetype<Rec>(at);
    rec.flags &= ~(R_LOST | R_RETRANS | R_TIMED);
    if ((rec.flags & R_SACKED) === 0) timeAppend(t, rec);
    at = rec.next;
  }
  t.lostHint = 0;
  t.lostOut = 0;
  t.retransOut = 0;
}

/** RTO: everything not sacked is lost; sacked marks go too when the peer has reneged (RFC 2018 8). */
export function markAllLost(t: Tcb, forgetSacks: bool): void {
  for (let at = t.recHead; at !== 0; at = changetype<Rec>(at).next) {
    const rec = changetype<Rec>(at);
    if (rec.flags & R_SACKED) {
      if (!forgetSacks) continue;
      t.sackedOut -= rec.end - rec.seq;
      rec.flags &= ~R_SACKED;
    }
    markLost(t, rec);
  }
}

/** RFC 6675 4's pipe, in bytes. */
// @ts-ignore: decorator
@inline
export function inFlight(t: Tcb): u32 {
  return t.sndNxt - t.sndUna - t.sackedOut - t.lostOut + t.retransOut;
}

/** First record that is lost and not retransmitted; null = none. No such record lies before lostHint. */
export function firstLost(t: Tcb): Rec {
  if (t.lostOut === 0) return changetype<Rec>(0);
  for (let at = t.lostHint; at !== 0; at = changetype<Rec>(at).next) {
    if ((changetype<Rec>(at).flags & (R_LOST | R_RETRANS)) === R_LOST) {
      t.lostHint = at;
      return changetype<Rec>(at);
    }
  }
  t.lostHint = 0;
  return changetype<Rec>(0);
}

/** Makes `rec` end at most at `end`. @returns false = could not be split */
export function limitRecord(t: Tcb, rec: Rec, end: u32): bool {
  return !after(rec.end, end) || changetype<usize>(split(t, rec, end)) !== 0;
}

/** Frees all records. */
export function freeRecords(t: Tcb): void {
  let at = t.recHead;
  while (at !== 0) {
    const next = changetype<Rec>(at).next;
    give(slab, at);
    at = next;
  }
  t.recHead = 0;
  t.recTail = 0;
  t.timeHead = 0;
  t.timeTail = 0;
  t.lostHint = 0;
  t.sackedOut = 0;
  t.lostOut = 0;
  t.retransOut = 0;
}

/** Whether `seq` lies in [una, nxt). */
// @ts-ignore: decorator
@inline
export function isOutstanding(t: Tcb, seq: u32): bool {
  return !before(seq, t.sndUna) && before(seq, t.sndNxt);
}
