/** For tests: nexd and nexctl as processes, in an environment of their own. */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const binary = (name: string): string => fileURLToPath(new URL(`../../bin/${name}`, import.meta.url));

export interface Finished {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  env?: Record<string, string>;
  uid?: number;
  /** ms; then SIGKILL and an error. */
  within?: number;
}

/** A folder under the temporary folder, short enough for unix sockets. */
export class Sandbox {
  readonly path: string = mkdtempSync(join(tmpdir(), 'nx-'));

  file(name: string, text: string, mode = 0o600): string {
    writeFileSync(join(this.path, name), text, { mode });
    return join(this.path, name);
  }

  join(...names: string[]): string {
    return join(this.path, ...names);
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** Nothing of the machine's own environment but what a program needs to run. */
function environment(extra: Record<string, string> = {}): Record<string, string> {
  const kept = ['PATH', 'HOME', 'TMPDIR', 'ENVOY_BIN'].flatMap(name => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return { ...Object.fromEntries(kept), ...extra };
}

export function start(program: 'nexd' | 'nexctl', args: readonly string[], options: RunOptions = {}): ChildProcess {
  return spawn(binary(program), args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: environment(options.env),
    ...(options.uid !== undefined && { uid: options.uid, gid: options.uid }),
  });
}

/** Run to the end. */
export async function run(
  program: 'nexd' | 'nexctl',
  args: readonly string[],
  options: RunOptions = {},
): Promise<Finished> {
  const child = start(program, args, options);
  const text = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) child[name]!.on('data', chunk => (text[name] += chunk));
  const timer = setTimeout(() => child.kill('SIGKILL'), options.within ?? 30_000);
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (...ended) => resolve(ended));
  });
  clearTimeout(timer);
  return { code, signal, ...text };
}

/** A running `nexd proxy`. */
export class RunningNexd {
  readonly child: ChildProcess;
  readonly socket: string;
  stdout = '';
  stderr = '';
  readonly ended: Promise<number | null>;

  private constructor(child: ChildProcess, socket: string) {
    this.child = child;
    this.socket = socket;
    child.stdout!.on('data', chunk => (this.stdout += chunk));
    child.stderr!.on('data', chunk => (this.stderr += chunk));
    this.ended = new Promise(resolve => child.on('close', code => resolve(code)));
  }

  /** Start, and wait for the `ready` line. */
  static async start(
    sandbox: Sandbox,
    name: string,
    args: readonly string[],
    options: RunOptions = {},
  ): Promise<RunningNexd> {
    const socket = sandbox.join(`${name}.sock`);
    const directories = [
      '--unix-socket',
      socket,
      '--state-dir',
      sandbox.join(`${name}-state`),
      '--runtime-dir',
      sandbox.join(`${name}-run`),
    ];
    const nexd = new RunningNexd(start('nexd', ['proxy', ...directories, ...args], options), socket);
    const within = options.within ?? 30_000;
    const ready = nexd.until(/^ready/m, within);
    const code = await Promise.race([ready.then(() => 'ready' as const), nexd.ended]);
    if (code !== 'ready') throw new Error(`nexd ended with ${code}: ${nexd.stderr}`);
    return nexd;
  }

  /** Wait for a text on either output. */
  async until(text: RegExp, within = 10_000): Promise<void> {
    const end = performance.now() + within;
    while (!text.test(this.stdout) && !text.test(this.stderr)) {
      if (performance.now() > end) throw new Error(`${text} not seen in:\n${this.stdout}\n${this.stderr}`);
      await new Promise(resolve => setTimeout(resolve, 10));
    }
  }

  ctl(...args: string[]): Promise<Finished> {
    return run('nexctl', ['nexd', '--unix-socket', this.socket, ...args]);
  }

  /** End it; gives the exit code. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill(signal);
    const timer = setTimeout(() => this.child.kill('SIGKILL'), 15_000);
    const code = await this.ended;
    clearTimeout(timer);
    return code;
  }
}
