import { describe, expect, test } from 'vitest';
import { formatAddress, parseAddress } from '../../rules/index.ts';
import { Destinations, RoundRobin } from './destinations.ts';

function resolver() {
  const asked: string[] = [];
  const clock = { us: 0 };
  const destinations = new Destinations(
    host => asked.push(host),
    () => clock.us,
  );
  const seen = (host: string) => destinations.addresses(host).map(formatAddress);
  return { asked, clock, destinations, seen };
}

describe('Destinations', () => {
  test('an address is itself and is not asked for', () => {
    const { asked, destinations, seen } = resolver();
    destinations.keep(['10.0.0.9', 'fd00::9']);
    expect(seen('fd00::9')).toEqual(['fd00::9']);
    expect(asked).toEqual([]);
  });

  test('a name is asked for when its rule comes, and once until the answer is old', () => {
    const { asked, clock, destinations, seen } = resolver();
    destinations.keep(['db.example']);
    expect(asked).toEqual(['db.example']);
    expect(seen('db.example')).toEqual([]);
    destinations.resolved('db.example', [parseAddress('10.0.0.9')!, parseAddress('10.0.0.8')!]);
    clock.us = 10_000_000;
    expect(seen('db.example')).toEqual(['10.0.0.9', '10.0.0.8']);
    expect(asked.length).toBe(1);
    clock.us++;
    expect(seen('db.example')).toEqual(['10.0.0.9', '10.0.0.8']);
    expect(asked).toEqual(['db.example', 'db.example']);
  });

  test('a failed look-up leaves what was known; a removed rule forgets it', () => {
    const { destinations, seen } = resolver();
    destinations.keep(['db.example']);
    destinations.resolved('db.example', [parseAddress('10.0.0.9')!]);
    destinations.resolved('db.example', []);
    expect(seen('db.example')).toEqual(['10.0.0.9']);
    destinations.keep([]);
    destinations.resolved('db.example', [parseAddress('10.0.0.7')!]);
    expect(seen('db.example')).toEqual([]);
  });

  test('a destination is included by its address, its name, or an address of its name', () => {
    const { destinations } = resolver();
    const rules = [
      { host: '10.0.0.9', port: 80 },
      { host: 'db.example', port: 5432 },
    ];
    destinations.keep(['db.example']);
    destinations.resolved('db.example', [parseAddress('fd00::5')!]);
    const includes = (host: string, port: number) => destinations.includes(rules, { host, port });
    expect(includes('10.0.0.9', 80)).toBe(true);
    expect(includes('::ffff:10.0.0.9', 80)).toBe(true);
    expect(includes('10.0.0.9', 81)).toBe(false);
    expect(includes('10.0.0.8', 80)).toBe(false);
    expect(includes('db.example', 5432)).toBe(true);
    expect(includes('fd00:0::5', 5432)).toBe(true);
    expect(includes('fd00::5', 80)).toBe(false);
    expect(includes('other.example', 5432)).toBe(false);
  });
});

test('round robin begins with the second, as Nexodus does, and goes with the list', () => {
  const turn = new RoundRobin();
  const abc = ['a', 'b', 'c'];
  expect([1, 2, 3, 4].map(() => turn.next(abc).join(''))).toEqual(['bca', 'cab', 'abc', 'bca']);
  expect(turn.next(['x'])).toEqual(['x']);
  expect(turn.next([])).toEqual([]);
});
