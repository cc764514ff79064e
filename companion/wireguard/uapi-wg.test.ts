/**
 * The real `wg` against `uapi.ts`: a unix socket where `wg` looks for one, and a table of peers behind it. Needs the
 * right to make that socket; says so and skips where it has none.
 */
import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Prefix } from './allowed-ips.ts';
import { errnoReply, getReply, UapiParser, type UapiSet } from './uapi.ts';
import { opensslX25519 } from './x25519.ts';

const run = promisify(execFile);
const DIRECTORY = '/var/run/wireguard';
const NAME = `nxu${process.pid % 1_000_000}`;
const SOCKET = `${DIRECTORY}/${NAME}.sock`;

function missing(): string | undefined {
  if (process.getuid?.() !== 0) return 'not root';
  try {
    execFileSync('wg', ['--version'], { stdio: 'ignore' });
  } catch {
    return 'no wg';
  }
  return undefined;
}

const reason = missing();
if (reason !== undefined) console.warn(`\nSKIPPED: the real wg: ${reason}\n`);

interface Peer {
  publicKey: Uint8Array;
  presharedKey?: Uint8Array;
  endpoint?: { host: string; port: number };
  persistentKeepalive: number;
  allowedIps: Prefix[];
}

/** A device that is configuration only. */
class Device {
  privateKey: Uint8Array | undefined;
  listenPort = 0;
  peers = new Map<string, Peer>();

  apply(set: UapiSet): void {
    if (set.privateKey !== undefined) this.privateKey = set.privateKey === 'clear' ? undefined : set.privateKey;
    if (set.listenPort !== undefined) this.listenPort = set.listenPort;
    if (set.replacePeers) this.peers.clear();
    for (const change of set.peers) {
      const name = Buffer.from(change.publicKey).toString('hex');
      if (change.remove) this.peers.delete(name);
      if (change.remove || (change.updateOnly && !this.peers.has(name))) continue;
      const peer = this.peers.get(name) ?? { publicKey: change.publicKey, persistentKeepalive: 0, allowedIps: [] };
      this.peers.set(name, peer);
      if (change.presharedKey !== undefined) peer.presharedKey = change.presharedKey;
      if (change.endpoint !== undefined) peer.endpoint = change.endpoint;
      peer.persistentKeepalive = change.persistentKeepalive ?? peer.persistentKeepalive;
      if (change.replaceAllowedIps) peer.allowedIps = [];
      for (const { prefix, remove } of change.allowedIps) {
        const same = (p: Prefix) => p.length === prefix.length && Buffer.compare(p.address, prefix.address) === 0;
        peer.allowedIps = peer.allowedIps.filter(p => !same(p));
        if (!remove) peer.allowedIps.push(prefix);
      }
    }
  }

  state() {
    const { privateKey, listenPort } = this;
    const peers = [...this.peers.values()].map(peer => ({ ...peer, txBytes: 12, rxBytes: 34 }));
    return { ...(privateKey && { privateKey }), listenPort, peers };
  }
}

describe.skipIf(reason !== undefined)('the real wg', () => {
  const device = new Device();
  let server: Server;
  const wg = async (...args: string[]) => (await run('wg', args)).stdout;
  // `wg` opens the file itself, and Node's pipes are sockets, which cannot be opened: so a file, not /dev/stdin
  const folder = mkdtempSync(join(tmpdir(), 'uapi-wg-'));
  const withFile = async (content: string, ...args: string[]) => {
    const file = join(folder, 'input');
    writeFileSync(file, content, { mode: 0o600 });
    return wg(...args.map(arg => (arg === 'FILE' ? file : arg)));
  };

  beforeAll(async () => {
    mkdirSync(DIRECTORY, { recursive: true, mode: 0o700 });
    server = createServer(socket => {
      const parser = new UapiParser();
      socket.on('error', () => undefined);
      socket.on('data', chunk => {
        for (const request of parser.push(chunk)) {
          if (request.type === 'get') socket.write(getReply(device.state()));
          else if (request.type === 'error') socket.write(errnoReply(request.errno));
          else if (request.type === 'close') socket.end();
          else {
            device.apply(request.set);
            socket.write(errnoReply(0));
          }
        }
      });
    });
    await new Promise<void>(resolve => server.listen(SOCKET, resolve));
  });

  afterAll(async () => {
    await new Promise(resolve => server.close(resolve));
    rmSync(SOCKET, { force: true });
    rmSync(folder, { recursive: true });
  });

  const key = Buffer.alloc(32, 0x2f); // unclamped: reads back otherwise
  const peerKey = Buffer.alloc(32, 7).toString('base64');
  const clamped = Buffer.from(key);
  clamped[0] = 0x28;
  clamped[31] = 0x6f;

  test('set, show, dump', async () => {
    await withFile(
      key.toString('base64'),
      'set',
      NAME,
      'private-key',
      'FILE',
      'listen-port',
      '4711',
      'peer',
      peerKey,
      'endpoint',
      '[2001:db8::1]:99',
      'persistent-keepalive',
      '25',
      'allowed-ips',
      '10.1.2.3/8,fd00::/64',
    );
    const [device, peer] = (await wg('show', NAME, 'dump'))
      .trim()
      .split('\n')
      .map(line => line.split('\t'));
    const publicKey = Buffer.from(opensslX25519.publicKey(clamped)).toString('base64');
    expect(device).toEqual([clamped.toString('base64'), publicKey, '4711', 'off']);
    expect(peer).toEqual([peerKey, '(none)', '[2001:db8::1]:99', '10.1.2.3/8,fd00::/64', '0', '34', '12', '25']);
    expect(await wg('show', 'interfaces')).toContain(NAME);
  });

  test('setconf, syncconf, showconf, and removal of a peer', async () => {
    const conf =
      `[Interface]\nPrivateKey = ${clamped.toString('base64')}\nListenPort = 4712\n\n[Peer]\nPublicKey = ${peerKey}\n` +
      `PresharedKey = ${Buffer.alloc(32, 9).toString('base64')}\nAllowedIPs = 10.9.0.0/16\n`;
    await withFile(conf, 'setconf', NAME, 'FILE');
    expect(device.peers.size).toBe(1);
    const shown = await wg('showconf', NAME);
    for (const line of conf.split('\n')) expect(shown).toContain(line);
    await withFile(shown.replace('10.9.0.0/16', '10.8.0.0/16'), 'syncconf', NAME, 'FILE');
    expect(await wg('show', NAME, 'allowed-ips')).toBe(`${peerKey}\t10.8.0.0/16\n`);
    await wg('set', NAME, 'peer', peerKey, 'remove');
    expect(await wg('show', NAME, 'peers')).toBe('');
  });

  test('a mark is refused as an operation that is not supported', async () => {
    await expect(wg('set', NAME, 'fwmark', '7')).rejects.toThrow(/not supported/i);
    await wg('set', NAME, 'fwmark', '0');
  });
});
