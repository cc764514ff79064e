import { carve } from './memory';

/** Counters as f64[], read by the TypeScript handle in this order (`../counters.ts` has the names). */
export const PACKETS_IN: u32 = 0;
export const PACKETS_OUT: u32 = 1;
export const IP_MALFORMED: u32 = 2;
export const IP_CHECKSUM: u32 = 3;
export const IP_NOT_OURS: u32 = 4;
export const IP_SOURCE_INVALID: u32 = 5;
export const IP_PROTOCOL_UNKNOWN: u32 = 6;
export const FRAGMENTS_IN: u32 = 7;
export const REASSEMBLED: u32 = 8;
export const REASSEMBLY_FAILED: u32 = 9;
export const FRAGMENTS_OUT: u32 = 10;
export const ICMP_IN: u32 = 11;
export const ICMP_MALFORMED: u32 = 12;
export const ICMP_ECHO_REPLIES: u32 = 13;
export const ICMP_ERRORS_OUT: u32 = 14;
export const ICMP_RATE_LIMITED: u32 = 15;
export const UDP_IN: u32 = 16;
export const UDP_OUT: u32 = 17;
export const UDP_MALFORMED: u32 = 18;
export const UDP_CHECKSUM: u32 = 19;
export const UDP_NO_PORT: u32 = 20;
export const UDP_DROPPED: u32 = 21;
export const TCP_SEGMENTS_IN: u32 = 22;
export const TCP_SEGMENTS_OUT: u32 = 23;
export const TCP_MALFORMED: u32 = 24;
export const TCP_CHECKSUM: u32 = 25;
export const TCP_ACTIVE_OPENS: u32 = 26;
export const TCP_PASSIVE_OPENS: u32 = 27;
export const TCP_ATTEMPT_FAILS: u32 = 28;
export const TCP_RESETS_IN: u32 = 29;
export const TCP_RESETS_OUT: u32 = 30;
export const TCP_RETRANSMITS: u32 = 31;
export const TCP_TIMEOUTS: u32 = 32;
export const TCP_TAIL_PROBES: u32 = 33;
export const TCP_WINDOW_PROBES: u32 = 34;
export const TCP_RECOVERIES: u32 = 35;
export const TCP_UNDOS: u32 = 36;
export const TCP_CHALLENGE_ACKS: u32 = 37;
export const TCP_PAWS_DROPS: u32 = 38;
export const TCP_OUT_OF_ORDER: u32 = 39;
export const TCP_OUT_OF_WINDOW: u32 = 40;
export const TCP_NO_BUFFER: u32 = 41;
export const TCP_SYN_DROPPED: u32 = 42;
export const TCP_COOKIES_SENT: u32 = 43;
export const TCP_COOKIES_OK: u32 = 44;
export const TCP_COOKIES_BAD: u32 = 45;
export const TCP_ABORT_TIMEOUT: u32 = 46;
export const TCP_ABORT_UNREAD: u32 = 47;
export const TCP_ABORT_ORPHAN: u32 = 48;
export const TCP_DSACK_IN: u32 = 49;
export const TCP_DSACK_OUT: u32 = 50;
export const TCP_BLACK_HOLES: u32 = 51;
export const LOOPBACK: u32 = 52;
// gauges, filled when asked
export const CONNECTIONS: u32 = 53;
export const HALF_OPEN: u32 = 54;
export const TIME_WAITS: u32 = 55;
export const PAGES_USED: u32 = 56;
export const PAGES_TOTAL: u32 = 57;
export const DATAGRAMS_QUEUED: u32 = 58;
export const RECORDS_USED: u32 = 59;
export const TIMERS: u32 = 60;
const COUNT: u32 = 61;

let table: usize = 0;

export function carveCounters(): void {
  table = carve(<usize>COUNT << 3);
}

export function counterTable(): usize {
  return table;
}

// @ts-expect-error: decorator
@inline
export function count(which: u32): void {
  const at = table + (<usize>which << 3);
  store<f64>(at, load<f64>(at) + 1);
}

export function setGauge(which: u32, value: f64): void {
  store<f64>(table + (<usize>which << 3), value);
}
