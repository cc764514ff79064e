import { fold, swap16, swap32 } from '../checksum';

/** Writes IP headers (RFC 791 3.1, RFC 8200 3). */

export const HOP_LIMIT: u32 = 64;
export const HEADER_V4: u32 = 20;
export const HEADER_V6: u32 = 40;
/** Don't fragment; more fragments; as they lie in bytes 6 and 7, loaded little-endian. */
export const DF: u32 = 0x0040;
export const MF: u32 = 0x0020;

/**
 * @param total bytes with this header
 * @param fragment flags and offset as a little-endian u16 of bytes 6 and 7
 */
// @ts-ignore: decorator
@inline
export function writeV4(at: usize, total: u32, id: u32, fragment: u32, protocol: u32, src: u32, dst: u32): void {
  const w0: u32 = 0x45 | (swap16(total) << 16);
  const w1: u32 = swap16(id) | (fragment << 16);
  const w2: u32 = HOP_LIMIT | (protocol << 8);
  const sum = <u64>w0 + <u64>w1 + <u64>w2 + <u64>src + <u64>dst;
  store<u32>(at, w0);
  store<u32>(at, w1, 4);
  store<u32>(at, w2 | (~fold(sum) << 16), 8);
  store<u32>(at, src, 12);
  store<u32>(at, dst, 16);
}

/** @param payload bytes after this header @param flow label, 20 bits */
// @ts-ignore: decorator
@inline
export function writeV6(at: usize, payload: u32, next: u32, flow: u32, srcHi: u64, srcLo: u64, dstHi: u64, dstLo: u64): void {
  store<u32>(at, swap32(0x60000000 | (flow & 0xfffff)));
  store<u32>(at, swap16(payload) | (next << 16) | (HOP_LIMIT << 24), 4);
  store<u64>(at, srcHi, 8);
  store<u64>(at, srcLo, 16);
  store<u64>(at, dstHi, 24);
  store<u64>(at, dstLo, 32);
}
