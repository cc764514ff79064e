import { count, TCP_NO_BUFFER, TCP_OUT_OF_ORDER } from '../counters';
import { EOF, READABLE } from '../events';
import { finReceived } from './input';
import { received } from './ackpolicy';
import { raise, ready } from './lists';
import { firstStart, heldAlready, joinRanges, storeOutOfOrder } from './reassembly';
import { append, chainHead, chainTail, useChain } from './receivequeue';
import {
  after, before, F_ACK_ALONE, F_ACK_NOW, F_DSACK, F_FIN_RECEIVED, F_FIN_SEEN, F_SACK, has, set, Tcb,
} from './tcb';

/** Payload and FIN of an acceptable segment: in order to the readable bytes, else to the ranges. */

/** Something arrived that we had (RFC 2883 4): the ACK will say what. */
function reportDuplicate(t: Tcb, start: u32, end: u32): void {
  if (!has(t, F_SACK)) return;
  set(t, F_DSACK);
  t.dsackStart = start;
  t.dsackEnd = end;
}

/** @param seq of the first byte @param length 0 for a FIN repeated */
export function takeData(t: Tcb, seq: u32, from: usize, length: u32): void {
  const end = seq + length;
  if (!after(end, t.rcvNxt)) {
    if (length > 0) reportDuplicate(t, seq, end);
    set(t, F_ACK_NOW | F_ACK_ALONE);
    ready(t);
    return;
  }
  if (before(seq, t.rcvNxt)) {
    reportDuplicate(t, seq, t.rcvNxt);
    from += t.rcvNxt - seq;
    seq = t.rcvNxt;
    set(t, F_ACK_NOW);
  }
  // Nothing beyond the window (which may be closed, then only the ACK counted).
  const edge = before(t.rcvAdvertised, t.rcvNxt) ? t.rcvNxt : t.rcvAdvertised;
  const stop = after(end, edge) ? edge : end;
  // Nor beyond the peer's own FIN.
  const last = has(t, F_FIN_SEEN) && after(stop, t.rcvFinSeq) ? t.rcvFinSeq : stop;
  if (!after(last, seq)) {
    set(t, F_ACK_NOW);
    ready(t);
    return;
  }
  if (seq === t.rcvNxt) takeInOrder(t, from, last);
  else takeOutOfOrder(t, seq, from, last);
}

function takeInOrder(t: Tcb, from: usize, end: u32): void {
  const start = t.rcvNxt;
  const holes = t.ranges !== 0;
  while (before(t.rcvNxt, end)) {
    const until = t.ranges !== 0 && before(firstStart(t), end) ? firstStart(t) : end;
    const wanted = until - t.rcvNxt;
    useChain(t.rcvHead, t.rcvTail);
    const got = append(from, wanted);
    t.rcvHead = chainHead;
    t.rcvTail = chainTail;
    t.rcvNxt += got;
    t.rcvQueued += got;
    from += got;
    if (got < wanted) {
      count(TCP_NO_BUFFER);
      break;
    }
    if (t.ranges !== 0) from += joinRanges(t);
  }
  const total = t.rcvNxt - start;
  if (total === 0) return;
  // RFC 5681 4.2: a segment that fills a hole is acknowledged at once.
  if (holes) set(t, F_ACK_NOW);
  received(t, total, min(total, end - start));
  raise(t, READABLE);
}

function takeOutOfOrder(t: Tcb, seq: u32, from: usize, end: u32): void {
  count(TCP_OUT_OF_ORDER);
  if (heldAlready(t, seq, end)) reportDuplicate(t, seq, end);
  if (storeOutOfOrder(t, seq, from, end - seq) === 0 && t.rangeCount === 0) count(TCP_NO_BUFFER);
  set(t, F_ACK_NOW | F_ACK_ALONE);
  ready(t);
}

/**
 * @param present the segment has a FIN (else one seen earlier has become due)
 * @param at its place in sequence space, if present
 */
export function takeFin(t: Tcb, present: bool, at: u32): void {
  if (present) {
    if (!has(t, F_FIN_SEEN)) {
      // A FIN below bytes that we hold, or beyond the window, is nonsense.
      if (before(at, t.rcvNxt) || after(at, t.rcvAdvertised)) return;
      set(t, F_FIN_SEEN);
      t.rcvFinSeq = at;
    }
    set(t, F_ACK_NOW);
    ready(t);
  }
  if (!has(t, F_FIN_SEEN) || t.rcvNxt !== t.rcvFinSeq || has(t, F_FIN_RECEIVED)) return;
  set(t, F_FIN_RECEIVED | F_ACK_NOW);
  t.rcvNxt++;
  raise(t, EOF);
  ready(t);
  finReceived(t);
}
