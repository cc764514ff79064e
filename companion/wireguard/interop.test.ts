/**
 * Against the real wireguard-go, on a TUN inside a network namespace that each test makes and removes. Needs root,
 * `wireguard-go`, `wg` and `ip`; says so and skips where one is missing.
 */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { opensslX25519 } from './x25519.ts';

const run = promisify(execFile);

function missing(): string | undefined {
  if (process.getuid?.() !== 0) return 'not root';
  if (!existsSync('/dev/net/tun')) return 'no /dev/net/tun';
  for (const [tool, flag] of [
    ['wireguard-go', '--version'],
    ['wg', '--version'],
    ['ip', '-V'],
  ] as const) {
    try {
      execFileSync(tool, [flag], { stdio: 'ignore' });
    } catch {
      return `no ${tool}`;
    }
  }
  return undefined;
}

const reason = missing();
if (reason !== undefined) console.warn(`\nSKIPPED: interop with wireguard-go: ${reason}\n`);

type Line = Record<string, unknown> & { type: string };

/** One namespace with wireguard-go (inner 10.99.0.1, TUN) and our shell (inner 10.99.0.2), both on its loopback. */
class Lab {
  readonly ns: string;
  readonly tun: string;
  readonly lines: Line[] = [];
  readonly #children: ChildProcess[] = [];
  readonly goKey = Uint8Array.from(randomBytes(32));
  readonly ourKey = Uint8Array.from(randomBytes(32));
  #shell: ChildProcess | undefined;
  port = 0;

  constructor(id: string) {
    const unique = `${process.pid.toString(36)}${id}`.slice(-10);
    this.ns = `nxwg-${unique}`;
    this.tun = `nx${unique}`;
  }

  ip(...args: string[]) {
    return run('ip', ['-n', this.ns, ...args]);
  }

  inside(command: string, ...args: string[]) {
    return run('ip', ['netns', 'exec', this.ns, command, ...args]);
  }

  async start(options: { presharedKey?: Uint8Array; rekeyAfterTime?: number; forceUnderLoad?: boolean } = {}) {
    await run('ip', ['netns', 'add', this.ns]);
    await this.ip('link', 'set', 'lo', 'up');
    const go = spawn('ip', ['netns', 'exec', this.ns, 'wireguard-go', '-f', this.tun], { stdio: 'ignore' });
    this.#children.push(go);
    const uapi = `/var/run/wireguard/${this.tun}.sock`;
    await until(() => existsSync(uapi), 'the UAPI socket of wireguard-go');

    const shell = spawn('ip', [
      'netns',
      'exec',
      this.ns,
      process.execPath,
      new URL('testing/shell.ts', import.meta.url).pathname,
    ]);
    this.#children.push(shell);
    this.#shell = shell;
    let errors = '';
    shell.stderr.on('data', chunk => (errors += chunk));
    createInterface({ input: shell.stdout }).on('line', line => this.lines.push(JSON.parse(line)));
    this.tell({
      privateKey: Buffer.from(this.ourKey).toString('hex'),
      peer: {
        publicKey: Buffer.from(opensslX25519.publicKey(this.goKey)).toString('hex'),
        allowedIps: ['10.99.0.1/32'],
        ...(options.presharedKey && { presharedKey: Buffer.from(options.presharedKey).toString('hex') }),
      },
      rekeyAfterTime: options.rekeyAfterTime,
      forceUnderLoad: options.forceUnderLoad,
    });
    const listening = await this.line('listening').catch(() => {
      throw new Error(`the shell did not start: ${errors}`);
    });
    this.port = listening['port'] as number;
    await this.wg(
      `private_key=${Buffer.from(this.goKey).toString('hex')}`,
      'listen_port=0',
      ...this.peerLines(options.presharedKey),
      'allowed_ip=10.99.0.2/32',
    );
    await this.ip('address', 'add', '10.99.0.1/24', 'dev', this.tun);
    await this.ip('link', 'set', this.tun, 'up', 'mtu', '1420');
    const shown = (await this.inside('wg', 'show', this.tun, 'listen-port')).stdout;
    this.tell({ op: 'endpoint', port: Number(shown) });
  }

  peerLines(presharedKey?: Uint8Array): string[] {
    const lines = [`public_key=${Buffer.from(opensslX25519.publicKey(this.ourKey)).toString('hex')}`];
    if (presharedKey) lines.push(`preshared_key=${Buffer.from(presharedKey).toString('hex')}`);
    return lines;
  }

  /** One set operation on wireguard-go's UAPI socket: keys stay out of argument lists and files. */
  async wg(...lines: string[]): Promise<void> {
    const { createConnection } = await import('node:net');
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = createConnection(`/var/run/wireguard/${this.tun}.sock`);
      let text = '';
      socket.on('error', reject);
      socket.on('data', chunk => {
        text += chunk;
        if (text.endsWith('\n\n')) {
          socket.destroy();
          resolve(text);
        }
      });
      socket.write(`set=1\n${lines.join('\n')}\n\n`);
    });
    expect(answer).toBe('errno=0\n\n');
  }

  endpointOfOurs(): string[] {
    return [...this.peerLines(), `endpoint=127.0.0.1:${this.port}`];
  }

  tell(line: object): void {
    this.#shell?.stdin?.write(JSON.stringify(line) + '\n');
  }

  count(type: string, match: Record<string, unknown> = {}): number {
    return this.lines.filter(l => l.type === type && Object.entries(match).every(([k, v]) => l[k] === v)).length;
  }

  async line(type: string, match: Record<string, unknown> = {}, ms = 5000): Promise<Line> {
    const find = () => this.lines.find(l => l.type === type && Object.entries(match).every(([k, v]) => l[k] === v));
    await until(() => find() !== undefined, `${type} ${JSON.stringify(match)} in ${JSON.stringify(this.lines)}`, ms);
    return find()!;
  }

  /** How many of `count` UDP datagrams from wireguard-go's side our inner host has sent back. */
  async ping(count: number, interval = 0.2, size = 56): Promise<number> {
    const script = new URL('testing/udp-ping.ts', import.meta.url).pathname;
    const args = ['10.99.0.2', `${count}`, `${interval * 1000}`, `${size}`];
    return Number((await this.inside(process.execPath, script, ...args)).stdout);
  }

  async stop(): Promise<void> {
    for (const child of this.#children) {
      const gone = new Promise(resolve => child.once('exit', resolve));
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill();
      await gone;
    }
    await run('ip', ['netns', 'delete', this.ns]).catch(() => undefined);
  }
}

async function until(condition: () => boolean, what: string, ms = 5000): Promise<void> {
  const end = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`no ${what} within ${ms} ms`);
    await sleep(10);
  }
}

describe.skipIf(reason !== undefined)('with wireguard-go', { concurrent: true, timeout: 60_000 }, () => {
  const within = (id: string, scenario: (lab: Lab) => Promise<void>) => async () => {
    const lab = new Lab(id);
    try {
      await scenario(lab);
    } finally {
      await lab.stop();
    }
  };
  test('H-1 we initiate, with a preshared key; full-size packets; D-17 byte counters agree', within('a', weInitiate));
  test('H-1 they initiate and we learn their endpoint; H-4 a wrong preshared key', within('b', theyInitiate));
  test('H-2 sessions change under a stream of packets and none is lost', within('c', rekey));
  test('C-1, C-4 under load they are let in with our cookie', within('d', cookies));
});

async function weInitiate(l: Lab): Promise<void> {
  const presharedKey = Uint8Array.from(randomBytes(32));
  await l.start({ presharedKey });
  l.tell({ op: 'connect' });
  await l.line('established', { initiator: true });
  for (const n of [1, 2, 3]) l.tell({ op: 'ping', from: '10.99.0.2', to: '10.99.0.1', n, size: n === 3 ? 1300 : 8 });
  await l.line('echo-reply', { n: 3, from: '10.99.0.1' });
  expect(await l.ping(3, 0.05, 1392), 'full-size pings to us').toBe(3);

  l.tell({ op: 'stats' });
  const stats = await l.line('stats');
  const transfer = (await l.inside('wg', 'show', l.tun, 'transfer')).stdout.trim().split(/\s+/);
  expect(Number(transfer[1]), 'their rx is our tx').toBe(stats['txBytes']);
  expect(Number(transfer[2]), 'their tx is our rx').toBe(stats['rxBytes']);

  // H-4: another key on our side only: no session; the old one lives on
  l.tell({ op: 'presharedKey', key: Buffer.from(randomBytes(32)).toString('hex') });
  expect(await l.ping(1), 'the live session survives').toBe(1);
}

async function theyInitiate(l: Lab): Promise<void> {
  await l.start();
  await l.wg(...l.endpointOfOurs());
  expect(await l.ping(5, 0.1), 'pings to us').toBe(5);
  expect(l.count('session', { initiator: false })).toBe(1);
  await l.line('established', { initiator: false });
  await l.wg(...l.peerLines(Uint8Array.from(randomBytes(32))), 'remove=true');
  await l.wg(...l.endpointOfOurs(), 'allowed_ip=10.99.0.2/32', `preshared_key=${'55'.repeat(32)}`);
  expect(await l.ping(1), 'with another preshared key').toBe(0);
  expect(l.count('echo-reply')).toBe(0);
}

/** We are the initiator, and renew every 5 s by the test knob. */
async function rekey(l: Lab): Promise<void> {
  await l.start({ rekeyAfterTime: 1000 });
  l.tell({ op: 'connect' });
  await l.line('established', { initiator: true });
  expect(await l.ping(75, 0.1), 'pings over 7.5 s').toBe(75);
  expect(l.count('session', { initiator: true }), 'sessions').toBeGreaterThanOrEqual(2);
}

/** wireguard-go takes the cookie along in its retransmission 5 s later. */
async function cookies(l: Lab): Promise<void> {
  await l.start({ forceUnderLoad: true });
  await l.wg(...l.endpointOfOurs());
  const pinged = l.ping(12, 0.5);
  await l.line('send', { kind: 'cookie-reply' });
  expect(l.count('session'), 'no session without a cookie').toBe(0);
  await l.line('established', { initiator: false }, 8000);
  expect(l.count('send', { kind: 'cookie-reply' })).toBe(1);
  expect(await pinged).toBeGreaterThan(0);
}
