// ChaCha20-Poly1305 (RFC 8439 §2.8) without additional data, on the memory that it is given, for a node whose OpenSSL cannot be called.
// asc --target aead companion/datapath/assembly/aead.ts
// No static data and no heap: the module may touch nothing of the memory but its arguments and the scratch space.

/** 64 bytes of a partial block, then 32 of its one-time Poly1305 key, then 16 of a tag. */
let scratch: usize = 0;
const POLY_KEY: usize = 64;
const TAG: usize = 96;

/** Gives the module its 112 bytes of scratch space. */
export function setScratch(pointer: usize): void {
  scratch = pointer;
}

/** Rotates each 32-bit lane left. */
// @ts-expect-error: decorator
@inline function rotl(x: v128, n: i32): v128 {
  return v128.or(i32x4.shl(x, n), i32x4.shr_u(x, 32 - n));
}

/**
 * One keystream block (RFC 8439 §2.3), its four rows a, b, c, d as vectors: a column round works on the rows as they are, a diagonal
 * round on rows turned by 0, 1, 2, 3 lanes. XORs 64 bytes from src to dst.
 */
function block(dst: usize, src: usize, key: usize, counter: u32, nonceLo: u32, nonceHi: u32): void {
  const a0 = i32x4(0x61707865, 0x3320646e, 0x79622d32, 0x6b206574);
  const b0 = v128.load(key);
  const c0 = v128.load(key, 16);
  const d0 = i32x4.replace_lane(i32x4.replace_lane(i32x4.replace_lane(i32x4.splat(0), 0, counter), 2, nonceLo), 3, nonceHi);
  let a = a0;
  let b = b0;
  let c = c0;
  let d = d0;
  for (let round = 0; round < 10; round++) {
    for (let half = 0; half < 2; half++) {
      a = i32x4.add(a, b);
      d = rotl(v128.xor(d, a), 16);
      c = i32x4.add(c, d);
      b = rotl(v128.xor(b, c), 12);
      a = i32x4.add(a, b);
      d = rotl(v128.xor(d, a), 8);
      c = i32x4.add(c, d);
      b = rotl(v128.xor(b, c), 7);
      c = v128.shuffle<u32>(c, c, 2, 3, 0, 1);
      if (half === 0) {
        b = v128.shuffle<u32>(b, b, 1, 2, 3, 0);
        d = v128.shuffle<u32>(d, d, 3, 0, 1, 2);
      } else {
        b = v128.shuffle<u32>(b, b, 3, 0, 1, 2);
        d = v128.shuffle<u32>(d, d, 1, 2, 3, 0);
      }
    }
  }
  v128.store(dst, v128.xor(v128.load(src), i32x4.add(a, a0)));
  v128.store(dst, v128.xor(v128.load(src, 16), i32x4.add(b, b0)), 16);
  v128.store(dst, v128.xor(v128.load(src, 32), i32x4.add(c, c0)), 32);
  v128.store(dst, v128.xor(v128.load(src, 48), i32x4.add(d, d0)), 48);
}

/**
 * Four keystream blocks at once: v_i holds word i of each, so that a quarter round is the same for columns and diagonals. XORs 256
 * bytes from src to dst. The four quarter rounds of a half are interleaved, since each step of one waits for its last.
 */
function fourBlocks(dst: usize, src: usize, key: usize, counter: u32, nonceLo: u32, nonceHi: u32): void {
  let v0 = i32x4.splat(0x61707865);
  let v1 = i32x4.splat(0x3320646e);
  let v2 = i32x4.splat(0x79622d32);
  let v3 = i32x4.splat(0x6b206574);
  let v4 = v128.load32_splat(key, 0);
  let v5 = v128.load32_splat(key, 4);
  let v6 = v128.load32_splat(key, 8);
  let v7 = v128.load32_splat(key, 12);
  let v8 = v128.load32_splat(key, 16);
  let v9 = v128.load32_splat(key, 20);
  let v10 = v128.load32_splat(key, 24);
  let v11 = v128.load32_splat(key, 28);
  let v12 = i32x4.add(i32x4.splat(counter), i32x4(0, 1, 2, 3));
  let v13 = i32x4.splat(0);
  let v14 = i32x4.splat(nonceLo);
  let v15 = i32x4.splat(nonceHi);
  for (let round = 0; round < 10; round++) {
    v0 = i32x4.add(v0, v4);
    v1 = i32x4.add(v1, v5);
    v2 = i32x4.add(v2, v6);
    v3 = i32x4.add(v3, v7);
    v12 = rotl(v128.xor(v12, v0), 16);
    v13 = rotl(v128.xor(v13, v1), 16);
    v14 = rotl(v128.xor(v14, v2), 16);
    v15 = rotl(v128.xor(v15, v3), 16);
    v8 = i32x4.add(v8, v12);
    v9 = i32x4.add(v9, v13);
    v10 = i32x4.add(v10, v14);
    v11 = i32x4.add(v11, v15);
    v4 = rotl(v128.xor(v4, v8), 12);
    v5 = rotl(v128.xor(v5, v9), 12);
    v6 = rotl(v128.xor(v6, v10), 12);
    v7 = rotl(v128.xor(v7, v11), 12);
    v0 = i32x4.add(v0, v4);
    v1 = i32x4.add(v1, v5);
    v2 = i32x4.add(v2, v6);
    v3 = i32x4.add(v3, v7);
    v12 = rotl(v128.xor(v12, v0), 8);
    v13 = rotl(v128.xor(v13, v1), 8);
    v14 = rotl(v128.xor(v14, v2), 8);
    v15 = rotl(v128.xor(v15, v3), 8);
    v8 = i32x4.add(v8, v12);
    v9 = i32x4.add(v9, v13);
    v10 = i32x4.add(v10, v14);
    v11 = i32x4.add(v11, v15);
    v4 = rotl(v128.xor(v4, v8), 7);
    v5 = rotl(v128.xor(v5, v9), 7);
    v6 = rotl(v128.xor(v6, v10), 7);
    v7 = rotl(v128.xor(v7, v11), 7);

    v0 = i32x4.add(v0, v5);
    v1 = i32x4.add(v1, v6);
    v2 = i32x4.add(v2, v7);
    v3 = i32x4.add(v3, v4);
    v15 = rotl(v128.xor(v15, v0), 16);
    v12 = rotl(v128.xor(v12, v1), 16);
    v13 = rotl(v128.xor(v13, v2), 16);
    v14 = rotl(v128.xor(v14, v3), 16);
    v10 = i32x4.add(v10, v15);
    v11 = i32x4.add(v11, v12);
    v8 = i32x4.add(v8, v13);
    v9 = i32x4.add(v9, v14);
    v5 = rotl(v128.xor(v5, v10), 12);
    v6 = rotl(v128.xor(v6, v11), 12);
    v7 = rotl(v128.xor(v7, v8), 12);
    v4 = rotl(v128.xor(v4, v9), 12);
    v0 = i32x4.add(v0, v5);
    v1 = i32x4.add(v1, v6);
    v2 = i32x4.add(v2, v7);
    v3 = i32x4.add(v3, v4);
    v15 = rotl(v128.xor(v15, v0), 8);
    v12 = rotl(v128.xor(v12, v1), 8);
    v13 = rotl(v128.xor(v13, v2), 8);
    v14 = rotl(v128.xor(v14, v3), 8);
    v10 = i32x4.add(v10, v15);
    v11 = i32x4.add(v11, v12);
    v8 = i32x4.add(v8, v13);
    v9 = i32x4.add(v9, v14);
    v5 = rotl(v128.xor(v5, v10), 7);
    v6 = rotl(v128.xor(v6, v11), 7);
    v7 = rotl(v128.xor(v7, v8), 7);
    v4 = rotl(v128.xor(v4, v9), 7);
  }
  v0 = i32x4.add(v0, i32x4.splat(0x61707865));
  v1 = i32x4.add(v1, i32x4.splat(0x3320646e));
  v2 = i32x4.add(v2, i32x4.splat(0x79622d32));
  v3 = i32x4.add(v3, i32x4.splat(0x6b206574));
  v4 = i32x4.add(v4, v128.load32_splat(key, 0));
  v5 = i32x4.add(v5, v128.load32_splat(key, 4));
  v6 = i32x4.add(v6, v128.load32_splat(key, 8));
  v7 = i32x4.add(v7, v128.load32_splat(key, 12));
  v8 = i32x4.add(v8, v128.load32_splat(key, 16));
  v9 = i32x4.add(v9, v128.load32_splat(key, 20));
  v10 = i32x4.add(v10, v128.load32_splat(key, 24));
  v11 = i32x4.add(v11, v128.load32_splat(key, 28));
  v12 = i32x4.add(v12, i32x4.add(i32x4.splat(counter), i32x4(0, 1, 2, 3)));
  v14 = i32x4.add(v14, i32x4.splat(nonceLo));
  v15 = i32x4.add(v15, i32x4.splat(nonceHi));
  transposed(dst, src, v0, v1, v2, v3);
  transposed(dst + 16, src + 16, v4, v5, v6, v7);
  transposed(dst + 32, src + 32, v8, v9, v10, v11);
  transposed(dst + 48, src + 48, v12, v13, v14, v15);
}

/** XORs 16 bytes of each of four blocks with their words, which lie across a, b, c, d. */
function transposed(dst: usize, src: usize, a: v128, b: v128, c: v128, d: v128): void {
  const ab01 = v128.shuffle<u32>(a, b, 0, 4, 1, 5);
  const ab23 = v128.shuffle<u32>(a, b, 2, 6, 3, 7);
  const cd01 = v128.shuffle<u32>(c, d, 0, 4, 1, 5);
  const cd23 = v128.shuffle<u32>(c, d, 2, 6, 3, 7);
  v128.store(dst, v128.xor(v128.load(src), v128.shuffle<u64>(ab01, cd01, 0, 2)));
  v128.store(dst, v128.xor(v128.load(src, 64), v128.shuffle<u64>(ab01, cd01, 1, 3)), 64);
  v128.store(dst, v128.xor(v128.load(src, 128), v128.shuffle<u64>(ab23, cd23, 0, 2)), 128);
  v128.store(dst, v128.xor(v128.load(src, 192), v128.shuffle<u64>(ab23, cd23, 1, 3)), 192);
}

/** RFC 8439 §2.4 from block 1 on. */
function chacha20(dst: usize, src: usize, length: usize, key: usize, nonceLo: u32, nonceHi: u32): void {
  let counter: u32 = 1;
  let done: usize = 0;
  for (; done + 256 <= length; done += 256, counter += 4) fourBlocks(dst + done, src + done, key, counter, nonceLo, nonceHi);
  for (; done + 64 <= length; done += 64) block(dst + done, src + done, key, counter++, nonceLo, nonceHi);
  if (done === length) return;
  memory.copy(scratch, src + done, length - done);
  block(scratch, scratch, key, counter, nonceLo, nonceHi);
  memory.copy(dst + done, scratch, length - done);
}

const MASK: u64 = 0x3ffffff;

// Poly1305 (RFC 8439 §2.5) in five limbs of 26 bits; products stay below 2^60. The clamped key r, and 5 r for the wrap at 2^130.
let r0: u64;
let r1: u64;
let r2: u64;
let r3: u64;
let r4: u64;
let s1: u64;
let s2: u64;
let s3: u64;
let s4: u64;
let h0: u64;
let h1: u64;
let h2: u64;
let h3: u64;
let h4: u64;

function polyStart(key: usize): void {
  const lo = load<u64>(key) & 0x0ffffffc0fffffff;
  // biome-ignore lint/correctness/noPrecisionLoss: a u64 in AssemblyScript
  const hi = load<u64>(key, 8) & 0x0ffffffc0ffffffc;
  r0 = lo & MASK;
  r1 = (lo >> 26) & MASK;
  r2 = ((lo >> 52) | (hi << 12)) & MASK;
  r3 = (hi >> 14) & MASK;
  r4 = hi >> 40;
  s1 = r1 * 5;
  s2 = r2 * 5;
  s3 = r3 * 5;
  s4 = r4 * 5;
  h0 = h1 = h2 = h3 = h4 = 0;
}

/** h = (h + block + 2^128) r, for each 16 bytes. */
function polyBlocks(p: usize, count: usize): void {
  let a0 = h0;
  let a1 = h1;
  let a2 = h2;
  let a3 = h3;
  let a4 = h4;
  for (const end = p + (count << 4); p < end; p += 16) {
    const lo = load<u64>(p);
    const hi = load<u64>(p, 8);
    a0 += lo & MASK;
    a1 += (lo >> 26) & MASK;
    a2 += ((lo >> 52) | (hi << 12)) & MASK;
    a3 += (hi >> 14) & MASK;
    a4 += (hi >> 40) | (1 << 24);
    const d0 = a0 * r0 + a1 * s4 + a2 * s3 + a3 * s2 + a4 * s1;
    let d1 = a0 * r1 + a1 * r0 + a2 * s4 + a3 * s3 + a4 * s2;
    let d2 = a0 * r2 + a1 * r1 + a2 * r0 + a3 * s4 + a4 * s3;
    let d3 = a0 * r3 + a1 * r2 + a2 * r1 + a3 * r0 + a4 * s4;
    let d4 = a0 * r4 + a1 * r3 + a2 * r2 + a3 * r1 + a4 * r0;
    d1 += d0 >> 26;
    d2 += d1 >> 26;
    d3 += d2 >> 26;
    d4 += d3 >> 26;
    a0 = (d0 & MASK) + (d4 >> 26) * 5;
    a1 = (d1 & MASK) + (a0 >> 26);
    a0 &= MASK;
    a2 = d2 & MASK;
    a3 = d3 & MASK;
    a4 = d4 & MASK;
  }
  h0 = a0;
  h1 = a1;
  h2 = a2;
  h3 = a3;
  h4 = a4;
}

/** tag = (h mod 2^130 - 5) + s mod 2^128. */
function polyFinish(key: usize, tag: usize): void {
  h2 += h1 >> 26;
  h1 &= MASK;
  h3 += h2 >> 26;
  h2 &= MASK;
  h4 += h3 >> 26;
  h3 &= MASK;
  h0 += (h4 >> 26) * 5;
  h4 &= MASK;
  h1 += h0 >> 26;
  h0 &= MASK;
  // g = h + 5 - 2^130 is not negative exactly when h >= 2^130 - 5; chosen by mask, not by branch.
  let g0 = h0 + 5;
  let g1 = h1 + (g0 >> 26);
  let g2 = h2 + (g1 >> 26);
  let g3 = h3 + (g2 >> 26);
  const g4 = h4 + (g3 >> 26) - (1 << 26);
  g0 &= MASK;
  g1 &= MASK;
  g2 &= MASK;
  g3 &= MASK;
  const keep: u64 = <u64>(<i64>g4 >> 63);
  h0 = (h0 & keep) | (g0 & ~keep);
  h1 = (h1 & keep) | (g1 & ~keep);
  h2 = (h2 & keep) | (g2 & ~keep);
  h3 = (h3 & keep) | (g3 & ~keep);
  h4 = (h4 & keep) | (g4 & ~keep);
  const lo = h0 | (h1 << 26) | (h2 << 52);
  const hi = (h2 >> 12) | (h3 << 14) | (h4 << 40);
  const tagLo = lo + load<u64>(key, 16);
  store<u64>(tag, tagLo);
  store<u64>(tag, hi + load<u64>(key, 24) + u64(tagLo < lo), 8);
}

/** RFC 8439 §2.6 and §2.8: the one-time key from block 0, then the ciphertext, its padding and the two lengths. */
function authenticate(ciphertext: usize, length: usize, key: usize, nonceLo: u32, nonceHi: u32, tag: usize): void {
  memory.fill(scratch, 0, 64);
  block(scratch, scratch, key, 0, nonceLo, nonceHi);
  memory.copy(scratch + POLY_KEY, scratch, 32);
  polyStart(scratch + POLY_KEY);
  polyBlocks(ciphertext, length >> 4);
  const rest = length & 15;
  if (rest !== 0) {
    memory.fill(scratch, 0, 16);
    memory.copy(scratch, ciphertext + length - rest, rest);
    polyBlocks(scratch, 1);
  }
  store<u64>(scratch, 0);
  store<u64>(scratch, length, 8);
  polyBlocks(scratch, 1);
  polyFinish(scratch + POLY_KEY, tag);
  memory.fill(scratch, 0, TAG);
}

/** Writes length + 16 bytes at dst. */
export function seal(dst: usize, src: usize, length: usize, key: usize, nonceLo: u32, nonceHi: u32): void {
  chacha20(dst, src, length, key, nonceLo, nonceHi);
  authenticate(dst, length, key, nonceLo, nonceHi, dst + length);
}

/** `length` counts the tag. 1 and the text at dst; or 0 and nothing is written. */
export function open(dst: usize, src: usize, length: usize, key: usize, nonceLo: u32, nonceHi: u32): i32 {
  if (length < 16) return 0;
  const textLength = length - 16;
  const tag = scratch + TAG;
  authenticate(src, textLength, key, nonceLo, nonceHi, tag);
  const wrong = v128.any_true(v128.xor(v128.load(tag), v128.load(src + textLength)));
  if (wrong) return 0;
  chacha20(dst, src, textLength, key, nonceLo, nonceHi);
  return 1;
}
