/**
 * The store in one SQLite file: for a control plane on one machine, read and written by any number of its processes.
 *
 * WAL with `synchronous=FULL`: a commit that was reported survives the loss of power, and readers never wait.
 */
import { chmodSync, closeSync, openSync } from 'node:fs';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import {
  type Change,
  type CommitOptions,
  type CommitResult,
  difference,
  type Entry,
  type Operation,
  type State,
  type Store,
  StoreError,
  sortEntries,
} from './store.ts';

/** `PRAGMA user_version` of the tables below. */
const schemaVersion = 1;
/** How long a write waits for another process's. */
const busyTimeoutMs = 5_000;
/** How often another process's commits are looked for, which costs one read of shared memory. */
const pollMs = 200;

const schema = `
  CREATE TABLE entry (node TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (node, key))
    STRICT, WITHOUT ROWID;
  CREATE TABLE revision (only INTEGER PRIMARY KEY CHECK (only = 1), number INTEGER NOT NULL) STRICT;
  INSERT INTO revision VALUES (1, 0);
  PRAGMA user_version = ${schemaVersion};
`;

export interface SqliteOptions {
  /** The file; made with mode 0600 if it is not there. `:memory:` for none. */
  path: string;
}

export class SqliteStore implements Store {
  readonly #database: DatabaseSync;
  readonly #revision: StatementSync;
  readonly #entries: StatementSync;
  readonly #put: StatementSync;
  readonly #delete: StatementSync;
  readonly #bump: StatementSync;
  /** Woken at each commit of this handle, and at close. */
  readonly #wake = new Set<() => void>();
  #closed = false;

  private constructor(database: DatabaseSync) {
    this.#database = database;
    this.#revision = database.prepare('SELECT number FROM revision');
    this.#entries = database.prepare('SELECT node, key, value FROM entry');
    this.#put = database.prepare(
      'INSERT INTO entry VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value WHERE value <> excluded.value',
    );
    this.#delete = database.prepare('DELETE FROM entry WHERE node = ? AND key = ?');
    this.#bump = database.prepare('UPDATE revision SET number = number + 1');
  }

  /** @throws StoreError: 'damaged' if the file is no store of ours, 'newer' if a later version wrote it. */
  static open({ path }: SqliteOptions): SqliteStore {
    try {
      if (path !== ':memory:') {
        closeSync(openSync(path, 'a', 0o600));
        chmodSync(path, 0o600);
      }
      const database = new DatabaseSync(path, { timeout: busyTimeoutMs });
      try {
        database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
        prepareSchema(database, path);
        return new SqliteStore(database);
      } catch (error) {
        database.close();
        throw error;
      }
    } catch (error) {
      throw toStoreError(error, path);
    }
  }

  async read(): Promise<State> {
    return this.#guard(() => this.#transaction('DEFERRED', () => this.#state()));
  }

  async commit(operations: readonly Operation[], { ifRevision }: CommitOptions = {}): Promise<CommitResult> {
    const result = this.#guard(() =>
      this.#transaction('IMMEDIATE', (): CommitResult => {
        const revision = this.#currentRevision();
        if (ifRevision !== undefined && ifRevision !== revision) return { ok: false, error: 'conflict', revision };
        let changes = 0;
        for (const operation of operations) changes += this.#apply(operation);
        if (changes === 0) return { ok: true, revision };
        this.#bump.run();
        return { ok: true, revision: revision + 1 };
      }),
    );
    for (const wake of this.#wake) wake();
    return result;
  }

  async *watch(from: State, signal?: AbortSignal): AsyncGenerator<Change, void, void> {
    let known = from;
    while (!this.#closed && !signal?.aborted) {
      if (this.#guard(() => this.#currentRevision()) !== known.revision) {
        const now = await this.read();
        const operations = difference(known.entries, now.entries);
        known = now;
        if (operations.length > 0) yield { revision: now.revision, operations };
      } else {
        await this.#pause(signal);
      }
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#database.close();
    for (const wake of this.#wake) wake();
  }

  #state(): State {
    const rows = this.#entries.all() as unknown as Entry[];
    const entries = sortEntries(rows.map(({ node, key, value }) => ({ node, key, value })));
    return { revision: this.#currentRevision(), entries };
  }

  #currentRevision(): number {
    return (this.#revision.get() as { number: number }).number;
  }

  #apply(operation: Operation): number {
    const { node, key } = operation;
    const { changes } =
      operation.type === 'put' ? this.#put.run(node, key, operation.value) : this.#delete.run(node, key);
    return Number(changes);
  }

  #transaction<Result>(kind: 'DEFERRED' | 'IMMEDIATE', work: () => Result): Result {
    this.#database.exec(`BEGIN ${kind}`);
    try {
      const result = work();
      this.#database.exec('COMMIT');
      return result;
    } catch (error) {
      // A disk that is full may have rolled back already.
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw error;
    }
  }

  #guard<Result>(work: () => Result): Result {
    if (this.#closed) throw new StoreError('unavailable', 'the store is closed');
    try {
      return work();
    } catch (error) {
      throw toStoreError(error, this.#database.location() ?? ':memory:');
    }
  }

  /** Until this handle commits, or long enough for another to have done so. */
  #pause(signal: AbortSignal | undefined): Promise<void> {
    return new Promise(resolve => {
      const done = (): void => {
        clearTimeout(timer);
        this.#wake.delete(done);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, pollMs);
      this.#wake.add(done);
      signal?.addEventListener('abort', done);
    });
  }
}

function prepareSchema(database: DatabaseSync, path: string): void {
  // Two processes may come to a new file at once; the second finds the tables there.
  database.exec('BEGIN IMMEDIATE');
  try {
    const version = (database.prepare('PRAGMA user_version').get() as { user_version: number }).user_version;
    if (version > schemaVersion) throw new StoreError('newer', `${path}: written by a later version of this program`);
    const tables = (database.prepare('SELECT count(*) AS n FROM sqlite_schema').get() as { n: number }).n;
    if (version === 0 && tables > 0) throw new StoreError('damaged', `${path}: a database of something else`);
    if (version === 0) database.exec(schema);
    database.exec('COMMIT');
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}

/** SQLite's primary result codes (sqlite3.h) that say the file is not, or no longer, a database. */
const damagedCodes = [11 /* SQLITE_CORRUPT */, 26 /* SQLITE_NOTADB */];

function toStoreError(error: unknown, path: string): StoreError {
  if (error instanceof StoreError) return error;
  const { errcode, message } = error as { errcode?: number; message?: string };
  const damaged = errcode !== undefined && damagedCodes.includes(errcode & 0xff);
  return new StoreError(damaged ? 'damaged' : 'unavailable', `${path}: ${message ?? String(error)}`, { cause: error });
}
