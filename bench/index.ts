// `npm run bench`: measures ours beside its peers, in one interleaved run, in network namespaces of its own. Needs root.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { whyNoNamespaces } from '../test/harness/network.ts';
import { installTestTools, which } from '../test/tools.ts';
import { barChart } from './chart.ts';
import { buildGoPrograms } from './golang.ts';
import { TESTS } from './measurements.ts';
import { CHARTS, METRICS } from './metrics.ts';
import { estimate, type Outcome, type Plan, run } from './run.ts';
import { makeSetting, type Setting } from './setting.ts';
import { figure } from './statistics.ts';
import { DESCRIPTIONS, makeSystem, SYSTEM_NAMES, type System, type SystemName, YARDSTICK } from './systems.ts';
import { markdownTable } from './table.ts';

const listOf =
  <T extends string>(allowed: readonly T[]) =>
  (text: string): T[] =>
    text.split(',').map(word => {
      const found = allowed.find(name => name === word);
      if (found === undefined) throw new InvalidArgumentError(`'${word}' is none of ${allowed.join(', ')}`);
      return found;
    });

const numberFrom = (least: number, most: number) => (text: string) => {
  const value = Number(text);
  if (!(value >= least && value <= most)) throw new InvalidArgumentError(`not a number from ${least} to ${most}`);
  return value;
};

interface Flags extends Plan {
  readonly systems: SystemName[];
  readonly json?: string;
  readonly charts: string;
  readonly gso: boolean;
}

const names = Object.keys(TESTS);
const flags = new Command('npm run bench --')
  .description(
    'Measures nexd beside its peers, all up at once, over WireGuard between two network namespaces. Needs root.',
  )
  .option('--systems <names>', SYSTEM_NAMES.join(', '), listOf(SYSTEM_NAMES), [...SYSTEM_NAMES])
  .option('--tests <names>', names.join(', '), listOf(names), names)
  .option('--rounds <n>', 'rounds; figures are their medians', numberFrom(1, 100), 3)
  .option('--seconds <n>', 'length of a measurement', numberFrom(0.5, 600), 3)
  .option('--idle <n>', 'connections of the memory test', numberFrom(1, 20_000), 1000)
  .option('--json <file>', 'every sample, too')
  .option('--charts <folder>', 'where the charts go', join(import.meta.dirname, 'charts'))
  .option('--no-gso', 'a link without segmentation offload (needs ethtool)')
  .parse()
  .opts<Flags>();

/** What a process has open beside its connections. */
const SPARE_FILES = 500;

const started = performance.now();
const say = (text: string) =>
  void process.stderr.write(`bench: ${((performance.now() - started) / 1000).toFixed(0).padStart(4)} s  ${text}\n`);

function refuse(reason: string): never {
  process.stderr.write(`bench: ${reason}\n`);
  process.exit(1);
}

/** Two cores and many files, for this process and so for all that it starts. */
function limitMachine(): void {
  if (cpus().length > 2) execFileSync('taskset', ['-cp', '0,1', String(process.pid)], { stdio: 'ignore' });
  try {
    execFileSync('prlimit', ['--pid', String(process.pid), '--nofile=65536:65536'], { stdio: 'ignore' });
  } catch {
    // Not allowed here: what there is may do.
  }
  const files = Number(/^Max open files +\d+ +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? Infinity);
  // A proxy holds two files for each; an Envoy that has none left spins on accept() and spoils what is measured beside it.
  const most = Math.floor((files - SPARE_FILES) / 2);
  if (flags.idle > most) refuse(`--idle ${flags.idle}: with ${files} open files allowed, at most ${most}`);
}

function describeRun(): string {
  const machine = `${cpus()[0]?.model ?? '?'}, 2 of ${cpus().length} cores, Linux ${release()}, Node ${process.version}`;
  const rounds = `${flags.rounds} round${flags.rounds === 1 ? '' : 's'}, ${flags.seconds} s a measurement`;
  return `${machine}; ${rounds}; ${flags.idle} idle connections; link MTU 1500${flags.gso ? '' : ' without segmentation offload'}`;
}

function report({ samples, notes }: Outcome): void {
  const systems = flags.systems;
  console.log(`\n${describeRun()}\n`);
  for (const system of systems) console.log(`- ${system}: ${DESCRIPTIONS[system]}`);
  console.log(`\nMedians; in brackets the ratio to ${YARDSTICK}, taken round by round. ↑ more is better, ↓ less is.`);
  console.log('CPU is that of all processes of a system; noise is cores used by others meanwhile.\n');
  console.log(markdownTable(samples, METRICS, systems, YARDSTICK));
  for (const note of notes) console.log(`\nNote: ${note}`);
  if (flags.json !== undefined) {
    const date = new Date().toISOString();
    const { rounds, seconds, idle, gso, tests } = flags;
    const options = { systems, tests, rounds, seconds, idle, gso };
    writeFileSync(
      flags.json,
      `${JSON.stringify({ date, run: describeRun(), options, yardstick: YARDSTICK, metrics: METRICS, samples, notes }, null, 1)}\n`,
    );
  }
  mkdirSync(flags.charts, { recursive: true });
  for (const { file, title, metrics } of CHARTS) {
    const groups = METRICS.filter(({ id }) => metrics.includes(id) && samples.some(({ values }) => id in values)).map(
      ({ id, label, unit }) => ({
        label,
        unit,
        bars: systems.map(system => ({
          label: system,
          value: figure(samples, id, system, YARDSTICK)?.value ?? Number.NaN,
        })),
      }),
    );
    if (groups.length > 0) writeFileSync(join(flags.charts, file), barChart(title, groups));
  }
}

async function main(): Promise<void> {
  const why = whyNoNamespaces();
  if (why !== undefined) refuse(why);
  limitMachine();
  const environment = await installTestTools();
  Object.assign(process.env, environment);
  if (which('wireguard-go') === undefined || which('wg') === undefined) refuse('needs wireguard-go and wg');
  if (!flags.gso && which('ethtool') === undefined) refuse('--no-gso needs ethtool');
  buildGoPrograms(say);

  const abort = new AbortController();
  const stop = (reason: string) => {
    if (abort.signal.aborted) return;
    say(`${reason}: stopping after this measurement`);
    process.exitCode = 1;
    abort.abort();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop(signal));
  const seconds = estimate(flags, flags.systems.length);
  const limit = setTimeout(() => stop('took twice its time'), (2 * seconds + 120) * 1000);
  say(`${flags.systems.length} systems, ${flags.rounds} rounds: about ${Math.ceil(seconds / 60)} min`);

  let setting: Setting | undefined;
  const systems: System[] = [];
  try {
    setting = await makeSetting({ noGso: !flags.gso });
    systems.push(...flags.systems.map((name, index) => makeSystem(setting!, name, index)));
    for (const system of systems) {
      if (abort.signal.aborted) return;
      // One that does not start is tried again at its first measurement, which then notes the reason.
      await system.start().catch(error => say(`${system.name}: ${(error as Error).message}`));
    }
    const outcome = await run(setting, systems, flags, say, abort.signal);
    report(outcome);
    if (outcome.notes.length > 0) process.exitCode = 1;
  } finally {
    clearTimeout(limit);
    await Promise.allSettled(systems.map(system => system.stop()));
    await setting?.close();
  }
}

try {
  await main();
} catch (error) {
  refuse((error as Error).message);
}
