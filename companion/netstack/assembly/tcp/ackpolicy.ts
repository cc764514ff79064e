import { now } from '../clock';
import { ACK_EVERY, ACK_EVERY_EARLY, DELAYED_ACK, EARLY_SEGMENTS, QUICK_ACKS } from '../constants';
import { carve } from '../memory';
import { emitBare } from './emit';
import { full } from '../out';
import { ready } from './lists';
import { clear, ESTABLISHED, F_INTERACTIVE, has, LAST_ACK, Tcb } from './tcb';

/**
 * When to acknowledge (RFC 5681 4.2): once per batch, at the latest every 16 segments (every 2 while the peer
 * is in slow start), at once out of order; a lone small segment waits a little for an answer to ride on.
 */

/** Acknowledgments due within a batch: connection, its generation, acknowledgment number, unused. */
const ENTRY: u32 = 16;
const PLACES: u32 = 1024;

let ring: usize = 0;
let used: u32 = 0;

export function carveAckRing(): void {
  ring = carve(<usize>PLACES * ENTRY);
}

/** `length` bytes became readable, by a segment of `segment` bytes. */
export function received(t: Tcb, length: u32, segment: u32): void {
  if (t.ackBytes === 0 && now - t.lastReceived > t.rto) {
    // After idle the peer is in slow start again.
    t.quickAcks = <u16>QUICK_ACKS;
    t.earlySegments = 0;
  }
  if (segment > t.rcvMss) t.rcvMss = segment;
  t.ackBytes += length;
  let every = ACK_EVERY;
  if (<u32>t.earlySegments < EARLY_SEGMENTS) {
    t.earlySegments++;
    every = ACK_EVERY_EARLY;
  }
  if (t.ackBytes >= every * t.rcvMss && used < PLACES) {
    const at = ring + <usize>(used++) * ENTRY;
    store<u32>(at, <u32>changetype<usize>(t));
    store<u32>(at, t.generation, 4);
    store<u32>(at, t.rcvNxt, 8);
    t.ackBytes = 0;
  }
  ready(t);
}

export function acksWaiting(): bool {
  return used > 0;
}

/** Sends what `received` put down, each with the number of its time. */
export function pollAcks(): void {
  let i: u32 = 0;
  while (i < used && !full()) {
    const at = ring + <usize>(i++) * ENTRY;
    const t = changetype<Tcb>(<usize>load<u32>(at));
    const ack = load<u32>(at, 8);
    // Not if the connection went, or something later has been sent since.
    if (t.generation !== load<u32>(at, 4) || <u32>t.state < ESTABLISHED || <u32>t.state > LAST_ACK) continue;
    if (<i32>(ack - t.lastAckSent) <= 0) continue;
    emitBare(t, t.sndNxt, ack, 0);
    t.lastAckSent = ack;
    t.ackBytes = t.rcvNxt - ack;
  }
  if (i === used) {
    used = 0;
    return;
  }
  memory.copy(ring, ring + <usize>i * ENTRY, <usize>(used - i) * ENTRY);
  used -= i;
}

/** Bytes are unacknowledged and no data went out to carry the ACK: now, or by the timer? */
export function delayedAckDue(t: Tcb): bool {
  if (t.ackBytes >= t.rcvMss << 1) return true;
  if (t.quickAcks > 0 && !has(t, F_INTERACTIVE)) {
    t.quickAcks--;
    return true;
  }
  clear(t, F_INTERACTIVE);
  if (t.delackAt === Infinity) t.delackAt = now + DELAYED_ACK;
  return false;
}
