/** One log line per connection, and never so many that the log costs more than the traffic. */

import type { LogFunction } from '../log.ts';

/** Lines in a window; what is above is counted. */
const LINES = 50;
const WINDOW = 1000;

export class ConnectionLog {
  private readonly log: LogFunction;
  private readonly now: () => number;
  private windowStart = 0;
  private lines = 0;
  private untold = 0;

  /** `now` in ms. */
  constructor(log: LogFunction, now: () => number = () => performance.now()) {
    this.log = log;
    this.now = now;
  }

  add(message: string, fields: Record<string, unknown>): void {
    const now = this.now();
    if (now - this.windowStart >= WINDOW) {
      if (this.untold > 0) this.log('info', `${this.untold} more connections`);
      this.windowStart = now;
      this.lines = 0;
      this.untold = 0;
    }
    if (++this.lines > LINES) this.untold++;
    else this.log('info', message, fields);
  }
}
