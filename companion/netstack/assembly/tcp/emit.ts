import { copySum, fold, pseudoSum, sum, swap16, swap32 } from '../checksum';
import { ACK, PAGE_SIZE, PROTOCOL_TCP, RECEIVE_SHIFT, SYN } from '../constants';
import { count, TCP_DSACK_OUT, TCP_SEGMENTS_OUT } from '../counters';
import { DF, HEADER_V4, HEADER_V6, writeV4, writeV6 } from '../ip/header';
import { nextPage, pageAddress } from '../pages';
import { loopPacket } from '../loopback';
import { push, slot } from '../out';
import { offeredMss } from './mss';
import { writeSackBlocks } from './reassembly';
import { stampNow } from './stamps';
import {
  clear, F_DSACK, F_LOOP, F_SACK, F_SCALE, F_TS, F_V6, has, SYN_SENT, Tcb,
} from './tcb';
import { selectWindow } from './window';

/** Writes one segment of a connection, headers and all, straight into a packet slot. */

/** NOP, NOP, kind 8, length 10. */
const OPTION_TS: u32 = 0x0a080101;

let headerLength: u32 = 0;

/** IP header and the fixed part of the TCP header. @returns where the TCP header starts */
// @ts-ignore: decorator
@inline
function writeHeaders(t: Tcb, at: usize, seq: u32, ack: u32, flags: u32, window: u32, tcpLength: u32, dataOffset: u32): usize {
  let tcp: usize;
  if (has(t, F_V6)) {
    headerLength = HEADER_V6;
    tcp = at + HEADER_V6;
    writeV6(at, tcpLength, PROTOCOL_TCP, t.tsOffset, t.localHi, t.localLo, t.remoteHi, t.remoteLo);
  } else {
    headerLength = HEADER_V4;
    tcp = at + HEADER_V4;
    writeV4(at, HEADER_V4 + tcpLength, t.ipId++, DF, PROTOCOL_TCP, <u32>(t.localLo >>> 32), <u32>(t.remoteLo >>> 32));
  }
  store<u32>(tcp, swap16(t.localPort) | (swap16(t.remotePort) << 16));
  store<u32>(tcp, swap32(seq), 4);
  store<u32>(tcp, swap32(ack), 8);
  store<u32>(tcp, dataOffset | (flags << 8) | (swap16(window) << 16), 12);
  store<u32>(tcp, 0, 16);
  return tcp;
}

/** Puts the checksum in and hands the packet on. @param dataSum of the payload */
// @ts-ignore: decorator
@inline
function finish(t: Tcb, tcp: usize, header: u32, tcpLength: u32, dataSum: u64): void {
  const s =
    pseudoSum(has(t, F_V6), t.localHi, t.localLo, t.remoteHi, t.remoteLo, PROTOCOL_TCP, tcpLength) + sum(tcp, header) + dataSum;
  store<u16>(tcp, <u16>~fold(s), 16);
  count(TCP_SEGMENTS_OUT);
  if (has(t, F_LOOP)) loopPacket(headerLength + tcpLength);
  else push(headerLength + tcpLength);
}


// @ts-ignore: decorator
@inline
function writeStamp(t: Tcb, at: usize): void {
  store<u32>(at, OPTION_TS);
  store<u32>(at, swap32(stampNow(t)), 4);
  store<u32>(at, swap32(t.tsRecent), 8);
}

/**
 * A segment with data from the send chain, at (page, offset).
 * @param length 1..mss; the slot must hold headers and payload
 */
export function emitData(t: Tcb, seq: u32, flags: u32, page: u32, offset: u32, length: u32, window: u32): void {
  const header: u32 = has(t, F_TS) ? 32 : 20;
  const tcp = writeHeaders(t, slot(), seq, t.rcvNxt, flags | ACK, window, header + length, header << 2);
  if (header === 32) writeStamp(t, tcp + 20);
  let to = tcp + header;
  let s: u64 = 0;
  let left = length;
  let odd = false;
  while (left > 0) {
    const step = min(PAGE_SIZE - offset, left);
    let part = copySum(to, pageAddress(page) + offset, step);
    // A piece that starts at an odd byte counts with its bytes the other way round (RFC 1071 2(B)).
    if (odd) part = <u64>swap16(fold(part));
    s += part;
    odd = odd !== ((step & 1) !== 0);
    to += step;
    left -= step;
    page = nextPage(page);
    offset = 0;
  }
  sentAck(t);
  finish(t, tcp, header, header + length, s);
}

/** A segment without data. @param ack acknowledgment number, rcvNxt or an earlier one */
export function emitBare(t: Tcb, seq: u32, ack: u32, flags: u32): void {
  const window = selectWindow(t, ack);
  const at = slot();
  // Options first would need the length, so they are written to their final place, which depends on the family only.
  const tcp = at + (has(t, F_V6) ? HEADER_V6 : HEADER_V4);
  let end = tcp + 20;
  if (has(t, F_TS)) {
    writeStamp(t, end);
    end += 12;
  }
  if (has(t, F_SACK) && (t.rangeCount > 0 || has(t, F_DSACK))) {
    let most: u32 = has(t, F_TS) ? 3 : 4;
    let blocks: u32 = 0;
    let to = end + 4;
    if (has(t, F_DSACK)) {
      store<u32>(to, swap32(t.dsackStart));
      store<u32>(to, swap32(t.dsackEnd), 4);
      to += 8;
      blocks++;
      most--;
      clear(t, F_DSACK);
      count(TCP_DSACK_OUT);
    }
    blocks += writeSackBlocks(t, to, most);
    store<u32>(end, 0x00050101 | ((2 + (blocks << 3)) << 24));
    end += 4 + (blocks << 3);
  }
  const header = <u32>(end - tcp);
  writeHeaders(t, at, seq, ack, flags | ACK, window, header, header << 2);
  sentAck(t);
  finish(t, tcp, header, header, 0);
}

/** SYN or SYN-ACK with our options (those agreed on, in an answer). */
export function emitSyn(t: Tcb): void {
  const at = slot();
  const v6 = has(t, F_V6);
  const tcp = at + (v6 ? HEADER_V6 : HEADER_V4);
  const opening = <u32>t.state === SYN_SENT;
  let end = tcp + 20;
  store<u32>(end, 0x0402 | (swap16(offeredMss(v6)) << 16));
  end += 4;
  const stamps = opening || has(t, F_TS);
  if (opening || has(t, F_SACK)) {
    // SACK permitted shares a word with the timestamp's head, or with two NOPs.
    store<u32>(end, stamps ? 0x0a080204 : 0x01010204);
    end += 4;
  } else if (stamps) {
    store<u32>(end, OPTION_TS);
    end += 4;
  }
  if (stamps) {
    store<u32>(end, swap32(stampNow(t)));
    store<u32>(end, swap32(t.tsRecent), 4);
    end += 8;
  }
  if (opening || has(t, F_SCALE)) {
    store<u32>(end, 0x00030301 | (RECEIVE_SHIFT << 24));
    end += 4;
  }
  const header = <u32>(end - tcp);
  // RFC 7323 2.2: the window of a SYN is not scaled.
  let window = min<u32>(t.rcvBuffer, 0xffff);
  // In whole units of our scale, so that later segments can repeat it.
  if (!opening) window &= ~((1 << <u32>t.rcvShift) - 1);
  if (!opening) t.rcvAdvertised = t.rcvNxt + window;
  writeHeaders(t, at, t.iss, opening ? 0 : t.rcvNxt, opening ? SYN : SYN | ACK, window, header, header << 2);
  if (!opening) sentAck(t);
  finish(t, tcp, header, header, 0);
}

/** What an acknowledgment settles, whatever carried it. */
// @ts-ignore: decorator
@inline
function sentAck(t: Tcb): void {
  t.lastAckSent = t.rcvNxt;
  t.ackBytes = 0;
  t.delackAt = Infinity;
}
