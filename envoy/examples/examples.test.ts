/** Each recipe is read by Envoy, and does what its head says. */

import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { parse } from 'yaml';
import { compileFilter } from '../../extension/testing/build.ts';
import {
  freePort,
  type ParsedHeader,
  parseProxyHeader,
  proxyHeader,
  serve,
  type TestServer,
  talk,
} from '../testing/net.ts';
import { runEnvoy, testFolder } from '../testing/run.ts';
import { validate } from '../testing/validate.ts';

const folder = testFolder();
const headers: ParsedHeader[] = [];
let companion: TestServer;
/** What the companion's stand-in does behind the header; each test says. */
let behind: (socket: Socket, first: Buffer) => void;

beforeAll(async () => {
  mkdirSync(join(folder, 'ingress', 'tcp'), { recursive: true });
  compileFilter('assembly/index.ts', join(folder, 'filter.wasm'));
  companion = await serve(
    socket => {
      let received: Buffer = Buffer.alloc(0);
      const read = (part: Buffer) => {
        received = Buffer.concat([received, part]);
        const header = parseProxyHeader(received);
        if (header === undefined) return;
        socket.off('data', read);
        headers.push(header);
        behind(socket, header.rest);
      };
      socket.on('data', read);
    },
    join(folder, 'companion.sock'),
  );
});
beforeEach(() => headers.splice(0));
afterAll(async () => {
  await companion.close();
  rmSync(folder, { recursive: true });
});

/** The recipe with its fixed folder and ports replaced by those of the test. */
function recipe(name: string, ports: Record<number, number> = {}): object {
  let text = readFileSync(new URL(name, import.meta.url), 'utf8').replaceAll('/run/nexodus', folder);
  for (const [from, to] of Object.entries(ports)) text = text.replaceAll(`port_value: ${from} `, `port_value: ${to} `);
  return parse(text) as object;
}

const names = readdirSync(new URL('.', import.meta.url)).filter(name => name.endsWith('.yaml'));
test.each(names)('%s is accepted', async name => {
  expect((await validate(recipe(name))).output).toContain('OK');
});

const tlvs = () => headers.splice(0).map(header => [header.tlvs.get(0xe0), header.tlvs.get(0xe1)]);

test('http-routes.yaml', async () => {
  behind = (socket, first) => {
    const answer = (part: Buffer) => socket.end(`HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n${part.subarray(0, 5)}`);
    if (first.length > 0) answer(first);
    else socket.once('data', answer);
  };
  const port = await freePort();
  const envoy = await runEnvoy(recipe('http-routes.yaml', { 8000: port }));
  try {
    for (let i = 0; i < 2; i++) {
      const request = 'GET /a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n';
      expect((await talk({ host: '127.0.0.1', port }, request, false)).data).toMatch(/^HTTP\/1\.1 200 .*GET \/$/s);
    }
    expect(tlvs().sort()).toEqual([
      ['100.100.0.2:80', 'egress/tcp/8080'],
      ['100.100.0.3:80', 'egress/tcp/8080'],
    ]);
  } finally {
    await envoy.stop();
  }
});

test('tls-upstream.yaml', async () => {
  const key = join(folder, 'key.pem');
  const certificate = join(folder, 'certificate.pem');
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=x'];
  execFileSync('openssl', [...request, '-days', '1', '-keyout', key, '-out', certificate], { stdio: 'ignore' });
  let serverName: string | false | null = null;
  const server = createTlsServer({ key: readFileSync(key), cert: readFileSync(certificate) }, secure => {
    secure.on('data', part => {
      serverName = secure.servername;
      secure.end(`secret ${part}`);
    });
  }).listen(join(folder, 'tls.sock'));
  behind = (socket, first) => {
    const onward = connect(join(folder, 'tls.sock'));
    onward.write(first);
    socket.pipe(onward).pipe(socket);
  };
  const port = await freePort();
  const envoy = await runEnvoy(recipe('tls-upstream.yaml', { 5432: port }));
  try {
    expect((await talk({ host: '127.0.0.1', port }, 'ping', false)).data).toBe('secret ping');
    expect(serverName).toBe('database.example');
    expect(tlvs()).toEqual([['100.100.0.2:5432', 'egress/tcp/5432']]);
  } finally {
    await envoy.stop();
    server.close();
  }
});

test('tcp-policy.yaml', async () => {
  behind = (socket, first) => socket.end(`pong ${first}`);
  const port = await freePort();
  const text = JSON.stringify(recipe('tcp-policy.yaml')).replace(
    '"address":"127.0.0.1","port_value":5432',
    `"address":"127.0.0.1","port_value":${port}`,
  );
  const envoy = await runEnvoy(JSON.parse(text) as object);
  try {
    expect((await talk({ host: '127.0.0.1', port }, 'ping', false)).data).toMatch(/^pong/);
    expect(tlvs()).toEqual([['100.100.0.2:5432', 'egress/tcp/5432']]);
  } finally {
    await envoy.stop();
  }
});

test('ingress-http.yaml', async () => {
  const web = await serve(socket => {
    socket.on('data', part => socket.end(`HTTP/1.1 200 OK\r\ncontent-length: ${part.length}\r\n\r\n${part}`));
  });
  const envoy = await runEnvoy(recipe('ingress-http.yaml', { 8080: web.port }));
  try {
    const addresses = [100, 64, 1, 2].map(last => ({ address: Uint8Array.from([100, 64, 0, last]), port: 80 }));
    const ask = async (tlvs: [number, string][]) => {
      const socket = connect(join(folder, 'ingress', 'tcp', '80.sock'));
      const request = 'GET / HTTP/1.1\r\nhost: x\r\nx-peer-public-key: forged\r\n\r\n';
      socket.write(Buffer.concat([proxyHeader(addresses[2]!, addresses[3]!, tlvs), Buffer.from(request)]));
      let answer = '';
      for await (const part of socket) {
        answer += String(part);
        if (answer.includes('\r\n\r\nGET') && answer.endsWith('\r\n\r\n')) break;
      }
      return answer;
    };
    const answer = await ask([
      [0xe1, 'ingress/tcp/80'],
      [0xe2, 'cGVlcg=='],
    ]);
    expect(answer).toContain('x-peer-public-key: cGVlcg==\r\n');
    expect(answer).not.toContain('forged');
    expect(answer).toContain('x-forwarded-for: 100.64.0.1\r\n');
    expect(await ask([])).not.toContain('forged');
  } finally {
    await envoy.stop();
    await web.close();
  }
});
