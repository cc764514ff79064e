import { PAGE_SHIFT, PAGE_SIZE } from './constants';
import { carve, poolEnd, raiseFloor, reserveHigh, startPool } from './memory';

/**
 * The pool of 4 KiB pages that hold payload. A page has a number (0 = none), a link to the next page of its chain and, in receive
 * chains, the bounds of the bytes that it holds.
 */

let base: usize = 0;
let links: usize = 0;
let bounds: usize = 0;
let tableSize: u32 = 0;
let freeList: u32 = 0;
/** Pages ever used: beyond it none has been touched. */
let highWater: u32 = 0;
/** Pages in use now. */
export let pagesUsed: u32 = 0;
export let pagesTotal: u32 = 0;

export function carvePageTables(memoryBytes: usize): void {
  tableSize = <u32>(memoryBytes >>> PAGE_SHIFT) + 1;
  links = carve(<usize>tableSize << 2);
  bounds = carve(<usize>tableSize << 2);
}

export function startPages(): void {
  base = startPool(PAGE_SIZE);
  measurePool();
}

function measurePool(): void {
  pagesTotal = <u32>((poolEnd() - base) >>> PAGE_SHIFT);
}

/** Takes memory off the pool's unused end for the owner. @returns 0 = not without leaving the pool under 4 MiB. */
export function reservePages(bytes: usize): usize {
  const at = reserveHigh(bytes, 4 << 20);
  measurePool();
  return at;
}

// @ts-expect-error: decorator
@inline
export function pageAddress(page: u32): usize {
  return base + (<usize>(page - 1) << PAGE_SHIFT);
}

// @ts-expect-error: decorator
@inline
export function nextPage(page: u32): u32 {
  return load<u32>(links + (<usize>page << 2));
}

// @ts-expect-error: decorator
@inline
export function linkPage(page: u32, next: u32): void {
  store<u32>(links + (<usize>page << 2), next);
}

/** First byte held, 0..4096. */
// @ts-expect-error: decorator
@inline
export function pageStart(page: u32): u32 {
  return load<u16>(bounds + (<usize>page << 2));
}

/** One past the last byte held, 0..4096. */
// @ts-expect-error: decorator
@inline
export function pageEnd(page: u32): u32 {
  return load<u16>(bounds + (<usize>page << 2), 2);
}

// @ts-expect-error: decorator
@inline
export function setPageStart(page: u32, at: u32): void {
  store<u16>(bounds + (<usize>page << 2), <u16>at);
}

// @ts-expect-error: decorator
@inline
export function setPageEnd(page: u32, at: u32): void {
  store<u16>(bounds + (<usize>page << 2), <u16>at, 2);
}

/** @returns a page with no next and no bytes; 0 = the pool is empty. */
export function allocatePage(): u32 {
  let page = freeList;
  if (page !== 0) {
    freeList = nextPage(page);
  } else {
    if (highWater >= pagesTotal) return 0;
    page = ++highWater;
    raiseFloor(pageAddress(page + 1));
  }
  pagesUsed++;
  linkPage(page, 0);
  store<u32>(bounds + (<usize>page << 2), 0);
  return page;
}

export function freePage(page: u32): void {
  linkPage(page, freeList);
  freeList = page;
  pagesUsed--;
}

/** Frees a page and all that follow it. */
export function freeChain(page: u32): void {
  while (page !== 0) {
    const next = nextPage(page);
    freePage(page);
    page = next;
  }
}

/** 0 = plenty, 1 = buffers stop growing (3/4 used), 2 = new work is refused (15/16 used). */
// @ts-expect-error: decorator
@inline
export function pressure(): u32 {
  if (pagesUsed < pagesTotal - (pagesTotal >>> 2)) return 0;
  return pagesUsed < pagesTotal - (pagesTotal >>> 4) ? 1 : 2;
}
