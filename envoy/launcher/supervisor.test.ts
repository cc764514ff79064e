import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isatty } from 'node:tty';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { bootstrap } from '../bootstrap.ts';
import { freePort } from '../testing/net.ts';
import { envoyBinary } from '../testing/validate.ts';
import { EnvoyAdmin, EnvoyAdminError } from './admin.ts';
import { EnvoySupervisor, type SupervisorOptions } from './supervisor.ts';

let folder: string;
let supervisor: EnvoySupervisor | undefined;
let log: string[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'nx-'));
  log = [];
});
afterEach(async () => {
  await supervisor?.stop();
  supervisor = undefined;
  rmSync(folder, { recursive: true });
});

function supervise(configuration: object, options: Partial<SupervisorOptions> = {}): EnvoySupervisor {
  const configPath = join(folder, 'envoy.json');
  writeFileSync(configPath, JSON.stringify(configuration));
  supervisor = new EnvoySupervisor({
    ...{ binary: envoyBinary, configPath, adminSocket: join(folder, 'admin.sock'), concurrency: 1 },
    log: (level, message) => log.push(`${level} ${message}`),
    ...options,
  });
  return supervisor;
}

/** A bootstrap without a control plane, with a listener. */
function configuration(port: number) {
  const base = bootstrap({ nodeId: 'n', xdsSocket: join(folder, 'xds.sock'), adminSocket: join(folder, 'admin.sock') });
  const type = 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy';
  const filter = { name: 'tcp_proxy', typed_config: { '@type': type, stat_prefix: 'x', cluster: 'nexodus-xds' } };
  const listener = {
    ...{ name: 'one', filter_chains: [{ filters: [filter] }] },
    address: { socket_address: { address: '127.0.0.1', port_value: port } },
  };
  const fixed = { ...(base as { static_resources: object }).static_resources, listeners: [listener] };
  return { ...base, dynamic_resources: {}, static_resources: fixed };
}

test('starts, answers, is started again after a crash, stops', async () => {
  const port = await freePort();
  const envoy = supervise(configuration(port));
  envoy.start();
  expect(() => envoy.start()).toThrow('started before');
  await envoy.untilReady(AbortSignal.timeout(10_000));
  expect(await envoy.admin.listeners()).toEqual([{ name: 'one', addresses: [`127.0.0.1:${port}`] }]);
  expect(await envoy.admin.serverInfo()).toMatchObject({ state: 'LIVE', concurrency: 1 });
  expect(await envoy.admin.stats('^server\\.live$')).toEqual(new Map([['server.live', 1]]));
  expect(await envoy.admin.prometheus()).toContain('envoy_server_live{} 1');
  expect(JSON.stringify(await envoy.admin.configDump('static_listeners'))).toContain('"one"');
  expect(JSON.stringify(await envoy.admin.clusters())).toContain('nexodus-xds');

  await envoy.setLogLevel('debug');
  await envoy.admin.setLogLevels({ all: 'debug', wasm: 'info' });
  await expect.poll(() => log.some(line => line.startsWith('debug '))).toBe(true);

  const first = envoy.pid!;
  const restarted = once(envoy, 'restart');
  const exited = once(envoy, 'exit');
  process.kill(first, 'SIGKILL');
  expect((await exited)[0]).toMatchObject({ code: null, signal: 'SIGKILL' });
  expect((await restarted)[0]).toEqual({ delayMs: 0, failures: 1 });
  await envoy.untilReady(AbortSignal.timeout(10_000));
  expect(envoy.pid).not.toBe(first);
  expect(log).toContain('error Envoy ended by SIGKILL');

  const second = envoy.pid!;
  // The session (proc(5), stat): its own where a terminal's Ctrl-C would else reach it, ours where there is no terminal.
  const sessionOf = (pid: number) => readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')[3];
  const terminal = [0, 1, 2].some(fd => isatty(fd));
  expect(sessionOf(second)).toBe(terminal ? String(second) : sessionOf(process.pid));
  await envoy.stop();
  expect(() => process.kill(second, 0)).toThrow('ESRCH');
  expect(envoy.pid).toBeUndefined();
  expect(await envoy.admin.ready()).toBe(false);
  expect(log.filter(line => /^(error|warn)/.test(line))).toEqual(['error Envoy ended by SIGKILL']);
});

test('a configuration that Envoy refuses is told with the reason, and tried again ever later', async () => {
  const envoy = supervise({ static_resources: { listeners: [{ name: 'x', filter_chains: [{}] }] } });
  const delays: number[] = [];
  envoy.on('restart', ({ delayMs }) => delays.push(delayMs));
  envoy.start();
  await expect(envoy.untilReady()).rejects.toThrow(/^Envoy ended with code 1: .*address/s);
  while (delays.length < 3) await once(envoy, 'restart');
  expect(delays).toEqual([0, 250, 500]);
  await envoy.stop();
});

test('a binary that is not there is an end like any other', async () => {
  const envoy = supervise({}, { binary: join(folder, 'none') });
  envoy.start();
  await expect(envoy.untilReady()).rejects.toThrow(/^Envoy ended at its start: spawn .* ENOENT$/);
});

test('one that does not end is killed', async () => {
  // A stand-in: the real Envoy always ends.
  const binary = join(folder, 'deaf');
  writeFileSync(binary, '#!/bin/sh\ntrap "" TERM\necho up >&2\nwhile :; do sleep 0.05; done\n', { mode: 0o755 });
  const envoy = supervise({}, { binary, stopMs: 100 });
  envoy.start();
  await expect.poll(() => log).toContain('warn up');
  const { pid } = envoy;
  const ready = expect(envoy.untilReady()).rejects.toThrow('Envoy was stopped');
  await envoy.stop();
  await ready;
  expect(() => process.kill(pid!, 0)).toThrow('ESRCH');
  expect(log).toContain('warn Envoy did not end in time and was killed');
});

test('when we are killed, so is Envoy', async () => {
  supervise(configuration(await freePort()));
  const url = new URL('./supervisor.ts', import.meta.url).href;
  const options = {
    binary: envoyBinary,
    configPath: join(folder, 'envoy.json'),
    adminSocket: join(folder, 'admin.sock'),
  };
  const code = `
    import { EnvoySupervisor } from ${JSON.stringify(url)};
    const envoy = new EnvoySupervisor({ ...${JSON.stringify(options)}, concurrency: 1, log() {} });
    envoy.start();
    await envoy.untilReady();
    console.log(envoy.pid);`;
  const parent = spawn(process.execPath, ['--input-type=module', '--eval', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const pid = Number(String((await once(parent.stdout, 'data'))[0]));
  expect(process.kill(pid, 0)).toBe(true);
  parent.kill('SIGKILL');
  const state = () => {
    try {
      // An orphan that has ended stays as a zombie where nobody reaps (proc(5), stat).
      return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]![0];
    } catch {
      return 'gone';
    }
  };
  await expect.poll(() => ['gone', 'Z', 'X'].includes(state()!), { timeout: 10_000 }).toBe(true);
});

test('an admin socket where nobody is', async () => {
  const admin = new EnvoyAdmin(join(folder, 'admin.sock'));
  expect(await admin.ready()).toBe(false);
  await expect(admin.listeners()).rejects.toThrow(EnvoyAdminError);
});
