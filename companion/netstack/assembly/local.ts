import { DATAGRAM_QUEUE } from './constants';
import { carve } from './memory';
import { freeChain, nextPage, pageAddress, pageEnd, pagesUsed, pagesTotal } from './pages';
import { udpArrival } from './settings';
import { carveSlab, give, Slab, take } from './slab';
import { append, chainHead, useChain } from './tcp/receivequeue';

/** UDP from ourselves to ourselves: it arrives inside poll, where nobody can be told, so it waits here for `nextLocal`. */
@unmanaged
class Arrival {
  next: usize;
  told: i32;
  head: u32;
  sourcePort: u32;
  localPort: u32;
  length: u32;
  sourceHi: u64;
  sourceLo: u64;
  destinationHi: u64;
  destinationLo: u64;
}

let slab: Slab = changetype<Slab>(0);
let first: usize = 0;
let last: usize = 0;
/** One datagram laid out in a piece. */
let whole: usize = 0;

export function carveLocal(): void {
  slab = carveSlab((offsetof<Arrival>() + 7) & ~7, DATAGRAM_QUEUE);
  whole = carve(65_536);
}

/** Keeps what `input` just told of. Dropped, as a network may, if there is no room. */
export function keepLocal(told: i32): void {
  if (pagesUsed > pagesTotal >>> 1) return;
  const at = take(slab);
  if (at === 0) return;
  const a = changetype<Arrival>(at);
  a.told = told;
  a.sourceHi = load<u64>(load<u32>(udpArrival));
  a.sourceLo = load<u64>(load<u32>(udpArrival), 8);
  a.sourcePort = load<u32>(udpArrival, 4);
  a.localPort = load<u32>(udpArrival, 8);
  a.length = load<u32>(udpArrival, 16);
  a.destinationHi = load<u64>(load<u32>(udpArrival, 20));
  a.destinationLo = load<u64>(load<u32>(udpArrival, 20), 8);
  useChain(0, 0);
  if (append(load<u32>(udpArrival, 12), a.length) < a.length) {
    freeChain(chainHead);
    give(slab, at);
    return;
  }
  a.head = chainHead;
  if (last === 0) first = at;
  else changetype<Arrival>(last).next = at;
  last = at;
}

/** @returns what `input` had returned, with the same told again; 0 = no more */
export function nextLocal(): i32 {
  if (first === 0) return 0;
  const a = changetype<Arrival>(first);
  first = a.next;
  if (first === 0) last = 0;
  let to = whole;
  for (let page = a.head; page !== 0; page = nextPage(page)) {
    memory.copy(to, pageAddress(page), pageEnd(page));
    to += pageEnd(page);
  }
  freeChain(a.head);
  tellUdp(a.sourceHi, a.sourceLo, a.sourcePort, a.localPort, whole, a.length, a.destinationHi, a.destinationLo);
  const told = a.told;
  give(slab, changetype<usize>(a));
  return told;
}

/** Fills in what `Netstack.udp` reads. */
export function tellUdp(
  srcHi: u64, srcLo: u64, sourcePort: u32, localPort: u32, payload: usize, length: u32, dstHi: u64, dstLo: u64,
): void {
  const source = udpArrival + 24;
  const destination = udpArrival + 40;
  store<u32>(udpArrival, <u32>source);
  store<u32>(udpArrival, sourcePort, 4);
  store<u32>(udpArrival, localPort, 8);
  store<u32>(udpArrival, <u32>payload, 12);
  store<u32>(udpArrival, length, 16);
  store<u32>(udpArrival, <u32>destination, 20);
  store<u64>(source, srcHi);
  store<u64>(source, srcLo, 8);
  store<u64>(destination, dstHi);
  store<u64>(destination, dstLo, 8);
}
