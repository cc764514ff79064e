/** SipHash-2-4 (Aumasson, Bernstein 2012) over 64-bit words given one by one; the last word carries the length as the paper asks. */

export let key0: u64 = 0;
export let key1: u64 = 0;

let v0: u64 = 0;
let v1: u64 = 0;
let v2: u64 = 0;
let v3: u64 = 0;

export function setSipKey(k0: u64, k1: u64): void {
  key0 = k0;
  key1 = k1;
}

// @ts-expect-error: decorator
@inline
function round(): void {
  v0 += v1;
  v1 = rotl<u64>(v1, 13) ^ v0;
  v0 = rotl<u64>(v0, 32);
  v2 += v3;
  v3 = rotl<u64>(v3, 16) ^ v2;
  v0 += v3;
  v3 = rotl<u64>(v3, 21) ^ v0;
  v2 += v1;
  v1 = rotl<u64>(v1, 17) ^ v2;
  v2 = rotl<u64>(v2, 32);
}

// @ts-expect-error: decorator
@inline
function absorb(word: u64): void {
  v3 ^= word;
  round();
  round();
  v0 ^= word;
}

/** Of five little-endian words; `tag` keeps uses apart. 48 bytes of message in all. */
export function sipHash(a: u64, b: u64, c: u64, d: u64, e: u64, tag: u64): u64 {
  v0 = key0 ^ 0x736f6d6570736575;
  v1 = key1 ^ 0x646f72616e646f6d;
  v2 = key0 ^ 0x6c7967656e657261;
  v3 = key1 ^ 0x7465646279746573;
  absorb(a);
  absorb(b);
  absorb(c);
  absorb(d);
  absorb(e);
  absorb(tag);
  absorb(<u64>48 << 56);
  v2 ^= 0xff;
  round();
  round();
  round();
  round();
  return v0 ^ v1 ^ v2 ^ v3;
}
