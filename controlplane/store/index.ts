/** Where a control plane keeps what it should serve. */
export { type SqliteOptions, SqliteStore } from './sqlite.ts';
export {
  type Change,
  type CommitOptions,
  type CommitResult,
  type Entry,
  type Operation,
  type State,
  type Store,
  StoreError,
} from './store.ts';
