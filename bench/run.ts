// One interleaved run: for each round, each test; for each test, each system; every other round backwards.
import { type Measurement, type Options, TESTS } from './measurements.ts';
import { METRICS } from './metrics.ts';
import type { Setting } from './setting.ts';
import type { Sample } from './statistics.ts';
import type { System } from './systems.ts';
import { formatNumber } from './table.ts';

export interface Plan extends Options {
  readonly tests: readonly string[];
  readonly rounds: number;
}

export interface Outcome {
  readonly samples: Sample[];
  /** What went wrong, in words. */
  readonly notes: string[];
}

export const measurementsOf = (tests: readonly string[]): Measurement[] => tests.flatMap(test => TESTS[test] ?? []);

/** @returns about how many seconds a run takes. */
export const estimate = (plan: Plan, systems: number): number =>
  plan.rounds * systems * measurementsOf(plan.tests).reduce((sum, measurement) => sum + measurement.cost(plan), 0);

/** The headline of a measurement: its first metric. */
function headline(values: Readonly<Record<string, number>>): string {
  const metric = METRICS.find(({ id }) => id in values);
  return metric === undefined ? '' : `${formatNumber(values[metric.id]!)} ${metric.unit}`;
}

export async function run(
  setting: Setting,
  systems: readonly System[],
  plan: Plan,
  say: (text: string) => void,
  aborted: AbortSignal,
): Promise<Outcome> {
  const outcome: Outcome = { samples: [], notes: [] };
  const note = (text: string) => {
    outcome.notes.push(text);
    say(text);
  };
  for (let round = 0; round < plan.rounds; round++) {
    const order = round % 2 === 0 ? systems : [...systems].reverse();
    for (const measurement of measurementsOf(plan.tests)) {
      for (const system of order) {
        if (aborted.aborted) return outcome;
        const where = `round ${round + 1}/${plan.rounds}, ${measurement.name}, ${system.name}`;
        try {
          if (system.pids().length === 0) await system.start();
          const { values, noise, errors } = await measurement.run(setting, system, plan);
          outcome.samples.push({ round, system: system.name, values, ...(noise !== undefined && { noise }) });
          say(
            `${where}: ${headline(values)}${noise !== undefined && noise > 0.2 ? ` (noise ${noise.toFixed(2)})` : ''}`,
          );
          if (errors > 0) note(`${where}: ${errors} failed connections`);
        } catch (error) {
          if (aborted.aborted) return outcome;
          note(`${where}: ${(error as Error).message}`);
          // Whatever state the failure left: the next test gets a fresh process.
          await system.stop();
        }
      }
    }
  }
  return outcome;
}
