import { MAX_HALF_OPEN, MAX_LISTENERS, DEFERRED_TIMEOUT, RTO_INITIAL, RST, SYN as SYN_BIT, ACK as ACK_BIT } from '../constants';
import { count, TCP_PASSIVE_OPENS, TCP_SYN_DROPPED } from '../counters';
import { now } from '../clock';
import { SYN_ARRIVED } from '../events';
import { carve } from '../memory';
import { destinationHi, destinationLo, sourceHi, sourceLo, v6 } from '../packet';
import { pressure } from '../pages';
import { acceptCookie, sendCookie } from './cookies';
import { countHalfOpen, createConnection, halfOpen, startSequence } from './lifecycle';
import { raise, ready } from './lists';
import { acceptMss } from './mss';
import { mss, hasStamp, sackPermitted, shift, stampValue } from './options';
import { resetStranger } from './reset';
import {
  after, DEFERRED, F_DEFERRED, F_PASSIVE, F_SACK, F_SCALE, F_SEND_SYN, F_TS, none, set, SYN_RECEIVED, Tcb,
} from './tcb';
import { rearm } from './timing';
import { RECEIVE_SHIFT } from '../constants';

/** Listeners, and SYNs that reach them (RFC 9293 3.10.7.2). */

const ERROR_IN_USE: i32 = -1;
const ERROR_NO_MEMORY: i32 = -4;
const ERROR_INVALID: i32 = -5;

/** u16 per port: the listener's number, 0 = none. */
let ports: usize = 0;
/** u32 per listener: port, and bit 16 for deferred, bit 17 for in use. */
let listeners: usize = 0;

const DEFERS: u32 = 1 << 16;
const USED: u32 = 1 << 17;

export function carveListeners(): void {
  ports = carve(65_536 << 1);
  listeners = carve(<usize>(MAX_LISTENERS + 1) << 2);
}

/** @returns listener > 0, or an error code */
export function listen(port: u32, deferred: bool): i32 {
  if (port === 0 || port > 0xffff) return ERROR_INVALID;
  if (load<u16>(ports + (<usize>port << 1)) !== 0) return ERROR_IN_USE;
  for (let i: u32 = 1; i <= MAX_LISTENERS; i++) {
    const at = listeners + (<usize>i << 2);
    if (load<u32>(at) & USED) continue;
    store<u32>(at, port | USED | (deferred ? DEFERS : 0));
    store<u16>(ports + (<usize>port << 1), <u16>i);
    return <i32>i;
  }
  return ERROR_NO_MEMORY;
}

export function unlisten(listener: i32): void {
  if (listener <= 0 || <u32>listener > MAX_LISTENERS) return;
  const at = listeners + (<usize>listener << 2);
  const entry = load<u32>(at);
  if ((entry & USED) === 0) return;
  store<u16>(ports + (<usize>(entry & 0xffff) << 1), 0);
  store<u32>(at, 0);
}

export function listenerOf(port: u32): u32 {
  return load<u16>(ports + (<usize>port << 1));
}

/**
 * A segment for a port on which somebody listens, of no known connection.
 * @param least our sequence numbers must start beyond this, if `hasLeast` (RFC 6191)
 */
export function listenInput(
  listener: u32, at: usize, length: u32, localPort: u32, remotePort: u32, seq: u32, ack: u32, flags: u32, window: u32, hasLeast: bool, least: u32,
): void {
  if (flags & RST) return;
  if (flags & ACK_BIT) {
    if (flags & SYN_BIT || !acceptCookie(listener, localPort, remotePort, seq, ack, window)) {
      resetStranger(destinationHi, destinationLo, sourceHi, sourceLo, localPort, remotePort, seq, ack, flags, length);
    }
    return;
  }
  if ((flags & SYN_BIT) === 0) return;
  const deferred = (load<u32>(listeners + (<usize>listener << 2)) & DEFERS) !== 0;
  if (halfOpen >= MAX_HALF_OPEN || pressure() === 2) {
    // A deferred SYN cannot be answered yet, so nothing can be put into a cookie: the peer will ask again.
    if (deferred) count(TCP_SYN_DROPPED);
    else sendCookie(localPort, remotePort, seq);
    return;
  }
  const t = createConnection(destinationHi, destinationLo, sourceHi, sourceLo, localPort, remotePort);
  if (none(t)) {
    count(TCP_SYN_DROPPED);
    return;
  }
  if (hasLeast && !after(t.iss, least)) startSequence(t, least + 64_000);
  t.listener = listener;
  takeSynOptions(t, seq);
  t.sndWnd = window;
  t.maxSndWnd = window;
  t.sndWl1 = seq;
  t.sndWl2 = t.iss;
  set(t, F_PASSIVE);
  count(TCP_PASSIVE_OPENS);
  countHalfOpen(t);
  if (deferred) {
    set(t, F_DEFERRED);
    t.state = <u8>DEFERRED;
    t.stateAt = now + DEFERRED_TIMEOUT;
    raise(t, SYN_ARRIVED);
    rearm(t);
  } else {
    answerSyn(t);
  }
}

/** What the peer's SYN offers becomes what is agreed on (its answer, or ours, offers the same). */
export function takeSynOptions(t: Tcb, seq: u32): void {
  t.irs = seq;
  t.rcvNxt = seq + 1;
  t.rcvAdvertised = seq + 1;
  t.lastAckSent = seq + 1;
  t.peerMss = <u16>acceptMss(mss, v6);
  if (hasStamp) {
    set(t, F_TS);
    t.tsRecent = stampValue;
    t.tsRecentAt = now;
  } else {
    t.flags &= ~F_TS;
  }
  if (sackPermitted) set(t, F_SACK);
  if (shift !== 0xff) {
    set(t, F_SCALE);
    t.sndShift = <u8>shift;
    t.rcvShift = <u8>RECEIVE_SHIFT;
  } else {
    t.sndShift = 0;
    t.rcvShift = 0;
    t.rcvBuffer = min<u32>(t.rcvBuffer, 0xffff);
  }
}

/** SYN-RECEIVED: our SYN-ACK goes out at the next poll and is repeated until answered. */
export function answerSyn(t: Tcb): void {
  t.state = <u8>SYN_RECEIVED;
  t.backoff = 0;
  t.rtoAt = now + RTO_INITIAL;
  t.stateAt = Infinity;
  set(t, F_SEND_SYN);
  ready(t);
  rearm(t);
}
