// Static checks: types, lint, direction of imports. Exit code 1 with what is wrong.
import { spawnSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import { wrongImports } from './imports.ts';

const root = resolve(import.meta.dirname, '..');
let failed = false;
for (const [what, command, args] of [
  ['types', 'tsc', ['-p', 'tsconfig.json']],
  ['lint', 'biome', ['check', '--error-on-warnings']],
] as const) {
  const child = spawnSync(join(root, 'node_modules', '.bin', command), args, { cwd: root, stdio: 'inherit' });
  console.log(`${what}: ${child.status === 0 ? 'ok' : 'failed'}`);
  failed ||= child.status !== 0;
}
const wrong = wrongImports();
for (const line of wrong) console.log(line);
console.log(`imports: ${wrong.length === 0 ? 'ok' : 'failed'}`);
process.exitCode = failed || wrong.length > 0 ? 1 : 0;
