/** What was started, to be taken down in reverse order; a part that fails to end does not keep the others up. */

import { reasonOf } from '../failure.ts';
import type { LogFunction } from '../log.ts';

export class Closers {
  private readonly list: { name: string; close: () => void | Promise<void> }[] = [];
  private readonly log: LogFunction;

  constructor(log: LogFunction) {
    this.log = log;
  }

  add(name: string, close: () => void | Promise<void>): void {
    this.list.push({ name, close });
  }

  async close(): Promise<void> {
    for (let entry = this.list.pop(); entry !== undefined; entry = this.list.pop()) {
      try {
        await entry.close();
      } catch (error) {
        this.log('warn', `${entry.name} did not end cleanly: ${reasonOf(error)}`);
      }
    }
  }
}
