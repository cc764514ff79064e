import { expect, test } from 'vitest';
import { figure, median, noiseOf, type Sample } from './statistics.ts';

test('median: order does not matter, of two middle values their mean, of none no number', () => {
  expect(median([9, 1, 5])).toBe(5);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([10, 9, 100])).toBe(10);
  expect(median([])).toBeNaN();
});

const samples: Sample[] = [
  { round: 0, system: 'a', values: { m: 10 }, noise: 0.1 },
  { round: 0, system: 'y', values: { m: 5 }, noise: 0.3 },
  { round: 1, system: 'a', values: { m: 300 }, noise: 0.2 },
  { round: 1, system: 'y', values: { m: 100 } },
  { round: 2, system: 'a', values: { m: 40 } },
  { round: 2, system: 'y', values: { other: 1 }, noise: 9 },
  { round: 3, system: 'y', values: { m: 0 } },
];

test('the ratio is the median of the rounds that both have, not the ratio of medians', () => {
  // Rounds 0 and 1: 2 and 3. The ratio of medians would be 40 / 5.
  expect(figure(samples, 'm', 'a', 'y')).toEqual({ value: 40, ratio: 2.5 });
  expect(figure(samples, 'm', 'y', 'y')?.ratio).toBe(1);
});

test('what was not measured is absent, not zero', () => {
  expect(figure(samples, 'm', 'b', 'y')).toBeUndefined();
  expect(figure(samples, 'm', 'a', 'b')).toEqual({ value: 40 });
  expect(figure(samples, 'other', 'a', 'y')).toBeUndefined();
});

test('noise is of the samples that hold the metric', () => {
  expect(noiseOf(samples, 'm')).toBeCloseTo(0.2);
  expect(noiseOf(samples, 'other')).toBe(9);
  expect(noiseOf(samples, 'none')).toBeUndefined();
});
