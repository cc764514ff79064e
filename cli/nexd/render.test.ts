import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { afterAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { findEnvoy } from '../../envoy/index.ts';
import { run, Sandbox } from '../testing/run.ts';

const box = new Sandbox();
afterAll(() => box.remove());
const envoy = await findEnvoy({ fetch: false });

test('rules of both directions are a configuration that Envoy takes', async () => {
  mkdirSync(box.join('run'), { mode: 0o700 });
  const { code, stdout } = await run('nexd', [
    'render',
    '--egress',
    'tcp:15432:100.100.0.2:5432,tcp:15432:[200::2]:5432',
    '--ingress',
    'tcp:443:127.0.0.1:8080',
    '--allow',
    'egress:tcp:15432=127.0.0.1',
    '--bind',
    '127.0.0.1',
    '--runtime-dir',
    box.join('run'),
  ]);
  expect(code).toBe(0);
  const configuration = parse(stdout) as {
    static_resources: { listeners: { name: string }[]; clusters: { name: string }[] };
  };
  expect(configuration.static_resources.listeners.map(({ name }) => name)).toEqual([
    'egress/tcp/15432',
    'ingress/tcp/443',
  ]);
  expect(configuration.static_resources.clusters.map(({ name }) => name)).toEqual([
    'egress/tcp/15432',
    'ingress/tcp/443',
  ]);
  if (!envoy.ok) return;
  writeFileSync(box.join('envoy.yaml'), stdout);
  const validated = spawnSync(
    envoy.path,
    ['--mode', 'validate', '-c', box.join('envoy.yaml'), '--disable-hot-restart'],
    { encoding: 'utf8' },
  );
  expect(validated.stdout + validated.stderr).toContain('OK');
  expect(validated.status).toBe(0);
});

test.each([
  [['--egress', 'udp:53:10.0.0.1:53'], 'egress/udp/53: UDP rules have no static configuration'],
  [['--egress', 'tcp:53'], 'Failed to add egress proxy rule (tcp:53): invalid proxy rule format'],
  [['--bind', 'x'], 'for flag -bind: it is not an IP address'],
])('%j', async (args, message) => {
  const { code, stdout, stderr } = await run('nexd', ['render', ...args]);
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr).toContain(message);
});
