import { isOwn, isUnicast, selectSource, sourceHi, sourceLo } from '../addresses';
import { now } from '../clock';
import { FIN_WAIT_2_TIMEOUT, RTO_INITIAL } from '../constants';
import { count, TCP_ABORT_UNREAD, TCP_ACTIVE_OPENS } from '../counters';
import { E_ABORTED } from '../events';
import { pathMtuTo } from '../ip/pathmtu';
import { refitSegments } from './blackhole';
import { effectiveMss } from './mss';
import { connectionAt, connectionPlaces, handleOf, retireHandle } from './table';
import { abortConnection, createConnection, destroy, startSequence } from './lifecycle';
import { dropEvents, ready } from './lists';
import { answerSyn } from './listen';
import { choosePort, reused, reusedSequence } from './ports';
import { consume } from './receivequeue';
import { resetStranger, resetPeer } from './reset';
import {
  after, CLOSE_WAIT, DEFERRED, DONE, ESTABLISHED, F_FIN_WANTED, F_ORPHAN, F_SEND_SYN, F_WANT_SPACE, FIN_WAIT_1, FIN_WAIT_2, has, LAST_ACK,
  none, set, SYN_RECEIVED, SYN_SENT, Tcb,
} from './tcb';
import { rearm } from './timing';
import { onConsumed, tuneBuffer } from './window';

/** The user's calls, RFC 9293 3.9.1. */

const ERROR_NO_ROUTE: i32 = -2;
const ERROR_NO_PORT: i32 = -3;
const ERROR_NO_MEMORY: i32 = -4;
const ERROR_INVALID: i32 = -5;

/** @param address 16 bytes @returns handle, or an error code */
export function connect(address: usize, port: u32): i32 {
  const hi = load<u64>(address);
  const lo = load<u64>(address, 8);
  if (port === 0 || port > 0xffff) return ERROR_INVALID;
  if (!isOwn(hi, lo) && !isUnicast(hi, lo)) return ERROR_NO_ROUTE;
  if (!selectSource(hi, lo)) return ERROR_NO_ROUTE;
  const localPort = choosePort(sourceHi, sourceLo, hi, lo, port);
  if (localPort === 0) return ERROR_NO_PORT;
  const t = createConnection(sourceHi, sourceLo, hi, lo, localPort, port);
  if (none(t)) return ERROR_NO_MEMORY;
  if (reused && !after(t.iss, reusedSequence)) startSequence(t, reusedSequence + 64_000);
  count(TCP_ACTIVE_OPENS);
  t.state = <u8>SYN_SENT;
  t.rtoAt = now + RTO_INITIAL;
  t.unansweredSince = now;
  t.lastSent = now;
  set(t, F_SEND_SYN);
  ready(t);
  rearm(t);
  return handleOf(t);
}

export function accept(t: Tcb): void {
  if (<u32>t.state === DEFERRED) answerSyn(t);
}

/** RST in answer to the SYN. */
export function reject(t: Tcb): void {
  if (<u32>t.state !== DEFERRED) return;
  resetStranger(t.localHi, t.localLo, t.remoteHi, t.remoteLo, t.localPort, t.remotePort, t.irs, 0, 0, 1);
  destroy(t);
}

/** @param bytes clamped to what is readable */
export function recvConsume(t: Tcb, bytes: u32): void {
  const taken = min(bytes, t.rcvQueued);
  if (taken === 0) return;
  consume(t, taken);
  if (<u32>t.state === DONE) return;
  onConsumed(t, taken);
  tuneBuffer(t);
}

/** FIN after what is queued. */
export function shutdown(t: Tcb): void {
  const state = <u32>t.state;
  if (has(t, F_FIN_WANTED) || state < SYN_SENT || state > LAST_ACK) return;
  set(t, F_FIN_WANTED);
  if (state === ESTABLISHED) t.state = <u8>FIN_WAIT_1;
  else if (state === CLOSE_WAIT) t.state = <u8>LAST_ACK;
  ready(t);
}

export function close(t: Tcb): void {
  const state = <u32>t.state;
  if (state === DEFERRED) {
    reject(t);
    return;
  }
  if (state === DONE || state === SYN_SENT) {
    destroy(t);
    return;
  }
  if (t.rcvQueued > 0 || t.rangeCount > 0) {
    // Bytes that nobody will read: the peer must not think that they were taken (RFC 9293 3.6, RFC 2525 2.17).
    count(TCP_ABORT_UNREAD);
    abort(t);
    return;
  }
  dropEvents(t);
  set(t, F_ORPHAN);
  retireHandle(t);
  shutdown(t);
  if (<u32>t.state === FIN_WAIT_2) t.stateAt = now + FIN_WAIT_2_TIMEOUT;
  rearm(t);
}

export function abort(t: Tcb): void {
  const state = <u32>t.state;
  if (state === DEFERRED) {
    reject(t);
    return;
  }
  if (state >= SYN_RECEIVED && state !== DONE) resetPeer(t);
  destroy(t);
}

/** An own address went away: its connections cannot speak any more. */
export function dropConnectionsOf(hi: u64, lo: u64): void {
  for (let i: u32 = 0, places = connectionPlaces(); i < places; i++) {
    const t = connectionAt(i);
    if (none(t) || t.localLo !== lo || t.localHi !== hi || <u32>t.state === DONE) continue;
    if (has(t, F_ORPHAN)) destroy(t);
    else failSilently(t);
  }
}

function failSilently(t: Tcb): void {
  // Without an address no RST can be sent either.
  t.state = <u8>SYN_SENT;
  abortConnection(t, E_ABORTED);
}

/** The interface's MTU changed: what is in flight and too large now goes again. */
export function refitConnections(): void {
  for (let i: u32 = 0, places = connectionPlaces(); i < places; i++) {
    const t = connectionAt(i);
    if (none(t) || <u32>t.state < ESTABLISHED || <u32>t.state === DONE) continue;
    const before = t.mss;
    t.pathMtu = <u16>pathMtuTo(t.remoteHi, t.remoteLo);
    if (effectiveMss(t) < before) refitSegments(t);
    else t.mss = effectiveMss(t);
  }
}

/** The application saw no room: it wants to hear when there is. */
export function askRoom(t: Tcb, room: u32): u32 {
  if (room === 0) set(t, F_WANT_SPACE);
  return room;
}
