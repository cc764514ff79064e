/**
 * The stack behind JSON lines on stdin and stdout, on a virtual clock: foreign TCP test suites attach here.
 *
 *   node companion/netstack/drive.ts
 *
 * Each line is an operation, each answered by one line: `{"ok":true,"now","tx","events",...}` or `{"ok":false,"error"}`. After each
 * operation events are taken and packets polled, so an answer holds all that it caused; timers fire only in `advance`.
 */
import { createInterface } from 'node:readline';
import { Driver } from './driver.ts';

const driver = new Driver();
for await (const line of createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY })) {
  if (line.trim() !== '') process.stdout.write(JSON.stringify(driver.handle(line)) + '\n');
}
