/** What every engine of the store must do. An engine's test calls this with a way to open handles on one fresh store. */
import { describe, expect, test } from 'vitest';
import { type Change, difference, type Operation, type State, type Store } from '../store/store.ts';

const put = (node: string, key: string, value: string): Operation => ({ type: 'put', node, key, value });
const remove = (node: string, key: string): Operation => ({ type: 'delete', node, key });

/** Applies changes to a state, as a watcher does. */
function applied(state: State, changes: readonly Change[]): Map<string, string> {
  const entries = new Map(state.entries.map(({ node, key, value }) => [`${node}/${key}`, value]));
  for (const { operations } of changes) {
    for (const operation of operations) {
      const id = `${operation.node}/${operation.key}`;
      if (operation.type === 'put') entries.set(id, operation.value);
      else entries.delete(id);
    }
  }
  return entries;
}

function asMap(state: State): Map<string, string> {
  return applied(state, []);
}

/** Follows a store until its revision is `until`. */
async function follow(store: Store, from: State, until: number): Promise<Change[]> {
  const changes: Change[] = [];
  for await (const change of store.watch(from, AbortSignal.timeout(10_000))) {
    changes.push(change);
    if (change.revision >= until) return changes;
  }
  throw new Error('the watch ended too early');
}

/** @param fresh makes a store, and returns a function that opens handles on it. */
export function storeContract(fresh: () => Promise<() => Store>): void {
  describe('contract', () => {
    test('an empty store has revision 0', async () => {
      const store = (await fresh())();
      expect(await store.read()).toEqual({ revision: 0, entries: [] });
      await store.close();
    });

    test('a commit is read back, in order of node and key', async () => {
      const store = (await fresh())();
      const operations = [put('b', 'x', '1'), put('a', 'y', '2'), put('a', 'x', "3 ' \u0000 é")];
      expect(await store.commit(operations)).toEqual({ ok: true, revision: 1 });
      const { revision, entries } = await store.read();
      expect(revision).toBe(1);
      expect(entries.map(e => `${e.node}${e.key}${e.value}`)).toEqual(["ax3 ' \u0000 é", 'ay2', 'bx1']);
      await store.close();
    });

    test('what changes nothing makes no revision', async () => {
      const store = (await fresh())();
      await store.commit([put('a', 'x', '1')]);
      expect(await store.commit([put('a', 'x', '1'), remove('a', 'y')])).toEqual({ ok: true, revision: 1 });
      expect(await store.commit([])).toEqual({ ok: true, revision: 1 });
      expect(await store.commit([remove('a', 'x')])).toEqual({ ok: true, revision: 2 });
      await store.close();
    });

    test('ifRevision: of two that read the same, one wins', async () => {
      const open = await fresh();
      const [one, two] = [open(), open()];
      await one.commit([put('a', 'x', '0')]);
      const { revision } = await two.read();
      expect(await one.commit([put('a', 'x', '1')], { ifRevision: revision })).toEqual({ ok: true, revision: 2 });
      expect(await two.commit([put('a', 'x', '2')], { ifRevision: revision })).toEqual({
        ok: false,
        error: 'conflict',
        revision: 2,
      });
      expect(asMap(await two.read())).toEqual(new Map([['a/x', '1']]));
      await Promise.all([one.close(), two.close()]);
    });

    test('a watcher of another handle converges, from whatever it knew', async () => {
      const open = await fresh();
      const [writer, watcher] = [open(), open()];
      await writer.commit([put('a', 'x', '1'), put('a', 'y', '1')]);
      const known = await watcher.read();
      const following = follow(watcher, known, 22);
      for (let i = 0; i < 20; i++) await writer.commit([put('a', 'x', `v${i}`), put('b', `k${i % 3}`, `${i}`)]);
      await writer.commit([remove('a', 'y')]);
      const changes = await following;
      const now = await writer.read();
      expect(now.revision).toBe(22);
      expect(applied(known, changes)).toEqual(asMap(now));
      const revisions = changes.map(change => change.revision);
      expect(revisions).toEqual([...new Set(revisions)].sort((a, b) => a - b));
      expect(applied({ revision: 0, entries: [] }, await follow(watcher, { revision: 0, entries: [] }, 22))).toEqual(
        asMap(now),
      );
      await Promise.all([writer.close(), watcher.close()]);
    });

    test('a watch ends with its signal, and with its store', async () => {
      const store = (await fresh())();
      const ended = async (signal?: AbortSignal): Promise<number> => {
        let changes = 0;
        for await (const _ of store.watch({ revision: 0, entries: [] }, signal)) changes++;
        return changes;
      };
      const abort = new AbortController();
      const [bySignal, byClose] = [ended(abort.signal), ended()];
      abort.abort();
      expect(await bySignal).toBe(0);
      await store.close();
      expect(await byClose).toBe(0);
      await expect(store.read()).rejects.toMatchObject({ code: 'unavailable' });
    });
  });

  test('difference turns one state into the other', () => {
    const before = [put('a', 'x', '1'), put('a', 'y', '1')].map(({ type: _, ...entry }) => entry as never);
    const after = [put('a', 'y', '2'), put('b', 'x', '1')].map(({ type: _, ...entry }) => entry as never);
    expect(difference(before, after)).toEqual([put('a', 'y', '2'), put('b', 'x', '1'), remove('a', 'x')]);
    expect(difference(after, after)).toEqual([]);
  });
}
