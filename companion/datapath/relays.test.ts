import dgram from 'node:dgram';
import net from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { parseAddress } from '../../rules/index.ts';
import { EventBits } from '../netstack/index.ts';
import { proxyKey, Testbed } from './relay-testbed.ts';
import { connectTcp, freePort, Server, until } from './relay-testends.ts';

let testbed: Testbed;
let server: Server | undefined;

afterEach(async () => {
  server?.close();
  server = undefined;
  await testbed.close();
});

test('reports come in the order of the keys, each for itself', async () => {
  testbed = new Testbed();
  const [busy, free] = [await freePort(), await freePort()];
  const blocker = net.createServer();
  await new Promise<void>(resolve => blocker.listen(busy, '127.0.0.1', resolve));
  const reports = testbed.near.set(
    proxyKey(`egress/tcp/${busy}`, ['10.0.0.2:1']),
    proxyKey(`egress/tcp/${free}`, ['10.0.0.2:1']),
    proxyKey('ingress/udp/53', ['127.0.0.1:53']),
  );
  expect(reports.map(({ name, ok }) => [name, ok])).toEqual([
    [`egress/tcp/${busy}`, false],
    [`egress/tcp/${free}`, true],
    ['ingress/udp/53', true],
  ]);
  await new Promise(resolve => blocker.close(resolve));
});

test('a port that one rule gives up is free for the next in the same change', async () => {
  testbed = new Testbed();
  const port = await freePort();
  expect(testbed.near.set(proxyKey(`egress/udp/${port}`, ['10.0.0.2:1']))[0]!.ok).toBe(true);
  testbed.near.set();
  expect(testbed.near.set(proxyKey(`egress/udp/${port}`, ['10.0.0.2:2']))[0]!.ok).toBe(true);
});

test('a SYN for no rule is refused', async () => {
  server = await Server.tcp();
  testbed = new Testbed();
  const port = await freePort();
  testbed.near.set(proxyKey(`egress/tcp/${port}`, ['10.0.0.2:81']));
  testbed.far.set(proxyKey('ingress/tcp/80', [`127.0.0.1:${server.port}`]));
  const end = await connectTcp(port);
  await until(() => end.closed);
  expect(end.error).toBe('ECONNRESET');
});

test('close resets what is open and leaves nothing in the stack', async () => {
  server = await Server.tcp(end => end.write('x'));
  testbed = new Testbed();
  const port = await freePort();
  testbed.far.set(proxyKey('ingress/tcp/80', [`127.0.0.1:${server.port}`]));
  testbed.near.set(proxyKey(`egress/tcp/${port}`, ['10.0.0.2:80']));
  const end = await connectTcp(port);
  await until(() => end.received === 1);
  expect(testbed.near.relays.connections).toBe(1);
  testbed.near.relays.close();
  await until(() => end.closed);
  expect(end.error).toBe('ECONNRESET');
  expect(testbed.near.relays.connections).toBe(0);
  await until(() => testbed.far.relays.connections === 0);
  expect((await connectTcp(port)).error).toBe('ECONNREFUSED');
});

test('bytes and a RST in one batch: the bytes arrive, then the reset', async () => {
  testbed = new Testbed();
  const port = await freePort();
  testbed.near.set(proxyKey(`egress/tcp/${port}`, ['10.0.0.2:80']));
  // The far end has no relay: an application that answers and gives up in one go.
  const { stack, relays } = testbed.far;
  stack.listen(80, { deferred: false });
  const iovecs = stack.reserve(16 * 4);
  let asked = 0;
  relays.onStackEvent = (connection, events) => {
    if (events & EventBits.READABLE) asked = connection;
  };
  const end = await connectTcp(port);
  end.write('?');
  await until(() => asked !== 0);
  testbed.held = [];
  stack.sendReserve(asked, iovecs, 4);
  stack.sendCommit(asked, 5000);
  await until(() => testbed.held!.length >= 4, 'the answer is on its way');
  const before = testbed.held.length;
  stack.abort(asked);
  await until(() => testbed.held!.length > before, 'so is the RST');
  testbed.release();
  await until(() => end.closed);
  expect([end.received, end.error]).toEqual([5000, 'ECONNRESET']);
});

test('a rule may lead to our own address in the tunnel, and so to our own ingress rule', async () => {
  server = await Server.tcp(end => end.write('self'));
  testbed = new Testbed();
  const port = await freePort();
  const service = dgram.createSocket('udp4');
  service.on('message', (data, from) => service.send(data, from.port, from.address));
  await new Promise<void>(resolve => service.bind(0, '127.0.0.1', resolve));
  testbed.near.set(
    proxyKey('ingress/tcp/80', [`127.0.0.1:${server.port}`]),
    proxyKey(`egress/tcp/${port}`, ['10.0.0.1:80']),
    proxyKey('ingress/udp/53', [`127.0.0.1:${service.address().port}`]),
    proxyKey(`egress/udp/${port}`, ['10.0.0.1:53']),
  );
  const end = await connectTcp(port);
  await until(() => end.data.toString() === 'self');
  const client = dgram.createSocket('udp4');
  const answers: string[] = [];
  client.on('message', data => answers.push(data.toString()));
  client.send('to self', port, '127.0.0.1');
  await until(() => answers.includes('to self'));
  client.close();
  service.close();
});

test('every address of a name may be the one that answers', async () => {
  server = await Server.tcp(end => end.write('found'));
  testbed = new Testbed({ names: { 'twin.example': ['10.0.0.99', '10.0.0.2'] } });
  expect(parseAddress('10.0.0.99')).toBeDefined();
  const port = await freePort();
  testbed.far.set(proxyKey('ingress/tcp/80', [`127.0.0.1:${server.port}`]));
  testbed.near.set(proxyKey(`egress/tcp/${port}`, ['twin.example:80']));
  await new Promise(resolve => setTimeout(resolve, 20));
  // The first address belongs to nobody: the dial gives it five seconds.
  const end = await connectTcp(port);
  await until(() => end.data.toString() === 'found', 'the second address', 9000);
});
