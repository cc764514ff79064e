// What nexd does over time: rules edited under traffic, destinations that fail, Envoy killed, the end.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ip, whyNoNamespaces } from './harness/network.ts';
import { descendants, envoyOf } from './harness/nexd.ts';
import { FAR, makeWorld, NEAR, UNROUTED, type World } from './harness/world.ts';

const why = whyNoNamespaces();
if (why !== undefined) console.error(`SKIPPED test/lifecycle.test.ts: ${why}`);

const ALLOWED = '5001';
const rules = [
  ['--egress', `tcp:5000:${FAR.v4}:7001`],
  // Second first, round robin: the refusing one is met by every other connection.
  ['--egress', `tcp:5002:${FAR.v4}:7999`],
  ['--egress', `tcp:5002:${FAR.v4}:7006`],
  ['--egress', `tcp:5003:${UNROUTED.v4}:7001`],
  ['--egress', `tcp:${ALLOWED}:${FAR.v4}:7001`],
  ['--egress', `tcp:5004:${FAR.v4}:7001`],
  ['--ingress', 'tcp:6000:127.0.0.1:7001'],
  ['--ingress', 'tcp:6001:127.0.0.1:7001'],
  ['--ingress', 'tcp:6002:127.0.0.1:7999'],
  ['--ingress', 'tcp:6002:127.0.0.1:7006'],
  ['--egress', `udp:5020:${FAR.v4}:7020`],
  ['--ingress', 'udp:6020:127.0.0.1:7020'],
  ['--allow', 'egress:tcp:5004=192.0.2.0/24'],
  ['--deny', `ingress:tcp:6001=${FAR.v4}/32`],
].flat();

describe.skipIf(why !== undefined).each(['none', 'auto'] as const)('--envoy %s', envoy => {
  let world: World;
  beforeAll(async () => {
    world = await makeWorld({ envoy, rules, args: ['--udp-idle', '2'] });
  }, 120_000);
  afterAll(async () => {
    await world?.close();
  });

  test('runs as an ordinary user without capabilities and without a TUN device', () => {
    const status = readFileSync(`/proc/${world.nexd.pid}/status`, 'utf8');
    expect(status).toMatch(/^Uid:\s+65534\s+65534/m);
    expect(status).toMatch(/^CapEff:\s+0+$/m);
    const files = readdirSync(`/proc/${world.nexd.pid}/fd`);
    expect(files.length).toBeGreaterThan(3);
    expect(ip('-n', world.network.near, 'link')).not.toMatch(/tun|wg/);
  });

  test('nexctl: status, list, tunnel address', () => {
    expect(world.nexd.nexctl('status').stdout).toContain('Running');
    expect(world.nexd.nexctl('proxy', 'list').stdout).toContain(`--egress tcp:5000:${FAR.v4}:7001`);
    expect(world.nexd.nexctl('get', 'tunnelip').stdout.trim()).toBe(NEAR.v4);
    expect(world.nexd.nexctl('get', 'tunnelip', '--ipv6').stdout.trim()).toBe(NEAR.v6);
  });

  test('the second, healthy destination is tried when the first refuses', async () => {
    for (let i = 0; i < 6; i++) {
      expect((await world.near.exchange({ address: '127.0.0.1', port: 5002 })).text).toBe('bye');
      expect((await world.far.exchange({ address: NEAR.v4, port: 6002 })).text).toBe('bye');
    }
  });

  test('a destination without a peer: an error within 10 s', async () => {
    const result = await world.near.exchange({ address: '127.0.0.1', port: 5003, text: 'x', timeoutMs: 12_000 });
    expect(result.end).not.toBe('timeout');
    expect(result.bytes).toBe(0);
    expect(result.ms).toBeLessThan(10_000);
  });

  test('policy: an allow list keeps others out, a deny keeps the named out', async () => {
    expect((await world.near.exchange({ address: '127.0.0.1', port: 5004, text: 'x', timeoutMs: 5000 })).bytes).toBe(0);
    expect((await world.far.exchange({ address: NEAR.v4, port: 6001, text: 'x', timeoutMs: 5000 })).bytes).toBe(0);
    expect((await world.far.exchange({ address: NEAR.v4, port: 6000, text: 'x', shutdown: true })).text).toBe('x');
  });

  test('UDP flows expire when idle, and a new one follows', { timeout: 30_000 }, async () => {
    const ways = [
      [world.near, '127.0.0.1', 5020],
      [world.far, NEAR.v4, 6020],
    ] as const;
    for (const [client, address, port] of ways) {
      expect(await client.exchangeUdp({ address, port, sizes: [10], seed: 1 })).toEqual([10]);
    }
    const counters = () =>
      (JSON.parse(world.nexd.nexctl('status', '--json').stdout) as { counters: Record<string, number> }).counters;
    for (const direction of ['egress', 'ingress']) {
      expect(counters()[`${direction}_udp_flows`]).toBe(1);
      await expect
        .poll(() => counters()[`${direction}_udp_flow_ended_idle`], { timeout: 10_000, interval: 500 })
        .toBe(1);
    }
    for (const [client, address, port] of ways) {
      expect(await client.exchangeUdp({ address, port, sizes: [10], seed: 1 })).toEqual([10]);
    }
  });

  test('50 edits of rules disturb no connection of other rules', { timeout: 120_000 }, async () => {
    const connections = [
      ...(await Promise.all(Array.from({ length: 5 }, () => world.near.hold('127.0.0.1', 5000)))).map(
        handle => [world.near, handle] as const,
      ),
      ...(await Promise.all(Array.from({ length: 5 }, () => world.far.hold(NEAR.v4, 6000)))).map(
        handle => [world.far, handle] as const,
      ),
    ];
    const pingAll = async (text: string) => Promise.all(connections.map(([host, handle]) => host.ping(handle, text)));
    expect(await pingAll('before')).toEqual(connections.map(() => true));
    for (let i = 0; i < 25; i++) {
      const rule = `tcp:${5100 + (i % 5)}:${FAR.v4}:7001`;
      const [direction, edited] =
        i % 2 === 0 ? ['--egress', rule] : ['--ingress', `tcp:${6100 + (i % 5)}:127.0.0.1:7001`];
      const added = world.nexd.nexctl('proxy', 'add', direction, edited);
      expect(added.stdout + added.stderr).toContain(`Added ${direction.slice(2)} proxy rule: ${edited}`);
      if (i % 10 === 0) {
        // The new rule works while it is there.
        await expect
          .poll(
            async () =>
              (
                await world.near.exchange({
                  address: '127.0.0.1',
                  port: 5100 + (i % 5),
                  text: 'new',
                  shutdown: true,
                  timeoutMs: 1000,
                })
              ).text,
          )
          .toBe('new');
      }
      expect(await pingAll(`edit ${i}`)).toEqual(connections.map(() => true));
      const removed = world.nexd.nexctl('proxy', 'remove', direction.slice(2), edited);
      expect(removed.status, removed.stderr).toBe(0);
    }
    expect(await pingAll('after')).toEqual(connections.map(() => true));
    for (const [host, handle] of connections) await host.release(handle);
  });

  test('a bad rule over the control socket is an error; the daemon goes on', () => {
    const bad = world.nexd.nexctl('proxy', 'add', '--egress', 'tcp:90000:1.2.3.4:80');
    expect(bad.status).not.toBe(0);
    expect(bad.stdout + bad.stderr).toContain('out of range');
    expect(world.nexd.nexctl('status').stdout).toContain('Running');
  });

  test.runIf(envoy === 'auto')('Envoy killed: back and serving within 5 s', { timeout: 30_000 }, async () => {
    const envoyPid = envoyOf(world.nexd)!;
    process.kill(envoyPid, 'SIGKILL');
    const started = performance.now();
    await expect
      .poll(
        async () =>
          (
            await world.near.exchange({
              address: '127.0.0.1',
              port: 5000,
              text: 'again',
              shutdown: true,
              timeoutMs: 1000,
            })
          ).text,
        { timeout: 10_000, interval: 100 },
      )
      .toBe('again');
    expect(performance.now() - started).toBeLessThan(5000);
    expect((await world.far.exchange({ address: NEAR.v4, port: 6000, text: 'in', shutdown: true })).text).toBe('in');
    expect(envoyOf(world.nexd)).not.toBe(envoyPid);
  });

  test('no key in its output, its command lines or its status', () => {
    const config = readFileSync(join(world.nexd.folder, 'wg0.conf'), 'utf8');
    const key = /PrivateKey = (\S+)/.exec(config)![1]!;
    const hex = Buffer.from(key, 'base64').toString('hex');
    const everything = [
      world.nexd.output(),
      world.nexd.nexctl('status', '--json').stdout,
      ...[world.nexd.pid, ...descendants(world.nexd.pid)].map(
        pid => readFileSync(`/proc/${pid}/cmdline`, 'utf8') + readFileSync(`/proc/${pid}/environ`, 'latin1'),
      ),
    ].join('\n');
    expect(everything).not.toContain(key);
    expect(everything).not.toContain(hex);
  });

  test('SIGTERM: every process gone within 10 s, no socket file left', { timeout: 30_000 }, async () => {
    const children = descendants(world.nexd.pid);
    const ms = await world.nexd.stop();
    expect(ms).toBeLessThan(10_000);
    expect(children.filter(pid => existsSync(`/proc/${pid}`))).toEqual([]);
    expect(existsSync(join(world.nexd.folder, 'nexd.sock'))).toBe(false);
    const left = existsSync(world.nexd.runtimeDirectory)
      ? readdirSync(world.nexd.runtimeDirectory, { recursive: true }).map(String)
      : [];
    expect(left.filter(name => name.endsWith('.sock'))).toEqual([]);
  });
});
