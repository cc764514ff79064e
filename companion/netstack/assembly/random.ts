/** xorshift128+ (Vigna 2014) from the seed: for jitter and port choice only, where the keyed hash beside it does the hiding. */

let s0: u64 = 1;
let s1: u64 = 2;

export function seedRandom(a: u64, b: u64): void {
  s0 = a;
  s1 = b | 1;
}

export function random32(): u32 {
  let x = s0;
  const y = s1;
  s0 = y;
  x ^= x << 23;
  s1 = x ^ y ^ (x >>> 17) ^ (y >>> 26);
  return <u32>((s1 + y) >>> 32);
}
