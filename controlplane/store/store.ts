/**
 * Where a control plane keeps what it should serve: small texts by node and key, under one revision. Engines keep the
 * present only; who wants to follow changes keeps what it last read, and is told the difference.
 *
 * Promises of every engine (`testing/store-contract.ts` tests them):
 * - Revisions strictly increase; a commit that changes nothing makes no revision.
 * - A commit happens as a whole or not at all, and is durable when its promise resolves.
 * - With `ifRevision`, it happens only if nobody else has committed since that revision.
 * - A handle reads its own writes; two handles on one store converge.
 * - A watcher gets, in order of revisions, changes that turn its first state into the present one. Several commits may
 *   come as one change.
 */

export interface Entry {
  /** Node id, or whatever groups entries. */
  readonly node: string;
  /** Unique within the node: the name of a proxy key, for instance. */
  readonly key: string;
  /** Opaque text. */
  readonly value: string;
}

export type Operation =
  | { readonly type: 'put'; readonly node: string; readonly key: string; readonly value: string }
  | { readonly type: 'delete'; readonly node: string; readonly key: string };

export interface State {
  /** 0 for a store that was never written. */
  readonly revision: number;
  /** By node, then key. */
  readonly entries: readonly Entry[];
}

export interface Change {
  readonly revision: number;
  readonly operations: readonly Operation[];
}

export interface CommitOptions {
  /** Commit only if this is the store's revision. */
  readonly ifRevision?: number;
}

export type CommitResult =
  | { ok: true; revision: number }
  /** Somebody else was first: read again, think again. */
  | { ok: false; error: 'conflict'; revision: number };

export interface Store {
  read(): Promise<State>;
  /** @throws StoreError when the engine cannot write. */
  commit(operations: readonly Operation[], options?: CommitOptions): Promise<CommitResult>;
  /** Changes since `from`, then as they come, until `signal` fires or the store is closed. */
  watch(from: State, signal?: AbortSignal): AsyncIterable<Change>;
  close(): Promise<void>;
}

/** The engine failed; `code` is stable. */
export class StoreError extends Error {
  readonly code: 'unavailable' | 'damaged' | 'newer';

  constructor(code: StoreError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

const byNodeAndKey = (a: Entry, b: Entry): number => {
  if (a.node !== b.node) return a.node < b.node ? -1 : 1;
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
};

export function sortEntries(entries: readonly Entry[]): Entry[] {
  return [...entries].sort(byNodeAndKey);
}

/** The operations that turn `before` into `after`. */
export function difference(before: readonly Entry[], after: readonly Entry[]): Operation[] {
  const id = ({ node, key }: Entry): string => `${node}\0${key}`;
  const old = new Map(before.map(entry => [id(entry), entry]));
  const operations: Operation[] = [];
  for (const entry of after) {
    if (old.get(id(entry))?.value !== entry.value) operations.push({ type: 'put', ...entry });
    old.delete(id(entry));
  }
  for (const { node, key } of old.values()) operations.push({ type: 'delete', node, key });
  return operations;
}
