import { ACCEPT } from '../events';
import { ACK, RECEIVE_SHIFT, SYN } from '../constants';
import { count, TCP_COOKIES_BAD, TCP_COOKIES_OK, TCP_COOKIES_SENT, TCP_PASSIVE_OPENS } from '../counters';
import { fold, pseudoSum, sum, swap16, swap32 } from '../checksum';
import { now } from '../clock';
import { PROTOCOL_TCP } from '../constants';
import { destinationHi, destinationLo, sourceHi, sourceLo, v6 } from '../packet';
import { queueDatagram } from '../datagrams';
import { scratch } from '../settings';
import { sipHash } from '../siphash';
import { createConnection, establish, startSequence } from './lifecycle';
import { raise } from './lists';
import { acceptMss, offeredMss } from './mss';
import { hasStamp, mss, sackPermitted, shift, stampEcho, stampValue } from './options';
import { F_PASSIVE, F_SACK, F_SCALE, F_TS, none, set } from './tcb';

/**
 * SYN cookies (RFC 4987 3.6) for when the places of half-open connections are taken: all that the handshake must remember goes into our
 * ISN and, if the peer has timestamps, into the low bits of the stamp that it will echo.
 *
 *   ISN    | 5 bits minute | 3 bits MSS | 24 bits keyed hash of the flow, the peer's ISN, minute and MSS |
 *   stamp  | ... clock ... | 1 bit SACK | 4 bits window shift, 15 = none |
 */

const TAG_COOKIE: u64 = 3;
/** Accepted age, in units of 64 s. */
const OLDEST: u32 = 1;
const PERIOD: f64 = 64_000_000;

/** MSS that a cookie can name. */
function mssOf(index: u32): u32 {
  if (index === 0) return 216;
  if (index === 1) return 536;
  if (index === 2) return 1000;
  if (index === 3) return 1200;
  if (index === 4) return 1220;
  if (index === 5) return 1340;
  if (index === 6) return 1360;
  return 1380;
}

function indexOf(value: u32): u32 {
  let index: u32 = 7;
  while (index > 0 && mssOf(index) > value) index--;
  return index;
}

function period(): u32 {
  return <u32>(<u64>(now / PERIOD));
}

function cookie(localPort: u32, remotePort: u32, peerIsn: u32, when: u32, index: u32): u32 {
  const hash = sipHash(
    destinationHi, destinationLo, sourceHi, sourceLo, (<u64>peerIsn << 32) | (<u64>localPort << 16) | <u64>remotePort,
    TAG_COOKIE | (<u64>when << 32) | (<u64>index << 8),
  );
  return ((when & 31) << 27) | (index << 24) | (<u32>hash & 0xffffff);
}

/** Answers a SYN and forgets it. */
export function sendCookie(localPort: u32, remotePort: u32, peerIsn: u32): void {
  const index = indexOf(acceptMss(mss, v6));
  const iss = cookie(localPort, remotePort, peerIsn, period(), index);
  store<u32>(scratch, swap16(localPort) | (swap16(remotePort) << 16));
  store<u32>(scratch, swap32(iss), 4);
  store<u32>(scratch, swap32(peerIsn + 1), 8);
  let end: usize = 24;
  store<u32>(scratch, 0x0402 | (swap16(offeredMss(v6)) << 16), 20);
  if (hasStamp) {
    const kept = (sackPermitted ? <u32>16 : <u32>0) | (shift === 0xff ? 15 : shift);
    // Of the clock only the part above is kept, rounded down: a stamp must not come from the future.
    const stamp = (<u32>(<u64>(now / 1000)) & ~31) | kept;
    store<u32>(scratch + end, sackPermitted ? 0x0a080204 : 0x0a080101);
    store<u32>(scratch + end, swap32(stamp), 4);
    store<u32>(scratch + end, swap32(stampValue), 8);
    end += 12;
    if (shift !== 0xff) {
      store<u32>(scratch + end, 0x00030301 | (RECEIVE_SHIFT << 24));
      end += 4;
    }
  }
  store<u32>(scratch, (<u32>end << 2) | ((SYN | ACK) << 8) | 0xffff0000, 12);
  store<u32>(scratch, 0, 16);
  const s =
    sum(scratch, <u32>end) + pseudoSum(v6, destinationHi, destinationLo, sourceHi, sourceLo, PROTOCOL_TCP, <u32>end);
  store<u16>(scratch, <u16>~fold(s), 16);
  if (queueDatagram(PROTOCOL_TCP, destinationHi, destinationLo, sourceHi, sourceLo, scratch, <u32>end, scratch, 0)) count(TCP_COOKIES_SENT);
}

/**
 * An ACK to a listener may answer a cookie; then the connection stands.
 * @returns false = it does not
 */
export function acceptCookie(listener: u32, localPort: u32, remotePort: u32, seq: u32, ack: u32, window: u32): bool {
  const iss = ack - 1;
  const current = period();
  const age = (current - (iss >>> 27)) & 31;
  const index = (iss >>> 24) & 7;
  if (age > OLDEST || cookie(localPort, remotePort, seq - 1, current - age, index) !== iss) {
    count(TCP_COOKIES_BAD);
    return false;
  }
  const t = createConnection(destinationHi, destinationLo, sourceHi, sourceLo, localPort, remotePort);
  if (none(t)) return true;
  count(TCP_COOKIES_OK);
  count(TCP_PASSIVE_OPENS);
  startSequence(t, iss);
  t.listener = listener;
  t.irs = seq - 1;
  t.rcvNxt = seq;
  t.rcvAdvertised = seq + 0xffff;
  t.lastAckSent = seq;
  t.peerMss = <u16>mssOf(index);
  set(t, F_PASSIVE);
  if (hasStamp) {
    set(t, F_TS);
    t.tsRecent = stampValue;
    t.tsRecentAt = now;
    // The cookie's stamps were the bare clock.
    t.tsOffset = 0;
    if (stampEcho & 16) set(t, F_SACK);
    if ((stampEcho & 15) !== 15) {
      set(t, F_SCALE);
      t.sndShift = <u8>(stampEcho & 15);
      t.rcvShift = <u8>RECEIVE_SHIFT;
    }
  }
  if (t.rcvShift === 0) t.rcvBuffer = min<u32>(t.rcvBuffer, 0xffff);
  t.sndWnd = window << t.sndShift;
  t.maxSndWnd = t.sndWnd;
  t.sndWl1 = seq;
  t.sndWl2 = ack;
  establish(t);
  raise(t, ACCEPT);
  return true;
}
