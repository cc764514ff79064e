/** One node of the demonstration: a `nexd proxy` of its own, as a process of its own, its output with its name before. */

import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const NEXD = fileURLToPath(new URL('../nexd.ts', import.meta.url));

export interface NodeOptions {
  name: string;
  /** A directory of its own, mode 0700. */
  directory: string;
  /** Text of the WireGuard configuration. */
  wireguard: string;
  /** Value of --envoy. */
  envoy: string;
  rules: string[];
  print: (line: string) => void;
}

export class DemoNode {
  readonly socket: string;
  /** Resolves with the exit code. */
  readonly ended: Promise<number>;
  private readonly child: ChildProcess;
  private readonly readyLine = Promise.withResolvers<void>();

  constructor(options: NodeOptions) {
    const { name, directory, wireguard, envoy, rules, print } = options;
    const config = join(directory, `${name}.conf`);
    writeFileSync(config, wireguard, { mode: 0o600 });
    this.socket = join(directory, 'nexd.sock');
    const places = [
      '--unix-socket',
      this.socket,
      '--state-dir',
      join(directory, 'state'),
      '--runtime-dir',
      join(directory, 'run'),
      '--uapi-dir',
      join(directory, 'wireguard'),
    ];
    const args = [
      'proxy',
      '--config',
      config,
      '--envoy',
      envoy,
      ...places,
      '--interface-name',
      name,
      '--bind',
      '127.0.0.1',
      ...rules,
    ];
    // A group of its own: Ctrl-C comes to us alone, and the order of the end is ours.
    this.child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', NEXD, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      env: { ...process.env, NEXD_LOGLEVEL: '' },
    });
    const tell = (line: string) => print(`[${name}] ${line}`);
    createInterface({ input: this.child.stdout! }).on('line', line => {
      tell(line);
      if (line.startsWith('ready')) this.readyLine.resolve();
    });
    createInterface({ input: this.child.stderr! }).on('line', line => tell(readable(line)));
    this.ended = new Promise(resolve => {
      this.child.on('error', error => {
        tell(`cannot be started: ${error.message}`);
        resolve(1);
      });
      this.child.on('close', code => resolve(code ?? 1));
    });
  }

  /** Throws when it ends instead. */
  async ready(): Promise<void> {
    const code = await Promise.race([this.readyLine.promise, this.ended]);
    if (code !== undefined) throw new Error('a node has ended before it was ready');
  }

  async stop(): Promise<void> {
    this.child.kill('SIGTERM');
    await this.ended;
  }
}

/** A JSON log line for people. */
function readable(line: string): string {
  try {
    const { level, ts: _, msg, ...fields } = JSON.parse(line) as { level: string; ts: string; msg: string };
    const rest = Object.entries(fields)
      .filter(([, value]) => value !== '')
      .map(([key, value]) => `${key}=${value}`);
    return [level === 'info' ? '' : `${level}:`, msg, ...rest].filter(Boolean).join(' ');
  } catch {
    return line;
  }
}
