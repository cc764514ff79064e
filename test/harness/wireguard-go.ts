// The far end: a real wireguard-go on a TUN device in a namespace, driven by the real `wg`.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { inNamespace, ip } from './network.ts';

export interface WireGuardGo {
  readonly device: string;
  wg(...args: string[]): string;
  stop(): Promise<void>;
}

export interface FarEnd {
  namespace: string;
  device: string;
  privateKeyFile: string;
  listenPort: number;
  addresses: string[];
  mtu?: number;
}

/** @throws when the device does not come up within 5 s. */
export async function startWireGuardGo(o: FarEnd): Promise<WireGuardGo> {
  const child: ChildProcess = spawn('ip', ['netns', 'exec', o.namespace, 'wireguard-go', '-f', o.device], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, LOG_LEVEL: 'error', WG_PROCESS_FOREGROUND: '1' },
  });
  let output = '';
  child.stdout!.on('data', part => (output += part));
  child.stderr!.on('data', part => (output += part));
  const exited = new Promise<void>(resolve => child.once('exit', () => resolve()));
  const socket = `/var/run/wireguard/${o.device}.sock`;
  for (let i = 0; !existsSync(socket); i++) {
    if (i === 100 || child.exitCode !== null) throw new Error(`wireguard-go did not come up: ${output}`);
    await new Promise(resolve => setTimeout(resolve, 50));
  }
  const wg = (...args: string[]) => inNamespace(o.namespace, 'wg', ...args);
  wg('set', o.device, 'private-key', o.privateKeyFile, 'listen-port', String(o.listenPort));
  for (const address of o.addresses)
    ip('-n', o.namespace, 'addr', 'add', address, 'dev', o.device, ...(address.includes(':') ? ['nodad'] : []));
  ip('-n', o.namespace, 'link', 'set', o.device, 'up', 'mtu', String(o.mtu ?? 1420));
  return {
    device: o.device,
    wg,
    async stop() {
      child.kill('SIGTERM');
      await exited;
      rmSync(socket, { force: true });
    },
  };
}

const runHere = (command: string, args: string[], input = ''): string =>
  execFileSync(command, args, { encoding: 'utf8', input });

/** @returns base64 keys by `wg genkey` and `wg pubkey`. */
export function makeKeys(): { privateKey: string; publicKey: string } {
  const privateKey = runHere('wg', ['genkey']).trim();
  return { privateKey, publicKey: runHere('wg', ['pubkey'], privateKey).trim() };
}
