import { carve } from './memory';

/** What the owner chose at start, and scratch memory shared by calls (never across them). */

export let mtu: u32 = 1420;
export let rtoMax: f64 = 60_000_000;
export let userTimeout: f64 = 300_000_000;
export let connectTimeout: f64 = 20_000_000;
/** Idle time before keepalive, µs; 0 = none. */
export let keepaliveIdle: f64 = 0;
/** Native address of byte 0 of the memory, for iovecs. */
export let nativeBase: u64 = 0;

export let scratch: usize = 0;
/** The six u32 that tell of a UDP datagram, then room for its two addresses. */
export let udpArrival: usize = 0;

export function setMtu(value: u32): void {
  mtu = value;
}

export function setNativeBase(value: u64): void {
  nativeBase = value;
}

export function setTimeouts(longestRto: f64, user: f64, connect: f64, keepalive: f64): void {
  rtoMax = longestRto;
  userTimeout = user;
  connectTimeout = connect;
  keepaliveIdle = keepalive;
}

export function carveScratch(): void {
  scratch = carve(1024);
  udpArrival = carve(64);
}
