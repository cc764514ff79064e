import { isOwn, isV4 } from './addresses';
import { DATAGRAM_PAGES, DATAGRAM_QUEUE, PAGE_SIZE } from './constants';
import { count, FRAGMENTS_OUT } from './counters';
import { HEADER_V4, HEADER_V6, MF, writeV4, writeV6 } from './ip/header';
import { pathMtuTo } from './ip/pathmtu';
import { loopPacket } from './loopback';
import { full, push, slot } from './out';
import { freeChain, nextPage, pageAddress, pageEnd } from './pages';
import { random32 } from './random';
import { swap16, swap32 } from './checksum';
import { carveSlab, give, Slab, take } from './slab';
import { append, chainHead, useChain } from './tcp/receivequeue';

/** IP datagrams that belong to no connection, waiting for poll: UDP, ICMP, resets. Fragmented on the way out if need be. */
@unmanaged
class Datagram {
  next: usize;
  head: u32;
  sourceHi: u64;
  sourceLo: u64;
  destinationHi: u64;
  destinationLo: u64;
  protocol: u32;
  /** Bytes of payload (transport header included); of them already sent; place of the next. */
  length: u32;
  sent: u32;
  page: u32;
  offset: u32;
  /** Of all its fragments. */
  id: u32;
  pages: u32;
  loops: bool;
}

const FRAGMENT_HEADER: u32 = 8;
const NEXT_HEADER_FRAGMENT: u32 = 44;

let slab: Slab = changetype<Slab>(0);
let first: usize = 0;
let last: usize = 0;
let pagesHeld: u32 = 0;

export function carveDatagrams(): void {
  slab = carveSlab((offsetof<Datagram>() + 7) & ~7, DATAGRAM_QUEUE);
}

export function datagramsQueued(): u32 {
  return slab.used;
}

export function datagramsWaiting(): bool {
  return first !== 0;
}

/** Whether one of that payload length would find room. */
export function roomFor(length: u32): bool {
  return slab.used < DATAGRAM_QUEUE && pagesHeld + length / PAGE_SIZE + 1 <= DATAGRAM_PAGES;
}

/**
 * Copies two pieces of payload (transport header and body, checksum done) into the queue.
 * @returns false = no room; nothing was kept
 */
export function queueDatagram(
  protocol: u32, srcHi: u64, srcLo: u64, dstHi: u64, dstLo: u64, head: usize, headLength: u32, body: usize, bodyLength: u32,
): bool {
  const length = headLength + bodyLength;
  if (!roomFor(length)) return false;
  const at = take(slab);
  if (at === 0) return false;
  useChain(0, 0);
  if (append(head, headLength) < headLength || append(body, bodyLength) < bodyLength) {
    freeChain(chainHead);
    give(slab, at);
    return false;
  }
  const d = changetype<Datagram>(at);
  d.head = chainHead;
  d.page = chainHead;
  d.pages = (length + PAGE_SIZE - 1) / PAGE_SIZE;
  pagesHeld += d.pages;
  d.sourceHi = srcHi;
  d.sourceLo = srcLo;
  d.destinationHi = dstHi;
  d.destinationLo = dstLo;
  d.protocol = protocol;
  d.length = length;
  d.id = random32();
  d.loops = isOwn(dstHi, dstLo);
  if (last === 0) first = at;
  else changetype<Datagram>(last).next = at;
  last = at;
  return true;
}

function dropFirst(d: Datagram): void {
  first = d.next;
  if (first === 0) last = 0;
  pagesHeld -= d.pages;
  freeChain(d.head);
  give(slab, changetype<usize>(d));
}

/** Copies the next `length` bytes of the datagram. */
function copyNext(d: Datagram, to: usize, length: u32): void {
  while (length > 0) {
    const step = min(pageEnd(d.page) - d.offset, length);
    memory.copy(to, pageAddress(d.page) + d.offset, step);
    to += step;
    length -= step;
    d.offset += step;
    if (d.offset === pageEnd(d.page)) {
      d.page = nextPage(d.page);
      d.offset = 0;
    }
  }
}

/** Writes at most `most` packets of the queue into the slots. */
export function pollDatagrams(most: i32): void {
  while (first !== 0 && most-- > 0 && !full()) {
    const d = changetype<Datagram>(first);
    const total = isV4(d.destinationHi, d.destinationLo) ? writeNextV4(d) : writeNextV6(d);
    const loops = d.loops;
    if (d.sent === d.length) dropFirst(d);
    if (loops) loopPacket(total);
    else push(total);
  }
}

function writeNextV4(d: Datagram): u32 {
  const at = slot();
  const most = pathMtuTo(d.destinationHi, d.destinationLo) - HEADER_V4;
  const left = d.length - d.sent;
  const whole = d.sent === 0 && left <= most;
  const length = left <= most ? left : most & ~7;
  const more: u32 = length < left ? MF : 0;
  writeV4(
    at, HEADER_V4 + length, d.id, more | swap16(d.sent >>> 3), d.protocol, <u32>(d.sourceLo >>> 32), <u32>(d.destinationLo >>> 32),
  );
  copyNext(d, at + HEADER_V4, length);
  d.sent += length;
  if (!whole) count(FRAGMENTS_OUT);
  return HEADER_V4 + length;
}

function writeNextV6(d: Datagram): u32 {
  const at = slot();
  const most = pathMtuTo(d.destinationHi, d.destinationLo) - HEADER_V6;
  const left = d.length - d.sent;
  if (d.sent === 0 && left <= most) {
    writeV6(at, left, d.protocol, d.id, d.sourceHi, d.sourceLo, d.destinationHi, d.destinationLo);
    copyNext(d, at + HEADER_V6, left);
    d.sent = left;
    return HEADER_V6 + left;
  }
  const room = most - FRAGMENT_HEADER;
  const length = left <= room ? left : room & ~7;
  const more: u32 = length < left ? 1 : 0;
  writeV6(at, FRAGMENT_HEADER + length, NEXT_HEADER_FRAGMENT, d.id, d.sourceHi, d.sourceLo, d.destinationHi, d.destinationLo);
  store<u32>(at + HEADER_V6, d.protocol | (swap16(d.sent | more) << 16));
  store<u32>(at + HEADER_V6, swap32(d.id), 4);
  copyNext(d, at + HEADER_V6 + FRAGMENT_HEADER, length);
  d.sent += length;
  count(FRAGMENTS_OUT);
  return HEADER_V6 + FRAGMENT_HEADER + length;
}
