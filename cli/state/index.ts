/** What nexd keeps on disk. */

export type { SetAsideRule, StoredRules } from './format.ts';
export { StateStore } from './store.ts';
