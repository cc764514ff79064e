import { now } from '../clock';
import { sipHash } from '../siphash';
import { Tcb } from './tcb';

/** Initial sequence numbers (RFC 6528) and timestamp offsets (RFC 7323 7.1): a keyed hash of the flow, plus a clock. */

const TAG_ISN: u64 = 1;
const TAG_STAMP: u64 = 2;

function hash(t: Tcb, tag: u64): u64 {
  return sipHash(t.localHi, t.localLo, t.remoteHi, t.remoteLo, (<u64>t.localPort << 16) | <u64>t.remotePort, tag);
}

let pinned: bool = false;
let pin: u32 = 0;

/** Only for tests. */
export function pinSequence(isn: u32): void {
  pinned = true;
  pin = isn;
}

/** M + F(...): M ticks each 4 µs. */
export function initialSequence(t: Tcb): u32 {
  if (pinned) return pin;
  return <u32>(<u64>(now / 4)) + <u32>hash(t, TAG_ISN);
}

export function stampOffset(t: Tcb): u32 {
  return <u32>hash(t, TAG_STAMP);
}
