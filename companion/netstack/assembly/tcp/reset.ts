import { fold, pseudoSum, sum, swap16, swap32 } from '../checksum';
import { ACK, PROTOCOL_TCP, RST } from '../constants';
import { count, TCP_RESETS_OUT } from '../counters';
import { queueDatagram } from '../datagrams';
import { allowed, LIMIT_RESET } from '../limiter';
import { isV4 } from '../addresses';
import { scratch } from '../settings';
import { Tcb } from './tcb';

/** Segments that no connection's output sends: resets, and ACKs of TIME-WAIT. They wait for poll among the datagrams. */

export function sendBareSegment(
  srcHi: u64, srcLo: u64, dstHi: u64, dstLo: u64, srcPort: u32, dstPort: u32, seq: u32, ack: u32, flags: u32, window: u32,
  stampValue: u32, stampEcho: u32, withStamp: bool,
): void {
  const header: u32 = withStamp ? 32 : 20;
  store<u32>(scratch, swap16(srcPort) | (swap16(dstPort) << 16));
  store<u32>(scratch, swap32(seq), 4);
  store<u32>(scratch, swap32(ack), 8);
  store<u32>(scratch, (header << 2) | (flags << 8) | (swap16(window) << 16), 12);
  store<u32>(scratch, 0, 16);
  if (withStamp) {
    store<u32>(scratch, 0x0a080101, 20);
    store<u32>(scratch, swap32(stampValue), 24);
    store<u32>(scratch, swap32(stampEcho), 28);
  }
  const s = sum(scratch, header) + pseudoSum(!isV4(dstHi, dstLo), srcHi, srcLo, dstHi, dstLo, PROTOCOL_TCP, header);
  store<u16>(scratch, <u16>~fold(s), 16);
  queueDatagram(PROTOCOL_TCP, srcHi, srcLo, dstHi, dstLo, scratch, header, scratch, 0);
}

/** RST of a connection of ours (RFC 9293 3.10.7.4), at sndNxt, which the peer takes whatever it has acknowledged. */
export function resetPeer(t: Tcb): void {
  count(TCP_RESETS_OUT);
  sendBareSegment(
    t.localHi, t.localLo, t.remoteHi, t.remoteLo, t.localPort, t.remotePort, t.sndNxt, t.rcvNxt, RST | ACK, 0, 0, 0, false,
  );
}

/**
 * RFC 9293 3.10.7.1: answers a segment that belongs to nothing. Never in answer to a RST.
 * @param length of the segment in sequence space
 */
export function resetStranger(
  srcHi: u64, srcLo: u64, dstHi: u64, dstLo: u64, srcPort: u32, dstPort: u32, seq: u32, ack: u32, flags: u32, length: u32,
): void {
  if (flags & RST || !allowed(LIMIT_RESET)) return;
  count(TCP_RESETS_OUT);
  if (flags & ACK) sendBareSegment(srcHi, srcLo, dstHi, dstLo, srcPort, dstPort, ack, 0, RST, 0, 0, 0, false);
  else sendBareSegment(srcHi, srcLo, dstHi, dstLo, srcPort, dstPort, 0, seq + length, RST | ACK, 0, 0, 0, false);
}
