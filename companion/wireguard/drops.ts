/**
 * Why a datagram was thrown away. WireGuard answers nothing to such a datagram, so these counters are the only trace.
 */

export const DROP_REASONS = [
  /** Length impossible for its type. */
  'length',
  /** Type outside 1 to 4, or a reserved byte not zero. */
  'type',
  'mac1',
  /** Under load, and the sender has no valid cookie yet: a cookie reply went out. */
  'cookie-required',
  /** Under load, cookie valid, but its source passed 20 handshakes a second. */
  'rate-limited',
  'unknown-index',
  'unknown-peer',
  /** A Diffie-Hellman result was all zero (low-order point). */
  'low-order',
  /** An AEAD tag of a handshake message did not verify. */
  'handshake-tag',
  /** Timestamp not greater than the peer's last one. */
  'old-timestamp',
  /** A second initiation of the same peer within 20 ms. */
  'initiation-flood',
  /** A response without an initiation of ours that waits for it. */
  'unexpected-response',
  /** A cookie reply that matches no MAC1 of ours. */
  'unexpected-cookie',
  'no-private-key',
  /** Session older than REJECT_AFTER_TIME. */
  'expired',
  /** Counter at or past REJECT_AFTER_MESSAGES. */
  'counter-limit',
  /** Counter seen before, or behind the replay window. */
  'replayed',
  /** The tag of a transport message did not verify. */
  'tag',
  /** The inner packet is no whole IPv4 or IPv6 packet. */
  'inner-malformed',
  /** Inner source that no host may have: loopback, multicast, unspecified, v4-mapped, or an address of our own. */
  'inner-martian',
  /** Cryptokey routing: the inner source is not the sender's. */
  'inner-source',
  /** Pushed out of a full staged queue by a newer packet. */
  'staged-overflow',
  /** Still staged when the handshake was given up or the peer removed. */
  'staged-expired',
] as const;

export type DropReason = (typeof DROP_REASONS)[number];

/** `Tunnel.receive` returns `dropCode(reason)`, below zero, in place of a length. */
export function dropCode(reason: DropReason): number {
  return -1 - DROP_REASONS.indexOf(reason);
}

/** The inverse of `dropCode`. */
export function dropReason(code: number): DropReason {
  const reason = DROP_REASONS[-1 - code];
  if (reason === undefined) throw new RangeError(`no drop reason has code ${code}`);
  return reason;
}

/** Counters by reason; every reason is present from the start so that a scraper sees zeros. */
export class DropCounters {
  readonly #counts = new Float64Array(DROP_REASONS.length);

  add(reason: DropReason, n = 1): void {
    this.addCode(dropCode(reason), n);
  }

  addCode(code: number, n = 1): void {
    this.#counts[-1 - code]! += n;
  }

  get(reason: DropReason): number {
    return this.#counts[-1 - dropCode(reason)]!;
  }

  toObject(): Record<DropReason, number> {
    return Object.fromEntries(DROP_REASONS.map((reason, i) => [reason, this.#counts[i]!])) as Record<
      DropReason,
      number
    >;
  }
}
