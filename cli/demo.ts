/**
 * `npm start`: two nodes on this machine, joined by WireGuard over loopback, each with its own Envoy. One offers a web
 * page to the tunnel, the other makes it reachable at a local port. Ctrl-C leaves nothing behind.
 */

import { generateKeyPairSync } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findEnvoy } from '../envoy/index.ts';
import { DemoNode } from './demo/node.ts';

const OFFICE = '100.64.0.1';
const LAPTOP = '100.64.0.2';

const say = (line: string): void => console.log(line);

/** Raw X25519 keys in base64, as WireGuard writes them. */
function makeKeys(): { privateKey: string; publicKey: string } {
  const { privateKey, publicKey } = generateKeyPairSync('x25519');
  const raw = (text: string) => Buffer.from(text, 'base64url').toString('base64');
  return {
    privateKey: raw(privateKey.export({ format: 'jwk' }).d!),
    publicKey: raw(publicKey.export({ format: 'jwk' }).x!),
  };
}

function freeUdpPort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4');
    socket.on('error', reject);
    socket.bind(0, '127.0.0.1', () => {
      const { port } = socket.address();
      socket.close(() => resolve(port));
    });
  });
}

/** `wanted`, or another when that is taken. */
function freeTcpPort(wanted: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', error => (wanted === 0 ? reject(error) : resolve(freeTcpPort(0))));
    server.listen(wanted, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

/** The page that the office offers: on loopback, so nothing but the tunnel leads to it from elsewhere. */
async function servePage(): Promise<{ port: number; close: () => void }> {
  let visits = 0;
  const server = createHttpServer((request, response) => {
    visits++;
    response.setHeader('content-type', 'text/plain; charset=utf-8');
    response.end(
      `Hello from the office, through WireGuard without privileges.\nYou asked for ${request.url}, visit ${visits}.\n`,
    );
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return { port: (server.address() as AddressInfo).port, close };
}

async function chooseEnvoy(): Promise<string> {
  const chosen = process.env['NEXD_ENVOY'];
  if (chosen) return chosen;
  say('Looking for Envoy ...');
  const found = await findEnvoy({ progress: say });
  if (found.ok) {
    say(`Using Envoy ${found.version}: ${found.path}`);
    return found.path;
  }
  say(`No Envoy: ${found.error}`);
  say('Going on without: the companions listen themselves (--envoy none).');
  return 'none';
}

const configuration = (
  own: { privateKey: string },
  address: string,
  port: number,
  peer: { publicKey: string },
  peerAddress: string,
  peerPort: number,
) =>
  `[Interface]
PrivateKey = ${own.privateKey}
Address = ${address}/32
ListenPort = ${port}

[Peer]
PublicKey = ${peer.publicKey}
AllowedIPs = ${peerAddress}/32
Endpoint = 127.0.0.1:${peerPort}
`;

/** Runs until the signal; gives the exit code. */
async function demo(stopped: Promise<void>): Promise<number> {
  const closers: (() => void | Promise<void>)[] = [];
  let isStopped = false;
  stopped.then(() => {
    isStopped = true;
  });
  try {
    const envoy = await Promise.race([chooseEnvoy(), stopped]);
    if (envoy === undefined) return 0;
    const directory = mkdtempSync(join(tmpdir(), 'nexd-demo-'));
    closers.push(() => rmSync(directory, { recursive: true, force: true }));
    const page = await servePage();
    closers.push(page.close);
    const [officePort, laptopPort, localPort] = await Promise.all([freeUdpPort(), freeUdpPort(), freeTcpPort(8080)]);
    const [office, laptop] = [makeKeys(), makeKeys()];
    const start = (name: string, wireguard: string, rules: string[]) => {
      mkdirSync(join(directory, name), { mode: 0o700 });
      const node = new DemoNode({ name, directory: join(directory, name), wireguard, envoy, rules, print: say });
      closers.push(() => node.stop());
      return node;
    };
    say('Starting two nodes ...');
    const nodes = [
      start('office', configuration(office, OFFICE, officePort, laptop, LAPTOP, laptopPort), [
        '--ingress',
        `tcp:80:127.0.0.1:${page.port}`,
      ]),
      start('laptop', configuration(laptop, LAPTOP, laptopPort, office, OFFICE, officePort), [
        '--egress',
        `tcp:${localPort}:${OFFICE}:80`,
      ]),
    ];
    await Promise.race([Promise.all(nodes.map(node => node.ready())), stopped]);
    if (isStopped) return 0;
    const url = `http://127.0.0.1:${localPort}/`;
    const answer = await fetch(url, { signal: AbortSignal.timeout(10_000) });
    say(`\n${await answer.text()}`);
    say(`It works. Try it:\n  curl ${url}`);
    for (const [i, name] of ['office', 'laptop'].entries())
      say(`  bin/nexctl nexd --unix-socket ${nodes[i]!.socket} status    # the ${name}`);
    say('Ctrl-C ends both nodes and removes everything.\n');
    const died = await Promise.race([stopped, ...nodes.map(node => node.ended)]);
    if (died === undefined) return 0;
    say('A node has ended by itself.');
    return 1;
  } catch (error) {
    if (isStopped) return 0;
    say(`The demonstration cannot go on: ${(error as Error).message}`);
    return 1;
  } finally {
    if (isStopped) say('\nStopping ...');
    for (const close of closers.reverse()) await close();
  }
}

const stop = Promise.withResolvers<void>();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.resolve());
process.exit(await demo(stop.promise));
