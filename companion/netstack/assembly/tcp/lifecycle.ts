import { isOwn, isV4 } from '../addresses';
import { now } from '../clock';
import { INITIAL_WINDOW_SEGMENTS, QUICK_ACKS, RECEIVE_BUFFER_INITIAL, RECEIVE_BUFFER_LEAST, RTO_INITIAL, SEND_BUFFER_INITIAL } from '../constants';
import { CLOSED as CLOSED_EVENT, E_RESET, ERROR, RESET } from '../events';
import { pathMtuTo } from '../ip/pathmtu';
import { pressure } from '../pages';
import { cancel } from '../timers';
import { initialSequence, stampOffset } from './isn';
import { dropEvents, raise, unready } from './lists';
import { effectiveMss } from './mss';
import { freeRanges } from './reassembly';
import { freeReceiveQueue } from './receivequeue';
import { resetPeer } from './reset';
import { freeRecords } from './scoreboard';
import { freeSendQueue } from './sendqueue';
import { allocateConnection, freeConnection, hashIn, hashOut } from './table';
import {
  clear, DONE, ESTABLISHED, F_HALF_OPEN, F_LOOP, F_ORPHAN, F_V6, has, none, set, SYN_RECEIVED, Tcb,
} from './tcb';
import { heard, stopTimers } from './timing';
import { wait } from './timewait';

/** Birth and end of connections. */

/** Connections whose handshake the peer has yet to finish. */
export let halfOpen: u32 = 0;

/** @returns a connection in the hash table with all its defaults, state not set; null = none free */
export function createConnection(
  localHi: u64, localLo: u64, remoteHi: u64, remoteLo: u64, localPort: u32, remotePort: u32,
): Tcb {
  const t = allocateConnection();
  if (none(t)) return t;
  t.localHi = localHi;
  t.localLo = localLo;
  t.remoteHi = remoteHi;
  t.remoteLo = remoteLo;
  t.localPort = <u16>localPort;
  t.remotePort = <u16>remotePort;
  if (!isV4(remoteHi, remoteLo)) set(t, F_V6);
  if (isOwn(remoteHi, remoteLo)) set(t, F_LOOP);
  stopTimers(t);
  t.pathMtu = <u16>pathMtuTo(remoteHi, remoteLo);
  t.rcvBuffer = pressure() === 0 ? RECEIVE_BUFFER_INITIAL : RECEIVE_BUFFER_LEAST;
  t.sndBuffer = SEND_BUFFER_INITIAL;
  t.rto = RTO_INITIAL;
  t.minRtt = Infinity;
  t.roundMinRtt = Infinity;
  t.lastRoundMinRtt = Infinity;
  t.ssthresh = 0x7fffffff;
  t.reoMult = 1;
  t.quickAcks = <u16>QUICK_ACKS;
  t.tsOffset = stampOffset(t);
  startSequence(t, initialSequence(t));
  hashIn(t);
  return t;
}

/** Our side of the sequence space starts there. */
export function startSequence(t: Tcb, iss: u32): void {
  t.iss = iss;
  t.sndUna = iss;
  t.sndNxt = iss + 1;
  t.rackFack = iss + 1;
  t.rackRound = iss;
  t.roundEnd = iss + 1;
  t.recoverySeq = iss;
  t.undoMarker = iss;
}

export function countHalfOpen(t: Tcb): void {
  set(t, F_HALF_OPEN);
  halfOpen++;
}

export function uncountHalfOpen(t: Tcb): void {
  if (!has(t, F_HALF_OPEN)) return;
  clear(t, F_HALF_OPEN);
  halfOpen--;
}

/** The handshake is over: windows and timers start. sndUna is the byte after our SYN. */
export function establish(t: Tcb): void {
  uncountHalfOpen(t);
  t.state = <u8>ESTABLISHED;
  t.mss = effectiveMss(t);
  t.rcvMss = <u32>t.mss;
  t.sndUna = t.iss + 1;
  t.cwnd = initialWindow(t.mss);
  t.backoff = 0;
  t.rtoAt = Infinity;
  t.stateAt = Infinity;
  t.unansweredSince = 0;
  t.pacedAt = now;
  // The initial window goes out as one burst (RFC 6928).
  t.paceCredit = 1e9;
  t.drsAt = now;
  t.drsSpace = t.rcvBuffer >>> 1;
  heard(t);
}

/** RFC 6928 2. */
function initialWindow(mss: u32): u32 {
  return min<u32>(INITIAL_WINDOW_SEGMENTS * mss, max<u32>(2 * mss, 14_600));
}

/** Leaves the network: no segment finds it any more, nothing more is sent. Readable bytes stay. */
function silence(t: Tcb): void {
  uncountHalfOpen(t);
  hashOut(t);
  cancel(t);
  stopTimers(t);
  unready(t);
  freeRecords(t);
  freeSendQueue(t);
  freeRanges(t);
}

/** The connection is gone for good, with all that it held. */
export function destroy(t: Tcb): void {
  silence(t);
  dropEvents(t);
  freeReceiveQueue(t);
  freeConnection(t);
}

/** The connection is over; its handle stays until the application closes it. */
export function finish(t: Tcb, bits: u32): void {
  if (has(t, F_ORPHAN)) {
    destroy(t);
    return;
  }
  silence(t);
  t.state = <u8>DONE;
  raise(t, bits);
}

/** It ended badly: `reason` of events.ts. */
export function fail(t: Tcb, reason: u8): void {
  t.error = reason;
  finish(t, reason === E_RESET ? RESET : ERROR);
}

/** Tells the peer by RST, then fails. */
export function abortConnection(t: Tcb, reason: u8): void {
  if (<u32>t.state >= SYN_RECEIVED && <u32>t.state !== DONE) resetPeer(t);
  fail(t, reason);
}

/** Both directions are closed and acknowledged; 2 MSL remain. */
export function enterTimeWait(t: Tcb): void {
  wait(t);
  finish(t, CLOSED_EVENT);
}
