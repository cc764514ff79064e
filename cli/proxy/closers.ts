/** What was started, to be taken down in reverse order; a part that fails to end does not keep the others up. */

import { setTimeout as sleep } from 'node:timers/promises';
import { reasonOf } from '../failure.ts';
import type { LogFunction } from '../log.ts';

interface Entry {
  name: string;
  close: () => void | Promise<void>;
  /** What must be done at once when waiting is over; must not throw. */
  abandon?: () => void;
}

export class Closers {
  private readonly list: Entry[] = [];
  private readonly log: LogFunction;
  private readonly within: number;

  /** `within`: ms that one part may take. */
  constructor(log: LogFunction, within: number) {
    this.log = log;
    this.within = within;
  }

  add(name: string, close: () => void | Promise<void>, abandon?: () => void): void {
    this.list.push({ name, close, ...(abandon !== undefined && { abandon }) });
  }

  async close(): Promise<void> {
    for (let entry = this.list.at(-1); entry !== undefined; entry = this.list.at(-1)) {
      const { name } = entry;
      const patience = new AbortController();
      const late = sleep(this.within, undefined, { signal: patience.signal }).then(
        () => this.log('warn', `${name} does not end`),
        () => {},
      );
      try {
        await Promise.race([entry.close(), late]);
      } catch (error) {
        this.log('warn', `${name} did not end cleanly: ${reasonOf(error)}`);
      }
      patience.abort();
      this.list.pop();
    }
  }

  /** The process ends now: leave nothing on disk that only a running one may leave. */
  abandon(): void {
    for (const entry of this.list.reverse()) entry.abandon?.();
  }
}
