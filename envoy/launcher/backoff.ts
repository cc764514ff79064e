/** When to start Envoy again after it ended: at once the first time, then ever later. Pure. */

/** 0.25 s, doubling. */
const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 30_000;
/** An Envoy that was ready for this long has earned a fresh start. */
const HEALTHY_MS = 60_000;

export class Backoff {
  /** Ends in a row, without a healthy time between them. */
  failures = 0;

  /**
   * Envoy has ended.
   * @param readyMs how long it had been ready, in milliseconds; 0 if it never was
   * @returns milliseconds to wait before the next start
   */
  ended(readyMs: number): number {
    if (readyMs >= HEALTHY_MS) this.failures = 0;
    const delay = this.failures === 0 ? 0 : FIRST_DELAY_MS * 2 ** (this.failures - 1);
    this.failures++;
    return Math.min(delay, LONGEST_DELAY_MS);
  }
}
