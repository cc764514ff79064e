import { PAGE_SIZE, SEND_BUFFER_MAX } from '../constants';
import { allocatePage, freeChain, freePage, linkPage, nextPage, pageAddress, pressure } from '../pages';
import { nativeBase } from '../settings';
import { clear, F_FIN_WANTED, F_WANT_SPACE, has, none, set, Tcb, CLOSE_WAIT, ESTABLISHED, SYN_SENT, SYN_RECEIVED } from './tcb';

/**
 * Bytes from the application: a chain of full pages from sndUna (sndHead) to the end (sndTail), with a cursor at sndNxt. Pages beyond the
 * tail exist only between sendReserve and sendCommit.
 */

/** The connection whose reserved space is not committed yet, or null. */
let reserving: Tcb = changetype<Tcb>(0);
/** Bytes of its spans. What was promised holds, whatever becomes of the limits meanwhile. */
let reserved: u32 = 0;

/** @returns bytes that the application may add now */
export function sendRoom(t: Tcb): u32 {
  const state = <u32>t.state;
  if (state !== ESTABLISHED && state !== CLOSE_WAIT && state !== SYN_SENT && state !== SYN_RECEIVED) return 0;
  if (has(t, F_FIN_WANTED)) return 0;
  let limit = t.sndBuffer;
  // Twice the congestion window keeps a full window in flight while the next one is written (RFC 9293 has no say; as Linux).
  const wanted = t.cwnd << 1;
  if (wanted > limit && pressure() === 0) {
    limit = min(wanted, SEND_BUFFER_MAX);
    t.sndBuffer = limit;
  }
  if (pressure() === 2) limit = min(limit, PAGE_SIZE);
  return t.sndQueued < limit ? limit - t.sndQueued : 0;
}

function putIov(iov: usize, index: i32, at: usize, length: u32): void {
  const entry = iov + (<usize>index << 4);
  store<u64>(entry, nativeBase + <u64>at);
  store<u64>(entry, <u64>length, 8);
}

/** @returns how many iovecs were written; touching pages share one. */
export function sendReserve(t: Tcb, iov: usize, maxIov: i32): i32 {
  releaseReservation();
  let room = sendRoom(t);
  if (room === 0 || maxIov <= 0) {
    set(t, F_WANT_SPACE);
    return 0;
  }
  let page = t.sndTail;
  let offset = <u32>t.sndTailOffset;
  if (page === 0) {
    page = allocatePage();
    if (page === 0) {
      set(t, F_WANT_SPACE);
      return 0;
    }
    t.sndHead = page;
    t.sndTail = page;
    t.sndCursor = page;
    t.sndHeadOffset = 0;
    t.sndTailOffset = 0;
    t.sndCursorOffset = 0;
    offset = 0;
  }
  reserving = t;
  reserved = 0;
  let amount = 0;
  let spanAt: usize = 0;
  let spanLength: u32 = 0;
  while (true) {
    const length = min(PAGE_SIZE - offset, room);
    const at = pageAddress(page) + offset;
    if (length > 0) {
      if (spanLength > 0 && spanAt + spanLength === at) {
        spanLength += length;
      } else {
        if (spanLength > 0) {
          putIov(iov, amount++, spanAt, spanLength);
          reserved += spanLength;
          spanLength = 0;
          if (amount === maxIov) break;
        }
        spanAt = at;
        spanLength = length;
      }
      room -= length;
    }
    if (room === 0) break;
    const next = allocatePage();
    if (next === 0) break;
    linkPage(page, next);
    page = next;
    offset = 0;
  }
  if (spanLength > 0) {
    putIov(iov, amount++, spanAt, spanLength);
    reserved += spanLength;
  }
  if (amount === 0) set(t, F_WANT_SPACE);
  return amount;
}

/** Takes back pages that were reserved and not used. */
export function releaseReservation(): void {
  const t = reserving;
  if (none(t)) return;
  reserving = changetype<Tcb>(0);
  trimTail(t);
}

export function forgetReservation(t: Tcb): void {
  if (reserving === t) reserving = changetype<Tcb>(0);
}

function trimTail(t: Tcb): void {
  if (t.sndTail === 0) return;
  freeChain(nextPage(t.sndTail));
  linkPage(t.sndTail, 0);
  if (t.sndQueued === 0) {
    freePage(t.sndTail);
    forgetChain(t);
  }
}

function forgetChain(t: Tcb): void {
  t.sndHead = 0;
  t.sndTail = 0;
  t.sndCursor = 0;
  t.sndHeadOffset = 0;
  t.sndTailOffset = 0;
  t.sndCursorOffset = 0;
}

/** @returns bytes taken, at most those reserved */
export function sendCommit(t: Tcb, bytes: u32): u32 {
  if (reserving !== t) return 0;
  reserving = changetype<Tcb>(0);
  let left = min(bytes, reserved);
  const wanted = left;
  let page = t.sndTail;
  let offset = <u32>t.sndTailOffset;
  while (left > 0) {
    if (offset === PAGE_SIZE) {
      const next = nextPage(page);
      if (next === 0) break;
      page = next;
      offset = 0;
    }
    const step = min(left, PAGE_SIZE - offset);
    offset += step;
    left -= step;
  }
  t.sndTail = page;
  t.sndTailOffset = <u16>offset;
  t.sndQueued += wanted - left;
  trimTail(t);
  if (sendRoom(t) === 0) set(t, F_WANT_SPACE);
  return wanted - left;
}

/** Drops the oldest `bytes`, which the peer has acknowledged. */
export function releaseSent(t: Tcb, bytes: u32): void {
  t.sndQueued -= bytes;
  while (bytes > 0) {
    const page = t.sndHead;
    const step = min(bytes, PAGE_SIZE - <u32>t.sndHeadOffset);
    bytes -= step;
    t.sndHeadOffset += <u16>step;
    if (t.sndHeadOffset === <u16>PAGE_SIZE) {
      const next = nextPage(page);
      freePage(page);
      t.sndHead = next;
      t.sndHeadOffset = 0;
      // Cursor and tail may rest at the very end of a page that goes.
      if (t.sndCursor === page) {
        t.sndCursor = next;
        t.sndCursorOffset = 0;
      }
      if (t.sndTail === page) {
        t.sndTail = next;
        t.sndTailOffset = 0;
      }
    }
  }
  if (t.sndQueued === 0 && reserving !== t && t.sndHead !== 0) {
    freeChain(t.sndHead);
    forgetChain(t);
  }
}

/** Moves the cursor off the end of a page, onto the byte sndNxt. */
// @ts-ignore: decorator
@inline
export function settleCursor(t: Tcb): void {
  if (t.sndCursorOffset === <u16>PAGE_SIZE) {
    t.sndCursor = nextPage(t.sndCursor);
    t.sndCursorOffset = 0;
  }
}

/** Result of `walk`: page, and offset in it (below 4096 unless the chain ends there). */
export let walkPage: u32 = 0;
export let walkOffset: u32 = 0;

/** The place `bytes` further on in a chain of full pages. */
export function walk(page: u32, offset: u32, bytes: u32): void {
  offset += bytes;
  while (offset >= PAGE_SIZE) {
    const next = nextPage(page);
    if (next === 0) break;
    page = next;
    offset -= PAGE_SIZE;
  }
  walkPage = page;
  walkOffset = offset;
}

export function freeSendQueue(t: Tcb): void {
  forgetReservation(t);
  freeChain(t.sndHead);
  forgetChain(t);
  t.sndQueued = 0;
  clear(t, F_WANT_SPACE);
}
