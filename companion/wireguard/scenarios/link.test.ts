/** Two engines over a link that misbehaves: whatever it does, packets arrive at most once, unchanged, from whom they say. */
import { describe, expect, test } from 'vitest';
import { numbered, numberOf } from '../testing/packets.ts';
import { type Fate, numbers, pair, type World } from '../testing/world.ts';

const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
const where = `seed ${seed}`;

interface Trouble {
  readonly fate: (world: World) => Fate;
  readonly mangle?: (world: World, bytes: Uint8Array) => Uint8Array;
  /** Share of packets that must arrive at the least. */
  readonly least: number;
  readonly rebindEvery?: number;
}

const troubles: Record<string, Trouble> = {
  'a third lost': { fate: w => (w.random.chance(1 / 3) ? [] : [20]), least: 0.5 },
  'half duplicated': { fate: w => (w.random.chance(0.5) ? [20, 20 + w.random.below(3000)] : [20]), least: 1 },
  'heavy reordering': { fate: w => [1 + w.random.below(4000)], least: 0.95 },
  'a tenth corrupted': {
    fate: () => [20],
    mangle: (w, bytes) => {
      if (w.random.chance(0.1) && bytes.length > 0) bytes[w.random.below(bytes.length)]! ^= 1 << w.random.below(8);
      return bytes;
    },
    least: 0.8,
  },
  truncation: {
    fate: () => [20],
    mangle: (w, bytes) => (w.random.chance(0.1) ? bytes.subarray(0, w.random.below(bytes.length)) : bytes),
    least: 0.8,
  },
  // each time, what is under way to the old port is lost
  'a new port every 5 s': { fate: () => [20], rebindEvery: 5000, least: 0.85 },
  'all of it': {
    fate: w => (w.random.chance(0.1) ? [] : w.random.chance(0.1) ? [20, 700] : [1 + w.random.below(300)]),
    mangle: (w, bytes) => {
      if (w.random.chance(0.05)) bytes[w.random.below(bytes.length)]! ^= 1 << w.random.below(8);
      return bytes;
    },
    rebindEvery: 20_000,
    least: 0.6,
  },
};

describe.each(Object.entries(troubles))('%s', (_, trouble) => {
  test('ten minutes both ways', () => {
    const { world, a, b } = pair({ seed, bothEndpoints: true });
    world.fate = () => trouble.fate(world);
    if (trouble.mangle) world.mangle = bytes => trouble.mangle!(world, bytes);
    const COUNT = 1200;
    for (let i = 0; i < COUNT; i++) {
      if (trouble.rebindEvery !== undefined && (i * 500) % trouble.rebindEvery === 0) world.rebind(a);
      world.send(a, numbered('10.0.0.1', '10.0.0.2', i, 4 + (i % 90)));
      world.send(b, numbered('fd00::2', 'fd00::1', i, 4 + (i % 70)));
      world.run(500);
    }
    world.run(10_000);
    for (const node of [a, b]) {
      const arrived = numbers(node);
      expect(new Set(arrived).size, `${where}: no packet twice`).toBe(arrived.length);
      expect(arrived.length, where).toBeGreaterThanOrEqual(trouble.least * COUNT);
      for (const { packet } of node.engine.delivered) {
        const n = numberOf(packet);
        const sent =
          node === b
            ? numbered('10.0.0.1', '10.0.0.2', n, 4 + (n % 90))
            : numbered('fd00::2', 'fd00::1', n, 4 + (n % 70));
        if (Buffer.compare(packet, sent) !== 0) throw new Error(`${where}: packet ${n} has changed`);
      }
      const initiations = world.sent(node, 148).map(d => d.at);
      for (let i = 1; i < initiations.length; i++) {
        expect(initiations[i]! - initiations[i - 1]!, `${where}: H-12`).toBeGreaterThanOrEqual(5000);
      }
    }
  });
});

test('A link dead for three minutes: traffic is back within one retransmission of its return', () => {
  const { world, a, b } = pair({ seed });
  world.send(a, numbered('10.0.0.1', '10.0.0.2', 0));
  world.run(1000);
  world.fate = () => [];
  for (let i = 1; i <= 180; i++) {
    world.send(a, numbered('10.0.0.1', '10.0.0.2', i));
    world.run(1000);
  }
  world.fate = () => [20];
  world.run(5400);
  world.send(a, numbered('10.0.0.1', '10.0.0.2', 999));
  world.run(100);
  expect(numbers(b).at(-1)).toBe(999);
});
