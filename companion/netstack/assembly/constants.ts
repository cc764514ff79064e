// ---- Specification constants ----

/** IP protocol numbers. */
export const PROTOCOL_ICMP: u32 = 1;
export const PROTOCOL_TCP: u32 = 6;
export const PROTOCOL_UDP: u32 = 17;
export const PROTOCOL_ICMPV6: u32 = 58;

/** Header bits, RFC 9293 3.1. */
export const FIN: u32 = 0x01;
export const SYN: u32 = 0x02;
export const RST: u32 = 0x04;
export const PSH: u32 = 0x08;
export const ACK: u32 = 0x10;

/** RFC 9293 3.7.1: MSS of a peer that names none. */
export const DEFAULT_MSS_V4: u32 = 536;
export const DEFAULT_MSS_V6: u32 = 1220;
/** RFC 7323 2.3. */
export const MAX_WINDOW_SHIFT: u32 = 14;
/** RFC 6298 2.1, 2.4: µs. */
export const RTO_INITIAL: f64 = 1_000_000;
/** RFC 6298 asks 1 s; Linux and all of the loss recovery below assume 200 ms. µs. */
export const RTO_MIN: f64 = 200_000;
/** RFC 6298 5.7: RTO after the handshake when the SYN was lost, µs. */
export const RTO_AFTER_SYN_LOSS: f64 = 3_000_000;
/** 2 MSL, µs (RFC 9293 3.4.2 lets MSL be less than 2 min). */
export const TIME_WAIT: f64 = 60_000_000;
/** RFC 7323 5.5: a timestamp older than 24 days is no longer compared. µs. */
export const PAWS_IDLE: f64 = 24.0 * 86_400_000_000;
/** RFC 6928: initial window in segments. */
export const INITIAL_WINDOW_SEGMENTS: u32 = 10;
/** RFC 8985 7.2: allowance for a delayed ACK of the peer, µs. */
export const WORST_DELAYED_ACK: f64 = 200_000;
/** RFC 8985 6.2: duplicate threshold in segments. */
export const DUPLICATE_THRESHOLD: u32 = 3;
/** RFC 8201 4, RFC 791: least path MTU that a message may talk us into (552 as Linux, against forged ones). */
export const MIN_PATH_MTU_V4: u32 = 552;
export const MIN_PATH_MTU_V6: u32 = 1280;
/** RFC 8200 4.5, RFC 791 3.2: µs. */
export const REASSEMBLY_TIMEOUT: f64 = 30_000_000;
/** RFC 8201 4: how long a learnt path MTU holds, µs. */
export const PATH_MTU_AGE: f64 = 600_000_000;

// ---- Implementation constants ----

export const PAGE_SHIFT: u32 = 12;
export const PAGE_SIZE: u32 = 1 << PAGE_SHIFT;
export const MAX_ADDRESSES: u32 = 64;
export const MAX_LISTENERS: u32 = 1024;

/** First receive buffer and the limit of its growth, bytes. The limit is the greatest edge that a shift of 7 can name. */
export const RECEIVE_BUFFER_INITIAL: u32 = 256 * 1024;
export const RECEIVE_BUFFER_MAX: u32 = 65_535 << 7;
export const RECEIVE_SHIFT: u32 = 7;
/** First send buffer and the limit of its growth, bytes. */
export const SEND_BUFFER_INITIAL: u32 = 256 * 1024;
export const SEND_BUFFER_MAX: u32 = 8 * 1024 * 1024;
/** No less than this is advertised by a fresh connection even under memory pressure. */
export const RECEIVE_BUFFER_LEAST: u32 = 16 * 1024;

/** Out-of-order ranges kept per connection. */
export const MAX_RANGES: u32 = 64;
/** Connections whose handshake is not finished: beyond it, cookies (or silence on a deferred listener). */
export const MAX_HALF_OPEN: u32 = 1024;
/** SYN and SYN-ACK retransmissions. */
export const SYN_RETRIES: u32 = 6;
export const SYN_ACK_RETRIES: u32 = 5;
/** How long a deferred SYN waits for accept() or reject(), µs. */
export const DEFERRED_TIMEOUT: f64 = 60_000_000;
/** An orphan in FIN-WAIT-2 (Linux's tcp_fin_timeout), µs. */
export const FIN_WAIT_2_TIMEOUT: f64 = 60_000_000;
/** An orphan that the peer's closed window holds up is reset after this, µs. */
export const ORPHAN_PERSIST_LIMIT: f64 = 60_000_000;
/** Delayed ACK, µs (RFC 9293 3.8.6.3 allows 500 ms). */
export const DELAYED_ACK: f64 = 25_000;
/** ACKs sent without delay at the start and after idle, while the peer is in slow start. */
export const QUICK_ACKS: u32 = 16;
/** During the first segments of the peer an ACK per 2, later one per 16 at least. */
export const EARLY_SEGMENTS: u32 = 64;
export const ACK_EVERY_EARLY: u32 = 2;
export const ACK_EVERY: u32 = 16;
/** Keepalive, RFC 9293 3.8.4: interval of probes µs, and how many. */
export const KEEPALIVE_INTERVAL: f64 = 75_000_000;
export const KEEPALIVE_PROBES: u32 = 9;
/** Zero-window probes: longest interval, µs. */
export const PERSIST_MAX: f64 = 60_000_000;
/** Segments one connection may put into a poll before the next one's turn. */
export const QUANTUM_SEGMENTS: i32 = 16;
/** Below this smoothed RTT no pacing: a timer of the caller is coarser. µs. */
export const PACING_LEAST_RTT: f64 = 1_500;
/** Credit a paced connection may save up: time at its rate (µs) and segments, the greater. */
export const PACING_SLACK: f64 = 4_000;
export const PACING_BURST_SEGMENTS: u32 = 16;
/** Challenge ACKs per connection and second (RFC 5961 7). */
export const CHALLENGE_PER_SECOND: u32 = 10;
/** ICMP errors and resets without a connection, per second each. */
export const ICMP_PER_SECOND: u32 = 100;
export const RESET_PER_SECOND: u32 = 1000;
export const ECHO_PER_SECOND: u32 = 1000;
/** Datagrams waiting for poll, and the pages that they may hold. */
export const DATAGRAM_QUEUE: u32 = 1024;
export const DATAGRAM_PAGES: u32 = 2048;
/** IP reassemblies at a time. */
export const REASSEMBLIES: u32 = 32;
/** Times of the loopback hand-over within one poll; more continue at the next. */
export const LOOPBACK_BUDGET: i32 = 512;
