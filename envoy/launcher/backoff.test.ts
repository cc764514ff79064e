import { expect, test } from 'vitest';
import { Backoff } from './backoff.ts';

test('at once, then 0.25 s doubling up to 30 s', () => {
  const backoff = new Backoff();
  const delays = Array.from({ length: 10 }, () => backoff.ended(0));
  expect(delays).toEqual([0, 250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  expect(backoff.ended(59_999)).toBe(30_000);
});

test('a minute of being ready is forgiven', () => {
  const backoff = new Backoff();
  for (let i = 0; i < 5; i++) backoff.ended(1000);
  expect(backoff.ended(60_000)).toBe(0);
  expect(backoff.ended(0)).toBe(250);
});
