/** `nexd proxy` as a process, alone with itself: its tunnel address loops back, so each way through it can be walked. */

import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer as createHttp } from 'node:http';
import { type AddressInfo, connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { findEnvoy } from '../../envoy/index.ts';
import { RunningNexd, run, Sandbox, start as spawnNexd } from '../testing/run.ts';

const PRIVATE = Buffer.alloc(32, 0x6b).toString('base64');
const PSK = Buffer.alloc(32, 0x6c).toString('base64');
const PEER = Buffer.alloc(32, 2).toString('base64');
const CONFIG = `[Interface]\nPrivateKey = ${PRIVATE}\nAddress = 10.99.0.1/24, fd99::1/64\nDNS = 1.1.1.1\n\n[Peer]\nPublicKey = ${PEER}\nPresharedKey = ${PSK}\nAllowedIPs = 10.99.0.2/32, fd99::2/128\nEndpoint = 127.0.0.1:9\n`;

const found = await findEnvoy({ fetch: false });
const envoys = ['none', ...(found.ok ? [found.path] : [])];

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>(resolve => server.listen(0, resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise(resolve => server.close(resolve));
  return port;
}

const http = createHttp((_, response) => response.end('bananas'));
let page: number;
beforeAll(async () => {
  await new Promise<void>(resolve => http.listen(0, '127.0.0.1', resolve));
  page = (http.address() as AddressInfo).port;
});
afterAll(() => {
  http.closeAllConnections();
  http.close();
});

const get = async (port: number): Promise<string> =>
  (
    await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(5000), headers: { connection: 'close' } })
  ).text();

/** One answer line on the control socket, byte for byte. */
function ask(path: string, method: string, argument: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(path, () =>
      socket.end(`${JSON.stringify({ method: `NexdCtl.${method}`, params: [argument], id: 0 })}\n`),
    );
    let text = '';
    socket.on('data', chunk => {
      text += chunk;
    });
    socket.on('end', () => resolve(text));
    socket.on('error', reject);
  });
}

const answer = (result: string | null, error: string | null) => `${JSON.stringify({ id: 0, result, error })}\n`;

let box: Sandbox;
let config: string;
let nexd: RunningNexd | undefined;
beforeEach(() => {
  box = new Sandbox();
  config = box.file('wg0.conf', CONFIG);
});
afterEach(async () => {
  await nexd?.stop();
  nexd = undefined;
  box.remove();
});
const start = async (envoy: string, ...args: string[]) => {
  nexd = await RunningNexd.start(box, 'n', ['--config', config, '--envoy', envoy, ...args]);
  return nexd;
};

describe.each(envoys)('--envoy %s', envoy => {
  // Nexodus' TestProxyNexctl.
  test('rules added by nexctl work, are kept over a restart, and go when removed', async () => {
    const port = await freePort();
    await start(envoy);
    expect(nexd!.stdout).toMatch(/^ready: 0 rules, \S+ 10\.99\.0\.1 fd99::1 on UDP port \d+, /m);
    expect((await nexd!.ctl('proxy', 'list')).stdout).toBe('');
    await expect(get(port)).rejects.toThrow();

    const rules = [`tcp:4242:127.0.0.1:${page}`, `tcp:${port}:10.99.0.1:4242`] as const;
    const added = await nexd!.ctl('proxy', 'add', '--ingress', rules[0], '--egress', rules[1]);
    expect(added).toMatchObject({
      code: 0,
      stdout: `Added ingress proxy rule: ${rules[0]}\nAdded egress proxy rule: ${rules[1]}\n`,
    });
    expect(await get(port)).toBe('bananas');
    const stored = () =>
      (JSON.parse(readFileSync(box.join('n-state', 'state.json'), 'utf8')) as Record<string, unknown>)[
        'proxy-rules-config'
      ];
    expect(stored()).toEqual({ egress: [rules[1]], ingress: [rules[0]] });

    expect(await nexd!.stop()).toBe(0);
    await start(envoy);
    expect((await nexd!.ctl('proxy', 'list')).stdout.split('\n').sort()).toEqual([
      '',
      `--egress ${rules[1]}`,
      `--ingress ${rules[0]}`,
    ]);
    expect(await get(port)).toBe('bananas');

    const removed = await nexd!.ctl('proxy', 'remove', 'ingress', rules[0], 'egress', rules[1]);
    expect(removed).toMatchObject({
      code: 0,
      stdout: `Removed ingress proxy rule: ${rules[0]}\nRemoved egress proxy rule: ${rules[1]}\n`,
    });
    expect((await nexd!.ctl('proxy', 'list')).stdout).toBe('');
    expect(stored()).toEqual({ egress: null, ingress: null });
    await expect(get(port)).rejects.toThrow();
  });

  test('what is refused over the control socket changes nothing and does not end the daemon', async () => {
    const [port, busy] = [await freePort(), createServer()];
    await new Promise<void>(resolve => busy.listen(0, '127.0.0.1', resolve));
    const taken = (busy.address() as AddressInfo).port;
    const flag = `tcp:${port}:10.99.0.1:4242`;
    await start(envoy, '--egress', flag, '--ingress', `tcp:4242:127.0.0.1:${page}`);
    const before = await ask(nexd!.socket, 'ProxyList', '');
    const state = readFileSync(box.join('n-state', 'state.json'), 'utf8');
    for (const [method, text, error] of [
      ['ProxyAddEgress', 'tcp:8080', 'invalid proxy rule format, must specify 4 colon-separated values (tcp:8080)'],
      ['ProxyAddIngress', 'tcpa:8080:127.0.0.1:80', 'invalid protocol (tcpa)'],
      ['ProxyAddIngress', 'tcp:90000:127.0.0.1:80', 'invalid port (90000): out of range 0-65535'],
      ['ProxyAddIngress', 'tcp:80:127.0.0.1:0', 'invalid port (0): out of range 0-65535'],
      ['ProxyAddEgress', 'tcp:x:10.99.0.2:80', 'invalid port (x): strconv.Atoi: parsing "x": invalid syntax'],
      ['ProxyAddEgress', 'tcp:8080::80', 'invalid destination host:port (:80): host cannot be empty'],
      [
        'ProxyAddEgress',
        'tcp:8080:200::1:80',
        'invalid destination host:port (200::1:80): address 200::1:80: too many colons in address',
      ],
      ['ProxyAddEgress', '', 'invalid proxy rule format, must specify 4 colon-separated values ()'],
      ['ProxyAddEgress', flag, 'port already in use by another proxy rule'],
      ['ProxyAddEgress', `tcp:${taken}:10.99.0.2:80`, `port ${taken}/tcp is already in use on this machine`],
      [
        'ProxyRemoveEgress',
        'tcp:8111:100.64.0.1:8080',
        'no matching egress proxy rule found: tcp:8111:100.64.0.1:8080',
      ],
      ['ProxyRemoveIngress', flag, `no matching ingress proxy rule found: ${flag}`],
      ['ProxyRemoveIngress', 'nonsense', 'invalid proxy rule format, must specify 4 colon-separated values (nonsense)'],
      ['NoSuch', '', "rpc: can't find method NexdCtl.NoSuch"],
      ['EnableExitNodeClient', '', 'exit nodes are not supported in proxy mode'],
    ] as const) {
      expect(await ask(nexd!.socket, method, text)).toBe(answer(null, error));
    }
    const { code, stdout } = await nexd!.ctl('proxy', 'add', '--ingress', 'tcp:1', '--egress', 'udp:1');
    expect(code).toBe(1);
    expect(stdout).toBe(
      'Error adding ingress rule (tcp:1): Failed to execute method (ProxyAddIngress): invalid proxy rule format, must specify 4 colon-separated values (tcp:1)\n' +
        'Error adding egress rule (udp:1): Failed to execute method (ProxyAddEgress): invalid proxy rule format, must specify 4 colon-separated values (udp:1)\n',
    );
    expect(await ask(nexd!.socket, 'ProxyList', '')).toBe(before);
    expect(readFileSync(box.join('n-state', 'state.json'), 'utf8')).toBe(state);
    expect(await get(port)).toBe('bananas');
    busy.close();
  });

  test('a rule of the command line can be removed; it is back after a restart; connections of others go on', async () => {
    const [one, two] = [await freePort(), await freePort()];
    const echo = createServer({ allowHalfOpen: true }, socket => socket.pipe(socket));
    await new Promise<void>(resolve => echo.listen(0, '127.0.0.1', resolve));
    const echoPort = (echo.address() as AddressInfo).port;
    const args = [
      '--egress',
      `tcp:${one}:10.99.0.1:4242,tcp:${two}:[fd99::1]:4243`,
      '--ingress',
      `tcp:4242:127.0.0.1:${page}`,
      '--ingress',
      `tcp:4243:127.0.0.1:${echoPort}`,
    ];
    await start(envoy, ...args);
    const socket = connect(two, '127.0.0.1');
    const received: string[] = [];
    socket.on('data', chunk => received.push(String(chunk)));
    socket.on('error', error => received.push(error.message));
    socket.write('a');
    await expect.poll(() => received.join(''), { timeout: 5000 }).toBe('a');
    expect((await nexd!.ctl('proxy', 'remove', '--egress', `tcp:${one}:10.99.0.1:4242`)).code).toBe(0);
    await expect(get(one)).rejects.toThrow();
    expect((await nexd!.ctl('proxy', 'add', '--egress', `tcp:${one}:10.99.0.1:4242`)).code).toBe(0);
    expect(await get(one)).toBe('bananas');
    socket.write('b');
    await expect.poll(() => received.join(''), { timeout: 5000 }).toBe('ab');
    expect((await nexd!.ctl('proxy', 'remove', '--egress', `tcp:${one}:10.99.0.1:4242`)).code).toBe(0);
    const closed = new Promise(resolve => socket.on('close', resolve));
    socket.end('c');
    await Promise.race([closed, sleep(5000)]);
    expect(received.join('')).toBe('abc');
    await nexd!.stop();
    await start(envoy, ...args);
    expect(await get(one)).toBe('bananas');
    echo.close();
  });

  test('destinations added to a port take turns with those there', async () => {
    const other = createHttp((_, response) => response.end('apples'));
    await new Promise<void>(resolve => other.listen(0, '127.0.0.1', resolve));
    const port = await freePort();
    const second = (other.address() as AddressInfo).port;
    await start(envoy, '--egress', `tcp:${port}:10.99.0.1:80`, '--ingress', `tcp:80:127.0.0.1:${page}`);
    expect((await nexd!.ctl('proxy', 'add', 'ingress', `tcp:80:127.0.0.1:${second}`)).code).toBe(0);
    const seen: string[] = [];
    for (let i = 0; i < 10; i++) seen.push(await get(port));
    expect(seen.filter(text => text === 'apples').length).toBeGreaterThanOrEqual(3);
    expect(seen.filter(text => text === 'bananas').length).toBeGreaterThanOrEqual(3);
    other.closeAllConnections();
    other.close();
  });

  test('UDP both ways', async () => {
    const service = createSocket('udp4', (message, from) => service.send(`pong ${message}`, from.port, from.address));
    await new Promise<void>(resolve => service.bind(0, '127.0.0.1', resolve));
    const port = await freePort();
    await start(
      envoy,
      '--egress',
      `udp:${port}:10.99.0.1:53`,
      '--ingress',
      `udp:53:127.0.0.1:${service.address().port}`,
    );
    const client = createSocket('udp4');
    const reply = new Promise(resolve => client.once('message', message => resolve(String(message))));
    client.send('ping', port, '127.0.0.1');
    expect(await Promise.race([reply, sleep(5000)])).toBe('pong ping');
    client.close();
    service.close();
  });

  test('policies of the command line', async () => {
    const [one, two] = [await freePort(), await freePort()];
    await start(
      envoy,
      ...['--egress', `tcp:${one}:10.99.0.1:80,tcp:${two}:10.99.0.1:80`, '--ingress', `tcp:80:127.0.0.1:${page}`],
      ...['--allow', `egress:tcp:${one}=127.0.0.0/8,::1`, '--deny', `egress/tcp/${two}=127.0.0.1`],
    );
    expect(await get(one)).toBe('bananas');
    await expect(get(two)).rejects.toThrow();
    const { stdout } = await nexd!.ctl('status');
    expect(stdout).toContain(`Rule egress/tcp/${one}: tcp:${one}:10.99.0.1:80, allow 127.0.0.0/8,::1/128, deny none\n`);
  });

  test.each(['SIGTERM', 'SIGINT', 'SIGQUIT'] as const)('%s ends all of it, with connections open', async signal => {
    const port = await freePort();
    await start(envoy, '--egress', `tcp:${port}:10.99.0.1:80`, '--ingress', `tcp:80:127.0.0.1:${page}`);
    const runtime = box.join('n-run');
    expect(statSync(runtime).mode & 0o777).toBe(0o700);
    for (const name of readdirSync(runtime).filter(file => file.endsWith('.sock'))) {
      expect(statSync(`${runtime}/${name}`).mode & 0o777, name).toBe(0o600);
    }
    const open = connect(port, '127.0.0.1');
    open.on('error', () => {});
    open.write('GET / HTTP/1.1\r\n');
    await sleep(50);
    const began = performance.now();
    expect(await nexd!.stop(signal)).toBe(0);
    expect(performance.now() - began).toBeLessThan(10_000);
    expect(existsSync(nexd!.socket)).toBe(false);
    expect(existsSync(runtime)).toBe(false);
    await expect(get(port)).rejects.toThrow();
    open.destroy();
    // All of its processes are gone: a child of it would still have the directory on its command line.
    const lines = readdirSync('/proc')
      .filter(name => /^\d+$/.test(name))
      .flatMap(pid => {
        try {
          return [readFileSync(`/proc/${pid}/cmdline`, 'utf8')];
        } catch {
          return [];
        }
      });
    expect(lines.filter(line => line.includes(runtime))).toEqual([]);
  });
});

describe('without Envoy', () => {
  test('the same Ctrl-C on two ways is one; the first ends it in order', async () => {
    await start('none', '--egress', 'tcp:18432:10.99.0.2:8080');
    nexd!.child.kill('SIGINT');
    nexd!.child.kill('SIGTERM');
    expect(await nexd!.ended).toBe(0);
    expect(existsSync(box.join('n-run'))).toBe(false);
  });

  test('a signal while starting ends it too', async () => {
    const child = spawnNexd('nexd', [
      'proxy',
      '--config',
      config,
      '--envoy',
      'none',
      '--unix-socket',
      box.join('s.sock'),
      '--state-dir',
      box.join('s'),
      '--runtime-dir',
      box.join('s-run'),
    ]);
    const ended = new Promise(resolve => child.on('close', resolve));
    await expect.poll(() => existsSync(box.join('s.sock')), { interval: 1, timeout: 20_000 }).toBe(true);
    child.kill('SIGTERM');
    expect(await ended).toBe(0);
    expect(existsSync(box.join('s.sock'))).toBe(false);
    expect(existsSync(box.join('s-run'))).toBe(false);
  });

  test('what the real nexctl is answered', async () => {
    await start('none', '--egress', 'tcp:18431:10.99.0.2:8080');
    for (const [method, argument, result] of [
      ['Version', '', /^0\./],
      ['Status', '', 'Status: Running\n'],
      ['GetTunnelIPv4', '', '10.99.0.1'],
      ['GetTunnelIPv6', '', 'fd99::1'],
      ['ProxyList', '', '--egress tcp:18431:10.99.0.2:8080\n'],
      ['GetDebug', '', 'off'],
      ['SetDebugOn', '', 'Debug logging enabled'],
      ['GetDebug', '', 'on'],
      ['SetDebugOff', '', 'Debug logging disabled'],
      ['GetDebug', '', 'off'],
      ['ProxyAddIngress', 'tcp:81:127.0.0.1:9000', 'Added ingress proxy rule: tcp:81:127.0.0.1:9000\n'],
      ['ProxyRemoveIngress', 'tcp:81:127.0.0.1:9000', 'Removed ingress proxy rule: tcp:81:127.0.0.1:9000\n'],
      ['ListExitNodes', '', 'null'],
    ] as const) {
      const text = await ask(nexd!.socket, method, argument);
      if (typeof result === 'string') expect(text, method).toBe(answer(result, null));
      else expect((JSON.parse(text) as { result: string }).result).toMatch(result);
    }
    const peers = (JSON.parse(await ask(nexd!.socket, 'ListPeers', '')) as { result: string }).result;
    expect(JSON.parse(peers)).toEqual({
      'relay-present': false,
      'relay-required': false,
      peers: {
        [PEER]: {
          PublicKey: PEER,
          Endpoint: '127.0.0.1:9',
          AllowedIPs: ['10.99.0.2/32', 'fd99::2/128'],
          LatestHandshake: '0',
          Tx: expect.any(Number),
          Rx: 0,
          Healthy: false,
        },
      },
    });
    expect(peers).toMatch(/^{"relay-present":false,"relay-required":false,"peers":{".*":{"PublicKey":".*","Endpoint":/);
  });

  test('nexctl: words and exit codes', async () => {
    await start('none');
    expect(await nexd!.ctl('status')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^Status: Running\nInterface: \S+, 10\.99\.0\.1\/24 fd99::1\/64, UDP port \d+, /),
    });
    expect(await nexd!.ctl('get', 'tunnelip')).toMatchObject({ code: 0, stdout: '10.99.0.1\n' });
    expect(await nexd!.ctl('get', 'tunnelip', '--ipv6')).toMatchObject({ code: 0, stdout: 'fd99::1\n' });
    expect(await nexd!.ctl('get', 'tunnelip', '-6')).toMatchObject({ code: 0, stdout: 'fd99::1\n' });
    expect(await nexd!.ctl('set', 'debug', 'on')).toMatchObject({ code: 0, stdout: 'Debug logging enabled\n' });
    expect(await nexd!.ctl('get', 'debug')).toMatchObject({ code: 0, stdout: 'on\n' });
    expect(await nexd!.ctl('peers', 'list')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^PUBLIC KEY +ENDPOINT +ALLOWED IPS +LATEST HANDSHAKE +HEALTHY\n.*None +false\n$/),
    });
    expect((await nexd!.ctl('peers', 'list', '--full')).stdout).toContain('TRANSMITTED   RECEIVED   HEALTHY');
    expect(JSON.parse((await nexd!.ctl('status', '--json')).stdout)).toMatchObject({
      status: 'Running',
      keys: [],
      warnings: [],
    });
    expect(await nexd!.ctl('version')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^nexctl version: (\S+)\nnexd version: \1\n$/),
    });
    expect(await nexd!.ctl('proxy', 'add')).toMatchObject({ code: 1, stderr: 'nexctl: No rules provided\n' });
    expect(await nexd!.ctl('proxy', 'add', 'tcp:1:a:1')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('write ingress or egress before the rule'),
    });
    expect(await nexd!.ctl('proxy', 'add', 'egress')).toMatchObject({
      code: 1,
      stderr: 'nexctl: no rule behind egress\n',
    });
    expect(await nexd!.ctl('peers', 'ping')).toMatchObject({ code: 1 });
    expect(await nexd!.ctl('nonsense')).toMatchObject({ code: 1 });
    const other = await run('nexctl', ['nexd', '--unix-socket', nexd!.socket, 'status'], {
      env: { NEXD_VERSION: 'dev' },
    });
    expect(other).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^nexctl: Version mismatch: nexctl\(dev\) nexd\(\S+\)\n$/),
    });
    const none = await run('nexctl', ['nexd', '--unix-socket', box.join('none'), 'status']);
    expect(none).toMatchObject({
      code: 1,
      stderr: `nexctl: is nexd running?: failed to connect to nexd at '${box.join('none')}': no such file or directory\n`,
    });
  });

  test.skipIf(process.geteuid?.() !== 0)('another user can open none of the sockets', async () => {
    await start('none', '--ingress', `tcp:80:127.0.0.1:${page}`);
    chmodSync(box.path, 0o755);
    const other = await run('nexctl', ['nexd', '--unix-socket', nexd!.socket, 'status'], { uid: 65534 });
    expect(other).toMatchObject({
      code: 1,
      stderr: `nexctl: is nexd running?: failed to connect to nexd at '${nexd!.socket}': permission denied\n`,
    });
    const inside = await run('nexctl', ['nexd', '--unix-socket', box.join('n-run', 'companion.sock'), 'status'], {
      uid: 65534,
    });
    expect(inside.stderr).toContain('permission denied');
  });

  test('the version can be set, for the real nexctl', async () => {
    nexd = await RunningNexd.start(box, 'n', ['--config', config, '--envoy', 'none'], { env: { NEXD_VERSION: 'dev' } });
    expect(await ask(nexd.socket, 'Version', '')).toBe(answer('dev', null));
  });

  test('a second one at the same control socket is refused, and harms nothing', async () => {
    await start('none');
    const second = await run('nexd', [
      'proxy',
      '--config',
      config,
      '--envoy',
      'none',
      '--unix-socket',
      nexd!.socket,
      '--state-dir',
      box.join('n-state'),
    ]);
    expect(second).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringContaining('existing nexd service already running'),
    });
    expect((await nexd!.ctl('status')).code).toBe(0);
  });

  test('after kill -9 the next one starts where the first was', async () => {
    await start('none', '--ingress', `tcp:80:127.0.0.1:${page}`);
    expect((await nexd!.ctl('proxy', 'add', 'ingress', 'tcp:81:127.0.0.1:1')).code).toBe(0);
    nexd!.child.kill('SIGKILL');
    await nexd!.ended;
    expect(existsSync(nexd!.socket)).toBe(true);
    await start('none');
    expect((await nexd!.ctl('proxy', 'list')).stdout).toBe('--ingress tcp:81:127.0.0.1:1\n');
  });

  test('a corrupt state and rules that do not parse are told and kept; the others are served', async () => {
    await start('none');
    await nexd!.stop();
    const state = box.join('n-state', 'state.json');
    writeFileSync(
      state,
      JSON.stringify({
        'proxy-rules-config': { egress: ['tcp:bad:10.99.0.2:1'], ingress: ['tcp:81:127.0.0.1:1', 'x'] },
      }),
    );
    await start('none');
    expect((await nexd!.ctl('proxy', 'list')).stdout).toBe('--ingress tcp:81:127.0.0.1:1\n');
    expect((await nexd!.ctl('status')).stdout).toContain(
      'WARNING: stored egress rule "tcp:bad:10.99.0.2:1" is set aside: invalid port (bad)',
    );
    expect(readFileSync(state, 'utf8')).toContain('"rule": "tcp:bad:10.99.0.2:1"');
    await nexd!.stop();
    writeFileSync(state, '{"proxy-rules-config":');
    await start('none');
    expect(nexd!.stderr).toContain('state.json is corrupt (it is not JSON): set aside as ');
    expect(readdirSync(box.join('n-state')).some(name => name.startsWith('state.json.corrupt-'))).toBe(true);
    expect((await nexd!.ctl('proxy', 'list')).stdout).toBe('--ingress tcp:81:127.0.0.1:1\n');
  });

  test('a stored rule whose port is taken at the start does not keep the others away, and is served when the port is free', async () => {
    const port = await freePort();
    await start('none', '--ingress', `tcp:80:127.0.0.1:${page}`);
    expect((await nexd!.ctl('proxy', 'add', 'egress', `tcp:${port}:10.99.0.1:80`)).code).toBe(0);
    await nexd!.stop();
    const busy = createServer();
    await new Promise<void>(resolve => busy.listen(port, '127.0.0.1', resolve));
    await start('none', '--ingress', `tcp:80:127.0.0.1:${page}`);
    expect((await nexd!.ctl('proxy', 'list')).stdout).toContain(`--egress tcp:${port}:10.99.0.1:80\n`);
    expect((await nexd!.ctl('status')).stdout).toContain(
      `Rule egress/tcp/${port}: tcp:${port}:10.99.0.1:80: REJECTED port ${port}/tcp is already in use`,
    );
    await new Promise(resolve => busy.close(resolve));
    await nexd!.until(/served now/, 10_000);
    expect(await get(port)).toBe('bananas');
    expect((await nexd!.ctl('status')).stdout).not.toContain('REJECTED');
  });

  test('no key is told: not in output, log, status, state or arguments', async () => {
    await start('none', '--log-level', 'debug', '--ingress', `tcp:80:127.0.0.1:${page}`);
    await sleep(300);
    const told = [
      nexd!.stdout,
      nexd!.stderr,
      (await nexd!.ctl('status')).stdout,
      (await nexd!.ctl('status', '--json')).stdout,
      (await nexd!.ctl('peers', 'list', '--full')).stdout,
      readFileSync(`/proc/${nexd!.child.pid}/cmdline`, 'utf8'),
      readFileSync(`/proc/${nexd!.child.pid}/environ`, 'utf8'),
    ];
    await nexd!.stop();
    told.push(nexd!.stderr, readFileSync(box.join('n-state', 'state.json'), 'utf8'));
    for (const secret of [PRIVATE, PSK]) {
      const hex = Buffer.from(secret, 'base64').toString('hex');
      for (const text of told) {
        expect(text).not.toContain(secret);
        expect(text.toLowerCase()).not.toContain(hex);
      }
    }
    expect(nexd!.stderr).toContain('DNS: not honoured in userspace');
  });
});

describe.skipIf(!found.ok)('with Envoy', () => {
  const binary = found.ok ? found.path : '';

  test('when Envoy is killed it is started again, and serves again', async () => {
    const port = await freePort();
    await start(binary, '--egress', `tcp:${port}:10.99.0.1:80`, '--ingress', `tcp:80:127.0.0.1:${page}`);
    expect(await get(port)).toBe('bananas');
    const pid = Number(/running \(pid (\d+)\)/.exec(nexd!.stdout)![1]);
    process.kill(pid, 'SIGKILL');
    await nexd!.until(/Envoy is back/, 20_000);
    await expect.poll(() => get(port).catch(() => ''), { timeout: 10_000 }).toBe('bananas');
    expect((await nexd!.ctl('status')).stdout).toMatch(/^Envoy: \S+ running \(pid \d+\)$/m);
  });

  test('what Envoy refuses stands in the status with its words, and is taken when it can be', async () => {
    const port = await freePort();
    await start(binary, '--egress', `tcp:${port}:10.99.0.1:80`, '--ingress', `tcp:80:127.0.0.1:${page}`);
    const pid = Number(/running \(pid (\d+)\)/.exec(nexd!.stdout)![1]);
    const thief = createServer();
    process.kill(pid, 'SIGKILL');
    await expect
      .poll(() => new Promise(resolve => thief.once('error', () => resolve(false)).listen(port, () => resolve(true))), {
        interval: 1,
        timeout: 2000,
      })
      .toBe(true);
    await nexd!.until(/Envoy is back/, 20_000);
    await expect
      .poll(async () => (await nexd!.ctl('status')).stdout, { timeout: 15_000 })
      .toMatch(new RegExp(`REJECTED by Envoy: .*${port}`));
    await new Promise(resolve => thief.close(resolve));
    await expect.poll(() => get(port).catch(() => ''), { timeout: 20_000 }).toBe('bananas');
    expect((await nexd!.ctl('status')).stdout).not.toContain('REJECTED');
  });

  test('after kill -9 no Envoy is left, and the next one takes over what is', async () => {
    const port = await freePort();
    const args = ['--egress', `tcp:${port}:10.99.0.1:80`, '--ingress', `tcp:80:127.0.0.1:${page}`];
    await start(binary, ...args);
    const pid = Number(/running \(pid (\d+)\)/.exec(nexd!.stdout)![1]);
    nexd!.child.kill('SIGKILL');
    await nexd!.ended;
    await expect.poll(() => existsSync(`/proc/${pid}`), { timeout: 10_000 }).toBe(false);
    expect(existsSync(box.join('n-run', 'companion.sock'))).toBe(true);
    await start(binary, ...args);
    expect(await get(port)).toBe('bananas');
    await nexd!.stop();
    expect(readdirSync(box.join('n-run'))).toEqual([]);
  });

  test('an Envoy that you run yourself', async () => {
    const port = await freePort();
    await start('external', '--egress', `tcp:${port}:10.99.0.1:80`, '--ingress', `tcp:80:127.0.0.1:${page}`);
    const command = /^start Envoy with: envoy -c (\S+)$/m.exec(nexd!.stdout)!;
    const envoy = spawn(binary, ['-c', command[1]!, '--disable-hot-restart', '--log-level', 'off'], {
      stdio: 'ignore',
    });
    try {
      await expect.poll(() => get(port).catch(() => ''), { timeout: 20_000 }).toBe('bananas');
      const other = await freePort();
      expect((await nexd!.ctl('proxy', 'add', 'egress', `tcp:${other}:10.99.0.1:80`)).code).toBe(0);
      expect(await get(other)).toBe('bananas');
      // It goes on without us, and is served again by the next nexd.
      await nexd!.stop();
      await start('external', '--egress', `tcp:${port}:10.99.0.1:80`, '--ingress', `tcp:80:127.0.0.1:${page}`);
      await expect.poll(() => get(port).catch(() => ''), { timeout: 20_000 }).toBe('bananas');
      expect(await get(other)).toBe('bananas');
    } finally {
      envoy.kill();
      await new Promise(resolve => envoy.on('exit', resolve));
    }
  });
});
