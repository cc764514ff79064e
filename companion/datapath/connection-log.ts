/** One log line per connection, and never so many that the log costs more than the traffic: a line crosses to the main thread. */

/** Lines in a window; what is above is counted. */
const LINES = 50;
const WINDOW_US = 1_000_000;

export class ConnectionLog {
  readonly #now: () => number;
  readonly #untold: (count: number) => void;
  #windowStart = Number.NEGATIVE_INFINITY;
  #lines = 0;
  #counted = 0;

  /**
   * @param now µs
   * @param untold is told how many connections of an earlier window had no line, before the first line of the next
   */
  constructor(now: () => number, untold: (count: number) => void) {
    this.#now = now;
    this.#untold = untold;
  }

  /** -> whether this connection gets its line. */
  admits(): boolean {
    const now = this.#now();
    if (now - this.#windowStart >= WINDOW_US) {
      if (this.#counted > 0) this.#untold(this.#counted);
      this.#windowStart = now;
      this.#lines = 0;
      this.#counted = 0;
    }
    if (++this.#lines <= LINES) return true;
    this.#counted++;
    return false;
  }
}
