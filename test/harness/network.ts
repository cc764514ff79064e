// Two network namespaces joined by a veth pair: `near` holds the program under test, `far` the real WireGuard device. Needs root.
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';

export interface Network {
  readonly near: string;
  readonly far: string;
  /** Addresses on the veth pair: what WireGuard's outer packets travel between. */
  readonly nearAddress: { readonly v4: string; readonly v6: string };
  readonly farAddress: { readonly v4: string; readonly v6: string };
  remove(): void;
}

export const ip = (...args: string[]): string =>
  execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
export const inNamespace = (namespace: string, command: string, ...args: string[]): string =>
  execFileSync('ip', ['netns', 'exec', namespace, command, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });

/** Why namespaces cannot be made here, or undefined. */
export function whyNoNamespaces(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root for network namespaces';
  try {
    const probe = `nxprobe${process.pid}`;
    ip('netns', 'add', probe);
    ip('netns', 'del', probe);
    return undefined;
  } catch (error) {
    return `cannot make network namespaces: ${(error as Error).message.split('\n')[0]}`;
  }
}

let made = 0;

/** @throws when `ip` fails. Namespaces of test runs that died are removed first. */
export function makeNetwork(o: { mtu?: number } = {}): Network {
  removeStale();
  const name = `nx${process.pid}x${made++}`;
  const near = `${name}n`;
  const far = `${name}f`;
  for (const namespace of [near, far]) {
    ip('netns', 'add', namespace);
    ip('-n', namespace, 'link', 'set', 'lo', 'up');
  }
  const mtu = String(o.mtu ?? 1500);
  ip(
    'link',
    'add',
    'veth0',
    'netns',
    near,
    'mtu',
    mtu,
    'type',
    'veth',
    'peer',
    'name',
    'veth0',
    'netns',
    far,
    'mtu',
    mtu,
  );
  const nearAddress = { v4: '10.99.0.1', v6: 'fd99::1' };
  const farAddress = { v4: '10.99.0.2', v6: 'fd99::2' };
  for (const [namespace, address] of [
    [near, nearAddress],
    [far, farAddress],
  ] as const) {
    ip('-n', namespace, 'addr', 'add', `${address.v4}/24`, 'dev', 'veth0');
    ip('-n', namespace, '-6', 'addr', 'add', `${address.v6}/64`, 'dev', 'veth0', 'nodad');
    ip('-n', namespace, 'link', 'set', 'veth0', 'up');
  }
  return {
    near,
    far,
    nearAddress,
    farAddress,
    remove() {
      for (const namespace of [near, far]) {
        try {
          ip('netns', 'del', namespace);
        } catch {}
      }
    },
  };
}

function removeStale(): void {
  let names: string[];
  try {
    names = readdirSync('/var/run/netns');
  } catch {
    return;
  }
  for (const name of names) {
    const pid = /^nx(\d+)x\d+[nf]$/.exec(name)?.[1];
    if (pid === undefined || isAlive(Number(pid))) continue;
    try {
      ip('netns', 'del', name);
    } catch {}
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
