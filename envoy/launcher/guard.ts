/**
 * Ends Envoy when we are gone without having ended it: killed, or crashed. An orphan would hold the ports of the next start.
 * Envoy asks the kernel for this itself (PR_SET_PDEATHSIG), but only with hot restart, which needs /dev/shm and leaves a file in
 * it at each start.
 */

import { type ChildProcess, spawn } from 'node:child_process';

/** Waits for the end of its standard input, whose other end only we hold. A session of its own: no terminal ends it. */
const SCRIPT = 'read -r _; kill -TERM "$1" 2>/dev/null';

/** @param pid of Envoy. @returns a process to be killed as soon as Envoy has ended, for a process id may come again. */
export function guard(pid: number): ChildProcess {
  const child = spawn('/bin/sh', ['-c', SCRIPT, 'envoy-guard', String(pid)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  // Without a shell there is no guard; the rest works.
  child.on('error', () => {});
  child.stdin.on('error', () => {});
  child.unref();
  (child.stdin as unknown as { unref(): void }).unref();
  return child;
}
