/** The path of a unix socket: where it is by default, whether it fits, and whether someone already listens on it. */

import { lstatSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { Failure, reasonOf } from '../failure.ts';

/** sun_path has 108 bytes, the last of them zero (unix(7)). */
export const MAX_SOCKET_PATH = 107;

/** Root's is Nexodus' own; others have theirs in their state directory. */
export function defaultSocketPath(): string {
  return process.geteuid?.() === 0 ? '/var/run/nexd.sock' : join(homedir(), '.nexodus', 'nexd.sock');
}

/** Throws Failure when the path is too long for a unix socket. `field` names the flag. */
export function checkSocketPath(path: string, field: string): void {
  const length = Buffer.byteLength(path);
  if (length > MAX_SOCKET_PATH) {
    throw new Failure(`${field}: a unix socket's path has at most ${MAX_SOCKET_PATH} bytes, ${path} has ${length}`);
  }
}

/** Whether something accepts on the path. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') resolve(false);
      // A full backlog: someone listens.
      else if (error.code === 'EAGAIN') resolve(true);
      else reject(error);
    });
  });
}

/**
 * Make the path free: a socket that nobody listens on any more is removed.
 * Throws Failure when someone listens, or when the path is something else than a socket.
 */
export async function claimSocketPath(path: string, field: string): Promise<void> {
  let stat: ReturnType<typeof lstatSync>;
  try {
    stat = lstatSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw new Failure(`${field}: ${path}: ${reasonOf(error)}`);
  }
  if (!stat.isSocket()) throw new Failure(`${field}: ${path} exists and is not a socket`);
  let live: boolean;
  try {
    live = await answers(path);
  } catch (error) {
    throw new Failure(`${field}: ${path} cannot be probed: ${reasonOf(error)}`);
  }
  if (live) throw new Failure('existing nexd service already running');
  try {
    unlinkSync(path);
  } catch (error) {
    throw new Failure(`${field}: stale socket ${path} cannot be removed: ${reasonOf(error)}`);
  }
}
