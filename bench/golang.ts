// Builds the two Go programs of the bench: the load, and the peer on gVisor's TCP/IP.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { installGo } from '../test/tools.ts';

const build = resolve(import.meta.dirname, '..', 'build');
export const loadProgram = join(build, 'bench', 'load');
export const netstackProgram = join(build, 'bench', 'netstack');

function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): void {
  const child = spawnSync(command, args, { cwd: import.meta.dirname, encoding: 'utf8', env });
  if (child.status !== 0)
    throw new Error(
      `${command} ${args.join(' ')} failed:\n${child.stdout ?? ''}${child.stderr ?? child.error?.message}`,
    );
}

/** @throws when there is no Go and pip cannot bring one, or when a build fails. */
export function buildGoPrograms(say: (text: string) => void): void {
  const go = installGo();
  if (go === undefined) throw new Error('no Go on PATH, and pip could not bring one');
  say('building the load and the netstack peer ...');
  mkdirSync(join(build, 'bench'), { recursive: true });
  run(go, ['build', '-buildvcs=false', '-o', `${join(build, 'bench')}/`, './load', './netstack'], {
    ...process.env,
    GOTOOLCHAIN: 'local',
    HOME: process.env['HOME'] ?? build,
  });
}
