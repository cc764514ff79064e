import { expect, test } from 'vitest';
import { IndexTable } from './index-table.ts';
import { SeededRandom } from './testing/random.ts';

test('agrees with a Map over random work, clusters and wrap-around included', () => {
  const seed = Date.now() >>> 0;
  const random = new SeededRandom(seed);
  const table = new IndexTable<{ n: number }>();
  const map = new Map<number, { n: number }>();
  // indices that fall on few slots make long clusters; 0 and 2^32 - 1 are legal indices
  const index = () => random.pick([0, 1, 15, 0x7fff_ffff, 0xffff_fff0, 0xffff_ffff]);
  for (let i = 0; i < 50_000; i++) {
    const key = random.chance(0.3) ? index() : (random.below(64) * 0x0400_0001) >>> 0;
    if (random.chance(0.45)) {
      const value = { n: i };
      table.set(key, value);
      map.set(key, value);
    } else if (random.chance(0.5)) {
      table.delete(key);
      map.delete(key);
    }
    const probe = (random.below(64) * 0x0400_0001) >>> 0;
    if (table.get(probe) !== map.get(probe) || table.get(key) !== map.get(key)) throw new Error(`seed ${seed}: ${i}`);
  }
  expect(table.size).toBe(map.size);
});
