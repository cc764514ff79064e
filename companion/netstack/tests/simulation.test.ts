import { describe, expect, test } from 'vitest';
import { fuzz } from '../testing/fuzzing.ts';
import { makeScenario, simulate } from '../testing/simulation.ts';

const from = Number(process.env['SEED'] ?? 1);
const seeds = Number(process.env['SEEDS'] ?? 300);

describe(`two stacks, a bad network, SEED=${from} SEEDS=${seeds}`, () => {
  // One more command: node companion/netstack/simulate.ts --seed N
  test.each(Array.from({ length: 10 }, (_, i) => i))('slice %i', slice => {
    for (let seed = from + slice; seed < from + seeds; seed += 10) {
      const outcome = simulate(makeScenario(seed));
      if (!outcome.ok) expect.fail(`seed ${seed}: ${outcome.error}`);
    }
  });
});

describe('hostile packets', () => {
  test.each(Array.from({ length: 15 }, (_, i) => from + i))('seed %i', seed => {
    expect(fuzz(seed, 3000).received).toBeGreaterThan(1000);
  });
});
