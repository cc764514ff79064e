// CPU time and memory of processes, from /proc (proc(5)).
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

const ticksPerSecond = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
const pageBytes = Number(execFileSync('getconf', ['PAGESIZE'], { encoding: 'utf8' }));

interface Usage {
  /** utime + stime, seconds. */
  readonly cpu: number;
  /** That of the children that it has waited for. */
  readonly childrenCpu: number;
  readonly rssBytes: number;
}

const nothing: Usage = { cpu: 0, childrenCpu: 0, rssBytes: 0 };

/** Fields of /proc/PID/stat from the third on: the second, the name, may hold blanks and brackets. */
function usageOf(pid: number): Usage | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const field = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const seconds = (n: number) => Number(field[n - 3]) / ticksPerSecond;
    return {
      cpu: seconds(14) + seconds(15),
      childrenCpu: seconds(16) + seconds(17),
      rssBytes: Number(field[24 - 3]) * pageBytes,
    };
  } catch {
    return undefined;
  }
}

const sum = (pids: readonly number[], of: (usage: Usage) => number) =>
  pids.reduce((total, pid) => total + of(usageOf(pid) ?? nothing), 0);

/** Seconds of CPU so far, user and system. */
export const cpuOf = (pids: readonly number[]): number => sum(pids, usage => usage.cpu);
/** Bytes of resident memory, pages that processes share counted for each. */
export const rssOf = (pids: readonly number[]): number => sum(pids, usage => usage.rssBytes);

/** Seconds of CPU so far of every process but these, and of what they have waited for. */
export function cpuOfOthers(ours: readonly number[]): number {
  const excluded = new Set(ours);
  const others = readdirSync('/proc').filter(name => /^\d+$/.test(name) && !excluded.has(Number(name)));
  return sum(others.map(Number), usage => usage.cpu + usage.childrenCpu);
}
