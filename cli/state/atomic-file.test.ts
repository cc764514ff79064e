import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type FileSystem, previousOf, removeTemporaries, writeFileAtomic } from './atomic-file.ts';

let directory: string;
let path: string;
beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), 'nexd-state-'));
  path = join(directory, 'state.json');
});
afterEach(() => fs.rmSync(directory, { recursive: true }));

test('writes, replaces, keeps the one before; mode 0600', () => {
  writeFileAtomic(path, 'one');
  expect(fs.existsSync(previousOf(path))).toBe(false);
  writeFileAtomic(path, 'two');
  expect(fs.readFileSync(path, 'utf8')).toBe('two');
  expect(fs.readFileSync(previousOf(path), 'utf8')).toBe('one');
  expect(fs.statSync(path).mode & 0o777).toBe(0o600);
  expect(fs.readdirSync(directory).sort()).toEqual(['state.json', 'state.json.previous']);
});

class Crash extends Error {}

/** The real file system until call number `at`; that one and all later ones do not happen (`crash`) or fail once. */
function failingAt(at: number, how: 'crash' | 'error'): { sys: FileSystem; calls: string[] } {
  const calls: string[] = [];
  const wrap = <F extends (...args: never[]) => unknown>(name: string, call: F): F =>
    ((...args: never[]) => {
      calls.push(name);
      if (how === 'crash' ? calls.length >= at : calls.length === at) {
        throw how === 'crash' ? new Crash() : Object.assign(new Error('disk full'), { code: 'ENOSPC' });
      }
      return call(...args);
    }) as F;
  const sys = {
    openSync: wrap('open', fs.openSync),
    // One byte at a time: a crash can fall between any two.
    writeSync: wrap('write', ((fd: number, bytes: Buffer, from: number) =>
      fs.writeSync(fd, bytes, from, 1)) as typeof fs.writeSync),
    fsyncSync: wrap('fsync', fs.fsyncSync),
    closeSync: wrap('close', fs.closeSync),
    linkSync: wrap('link', fs.linkSync),
    renameSync: wrap('rename', fs.renameSync),
    rmSync: wrap('rm', fs.rmSync),
    readdirSync: wrap('readdir', fs.readdirSync as never),
  } as unknown as FileSystem;
  return { sys, calls };
}

describe('at each step of a write', () => {
  const steps = (() => {
    const probe = fs.mkdtempSync(join(tmpdir(), 'nexd-state-'));
    const file = join(probe, 'state.json');
    writeFileAtomic(file, 'old');
    writeFileAtomic(file, 'older');
    const { sys, calls } = failingAt(Number.POSITIVE_INFINITY, 'error');
    writeFileAtomic(file, 'new text', sys);
    fs.rmSync(probe, { recursive: true });
    return calls;
  })();

  test('the order is: file to disk, then its name, then the directory', () => {
    expect(steps.filter(name => name !== 'write' && name !== 'rm')).toEqual([
      'open',
      'fsync',
      'close',
      'link',
      'rename',
      'open',
      'fsync',
      'close',
    ]);
  });

  for (const how of ['crash', 'error'] as const) {
    test.each(steps.map((name, i) => [i + 1, name] as const))(`${how} at call %i (%s): old or new, whole`, at => {
      writeFileAtomic(path, 'old');
      const { sys } = failingAt(at, how);
      let thrown: unknown;
      try {
        writeFileAtomic(path, 'new text', sys);
      } catch (error) {
        thrown = error;
      }
      const found = fs.readFileSync(path, 'utf8');
      expect(['old', 'new text']).toContain(found);
      // Told as done only when it is; told as failed before the rename only when the old one is there.
      if (thrown === undefined) expect(found).toBe('new text');
      removeTemporaries(path);
      expect(fs.readdirSync(directory).filter(name => name.includes('tmp'))).toEqual([]);
      if (how === 'error') writeFileAtomic(path, 'next');
    });
  }
});
