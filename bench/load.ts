// Runs bench/load in a namespace. Its processes end by themselves, and at the latest with the bench: when their stdin ends.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { loadProgram } from './golang.ts';

export interface LoadResult {
  /** Payload that the receiver counted. */
  bytes?: number;
  /** Round trips, connections or datagrams. */
  count?: number;
  /** Microseconds. */
  p50?: number;
  p99?: number;
  errors?: number;
}

export interface Load {
  readonly pid: number;
  /** Its one line. @throws when it ends without one, or `patienceMs` after the start. */
  readonly result: Promise<LoadResult>;
  end(): Promise<void>;
}

const running = new Set<ChildProcess>();

/** Ids of the load's processes that run now. */
export const loadPids = (): number[] => [...running].map(child => child.pid!);

export function startLoad(namespace: string, args: readonly (string | number)[], patienceMs: number): Load {
  const words = args.map(String);
  const child = spawn('ip', ['netns', 'exec', namespace, loadProgram, ...words], { stdio: ['pipe', 'pipe', 'pipe'] });
  running.add(child);
  // Not `exit`, which may come before the last line has been read.
  const exited = once(child, 'close').then(() => running.delete(child));
  let complaint = '';
  child.stderr.on('data', part => (complaint += part));
  child.stdin.on('error', () => {});
  const result = new Promise<LoadResult>((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new Error(`load ${words.join(' ')}: no answer within ${patienceMs} ms`));
      child.kill('SIGKILL');
    }, patienceMs);
    createInterface(child.stdout).once('line', line => {
      clearTimeout(timer);
      resolve(JSON.parse(line) as LoadResult);
    });
    void exited.then(() => {
      clearTimeout(timer);
      reject(new Error(`load ${words.join(' ')}: ${complaint.trim() || 'ended without an answer'}`));
    });
  });
  result.catch(() => {});
  return {
    pid: child.pid!,
    result,
    async end() {
      child.stdin.end();
      const timer = setTimeout(() => child.kill('SIGKILL'), 3000);
      await exited;
      clearTimeout(timer);
    },
  };
}

/** One command from its start to its end. */
export async function load(
  namespace: string,
  args: readonly (string | number)[],
  patienceMs: number,
): Promise<LoadResult> {
  const process = startLoad(namespace, args, patienceMs);
  try {
    return await process.result;
  } finally {
    await process.end();
  }
}
