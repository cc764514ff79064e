/** The resources over xDS: what an edit does to connections that live and to those that come. */

import { once } from 'node:events';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bootstrapYaml } from '../../envoy/bootstrap.ts';
import { findEnvoy } from '../../envoy/launcher/find.ts';
import { EnvoySupervisor } from '../../envoy/launcher/supervisor.ts';
import { freePort, parseProxyHeader, serve, type TestServer, talk } from '../../envoy/testing/net.ts';
import { testFolder } from '../../envoy/testing/run.ts';
import { compileFilter } from '../../extension/testing/build.ts';
import { type Policy, type ProxyRule, parseRule, proxyKeys } from '../../rules/index.ts';
import { ControlPlane } from '../index.ts';
import { buildResources } from './build.ts';

const NODE = 'node';
const folder = testFolder();
let plane: ControlPlane;
let envoy: EnvoySupervisor;
let companion: TestServer;
let port: number;

/** Tells each connection which destination and key its header named, then echoes. */
function companionConnection(socket: Socket): void {
  let received: Buffer = Buffer.alloc(0);
  const read = (part: Buffer) => {
    received = Buffer.concat([received, part]);
    const header = parseProxyHeader(received);
    if (header === undefined) return;
    socket.off('data', read);
    socket.write(`${header.tlvs.get(0xe1)} ${header.tlvs.get(0xe0)}\n`);
    socket.on('data', more => socket.write(more));
    socket.on('end', () => socket.end());
  };
  socket.on('data', read);
}

function rule(text: string): ProxyRule {
  const result = parseRule('egress', text);
  if (!result.ok) throw new Error(result.error);
  return result.rule;
}

interface Extra {
  policy?: Policy;
  unhealthy?: string[];
}

function publish(rules: string[], { policy, unhealthy = [] }: Extra = {}): void {
  const built = buildResources({
    keys: proxyKeys(rules.map(rule)).map(key => ({ ...key, ...(policy === undefined ? {} : { policy }) })),
    bind: '127.0.0.1',
    paths: {
      companionSocket: join(folder, 'companion.sock'),
      ingressDirectory: join(folder, 'ingress'),
      filterWasm: join(folder, 'filter.wasm'),
    },
    udpPorts: new Map(),
    ingressUdpPorts: new Map(),
    unhealthy: new Map([[`egress/tcp/${port}`, new Set(unhealthy)]]),
  });
  if (!built.ok) throw new Error(JSON.stringify(built.errors));
  plane.publish(NODE, built.resources);
}

/** What a new connection gets, '' if it is closed without an answer. */
const ask = async (at = port) => (await talk({ host: '127.0.0.1', port: at }, '')).data.trim();

/** A connection that lives; `alive` sends over it. */
async function open(): Promise<{ socket: Socket; alive: () => Promise<boolean> }> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  await once(socket, 'data');
  const alive = async () => {
    if (socket.closed) return false;
    socket.write('x');
    return await Promise.race([
      once(socket, 'data').then(() => true),
      new Promise<boolean>(resolve => socket.once('close', () => resolve(false))),
    ]);
  };
  return { socket, alive };
}

async function modifiedListeners(): Promise<number> {
  return (await envoy.admin.stats('listener_manager.listener_modified')).get('listener_manager.listener_modified')!;
}

beforeAll(async () => {
  mkdirSync(join(folder, 'ingress', 'tcp'), { recursive: true });
  compileFilter('assembly/index.ts', join(folder, 'filter.wasm'));
  companion = await serve(companionConnection, join(folder, 'companion.sock'));
  port = await freePort();
  const quiet = { debug() {}, info() {}, warn() {} };
  plane = await ControlPlane.start({ socketPath: join(folder, 'xds.sock'), log: quiet });
  const adminSocket = join(folder, 'admin.sock');
  const configPath = join(folder, 'nexodus.yaml');
  writeFileSync(configPath, bootstrapYaml({ nodeId: NODE, xdsSocket: join(folder, 'xds.sock'), adminSocket }));
  const found = await findEnvoy({ fetch: false });
  if (!found.ok) throw new Error(found.error);
  envoy = new EnvoySupervisor({
    ...{ binary: found.path, configPath, adminSocket, concurrency: 1, drainSeconds: 1 },
    log: () => {},
  });
  publish([`tcp:${port}:100.100.0.2:5432`]);
  envoy.start();
  await envoy.untilReady(AbortSignal.timeout(20_000));
});
afterAll(async () => {
  await envoy?.stop();
  await plane?.close();
  await companion?.close();
  rmSync(folder, { recursive: true });
});

test('when Envoy is ready its listeners serve', async () => {
  expect(await ask()).toBe(`egress/tcp/${port} 100.100.0.2:5432`);
  expect(plane.status()[0]!.rejectedResources).toEqual([]);
});

test('an edit of destinations reaches new connections and leaves old ones and the listener alone', async () => {
  const { socket, alive } = await open();
  const before = await modifiedListeners();
  publish([`tcp:${port}:100.100.0.3:5432`]);
  await expect.poll(() => ask()).toBe(`egress/tcp/${port} 100.100.0.3:5432`);
  publish([`tcp:${port}:100.100.0.3:5432`, `tcp:${port}:100.100.0.4:5432`], { unhealthy: ['100.100.0.3:5432'] });
  await expect.poll(() => ask()).toBe(`egress/tcp/${port} 100.100.0.4:5432`);
  for (let i = 0; i < 4; i++) expect(await ask()).toContain('100.100.0.4:5432');
  // All unhealthy: then all are tried, for what is known of them may be old.
  const all = ['100.100.0.3:5432', '100.100.0.4:5432'];
  publish([`tcp:${port}:100.100.0.3:5432`, `tcp:${port}:100.100.0.4:5432`], { unhealthy: all });
  await expect.poll(() => ask()).toContain('100.100.0.3:5432');
  expect(await alive()).toBe(true);
  expect(await modifiedListeners()).toBe(before);
  socket.destroy();
});

test('an edit of the policy reaches new connections and leaves old ones and the listener alone', async () => {
  const { socket, alive } = await open();
  const before = await modifiedListeners();
  const rules = [`tcp:${port}:100.100.0.2:5432`];
  publish(rules, { policy: { allow: [], deny: ['127.0.0.0/8'] } });
  await expect.poll(() => ask()).toBe('');
  expect(await alive()).toBe(true);
  const label = `nexodus_denied{nexodus_key="egress/tcp/${port}"}`;
  expect(await envoy.admin.prometheus()).toContain(label);
  publish(rules);
  await expect.poll(() => ask()).not.toBe('');
  expect(await modifiedListeners()).toBe(before);
  socket.destroy();
});

test('a rule that comes and goes leaves the connections of others alone; its own end', async () => {
  const { socket, alive } = await open();
  const second = await freePort();
  const rules = [`tcp:${port}:100.100.0.2:5432`];
  publish([...rules, `tcp:${second}:100.100.0.2:80`]);
  await expect.poll(() => ask(second)).toBe(`egress/tcp/${second} 100.100.0.2:80`);
  const other = connect(second, '127.0.0.1');
  await once(other, 'data');
  publish(rules);
  await once(other.resume(), 'close');
  expect(await talk({ host: '127.0.0.1', port: second }, '')).toEqual({ data: '', error: 'ECONNREFUSED' });
  expect(await alive()).toBe(true);
  socket.destroy();
});

test('a port that is taken is refused by name, and the others serve', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const busy = (taken.address() as { port: number }).port;
  const rules = [`tcp:${port}:100.100.0.2:5432`];
  publish([...rules, `tcp:${busy}:100.100.0.2:80`]);
  const name = `egress/tcp/${busy}`;
  await expect.poll(() => plane.status()[0]!.rejectedResources.map(one => one.name)).toEqual([name]);
  expect(plane.status()[0]!.rejectedResources[0]!.message).toMatch(/cannot bind|Address already in use/);
  expect(await ask()).not.toBe('');
  taken.close();
  publish(rules);
  await expect.poll(() => plane.status()[0]!.rejectedResources).toEqual([]);
});

test('an Envoy that was killed comes back with everything', async () => {
  const ready = once(envoy, 'ready');
  process.kill(envoy.pid!, 'SIGKILL');
  await ready;
  expect(await ask()).toBe(`egress/tcp/${port} 100.100.0.2:5432`);
});
