// How often the same thing is said. Whoever may connect may also be denied, as fast as they can connect.

const SECOND: u64 = 1_000_000_000;

/** Lines in a second; more are only counted. */
const LINES: u32 = 10;

export class LogLimit {
  private since: u64 = 0;
  private lines: u32 = 0;
  private skipped: u32 = 0;

  /**
   * Whether to write a line now.
   * @param now wall clock, nanoseconds
   * @returns -1 for no, else how many lines were left out since the last
   */
  admit(now: u64): i32 {
    // A clock that was set back begins a new second, too.
    if (now - this.since >= SECOND) {
      this.since = now;
      this.lines = 0;
    }
    if (this.lines == LINES) {
      this.skipped++;
      return -1;
    }
    this.lines++;
    const skipped = this.skipped;
    this.skipped = 0;
    return skipped;
  }
}
