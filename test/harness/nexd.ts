// Runs bin/nexd as a person would: a process of an ordinary user, without capabilities, in a namespace.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chownSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const checkout = resolve(import.meta.dirname, '..', '..');
/** nobody, on Debian and most others. */
export const ORDINARY_USER = 65534;

export interface Nexd {
  readonly pid: number;
  /** Everything that it printed so far. */
  output(): string;
  /** Waits until a line of its output matches. @throws with the output when it ends or the time runs out. */
  waitFor(pattern: RegExp, timeoutMs?: number): Promise<RegExpExecArray>;
  nexctl(...args: string[]): { status: number | null; stdout: string; stderr: string };
  signal(name: NodeJS.Signals): void;
  /** SIGTERM. @returns milliseconds until it was gone. */
  stop(): Promise<number>;
  readonly exited: Promise<number | null>;
  readonly folder: string;
  readonly runtimeDirectory: string;
}

/** A folder that belongs to the ordinary user. */
export function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'nx-'));
  if (process.getuid?.() === 0) chownSync(folder, ORDINARY_USER, ORDINARY_USER);
  return folder;
}

export function writeConfig(folder: string, text: string, name = 'wg0.conf'): string {
  const file = join(folder, name);
  writeFileSync(file, text, { mode: 0o600 });
  if (process.getuid?.() === 0) chownSync(file, ORDINARY_USER, ORDINARY_USER);
  return file;
}

/** The command line that runs a program in a namespace as the ordinary user without any capability. */
function asOrdinaryUser(namespace: string | undefined, command: string, args: readonly string[]): string[] {
  const drop = [
    'setpriv',
    `--reuid=${ORDINARY_USER}`,
    `--regid=${ORDINARY_USER}`,
    '--clear-groups',
    '--no-new-privs',
    '--bounding-set=-all',
    '--inh-caps=-all',
    command,
    ...args,
  ];
  const isRoot = process.getuid?.() === 0;
  return [
    ...(namespace === undefined ? [] : ['ip', 'netns', 'exec', namespace]),
    ...(isRoot ? drop : [command, ...args]),
  ];
}

/** Runs nexd to its end. For commands that are expected to fail or to print. */
export function runNexd(
  args: readonly string[],
  o: { namespace?: string; env?: NodeJS.ProcessEnv; program?: 'nexd' | 'nexctl'; timeoutMs?: number } = {},
) {
  const [command, ...rest] = asOrdinaryUser(o.namespace, join(checkout, 'bin', o.program ?? 'nexd'), args);
  const child = spawnSync(command!, rest, {
    encoding: 'utf8',
    timeout: o.timeoutMs ?? 30_000,
    env: { ...process.env, HOME: '/nonexistent', ...o.env },
  });
  return { status: child.status, stdout: child.stdout, stderr: child.stderr };
}

export function startNexd(o: {
  args: readonly string[];
  namespace?: string;
  folder?: string;
  env?: NodeJS.ProcessEnv;
}): Nexd {
  const folder = o.folder ?? makeFolder();
  const runtimeDirectory = join(folder, 'run');
  const socket = join(folder, 'nexd.sock');
  mkdirSync(folder, { recursive: true });
  const [command, ...args] = asOrdinaryUser(o.namespace, join(checkout, 'bin', 'nexd'), [
    'proxy',
    '--state-dir',
    join(folder, 'state'),
    '--unix-socket',
    socket,
    '--runtime-dir',
    runtimeDirectory,
    ...o.args,
  ]);
  const child: ChildProcess = spawn(command!, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, HOME: '/nonexistent', TMPDIR: folder, ...o.env },
  });
  let output = '';
  const listeners = new Set<() => void>();
  const collect = (part: Buffer) => {
    output += part.toString();
    for (const listener of listeners) listener();
  };
  child.stdout!.on('data', collect);
  child.stderr!.on('data', collect);
  const exited = new Promise<number | null>(resolveExit => child.once('exit', code => resolveExit(code)));
  void exited.then(() => {
    for (const listener of listeners) listener();
  });
  return {
    pid: child.pid!,
    folder,
    runtimeDirectory,
    exited,
    output: () => output,
    waitFor: (pattern, timeoutMs = 30_000) =>
      new Promise((resolveMatch, reject) => {
        const done = (act: () => void) => {
          clearTimeout(timer);
          listeners.delete(look);
          act();
        };
        const look = () => {
          const match = pattern.exec(output);
          if (match !== null) done(() => resolveMatch(match));
          else if (child.exitCode !== null)
            done(() => reject(new Error(`nexd ended with ${child.exitCode}:\n${output}`)));
        };
        const timer = setTimeout(
          () => done(() => reject(new Error(`no ${pattern} within ${timeoutMs} ms:\n${output}`))),
          timeoutMs,
        );
        listeners.add(look);
        look();
      }),
    nexctl: (...args) =>
      runNexd(['nexd', '--unix-socket', socket, ...args], {
        program: 'nexctl',
        ...(o.namespace === undefined ? {} : { namespace: o.namespace }),
      }),
    signal: name => void child.kill(name),
    async stop() {
      const started = performance.now();
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), 15_000);
      await exited;
      clearTimeout(timer);
      return performance.now() - started;
    },
  };
}

export const removeFolder = (folder: string): void => rmSync(folder, { recursive: true, force: true });

/** Ids of living processes whose parent is `pid`, and theirs. */
export function descendants(pid: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]));
    } catch {}
  }
  const found: number[] = [];
  const visit = (parent: number) => {
    for (const [child, its] of parents)
      if (its === parent) {
        found.push(child);
        visit(child);
      }
  };
  visit(pid);
  return found;
}

export const commandOf = (pid: number): string => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
  } catch {
    return '';
  }
};

/** The process named `envoy` among nexd's children. */
export const envoyOf = (nexd: Nexd): number | undefined =>
  descendants(nexd.pid).find(pid => /\benvoy\b/.test(commandOf(pid).split(' ')[0] ?? ''));
