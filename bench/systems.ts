// The systems that are measured, each with a tunnel address of its own, all up at once.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, mkdirSync, rmSync } from 'node:fs';
import { basename } from 'node:path';
import { createInterface } from 'node:readline';
import { commandOf, descendants, type Nexd, ORDINARY_USER, startNexd, writeConfig } from '../test/harness/nexd.ts';
import { makeKeys, startWireGuardGo, type WireGuardGo } from '../test/harness/wireguard-go.ts';
import { netstackProgram } from './golang.ts';
import { load } from './load.ts';
import {
  BULK,
  DATAGRAM,
  ECHO,
  FAR_ADDRESS,
  FAR_PORT,
  MTU,
  type Setting,
  systemFolder,
  wireGuardGoPid,
} from './setting.ts';

export const SYSTEM_NAMES = ['none', 'envoy', 'wg-tun', 'netstack'] as const;
export type SystemName = (typeof SYSTEM_NAMES)[number];
/** The yardstick of all ratios. */
export const YARDSTICK: SystemName = 'wg-tun';
export const DESCRIPTIONS: Record<SystemName, string> = {
  none: 'nexd --envoy none',
  envoy: 'nexd with Envoy',
  'wg-tun': 'kernel TCP over wireguard-go on a TUN',
  netstack: 'a forwarder on wireguard-go and gVisor',
};

const START_MS = 30_000;

export interface System {
  readonly name: SystemName;
  /** Where a client in the near namespace connects to, address:port. */
  readonly egress: { readonly bulk: string; readonly echo: string; readonly datagram: string };
  /** Where a client in the far namespace connects to. */
  readonly ingress: { readonly bulk: string };
  /** @throws when a byte does not come back through it within 30 s. */
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Of every process that is measured. */
  pids(): number[];
  /** Which of them is Envoy. */
  envoyPids(): number[];
}

/** What each kind of system must know of its place. */
interface Place {
  readonly setting: Setting;
  readonly name: SystemName;
  readonly address: string;
  readonly listenPort: number;
  readonly privateKey: string;
  readonly ports: { readonly bulk: number; readonly echo: number; readonly datagram: number };
}

interface Running {
  pids(): number[];
  stop(): Promise<void>;
}

const INGRESS_BULK = 8001;

export function makeSystem(setting: Setting, name: SystemName, index: number): System {
  const keys = makeKeys();
  const base = 20_000 + 100 * index;
  const place: Place = {
    setting,
    name,
    address: `10.77.0.${11 + index}`,
    listenPort: 51_900 + index,
    privateKey: keys.privateKey,
    ports: { bulk: base + 1, echo: base + 2, datagram: base + 3 },
  };
  const { farEnd, network } = setting;
  const endpoint = `${network.nearAddress.v4}:${place.listenPort}`;
  farEnd.wg('set', farEnd.device, 'peer', keys.publicKey, 'allowed-ips', `${place.address}/32`, 'endpoint', endpoint);
  const isDirect = name === 'wg-tun';
  const at = (through: number, direct: number) => (isDirect ? `${FAR_ADDRESS}:${direct}` : `127.0.0.1:${through}`);
  const egress = {
    bulk: at(place.ports.bulk, BULK),
    echo: at(place.ports.echo, ECHO),
    datagram: at(place.ports.datagram, DATAGRAM),
  };
  let running: Running | undefined;
  const system: System = {
    name,
    egress,
    ingress: { bulk: `${place.address}:${isDirect ? BULK : INGRESS_BULK}` },
    async start() {
      running = await (isDirect ? startKernel(place) : name === 'netstack' ? startNetstack(place) : startOurs(place));
      try {
        await load(network.near, ['probe', egress.echo, START_MS], START_MS + 5000);
      } catch (error) {
        await system.stop();
        throw error;
      }
    },
    async stop() {
      const stopping = running;
      running = undefined;
      await stopping?.stop();
    },
    pids: () => running?.pids() ?? [],
    envoyPids: () => system.pids().filter(pid => basename(commandOf(pid).split(' ')[0]!) === 'envoy'),
  };
  return system;
}

async function startOurs(place: Place): Promise<Running> {
  const { setting, ports } = place;
  const folder = systemFolder(setting, place.name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  chownSync(folder, ORDINARY_USER, ORDINARY_USER);
  const config = writeConfig(
    folder,
    `[Interface]\nPrivateKey = ${place.privateKey}\nAddress = ${place.address}/32\nListenPort = ${place.listenPort}\nMTU = ${MTU}\n` +
      `[Peer]\nPublicKey = ${setting.farPublicKey}\nEndpoint = ${setting.network.farAddress.v4}:${FAR_PORT}\nAllowedIPs = ${FAR_ADDRESS}/32\n`,
  );
  const rules = [
    `--egress=tcp:${ports.bulk}:${FAR_ADDRESS}:${BULK}`,
    `--egress=tcp:${ports.echo}:${FAR_ADDRESS}:${ECHO}`,
    `--egress=udp:${ports.datagram}:${FAR_ADDRESS}:${DATAGRAM}`,
    `--ingress=tcp:${INGRESS_BULK}:127.0.0.1:${BULK}`,
  ];
  const envoy = place.name === 'envoy' ? 'auto' : 'none';
  const args = ['--config', config, '--envoy', envoy, '--bind', '127.0.0.1', '--log-level', 'warn', ...rules];
  const nexd: Nexd = startNexd({ namespace: setting.network.near, folder, args });
  const stop = async () => void (await nexd.stop());
  try {
    await nexd.waitFor(/^ready/m, START_MS);
  } catch (error) {
    await stop();
    throw error;
  }
  return { pids: () => [nexd.pid, ...descendants(nexd.pid)], stop };
}

async function startKernel(place: Place): Promise<Running> {
  const { setting } = place;
  const device = `wgb${process.pid}n`;
  const wireguard: WireGuardGo = await startWireGuardGo({
    namespace: setting.network.near,
    device,
    privateKeyFile: writeConfig(setting.folder, place.privateKey, 'near.key'),
    listenPort: place.listenPort,
    addresses: [`${place.address}/24`],
    mtu: MTU,
  });
  const endpoint = `${setting.network.farAddress.v4}:${FAR_PORT}`;
  wireguard.wg('set', device, 'peer', setting.farPublicKey, 'allowed-ips', `${FAR_ADDRESS}/32`, 'endpoint', endpoint);
  const pid = wireGuardGoPid(device);
  return { pids: () => [pid], stop: () => wireguard.stop() };
}

async function startNetstack(place: Place): Promise<Running> {
  const { setting, ports } = place;
  const hex = (key: string) => Buffer.from(key, 'base64').toString('hex');
  const device =
    `private_key=${hex(place.privateKey)}\nlisten_port=${place.listenPort}\npublic_key=${hex(setting.farPublicKey)}\n` +
    `endpoint=${setting.network.farAddress.v4}:${FAR_PORT}\nallowed_ip=${FAR_ADDRESS}/32\n`;
  const rule = (protocol: string, listen: string, connect: string) => ({ protocol, listen, connect });
  const configuration = {
    device,
    address: place.address,
    mtu: MTU,
    egress: [
      rule('tcp', `127.0.0.1:${ports.bulk}`, `${FAR_ADDRESS}:${BULK}`),
      rule('tcp', `127.0.0.1:${ports.echo}`, `${FAR_ADDRESS}:${ECHO}`),
      rule('udp', `127.0.0.1:${ports.datagram}`, `${FAR_ADDRESS}:${DATAGRAM}`),
    ],
    ingress: [rule('tcp', `${place.address}:${INGRESS_BULK}`, `127.0.0.1:${BULK}`)],
  };
  const child = spawn('ip', ['netns', 'exec', setting.network.near, netstackProgram], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  child.stdin.on('error', () => {});
  child.stdin.write(`${JSON.stringify(configuration)}\n`);
  const started = await Promise.race([
    once(createInterface(child.stdout), 'line').then(() => true),
    exited.then(() => false),
  ]);
  if (!started) throw new Error('the netstack peer did not start');
  return {
    pids: () => [child.pid!],
    async stop() {
      child.stdin.end();
      const timer = setTimeout(() => child.kill('SIGKILL'), 3000);
      await exited;
      clearTimeout(timer);
    },
  };
}
