import { chmodSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { readWgQuick } from './read.ts';

const directory = mkdtempSync(join(tmpdir(), 'nexd-wgquick-'));
afterAll(() => rmSync(directory, { recursive: true }));

const path = (name: string, text: string) => {
  writeFileSync(join(directory, name), text, { mode: 0o600 });
  return join(directory, name);
};
const GOOD = `[Interface]\nPrivateKey = ${Buffer.alloc(32, 1).toString('base64')}\nAddress = 10.0.0.1\n`;

test('a private file has no warning, a readable one has', () => {
  const file = path('good.conf', GOOD);
  expect(readWgQuick(file)).toMatchObject({ ok: true, warnings: [] });
  chmodSync(file, 0o644);
  expect(readWgQuick(file).warnings).toEqual([`${file}: other users may read or write it (mode 644)`]);
});

test('files that cannot be had', () => {
  expect(readWgQuick(join(directory, 'none'))).toMatchObject({
    errors: [`${directory}/none: cannot be read: there is no such file`],
  });
  expect(readWgQuick(directory)).toMatchObject({ errors: [`${directory}: cannot be read: it is a directory`] });
  const file = path('file', GOOD);
  expect(readWgQuick(join(file, 'x'))).toMatchObject({
    errors: [`${file}/x: cannot be read: a part of the path is not a directory`],
  });
  const huge = path('huge', '');
  truncateSync(huge, 33 * 1024 * 1024);
  expect(readWgQuick(huge)).toMatchObject({ errors: [`${huge}: is larger than 33554432 bytes`] });
});
