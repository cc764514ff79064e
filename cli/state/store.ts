/**
 * What nexd keeps between runs: the rules added through the control socket and the last TAI64N stamp.
 * `<state-dir>/state.json`, mode 0600, in a directory of mode 0700.
 */

import { lstatSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { Failure, reasonOf } from '../failure.ts';
import type { LogFunction } from '../log.ts';
import { makeDirectory } from '../make-directory.ts';
import { previousOf, removeTemporaries, writeFileAtomic } from './atomic-file.ts';
import { emptyState, formatState, parseState, type SetAsideRule, type State, type StoredRules } from './format.ts';

/**
 * What is written is this many seconds ahead of the stamp in use, so that one write serves all stamps up to it and a
 * crash never leaves an older stamp on disk than peers have seen (they ignore handshakes that are not newer).
 */
const STAMP_AHEAD = 5n;

function prepareDirectory(path: string): void {
  try {
    makeDirectory(path);
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
  /** The greatest stamp in use: hex of equal length compares as the number does. */
  private stampInUse: { key: string; stamp: string } | undefined;
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

  /** Keep a stamp that is about to be used. A failure is logged: traffic matters more than a clock set back later. */
  saveStamp(publicKey: string, stamp: Uint8Array): void {
    const hex = Buffer.from(stamp).toString('hex');
    this.stampInUse = { key: publicKey, stamp: hex };
    const kept = this.state.stamps[publicKey];
    if (kept === undefined || hex > kept) this.writeStamp(publicKey, secondsLater(hex, STAMP_AHEAD));
  }

  private writeStamp(publicKey: string, stamp: string): void {
    // One key at a time is in use; those of former configurations are of no more use.
    this.state = { ...this.state, stamps: { [publicKey]: stamp } };
    try {
      this.write();
      this.stampFailed = false;
    } catch (error) {
      if (!this.stampFailed)
        this.log('warn', `the handshake stamp cannot be stored in ${this.path}: ${reasonOf(error)}`);
      this.stampFailed = true;
    }
  }

  /** An orderly end needs no reserve, so that quick restarts do not run ahead of the clock. */
  close(): void {
    if (this.stampInUse !== undefined) this.writeStamp(this.stampInUse.key, this.stampInUse.stamp);
  }
}

/** TAI64N is 8 bytes of seconds, then 4 of nanoseconds, big-endian. */
function secondsLater(hex: string, seconds: bigint): string {
  return (BigInt(`0x${hex.slice(0, 16)}`) + seconds).toString(16).padStart(16, '0') + hex.slice(16);
}
