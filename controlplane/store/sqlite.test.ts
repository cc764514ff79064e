import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { storeContract } from '../testing/store-contract.ts';
import { SqliteStore } from './sqlite.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'store-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

storeContract(async () => {
  const path = join(folder, 'store.db');
  return () => SqliteStore.open({ path });
});

describe('the file', () => {
  test('is for its owner only, and outlives the handle', async () => {
    const path = join(folder, 'store.db');
    const store = SqliteStore.open({ path });
    await store.commit([{ type: 'put', node: 'a', key: 'x', value: '1' }]);
    await store.close();
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const again = SqliteStore.open({ path });
    expect(await again.read()).toEqual({ revision: 1, entries: [{ node: 'a', key: 'x', value: '1' }] });
    await again.close();
  });

  test('that is no database is refused and left alone', () => {
    const path = join(folder, 'store.db');
    const text = 'something that a person wrote and wants to keep. '.repeat(50);
    writeFileSync(path, text);
    expect(() => SqliteStore.open({ path })).toThrow(expect.objectContaining({ code: 'damaged' }));
    expect(readFileSync(path, 'utf8')).toBe(text);
  });

  test('of another program, or of a later version, is refused', () => {
    const [other, later] = [join(folder, 'other.db'), join(folder, 'later.db')];
    new DatabaseSync(other).exec('CREATE TABLE theirs (x)');
    new DatabaseSync(later).exec('PRAGMA user_version = 99');
    expect(() => SqliteStore.open({ path: other })).toThrow(expect.objectContaining({ code: 'damaged' }));
    expect(() => SqliteStore.open({ path: later })).toThrow(expect.objectContaining({ code: 'newer' }));
  });

  test('in a folder that does not exist is unavailable', () => {
    const path = join(folder, 'no', 'store.db');
    expect(() => SqliteStore.open({ path })).toThrow(expect.objectContaining({ code: 'unavailable' }));
  });
});

test('what was committed survives a kill at any moment, whole', async () => {
  const path = join(folder, 'store.db');
  const program = `
    import { SqliteStore } from ${JSON.stringify(join(import.meta.dirname, 'sqlite.ts'))};
    const store = SqliteStore.open({ path: ${JSON.stringify(path)} });
    const put = (key, value) => ({ type: 'put', node: 'n', key, value });
    for (let i = (await store.read()).revision + 1; ; i++) {
      await store.commit([put('one', String(i)), put('two', String(i))]);
      process.stdout.write(i + '\\n');
    }`;
  for (let round = 0; round < 5; round++) {
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let reported = '';
    child.stdout.on('data', (chunk: Buffer) => {
      reported += chunk.toString();
    });
    await once(child.stdout, 'data');
    await new Promise(resolve => setTimeout(resolve, 20 + round * 17));
    child.kill('SIGKILL');
    await once(child, 'close');
    const last = Number(/(\d+)\n[^\n]*$/.exec(reported)![1]);
    const store = SqliteStore.open({ path });
    const { revision, entries } = await store.read();
    expect(revision).toBeGreaterThanOrEqual(last);
    expect(entries.map(entry => entry.value)).toEqual([String(revision), String(revision)]);
    await store.close();
  }
});
