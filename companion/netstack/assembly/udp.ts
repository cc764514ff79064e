import { isOwn, isUnicast, isV4, selectSource, sourceHi as ownHi, sourceLo as ownLo } from './addresses';
import { fold, pseudoSum, sum, swap16 } from './checksum';
import { PROTOCOL_UDP } from './constants';
import { count, UDP_CHECKSUM, UDP_DROPPED, UDP_IN, UDP_MALFORMED, UDP_NO_PORT, UDP_OUT } from './counters';
import { queueDatagram, roomFor } from './datagrams';
import { portUnreachable } from './icmp';
import { tellUdp } from './local';
import { carve } from './memory';
import { destinationHi, destinationLo, sourceHi, sourceLo, v6 } from './packet';
import { random32 } from './random';
import { scratch } from './settings';

/** UDP, RFC 768 and RFC 8200 8.1. Ports are bound on all own addresses; datagrams are told of one by one and not kept. */

const HEADER: u32 = 8;
/** 65,535 less the headers of IPv4 and UDP. */
const MOST_PAYLOAD: u32 = 65_507;
const FIRST_EPHEMERAL: u32 = 32_768;

const ERROR_IN_USE: i32 = -1;
const ERROR_NO_PORT: i32 = -3;
const ERROR_INVALID: i32 = -5;

/** A byte per port: bound or not. */
let ports: usize = 0;

export function carveUdp(): void {
  ports = carve(65_536);
}

/** @returns port, or an error code */
export function udpBind(port: u32): i32 {
  if (port > 0xffff) return ERROR_INVALID;
  if (port !== 0) {
    if (load<u8>(ports + port)) return ERROR_IN_USE;
    store<u8>(ports + port, 1);
    return <i32>port;
  }
  const range: u32 = 65_536 - FIRST_EPHEMERAL;
  const start = random32() % range;
  for (let i: u32 = 0; i < range; i++) {
    const candidate = FIRST_EPHEMERAL + ((start + i) % range);
    if (!load<u8>(ports + candidate)) {
      store<u8>(ports + candidate, 1);
      return <i32>candidate;
    }
  }
  return ERROR_NO_PORT;
}

export function udpUnbind(port: u32): void {
  if (port <= 0xffff) store<u8>(ports + port, 0);
}

/** @returns 1 = told of a datagram */
export function udpInput(at: usize, length: u32): i32 {
  if (length < HEADER) {
    count(UDP_MALFORMED);
    return 0;
  }
  const size = swap16(load<u16>(at, 4));
  if (size < HEADER || size > length) {
    count(UDP_MALFORMED);
    return 0;
  }
  if (load<u16>(at, 6) === 0) {
    // IPv4 may leave the checksum out, IPv6 may not.
    if (v6) {
      count(UDP_CHECKSUM);
      return 0;
    }
  } else if (
    fold(sum(at, size) + pseudoSum(v6, sourceHi, sourceLo, destinationHi, destinationLo, PROTOCOL_UDP, size)) !== 0xffff
  ) {
    count(UDP_CHECKSUM);
    return 0;
  }
  const localPort = swap16(load<u16>(at, 2));
  if (!load<u8>(ports + localPort)) {
    count(UDP_NO_PORT);
    portUnreachable();
    return 0;
  }
  count(UDP_IN);
  const payload = at + HEADER;
  tellUdp(sourceHi, sourceLo, swap16(load<u16>(at)), localPort, payload, size - HEADER, destinationHi, destinationLo);
  return 1;
}

/** An ICMP error quotes a datagram of ours. @returns 2 = told of it */
export function icmpForUdp(
  srcHi: u64, srcLo: u64, dstHi: u64, dstLo: u64, localPort: u32, remotePort: u32, quote: usize, length: u32,
): i32 {
  if (!load<u8>(ports + localPort)) return 0;
  tellUdp(dstHi, dstLo, remotePort, localPort, quote, length, srcHi, srcLo);
  return 2;
}

/** @returns false = no room now */
export function udpSend(sourcePort: u32, destination: usize, destinationPort: u32, payload: usize, length: u32): bool {
  const hi = load<u64>(destination);
  const lo = load<u64>(destination, 8);
  const own = isOwn(hi, lo);
  const bad =
    length > MOST_PAYLOAD || sourcePort - 1 > 0xfffe || destinationPort - 1 > 0xfffe || (!own && !isUnicast(hi, lo)) || !selectSource(hi, lo);
  if (bad) {
    count(UDP_DROPPED);
    return true;
  }
  if (!roomFor(length + HEADER)) return false;
  const total = HEADER + length;
  store<u32>(scratch, swap16(sourcePort) | (swap16(destinationPort) << 16));
  store<u32>(scratch, swap16(total), 4);
  const s =
    sum(scratch, HEADER) + sum(payload, length) + pseudoSum(!isV4(hi, lo), ownHi, ownLo, hi, lo, PROTOCOL_UDP, total);
  const checksum = ~fold(s) & 0xffff;
  store<u16>(scratch, <u16>(checksum === 0 ? 0xffff : checksum), 6);
  if (!queueDatagram(PROTOCOL_UDP, ownHi, ownLo, hi, lo, scratch, HEADER, payload, length)) return false;
  count(UDP_OUT);
  return true;
}
