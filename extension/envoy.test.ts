/** The filter in the real Envoy: its decisions as a client sees them. */

import { once } from 'node:events';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort, proxyHeader, serve, type TestServer, talk } from '../envoy/testing/net.ts';
import { runEnvoy, type TestEnvoy, testFolder } from '../envoy/testing/run.ts';
import { validate } from '../envoy/testing/validate.ts';
import { parseAddress } from '../rules/index.ts';
import { compileFilter } from './testing/build.ts';

const type = (name: string) => ({ '@type': `type.googleapis.com/envoy.${name}` });

interface Plugin {
  key: string;
  wasm: string;
  configuration: string;
  vmId?: string;
}

function filterChain({ key, wasm, configuration, vmId = 'shared' }: Plugin) {
  const config = {
    ...{ name: key, root_id: key, failure_policy: 'FAIL_RELOAD' },
    vm_config: { vm_id: vmId, runtime: 'envoy.wasm.runtime.v8', code: { local: { filename: wasm } } },
    configuration: { '@type': 'type.googleapis.com/google.protobuf.StringValue', value: configuration },
  };
  const log = {
    name: 'stdout',
    typed_config: {
      ...type('extensions.access_loggers.stream.v3.StdoutAccessLog'),
      log_format: { text_format_source: { inline_string: 'key=%FILTER_STATE(wasm.nexodus.key:PLAIN)%\n' } },
    },
  };
  return {
    filters: [
      { name: 'filter', typed_config: { ...type('extensions.filters.network.wasm.v3.Wasm'), config } },
      {
        name: 'tcp_proxy',
        typed_config: {
          ...type('extensions.filters.network.tcp_proxy.v3.TcpProxy'),
          ...{ stat_prefix: key, cluster: 'echo', access_log: [log] },
        },
      },
    ],
  };
}

/** A listener on loopback that believes a PROXY header, so that a test can come from any address. */
function listener(port: number, plugin: Plugin) {
  return {
    name: plugin.key,
    address: { socket_address: { address: '::', port_value: port, ipv4_compat: true } },
    listener_filters: [
      {
        name: 'proxy_protocol',
        typed_config: {
          ...type('extensions.filters.listener.proxy_protocol.v3.ProxyProtocol'),
          allow_requests_without_proxy_protocol: true,
        },
      },
    ],
    filter_chains: [filterChain(plugin)],
  };
}

function configuration(echoPort: number, listeners: object[]) {
  const endpoint = { address: { socket_address: { address: '127.0.0.1', port_value: echoPort } } };
  return {
    node: { id: 'test', cluster: 'test' },
    static_resources: {
      listeners,
      clusters: [
        {
          ...{ name: 'echo', type: 'STATIC', connect_timeout: '2s' },
          load_assignment: { cluster_name: 'echo', endpoints: [{ lb_endpoints: [{ endpoint }] }] },
        },
      ],
    },
  };
}

/** Sends 'ping' as if from that address. @param hangUp at the first answer, for a server that does not. @returns 'pong' if it was let through, '' if it was closed. */
async function from(address: string, port: number, hangUp = false): Promise<string> {
  const bytes = parseAddress(address)!;
  const v4 = !address.includes(':');
  const source = v4 ? bytes.subarray(12) : bytes;
  const header = proxyHeader({ address: source, port: 4242 }, { address: source, port: 1 });
  // Not half-closed: Envoy takes a FIN that comes before a listener filter is done for the end of both directions.
  return (await talk({ host: '127.0.0.1', port }, Buffer.concat([header, Buffer.from('ping')]), false, hangUp)).data;
}

let folder: string;
let wasm: string;
let echo: TestServer;
beforeAll(async () => {
  folder = testFolder();
  wasm = join(folder, 'filter.wasm');
  compileFilter('assembly/index.ts', wasm);
  compileFilter('testing/assembly/trap.ts', join(folder, 'trap.wasm'));
  echo = await serve(socket => socket.on('data', () => socket.end('pong')));
});
afterAll(async () => {
  await echo.close();
  rmSync(folder, { recursive: true });
});

describe('two keys in one VM', () => {
  let envoy: TestEnvoy;
  let ports: [number, number];
  beforeAll(async () => {
    ports = [await freePort(), await freePort()];
    const policies = [
      { key: 'a', allow: ['127.0.0.1/32', '10.0.0.0/8', '2001:db8::/32'], deny: ['10.9.0.0/16', '2001:db8:9::/48'] },
      { key: 'b', allow: [], deny: ['10.1.0.0/16', '127.0.0.1'] },
    ];
    const listeners = policies.map((policy, i) =>
      listener(ports[i]!, { key: policy.key, wasm, configuration: JSON.stringify(policy) }),
    );
    envoy = await runEnvoy(configuration(echo.port, listeners), { concurrency: 2 });
  });
  afterAll(async () => await envoy.stop());

  test.each([
    ['10.1.2.3', 'pong', ''],
    ['10.9.2.3', '', 'pong'],
    ['11.0.0.1', '', 'pong'],
    ['2001:db8::1', 'pong', 'pong'],
    ['2001:db8:9::1', '', 'pong'],
    ['2001:db9::1', '', 'pong'],
  ])('%s: each key obeys its own policy', async (address, a, b) => {
    expect([await from(address, ports[0]), await from(address, ports[1])]).toEqual([a, b]);
  });

  test('a client of a listener for both families is judged by its IPv4 address', async () => {
    expect((await talk({ host: '127.0.0.1', port: ports[0] }, 'ping', false)).data).toBe('pong');
    expect((await talk({ host: '127.0.0.1', port: ports[1] }, 'ping', false)).data).toBe('');
  });

  test('one VM for each thread, counters by key, the key as filter state, denials in the log', async () => {
    const stats = await envoy.admin.stats('wasm');
    // The main thread's, its base, and one for each of two workers.
    expect(stats.get('wasm.envoy.wasm.runtime.v8.active')).toBe(4);
    expect(Object.fromEntries(stats)).toMatchObject({
      'wasmcustom.nexodus.a.allowed': 3,
      'wasmcustom.nexodus.a.denied': 4,
      'wasmcustom.nexodus.b.allowed': 5,
      'wasmcustom.nexodus.b.denied': 2,
    });
    const lines = [
      ...['access: key=a', 'access: key=b'],
      ...['envoy/wasm: denied a from 10.9.2.3:4242', 'envoy/wasm: denied b from 10.1.2.3:4242'],
    ];
    // Envoy flushes its standard output now and then.
    await expect.poll(() => lines.filter(line => envoy.log.includes(line)), { timeout: 10_000 }).toEqual(lines);
  });

  test('no connection of a denied client reaches the upstream', async () => {
    const before = echo.sockets.length;
    await from('11.0.0.1', ports[0]);
    expect(echo.sockets.length).toBe(before);
  });

  test('3,000 connections leave nothing behind', async () => {
    const allocated = async () => (await envoy.admin.stats('server.memory_allocated')).get('server.memory_allocated')!;
    const round = async (n: number) => {
      for (let i = 0; i < n; i += 50) {
        await Promise.all(Array.from({ length: 50 }, (_, j) => from(j % 2 ? '10.1.2.3' : '10.9.2.3', ports[0])));
      }
    };
    await round(1000);
    const before = await allocated();
    await round(2000);
    // A megabyte is 500 bytes for each connection; Envoy's own pools move by some hundred kilobytes.
    expect((await allocated()) - before).toBeLessThan(1 << 20);
    expect(
      (await envoy.admin.stats('downstream_cx_active')).get('listener.[__]_' + ports[0] + '.downstream_cx_active'),
    ).toBe(0);
  });
});

test.each([
  ['{"key":"a","allow":["10.0.0.0/33"],"deny":[]}', 'configuration rejected: "allow": "10.0.0.0/33" is not a CIDR'],
  ['{"key":"a","allow":[],"deny":[],"dney":[]}', 'configuration rejected: "dney": unknown field'],
  ['', 'configuration rejected: none given'],
])('Envoy refuses the configuration %s', async (text, error) => {
  const bad = listener(await freePort(), { key: 'a', wasm, configuration: text });
  const { ok, output } = await validate(configuration(echo.port, [bad]));
  expect(ok).toBe(false);
  expect(output).toContain(error);
});

test('a trap closes the connection and those after it', async () => {
  const [bad, good] = [await freePort(), await freePort()];
  const text = '{"key":"k","allow":[],"deny":[]}';
  const envoy = await runEnvoy(
    configuration(echo.port, [
      listener(bad, { key: 'bad', wasm: join(folder, 'trap.wasm'), configuration: text, vmId: 'trap' }),
      listener(good, { key: 'good', wasm, configuration: text }),
    ]),
  );
  try {
    const before = echo.sockets.length;
    for (let i = 0; i < 5; i++) expect(await from('10.1.2.3', bad)).toBe('');
    expect(echo.sockets.length).toBe(before);
    expect(envoy.log.some(line => line.includes('abort: a fault on purpose'))).toBe(true);
    expect(await from('10.1.2.3', good)).toBe('pong');
  } finally {
    await envoy.stop();
  }
});

test('a policy that comes by ECDS: new connections obey it, old ones live on, a bad one changes nothing', async () => {
  const port = await freePort();
  const path = join(folder, 'policy.json');
  const publish = (version: string, configuration: string) => {
    const { filters } = filterChain({ key: 'k', wasm, configuration });
    const resource = {
      ...type('config.core.v3.TypedExtensionConfig'),
      name: 'policy',
      typed_config: filters[0]!.typed_config,
    };
    writeFileSync(`${path}.new`, JSON.stringify({ version_info: version, resources: [resource] }));
    renameSync(`${path}.new`, path);
  };
  const admitted = async (address: string) => (await from(address, port, true)) === 'pong';
  const policy = (deny: string[]) => JSON.stringify({ key: 'k', allow: [], deny });
  publish('0', policy([]));
  const fixed = listener(port, { key: 'k', wasm, configuration: '' });
  const discovery = {
    config_source: { path_config_source: { path, watched_directory: { path: folder } }, resource_api_version: 'V3' },
    type_urls: ['type.googleapis.com/envoy.extensions.filters.network.wasm.v3.Wasm'],
  };
  const filters = [{ name: 'policy', config_discovery: discovery }, fixed.filter_chains[0]!.filters[1]!];
  const lasting = await serve(socket => socket.on('data', () => socket.write('pong')));
  const envoy = await runEnvoy(configuration(lasting.port, [{ ...fixed, filter_chains: [{ filters }] }]));
  try {
    const updates = async () => {
      const stats = await envoy.admin.stats('extension_config_discovery.*config_(reload|fail)$');
      return [...stats.values()].reduce((a, b) => a + b, 0);
    };
    const live = connect(port, '127.0.0.1');
    live.write('ping');
    await once(live, 'data');
    expect(await admitted('10.1.2.3')).toBe(true);

    publish('1', policy(['10.0.0.0/8']));
    await expect.poll(() => admitted('10.1.2.3'), { timeout: 10_000 }).toBe(false);
    expect(await admitted('11.1.2.3')).toBe(true);
    const before = await updates();
    publish('2', '{"key":"k","allow":[],"deny":["nonsense"]}');
    await expect.poll(updates, { timeout: 10_000 }).toBeGreaterThan(before);
    expect(envoy.log).toContain('envoy/wasm: configuration rejected: "deny": "nonsense" is not a CIDR');
    expect(await admitted('10.1.2.3')).toBe(false);
    expect(await admitted('11.1.2.3')).toBe(true);

    for (let i = 0; i < 30; i++) {
      const done = await updates();
      publish(`again ${i}`, policy([`10.${i}.0.0/16`]));
      await expect.poll(updates, { timeout: 10_000, interval: 5 }).toBeGreaterThan(done);
    }
    expect(await admitted('10.29.2.3')).toBe(false);
    expect(await admitted('10.28.2.3')).toBe(true);
    const stats = await envoy.admin.stats('wasm');
    expect(stats.get('wasm.envoy.wasm.runtime.v8.active')).toBe(3);
    expect(stats.get('wasmcustom.nexodus.k.allowed')).toBeGreaterThanOrEqual(5);
    live.write('ping');
    expect(String((await once(live, 'data'))[0])).toBe('pong');
    live.destroy();
  } finally {
    await envoy.stop();
    await lasting.close();
  }
});
