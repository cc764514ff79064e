import { swap16, swap32 } from '../checksum';
import { MAX_WINDOW_SHIFT } from '../constants';

/** Options of the segment being taken in (RFC 9293 3.2, RFC 7323, RFC 2018). A malformed one ends the list; what came before it counts. */

const TIMESTAMP_ALIGNED: u32 = 0x0a080101;

export let mss: u32 = 0;
/** 0xff = no option. */
export let shift: u32 = 0xff;
export let sackPermitted: bool = false;
export let hasStamp: bool = false;
export let stampValue: u32 = 0;
export let stampEcho: u32 = 0;
export let sackAt: usize = 0;
export let sackBlocks: u32 = 0;

export function parseOptions(at: usize, length: u32): void {
  hasStamp = false;
  sackBlocks = 0;
  if (length === 12 && load<u32>(at) === TIMESTAMP_ALIGNED) {
    hasStamp = true;
    stampValue = swap32(load<u32>(at, 4));
    stampEcho = swap32(load<u32>(at, 8));
    return;
  }
  mss = 0;
  shift = 0xff;
  sackPermitted = false;
  const end = at + length;
  while (at < end) {
    const kind = <u32>load<u8>(at);
    if (kind === 0) return;
    if (kind === 1) {
      at++;
      continue;
    }
    if (end - at < 2) return;
    const size = <u32>load<u8>(at, 1);
    if (size < 2 || size > <u32>(end - at)) return;
    if (kind === 2 && size === 4) {
      mss = swap16(load<u16>(at, 2));
    } else if (kind === 3 && size === 3) {
      // RFC 7323 2.3: a larger one is taken as 14.
      shift = min<u32>(load<u8>(at, 2), MAX_WINDOW_SHIFT);
    } else if (kind === 4 && size === 2) {
      sackPermitted = true;
    } else if (kind === 5 && size >= 10 && (size - 2) % 8 === 0) {
      sackAt = at + 2;
      sackBlocks = (size - 2) >>> 3;
    } else if (kind === 8 && size === 10) {
      hasStamp = true;
      stampValue = swap32(load<u32>(at, 2));
      stampEcho = swap32(load<u32>(at, 6));
    }
    at += size;
  }
}
