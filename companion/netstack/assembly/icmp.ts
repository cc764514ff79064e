import { isOwn, isV4, mapV4 } from './addresses';
import { fold, pseudoSum, sum, swap16, swap32 } from './checksum';
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP } from './constants';
import { count, ICMP_ECHO_REPLIES, ICMP_ERRORS_OUT, ICMP_IN, ICMP_MALFORMED, ICMP_RATE_LIMITED } from './counters';
import { queueDatagram } from './datagrams';
import { learnPathMtu } from './ip/pathmtu';
import { allowed, LIMIT_ECHO, LIMIT_ICMP } from './limiter';
import { destinationHi, destinationLo, sourceHi, sourceLo, v6, wholeAt, wholeLength } from './packet';
import { scratch } from './settings';
import { icmpForTcp } from './tcp/icmp';
import { icmpForUdp } from './udp';

/** ICMP (RFC 792) and ICMPv6 (RFC 4443): answers echoes, reports what cannot be delivered, passes errors on to whom they concern. */

const ECHO_REPLY_V4: u32 = 0;
const ECHO_REQUEST_V4: u32 = 8;
const UNREACHABLE_V4: u32 = 3;
const FRAGMENTATION_NEEDED: u32 = 4;
const ECHO_REQUEST_V6: u32 = 128;
const ECHO_REPLY_V6: u32 = 129;
const UNREACHABLE_V6: u32 = 1;
const TOO_BIG_V6: u32 = 2;
const PARAMETER_PROBLEM_V6: u32 = 4;

/** What an error means to the flow it quotes. */
export const MEANS_TOO_BIG: u32 = 1;
export const MEANS_UNREACHABLE: u32 = 2;
export const MEANS_REFUSED: u32 = 3;

/** RFC 1812 4.3.2.3 and RFC 4443 2.4(c): how much of the packet an error quotes at most, with all headers. */
const MOST_ERROR_V4: u32 = 576;
const MOST_ERROR_V6: u32 = 1280;

export function icmpInput(protocol: u32, at: usize, length: u32): i32 {
  count(ICMP_IN);
  let s = sum(at, length);
  if (v6) s += pseudoSum(true, sourceHi, sourceLo, destinationHi, destinationLo, PROTOCOL_ICMPV6, length);
  if (length < 8 || v6 !== (protocol === PROTOCOL_ICMPV6) || fold(s) !== 0xffff) {
    count(ICMP_MALFORMED);
    return 0;
  }
  const type = <u32>load<u8>(at);
  const code = <u32>load<u8>(at, 1);
  if (type === (v6 ? ECHO_REQUEST_V6 : ECHO_REQUEST_V4)) {
    echo(at, length);
    return 0;
  }
  if (v6) {
    if (type === TOO_BIG_V6) return quoted(at + 8, length - 8, MEANS_TOO_BIG, swap32(load<u32>(at, 4)));
    if (type === UNREACHABLE_V6) return quoted(at + 8, length - 8, code === 4 ? MEANS_REFUSED : MEANS_UNREACHABLE, 0);
    if (type === PARAMETER_PROBLEM_V6 && code === 1) return quoted(at + 8, length - 8, MEANS_REFUSED, 0);
  } else if (type === UNREACHABLE_V4) {
    if (code === FRAGMENTATION_NEEDED) return quoted(at + 8, length - 8, MEANS_TOO_BIG, swap16(load<u16>(at, 6)));
    return quoted(at + 8, length - 8, code === 2 || code === 3 ? MEANS_REFUSED : MEANS_UNREACHABLE, 0);
  }
  return 0;
}

/** The same bytes back, with another type. */
function echo(at: usize, length: u32): void {
  if (!allowed(LIMIT_ECHO)) {
    count(ICMP_RATE_LIMITED);
    return;
  }
  store<u64>(scratch, load<u64>(at));
  store<u8>(scratch, <u8>(v6 ? ECHO_REPLY_V6 : ECHO_REPLY_V4));
  store<u16>(scratch, 0, 2);
  if (sendIcmp(8, at + 8, length - 8)) count(ICMP_ECHO_REPLIES);
}

/** Sends what stands in scratch, then `body`, to the packet's source. */
function sendIcmp(head: u32, body: usize, length: u32): bool {
  let s = sum(scratch, head) + sum(body, length);
  const protocol = v6 ? PROTOCOL_ICMPV6 : PROTOCOL_ICMP;
  if (v6) s += pseudoSum(true, destinationHi, destinationLo, sourceHi, sourceLo, protocol, head + length);
  store<u16>(scratch, <u16>~fold(s), 2);
  return queueDatagram(protocol, destinationHi, destinationLo, sourceHi, sourceLo, scratch, head, body, length);
}

function sendError(type: u32, code: u32, rest: u32): void {
  if (!allowed(LIMIT_ICMP)) {
    count(ICMP_RATE_LIMITED);
    return;
  }
  store<u32>(scratch, type | (code << 8));
  store<u32>(scratch, rest, 4);
  const most = v6 ? MOST_ERROR_V6 - 48 : MOST_ERROR_V4 - 28;
  if (sendIcmp(8, wholeAt, min(wholeLength, most))) count(ICMP_ERRORS_OUT);
}

/** No such UDP port here. */
export function portUnreachable(): void {
  if (v6) sendError(UNREACHABLE_V6, 4, 0);
  else sendError(UNREACHABLE_V4, 3, 0);
}

/** @param pointer offset of the byte that named the protocol */
export function protocolUnreachable(pointer: u32): void {
  if (v6) sendError(PARAMETER_PROBLEM_V6, 1, swap32(pointer));
  else sendError(UNREACHABLE_V4, 2, 0);
}

/** Finds whose packet an error quotes. @param value the MTU it names @returns what `input` returns */
function quoted(at: usize, length: u32, meaning: u32, value: u32): i32 {
  let srcHi: u64 = 0;
  let srcLo: u64;
  let dstHi: u64 = 0;
  let dstLo: u64;
  let protocol: u32;
  let header: u32;
  if (v6) {
    header = 40;
    if (length < 48 || <u32>load<u8>(at) >>> 4 !== 6) return 0;
    srcHi = load<u64>(at, 8);
    srcLo = load<u64>(at, 16);
    dstHi = load<u64>(at, 24);
    dstLo = load<u64>(at, 32);
    protocol = load<u8>(at, 6);
  } else {
    if (length < 28 || <u32>load<u8>(at) >>> 4 !== 4) return 0;
    header = (<u32>load<u8>(at) & 15) << 2;
    if (header < 20 || length < header + 8) return 0;
    // Only of a first fragment the ports can be read.
    if (load<u16>(at, 6) & 0xff1f) return 0;
    srcLo = mapV4(load<u32>(at, 12));
    dstLo = mapV4(load<u32>(at, 16));
    protocol = load<u8>(at, 9);
  }
  if (!isOwn(srcHi, srcLo) || isOwn(dstHi, dstLo)) return 0;
  const inner = at + header;
  const localPort = swap16(load<u16>(inner));
  const remotePort = swap16(load<u16>(inner, 2));
  if (protocol === PROTOCOL_TCP) {
    icmpForTcp(srcHi, srcLo, dstHi, dstLo, localPort, remotePort, swap32(load<u32>(inner, 4)), meaning, value);
    return 0;
  }
  if (protocol !== PROTOCOL_UDP) return 0;
  if (meaning === MEANS_TOO_BIG) {
    // IPv4 leaves fragmenting of UDP to routers, so only IPv6 needs it.
    if (!isV4(dstHi, dstLo)) learnPathMtu(dstHi, dstLo, value);
    return 0;
  }
  return icmpForUdp(srcHi, srcLo, dstHi, dstLo, localPort, remotePort, inner + 8, length - header - 8);
}
