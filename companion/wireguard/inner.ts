/**
 * What an inner packet must be before anything behind the tunnel sees it (whitepaper §5.4.6, spec D-6): one whole IPv4
 * or IPv6 packet, from a source that a host can have. Called per packet: no allocation.
 */
import { dropCode } from './drops.ts';

const MALFORMED = dropCode('inner-malformed');
const IPV4_HEADER = 20;
const IPV6_HEADER = 40;

/** The packet's own length by its header, at most `length` (padding is cut), or a drop code. */
export function innerLength(view: DataView, packet: number, length: number): number {
  const first = view.getUint8(packet); // a caller has checked length > 0
  if (first >>> 4 === 4) {
    if (length < IPV4_HEADER) return MALFORMED;
    const headerLength = (first & 15) * 4;
    const total = view.getUint16(packet + 2);
    return headerLength >= IPV4_HEADER && total >= headerLength && total <= length ? total : MALFORMED;
  }
  if (first >>> 4 === 6) {
    if (length < IPV6_HEADER) return MALFORMED;
    const total = IPV6_HEADER + view.getUint16(packet + 4); // a double: cannot wrap as 16 bits would
    return total <= length ? total : MALFORMED;
  }
  return MALFORMED;
}

/** Loopback, multicast, broadcast, unspecified, and IPv4 dressed up as IPv6: no peer's source, whatever it is allowed. */
export function isMartian4(address: number): boolean {
  const top = address >>> 24;
  return top === 127 || (top >= 224 && top < 240) || address === 0 || address === -1;
}

/** Words are signed 32-bit in big-endian order. */
export function isMartian6(w0: number, w1: number, w2: number, w3: number): boolean {
  if (w0 >>> 24 === 0xff) return true;
  if (w0 !== 0 || w1 !== 0) return false;
  return w2 === 0xffff || (w2 === 0 && (w3 === 0 || w3 === 1));
}
