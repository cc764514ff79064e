import { carve } from '../memory';
import { carveSlab, give, Slab, take } from '../slab';
import { key0 } from '../siphash';
import { CLOSED, clear, F_HASHED, has, set, Tcb } from './tcb';

/** All connections: their slab, their handles, and the hash table by address and port of both ends. */

let slab: Slab = changetype<Slab>(0);
let buckets: usize = 0;
let mask: u32 = 0;

/** Handles are generation (15 bits, never 0) and index (16 bits). */
const INDEX_BITS: u32 = 16;

export function carveTable(connections: u32): void {
  slab = carveSlab(offsetof<Tcb>(), connections);
  let size: u32 = 1024;
  while (size < connections) size <<= 1;
  mask = size - 1;
  buckets = carve(<usize>size << 2);
}

export function connectionCount(): u32 {
  return slab.used;
}

/** Of a flow; keyed, so that nobody can aim at one bucket. */
// @ts-ignore: decorator
@inline
export function hashFlow(localHi: u64, localLo: u64, remoteHi: u64, remoteLo: u64, ports: u32): u32 {
  let h = (remoteHi ^ key0) * 0x9e3779b97f4a7c15;
  h = (h ^ (h >>> 29) ^ remoteLo) * 0xbf58476d1ce4e5b9;
  h = (h ^ (h >>> 31) ^ localHi ^ rotl<u64>(localLo, 17) ^ <u64>ports) * 0x94d049bb133111eb;
  h ^= h >>> 32;
  return <u32>h ^ <u32>(h >>> 17);
}

// @ts-ignore: decorator
@inline
function bucketOf(localHi: u64, localLo: u64, remoteHi: u64, remoteLo: u64, ports: u32): usize {
  return buckets + (<usize>(hashFlow(localHi, localLo, remoteHi, remoteLo, ports) & mask) << 2);
}

// @ts-ignore: decorator
@inline
export function joinPorts(localPort: u32, remotePort: u32): u32 {
  return (localPort << 16) | remotePort;
}

/** @returns null when there is none. */
export function findConnection(localHi: u64, localLo: u64, remoteHi: u64, remoteLo: u64, localPort: u32, remotePort: u32): Tcb {
  let at = <usize>load<u32>(bucketOf(localHi, localLo, remoteHi, remoteLo, joinPorts(localPort, remotePort)));
  while (at !== 0) {
    const t = changetype<Tcb>(at);
    if (
      t.remoteLo === remoteLo &&
      <u32>t.remotePort === remotePort &&
      <u32>t.localPort === localPort &&
      t.localLo === localLo &&
      t.remoteHi === remoteHi &&
      t.localHi === localHi
    )
      return t;
    at = t.hashNext;
  }
  return changetype<Tcb>(0);
}

export function hashIn(t: Tcb): void {
  const bucket = bucketOf(t.localHi, t.localLo, t.remoteHi, t.remoteLo, joinPorts(t.localPort, t.remotePort));
  t.hashNext = <usize>load<u32>(bucket);
  store<u32>(bucket, <u32>changetype<usize>(t));
  set(t, F_HASHED);
}

export function hashOut(t: Tcb): void {
  if (!has(t, F_HASHED)) return;
  clear(t, F_HASHED);
  let link = bucketOf(t.localHi, t.localLo, t.remoteHi, t.remoteLo, joinPorts(t.localPort, t.remotePort));
  let at = <usize>load<u32>(link);
  const self = changetype<usize>(t);
  while (at !== self) {
    // hashNext is the first field of a Tcb, so an entry's address is also that of its link.
    link = at;
    at = <usize>load<u32>(link);
  }
  store<u32>(link, <u32>t.hashNext);
}

/** A zeroed connection with a fresh handle; null = the slab is full. */
export function allocateConnection(): Tcb {
  const recycled = slab.freeList;
  // The generation survives in the freed object beside the free list's link.
  const generation = recycled === 0 ? 0 : changetype<Tcb>(recycled).generation;
  const at = take(slab);
  if (at === 0) return changetype<Tcb>(0);
  const t = changetype<Tcb>(at);
  t.index = <u32>(at - slab.base) / slab.size;
  t.generation = nextGeneration(generation);
  return t;
}

function nextGeneration(generation: u32): u32 {
  return generation >= 0x7fff ? 1 : generation + 1;
}

export function freeConnection(t: Tcb): void {
  t.state = <u8>CLOSED;
  // A handle in the caller's hand must not reach the next user of this place, nor a free one.
  t.generation = nextGeneration(t.generation);
  give(slab, changetype<usize>(t));
}

/** The application gives its handle back while the connection lives on. */
export function retireHandle(t: Tcb): void {
  t.generation = nextGeneration(t.generation);
}

// @ts-ignore: decorator
@inline
export function handleOf(t: Tcb): i32 {
  return <i32>((t.generation << INDEX_BITS) | t.index);
}

/** @returns null for a stale or made-up handle. */
export function byHandle(handle: i32): Tcb {
  if (handle <= 0) return changetype<Tcb>(0);
  const index = <u32>handle & 0xffff;
  if (index >= slab.highWater) return changetype<Tcb>(0);
  const t = changetype<Tcb>(slab.base + <usize>index * slab.size);
  return t.generation === <u32>handle >>> INDEX_BITS && t.state !== <u8>CLOSED ? t : changetype<Tcb>(0);
}

/** The connection at a place of the slab, for walks over all; null = free. */
export function connectionAt(index: u32): Tcb {
  const t = changetype<Tcb>(slab.base + <usize>index * slab.size);
  return t.state === <u8>CLOSED ? changetype<Tcb>(0) : t;
}

export function connectionPlaces(): u32 {
  return slab.highWater;
}
