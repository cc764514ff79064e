// The real `wg` on nexd's UAPI socket, with a real wireguard-go at the other end to see whether what was set is so.
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, lstatSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { seededRandom } from './harness/impairment.ts';
import { inNamespace, whyNoNamespaces } from './harness/network.ts';
import { runNexd, startNexd } from './harness/nexd.ts';
import { makeKeys } from './harness/wireguard-go.ts';
import { FAR, makeWorld, NEAR, type World } from './harness/world.ts';

const why = whyNoNamespaces();
if (why !== undefined) console.error(`SKIPPED test/uapi.test.ts: ${why}`);

const SEED = 20_261_124;
/** Every secret that a test has made, to be looked for where it must not be. */
const secrets = new Set<string>();
const keys = () => {
  const made = makeKeys();
  secrets.add(made.privateKey);
  return made;
};

describe.skipIf(why !== undefined)('wg', () => {
  let world: World;
  let socket: string;
  beforeAll(async () => {
    world = await makeWorld({ envoy: 'none', uapi: true, args: ['--log-level', 'debug'] });
    socket = join(world.nexd.folder, 'uapi', 'nexd0.sock');
    secrets.add(/PrivateKey = (\S+)/.exec(readFileSync(join(world.nexd.folder, 'wg0.conf'), 'utf8'))![1]!);
  });
  afterAll(async () => {
    await world?.close();
  });

  const file = (text: string): string => {
    const path = join(world.nexd.folder, 'input');
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  const set = (...args: string[]) => world.wg('set', 'nexd0', ...args);
  const columns = (text: string) =>
    text
      .trimEnd()
      .split('\n')
      .map(line => line.split('\t'));
  const echo = async (direction: 'egress' | 'ingress' = 'egress', timeoutMs = 1000) => {
    const { client, to } = world.way(direction, 'v4', 'echo');
    return await client.exchange({ ...to, text: 'hello', shutdown: true, timeoutMs });
  };
  const works = async (direction: 'egress' | 'ingress' = 'egress') =>
    await expect.poll(async () => (await echo(direction)).text, { timeout: 15_000, interval: 10 }).toBe('hello');
  /** What a client on the socket is answered, until the server ends or a second is over. */
  const raw = (bytes: string | Buffer): Promise<string> =>
    new Promise(resolve => {
      let text = '';
      const client = connect(socket);
      client.on('data', part => (text += part.toString('latin1')));
      client.on('error', () => {});
      client.on('close', () => resolve(text));
      client.end(bytes);
      setTimeout(() => client.destroy(), 1000).unref();
    });

  test('show: the device and the peer, as a person reads them', async () => {
    await works();
    const text = world.wg('show');
    expect(text).toContain(`interface: nexd0\n  public key: ${world.publicKeys.near}\n`);
    expect(text).toContain('  listening port: 51821\n');
    expect(text).toContain(`peer: ${world.publicKeys.far}\n  endpoint: ${world.network.farAddress.v4}:51820\n`);
    expect(text).toContain(`  allowed ips: ${FAR.v4}/32, ${FAR.v6}/128\n`);
    expect(text).toMatch(/ {2}latest handshake: (\d+ seconds? ago|Now)\n {2}transfer: .* received, .* sent\n/);
    expect(world.wg('show', 'interfaces')).toBe('nexd0\n');
    expect(lstatSync(socket).mode & 0o777).toBe(0o600);
    expect(lstatSync(socket).uid).toBe(65_534);
  });

  test('show all dump: each column, and the same bytes as the far end has counted', async () => {
    const { client, to } = world.way('egress', 'v4', 'digest');
    await client.exchange({ ...to, bytes: 1_000_000, shutdown: true });
    // The last acknowledgement may be on its way.
    await new Promise(resolve => setTimeout(resolve, 200));
    const [device, peer] = columns(world.wg('show', 'all', 'dump')) as [string[], string[]];
    const [privateKey] = secrets;
    expect(device).toEqual(['nexd0', privateKey, world.publicKeys.near, '51821', 'off']);
    const [, theirs] = columns(world.farEnd.wg('show', world.farEnd.device, 'dump')) as [string[], string[]];
    expect(peer.slice(0, 5)).toEqual([
      ...['nexd0', world.publicKeys.far, '(none)', `${world.network.farAddress.v4}:51820`],
      `${FAR.v4}/32,${FAR.v6}/128`,
    ]);
    const [, , , , handshake, rx, tx] = theirs;
    expect(Math.abs(Number(peer[5]) - Number(handshake))).toBeLessThanOrEqual(1);
    expect(peer.slice(6)).toEqual([tx, rx, 'off']);
    expect(Number(peer[7])).toBeGreaterThan(1_000_000);
  });

  test('an endpoint that is wrong, and the right one again', async () => {
    // Of a family that has no way out. The far end has nothing to say, so no packet of its brings us back.
    set('peer', world.publicKeys.far, 'endpoint', '[2001:db8::1]:99');
    expect(world.wg('show', 'nexd0', 'endpoints')).toBe(`${world.publicKeys.far}\t[2001:db8::1]:99\n`);
    expect((await echo('egress', 500)).text).toBe('');
    set('peer', world.publicKeys.far, 'endpoint', `${world.network.farAddress.v4}:51820`);
    await works();
  });

  test('allowed IPs: taken away, refused; given back, as before', async () => {
    set('peer', world.publicKeys.far, 'allowed-ips', '10.70.0.0/16');
    expect(world.wg('show', 'nexd0', 'allowed-ips')).toBe(`${world.publicKeys.far}\t10.70.0.0/16\n`);
    expect((await echo('egress', 3000)).text).toBe('');
    // Another peer takes one over, and loses it with its removal.
    const { publicKey } = keys();
    set('peer', publicKey, 'allowed-ips', '10.70.0.0/16,192.0.2.0/24');
    expect(columns(world.wg('show', 'nexd0', 'allowed-ips'))).toEqual([
      [world.publicKeys.far, '(none)'],
      [publicKey, '10.70.0.0/16 192.0.2.0/24'],
    ]);
    set('peer', publicKey, 'remove');
    set('peer', world.publicKeys.far, 'allowed-ips', `${FAR.v4}/32,${FAR.v6}/128`);
    expect(world.wg('show', 'nexd0', 'peers')).toBe(`${world.publicKeys.far}\n`);
    await works();
  });

  test('a preshared key on both sides, a keepalive', async () => {
    const key = keys().privateKey;
    set('peer', world.publicKeys.far, 'preshared-key', file(key), 'persistent-keepalive', '1');
    expect(world.wg('show', 'nexd0', 'preshared-keys')).toBe(`${world.publicKeys.far}\t${key}\n`);
    expect(world.wg('show', 'nexd0', 'persistent-keepalive')).toBe(`${world.publicKeys.far}\t1\n`);
    await world.restartFarEnd();
    world.farEnd.wg('set', world.farEnd.device, 'peer', world.publicKeys.near, 'preshared-key', file(key));
    await works('ingress');
    const received = () => Number(world.farEnd.wg('show', world.farEnd.device, 'transfer').trim().split('\t')[1]);
    const before = received();
    await new Promise(resolve => setTimeout(resolve, 3300));
    // Three keepalives of 32 bytes; an acknowledgement may still have come first.
    expect(received() - before).toBeGreaterThanOrEqual(64);
    expect((received() - before) % 16).toBe(0);
    set('peer', world.publicKeys.far, 'persistent-keepalive', 'off');
  });

  test('showconf, then syncconf and setconf of the same: nothing changes, an open connection lives', async () => {
    const { client, to } = world.way('egress', 'v4', 'echo');
    const held = await client.hold(to.address, to.port);
    expect(await client.ping(held, 'one')).toBe(true);
    const shown = world.wg('showconf', 'nexd0');
    expect(shown).toContain('ListenPort = 51821\n');
    for (const command of ['syncconf', 'setconf', 'addconf']) {
      world.wg(command, 'nexd0', file(shown));
      expect(world.wg('showconf', 'nexd0'), command).toBe(shown);
      expect(await client.ping(held, command), command).toBe(true);
    }
    const { publicKey } = keys();
    world.wg('syncconf', 'nexd0', file(`${shown}\n[Peer]\nPublicKey = ${publicKey}\nAllowedIPs = 198.51.100.0/24\n`));
    expect(columns(world.wg('show', 'nexd0', 'allowed-ips'))).toContainEqual([publicKey, '198.51.100.0/24']);
    world.wg('syncconf', 'nexd0', file(shown));
    expect(world.wg('show', 'nexd0', 'peers')).toBe(`${world.publicKeys.far}\n`);
    expect(await client.ping(held, 'last')).toBe(true);
    await client.release(held);
  });

  test('another listen port, under an open connection; one that is taken is refused and changes nothing', async () => {
    const { client, to } = world.way('egress', 'v4', 'echo');
    const held = await client.hold(to.address, to.port);
    set('listen-port', '51877');
    expect(world.wg('show', 'nexd0', 'listen-port')).toBe('51877\n');
    expect(await client.ping(held, 'moved')).toBe(true);
    expect(world.farEnd.wg('show', world.farEnd.device, 'endpoints')).toContain(
      `${world.network.nearAddress.v4}:51877`,
    );
    expect(inNamespace(world.network.near, 'cat', '/proc/net/udp')).not.toContain(
      `:${(51_821).toString(16).toUpperCase()} `,
    );
    const busy = await world.near.listenUdp('0.0.0.0', 0);
    expect(() => set('listen-port', String(busy), 'private-key', file(keys().privateKey))).toThrow(
      /Address already in use/,
    );
    expect(world.wg('show', 'nexd0', 'public-key')).toBe(`${world.publicKeys.near}\n`);
    expect(await client.ping(held, 'still')).toBe(true);
    await client.release(held);
  });

  test('another private key: the far end must know it, then all is well; nexctl tells the new one', async () => {
    const next = keys();
    set('private-key', file(next.privateKey));
    expect(world.wg('show', 'nexd0', 'public-key')).toBe(`${next.publicKey}\n`);
    expect((await echo('ingress', 1500)).text).toBe('');
    const psk = world.wg('show', 'nexd0', 'preshared-keys').trim().split('\t')[1]!;
    world.farEnd.wg('set', world.farEnd.device, 'peer', world.publicKeys.near, 'remove');
    world.farEnd.wg(
      ...['set', world.farEnd.device, 'peer', next.publicKey, 'allowed-ips', `${NEAR.v4}/32,${NEAR.v6}/128`],
      ...['preshared-key', file(psk), 'endpoint', `${world.network.nearAddress.v4}:51877`],
    );
    await works('ingress');
    await works('egress');
    expect(world.nexd.nexctl('status').stdout).toContain('nexd0');
    expect(world.nexd.nexctl('status', '--json').stdout).toContain(next.publicKey);
  });

  test('what cannot be is refused with a reason', () => {
    expect(() => set('fwmark', '7')).toThrow(/not supported/);
    set('fwmark', '0');
  });

  test(`garbage (seed ${SEED}): never an answer but errno or silence, and all goes on`, async () => {
    const random = seededRandom(SEED);
    const words = [
      'get=1',
      'set=1',
      '',
      '',
      'public_key=',
      'private_key=x',
      'allowed_ip=::/129',
      '=',
      '\0',
      'é',
      'fwmark=-1',
    ];
    const state = world.wg('showconf', 'nexd0');
    for (let i = 0; i < 300; i++) {
      const text = Array.from({ length: 1 + random() * 6 }, () => words[Math.floor(random() * words.length)]).join(
        '\n',
      );
      const bytes = Buffer.from(`${text}\n`);
      if (random() < 0.3) bytes[Math.floor(random() * bytes.length)] = random() * 256;
      const answer = await raw(bytes);
      // An answer to get aside.
      if (!answer.includes('public_key=')) expect(answer, JSON.stringify(text)).toMatch(/^(errno=-?\d+\n\n)*$/);
    }
    expect(await raw(`set=1\n${'x'.repeat(70_000)}`)).toBe('errno=-5\n\n');
    expect(world.wg('showconf', 'nexd0')).toBe(state);
    await works();
  });

  test('no other user may connect', () => {
    const script =
      'require("net").connect(process.argv[1]).on("error", e => console.log(e.code)).on("connect", () => process.exit(1))';
    const other = spawnSync('setpriv', [
      '--reuid=65533',
      '--regid=65533',
      '--clear-groups',
      process.execPath,
      '-e',
      script,
      socket,
    ]);
    expect(other.stdout.toString()).toBe('EACCES\n');
  });

  test('no key in any line that nexd has written', () => {
    const output = world.nexd.output();
    expect(output).toContain('the private key was changed');
    expect(secrets.size).toBeGreaterThan(4);
    for (const secret of secrets) {
      expect(output).not.toContain(secret);
      expect(output).not.toContain(Buffer.from(secret, 'base64').toString('hex'));
    }
  });

  test('the socket goes with nexd; one that a killed nexd has left is taken over, one in use is not', async () => {
    const config = join(world.nexd.folder, 'wg0.conf');
    const args = [
      '--config',
      config,
      '--envoy',
      'none',
      '--listen-port',
      '0',
      '--uapi-dir',
      join(world.nexd.folder, 'uapi'),
    ];
    const places = (name: string) =>
      ['--state-dir', '--unix-socket', '--runtime-dir'].flatMap(flag => [
        flag,
        join(world.nexd.folder, `${name}${flag}`),
      ]);
    const second = runNexd(['proxy', ...places('second'), ...args]);
    expect(second.status).toBe(1);
    expect(second.stderr).toMatch(/--uapi-dir: .*nexd0\.sock: another process serves a WireGuard device named nexd0/);
    const open = join(world.nexd.folder, 'open');
    mkdirSync(open);
    chmodSync(open, 0o755);
    const refused = runNexd(['proxy', ...places('third'), ...args.slice(0, -1), open]);
    expect(refused.stderr).toMatch(/--uapi-dir: .*open (belongs to another user|is open to other users)/);
    world.nexd.signal('SIGKILL');
    await world.nexd.exited;
    expect(existsSync(socket)).toBe(true);
    const again = startNexd({ namespace: world.network.near, folder: world.nexd.folder, args });
    await again.waitFor(/^ready/m);
    expect(world.wg('show', 'nexd0', 'public-key')).toBe(`${world.publicKeys.near}\n`);
    await again.stop();
    expect(existsSync(socket)).toBe(false);
  });

  test('root has it where wg looks, under the name of --interface-name', async () => {
    const name = `nxu${process.pid}`.slice(0, 15);
    const path = (text: string) => join(world.nexd.folder, `root-${text}`);
    const nexd = join(import.meta.dirname, '..', 'bin', 'nexd');
    const config = path('wg.conf');
    const { privateKey, publicKey } = keys();
    writeFileSync(config, `[Interface]\nPrivateKey = ${privateKey}\nAddress = 10.3.3.3\n`, { mode: 0o600 });
    const places = ['--state-dir', path('state'), '--unix-socket', path('sock'), '--runtime-dir', path('run')];
    const child: ChildProcess = spawn(
      nexd,
      ['proxy', '--config', config, '--envoy', 'none', '--interface-name', name, ...places],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const ended = new Promise(resolve => child.once('exit', resolve));
    try {
      await new Promise<void>(resolve => child.stdout!.on('data', part => String(part).includes('ready') && resolve()));
      expect(execFileSync('wg', ['show', name, 'public-key'], { encoding: 'utf8' })).toBe(`${publicKey}\n`);
    } finally {
      child.kill('SIGTERM');
      await ended;
    }
    expect(existsSync(`/var/run/wireguard/${name}.sock`)).toBe(false);
  });
});
