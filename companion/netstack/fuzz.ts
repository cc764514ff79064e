/**
 * Hostile packets by seed, see `testing/fuzzing.ts`.
 *
 *   node companion/netstack/fuzz.ts [--runs 100] [--from 1] [--packets 5000]
 */
import { parseArgs } from 'node:util';
import { fuzz } from './testing/fuzzing.ts';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '100' },
    from: { type: 'string', default: '1' },
    packets: { type: 'string', default: '5000' },
  },
});
const from = Number(values.from);
let failed = 0;
let received = 0;
for (let seed = from; seed < from + Number(values.runs); seed++) {
  try {
    received += fuzz(seed, Number(values.packets)).received;
  } catch (error) {
    failed++;
    console.log(`seed ${seed}: ${error instanceof Error ? error.stack : String(error)}`);
  }
}
console.log(`${values.runs} runs, ${failed} failed, ${received} packets taken in`);
process.exitCode = failed === 0 ? 0 : 1;
