import { carve } from './memory';

/** A pool of equal objects at fixed addresses, with a free list through their first word. */
@unmanaged
export class Slab {
  base: usize;
  size: u32;
  capacity: u32;
  highWater: u32;
  used: u32;
  freeList: usize;
}

/** @param size bytes of one object, a multiple of 8. */
export function carveSlab(size: u32, capacity: u32): Slab {
  const slab = changetype<Slab>(carve(offsetof<Slab>()));
  slab.base = carve(<usize>size * capacity);
  slab.size = size;
  slab.capacity = capacity;
  return slab;
}

/** @returns zeroed memory, or 0 when all are in use. */
export function take(slab: Slab): usize {
  let at = slab.freeList;
  if (at !== 0) {
    slab.freeList = load<usize>(at);
    memory.fill(at, 0, slab.size);
  } else {
    if (slab.highWater >= slab.capacity) return 0;
    at = slab.base + <usize>slab.size * slab.highWater++;
  }
  slab.used++;
  return at;
}

export function give(slab: Slab, at: usize): void {
  store<usize>(at, slab.freeList);
  slab.freeList = at;
  slab.used--;
}
