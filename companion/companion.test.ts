import { createHash, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { type ProxyRule, parseRule, proxyKeys } from '../rules/index.ts';
import type { Companion, PeerConfig } from './index.ts';
import { freePort, keyPair, memoryLog, Scope } from './testing/companions.ts';

let scope = new Scope();
afterEach(async () => {
  await scope.close();
  scope = new Scope();
});

function keysOf(...texts: [direction: 'egress' | 'ingress', rule: string][]) {
  const rules = texts.map(([direction, text]): ProxyRule => {
    const parsed = parseRule(direction, text);
    if (!parsed.ok) throw new Error(parsed.error);
    return parsed.rule;
  });
  return proxyKeys(rules);
}

const A = '10.9.0.1';
const B = '10.9.0.2';

/** Two nodes that know each other; `b` knows no endpoint of `a`. */
async function pair(o: { presharedKey?: Uint8Array } = {}) {
  const [keysA, keysB] = [keyPair(), keyPair()];
  const psk = o.presharedKey === undefined ? {} : { presharedKey: o.presharedKey };
  const b = await scope.companion({
    privateKey: keysB.privateKey,
    addresses: [`${B}/24`, 'fd09::2/64'],
    peers: [{ publicKey: keysA.publicKey, allowedIps: [`${A}/32`, 'fd09::1/128'], ...psk }],
  });
  const portOfB = (await b.companion.status()).listenPort;
  const peer: PeerConfig = {
    publicKey: keysB.publicKey,
    endpoint: { host: '127.0.0.1', port: portOfB },
    allowedIps: [`${B}/32`, 'fd09::2/128'],
    ...psk,
  };
  const a = await scope.companion({
    privateKey: keysA.privateKey,
    addresses: [`${A}/24`, 'fd09::1/64'],
    peers: [peer],
  });
  return { a: a.companion, b: b.companion, logA: a.log, logB: b.log, peer, keysA, keysB };
}

/** Egress on `a` through the tunnel to ingress on `b`, which calls `target`. -> the port on which `a` listens. */
async function tunnelTcp(a: Companion, b: Companion, target: number, address = B): Promise<number> {
  const port = await freePort();
  const ingress = await b.setProxyKeys(keysOf(['ingress', `tcp:8001:127.0.0.1:${target}`]));
  const host = address.includes(':') ? `[${address}]` : address;
  const egress = await a.setProxyKeys(keysOf(['egress', `tcp:${port}:${host}:8001`]));
  expect([...ingress, ...egress].map(({ ok, error }) => error ?? ok)).toEqual([true, true]);
  return port;
}

async function exchange(port: number, bytes: Buffer): Promise<Buffer> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  const parts: Buffer[] = [];
  socket.on('data', part => parts.push(part));
  socket.end(bytes);
  await closed(socket);
  return Buffer.concat(parts);
}

/** After an error, too. */
function closed(socket: Socket): Promise<void> {
  return new Promise(resolve => socket.once('close', () => resolve()));
}

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

describe('two companions', () => {
  it.each([B, 'fd09::2'])('carry a TCP echo with half-close to %s', async address => {
    const { a, b } = await pair();
    const target = await scope.server(socket => socket.pipe(socket));
    const port = await tunnelTcp(a, b, target, address);
    for (let i = 0; i < 3; i++) {
      const bytes = randomBytes(1 + 100_000 * i);
      expect(sha256(await exchange(port, bytes))).toBe(sha256(bytes));
    }
    const status = await a.status();
    expect(status.peers[0]!.latestHandshake).toBeGreaterThan(Date.now() / 1000 - 60);
    expect(status.peers[0]!.rx).toBeGreaterThan(200_000);
    // Roaming taught `b` where `a` is.
    expect((await b.status()).peers[0]!.endpoint).toBe(`127.0.0.1:${status.listenPort}`);
  });

  it('carry 32 MB each way at once, unharmed, on several connections', async () => {
    const { a, b } = await pair({ presharedKey: randomBytes(32) });
    const target = await scope.server(socket => socket.pipe(socket));
    const port = await tunnelTcp(a, b, target);
    const texts = Array.from({ length: 4 }, () => randomBytes(8 << 20));
    const echoes = await Promise.all(texts.map(bytes => exchange(port, bytes)));
    expect(echoes.map(sha256)).toEqual(texts.map(sha256));
    const { counters } = await a.status();
    expect(counters['wireguard_drop_tag']).toBe(0);
    expect(counters['wireguard_drop_replayed']).toBe(0);
  });

  it('carry UDP both ways', async () => {
    const { a, b } = await pair();
    const echo = createSocket('udp4');
    scope.defer(() => echo.close());
    echo.on('message', (message, from) => echo.send(message, from.port, from.address));
    echo.bind(0, '127.0.0.1');
    await once(echo, 'listening');
    const port = await freePort();
    await b.setProxyKeys(keysOf(['ingress', `udp:53:127.0.0.1:${echo.address().port}`]));
    await a.setProxyKeys(keysOf(['egress', `udp:${port}:${B}:53`]));
    const client = createSocket('udp4');
    scope.defer(() => client.close());
    for (const size of [1, 1200, 9000, 60_000]) {
      const bytes = randomBytes(size);
      const answer = once(client, 'message') as Promise<[Buffer]>;
      client.send(bytes, port, '127.0.0.1');
      expect((await answer)[0].equals(bytes), `${size} bytes`).toBe(true);
    }
  });

  it('refuse at once a destination that nobody listens on', async () => {
    const { a, b } = await pair();
    const port = await tunnelTcp(a, b, await freePort());
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    const began = performance.now();
    await closed(socket);
    expect(performance.now() - began).toBeLessThan(2000);
  });

  it('send one initiation for the first packet after a silence longer than a handshake may take', async () => {
    const { a, b } = await pair();
    const port = await tunnelTcp(a, b, await scope.server(socket => socket.pipe(socket)));
    await sleep(6000);
    expect((await exchange(port, Buffer.from('x'))).toString()).toBe('x');
    // One initiation and one response: a second initiation would make the answer to the first one void.
    expect((await a.status()).counters['wireguard_drop_unknown_index']).toBe(0);
    expect((await b.status()).counters['handshakes_received']).toBe(1);
  });

  it('log and count no key, and save growing stamps before they are used', async () => {
    const stamps: string[] = [];
    const [keysA, keysB] = [keyPair(), keyPair()];
    const peer = {
      publicKey: keysB.publicKey,
      allowedIps: [`${B}/32`],
      endpoint: { host: '127.0.0.1', port: 9 },
      persistentKeepalive: 1,
    };
    const log = memoryLog();
    const { companion } = await scope.companion(
      {
        privateKey: keysA.privateKey,
        addresses: [A],
        peers: [peer],
        saveStamp: stamp => void stamps.push(Buffer.from(stamp).toString('hex')),
      },
      log,
    );
    await expect.poll(() => stamps.length, { timeout: 5000 }).toBeGreaterThan(0);
    expect(stamps).toEqual([...stamps].sort());
    const text = JSON.stringify([log.lines, await companion.status()]);
    expect(text).not.toContain(Buffer.from(keysA.privateKey).toString('base64'));
    expect(text).not.toContain(Buffer.from(keysA.privateKey).toString('hex'));
  });
});

describe('a companion', () => {
  it('follows changes of peers while it runs', async () => {
    const { a, b, peer, keysB } = await pair();
    const target = await scope.server(socket => socket.pipe(socket));
    const port = await tunnelTcp(a, b, target);
    expect((await exchange(port, Buffer.from('one'))).toString()).toBe('one');
    await a.setPeers([]);
    expect((await a.status()).peers).toEqual([]);
    await a.setPeers([peer, { publicKey: keyPair().publicKey, allowedIps: ['10.8.0.0/16'] }]);
    expect((await a.status()).peers.map(({ allowedIps }) => allowedIps)).toEqual([
      [`${B}/32`, 'fd09::2/128'],
      ['10.8.0.0/16'],
    ]);
    expect((await exchange(port, Buffer.from('two'))).toString()).toBe('two');
    await expect(a.setPeers([peer, peer])).rejects.toThrow(/twice/);
    await b.setPeers([...(await b.status()).peers.map(() => ({ publicKey: keysB.publicKey, allowedIps: [] }))]);
    expect((await b.status()).peers).toEqual([]);
  });

  it('says in words what keeps it from starting', async () => {
    const { privateKey } = keyPair();
    const first = await scope.companion({ privateKey, addresses: [A] });
    const { listenPort } = await first.companion.status();
    const start = (config: object) => scope.companion({ privateKey, addresses: [A], ...config });
    await expect(start({ listenPort })).rejects.toThrow(
      `UDP port ${listenPort} for WireGuard: in use by another process`,
    );
    await expect(start({ privateKey: new Uint8Array(31) })).rejects.toThrow('the private key has 31 bytes, not 32');
    await expect(start({ addresses: ['10.0.0.300'] })).rejects.toThrow('10.0.0.300 is no address or CIDR');
    await expect(start({ mtu: 100 })).rejects.toThrow('MTU 100');
  });

  it('leaves no descriptor and no thread behind', async () => {
    const descriptors = () => readdirSync('/proc/self/fd').length;
    const threads = () => readdirSync('/proc/self/task').length;
    const warm = await pair();
    await warm.a.close();
    await warm.b.close();
    await sleep(100);
    const before = [descriptors(), threads()];
    const { a, b } = await pair();
    const port = await tunnelTcp(a, b, await scope.server(() => {}));
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    await once(socket, 'connect');
    const gone = closed(socket);
    await Promise.all([a.close(), b.close(), a.close()]);
    await gone;
    await scope.close();
    await expect.poll(() => [descriptors(), threads()], { timeout: 5000 }).toEqual(before);
    await expect(a.status()).rejects.toThrow();
  });
});
