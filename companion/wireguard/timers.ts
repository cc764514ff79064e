/**
 * The timers of one peer (whitepaper §6; events named as in wireguard-go). Pure: each event takes the time, `due`
 * says which timer has run out, and the Tunnel acts on it. Times are milliseconds of the monotonic clock; Infinity
 * means not pending.
 *
 *     timer         set by                                  cancelled by              when it runs out
 *     retransmit    initiation sent: 5 s + jitter           handshake complete        initiate again, 18 times
 *     keepalive     data received, not pending: 10 s        any packet sent           send a keepalive
 *     newHandshake  data sent, not pending: 15 s + jitter   any packet received       initiate
 *     wipe          session derived: 540 s                                            forget all keys
 *     persistent    any packet either way: the interval     interval 0                send a keepalive
 *
 * "Packet" here: authenticated, handshakes and keepalives included. "Data": a transport message that is not empty.
 */
import * as c from './constants.ts';

const NEVER = Number.POSITIVE_INFINITY;

export type TimerName = 'retransmit' | 'keepalive' | 'newHandshake' | 'wipe' | 'persistent';

export class PeerTimers {
  #retransmitAt = NEVER;
  #keepaliveAt = NEVER;
  #newHandshakeAt = NEVER;
  #wipeAt = NEVER;
  #persistentAt = NEVER;
  #persistentInterval = 0;
  /** Data came while a keepalive was already waiting: another follows it. */
  #needAnotherKeepalive = false;
  readonly #jitter: () => number;

  /** Retransmissions since the last fresh attempt. */
  attempts = 0;
  /** Initiations without an answer since the last session, over all attempts. */
  unanswered = 0;
  /** The 165 s rekey happens once per session. */
  sentLastMinuteHandshake = false;
  lastHandshakeSent = Number.NEGATIVE_INFINITY;
  lastHandshakeComplete: number | undefined;

  /** `jitter`: 0 to 333 ms, anew each time, so that two peers do not stay in step. */
  constructor(jitter: () => number) {
    this.#jitter = jitter;
  }

  /** The earliest time at which something runs out. */
  get next(): number {
    return Math.min(this.#retransmitAt, this.#keepaliveAt, this.#newHandshakeAt, this.#wipeAt, this.#persistentAt);
  }

  /** Whether an initiation of ours waits for its answer. */
  get handshaking(): boolean {
    return this.#retransmitAt !== NEVER;
  }

  /** Milliseconds; 0 turns it off. */
  setPersistentInterval(interval: number, now: number): void {
    this.#persistentInterval = interval;
    this.#persistentAt = interval > 0 ? now + interval : NEVER;
  }

  get persistentInterval(): number {
    return this.#persistentInterval;
  }

  /** Not pending only: the 15 s count from the first packet that was not answered. */
  dataSent(now: number): void {
    if (this.#newHandshakeAt === NEVER) this.#newHandshakeAt = now + c.NEW_HANDSHAKE_TIME + this.#jitter();
  }

  dataReceived(now: number): void {
    if (this.#keepaliveAt === NEVER) this.#keepaliveAt = now + c.KEEPALIVE_TIMEOUT;
    else this.#needAnotherKeepalive = true;
  }

  anyAuthenticatedPacketSent(): void {
    this.#keepaliveAt = NEVER;
    this.#needAnotherKeepalive = false;
  }

  keepaliveSent(now: number): void {
    const another = this.#needAnotherKeepalive;
    this.anyAuthenticatedPacketSent();
    if (another) this.#keepaliveAt = now + c.KEEPALIVE_TIMEOUT;
  }

  anyAuthenticatedPacketReceived(): void {
    this.#newHandshakeAt = NEVER;
  }

  anyAuthenticatedPacketTraversal(now: number): void {
    if (this.#persistentInterval > 0) this.#persistentAt = now + this.#persistentInterval;
  }

  handshakeInitiated(now: number): void {
    this.lastHandshakeSent = now;
    this.#retransmitAt = now + c.REKEY_TIMEOUT + this.#jitter();
  }

  handshakeComplete(now: number): void {
    this.#retransmitAt = NEVER;
    this.attempts = 0;
    this.unanswered = 0;
    this.sentLastMinuteHandshake = false;
    this.lastHandshakeComplete = now;
  }

  sessionDerived(now: number): void {
    this.#wipeAt = now + c.WIPE_AFTER_TIME;
  }

  /** The handshake is given up: no keepalive may start it again, and what is half done goes in the end. */
  gaveUp(now: number): void {
    this.#keepaliveAt = NEVER;
    this.#needAnotherKeepalive = false;
    if (this.#wipeAt === NEVER) this.#wipeAt = now + c.WIPE_AFTER_TIME;
  }

  /** A timer that has run out at `now`, no longer pending; undefined: none. Call again until then. */
  due(now: number): TimerName | undefined {
    if (now >= this.#wipeAt) {
      this.#wipeAt = NEVER;
      return 'wipe';
    }
    if (now >= this.#retransmitAt) {
      this.#retransmitAt = NEVER;
      return 'retransmit';
    }
    if (now >= this.#newHandshakeAt) {
      this.#newHandshakeAt = NEVER;
      return 'newHandshake';
    }
    if (now >= this.#keepaliveAt) {
      this.#keepaliveAt = NEVER;
      return 'keepalive';
    }
    if (now >= this.#persistentAt) {
      this.#persistentAt = now + this.#persistentInterval;
      return 'persistent';
    }
    return undefined;
  }
}
