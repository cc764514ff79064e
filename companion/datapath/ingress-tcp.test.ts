import net from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { formatSocketAddress } from './proxy-protocol.ts';
import { type NodeOptions, PEER_KEY, proxyKey, Testbed } from './relay-testbed.ts';
import { connectTcp, freePort, Server, until } from './relay-testends.ts';

let testbed: Testbed | undefined;
const servers: Server[] = [];
let port: number;

beforeEach(async () => {
  port = await freePort();
});

afterEach(async () => {
  for (const server of servers.splice(0)) server.close();
  await testbed?.close();
  testbed = undefined;
});

function open(far: NodeOptions, destination = '10.0.0.2:80'): Testbed {
  testbed = new Testbed({}, far);
  testbed.near.set(proxyKey(`egress/tcp/${port}`, [destination]));
  return testbed;
}

async function served(name: string): Promise<Server> {
  const server = await Server.tcp(end => end.write(name));
  servers.push(server);
  return server;
}

async function answer(): Promise<string> {
  const end = await connectTcp(port);
  await until(() => end.received > 0 || end.closed, 'an answer', 15_000);
  end.socket.destroy();
  return end.error ?? end.data.toString();
}

describe('with Envoy', () => {
  test.each(['10.0.0.', '[fd00::'])('Envoy is told who calls and for what (%s)', async prefix => {
    const close = prefix.startsWith('[') ? ']' : '';
    const { far, near } = open({ mode: 'envoy' }, `${prefix}2${close}:80`);
    const envoy = await Server.envoy(`${far.runtimeDirectory}/ingress/tcp/80.sock`, end => end.write('envoy'));
    servers.push(envoy);
    far.set(proxyKey('ingress/tcp/80', ['127.0.0.1:1']));
    expect(await answer()).toBe('envoy');
    const header = envoy.headers[0]!;
    expect(header.tlv).toEqual({ key: 'ingress/tcp/80', peerPublicKey: PEER_KEY });
    expect(formatSocketAddress(header.source!)).toMatch(`${prefix}1${close}:`);
    expect(formatSocketAddress(header.destination!)).toBe(`${prefix}2${close}:80`);
    expect(near.counters.get('egress_tcp_connected')).toBe(1);
  });

  test('no Envoy: the SYN is refused', async () => {
    const { far, near } = open({ mode: 'envoy' });
    far.set(proxyKey('ingress/tcp/80', ['127.0.0.1:1']));
    expect(await answer()).toBe('ECONNRESET');
    expect(near.counters.get('egress_tcp_dial_failed_refused')).toBe(1);
    expect(far.counters.get('ingress_tcp_refused_enoent')).toBe(1);
  });

  test('a path too long for a unix address is reported', async () => {
    const { far } = open({ mode: 'none', runtimeDirectory: `/${'d'.repeat(95)}` });
    expect(far.set(proxyKey('ingress/tcp/80', ['127.0.0.1:1']))[0]).toMatchObject({ ok: true });
    await testbed!.close();
    // companion.sock fits where ingress/tcp/65535.sock does not.
    const directory = `/tmp/${'d'.repeat(84)}`;
    const { mkdirSync, rmSync } = await import('node:fs');
    mkdirSync(directory, { recursive: true });
    const { far: long } = open({ mode: 'envoy', runtimeDirectory: directory });
    expect(long.set(proxyKey('ingress/tcp/65535', ['127.0.0.1:1']))[0]).toMatchObject({
      ok: false,
      error: expect.stringContaining('at most 107 bytes'),
    });
    rmSync(directory, { recursive: true });
  });
});

describe('without Envoy', () => {
  test('the SYN is answered only when the service is there', async () => {
    const { far, near } = open({});
    const dead = await freePort();
    far.set(proxyKey('ingress/tcp/80', [`127.0.0.1:${dead}`]));
    expect(await answer()).toBe('ECONNRESET');
    expect(near.counters.get('egress_tcp_dial_failed_refused')).toBe(1);
    expect(far.counters.get('ingress_tcp_refused_econnrefused')).toBe(1);
  });

  test('round robin over services, past those that refuse', async () => {
    const { far } = open({});
    const a = await served('a');
    const b = await served('b');
    const dead = await freePort();
    far.set(proxyKey('ingress/tcp/80', [`127.0.0.1:${a.port}`, `127.0.0.1:${b.port}`]));
    expect([await answer(), await answer(), await answer()]).toEqual(['b', 'a', 'b']);
    far.set(proxyKey('ingress/tcp/80', [`127.0.0.1:${a.port}`, `127.0.0.1:${dead}`]));
    expect([await answer(), await answer()]).toEqual(['a', 'a']);
  });

  test('a name is connected to by its addresses', async () => {
    const { far } = open({ names: { 'service.local': ['127.0.0.1'] } });
    const a = await served('a');
    far.set(proxyKey('ingress/tcp/80', [`service.local:${a.port}`]));
    await new Promise(resolve => setTimeout(resolve, 20));
    expect(await answer()).toBe('a');
  });

  test('policy by the peer’s address', async () => {
    const { far } = open({});
    const a = await served('a');
    const set = (allow: string[], deny: string[]) =>
      far.set(proxyKey('ingress/tcp/80', [`127.0.0.1:${a.port}`], { policy: { allow, deny } }));
    set([], ['10.0.0.1/32']);
    expect(await answer()).toBe('ECONNRESET');
    set(['10.0.0.0/24'], []);
    expect(await answer()).toBe('a');
    set(['10.9.0.0/24'], []);
    expect(await answer()).toBe('ECONNRESET');
    expect(a.ends.length).toBe(1);
    expect(far.counters.get('ingress_tcp_denied')).toBe(2);
  });

  test('a removed rule refuses, its connections live', async () => {
    const { far } = open({});
    const a = await served('a');
    far.set(proxyKey('ingress/tcp/80', [`127.0.0.1:${a.port}`]));
    const end = await connectTcp(port);
    await until(() => end.received === 1);
    far.set();
    expect(await answer()).toBe('ECONNRESET');
    end.write('still here');
    await until(() => a.ends[0]!.data.toString() === 'still here');
  });

  test('a peer that takes its SYN back frees the local connection', async () => {
    const { far, near } = open({});
    // A backlog that is full: the kernel lets the connect wait.
    const full = net.createServer({ pauseOnConnect: true });
    await new Promise<void>(resolve => full.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, resolve));
    far.set(proxyKey('ingress/tcp/80', ['192.0.2.1:9']));
    const end = await connectTcp(port);
    await until(() => (far.stack.stats()['connections'] ?? 0) >= 1, 'SYN waits');
    end.reset();
    await until(() => near.counters.get('egress_tcp_gone_while_dialling') === 1);
    await until(() => (far.stack.stats()['connections'] ?? 0) === 0, 'SYN forgotten', 15_000);
    full.close();
  });
});
