import { chmodSync, chownSync, existsSync, linkSync, mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { keyPair, memoryLog, Scope } from './testing/companions.ts';
import { type UapiDevice, UapiServer } from './uapi-server.ts';
import { clamp, nobleX25519 } from './wireguard/index.ts';

const scope = new Scope();
afterEach(() => scope.close());

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

async function open(device: UapiDevice, o: { directory?: string; name?: string } = {}) {
  const log = memoryLog();
  const directory = o.directory ?? join(scope.directory(), 'uapi');
  const server = await UapiServer.open({ directory, name: o.name ?? 'nx0', device, log });
  scope.defer(() => server.close());
  return { server, log, directory };
}

/** A companion behind a socket; peers as given. */
async function world() {
  const keys = keyPair();
  const { companion, log } = await scope.companion({ privateKey: keys.privateKey, addresses: ['10.9.0.1/24'] });
  return { keys, companion, companionLog: log, ...(await open(companion)) };
}

function dial(path: string): Socket {
  const socket = connect(path);
  socket.on('error', () => {});
  scope.defer(() => socket.destroy());
  return socket;
}

/** Everything that is answered to `parts`, each sent on its own, until the server has ended. */
async function talk(path: string, ...parts: (string | Buffer)[]): Promise<string> {
  const socket = dial(path);
  let text = '';
  socket.on('data', chunk => (text += chunk.toString()));
  const closed = new Promise(resolve => socket.on('close', resolve));
  for (const part of parts) {
    socket.write(part);
    await new Promise(resolve => setTimeout(resolve, 2));
  }
  socket.end();
  await closed;
  return text;
}

/** Never asked. */
const nothing: UapiDevice = {
  uapiState: () => Promise.reject(new Error('asked')),
  uapiSet: () => Promise.reject(new Error('told')),
};

describe('operations', () => {
  it('get tells what was set, whole or in pieces, many on one connection', async () => {
    const { keys, server } = await world();
    const peer = keyPair();
    const set = [
      'set=1',
      'replace_peers=true',
      `public_key=${hex(peer.publicKey)}`,
      `preshared_key=${'07'.repeat(32)}`,
      'endpoint=127.0.0.1:9',
      'allowed_ip=10.9.0.2/32',
      'allowed_ip=fd09::/64',
      '\n',
    ].join('\n');
    const shown = (port: string) =>
      [
        `private_key=${hex(clamp(keys.privateKey))}`,
        `listen_port=${port}`,
        `public_key=${hex(peer.publicKey)}`,
        `preshared_key=${'07'.repeat(32)}`,
        'protocol_version=1',
        'endpoint=127.0.0.1:9',
        'last_handshake_time_sec=0',
        'last_handshake_time_nsec=0',
        'tx_bytes=0',
        'rx_bytes=0',
        'persistent_keepalive_interval=0',
        'allowed_ip=10.9.0.2/32',
        'allowed_ip=fd09::/64',
        'errno=0\n\n',
      ].join('\n');
    const whole = await talk(server.path, `${set}get=1\n\n`);
    const port = /listen_port=(\d+)/.exec(whole)![1]!;
    expect(whole).toBe(`errno=0\n\n${shown(port)}`);
    expect(await talk(server.path, 'ge', 't=1\n', '\nget', '=1\n\n')).toBe(shown(port) + shown(port));
  });

  it('a set with one bad line changes nothing', async () => {
    const { server, companion } = await world();
    const before = await companion.uapiState();
    const good = ['set=1', 'listen_port=0', `private_key=${'11'.repeat(32)}`, `public_key=${'05'.repeat(32)}`];
    for (const [bad, errno] of [
      ['nonsense=1', -22],
      ['nonsense', -71],
      ['endpoint=localhost:1', -22],
      ['allowed_ip=10.0.0.0/33', -22],
      ['persistent_keepalive_interval=65536', -22],
    ] as const) {
      expect(await talk(server.path, [...good, bad, '\n'].join('\n')), bad).toBe(`errno=${errno}\n\n`);
    }
    // A port that another has, and all else good.
    const { companion: other } = await scope.companion({ privateKey: keyPair().privateKey, addresses: ['10.9.0.3'] });
    const { listenPort } = await other.status();
    expect(await talk(server.path, `${good.join('\n')}\nlisten_port=1\n\n`)).toBe('errno=-22\n\n');
    expect(
      await talk(
        server.path,
        `set=1\nprivate_key=${'11'.repeat(32)}\nlisten_port=${listenPort}\nreplace_peers=true\n\n`,
      ),
    ).toBe('errno=-98\n\n');
    expect(await companion.uapiState()).toEqual(before);
    expect(await talk(server.path, `get=1\nx\n\n`)).toBe('errno=-22\n\n');
    expect(await talk(server.path, 'fwmark=1\n\n')).toBe('');
    expect(await talk(server.path, 'set=1\nfwmark=1\n\nset=1\nfwmark=0\n\n')).toBe('errno=-95\n\nerrno=0\n\n');
  });

  it('a line of 64 KiB is answered with EIO, and the end', async () => {
    const { server } = await open(nothing);
    expect(await talk(server.path, Buffer.alloc(65_536, 'x'))).toBe('errno=-5\n\n');
  });

  it('another private key, its clamping, none at all, and another port', async () => {
    const { server, companion } = await world();
    const key = new Uint8Array(32).fill(0x2f);
    const { listenPort } = await companion.status();
    expect(await talk(server.path, `set=1\nprivate_key=${hex(key)}\n\n`)).toBe('errno=0\n\n');
    expect((await companion.status()).publicKey).toBe(Buffer.from(nobleX25519.publicKey(key)).toString('base64'));
    expect(await talk(server.path, 'get=1\n\n')).toContain(`private_key=${hex(clamp(key))}\n`);
    // Our own key as a peer: ignored, as WireGuard does.
    expect(await talk(server.path, `set=1\npublic_key=${hex(nobleX25519.publicKey(key))}\n\n`)).toBe('errno=0\n\n');
    expect(await talk(server.path, 'get=1\n\n')).not.toContain('public_key');
    expect(await talk(server.path, `set=1\nprivate_key=${'00'.repeat(32)}\nlisten_port=0\n\n`)).toBe('errno=0\n\n');
    expect(await talk(server.path, 'get=1\n\n')).not.toContain('private_key');
    expect((await companion.status()).listenPort).not.toBe(listenPort);
  });

  it('20 clients at once each get a whole answer, and sets from two of them are not mixed', async () => {
    const { server, companion } = await world();
    const peers = Array.from(
      { length: 20 },
      (_, i) => `public_key=${(i + 1).toString(16).padStart(2, '0').repeat(32)}`,
    );
    const answers = await Promise.all(
      peers.map(peer => talk(server.path, `set=1\n${peer}\n`, 'allowed_ip=10.0.0.0/8\n\nget=1\n', '\n')),
    );
    for (const answer of answers) expect(answer).toMatch(/^errno=0\n\nprivate_key=.*errno=0\n\n$/s);
    const state = await companion.uapiState();
    expect(state.peers).toHaveLength(20);
    expect(state.peers.flatMap(peer => peer.allowedIps)).toHaveLength(1);
  });

  it('130,561 allowed IPs go in and come out', async () => {
    const { server } = await world();
    const ips: string[] = [];
    for (let a = 0; a < 2; a++)
      for (let b = 0; b < 256; b++) for (let c = 0; c < 255; c++) ips.push(`allowed_ip=10.${a}.${b}.${c}/32`);
    ips.push('allowed_ip=11.0.0.0/8');
    expect(await talk(server.path, `set=1\npublic_key=${'05'.repeat(32)}\n${ips.join('\n')}\n\n`)).toBe('errno=0\n\n');
    const shown = (await talk(server.path, 'get=1\n\n')).split('\n').filter(line => line.startsWith('allowed_ip='));
    expect(shown).toEqual(ips);
  });

  it('a device that fails is answered for, and nothing of a request is logged', async () => {
    const { server, log } = await open(nothing);
    const secret = '5a'.repeat(32);
    expect(await talk(server.path, `get=1\n\nset=1\nprivate_key=${secret}\n\n`)).toBe('errno=-5\n\nerrno=-5\n\n');
    expect(log.lines).toHaveLength(2);
    expect(JSON.stringify(log.lines)).not.toContain(secret);
  });

  it('no key is in the log of a change', async () => {
    const { server, companionLog, log } = await world();
    const key = keyPair().privateKey;
    await talk(
      server.path,
      `set=1\nprivate_key=${hex(key)}\npublic_key=${'05'.repeat(32)}\npreshared_key=${hex(key)}\n\n`,
    );
    const text = JSON.stringify([companionLog.lines, log.lines]);
    expect(text).toContain('private key was changed');
    for (const form of [hex(key), Buffer.from(key).toString('base64'), JSON.stringify([...key])])
      expect(text).not.toContain(form);
  });

  it('a client that says nothing for 10 s is hung up on', async () => {
    const { server } = await open(nothing);
    const socket = dial(server.path);
    const closed = new Promise(resolve => socket.on('close', resolve));
    await new Promise(resolve => socket.on('connect', resolve));
    const started = performance.now();
    socket.write('set=1\n');
    await closed;
    expect(performance.now() - started).toBeGreaterThan(9000);
    expect(performance.now() - started).toBeLessThan(13_000);
  });
});

describe('the socket', () => {
  it('has mode 0600 in a directory of mode 0700, and is gone with the server', async () => {
    const { server, directory } = await open(nothing);
    expect(statSync(server.path).mode & 0o777).toBe(0o600);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    await server.close();
    expect(existsSync(server.path)).toBe(false);
  });

  it('takes the place of one that is left over, and not of one that is served', async () => {
    const { directory, server } = await open(nothing);
    await expect(open(nothing, { directory })).rejects.toThrow(/another process serves a WireGuard device named nx0/);
    expect(existsSync(server.path)).toBe(true);
    // As after SIGKILL: bound, nobody listens.
    const stale = join(directory, 'nx1.sock');
    const dead = createServer();
    await new Promise<void>(resolve => dead.listen(`${stale}.x`, resolve));
    linkSync(`${stale}.x`, stale);
    await new Promise(resolve => dead.close(resolve));
    expect(existsSync(stale)).toBe(true);
    const { server: second } = await open(nothing, { directory, name: 'nx1' });
    expect(await talk(second.path, 'x')).toBe('');
  });

  it('is refused where others could come between, in words', async () => {
    const base = scope.directory();
    const inDirectory = (name: string, make: (path: string) => void) => {
      const directory = join(base, name);
      make(directory);
      return expect(open(nothing, { directory })).rejects;
    };
    await inDirectory('open', path => {
      mkdirSync(path);
      chmodSync(path, 0o755);
    }).toThrow(/open to other users \(mode 755, must be 700\)/);
    await inDirectory('link', path => symlinkSync('/tmp', path)).toThrow(/symbolic link/);
    await inDirectory('file', path => writeFileSync(path, '')).toThrow(/not a directory/);
    await inDirectory('a/b', () => {}).toThrow(/cannot be made: ENOENT/);
    await inDirectory('x'.repeat(100), () => {}).toThrow(/at most 107 bytes/);
    const { directory } = await open(nothing);
    writeFileSync(join(directory, 'f.sock'), '');
    await expect(open(nothing, { directory, name: 'f' })).rejects.toThrow(/not a socket/);
    if (process.getuid?.() === 0) {
      await inDirectory('other', path => {
        mkdirSync(path, { mode: 0o700 });
        chownSync(path, 65534, 65534);
      }).toThrow(/belongs to another user \(uid 65534\)/);
    }
  });
});
