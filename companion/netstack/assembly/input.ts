import { isOwn, isUnicast, mapV4 } from './addresses';
import { fold, sum, swap16, swap32 } from './checksum';
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP } from './constants';
import {
  count, IP_CHECKSUM, IP_MALFORMED, IP_NOT_OURS, IP_PROTOCOL_UNKNOWN, IP_SOURCE_INVALID, PACKETS_IN,
} from './counters';
import { icmpInput, protocolUnreachable } from './icmp';
import { headerLength, nextProtocol, payloadAt, payloadLength, takeFragment } from './ip/fragments';
import { destinationHi, destinationLo, setFlow, setWhole, sourceHi, sourceLo } from './packet';
import { tcpInput } from './tcp/input';
import { udpInput } from './udp';

/** IP input: every length is checked here against the packet's own, and nothing behind it is ever read. */

const HEADER_V6: u32 = 40;
/** IPv6 extension headers that may stand before the payload, RFC 8200 4. */
const HOP_BY_HOP: u32 = 0;
const ROUTING: u32 = 43;
const FRAGMENT: u32 = 44;
const DESTINATION_OPTIONS: u32 = 60;
/** Longest chain of them that is followed. */
const MAX_EXTENSIONS: u32 = 8;

/** @param loop the packet is our own @returns 0 consumed, 1 UDP datagram, 2 ICMP error for UDP */
export function input(at: usize, length: u32, loop: bool): i32 {
  count(PACKETS_IN);
  if (length < 20) {
    count(IP_MALFORMED);
    return 0;
  }
  const version = <u32>load<u8>(at) >>> 4;
  if (version === 4) return inputV4(at, length, loop);
  if (version === 6) return inputV6(at, length, loop);
  count(IP_MALFORMED);
  return 0;
}

/** Whether the packet is for us and from somebody it can be from. */
// @ts-ignore: decorator
@inline
function admissible(loop: bool): bool {
  if (!isOwn(destinationHi, destinationLo)) {
    count(IP_NOT_OURS);
    return false;
  }
  // From the tunnel nothing may claim to come from ourselves (the "land" attack).
  if (!isUnicast(sourceHi, sourceLo) || isOwn(sourceHi, sourceLo) !== loop) {
    count(IP_SOURCE_INVALID);
    return false;
  }
  return true;
}

function inputV4(at: usize, length: u32, loop: bool): i32 {
  const header = (<u32>load<u8>(at) & 15) << 2;
  const total = swap16(load<u16>(at, 2));
  if (header < 20 || header > total || total > length) {
    count(IP_MALFORMED);
    return 0;
  }
  if (fold(sum(at, header)) !== 0xffff) {
    count(IP_CHECKSUM);
    return 0;
  }
  setFlow(false, 0, mapV4(load<u32>(at, 12)), 0, mapV4(load<u32>(at, 16)));
  if (!admissible(loop)) return 0;
  const protocol = <u32>load<u8>(at, 9);
  const fragment = swap16(load<u16>(at, 6));
  if (fragment & 0x3fff) {
    const id = swap16(load<u16>(at, 4));
    const more = (fragment & 0x2000) !== 0;
    const offset = (fragment & 0x1fff) << 3;
    if (!takeFragment(id, protocol, protocol, offset, more, at + header, total - header, at, header)) return 0;
    setWhole(payloadAt - headerLength, headerLength + payloadLength);
    return transport(protocol, payloadAt, payloadLength, 9);
  }
  setWhole(at, total);
  return transport(protocol, at + header, total - header, 9);
}

function inputV6(at: usize, length: u32, loop: bool): i32 {
  const total = HEADER_V6 + swap16(load<u16>(at, 4));
  if (length < HEADER_V6 || total > length) {
    count(IP_MALFORMED);
    return 0;
  }
  setFlow(true, load<u64>(at, 8), load<u64>(at, 16), load<u64>(at, 24), load<u64>(at, 32));
  if (!admissible(loop)) return 0;
  setWhole(at, total);
  return chain(at, <u32>load<u8>(at, 6), 6, at + HEADER_V6, at + total, true);
}

/**
 * Walks the extension headers.
 * @param whole start of the packet @param pointer offset in it of the byte that named `next`
 */
function chain(whole: usize, next: u32, pointer: u32, at: usize, end: usize, mayFragment: bool): i32 {
  for (let i: u32 = 0; i < MAX_EXTENSIONS; i++) {
    if (next !== HOP_BY_HOP && next !== ROUTING && next !== FRAGMENT && next !== DESTINATION_OPTIONS)
      return transport(next, at, <u32>(end - at), pointer);
    if (end - at < 8) break;
    const following = <u32>load<u8>(at);
    if (next === FRAGMENT) {
      if (!mayFragment) break;
      const field = swap16(load<u16>(at, 2));
      const offset = field & 0xfff8;
      if ((field & 0xfff9) !== 0) {
        const done = takeFragment(
          swap32(load<u32>(at, 4)), 0, following, offset, (field & 1) !== 0, at + 8, <u32>(end - at) - 8, whole, <u32>(at - whole),
        );
        if (!done) return 0;
        setWhole(payloadAt - headerLength, headerLength + payloadLength);
        return chain(payloadAt - headerLength, nextProtocol, 6, payloadAt, payloadAt + payloadLength, false);
      }
      // An atomic fragment (RFC 6946) is a whole datagram.
      pointer = <u32>(at - whole);
      next = following;
      at += 8;
      continue;
    }
    const size: usize = (<usize>load<u8>(at, 1) + 1) << 3;
    if (size > end - at) break;
    // Source routes through us are not for a host to follow (RFC 5095).
    if (next === ROUTING && load<u8>(at, 3) !== 0) break;
    pointer = <u32>(at - whole);
    next = following;
    at += size;
  }
  count(IP_MALFORMED);
  return 0;
}

function transport(protocol: u32, at: usize, length: u32, pointer: u32): i32 {
  if (protocol === PROTOCOL_TCP) {
    tcpInput(at, length);
    return 0;
  }
  if (protocol === PROTOCOL_UDP) return udpInput(at, length);
  if (protocol === PROTOCOL_ICMP || protocol === PROTOCOL_ICMPV6) return icmpInput(protocol, at, length);
  count(IP_PROTOCOL_UNKNOWN);
  protocolUnreachable(pointer);
  return 0;
}
