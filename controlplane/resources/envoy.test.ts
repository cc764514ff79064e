/** The resources at work in the real Envoy, as a static configuration, with a stand-in for the companion. */

import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdirSync, rmSync, statSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  freePort,
  type ParsedHeader,
  parseProxyHeader,
  proxyHeader,
  serve,
  type TestServer,
  talk,
} from '../../envoy/testing/net.ts';
import { runEnvoy, type TestEnvoy, testFolder } from '../../envoy/testing/run.ts';
import { compileFilter } from '../../extension/testing/build.ts';
import { parseRule, proxyKeys } from '../../rules/index.ts';
import type { ResourceInput } from './input.ts';
import { renderStatic } from './render.ts';

const folder = testFolder();
const ports = { tcp: 0, denied: 0, udp: 0, udpDenied: 0, udpIngress: 0, refused: 0 };
let envoy: TestEnvoy;
/** Accepts what Envoy sends into the tunnel: answers with the parsed header, then echoes. */
let companion: TestServer;
const headers: ParsedHeader[] = [];
let local: TestServer;
let udpEcho: UdpSocket;

function companionConnection(socket: Socket): void {
  let received: Buffer = Buffer.alloc(0);
  let parsed = false;
  socket.on('data', part => {
    if (parsed) return void socket.write(part);
    received = Buffer.concat([received, part]);
    const header = parseProxyHeader(received);
    if (header === undefined) return;
    parsed = true;
    headers.push(header);
    // The server speaks first.
    socket.write('hello ');
    socket.write(header.rest);
  });
  socket.on('end', () => socket.end(' bye'));
}

/** A UDP port of loopback that is free for TCP too, which is as good as free. */
async function freeUdpPort(): Promise<number> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  return port;
}

function rule(direction: 'egress' | 'ingress', text: string) {
  const result = parseRule(direction, text);
  if (!result.ok) throw new Error(result.error);
  return result.rule;
}

beforeAll(async () => {
  mkdirSync(join(folder, 'ingress', 'tcp'), { recursive: true });
  compileFilter('assembly/index.ts', join(folder, 'filter.wasm'));
  companion = await serve(companionConnection, join(folder, 'companion.sock'));
  local = await serve(socket => {
    socket.write(`local `);
    socket.on('data', part => socket.write(part));
    socket.on('end', () => socket.end());
  });
  udpEcho = createSocket('udp4').bind(0, '127.0.0.1');
  await once(udpEcho, 'listening');
  udpEcho.on('message', (bytes, { port }) => udpEcho.send(bytes, port));
  for (const name of ['tcp', 'denied', 'refused'] as const) ports[name] = await freePort();
  for (const name of ['udp', 'udpDenied', 'udpIngress'] as const) ports[name] = await freeUdpPort();
  const keys = proxyKeys([
    rule('egress', `tcp:${ports.tcp}:100.100.0.2:5432`),
    rule('egress', `tcp:${ports.tcp}:[200::1]:5433`),
    rule('egress', `tcp:${ports.denied}:100.100.0.2:5432`),
    rule('egress', `udp:${ports.udp}:100.100.0.2:53`),
    rule('egress', `udp:${ports.udpDenied}:100.100.0.2:53`),
    rule('ingress', `tcp:443:127.0.0.1:${ports.refused}`),
    rule('ingress', `tcp:443:127.0.0.1:${local.port}`),
    rule('ingress', `tcp:80:localhost:${local.port}`),
    rule('ingress', `tcp:81:nexodus.invalid:80`),
    rule('ingress', `udp:53:127.0.0.1:${udpEcho.address().port}`),
  ]);
  const deny = { allow: [], deny: ['127.0.0.0/8'] };
  const udpPort = { destination: { host: '100.100.0.2', port: 53 }, port: udpEcho.address().port };
  const input: ResourceInput = {
    keys: keys.map(key => ({
      ...key,
      ...(key.port === ports.denied || key.port === ports.udpDenied ? { policy: deny } : {}),
      ...(key.name === 'ingress/tcp/443' ? { policy: { allow: ['100.64.0.0/10'], deny: ['100.64.9.0/24'] } } : {}),
    })),
    bind: '',
    paths: {
      companionSocket: join(folder, 'companion.sock'),
      ingressDirectory: join(folder, 'ingress'),
      filterWasm: join(folder, 'filter.wasm'),
    },
    udpPorts: new Map([`egress/udp/${ports.udp}`, `egress/udp/${ports.udpDenied}`].map(name => [name, [udpPort]])),
    ingressUdpPorts: new Map([['ingress/udp/53', ports.udpIngress]]),
    accessLog: '/dev/stdout',
  };
  envoy = await runEnvoy({ static_resources: renderStatic(input) }, { folder, concurrency: 1 });
});

afterAll(async () => {
  await envoy?.stop();
  await Promise.all([companion.close(), local.close()]);
  udpEcho.close();
  rmSync(folder, { recursive: true });
});

test('egress TCP: PROXY v2 with destination, key and connection; the server may speak first; half-close passes', async () => {
  const answers = [];
  for (let i = 0; i < 4; i++) answers.push((await talk({ host: '127.0.0.1', port: ports.tcp }, 'ping')).data);
  expect(answers).toEqual(new Array(4).fill('hello ping bye'));
  const seen = headers.splice(0);
  for (const { source, destination, tlvs } of seen) {
    expect(source).toMatch(/^127\.0\.0\.1:\d+$/);
    expect(destination).toBe(`127.0.0.1:${ports.tcp}`);
    expect(tlvs.get(0xe1)).toBe(`egress/tcp/${ports.tcp}`);
    expect(tlvs.get(0xe3)).toMatch(/^\d+$/);
  }
  // Round robin.
  expect(seen.map(({ tlvs }) => tlvs.get(0xe0)).sort()).toEqual([
    ...['100.100.0.2:5432', '100.100.0.2:5432', '[200::1]:5433', '[200::1]:5433'],
  ]);
});

test('egress TCP: a reset passes both ways', async () => {
  // The companion's way to reset a unix stream: it closes with a byte unread (unix_release_sock). With nothing left to write,
  // Envoy reads ECONNRESET; with bytes left its write fails first, and the client gets a FIN.
  const path = join(folder, 'companion.sock');
  await companion.close();
  const server = createServer({ pauseOnConnect: true }, socket => setTimeout(() => socket.destroy(), 50)).listen(path);
  await once(server, 'listening');
  expect(await talk({ host: '127.0.0.1', port: ports.tcp }, 'ping', false)).toEqual({ data: '', error: 'ECONNRESET' });
  server.close();
  await once(server, 'close');
  companion = await serve(companionConnection, path);

  const accepted = once(companion.server, 'connection') as Promise<[Socket]>;
  const client = connect({ host: '127.0.0.1', port: ports.tcp });
  client.write('ping');
  const [far] = await accepted;
  await once(client, 'data');
  const gone = new Promise<void>(resolve => far.once('close', () => resolve()));
  client.resetAndDestroy();
  await gone;
  headers.splice(0);
});

test('egress TCP over IPv6', async () => {
  expect((await talk({ host: '::1', port: ports.tcp }, 'ping')).data).toBe('hello ping bye');
  expect(headers.splice(0)[0]!.source).toMatch(/^0{31}1:\d+$/);
});

test('egress TCP: who is denied sees the end and the companion nothing', async () => {
  expect(await talk({ host: '127.0.0.1', port: ports.denied }, 'ping')).toMatchObject({ data: '' });
  expect((await talk({ host: '::1', port: ports.denied }, 'ping')).data).toBe('hello ping bye');
  expect(headers.splice(0)).toHaveLength(1);
});

async function fromPeer(socketName: string, peer: number[], tlvs: [number, string][]): Promise<string> {
  const header = proxyHeader(
    { address: Uint8Array.from(peer), port: 4242 },
    { address: Uint8Array.from([100, 64, 0, 1]), port: 443 },
    tlvs,
  );
  const socket = connect(join(folder, 'ingress', 'tcp', socketName));
  let data = '';
  socket.on('data', part => {
    data += part.toString();
    if (data === 'local ping') socket.end();
  });
  socket.on('error', () => {});
  socket.write(header);
  socket.write('ping');
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.on('close', () => resolve());
  await promise;
  return data;
}

test('ingress TCP: a refused local service is passed over, the policy is about the peer', async () => {
  const tlvs: [number, string][] = [
    [0xe1, 'ingress/tcp/443'],
    [0xe2, 'cGVlcg=='],
  ];
  for (let i = 0; i < 6; i++) expect(await fromPeer('443.sock', [100, 64, 1, 2], tlvs)).toBe('local ping');
  expect(await fromPeer('443.sock', [100, 64, 9, 2], tlvs)).toBe('');
  expect(await fromPeer('443.sock', [10, 0, 0, 1], tlvs)).toBe('');
  expect(envoy.log).toContain('envoy/wasm: denied ingress/tcp/443 from 100.64.9.2:4242 peer cGVlcg==');
});

test('ingress TCP to a name', async () => {
  expect(await fromPeer('80.sock', [100, 64, 9, 2], [])).toBe('local ping');
});

test('the ingress socket is ours alone, and no PROXY header means no connection', async () => {
  const path = join(folder, 'ingress', 'tcp', '443.sock');
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(statSync(join(folder, 'admin.sock')).mode & 0o777).toBe(0o600);
  const before = local.sockets.length;
  expect((await talk({ path }, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', false)).data).toBe('');
  expect((await talk({ path }, 'PROXY TCP4 100.64.1.2 100.64.0.1 1 443\r\nping', false)).data).toBe('');
  expect(local.sockets.length).toBe(before);
});

/** @returns how many bytes came back, 0 if none did in time. */
async function exchange(host: string, port: number, bytes: number): Promise<number> {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  const { promise, resolve } = Promise.withResolvers<number>();
  socket.on('message', message => resolve(message.length));
  const timer = setTimeout(() => resolve(0), 1000);
  socket.send(new Uint8Array(bytes), port, host);
  const size = await promise;
  clearTimeout(timer);
  socket.close();
  return size;
}

test('UDP: datagrams of every size pass both ways', async () => {
  for (const size of [0, 1, 1472, 9000, 65_507]) {
    expect(await exchange('127.0.0.1', ports.udp, size), `egress ${size}`).toBe(size);
    expect(await exchange('127.0.0.1', ports.udpIngress, size), `ingress ${size}`).toBe(size);
  }
  expect(await exchange('::1', ports.udp, 1000)).toBe(1000);
});

test('UDP: who is denied gets nothing', async () => {
  expect(await exchange('127.0.0.1', ports.udpDenied, 10)).toBe(0);
  expect(await exchange('::1', ports.udpDenied, 10)).toBe(10);
});

test('the access log has a line for each connection', async () => {
  await expect
    .poll(() => envoy.log.filter(line => line.startsWith('access: ')).length, { timeout: 10_000 })
    .toBeGreaterThan(10);
  const lines = envoy.log.filter(line => line.startsWith('access: ')).map(line => JSON.parse(line.slice(8)));
  expect(lines).toContainEqual(
    expect.objectContaining({ key: `egress/tcp/${ports.tcp}`, destination: '100.100.0.2:5432', received: 4, sent: 14 }),
  );
  expect(lines).toContainEqual(expect.objectContaining({ key: 'ingress/tcp/443', peer: 'cGVlcg==' }));
});

test('the listeners are where they should be', async () => {
  const listeners = new Map((await envoy.admin.listeners()).map(({ name, addresses }) => [name, addresses]));
  expect(listeners.get(`egress/tcp/${ports.tcp}`)).toEqual([`[::]:${ports.tcp}`]);
  expect(listeners.get('ingress/tcp/443')).toEqual([join(folder, 'ingress', 'tcp', '443.sock')]);
});
