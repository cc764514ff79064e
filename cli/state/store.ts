/**
 * What nexd keeps between runs: the rules added through the control socket and the last TAI64N stamp.
 * `<state-dir>/state.json`, mode 0600, in a directory of mode 0700.
 */

import { lstatSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { Failure, reasonOf } from '../failure.ts';
import type { LogFunction } from '../log.ts';
import { previousOf, removeTemporaries, writeFileAtomic } from './atomic-file.ts';
import { emptyState, formatState, parseState, type SetAsideRule, type State, type StoredRules } from './format.ts';

/** A stamp is written at most this often; the rest waits (ms). */
const STAMP_INTERVAL = 5000;

function prepareDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const stat = lstatSync(path);
    // A symbolic link to a directory is fine here, unlike for sockets: its target's mode is what counts.
    if (stat.isSymbolicLink() || !stat.isDirectory()) return;
    if ((stat.mode & 0o022) !== 0) {
      throw new Failure(`--state-dir ${path}: other users may write to it (mode ${(stat.mode & 0o777).toString(8)})`);
    }
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure(`--state-dir ${path}: cannot be made: ${reasonOf(error)}`);
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new Failure(`--state-dir: ${path} cannot be read: ${reasonOf(error)}`);
  }
}

export class StateStore {
  readonly path: string;
  /** What a person should know about the state as found; also told by `nexctl nexd status`. */
  readonly warnings: string[] = [];
  private state: State = emptyState();
  private readonly log: LogFunction;
  private stampTimer: NodeJS.Timeout | undefined;
  private stampWritten = 0;
  private stampFailed = false;

  private constructor(path: string, log: LogFunction) {
    this.path = path;
    this.log = log;
  }

  /** Open or begin the state in a directory. Throws Failure when it cannot be read or written. */
  static open(directory: string, log: LogFunction): StateStore {
    prepareDirectory(directory);
    const store = new StateStore(join(directory, 'state.json'), log);
    store.load();
    try {
      removeTemporaries(store.path);
      // Written at once: a directory that cannot hold rules is told at the start, not when the first is added.
      store.write();
    } catch (error) {
      throw new Failure(`--state-dir ${directory}: cannot be written to: ${reasonOf(error)}`);
    }
    return store;
  }

  private warn(message: string): void {
    this.warnings.push(message);
    this.log('error', message);
  }

  private load(): void {
    const text = readText(this.path);
    if (text === undefined) {
      this.loadPrevious('');
      return;
    }
    const parsed = parseState(text);
    if (parsed.ok) {
      this.state = parsed.state;
      return;
    }
    const aside = `${this.path}.corrupt-${new Date().toISOString().replace(/[:.]/g, '-')}`;
    try {
      renameSync(this.path, aside);
    } catch (error) {
      throw new Failure(`${this.path} is corrupt (${parsed.error}) and cannot be set aside: ${reasonOf(error)}`);
    }
    this.warn(`${this.path} is corrupt (${parsed.error}): set aside as ${aside}`);
    this.loadPrevious('its last change may be missing');
  }

  /** The file before the last write, when the last one is gone or unreadable. */
  private loadPrevious(doubt: string): void {
    const text = readText(previousOf(this.path));
    const parsed = text === undefined ? undefined : parseState(text);
    if (parsed?.ok) {
      this.state = parsed.state;
      this.warn(`using ${previousOf(this.path)} instead${doubt === '' ? `: ${this.path} is missing` : `: ${doubt}`}`);
    } else if (doubt !== '') {
      this.warn('no earlier state can be read: starting without stored rules');
    }
  }

  private write(): void {
    writeFileAtomic(this.path, formatState(this.state));
    this.stampWritten = Date.now();
  }

  rules(): StoredRules {
    return structuredClone(this.state.rules);
  }

  /** Keep the rules. Throws Failure, with the old ones still in force on disk and here. */
  saveRules(rules: StoredRules, setAside: SetAsideRule[] = this.state.setAside): void {
    const before = this.state;
    this.state = { ...before, rules: structuredClone(rules), setAside };
    try {
      this.write();
    } catch (error) {
      this.state = before;
      throw new Failure(`the rules cannot be stored in ${this.path}: ${reasonOf(error)}`);
    }
  }

  setAsideRules(): SetAsideRule[] {
    return [...this.state.setAside];
  }

  /** The greatest stamp sent with this key, 12 bytes. */
  stamp(publicKey: string): Uint8Array | undefined {
    const hex = this.state.stamps[publicKey];
    return hex === undefined ? undefined : Uint8Array.from(Buffer.from(hex, 'hex'));
  }

  /** Keep a stamp; it may reach the disk a few seconds later, or at `close`. */
  saveStamp(publicKey: string, stamp: Uint8Array): void {
    // One key at a time is in use; those of former configurations are of no more use.
    this.state = { ...this.state, stamps: { [publicKey]: Buffer.from(stamp).toString('hex') } };
    if (this.stampTimer !== undefined) return;
    const wait = Math.max(0, this.stampWritten + STAMP_INTERVAL - Date.now());
    this.stampTimer = setTimeout(() => this.flush(), wait);
    this.stampTimer.unref();
  }

  private flush(): void {
    clearTimeout(this.stampTimer);
    this.stampTimer = undefined;
    try {
      this.write();
      this.stampFailed = false;
    } catch (error) {
      if (!this.stampFailed)
        this.log('warn', `the handshake stamp cannot be stored in ${this.path}: ${reasonOf(error)}`);
      this.stampFailed = true;
    }
  }

  close(): void {
    if (this.stampTimer !== undefined) this.flush();
  }
}
