import { isV4 } from '../addresses';
import { now } from '../clock';
import { MIN_PATH_MTU_V4, MIN_PATH_MTU_V6, PATH_MTU_AGE } from '../constants';
import { carve } from '../memory';
import { mtu } from '../settings';
import { key1 } from '../siphash';

/** Path MTUs that ICMP has told of (RFC 1191, RFC 8201): a table of 256 places, a newer destination may push out an older one. */

const PLACES: u32 = 256;
const ENTRY: u32 = 32;

let table: usize = 0;

export function carvePathMtus(): void {
  table = carve(<usize>PLACES * ENTRY);
}

// @ts-ignore: decorator
@inline
function placeOf(hi: u64, lo: u64): usize {
  const h = (hi ^ rotl<u64>(lo, 23) ^ key1) * 0x9e3779b97f4a7c15;
  return table + <usize>(h >>> 56) * ENTRY;
}

/** Bytes of IP packet that fit; the interface's MTU unless something smaller was learnt in the last 10 minutes. */
export function pathMtuTo(hi: u64, lo: u64): u32 {
  const at = placeOf(hi, lo);
  if (load<u64>(at, 8) !== lo || load<u64>(at) !== hi || load<f64>(at, 16) < now) return mtu;
  return min(load<u32>(at, 24), mtu);
}

/** @returns the MTU that now holds: no less than the family's floor, whatever the message claims */
export function learnPathMtu(hi: u64, lo: u64, claimed: u32): u32 {
  const value = max(claimed, isV4(hi, lo) ? MIN_PATH_MTU_V4 : MIN_PATH_MTU_V6);
  const current = pathMtuTo(hi, lo);
  if (value >= current) return current;
  const at = placeOf(hi, lo);
  store<u64>(at, hi);
  store<u64>(at, lo, 8);
  store<f64>(at, now + PATH_MTU_AGE, 16);
  store<u32>(at, value, 24);
  return value;
}
