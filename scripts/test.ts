// `npm test`: static checks, then every test; closes with one plain line of counts. Arguments are passed to vitest (file names, -t NAME).
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { installTestTools } from '../test/tools.ts';

interface Report {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  success: boolean;
  testResults: {
    name: string;
    status: string;
    message: string;
    assertionResults: { status: string; fullName: string }[];
  }[];
}

const root = resolve(import.meta.dirname, '..');
const args = process.argv.slice(2);
const bin = (name: string) => join(root, 'node_modules', '.bin', name);
const reportFile = join(root, 'build', 'test-report.json');
mkdirSync(join(root, 'build'), { recursive: true });

const environment = await installTestTools();
let failed = 0;
if (args.length === 0) {
  const check = spawnSync(process.execPath, [join(root, 'scripts', 'check.ts')], {
    cwd: root,
    stdio: 'inherit',
    env: environment,
  });
  if (check.status !== 0) failed++;
}
const vitest = spawnSync(
  bin('vitest'),
  ['run', '--reporter=default', '--reporter=json', `--outputFile.json=${reportFile}`, ...args],
  { cwd: root, stdio: 'inherit', env: environment },
);
let passed = 0;
let skipped = 0;
if (existsSync(reportFile)) {
  const report = JSON.parse(readFileSync(reportFile, 'utf8')) as Report;
  passed = report.numPassedTests;
  skipped = report.numPendingTests;
  failed += report.numFailedTests;
  for (const file of report.testResults) {
    if (file.status === 'failed' && file.assertionResults.every(test => test.status !== 'failed')) failed++;
    for (const test of file.assertionResults)
      if (test.status === 'skipped' || test.status === 'pending') console.log(`SKIPPED: ${test.fullName}`);
  }
}
if (vitest.status !== 0 && failed === 0) failed++;
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exitCode = failed === 0 ? 0 : 1;
