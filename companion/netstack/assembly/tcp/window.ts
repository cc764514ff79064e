import { now } from '../clock';
import { PAGE_SIZE, RECEIVE_BUFFER_MAX } from '../constants';
import { pressure } from '../pages';
import { ready } from './lists';
import { before, F_ACK_NOW, set, SYN_RECEIVED, Tcb } from './tcb';

/** The receive window: what is advertised, when an update goes out, and how the buffer grows. */

/** How far the advertised edge may creep beyond the buffer by rounding up to the window's unit, bytes. */
const CREEP: u32 = 4 * PAGE_SIZE;

/** Bytes the buffer can still take in order. */
// @ts-ignore: decorator
@inline
export function receiveSpace(t: Tcb): u32 {
  return t.rcvBuffer > t.rcvQueued ? t.rcvBuffer - t.rcvQueued : 0;
}

/** The window that was advertised and is not used up. */
// @ts-ignore: decorator
@inline
export function receiveWindow(t: Tcb): u32 {
  return before(t.rcvAdvertised, t.rcvNxt) ? 0 : t.rcvAdvertised - t.rcvNxt;
}

/**
 * The window field of the next segment, in units of our scale, not for SYNs. Moves the advertised edge on if that opens it by a segment
 * or half the buffer (RFC 9293 3.8.6.2.2); the edge never moves back, although the unit of the scale wants it to (RFC 7323 2.4).
 * @param ack the acknowledgment number that it goes with: rcvNxt, or an earlier one
 */
export function selectWindow(t: Tcb, ack: u32): u32 {
  const shift = <u32>t.rcvShift;
  const space = receiveSpace(t);
  const current = receiveWindow(t);
  let units: u32;
  // A SYN-ACK may have to go again, and it cannot tell of more than this.
  if (<u32>t.state === SYN_RECEIVED) return current >>> shift;
  if (space >= current + min<u32>(t.rcvMss, t.rcvBuffer >>> 1) && pressure() < 2) {
    units = space >>> shift;
    if (units << shift < current) units++;
  } else {
    units = (current + (1 << shift) - 1) >>> shift;
    if (units << shift > space + CREEP) units = current >>> shift;
  }
  if (ack !== t.rcvNxt) units = (t.rcvNxt + (units << shift) - ack + (1 << shift) - 1) >>> shift;
  units = min<u32>(units, 0xffff);
  const edge = ack + (units << shift);
  if (before(t.rcvAdvertised, edge)) t.rcvAdvertised = edge;
  return units;
}

/** The application took `bytes`: tells the peer at once if that matters to it. */
export function onConsumed(t: Tcb, bytes: u32): void {
  t.drsCopied += bytes;
  const space = receiveSpace(t);
  const current = receiveWindow(t);
  if (space < current) return;
  const gain = space - current;
  const mss = t.rcvMss;
  if (gain >= mss && (current < mss || (gain >= mss << 1 && (gain >= current || gain >= t.rcvBuffer >>> 1)))) {
    set(t, F_ACK_NOW);
    ready(t);
  }
}

/**
 * Dynamic right-sizing: once per round trip, makes the buffer at least twice what the application took in it, plus room for the growth
 * of the peer's slow start. Call when data was consumed.
 */
export function tuneBuffer(t: Tcb): void {
  if (t.rcvRtt === 0 || now - t.drsAt < t.rcvRtt) return;
  if (t.drsCopied > t.drsSpace) {
    t.drsSpace = t.drsCopied;
    const wanted = min<u32>(t.drsCopied > RECEIVE_BUFFER_MAX ? RECEIVE_BUFFER_MAX : (t.drsCopied << 1) + 16 * t.rcvMss, RECEIVE_BUFFER_MAX);
    if (wanted > t.rcvBuffer && pressure() === 0) t.rcvBuffer = wanted;
  }
  t.drsCopied = 0;
  t.drsAt = now;
}

/**
 * The receiver's idea of the round trip: with timestamps from the echo of data segments, else the time that a window of data takes.
 * @param sample µs, negative = none by timestamp
 */
export function measureReceiver(t: Tcb, sample: f64): void {
  if (sample > 0) {
    t.rcvRtt = t.rcvRtt === 0 ? sample : t.rcvRtt + (sample - t.rcvRtt) / 8;
    return;
  }
  if (t.drsRttAt !== 0) {
    if (before(t.rcvNxt, t.drsSeq)) return;
    const took = now - t.drsRttAt;
    if (t.rcvRtt === 0 || took < t.rcvRtt) t.rcvRtt = max<f64>(took, 1);
  }
  t.drsSeq = t.rcvNxt + max(receiveWindow(t), t.rcvMss);
  t.drsRttAt = now;
}
