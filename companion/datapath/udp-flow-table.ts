import type { Pointer } from './memory.ts';

interface Views {
  readonly u8: Uint8Array;
  readonly view: DataView;
}

const NONE = -1;
const LEAST_SLOTS = 16;

/**
 * Datagram flows by address and port, and by how long they have been idle. A flow is a slot, a small integer that callers index their
 * own arrays with. Finding and touching allocate nothing; the table grows with the flows, up to its bound.
 *
 *     #buckets: hash -> first slot      #chain: slot -> next slot of the bucket
 *     #older, #newer: the slots from the longest idle to the most recently active
 */
export class UdpFlowTable {
  readonly capacity: number;
  readonly #seed: number;
  #size = 0;
  #words = new Uint32Array(LEAST_SLOTS * 4);
  #ports = new Uint16Array(LEAST_SLOTS);
  #lastActive = new Float64Array(LEAST_SLOTS);
  #chain = new Int32Array(LEAST_SLOTS);
  #older = new Int32Array(LEAST_SLOTS);
  #newer = new Int32Array(LEAST_SLOTS);
  #buckets = new Int32Array(LEAST_SLOTS).fill(NONE);
  #oldest = NONE;
  #newest = NONE;
  /** Slots never used start here; freed ones are chained from `#free`. */
  #unused = 0;
  #free = NONE;

  /** `seed`: 32 random bits. Peers choose their addresses and ports, but not what those hash to. */
  constructor(capacity: number, seed: number) {
    this.capacity = capacity;
    this.#seed = seed | 0;
  }

  get size(): number {
    return this.#size;
  }

  /** The slot of the flow with the 16 bytes at `address` and `port`, or -1. */
  find({ view }: Views, address: Pointer, port: number): number {
    const a = view.getUint32(address, true);
    const b = view.getUint32(address + 4, true);
    const c = view.getUint32(address + 8, true);
    const d = view.getUint32(address + 12, true);
    // Most datagrams belong to the flow of the one before.
    if (this.#newest !== NONE && this.#is(this.#newest, a, b, c, d, port)) return this.#newest;
    let slot = this.#buckets[this.#bucket(a, b, c, d, port)]!;
    while (slot !== NONE && !this.#is(slot, a, b, c, d, port)) slot = this.#chain[slot]!;
    return slot;
  }

  /** A slot for a flow that is not in the table; -1 when it is full. */
  insert({ view }: Views, address: Pointer, port: number, now: number): number {
    if (this.#size >= this.capacity) return NONE;
    let slot = this.#free;
    if (slot !== NONE) this.#free = this.#chain[slot]!;
    else {
      if (this.#unused === this.#ports.length) this.#grow();
      slot = this.#unused++;
    }
    const at = slot * 4;
    for (let i = 0; i < 4; i++) this.#words[at + i] = view.getUint32(address + 4 * i, true);
    this.#ports[slot] = port;
    this.#lastActive[slot] = now;
    this.#enchain(slot);
    this.#append(slot);
    this.#size++;
    return slot;
  }

  /** The flow was active just now. `now` must not go back. */
  touch(slot: number, now: number): void {
    this.#lastActive[slot] = now;
    if (slot === this.#newest) return;
    this.#unlink(slot);
    this.#append(slot);
  }

  remove(slot: number): void {
    const at = slot * 4;
    const [a, b, c, d] = [this.#words[at]!, this.#words[at + 1]!, this.#words[at + 2]!, this.#words[at + 3]!];
    const bucket = this.#bucket(a, b, c, d, this.#ports[slot]!);
    if (this.#buckets[bucket] === slot) this.#buckets[bucket] = this.#chain[slot]!;
    else {
      let before = this.#buckets[bucket]!;
      while (this.#chain[before] !== slot) before = this.#chain[before]!;
      this.#chain[before] = this.#chain[slot]!;
    }
    this.#unlink(slot);
    this.#chain[slot] = this.#free;
    this.#free = slot;
    this.#size--;
  }

  /** The flow that has been idle for the longest time, or -1. */
  get oldest(): number {
    return this.#oldest;
  }

  lastActive(slot: number): number {
    return this.#lastActive[slot]!;
  }

  port(slot: number): number {
    return this.#ports[slot]!;
  }

  /** Writes the flow's 16 address bytes at `address`. */
  readAddress(slot: number, { view }: Views, address: Pointer): void {
    for (let i = 0; i < 4; i++) view.setUint32(address + 4 * i, this.#words[slot * 4 + i]!, true);
  }

  /** The slots in use, the longest idle first. */
  *slots(): Generator<number> {
    for (let slot = this.#oldest; slot !== NONE; slot = this.#newer[slot]!) yield slot;
  }

  #is(slot: number, a: number, b: number, c: number, d: number, port: number): boolean {
    const words = this.#words;
    const at = slot * 4;
    return (
      this.#ports[slot] === port && words[at + 3] === d && words[at + 2] === c && words[at + 1] === b && words[at] === a
    );
  }

  #bucket(a: number, b: number, c: number, d: number, port: number): number {
    let hash = this.#seed;
    hash = Math.imul(hash ^ a, 0x9e37_79b1);
    hash = Math.imul(hash ^ (hash >>> 15) ^ b, 0x85eb_ca77);
    hash = Math.imul(hash ^ (hash >>> 13) ^ c, 0xc2b2_ae3d);
    hash = Math.imul(hash ^ (hash >>> 16) ^ d, 0x27d4_eb2f);
    hash = Math.imul(hash ^ (hash >>> 15) ^ port, 0x1656_67b1);
    return ((hash ^ (hash >>> 16)) >>> 0) & (this.#buckets.length - 1);
  }

  #enchain(slot: number): void {
    const at = slot * 4;
    const words = this.#words;
    const bucket = this.#bucket(words[at]!, words[at + 1]!, words[at + 2]!, words[at + 3]!, this.#ports[slot]!);
    this.#chain[slot] = this.#buckets[bucket]!;
    this.#buckets[bucket] = slot;
  }

  #append(slot: number): void {
    this.#older[slot] = this.#newest;
    this.#newer[slot] = NONE;
    if (this.#newest === NONE) this.#oldest = slot;
    else this.#newer[this.#newest] = slot;
    this.#newest = slot;
  }

  #unlink(slot: number): void {
    const older = this.#older[slot]!;
    const newer = this.#newer[slot]!;
    if (older === NONE) this.#oldest = newer;
    else this.#newer[older] = newer;
    if (newer === NONE) this.#newest = older;
    else this.#older[newer] = older;
  }

  /** Only when every slot is in use, so every slot is in the list of flows. */
  #grow(): void {
    const slots = this.#ports.length * 2;
    this.#words = copied(new Uint32Array(slots * 4), this.#words);
    this.#ports = copied(new Uint16Array(slots), this.#ports);
    this.#lastActive = copied(new Float64Array(slots), this.#lastActive);
    this.#chain = new Int32Array(slots);
    this.#older = copied(new Int32Array(slots), this.#older);
    this.#newer = copied(new Int32Array(slots), this.#newer);
    this.#buckets = new Int32Array(slots).fill(NONE);
    for (const slot of this.slots()) this.#enchain(slot);
  }
}

function copied<T extends Uint32Array | Uint16Array | Float64Array | Int32Array>(to: T, from: T): T {
  to.set(from);
  return to;
}
