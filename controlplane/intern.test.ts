import { expect, test } from 'vitest';
import { Interner } from './intern.ts';
import { cluster } from './testing/resources.ts';

test('equal content is one object, different content is not', () => {
  const interner = new Interner();
  const first = interner.intern(cluster('a'));
  expect(interner.intern(cluster('a'))).toBe(first);
  expect(interner.intern(cluster('a', 2))).not.toBe(first);
  expect(interner.intern(cluster('b'))).not.toBe(first);
  expect(interner.size).toBe(3);
});
