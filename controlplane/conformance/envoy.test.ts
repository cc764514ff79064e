/** The control plane judged by a real Envoy, in both variants. */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ListenerSchema, pack, TcpProxySchema, TypedExtensionConfigSchema, typeUrls } from '../../envoy/api/index.ts';
import { ControlPlane, type Log, type Resource } from '../index.ts';
import { findEnvoy, TestEnvoy } from '../testing/envoy.ts';
import { edsCluster, endpoints, listener, resource } from '../testing/resources.ts';

const binary = findEnvoy();
if (!binary)
  process.stderr.write('SKIPPED: no Envoy found ($ENVOY_BIN, or envoy on PATH); nothing was tested with one\n');

/** Answers what it is sent with its name before it. */
async function echo(name: string): Promise<{ server: Server; port: number }> {
  const server = createServer(socket => {
    socket.on('data', chunk => socket.write(`${name}:${chunk}`));
    socket.on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return { server, port: typeof address === 'object' && address ? address.port : 0 };
}

async function freePort(): Promise<number> {
  const { server, port } = await echo('');
  server.close();
  await once(server, 'close');
  return port;
}

async function ask(socket: Socket, text: string): Promise<string> {
  socket.write(text);
  const answer = await Promise.race([
    once(socket, 'data').then(([chunk]) => String(chunk)),
    once(socket, 'close').then(() => 'closed'),
  ]);
  return answer;
}

async function dial(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  socket.on('error', () => {});
  return socket;
}

/** A rule as our translation makes it: listener, cluster and endpoints of one name. */
function rule(name: string, port: number, upstream: number, edition = 1): Resource[] {
  return [edsCluster(name, edition), endpoints(name, upstream), listener(name, port, name)];
}

/** A listener whose first filter is configured over ECDS. */
function guarded(name: string, port: number): Resource {
  const ads = { resourceApiVersion: 2, configSourceSpecifier: { case: 'ads', value: {} } } as const;
  const filter = {
    name: `policy/${name}`,
    configType: {
      case: 'configDiscovery' as const,
      value: { configSource: ads, typeUrls: [limitUrl] },
    },
  };
  const proxy = pack(TcpProxySchema, { statPrefix: name, clusterSpecifier: { case: 'cluster', value: name } });
  return resource(ListenerSchema, name, {
    name,
    address: {
      address: {
        case: 'socketAddress',
        value: { address: '127.0.0.1', portSpecifier: { case: 'portValue', value: port } },
      },
    },
    filterChains: [{ filters: [filter, { name: 'tcp', configType: { case: 'typedConfig' as const, value: proxy } }] }],
  });
}

const limitUrl = 'type.googleapis.com/envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit';

/** A connection limit; one of 0 breaks the constraints of the message, so that Envoy refuses it. */
function policy(name: string, limit: number): Resource {
  // ConnectionLimit { stat_prefix = 1: "p", max_connections = 2: UInt64Value { value = 1 } }
  const value = Uint8Array.of(0x0a, 0x01, 0x70, 0x12, 0x02, 0x08, limit);
  return resource(TypedExtensionConfigSchema, `policy/${name}`, {
    name: `policy/${name}`,
    typedConfig: { typeUrl: limitUrl, value },
  });
}

interface Scene extends AsyncDisposable {
  plane: ControlPlane;
  envoy: TestEnvoy;
  socketPath: string;
  /** Resources sent so far. */
  sent: () => number;
  log: Log;
}

async function play(variant: 'GRPC' | 'DELTA_GRPC'): Promise<Scene> {
  const folder = await mkdtemp(join(tmpdir(), 'xds-'));
  const socketPath = join(folder, 'xds.sock');
  let sent = 0;
  const log: Log = {
    debug: fields => {
      sent += (fields as { resources?: number }).resources ?? 0;
    },
    info: () => {},
    warn: () => {},
  };
  const plane = await ControlPlane.start({ socketPath, log });
  const envoy = await TestEnvoy.start({ binary: binary!, folder, socketPath, nodeId: 'n', variant });
  return {
    plane,
    envoy,
    socketPath,
    log,
    sent: () => sent,
    [Symbol.asyncDispose]: async () => {
      await envoy[Symbol.asyncDispose]();
      await plane.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

const soon = { timeout: 10_000, interval: 50 };

describe.skipIf(!binary).each(['DELTA_GRPC', 'GRPC'] as const)('Envoy over %s', variant => {
  test('lives through edits, a bad listener and a restarted control plane with a connection open', async () => {
    await using scene = await play(variant);
    const { plane, envoy } = scene;
    const [one, two] = [await echo('one'), await echo('two')];
    const [portA, portB, portC] = [await freePort(), await freePort(), await freePort()];
    const [a, b, c] = ['egress/tcp/1', 'egress/tcp/11', 'egress/tcp/111'];
    const stays = rule(a, portA, one.port);
    const synced = (): boolean => plane.status()[0]!.types.every(type => type.synced);

    plane.publish('n', [...stays, ...rule(b, portB, one.port)]);
    await expect.poll(() => envoy.listeners(), soon).toEqual([a, b]);
    const kept = await dial(portA);
    expect(await ask(kept, 'x')).toBe('one:x');

    // Another rule's destination: endpoints only.
    plane.publish('n', [...stays, ...rule(b, portB, two.port)]);
    await expect.poll(async () => ask(await dial(portB), 'x'), soon).toBe('two:x');
    expect(await envoy.stat('listener_manager.listener_modified')).toBe(0);

    // A cluster that changes must not stay warming (T20).
    plane.publish('n', [...stays, ...rule(b, portB, two.port, 2)]);
    await expect.poll(synced, soon).toBe(true);
    await expect.poll(() => envoy.stat(`cluster.${b}.warming_state`), { timeout: 2000 }).toBe(0);
    expect(await ask(await dial(portB), 'x')).toBe('two:x');

    // One rule goes, another comes, and its listener never without its cluster.
    plane.publish('n', [...stays, ...rule(c, portC, two.port)]);
    await expect.poll(() => envoy.listeners(), soon).toEqual([a, c]);
    expect(await ask(await dial(portC), 'x')).toBe('two:x');

    // A port that somebody else holds: refused, named, and nothing else suffers.
    const taken = rule(b, two.port, one.port);
    plane.publish('n', [...stays, ...taken, ...rule(c, portC, two.port)]);
    await expect.poll(() => plane.status()[0]!.rejectedResources.map(r => r.name), soon).toEqual([b]);
    const lds = plane.status()[0]!.types.find(type => type.typeUrl === typeUrls.listener)!;
    expect(lds.rejected!.message).toContain(b);
    expect(lds).toMatchObject({ acked: 2, synced: false });
    expect(await envoy.listeners()).toEqual([a, c]);
    plane.publish('n', [...stays, ...rule(b, portB, one.port), ...rule(c, portC, two.port)]);
    await expect.poll(() => envoy.listeners(), soon).toEqual([a, b, c]);
    await expect.poll(synced, soon).toBe(true);
    expect(plane.status()[0]!.rejectedResources).toEqual([]);

    // The control plane dies and is restarted: the open connection and all listeners stay as they are.
    const modified = await envoy.stat('listener_manager.listener_modified');
    const drained = await envoy.stat('listener_manager.listener_removed');
    await plane.close();
    expect(await ask(kept, 'y')).toBe('one:y');
    const before = scene.sent();
    await using again = await ControlPlane.start({ socketPath: scene.socketPath, log: scene.log }).then(started => ({
      started,
      [Symbol.asyncDispose]: () => started.close(),
    }));
    await expect.poll(() => again.started.status()[0]?.connected, soon).toBe(true);
    // It asked before anything was published: it must not be told that it has nothing.
    expect(await envoy.listeners()).toEqual([a, b, c]);
    again.started.publish('n', [...stays, ...rule(b, portB, one.port), ...rule(c, portC, two.port)]);
    await expect.poll(() => again.started.status()[0]!.types.length, soon).toBeGreaterThanOrEqual(3);
    await expect.poll(() => again.started.status()[0]!.types.every(type => type.synced), soon).toBe(true);
    if (variant === 'DELTA_GRPC') expect(scene.sent() - before, 'resources sent again').toBe(0);
    expect(await envoy.stat('listener_manager.listener_modified')).toBe(modified);
    expect(await envoy.stat('listener_manager.listener_removed')).toBe(drained);
    expect(await ask(kept, 'z')).toBe('one:z');
    kept.destroy();
    one.server.close();
    two.server.close();
  });

  test('a refused policy is named, and the others of its response are in force', async () => {
    await using scene = await play(variant);
    const { plane, envoy } = scene;
    const upstream = await echo('up');
    const names = ['egress/tcp/1', 'egress/tcp/2', 'egress/tcp/3', 'egress/tcp/4'];
    const ports = await Promise.all(names.map(() => freePort()));
    const all = (limits: number[]): Resource[] =>
      names.flatMap((name, i) => [
        edsCluster(name),
        endpoints(name, upstream.port),
        guarded(name, ports[i]!),
        policy(name, limits[i]!),
      ]);
    const ecds = () => plane.status()[0]!.types.find(type => type.typeUrl === typeUrls.extension);
    plane.publish('n', all([10, 10, 10, 10]));
    await expect.poll(() => envoy.listeners(), soon).toEqual(names);
    await expect.poll(() => ecds()?.acked, soon).toBe(4);
    // Whatever the order in which Envoy goes through a response, three of these come after a bad one in some of them.
    plane.publish('n', all([20, 0, 20, 20]));
    const rejected = (): string[] => plane.status()[0]!.rejectedResources.map(r => r.name);
    await expect.poll(rejected, soon).toEqual(['policy/egress/tcp/2']);
    await expect.poll(() => ecds()?.acked, soon).toBe(3);
    const dump = await envoy.admin('/config_dump?resource=ecds_filters');
    expect(dump.match(/"max_connections": "20"/g)).toHaveLength(3);
    expect(dump.match(/"max_connections": "10"/g)).toHaveLength(1);
    plane.publish('n', all([20, 30, 20, 20]));
    await expect.poll(rejected, soon).toEqual([]);
    await expect.poll(() => ecds()?.synced, soon).toBe(true);
    upstream.server.close();
  });

  test('a node without rules is live at once', async () => {
    await using scene = await play(variant);
    scene.plane.publish('n', []);
    const ready = async (): Promise<string> => (await scene.envoy.admin('/ready').catch(() => '')).trim();
    await expect.poll(ready, { timeout: 5000, interval: 50 }).toBe('LIVE');
  });
});
