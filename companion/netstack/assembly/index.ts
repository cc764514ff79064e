/** The exports of the core: thin guards in front of the parts. `../core.ts` has their types, `../netstack.ts` their meaning. */
import * as addresses from './addresses';
import { carveAddresses } from './addresses';
import { copySum as copySumOf, fold as foldOf, sum as sumOf } from './checksum';
import { now, setClock, startClock, toOwner } from './clock';
import { MAX_HALF_OPEN } from './constants';
import * as counters from './counters';
import { carveDatagrams, datagramsQueued } from './datagrams';
import { input as ipInput } from './input';
import { inspect as inspectConnection } from './inspect';
import { carveReassemblies } from './ip/fragments';
import { carvePathMtus } from './ip/pathmtu';
import { carveLimiters } from './limiter';
import { carveLocal, nextLocal as takeLocal } from './local';
import { startMemory } from './memory';
import { carvePageTables, pagesTotal, pagesUsed, reservePages, startPages } from './pages';
import { idle, poll as fillSlots } from './poll';
import { seedRandom } from './random';
import * as settings from './settings';
import { setSipKey, sipHash } from './siphash';
import { carveAckRing } from './tcp/ackpolicy';
import * as calls from './tcp/calls';
import { fireTimers } from './tcp/expiry';
import { pinSequence } from './tcp/isn';
import { halfOpen } from './tcp/lifecycle';
import { eventBits as lastBits, nextEvent as takeEvent } from './tcp/lists';
import { carveListeners, listen as listenOn, unlisten as stopListening } from './tcp/listen';
import { carvePorts } from './tcp/ports';
import { carveRanges } from './tcp/reassembly';
import { recvPeek as peek } from './tcp/receivequeue';
import { carveRecords, recordsUsed } from './tcp/scoreboard';
import { releaseReservation, sendCommit as commit, sendReserve as reserveSpace, sendRoom as roomOf } from './tcp/sendqueue';
import { byHandle, carveTable, connectionAt, connectionCount, connectionPlaces, handleOf } from './tcp/table';
import { ESTABLISHED, F_FIN_RECEIVED, has, none } from './tcp/tcb';
import { carveTimeWait, timeWaitDeadline, timeWaits } from './tcp/timewait';
import { ready } from './tcp/lists';
import { carveTimers, firstTimer, timerCount } from './timers';
import { carveUdp, udpBind as bindUdp, udpSend as sendUdp, udpUnbind as unbindUdp } from './udp';

/** Where the owner writes the seed before `init`. */
const seed = memory.data(32, 8);

export function seedAt(): usize {
  return seed;
}

export function init(bytes: usize, mtu: u32, time: f64, rtoMax: f64, userTimeout: f64, connectTimeout: f64, keepalive: f64): void {
  setSipKey(load<u64>(seed), load<u64>(seed, 8));
  seedRandom(load<u64>(seed, 16), load<u64>(seed, 24));
  memory.fill(seed, 0, 32);
  startClock(time);
  settings.setMtu(mtu);
  settings.setTimeouts(rtoMax, userTimeout, connectTimeout, keepalive);
  startMemory(bytes);
  // A connection per 4 KiB: one that holds data needs a page anyway.
  const connections = <u32>min<usize>(bytes >>> 12, 65_535);
  settings.carveScratch();
  counters.carveCounters();
  carveAddresses();
  carveLimiters();
  carveTable(connections);
  carveTimers(connections);
  carveTimeWait(connections);
  carveRecords(connections << 1);
  carveRanges(max<u32>(connections >>> 1, MAX_HALF_OPEN));
  carveAckRing();
  carveListeners();
  carvePorts();
  carveUdp();
  carvePathMtus();
  carveReassemblies();
  carveDatagrams();
  carveLocal();
  carvePageTables(bytes);
  startPages();
}

export function scratch(): usize {
  return settings.scratch;
}

export function udpArrival(): usize {
  return settings.udpArrival;
}

export function setBase(base: f64): void {
  settings.setNativeBase(<u64>base);
}

export function reserve(bytes: u32): usize {
  return reservePages(bytes);
}

export function addAddress(at: usize): bool {
  return addresses.addAddress(at);
}

export function removeAddress(at: usize): void {
  const hi = load<u64>(at);
  const lo = load<u64>(at, 8);
  if (addresses.removeAddress(at)) calls.dropConnectionsOf(hi, lo);
}

export function setMtu(mtu: u32): void {
  settings.setMtu(mtu);
  calls.refitConnections();
}

export function setNow(us: f64): void {
  setClock(us);
}

export function input(packet: usize, length: u32): i32 {
  releaseReservation();
  return ipInput(packet, length, false);
}

export function nextLocal(): i32 {
  return takeLocal();
}

export function poll(slots: usize, stride: usize, max: i32, lengths: usize): i32 {
  return fillSlots(slots, stride, max, lengths);
}

export function advance(): f64 {
  fireTimers();
  if (!idle()) return toOwner(now);
  const first = firstTimer();
  return toOwner(min<f64>(none(first) ? Infinity : first.wakeAt, timeWaitDeadline()));
}

export function listen(port: u32, deferred: bool): i32 {
  return listenOn(port, deferred);
}

export function unlisten(listener: i32): void {
  stopListening(listener);
}

export function connect(address: usize, port: u32): i32 {
  return calls.connect(address, port);
}

export function accept(conn: i32): void {
  const t = byHandle(conn);
  if (!none(t)) calls.accept(t);
}

export function reject(conn: i32): void {
  const t = byHandle(conn);
  if (!none(t)) calls.reject(t);
}

/** @returns port; 0 = stale */
export function remote(conn: i32, to: usize): u32 {
  const t = byHandle(conn);
  if (none(t)) {
    addresses.storeAddress(to, 0, 0);
    return 0;
  }
  addresses.storeAddress(to, t.remoteHi, t.remoteLo);
  return t.remotePort;
}

export function local(conn: i32, to: usize): u32 {
  const t = byHandle(conn);
  if (none(t)) {
    addresses.storeAddress(to, 0, 0);
    return 0;
  }
  addresses.storeAddress(to, t.localHi, t.localLo);
  return t.localPort;
}

export function sendReserve(conn: i32, iov: usize, maxIov: i32): i32 {
  const t = byHandle(conn);
  return none(t) ? 0 : reserveSpace(t, iov, maxIov);
}

export function sendCommit(conn: i32, bytes: u32): void {
  const t = byHandle(conn);
  if (!none(t) && commit(t, bytes) > 0 && <u32>t.state >= ESTABLISHED) ready(t);
}

export function sendRoom(conn: i32): u32 {
  const t = byHandle(conn);
  return none(t) ? 0 : calls.askRoom(t, roomOf(t));
}

export function sendQueued(conn: i32): u32 {
  const t = byHandle(conn);
  return none(t) ? 0 : t.sndQueued;
}

export function recvPeek(conn: i32, iov: usize, maxIov: i32): i32 {
  const t = byHandle(conn);
  return none(t) || maxIov <= 0 ? 0 : peek(t, iov, maxIov);
}

export function recvConsume(conn: i32, bytes: u32): void {
  const t = byHandle(conn);
  if (!none(t)) calls.recvConsume(t, bytes);
}

export function recvAvailable(conn: i32): u32 {
  const t = byHandle(conn);
  return none(t) ? 0 : t.rcvQueued;
}

export function recvEnded(conn: i32): bool {
  const t = byHandle(conn);
  return !none(t) && has(t, F_FIN_RECEIVED);
}

export function shutdown(conn: i32): void {
  const t = byHandle(conn);
  if (!none(t)) calls.shutdown(t);
}

export function close(conn: i32): void {
  const t = byHandle(conn);
  if (!none(t)) calls.close(t);
}

export function abort(conn: i32): void {
  const t = byHandle(conn);
  if (!none(t)) calls.abort(t);
}

export function nextEvent(): i32 {
  return takeEvent();
}

export function eventBits(): u32 {
  return lastBits;
}

export function errorOf(conn: i32): u32 {
  const t = byHandle(conn);
  return none(t) ? 0 : <u32>t.error;
}

export function udpBind(port: u32): i32 {
  return bindUdp(port);
}

export function udpUnbind(port: u32): void {
  unbindUdp(port);
}

export function udpSend(sourcePort: u32, destination: usize, destinationPort: u32, payload: usize, length: u32): bool {
  return sendUdp(sourcePort, destination, destinationPort, payload, length);
}

export function inspect(conn: i32, to: usize): u32 {
  const t = byHandle(conn);
  return none(t) ? 0 : inspectConnection(t, to);
}

/** How far `handleAt` may be asked. */
export function places(): u32 {
  return connectionPlaces();
}

/** A handle that `inspect` takes, orphans included; 0 = nothing there. */
export function handleAt(place: u32): i32 {
  const t = connectionAt(place);
  return none(t) ? 0 : handleOf(t);
}

/** Brings the gauges up to date. @returns the table of counters */
export function counterTable(): usize {
  counters.setGauge(counters.CONNECTIONS, connectionCount());
  counters.setGauge(counters.HALF_OPEN, halfOpen);
  counters.setGauge(counters.TIME_WAITS, timeWaits());
  counters.setGauge(counters.PAGES_USED, pagesUsed);
  counters.setGauge(counters.PAGES_TOTAL, pagesTotal);
  counters.setGauge(counters.DATAGRAMS_QUEUED, datagramsQueued());
  counters.setGauge(counters.RECORDS_USED, recordsUsed());
  counters.setGauge(counters.TIMERS, timerCount());
  return counters.counterTable();
}

// ---- for tests of single routines ----

export function sum(p: usize, length: u32): u64 {
  return sumOf(p, length);
}

export function copySum(dst: usize, src: usize, length: u32): u64 {
  return copySumOf(dst, src, length);
}

export function fold(sum: u64): u32 {
  return foldOf(sum);
}

export function sipHashOf(a: u64, b: u64, c: u64, d: u64, e: u64, tag: u64): u64 {
  return sipHash(a, b, c, d, e, tag);
}

/** Every later connection starts its sequence numbers there; tests of the wrap at 2^32. */
export function pinIsn(isn: u32): void {
  pinSequence(isn);
}
