import { expect, test } from 'vitest';
import { barChart } from './chart.ts';

const bars = (svg: string) =>
  [...svg.matchAll(/<rect [^>]*width="(\d+)"[^>]*fill="([^"]+)"/g)].map(([, width, fill]) => ({
    width: Number(width),
    fill,
  }));

test('bars are as long as their values, each group on its own scale, a system in one colour', () => {
  const svg = barChart('Speed', [
    {
      label: 'up',
      unit: 'Mbit/s',
      bars: [
        { label: 'a', value: 1000 },
        { label: 'b', value: 500 },
      ],
    },
    {
      label: 'down',
      unit: 's',
      bars: [
        { label: 'a', value: Number.NaN },
        { label: 'b', value: 0.01 },
      ],
    },
  ]);
  const [first, second, third, ...rest] = bars(svg);
  expect(rest).toEqual([]);
  expect(first!.width).toBe(2 * second!.width);
  expect(third!.width).toBe(first!.width);
  expect(third!.fill).toBe(second!.fill);
  expect(first!.fill).not.toBe(second!.fill);
  expect(svg).toContain('>1000<');
  expect(svg).toContain('>down, s<');
});

test('texts are escaped, and nothing but finite numbers stands in it', () => {
  const svg = barChart('a < b & "c"', [{ label: '<x>', unit: 'µs', bars: [{ label: 'z', value: 0 }] }]);
  expect(svg).toContain('a &lt; b &amp; &quot;c&quot;</text>');
  expect(svg).not.toContain('<x>');
  expect(svg).not.toMatch(/NaN|Infinity|undefined/);
});

test('every element is closed', () => {
  const svg = barChart('t', [{ label: 'g', unit: 'u', bars: [{ label: 'b', value: 3 }] }]);
  const open: string[] = [];
  for (const [, slash, name, rest] of svg.matchAll(/<(\/?)(\w+)([^>]*)>/g)) {
    if (slash === '/') expect(open.pop()).toBe(name);
    else if (!rest!.endsWith('/')) open.push(name!);
  }
  expect(open).toEqual([]);
});
