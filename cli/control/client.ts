/** The other end: one call per connection, as the real nexctl does it. */

import { connect } from 'node:net';
import { Failure, reasonOf } from '../failure.ts';
import { JsonSplitter } from './json-splitter.ts';

/** A list of 100,000 peers is 20 MB. */
const MAX_ANSWER = 64 * 1024 * 1024;

/** The method answered with an error. */
export class CallError extends Error {
  override name = 'CallError';
}

/** Call `NexdCtl.<method>`. Throws Failure (not reachable, no answer) or CallError. */
export function callNexd(path: string, method: string, argument = '', timeoutMs = 30_000): Promise<string> {
  return new Promise((resolve, reject) => {
    const unreachable = (reason: string) =>
      reject(new Failure(`is nexd running?: failed to connect to nexd at '${path}': ${reason}`));
    const splitter = new JsonSplitter(MAX_ANSWER);
    const socket = connect(path);
    let connected = false;
    const timer = setTimeout(() => {
      reject(new Failure(`Failed to execute method (${method}): no answer within ${timeoutMs / 1000} s`));
      socket.destroy();
    }, timeoutMs);
    socket.on('connect', () => {
      connected = true;
      socket.write(`${JSON.stringify({ method: `NexdCtl.${method}`, params: [argument], id: 0 })}\n`);
    });
    socket.on('error', error => {
      if (connected) reject(new CallError(`Failed to execute method (${method}): ${reasonOf(error)}`));
      else unreachable(reasonOf(error));
    });
    socket.on('data', chunk => {
      const [text] = splitter.push(chunk) ?? ['{"error":"the answer is not JSON"}'];
      if (text === undefined) return;
      socket.destroy();
      const { result, error } = JSON.parse(text) as { result?: unknown; error?: unknown };
      if (error !== null && error !== undefined)
        reject(new CallError(`Failed to execute method (${method}): ${error}`));
      else resolve(String(result));
    });
    socket.on('close', () => {
      clearTimeout(timer);
      reject(new CallError(`Failed to execute method (${method}): unexpected EOF`));
    });
  });
}
