import { expect, test } from 'vitest';
import { TESTS } from './measurements.ts';
import { CHARTS, METRICS } from './metrics.ts';
import { measurementsOf } from './run.ts';

const ids = METRICS.map(({ id }) => id);

test('metrics have names of their own, and each belongs to a measurement', () => {
  expect(new Set(ids).size).toBe(ids.length);
  const measurements = measurementsOf(Object.keys(TESTS)).map(({ name }) => name);
  expect(new Set(ids.map(id => id.split('.')[0]))).toEqual(new Set(measurements));
});

test('charts draw metrics that exist', () => {
  for (const { metrics } of CHARTS) expect(ids).toEqual(expect.arrayContaining([...metrics]));
});
