import { expect, test } from 'vitest';
import { ImpairedLink } from './impairment.ts';

const fates = (seed: number, o: ConstructorParameters<typeof ImpairedLink>[1]) => {
  const link = new ImpairedLink(seed, o);
  return Array.from({ length: 10_000 }, () => link.pass(1000));
};

test('the same seed gives the same fates, another seed others', () => {
  const o = { drop: 0.1, duplicate: 0.1, corrupt: 0.1, reorder: 0.1, jitterMs: 5 };
  expect(fates(1, o)).toEqual(fates(1, o));
  expect(fates(1, o)).not.toEqual(fates(2, o));
});

test('chances are met within 2 points of a hundred', () => {
  const passed = fates(7, { drop: 0.3, duplicate: 0.2, corrupt: 0.1, reorder: 0.05 });
  const share = (count: number, of: number) => count / of;
  expect(share(passed.filter(copies => copies.length === 0).length, 10_000)).toBeCloseTo(0.3, 1);
  const arrived = passed.filter(copies => copies.length > 0);
  expect(share(arrived.filter(copies => copies.length === 2).length, arrived.length)).toBeCloseTo(0.2, 1);
  expect(share(arrived.filter(copies => copies[0]!.flipBit >= 0).length, arrived.length)).toBeCloseTo(0.1, 1);
  expect(share(arrived.filter(copies => copies[0]!.behind > 0).length, arrived.length)).toBeCloseTo(0.05, 1);
});

test('changing one chance leaves the other fates alone', () => {
  const one = fates(3, { drop: 0.1, jitterMs: 5 });
  const two = fates(3, { drop: 0.1, jitterMs: 5, duplicate: 0.5 });
  expect(two.map(copies => copies[0])).toEqual(one.map(copies => copies[0]));
});

test('a datagram over the link MTU is dropped', () => {
  const link = new ImpairedLink(1, { mtu: 1280 });
  expect(link.pass(1280)).toHaveLength(1);
  expect(link.pass(1281)).toHaveLength(0);
});
