import { expect, test } from 'vitest';
import { Counters } from './counters.ts';

test('a slot and its name are the same counter, also after the table has grown', () => {
  const counters = new Counters();
  const first = counters.slot('first');
  for (let i = 0; i < 200; i++) counters.count(`other_${i}`, i);
  counters.add(first);
  counters.add(first, 4);
  counters.count('first');
  expect(counters.get('first')).toBe(6);
  expect(counters.get('other_150')).toBe(150);
  expect(counters.get('never')).toBe(0);
});

test('a snapshot is sorted, and shows a named slot before it has counted', () => {
  const counters = new Counters();
  counters.slot('b');
  counters.count('a', 2);
  expect(Object.entries(counters.snapshot())).toEqual([
    ['a', 2],
    ['b', 0],
  ]);
});
