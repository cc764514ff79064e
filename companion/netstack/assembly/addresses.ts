import { MAX_ADDRESSES } from './constants';
import { carve } from './memory';

/**
 * Own addresses, and what kind an address is. An address is two u64 loaded little-endian from its 16 bytes; IPv4 is ::ffff:a.b.c.d, so
 * hi = 0, the low half of lo is 0xffff0000 and the high half is the address as it lies in a packet.
 */

let table: usize = 0;
let amount: u32 = 0;

/** Results of `selectSource`. */
export let sourceHi: u64 = 0;
export let sourceLo: u64 = 0;

const MAPPED: u64 = 0xffff0000;

export function carveAddresses(): void {
  table = carve(<usize>MAX_ADDRESSES << 4);
}

// @ts-ignore: decorator
@inline
export function isV4(hi: u64, lo: u64): bool {
  return hi === 0 && (lo & 0xffffffff) === MAPPED;
}

/** @param raw the four bytes as loaded from a packet */
// @ts-ignore: decorator
@inline
export function mapV4(raw: u32): u64 {
  return MAPPED | (<u64>raw << 32);
}

export function isOwn(hi: u64, lo: u64): bool {
  for (let at = table, end = table + (<usize>amount << 4); at < end; at += 16) {
    if (load<u64>(at, 8) === lo && load<u64>(at) === hi) return true;
  }
  return false;
}

export function addAddress(at: usize): bool {
  const hi = load<u64>(at);
  const lo = load<u64>(at, 8);
  if (isOwn(hi, lo)) return true;
  if (amount >= MAX_ADDRESSES) return false;
  const entry = table + (<usize>amount << 4);
  store<u64>(entry, hi);
  store<u64>(entry, lo, 8);
  amount++;
  return true;
}

/** @returns whether it was there */
export function removeAddress(at: usize): bool {
  const hi = load<u64>(at);
  const lo = load<u64>(at, 8);
  for (let entry = table, end = table + (<usize>amount << 4); entry < end; entry += 16) {
    if (load<u64>(entry, 8) === lo && load<u64>(entry) === hi) {
      memory.copy(entry, entry + 16, end - entry - 16);
      amount--;
      return true;
    }
  }
  return false;
}

/**
 * The own address to speak to that destination from: itself if it is ours, else the one of its family with the longest common prefix
 * (RFC 6724 rule 8), the first added on a tie. @returns false = none
 */
export function selectSource(hi: u64, lo: u64): bool {
  const v4 = isV4(hi, lo);
  let best = -1;
  for (let at = table, end = table + (<usize>amount << 4); at < end; at += 16) {
    const h = load<u64>(at);
    const l = load<u64>(at, 8);
    if (isV4(h, l) !== v4) continue;
    const x = bswap<u64>(h ^ hi);
    const common = <i32>(x === 0 ? 64 + clz<u64>(bswap<u64>(l ^ lo)) : clz<u64>(x));
    if (common > best) {
      best = common;
      sourceHi = h;
      sourceLo = l;
    }
  }
  return best >= 0;
}

/** Whether one host can have it: not unspecified, multicast, limited broadcast, loopback, nor (IPv4) of class E. */
export function isUnicast(hi: u64, lo: u64): bool {
  if (isV4(hi, lo)) {
    const first = <u32>(lo >>> 32) & 0xff;
    return first !== 0 && first !== 127 && first < 224;
  }
  if ((hi & 0xff) === 0xff) return false;
  // :: and ::1
  return !(hi === 0 && (lo & 0x00ffffff_ffffffff) === 0 && lo >>> 56 <= 1);
}

// @ts-ignore: decorator
@inline
export function storeAddress(at: usize, hi: u64, lo: u64): void {
  store<u64>(at, hi);
  store<u64>(at, lo, 8);
}
