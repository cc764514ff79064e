import { MAX_RANGES } from '../constants';
import { freeChain } from '../pages';
import { carveSlab, give, Slab, take } from '../slab';
import { append, chainHead, chainTail, concatenate, skip, useChain } from './receivequeue';
import { after, before, Tcb } from './tcb';

/**
 * Bytes beyond a hole, as ranges in sequence order, apart from each other by at least one missing byte. What arrived first stays
 * (overlapping bytes are never replaced), ranges are bounded in number, and their bytes by the advertised window.
 */
@unmanaged
export class Range {
  next: usize;
  start: u32;
  end: u32;
  head: u32;
  tail: u32;
  /** Greater = touched later; SACK blocks go out in that order (RFC 2018 4). */
  stamp: u32;
}

let slab: Slab = changetype<Slab>(0);

export function carveRanges(capacity: u32): void {
  slab = carveSlab((offsetof<Range>() + 7) & ~7, capacity);
}

function useRange(range: Range): void {
  useChain(range.head, range.tail);
}

function keepChain(range: Range): void {
  range.head = chainHead;
  range.tail = chainTail;
}

/** The range that ends at or before `seq`, as late as can be; null = none. */
function rangeBefore(t: Tcb, seq: u32): Range {
  let found: usize = 0;
  for (let at = t.ranges; at !== 0; at = changetype<Range>(at).next) {
    if (after(changetype<Range>(at).end, seq)) break;
    found = at;
  }
  return changetype<Range>(found);
}

/** Stores what is new of [seq, seq + length), all of it beyond rcvNxt and within the window. @returns bytes stored */
export function storeOutOfOrder(t: Tcb, seq: u32, from: usize, length: u32): u32 {
  const end = seq + length;
  const stamp = ++t.rangeStamp;
  let stored: u32 = 0;
  let previous = rangeBefore(t, seq);
  while (before(seq, end)) {
    const nextAt = changetype<usize>(previous) === 0 ? t.ranges : previous.next;
    const next = changetype<Range>(nextAt);
    if (nextAt !== 0 && !after(next.start, seq)) {
      // The byte at seq is there already.
      next.stamp = stamp;
      const past = next.end - seq;
      if (!before(next.end, end)) return stored;
      from += past;
      seq = next.end;
      previous = next;
      continue;
    }
    const stop = nextAt !== 0 && before(next.start, end) ? next.start : end;
    const wanted = stop - seq;
    let got: u32;
    if (changetype<usize>(previous) !== 0 && previous.end === seq) {
      useRange(previous);
      got = append(from, wanted);
      keepChain(previous);
      previous.end += got;
      previous.stamp = stamp;
    } else {
      if (t.rangeCount >= MAX_RANGES) return stored;
      const at = take(slab);
      if (at === 0) return stored;
      const range = changetype<Range>(at);
      useChain(0, 0);
      got = append(from, wanted);
      if (got === 0) {
        give(slab, at);
        return stored;
      }
      keepChain(range);
      range.start = seq;
      range.end = seq + got;
      range.stamp = stamp;
      range.next = nextAt;
      if (changetype<usize>(previous) === 0) t.ranges = at;
      else previous.next = at;
      t.rangeCount++;
      previous = range;
    }
    stored += got;
    t.outOfOrder += got;
    seq += got;
    from += got;
    if (got < wanted) return stored;
    if (nextAt !== 0 && next.start === seq) {
      useRange(previous);
      concatenate(next.head, next.tail);
      keepChain(previous);
      previous.end = next.end;
      previous.stamp = stamp;
      previous.next = next.next;
      give(slab, nextAt);
      t.rangeCount--;
      const jump = before(previous.end, end) ? previous.end - seq : end - seq;
      seq += jump;
      from += jump;
    }
  }
  return stored;
}

/** Where the first range starts; only if there is one. */
// @ts-ignore: decorator
@inline
export function firstStart(t: Tcb): u32 {
  return changetype<Range>(t.ranges).start;
}

/** Moves ranges that rcvNxt has reached to the readable bytes. @returns bytes by which rcvNxt advanced */
export function joinRanges(t: Tcb): u32 {
  let total: u32 = 0;
  while (t.ranges !== 0) {
    const range = changetype<Range>(t.ranges);
    if (after(range.start, t.rcvNxt)) break;
    const length = range.end - range.start;
    const known = t.rcvNxt - range.start;
    t.outOfOrder -= length;
    if (known >= length) {
      freeChain(range.head);
    } else {
      useRange(range);
      skip(known);
      const head = chainHead;
      const tail = chainTail;
      useChain(t.rcvHead, t.rcvTail);
      concatenate(head, tail);
      t.rcvHead = chainHead;
      t.rcvTail = chainTail;
      const fresh = length - known;
      t.rcvNxt += fresh;
      t.rcvQueued += fresh;
      total += fresh;
    }
    t.ranges = range.next;
    t.rangeCount--;
    give(slab, changetype<usize>(range));
  }
  return total;
}

/**
 * Writes SACK blocks (RFC 2018 3), latest first, each start and end in network order.
 * @returns how many
 */
export function writeSackBlocks(t: Tcb, to: usize, most: u32): u32 {
  let written: u32 = 0;
  let below: u32 = 0xffffffff;
  while (written < most) {
    let best: usize = 0;
    let bestStamp: u32 = 0;
    for (let at = t.ranges; at !== 0; at = changetype<Range>(at).next) {
      const stamp = changetype<Range>(at).stamp;
      if (stamp < below && stamp > bestStamp) {
        bestStamp = stamp;
        best = at;
      }
    }
    if (best === 0) break;
    below = bestStamp;
    const range = changetype<Range>(best);
    store<u32>(to, bswap<u32>(range.start));
    store<u32>(to, bswap<u32>(range.end), 4);
    to += 8;
    written++;
  }
  return written;
}

/** Whether [start, end) touches bytes that a range holds, for D-SACK (RFC 2883 4). */
export function heldAlready(t: Tcb, start: u32, end: u32): bool {
  for (let at = t.ranges; at !== 0; at = changetype<Range>(at).next) {
    const range = changetype<Range>(at);
    if (before(start, range.end) && after(end, range.start)) return !before(start, range.start) && !after(end, range.end);
  }
  return false;
}

export function freeRanges(t: Tcb): void {
  let at = t.ranges;
  while (at !== 0) {
    const next = changetype<Range>(at).next;
    freeChain(changetype<Range>(at).head);
    give(slab, at);
    at = next;
  }
  t.ranges = 0;
  t.rangeCount = 0;
  t.outOfOrder = 0;
}
