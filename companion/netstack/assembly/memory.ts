/**
 * Where everything lives. Tables are carved once, upwards from the end of static data; the page pool takes the rest; memory that the
 * owner reserves comes off the pool's upper end. Nothing is touched before its use, so unused tables cost address space only.
 */

let low: usize = 0;
let high: usize = 0;
/** Lowest address that `reserve` may reach; the page pool moves it up as pages are first used. */
let floor: usize = 0;

export function startMemory(bytes: usize): void {
  low = (__heap_base + 63) & ~63;
  high = bytes;
}

/** Zeroed by the engine, 64-byte aligned, for life. */
export function carve(bytes: usize): usize {
  const at = low;
  low = (low + bytes + 63) & ~63;
  return at;
}

/** Ends the carving. @returns start of the page pool, page-aligned. */
export function startPool(alignment: usize): usize {
  low = (low + alignment - 1) & ~(alignment - 1);
  floor = low;
  return low;
}

export function raiseFloor(address: usize): void {
  if (address > floor) floor = address;
}

export function poolEnd(): usize {
  return high;
}

/** @returns 0 if the pool would become smaller than `least` bytes. */
export function reserveHigh(bytes: usize, least: usize): usize {
  if (bytes > high - low) return 0;
  const at = (high - bytes) & ~63;
  if (at < floor || at < low + least) return 0;
  high = at;
  return at;
}
