import net from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { proxyKey, Testbed } from './relay-testbed.ts';
import { connectTcp, type End, freePort, Server, until } from './relay-testends.ts';

let testbed: Testbed;
let servers: Server[];
let port: number;
let key: string;

beforeEach(async () => {
  servers = [];
  for (const name of ['a', 'b', 'c']) servers.push(await Server.tcp(end => end.write(name)));
  testbed = new Testbed();
  testbed.far.set(...servers.map((server, i) => proxyKey(`ingress/tcp/${80 + i}`, [`127.0.0.1:${server.port}`])));
  port = await freePort();
  key = `egress/tcp/${port}`;
});

afterEach(async () => {
  for (const server of servers) server.close();
  await testbed.close();
});

async function answer(): Promise<string> {
  const end = await connectTcp(port);
  await until(() => end.received > 0 || end.closed, 'an answer');
  end.socket.destroy();
  return end.error ?? end.data.toString();
}

const count = (name: string) => testbed.near.counters.get(name);

describe('destinations', () => {
  test('round robin begins with the second', async () => {
    testbed.near.set(proxyKey(key, ['10.0.0.2:80', '10.0.0.2:81', '10.0.0.2:82']));
    const answers: string[] = [];
    for (let i = 0; i < 5; i++) answers.push(await answer());
    expect(answers).toEqual(['b', 'c', 'a', 'b', 'c']);
  });

  test('one that refuses is passed over', async () => {
    testbed.near.set(proxyKey(key, ['10.0.0.2:80', '10.0.0.2:9']));
    expect([await answer(), await answer()]).toEqual(['a', 'a']);
    expect(count('egress_tcp_dial_fell_back')).toBe(1);
  });

  test('all refuse: a reset', async () => {
    testbed.near.set(proxyKey(key, ['10.0.0.2:9']));
    expect(await answer()).toBe('ECONNRESET');
    expect(count('egress_tcp_dial_failed_refused')).toBe(1);
  });

  test('IPv6 in the tunnel', async () => {
    testbed.near.set(proxyKey(key, ['[fd00::2]:80']));
    expect(await answer()).toBe('a');
  });
});

describe('policy', () => {
  test.each([
    ['deny wins', { allow: ['127.0.0.0/8'], deny: ['127.0.0.1/32'] }, 'ECONNRESET'],
    ['not in allow', { allow: ['10.0.0.0/8'], deny: [] }, 'ECONNRESET'],
    ['in allow', { allow: ['10.0.0.0/8', '127.0.0.1/32'], deny: [] }, 'a'],
  ])('%s', async (_, policy, expected) => {
    testbed.near.set(proxyKey(key, ['10.0.0.2:80'], { policy }));
    expect(await answer()).toBe(expected);
    expect(count('egress_tcp_denied')).toBe(expected === 'a' ? 0 : 1);
    expect(servers[0]!.ends.length).toBe(expected === 'a' ? 1 : 0);
  });
});

describe('editing rules', () => {
  async function living(): Promise<End> {
    const end = await connectTcp(port);
    await until(() => end.received === 1);
    return end;
  }

  async function stillLives(end: End, server: End): Promise<void> {
    const before = server.received;
    end.write('ping');
    await until(() => server.received === before + 4, 'the connection lives');
    expect(end.ended || end.closed).toBe(false);
  }

  test('a change of destinations or policy disturbs no connection and takes hold for the next', async () => {
    testbed.near.set(proxyKey(key, ['10.0.0.2:80']));
    const end = await living();
    testbed.near.set(proxyKey(key, ['10.0.0.2:81']));
    await stillLives(end, await servers[0]!.accepted(0));
    expect(await answer()).toBe('b');
    testbed.near.set(proxyKey(key, ['10.0.0.2:81'], { policy: { allow: [], deny: ['127.0.0.0/8'] } }));
    await stillLives(end, await servers[0]!.accepted(0));
    expect(await answer()).toBe('ECONNRESET');
  });

  test('another rule that comes or goes disturbs no connection', async () => {
    const other = `egress/tcp/${await freePort()}`;
    testbed.near.set(proxyKey(key, ['10.0.0.2:80']));
    const end = await living();
    testbed.near.set(proxyKey(other, ['10.0.0.2:81']), proxyKey(key, ['10.0.0.2:80']));
    await stillLives(end, await servers[0]!.accepted(0));
    testbed.near.set(proxyKey(key, ['10.0.0.2:80']));
    await stillLives(end, await servers[0]!.accepted(0));
  });

  test('a rule that goes stops listening; its connections live on', async () => {
    testbed.near.set(proxyKey(key, ['10.0.0.2:80']));
    const end = await living();
    expect(testbed.near.set()).toEqual([]);
    await stillLives(end, await servers[0]!.accepted(0));
    const late = await connectTcp(port);
    expect(late.error).toBe('ECONNREFUSED');
  });
});

describe('the listener', () => {
  test('a port in use is reported, tried again, and told when it is free', async () => {
    const blocker = net.createServer();
    await new Promise<void>(resolve => blocker.listen(port, '127.0.0.1', resolve));
    const reports = testbed.near.set(proxyKey(key, ['10.0.0.2:80']));
    expect(reports).toEqual([
      { name: key, ok: false, error: `tcp 127.0.0.1:${port}: the port is in use by another process (EADDRINUSE)` },
    ]);
    await new Promise(resolve => blocker.close(resolve));
    await until(
      () => testbed.near.logs.some(log => log.message === 'proxy key ready' && log.fields['key'] === key),
      'retried',
    );
    expect(await answer()).toBe('a');
  });

  test('a client that resets while it waits ends the dial', async () => {
    testbed.near.set(proxyKey(key, ['10.0.0.2:80']));
    testbed.lose = () => true;
    const end = await connectTcp(port);
    await until(() => (testbed.near.stack.stats()['connections'] ?? 0) === 1, 'dialling');
    end.reset();
    await until(() => count('egress_tcp_gone_while_dialling') === 1);
    expect(testbed.near.stack.stats()['connections']).toBe(0);
  });

  test('what the client sent before the destination answered arrives', async () => {
    testbed.near.set(proxyKey(key, ['10.0.0.2:80']));
    testbed.lose = () => true;
    const end = await connectTcp(port);
    end.write('early').end();
    await until(() => (testbed.near.stack.stats()['connections'] ?? 0) === 1, 'dialling');
    testbed.lose = () => false;
    const accepted = await servers[0]!.accepted(0);
    await until(() => accepted.ended);
    expect(accepted.data.toString()).toBe('early');
  });
});

test('an idle stream is reset when the time is set', async () => {
  const idle = new Testbed({ tcpIdleSeconds: 0.2 });
  idle.far.set(proxyKey('ingress/tcp/80', [`127.0.0.1:${servers[0]!.port}`]));
  idle.near.set(proxyKey(key, ['10.0.0.2:80']));
  const end = await connectTcp(port);
  await until(() => end.received === 1);
  const began = performance.now();
  await until(() => end.closed);
  expect(performance.now() - began).toBeGreaterThan(150);
  expect(end.error).toBe('ECONNRESET');
  await idle.close();
});
