/**
 * Two stacks and a bad network, by seed; see `testing/simulation.ts` for what is checked.
 *
 *   node companion/netstack/simulate.ts --seeds 1000 --from 1     many, one line per failure and a summary; exit status 1 on failure
 *   node companion/netstack/simulate.ts --seed 77                 one, with a trace of its packets
 */
import { parseArgs } from 'node:util';
import { makeScenario, simulate } from './testing/simulation.ts';

const { values } = parseArgs({
  options: { seeds: { type: 'string' }, from: { type: 'string' }, seed: { type: 'string' } },
});
if (values.seed !== undefined) {
  const scenario = makeScenario(Number(values.seed));
  console.log(JSON.stringify(scenario));
  const outcome = simulate(scenario, line => console.log(line));
  console.log(JSON.stringify(outcome));
  process.exitCode = outcome.ok ? 0 : 1;
} else {
  const from = Number(values.from ?? 1);
  const seeds = Number(values.seeds ?? 1000);
  let failed = 0;
  let packets = 0;
  for (let seed = from; seed < from + seeds; seed++) {
    const outcome = simulate(makeScenario(seed));
    packets += outcome.packets;
    if (outcome.ok) continue;
    failed++;
    console.log(`seed ${seed} failed at ${(outcome.took / 1e6).toFixed(3)} s: ${outcome.error}`);
  }
  console.log(`${seeds} seeds, ${failed} failed, ${packets} packets`);
  process.exitCode = failed === 0 ? 0 : 1;
}
