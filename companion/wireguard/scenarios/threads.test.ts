/** The two halves on two threads: everything that passes between them takes its time, in order. */
import { describe, expect, test } from 'vitest';
import { numbered } from '../testing/packets.ts';
import { numbers, pair } from '../testing/world.ts';

const toB = (n: number) => numbered('10.0.0.1', '10.0.0.2', n);
const toA = (n: number) => numbered('10.0.0.2', '10.0.0.1', n);

// longer than the link's 10 ms as well: then an answer is back before the half that must know of it does
describe.each([1, 8, 40])('%i ms apart', hop => {
  const options = { a: { hop }, b: { hop }, bothEndpoints: true };

  test('H-1 a handshake and the data that waited for it', () => {
    const { world, a, b } = pair(options);
    for (let i = 0; i < 10; i++) world.send(a, toB(i));
    world.run(1000);
    world.send(b, toA(1));
    world.run(100);
    expect(world.trace()).toBe(`a:148 b:92 ${'a:64 '.repeat(10)}b:64`);
    expect(numbers(b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(numbers(a)).toEqual([1]);
  });

  test('H-2 a stream over five sessions loses nothing', () => {
    const { world, a, b } = pair(options);
    for (let i = 0; i < 3000; i++) {
      world.send(a, toB(i));
      if (i > 10) world.send(b, toA(i));
      world.run(200);
    }
    world.run(1000);
    expect(world.sent(a, 148).length).toBeGreaterThanOrEqual(5);
    expect(numbers(b)).toEqual(Array.from({ length: 3000 }, (_, i) => i));
    expect(numbers(a)).toEqual(Array.from({ length: 2989 }, (_, i) => i + 11));
  });

  test('H-3 both at once', () => {
    for (let delay = 0; delay < 100; delay += 9) {
      const { world, a, b } = pair({ ...options, seed: delay });
      world.send(a, toB(1));
      world.at(world.now + delay, () => world.send(b, toA(2)));
      world.run(1500);
      expect([numbers(a), numbers(b)], `${delay} ms`).toEqual([[2], [1]]);
    }
  });

  test('D-12 forgotten at 540 s, with every index released', () => {
    const { world, a, b } = pair(options);
    world.send(a, toB(1));
    world.run(600_000);
    for (const node of [a, b]) {
      const count = (type: string) => node.engine.events.filter(e => e.type === type).length;
      expect([count('session'), count('release'), count('forget')]).toEqual([1, 1, 1]);
    }
  });
});
