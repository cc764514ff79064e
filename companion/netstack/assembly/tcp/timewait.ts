import { now } from '../clock';
import { ACK, FIN, RST, SYN, TIME_WAIT } from '../constants';
import { carve } from '../memory';
import { carveSlab, give, Slab, take } from '../slab';
import { sendBareSegment } from './reset';
import { after, F_ACK_NOW, F_TS, has, Tcb } from './tcb';
import { hashFlow, joinPorts } from './table';
import { receiveWindow } from './window';

/** TIME-WAIT (RFC 9293 3.3.2) without a connection: a record, a hash table of its own, and a queue in order of expiry. */
@unmanaged
export class Waiting {
  hashNext: usize;
  next: usize;
  previous: usize;
  ports: u32;
  localHi: u64;
  localLo: u64;
  remoteHi: u64;
  remoteLo: u64;
  until: f64;
  since: f64;
  sndNxt: u32;
  rcvNxt: u32;
  tsRecent: u32;
  tsOffset: u32;
  window: u16;
  stamps: bool;
}

let slab: Slab = changetype<Slab>(0);
let buckets: usize = 0;
let mask: u32 = 0;
let first: usize = 0;
let last: usize = 0;

export function carveTimeWait(capacity: u32): void {
  slab = carveSlab((offsetof<Waiting>() + 7) & ~7, capacity);
  let size: u32 = 1024;
  while (size < capacity) size <<= 1;
  mask = size - 1;
  buckets = carve(<usize>size << 2);
}

export function timeWaits(): u32 {
  return slab.used;
}

/** When the oldest ends; Infinity = there is none. */
export function timeWaitDeadline(): f64 {
  return first === 0 ? Infinity : changetype<Waiting>(first).until;
}

// @ts-ignore: decorator
@inline
function bucketOf(localHi: u64, localLo: u64, remoteHi: u64, remoteLo: u64, ports: u32): usize {
  return buckets + (<usize>(hashFlow(localHi, localLo, remoteHi, remoteLo, ports) & mask) << 2);
}

/** @returns null when there is none */
export function findWaiting(localHi: u64, localLo: u64, remoteHi: u64, remoteLo: u64, localPort: u32, remotePort: u32): Waiting {
  const ports = joinPorts(localPort, remotePort);
  let at = <usize>load<u32>(bucketOf(localHi, localLo, remoteHi, remoteLo, ports));
  while (at !== 0) {
    const w = changetype<Waiting>(at);
    if (w.ports === ports && w.remoteLo === remoteLo && w.localLo === localLo && w.remoteHi === remoteHi && w.localHi === localHi) return w;
    at = w.hashNext;
  }
  return changetype<Waiting>(0);
}

function append(w: Waiting): void {
  const self = changetype<usize>(w);
  w.until = now + TIME_WAIT;
  w.next = 0;
  w.previous = last;
  if (last === 0) first = self;
  else changetype<Waiting>(last).next = self;
  last = self;
}

function detach(w: Waiting): void {
  if (w.previous === 0) first = w.next;
  else changetype<Waiting>(w.previous).next = w.next;
  if (w.next === 0) last = w.previous;
  else changetype<Waiting>(w.next).previous = w.previous;
}

/** The connection ends in TIME-WAIT. When all records are in use the oldest gives way. */
export function wait(t: Tcb): void {
  let at = take(slab);
  if (at === 0) {
    endWaiting(changetype<Waiting>(first));
    at = take(slab);
  }
  const w = changetype<Waiting>(at);
  w.localHi = t.localHi;
  w.localLo = t.localLo;
  w.remoteHi = t.remoteHi;
  w.remoteLo = t.remoteLo;
  w.ports = joinPorts(t.localPort, t.remotePort);
  w.sndNxt = t.sndNxt;
  w.rcvNxt = t.rcvNxt;
  w.tsRecent = t.tsRecent;
  w.tsOffset = t.tsOffset;
  w.stamps = has(t, F_TS);
  w.window = <u16>min<u32>((receiveWindow(t) + (1 << <u32>t.rcvShift) - 1) >>> <u32>t.rcvShift, 0xffff);
  w.since = now;
  const bucket = bucketOf(w.localHi, w.localLo, w.remoteHi, w.remoteLo, w.ports);
  w.hashNext = <usize>load<u32>(bucket);
  store<u32>(bucket, <u32>at);
  append(w);
  // The connection is no more there to do it.
  if (has(t, F_ACK_NOW)) acknowledgeWaiting(w);
}

export function endWaiting(w: Waiting): void {
  let link = bucketOf(w.localHi, w.localLo, w.remoteHi, w.remoteLo, w.ports);
  const self = changetype<usize>(w);
  let at = <usize>load<u32>(link);
  while (at !== self) {
    link = at;
    at = <usize>load<u32>(link);
  }
  store<u32>(link, <u32>w.hashNext);
  detach(w);
  give(slab, self);
}

export function expireWaiting(): void {
  while (first !== 0 && changetype<Waiting>(first).until <= now) endWaiting(changetype<Waiting>(first));
}

/**
 * A segment for a connection in TIME-WAIT.
 * @returns true = it is a SYN for a new incarnation (RFC 6191, RFC 9293 3.10.7.4): the record may go
 */
export function waitingInput(w: Waiting, seq: u32, flags: u32, length: u32, hasStamp: bool, stampValue: u32): bool {
  // RFC 1337: a RST must not cut it short.
  if (flags & RST) return false;
  if (flags & SYN && (flags & ACK) === 0) {
    if (hasStamp && w.stamps ? after(stampValue, w.tsRecent) || (stampValue === w.tsRecent && after(seq, w.rcvNxt)) : after(seq, w.rcvNxt))
      return true;
  }
  if (flags & FIN && seq + length === w.rcvNxt) {
    detach(w);
    append(w);
  }
  // What takes sequence space is told where we stand; a bare ACK is not, lest two ends argue for ever.
  if (length === 0) return false;
  acknowledgeWaiting(w);
  return false;
}

/** The last ACK, or its repetition. */
function acknowledgeWaiting(w: Waiting): void {
  const stamp = <u32>(<u64>(now / 1000)) + w.tsOffset;
  sendBareSegment(
    w.localHi, w.localLo, w.remoteHi, w.remoteLo, w.ports >>> 16, w.ports & 0xffff, w.sndNxt, w.rcvNxt, ACK, w.window, stamp, w.tsRecent,
    w.stamps,
  );
}
