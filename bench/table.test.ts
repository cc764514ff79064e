import { expect, test } from 'vitest';
import { formatNumber, markdownTable } from './table.ts';

test.each([
  [0, '0.00'],
  [1.234, '1.23'],
  [12.34, '12.3'],
  [1234.4, '1234'],
  [12_345.6, '12,346'],
  [-12.34, '-12.3'],
  [Number.NaN, '–'],
])('%d is written %s', (value, text) => {
  expect(formatNumber(value)).toBe(text);
});

test('a row for each measured metric, a cell for each system, ratios but to itself', () => {
  const table = markdownTable(
    [
      { round: 0, system: 'ours', values: { rate: 20 }, noise: 0.05 },
      { round: 0, system: 'tun', values: { rate: 10 }, noise: 0.15 },
    ],
    [
      { id: 'rate', label: 'speed', unit: 'Mbit/s', better: 'more' },
      { id: 'cpu', label: 'never measured', unit: 's' },
    ],
    ['ours', 'tun', 'failed'],
    'tun',
  );
  expect(table.split('\n')).toEqual([
    '|                 |         ours |  tun | failed | noise |',
    '|-----------------|-------------:|-----:|-------:|------:|',
    '| speed, Mbit/s ↑ | 20.0 (2.00×) | 10.0 |      – |  0.10 |',
  ]);
});
