import { PAGE_SIZE } from '../constants';
import {
  allocatePage, freeChain, freePage, linkPage, nextPage, pageAddress, pageEnd, pageStart, setPageEnd, setPageStart,
} from '../pages';
import { nativeBase } from '../settings';
import { Tcb } from './tcb';

/**
 * Chains of pages with bounds. Of the readable bytes (rcvHead..rcvTail), and, by the same routines, of out-of-order ranges
 * (reassembly.ts). Neighbouring pages that fit into one become one, so a page is more than half full on average whatever the peer sends.
 */

/** Ends of the chain that `append`, `concatenate` and `skip` work on; load and store around them. */
export let chainHead: u32 = 0;
export let chainTail: u32 = 0;

export function useChain(head: u32, tail: u32): void {
  chainHead = head;
  chainTail = tail;
}

/** Copies bytes to the end of the chain. @returns how many; fewer = the pool is empty. */
export function append(from: usize, length: u32): u32 {
  let left = length;
  if (chainTail !== 0) {
    const end = pageEnd(chainTail);
    const step = min(PAGE_SIZE - end, left);
    if (step > 0) {
      memory.copy(pageAddress(chainTail) + end, from, step);
      setPageEnd(chainTail, end + step);
      from += step;
      left -= step;
    }
  }
  while (left > 0) {
    const page = allocatePage();
    if (page === 0) break;
    const step = min(PAGE_SIZE, left);
    memory.copy(pageAddress(page), from, step);
    setPageEnd(page, step);
    if (chainTail === 0) chainHead = page;
    else linkPage(chainTail, page);
    chainTail = page;
    from += step;
    left -= step;
  }
  return length - left;
}

/** Appends another chain, taking its pages over. */
export function concatenate(head: u32, tail: u32): void {
  if (head === 0) return;
  if (chainTail === 0) {
    chainHead = head;
    chainTail = tail;
    return;
  }
  const end = pageEnd(chainTail);
  const start = pageStart(head);
  const length = pageEnd(head) - start;
  if (length <= PAGE_SIZE - end) {
    memory.copy(pageAddress(chainTail) + end, pageAddress(head) + start, length);
    setPageEnd(chainTail, end + length);
    const next = nextPage(head);
    freePage(head);
    if (next === 0) return;
    head = next;
  }
  linkPage(chainTail, head);
  chainTail = tail;
}

/** Drops the first `bytes` of the chain, which has them. */
export function skip(bytes: u32): void {
  while (bytes > 0) {
    const page = chainHead;
    const start = pageStart(page);
    const step = min(pageEnd(page) - start, bytes);
    bytes -= step;
    if (start + step < pageEnd(page)) {
      setPageStart(page, start + step);
    } else {
      chainHead = nextPage(page);
      if (chainHead === 0) chainTail = 0;
      freePage(page);
    }
  }
}

export function recvPeek(t: Tcb, iov: usize, maxIov: i32): i32 {
  let amount = 0;
  let spanAt: usize = 0;
  let spanLength: usize = 0;
  for (let page = t.rcvHead; page !== 0; page = nextPage(page)) {
    const at = pageAddress(page) + pageStart(page);
    const length = <usize>(pageEnd(page) - pageStart(page));
    if (spanLength > 0 && spanAt + spanLength === at) {
      spanLength += length;
      continue;
    }
    if (spanLength > 0) {
      if (amount === maxIov - 1) break;
      store<u64>(iov + (<usize>amount << 4), nativeBase + <u64>spanAt);
      store<u64>(iov + (<usize>amount << 4), <u64>spanLength, 8);
      amount++;
    }
    spanAt = at;
    spanLength = length;
  }
  if (spanLength > 0 && amount < maxIov) {
    store<u64>(iov + (<usize>amount << 4), nativeBase + <u64>spanAt);
    store<u64>(iov + (<usize>amount << 4), <u64>spanLength, 8);
    amount++;
  }
  return amount;
}

/** @param bytes at most rcvQueued */
export function consume(t: Tcb, bytes: u32): void {
  useChain(t.rcvHead, t.rcvTail);
  skip(bytes);
  t.rcvHead = chainHead;
  t.rcvTail = chainTail;
  t.rcvQueued -= bytes;
}

export function freeReceiveQueue(t: Tcb): void {
  freeChain(t.rcvHead);
  t.rcvHead = 0;
  t.rcvTail = 0;
  t.rcvQueued = 0;
}
