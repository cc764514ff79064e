import { expect, test } from 'vitest';
import { ConnectionLog } from './connection-log.ts';

test('lines per connection are bounded, and none is lost count of', () => {
  const untold: number[] = [];
  let now = 0;
  const log = new ConnectionLog(
    () => now,
    count => untold.push(count),
  );
  let lines = 0;
  for (let n = 0; n < 1000; n++) if (log.admits()) lines++;
  expect(lines).toBe(50);
  expect(untold).toEqual([]);
  now = 1_000_000;
  expect(log.admits()).toBe(true);
  expect(untold).toEqual([950]);
});
