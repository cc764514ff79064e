/** Envoy as our child: started, watched, started again when it ends, stopped. */

import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { createInterface } from 'node:readline';
import { isatty } from 'node:tty';
import { EnvoyAdmin } from './admin.ts';
import { Backoff } from './backoff.ts';
import { guard } from './guard.ts';
import { envoyLevels, type Log, type LogLevel, logArguments, parseLine } from './log.ts';

export interface SupervisorOptions {
  /** Path of the Envoy binary. */
  binary: string;
  /** Path of the bootstrap, `nexodus.yaml`. */
  configPath: string;
  /** Path of the pipe that the bootstrap gives to the admin interface. */
  adminSocket: string;
  log: Log;
  /** What our own log shows, not Envoy's (see log.ts); Envoy is asked for as much. 'info' by default. */
  logLevel?: LogLevel;
  /** Envoy's worker threads. By default Envoy takes one per hardware thread. */
  concurrency?: number;
  /**
   * Seconds that connections of a removed or changed listener may live on; 10 by default, 600 in Envoy. A rule that was
   * removed should stop soon, and a change of policy or destinations drains nothing: those are not in the listener.
   */
  drainSeconds?: number;
  /** Milliseconds between SIGTERM and SIGKILL; 5000 by default. */
  stopMs?: number;
  /** Further arguments of Envoy. None that we give as well: it refuses those. */
  extraArguments?: readonly string[];
}

/** How an Envoy ended. */
export interface EnvoyExit {
  code: number | null;
  signal: NodeJS.Signals | null;
  /** The last error that Envoy logged, often the reason. */
  lastError?: string;
  /** Milliseconds it had been ready; 0 if it never was. */
  readyMs: number;
}

interface Events {
  /** Envoy is live. Again after each restart. */
  ready: [];
  /** Envoy ended without being asked to. */
  exit: [EnvoyExit];
  /** It will be started again after this time. */
  restart: [{ delayMs: number; failures: number }];
  /** `stop` was called. */
  stopped: [];
}

/**
 * States: idle -> starting -> ready -> (ended: waiting -> starting) ...; `stop` leads to stopped from each of them.
 */
type State =
  | { is: 'idle' | 'stopped' }
  | { is: 'starting'; child: ChildProcess; poll: NodeJS.Timeout }
  | { is: 'ready'; child: ChildProcess; since: number }
  | { is: 'waiting'; timer: NodeJS.Timeout };

const READY_POLL_MS = 50;

export class EnvoySupervisor extends EventEmitter<Events> {
  readonly admin: EnvoyAdmin;
  private readonly options: SupervisorOptions;
  private readonly backoff = new Backoff();
  private state: State = { is: 'idle' };
  private lastError: string | undefined;
  private logLevel: LogLevel;

  constructor(options: SupervisorOptions) {
    super();
    this.options = options;
    this.logLevel = options.logLevel ?? 'info';
    this.admin = new EnvoyAdmin(options.adminSocket);
  }

  /** The running Envoy's process id. */
  get pid(): number | undefined {
    return 'child' in this.state ? this.state.child.pid : undefined;
  }

  get ready(): boolean {
    return this.state.is === 'ready';
  }

  /** @throws Error when already started. */
  start(): void {
    if (this.state.is !== 'idle') throw new Error('Envoy was started before');
    this.spawn();
  }

  /** Changes what is asked of Envoy's log, now and after a restart. Our own log must show it, too. */
  async setLogLevel(level: LogLevel): Promise<void> {
    this.logLevel = level;
    if (this.ready) await this.admin.setLogLevels(envoyLevels(level));
  }

  /** Resolves when Envoy is live; rejects when it ends before that, with its reason, or is stopped. */
  async untilReady(signal?: AbortSignal): Promise<void> {
    if (this.ready) return;
    if (this.state.is === 'stopped') throw new Error('Envoy was stopped');
    signal?.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const ended = (exit: EnvoyExit) => reject(new Error(describeExit(exit)));
    const aborted = () => reject(signal?.reason);
    const stopped = () => reject(new Error('Envoy was stopped'));
    this.once('ready', resolve).once('exit', ended).once('stopped', stopped);
    signal?.addEventListener('abort', aborted, { once: true });
    try {
      await promise;
    } finally {
      this.off('ready', resolve).off('exit', ended).off('stopped', stopped);
      signal?.removeEventListener('abort', aborted);
    }
  }

  /** Ends Envoy, and the restarting of it. Resolves when the process is gone. */
  async stop(): Promise<void> {
    const state = this.state;
    this.state = { is: 'stopped' };
    if (state.is !== 'stopped') this.emit('stopped');
    if (state.is === 'waiting') clearTimeout(state.timer);
    if (state.is === 'starting') clearTimeout(state.poll);
    if (!('child' in state) || state.child.exitCode !== null || state.child.signalCode !== null) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    state.child.once('exit', () => resolve());
    state.child.once('error', () => resolve());
    state.child.kill('SIGTERM');
    const kill = setTimeout(() => {
      this.options.log('warn', 'Envoy did not end in time and was killed');
      state.child.kill('SIGKILL');
    }, this.options.stopMs ?? 5000);
    await promise;
    clearTimeout(kill);
  }

  private spawn(): void {
    const { binary, log } = this.options;
    // The Ctrl-C of a terminal is for us, and we end Envoy when its turn has come. Without a terminal Envoy stays in our session, where
    // those who watch or account for us by session find it.
    const detached = [0, 1, 2].some(fd => isatty(fd));
    const child = spawn(binary, this.arguments(), { stdio: ['ignore', 'pipe', 'pipe'], detached });
    const watcher = child.pid === undefined ? undefined : guard(child.pid);
    child.once('exit', () => watcher?.kill('SIGKILL'));
    this.lastError = undefined;
    createInterface({ input: child.stderr }).on('line', line => this.forward(line));
    // Standard output holds the access log, if one goes there.
    createInterface({ input: child.stdout }).on('line', line => log('info', line, { component: 'access' }));
    this.state = { is: 'starting', child, poll: this.pollReady(child) };
    child.once('error', error => this.ended(child, { code: null, signal: null, lastError: error.message, readyMs: 0 }));
    // 'close', not 'exit': the last log lines, with the reason, have then been read.
    child.once('close', (code, signal) => {
      const readyMs = this.state.is === 'ready' ? performance.now() - this.state.since : 0;
      const lastError = this.lastError === undefined ? {} : { lastError: this.lastError };
      this.ended(child, { code, signal, ...lastError, readyMs });
    });
  }

  private arguments(): string[] {
    const { configPath, concurrency, drainSeconds = 10, extraArguments = [] } = this.options;
    return [
      ...['--config-path', configPath],
      // Hot restart needs a name that is unique on the machine, and shared memory; we have no use for it.
      '--disable-hot-restart',
      ...['--drain-time-s', String(drainSeconds)],
      // Access log lines; Envoy's default is ten seconds.
      ...['--file-flush-interval-msec', '1000'],
      ...(concurrency === undefined ? [] : ['--concurrency', String(concurrency)]),
      ...logArguments(this.logLevel),
      ...extraArguments,
    ];
  }

  private forward(line: string): void {
    if (line === '') return;
    const { level: said, component, message } = parseLine(line);
    const level = this.state.is === 'stopped' && message === 'caught ENVOY_SIGTERM' ? 'debug' : said;
    if (level === 'error' || component === '') this.lastError = message;
    this.options.log(level, message, component === '' ? {} : { component: `envoy/${component}` });
  }

  private pollReady(child: ChildProcess): NodeJS.Timeout {
    return setTimeout(async () => {
      const ready = await this.admin.ready();
      if (this.state.is !== 'starting' || this.state.child !== child) return;
      if (!ready) {
        this.state.poll = this.pollReady(child);
        return;
      }
      this.state = { is: 'ready', child, since: performance.now() };
      this.emit('ready');
    }, READY_POLL_MS);
  }

  private ended(child: ChildProcess, exit: EnvoyExit): void {
    if (!('child' in this.state) || this.state.child !== child) return;
    if (this.state.is === 'starting') clearTimeout(this.state.poll);
    const delayMs = this.backoff.ended(exit.readyMs);
    this.options.log('error', describeExit(exit), { restartInMs: delayMs });
    // The listeners of 'exit' may stop us, so the next state stands before they are called.
    this.state = { is: 'waiting', timer: setTimeout(() => this.spawn(), delayMs) };
    this.emit('exit', exit);
    if (this.state.is === 'waiting') this.emit('restart', { delayMs, failures: this.backoff.failures });
  }
}

/** `Envoy ended with code 1: error initializing configuration ...` */
export function describeExit(exit: EnvoyExit): string {
  const how =
    exit.signal !== null ? `by ${exit.signal}` : exit.code !== null ? `with code ${exit.code}` : 'at its start';
  return `Envoy ended ${how}${exit.lastError === undefined ? '' : `: ${exit.lastError}`}`;
}
