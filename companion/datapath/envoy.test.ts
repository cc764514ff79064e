import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TLV } from './proxy-protocol.ts';
import { proxyKey, Testbed } from './relay-testbed.ts';
import { connectTcp, digest, type End, freePort, Server, until } from './relay-testends.ts';

/**
 * The relays between two halves of a real Envoy: client -> Envoy -> companion.sock -> near -> far -> ingress socket -> Envoy -> server.
 * What a TCP connection means must come out as it went in.
 */

const ENVOY = process.env['ENVOY_BIN'] ?? 'envoy';
const available = spawnSync(ENVOY, ['--version']).status === 0;

const TYPE = 'type.googleapis.com/envoy';
const base64 = (text: string) => Buffer.from(text).toString('base64');
const address = (host: string, port: number) => ({ socket_address: { address: host, port_value: port } });
const filter = (name: string, proto: string, config: object) => ({
  name: `envoy.filters.${name}`,
  typed_config: { '@type': `${TYPE}.extensions.filters.${proto}`, ...config },
});
const socket = (name: string, proto: string, config: object) => ({
  name: `envoy.transport_sockets.${name}`,
  typed_config: { '@type': `${TYPE}.extensions.transport_sockets.${proto}`, ...config },
});
const tcpProxy = (config: object) => ({
  filters: [filter('network.tcp_proxy', 'network.tcp_proxy.v3.TcpProxy', { stat_prefix: 'tcp', ...config })],
});

/** A key's listener and cluster, as the control plane makes them. */
function egress(port: number, host: string, to: number, companion: string): { listener: object; cluster: object } {
  const name = `egress/tcp/${port}`;
  const tlv = {
    '@type': `${TYPE}.config.core.v3.PerHostConfig`,
    added_tlvs: [{ type: TLV.destination, value: base64(`${host}:${to}`) }],
  };
  const endpoint = {
    endpoint: { address: address(host, to) },
    metadata: { typed_filter_metadata: { 'envoy.transport_sockets.proxy_protocol': tlv } },
  };
  const proxyProtocol = socket('upstream_proxy_protocol', 'proxy_protocol.v3.ProxyProtocolUpstreamTransport', {
    config: { version: 'V2', pass_through_tlvs: { match_type: 'INCLUDE_ALL' } },
    transport_socket: socket('raw_buffer', 'raw_buffer.v3.RawBuffer', {}),
  });
  return {
    listener: {
      name,
      address: address('127.0.0.1', port),
      filter_chains: [tcpProxy({ cluster: name, proxy_protocol_tlvs: [{ type: TLV.key, value: base64(name) }] })],
    },
    cluster: {
      name,
      type: 'STATIC',
      load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [endpoint] }] },
      transport_socket: socket('http_11_proxy', 'http_11_proxy.v3.Http11ProxyUpstreamTransport', {
        default_proxy_address: { pipe: { path: companion } },
        transport_socket: proxyProtocol,
      }),
    },
  };
}

describe.runIf(available)('through Envoy', () => {
  let testbed: Testbed;
  let server: Server;
  let envoy: ChildProcess;
  let port: number;
  let deadPort: number;

  beforeAll(async () => {
    testbed = new Testbed({ mode: 'envoy' }, { mode: 'envoy' });
    server = await Server.tcp();
    port = await freePort();
    deadPort = await freePort();
    const { near, far } = testbed;
    near.set(proxyKey(`egress/tcp/${port}`, ['10.0.0.2:80']), proxyKey(`egress/tcp/${deadPort}`, ['10.0.0.2:9']));
    far.set(proxyKey('ingress/tcp/80', ['127.0.0.1:1']));
    mkdirSync(`${far.runtimeDirectory}/ingress/tcp`, { recursive: true });
    const companion = `${near.runtimeDirectory}/companion.sock`;
    const [good, dead] = [egress(port, '10.0.0.2', 80, companion), egress(deadPort, '10.0.0.2', 9, companion)];
    const ingress = {
      name: 'ingress/tcp/80',
      address: { pipe: { path: `${far.runtimeDirectory}/ingress/tcp/80.sock`, mode: 0o600 } },
      listener_filters: [filter('listener.proxy_protocol', 'listener.proxy_protocol.v3.ProxyProtocol', {})],
      filter_chains: [tcpProxy({ cluster: 'service' })],
    };
    const local = [{ lb_endpoints: [{ endpoint: { address: address('127.0.0.1', server.port) } }] }];
    const service = { name: 'service', type: 'STATIC', load_assignment: { cluster_name: 'service', endpoints: local } };
    const file = `${near.runtimeDirectory}/envoy.json`;
    writeFileSync(
      file,
      JSON.stringify({
        static_resources: {
          listeners: [good.listener, dead.listener, ingress],
          clusters: [good.cluster, dead.cluster, service],
        },
      }),
    );
    envoy = spawn(ENVOY, ['-c', file, '--use-dynamic-base-id', '--concurrency', '1', '-l', 'error'], {
      stdio: 'ignore',
    });
    const deadline = performance.now() + 20_000;
    for (let up = false; !up && performance.now() < deadline; ) {
      const probe = await connectTcp(port);
      up = probe.error === undefined;
      probe.socket.destroy();
      await new Promise(resolve => setTimeout(resolve, 50));
    }
  });

  afterAll(async () => {
    if (envoy.exitCode === null) {
      envoy.kill('SIGKILL');
      await once(envoy, 'exit');
    }
    server.close();
    await testbed.close();
  });

  async function pair(): Promise<{ client: End; server: End }> {
    const before = server.ends.length;
    const client = await connectTcp(port);
    return { client, server: await server.accepted(before) };
  }

  const over = (end: End) => until(() => end.closed || end.ended, 'the end');
  const moment = () => new Promise(resolve => setTimeout(resolve, 300));

  test('a megabyte and back', async () => {
    const { client, server: end } = await pair();
    end.socket.on('data', chunk => end.write(chunk));
    const data = randomBytes(1 << 20);
    client.write(data);
    await until(() => client.received === data.length);
    expect(client.digest).toBe(digest(data));
  });

  test('the server speaks first', async () => {
    const { client, server: end } = await pair();
    end.write('220');
    await until(() => client.data.toString() === '220');
  });

  test('half-closes at once, with and without data', async () => {
    for (let i = 0; i < 60; i++) {
      const before = server.ends.length;
      const client = await connectTcp(port);
      if (i % 2 === 0) client.write(`question ${i}`);
      client.end();
      const end = await server.accepted(before);
      await until(() => end.ended, `FIN of run ${i}`);
      end.write(`answer ${i}`).end();
      await over(client);
      expect(client.data.toString()).toBe(`answer ${i}`);
    }
  });

  test('the server half-closes first', async () => {
    const { client, server: end } = await pair();
    end.write('bye').end();
    await until(() => client.ended);
    client.write('more').end();
    await until(() => end.ended);
    expect([end.data.toString(), end.error]).toEqual(['more', undefined]);
  });

  test('a reset of the client', async () => {
    const { client, server: end } = await pair();
    end.write('hi');
    client.write('x');
    await until(() => client.received === 2 && end.received === 1);
    client.reset();
    await over(end);
    expect(end.error).toBe('ECONNRESET');
  });

  test('a reset of the client when the server has said nothing is an end: the unix socket has no byte to tell it by', async () => {
    const { client, server: end } = await pair();
    client.reset();
    await over(end);
    expect(end.error).toBeUndefined();
  });

  test('a reset of the client whose download is stalled', async () => {
    const { client, server: end } = await pair();
    client.socket.pause();
    end.write(randomBytes(8 << 20));
    await moment();
    client.reset();
    await over(end);
    expect(end.error).toBe('ECONNRESET');
  });

  test('a reset of the server before any byte', async () => {
    const { client, server: end } = await pair();
    end.reset();
    await over(client);
    expect(client.error).toBe('ECONNRESET');
  });

  /** Writes until the near node takes no more, and `more` bytes on top, which then lie in Envoy and in front of it. */
  async function stall(client: End, more: number): Promise<void> {
    const taken = () => testbed.near.counters.get('tcp_bytes_to_peer');
    for (let quiet = 0, before = taken(); quiet < 20; ) {
      if (quiet === 0) client.write(randomBytes(100_000));
      await new Promise(resolve => setTimeout(resolve, 5));
      quiet = taken() === before ? quiet + 1 : 0;
      before = taken();
    }
    client.write(randomBytes(more));
    await moment();
  }

  // Envoy has taken all of the client's bytes, or leaves some in the client's socket.
  test.each([500_000, 8 << 20])('a reset of the server while an upload is stalled, %i bytes on', async more => {
    const { client, server: end } = await pair();
    end.socket.pause();
    await stall(client, more);
    end.reset();
    await over(client);
    expect(client.error).toBe('ECONNRESET');
  });

  test('a refused dial is a reset without a byte', async () => {
    const client = await connectTcp(deadPort);
    await over(client);
    expect([client.received, client.error]).toEqual([0, 'ECONNRESET']);
  });
});
