/**
 * States, RFC 9293 3.3.2. LISTEN is no connection's state here (listeners are a table) and TIME-WAIT lives in compact records, so:
 * DEFERRED = a SYN was received on a deferred listener and is not answered yet; DONE = the handle outlives the connection.
 */
export const CLOSED: u32 = 0;
export const DEFERRED: u32 = 1;
export const SYN_SENT: u32 = 2;
export const SYN_RECEIVED: u32 = 3;
export const ESTABLISHED: u32 = 4;
export const FIN_WAIT_1: u32 = 5;
export const FIN_WAIT_2: u32 = 6;
export const CLOSING: u32 = 7;
export const CLOSE_WAIT: u32 = 8;
export const LAST_ACK: u32 = 9;
export const DONE: u32 = 10;

/** Flags of a connection. */
export const F_V6: u32 = 1 << 0;
/** Timestamps, window scaling, SACK were agreed on. */
export const F_TS: u32 = 1 << 1;
export const F_SACK: u32 = 1 << 2;
export const F_SCALE: u32 = 1 << 3;
/** In the ready list. */
export const F_READY: u32 = 1 << 4;
/** In the event list. */
export const F_EVENT: u32 = 1 << 5;
/** The application has released its handle. */
export const F_ORPHAN: u32 = 1 << 6;
/** SYN or SYN-ACK must go out. */
export const F_SEND_SYN: u32 = 1 << 7;
/** A FIN follows the queued data; it has been sent; it has been acknowledged. */
export const F_FIN_WANTED: u32 = 1 << 8;
export const F_FIN_SENT: u32 = 1 << 9;
export const F_FIN_ACKED: u32 = 1 << 10;
/** The peer's FIN was seen (maybe out of order) at rcvFinSeq; it was received in order. */
export const F_FIN_SEEN: u32 = 1 << 11;
export const F_FIN_RECEIVED: u32 = 1 << 12;
/** An ACK must go out now, even if no data does; ... and on its own, before data (duplicate ACK). */
export const F_ACK_NOW: u32 = 1 << 13;
export const F_ACK_ALONE: u32 = 1 << 14;
/** The application met a full send buffer. */
export const F_WANT_SPACE: u32 = 1 << 15;
/** A zero-window probe, a keepalive probe, a tail loss probe must go out. */
export const F_SEND_PROBE: u32 = 1 << 16;
export const F_SEND_KEEPALIVE: u32 = 1 << 17;
export const F_SEND_TLP: u32 = 1 << 18;
/** The last flight was held back by cwnd (so cwnd may grow), not by the application. */
export const F_CWND_LIMITED: u32 = 1 << 19;
/** Loops back to an own address. */
export const F_LOOP: u32 = 1 << 20;
/** A D-SACK block is to be reported (dsackStart, dsackEnd). */
export const F_DSACK: u32 = 1 << 21;
/** RACK: reordering was seen; the outstanding tail probe was a retransmission. */
export const F_REORDERING: u32 = 1 << 22;
export const F_TLP_RETRANS: u32 = 1 << 23;
/** Hash table membership. */
export const F_HASHED: u32 = 1 << 24;
/** From a deferred listener (CONNECTED is told instead of ACCEPT); passive open. */
export const F_DEFERRED: u32 = 1 << 25;
export const F_PASSIVE: u32 = 1 << 26;
/** Application data has gone out since data last came in: ACKs may wait to ride on answers. */
export const F_INTERACTIVE: u32 = 1 << 27;
/** Counted among the half open. */
export const F_HALF_OPEN: u32 = 1 << 28;
/** The SYN was sent more than once. */
export const F_SYN_RESENT: u32 = 1 << 29;
/** The current recovery was entered by a timeout; the congestion window can be restored. */
export const F_UNDO: u32 = 1 << 30;

/** Phases of congestion control. */
export const OPEN: u32 = 0;
export const RECOVERY: u32 = 1;
export const LOSS: u32 = 2;

/**
 * Transmission control block, RFC 9293 3.3.1, with the names of the RFCs. Times are µs on the virtual clock (Infinity = timer off),
 * windows and counts bytes, sequence numbers u32 compared by difference.
 */
@unmanaged
export class Tcb {
  hashNext: usize;
  index: u32;
  generation: u32;

  localHi: u64;
  localLo: u64;
  remoteHi: u64;
  remoteLo: u64;
  localPort: u16;
  remotePort: u16;
  state: u8;
  phase: u8;
  error: u8;
  /** Consecutive RTOs without an answer; SYN retransmissions before that. */
  backoff: u8;
  flags: u32;
  events: u32;

  eventNext: usize;
  eventPrevious: usize;
  readyNext: usize;
  readyPrevious: usize;
  /** Where in the timer heap, 1-based; 0 = not. */
  heapIndex: u32;
  ipId: u32;

  // ---- sending
  iss: u32;
  sndUna: u32;
  sndNxt: u32;
  sndWnd: u32;
  sndWl1: u32;
  sndWl2: u32;
  /** Largest window the peer ever offered. */
  maxSndWnd: u32;
  sndShift: u8;
  rcvShift: u8;
  probes: u8;
  keepProbes: u8;
  /** The MSS that the peer named; the payload of a full segment of ours with options and path MTU taken off. */
  peerMss: u16;
  mss: u16;
  /** What the path takes, bytes of IP packet. */
  pathMtu: u16;
  quickAcks: u16;
  sndBuffer: u32;
  /** Bytes in the send chain: sent and unacknowledged, then unsent. FIN and SYN do not count. */
  sndQueued: u32;
  sndHead: u32;
  sndTail: u32;
  /** Offset of the byte sndUna in sndHead; of the next free byte in sndTail; of the byte sndNxt in sndCursor. */
  sndHeadOffset: u16;
  sndTailOffset: u16;
  sndCursorOffset: u16;
  /** Segments received so far, up to EARLY_SEGMENTS. */
  earlySegments: u16;
  sndCursor: u32;

  // ---- records of what is in flight (scoreboard.ts)
  recHead: usize;
  recTail: usize;
  timeHead: usize;
  timeTail: usize;
  /** No record that is lost and not sent again lies before this one; 0 = there is none. */
  lostHint: usize;
  /** Bytes marked so, of sndUna..sndNxt. */
  sackedOut: u32;
  lostOut: u32;
  retransOut: u32;
  retransmits: u32;

  // ---- congestion control
  cwnd: u32;
  ssthresh: u32;
  recoverySeq: u32;
  prrDelivered: u32;
  prrOut: u32;
  recoverFlight: u32;
  undoMarker: u32;
  undoRetrans: i32;
  priorCwnd: u32;
  priorSsthresh: u32;
  /** CUBIC: window before the last reduction, segments; origin of the curve, its K in s, start of the epoch, Reno's estimate. */
  wMax: f64;
  cubicK: f64;
  cubicOrigin: f64;
  cubicEpoch: f64;
  wEst: f64;
  cwndCredit: f64;
  cwndPrior: f64;
  /** HyStart++. */
  roundEnd: u32;
  roundSamples: u16;
  cssRounds: u16;
  roundMinRtt: f64;
  lastRoundMinRtt: f64;
  cssBaseline: f64;

  // ---- RTT and timers
  srtt: f64;
  rttvar: f64;
  rto: f64;
  minRtt: f64;
  minRttAt: f64;
  rtoAt: f64;
  /** RACK's reordering timer and the tail loss probe, which exclude each other and the RTO. */
  rackAt: f64;
  tlpAt: f64;
  persistAt: f64;
  delackAt: f64;
  paceAt: f64;
  keepaliveAt: f64;
  /** Life limit by state: SYN answer, deferred SYN, FIN-WAIT-2 or stuck orphan. */
  stateAt: f64;
  /** Since when the peer owes an answer; 0 = it owes none. */
  unansweredSince: f64;
  /** When the heap will wake this connection: never later than the earliest of the above. */
  wakeAt: f64;
  lastReceived: f64;
  lastSent: f64;

  // ---- pacing
  paceCredit: f64;
  pacedAt: f64;

  // ---- RACK-TLP
  rackXmit: f64;
  rackRtt: f64;
  rackEnd: u32;
  rackFack: u32;
  reoMult: u16;
  reoPersist: u16;
  rackRound: u32;
  tlpEnd: u32;
  /** TSval of the first retransmission of this recovery, for Eifel (RFC 3522). */
  retransStamp: u32;

  // ---- timestamps
  tsRecent: u32;
  tsOffset: u32;
  tsRecentAt: f64;
  lastAckSent: u32;

  // ---- receiving
  irs: u32;
  rcvNxt: u32;
  /** Right edge that we have advertised; never retreats. */
  rcvAdvertised: u32;
  rcvBuffer: u32;
  /** Readable bytes. */
  rcvQueued: u32;
  rcvHead: u32;
  rcvTail: u32;
  rcvFinSeq: u32;
  rcvMss: u32;
  /** Bytes received in order since the last ACK went out. */
  ackBytes: u32;
  ranges: usize;
  rangeCount: u32;
  rangeStamp: u32;
  dsackStart: u32;
  dsackEnd: u32;
  outOfOrder: u32;
  /** Receive buffer tuning: bytes the application took since drsAt; RTT seen by the receiver. */
  drsCopied: u32;
  drsSpace: u32;
  drsSeq: u32;
  drsAt: f64;
  drsRttAt: f64;
  rcvRtt: f64;

  // ---- challenge ACK limit
  challengeAt: f64;
  challenges: u32;
  listener: u32;
}

// @ts-ignore: decorator
@inline
export function has(t: Tcb, flag: u32): bool {
  return (t.flags & flag) !== 0;
}

// @ts-ignore: decorator
@inline
export function set(t: Tcb, flag: u32): void {
  t.flags |= flag;
}

// @ts-ignore: decorator
@inline
export function clear(t: Tcb, flag: u32): void {
  t.flags &= ~flag;
}

/** Sequence comparison modulo 2^32. */
// @ts-ignore: decorator
@inline
export function before(a: u32, b: u32): bool {
  return <i32>(a - b) < 0;
}

// @ts-ignore: decorator
@inline
export function after(a: u32, b: u32): bool {
  return <i32>(a - b) > 0;
}

// @ts-ignore: decorator
@inline
export function none(t: Tcb): bool {
  return changetype<usize>(t) === 0;
}
