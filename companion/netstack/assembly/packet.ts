/** What the IP layer found out about the packet being taken in. */

export let v6: bool = false;
export let sourceHi: u64 = 0;
export let sourceLo: u64 = 0;
export let destinationHi: u64 = 0;
export let destinationLo: u64 = 0;
/** The packet from its IP header on, for quotes in ICMP errors. */
export let wholeAt: usize = 0;
export let wholeLength: u32 = 0;

export function setFlow(isV6: bool, srcHi: u64, srcLo: u64, dstHi: u64, dstLo: u64): void {
  v6 = isV6;
  sourceHi = srcHi;
  sourceLo = srcLo;
  destinationHi = dstHi;
  destinationLo = dstLo;
}

export function setWhole(at: usize, length: u32): void {
  wholeAt = at;
  wholeLength = length;
}
