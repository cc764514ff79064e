/**
 * The Internet checksum (RFC 1071), summed over little-endian 16-bit words: the sum is the same up to a byte swap on both ends, so
 * nothing is swapped. A sum is an unfolded u64; `fold` makes 16 bits of it.
 */

/** @returns 0..0xffff */
// @ts-expect-error: decorator
@inline
export function fold(sum: u64): u32 {
  sum = (sum & 0xffffffff) + (sum >>> 32);
  sum = (sum & 0xffff) + (sum >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  return <u32>sum;
}

// @ts-expect-error: decorator
@inline
export function swap16(x: u32): u32 {
  return ((x & 0xff) << 8) | ((x >>> 8) & 0xff);
}

// @ts-expect-error: decorator
@inline
export function swap32(x: u32): u32 {
  return bswap<u32>(x);
}

// @ts-expect-error: decorator
@inline
function lanes(a: v128): u64 {
  return (
    <u64>(<u32>i32x4.extract_lane(a, 0)) +
    <u64>(<u32>i32x4.extract_lane(a, 1)) +
    <u64>(<u32>i32x4.extract_lane(a, 2)) +
    <u64>(<u32>i32x4.extract_lane(a, 3))
  );
}

/** Sum of `length` bytes at `p`; an odd last byte counts as if a zero followed. At most 2 MiB, or lanes would overflow. */
export function sum(p: usize, length: u32): u64 {
  let s: u64 = 0;
  if (length >= 64) {
    let a = i32x4.splat(0);
    let b = i32x4.splat(0);
    let c = i32x4.splat(0);
    let d = i32x4.splat(0);
    const end = p + (length & ~63);
    do {
      a = i32x4.add(a, i32x4.extadd_pairwise_i16x8_u(v128.load(p)));
      b = i32x4.add(b, i32x4.extadd_pairwise_i16x8_u(v128.load(p, 16)));
      c = i32x4.add(c, i32x4.extadd_pairwise_i16x8_u(v128.load(p, 32)));
      d = i32x4.add(d, i32x4.extadd_pairwise_i16x8_u(v128.load(p, 48)));
      p += 64;
    } while (p < end);
    s = lanes(i32x4.add(i32x4.add(a, b), i32x4.add(c, d)));
    length &= 63;
  }
  while (length >= 4) {
    s += <u64>load<u32>(p);
    p += 4;
    length -= 4;
  }
  if (length & 2) {
    s += <u64>load<u16>(p);
    p += 2;
  }
  if (length & 1) s += <u64>load<u8>(p);
  return s;
}

/** Copies `length` bytes from `src` to `dst` (not overlapping) and sums them on the way, as `sum` does. */
export function copySum(dst: usize, src: usize, length: u32): u64 {
  let s: u64 = 0;
  if (length >= 32) {
    let a = i32x4.splat(0);
    let b = i32x4.splat(0);
    const end = src + (length & ~31);
    do {
      const x = v128.load(src);
      const y = v128.load(src, 16);
      v128.store(dst, x);
      v128.store(dst, y, 16);
      a = i32x4.add(a, i32x4.extadd_pairwise_i16x8_u(x));
      b = i32x4.add(b, i32x4.extadd_pairwise_i16x8_u(y));
      src += 32;
      dst += 32;
    } while (src < end);
    s = lanes(i32x4.add(a, b));
    length &= 31;
  }
  while (length >= 4) {
    const x = load<u32>(src);
    store<u32>(dst, x);
    s += <u64>x;
    src += 4;
    dst += 4;
    length -= 4;
  }
  if (length & 2) {
    const x = load<u16>(src);
    store<u16>(dst, <u16>x);
    s += <u64>x;
    src += 2;
    dst += 2;
  }
  if (length & 1) {
    const x = load<u8>(src);
    store<u8>(dst, x);
    s += <u64>x;
  }
  return s;
}

// @ts-expect-error: decorator
@inline
export function halves(x: u64): u64 {
  return (x & 0xffffffff) + (x >>> 32);
}

/**
 * Sum of the pseudo header (RFC 9293 3.1, RFC 8200 8.1). Addresses are v4-mapped for IPv4, where the ::ffff: part must not count.
 * @param length bytes of the transport header and payload
 */
export function pseudoSum(v6: bool, srcHi: u64, srcLo: u64, dstHi: u64, dstLo: u64, protocol: u32, length: u32): u64 {
  const rest = <u64>(protocol << 8) + <u64>swap16(length);
  if (v6) return rest + <u64>swap16(length >>> 16) + halves(srcHi) + halves(srcLo) + halves(dstHi) + halves(dstLo);
  return rest + (srcLo >>> 32) + (dstLo >>> 32);
}
