// The world of the end-to-end tests: one real wireguard-go with its services, one nexd with a rule for each, hosts on both sides.
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Host, startHost } from './host.ts';
import type { Service } from './host-worker.ts';
import type { Impairment } from './impairment.ts';
import { makeNetwork, type Network } from './network.ts';
import { makeFolder, type Nexd, removeFolder, startNexd, writeConfig } from './nexd.ts';
import { makeKeys, startWireGuardGo, type WireGuardGo } from './wireguard-go.ts';

export const FAR = { v4: '10.77.0.1', v6: 'fd77::1' };
export const NEAR = { v4: '10.77.0.2', v6: 'fd77::2' };
export type Family = 'v4' | 'v6';
export type Direction = 'egress' | 'ingress';

/** Each service has a port; its rules are that port plus an offset, so that a test finds its way by name. */
export const SERVICES = {
  echo: { port: 7001, service: { kind: 'echo' } },
  greet: { port: 7002, service: { kind: 'greet', text: '220 ready\r\n' } },
  afterEof: { port: 7003, service: { kind: 'answer-after-eof', delayMs: 500 } },
  digest: { port: 7004, service: { kind: 'digest' } },
  source: { port: 7005, service: { kind: 'source', bytes: 100_000_000, seed: 5 } },
  name: { port: 7006, service: { kind: 'name', text: 'bye' } },
  reset: { port: 7007, service: { kind: 'reset' } },
  silent: { port: 7008, service: { kind: 'silent' } },
} as const satisfies Record<string, { port: number; service: Service }>;
export type ServiceName = keyof typeof SERVICES;

/** Nothing listens here. */
export const REFUSED_PORT = 7010;
export const UDP_PORT = 7020;
/** A tunnel address that belongs to no peer. */
export const UNROUTED = { v4: '10.78.0.9', v6: 'fd78::9' };

const egressPort = (port: number, family: Family) => port + (family === 'v4' ? 1000 : 2000);
const ingressPort = (port: number, family: Family) => port + (family === 'v4' ? 3000 : 4000);
const host = (address: string) => (address.includes(':') ? `[${address}]` : address);

export interface World {
  readonly network: Network;
  readonly near: Host;
  readonly far: Host;
  readonly farEnd: WireGuardGo;
  readonly nexd: Nexd;
  /** Kills nexd without a word and starts it again, the same in all. */
  restartNexd(): Promise<void>;
  /** Base64. */
  readonly publicKeys: { readonly near: string; readonly far: string };
  /** The bad network between the two, if there is one; its host's methods `rebind`, `impair` and `relayed` take the handle. */
  readonly relay: { readonly host: Host; readonly relay: number } | undefined;
  /** The real `wg` on nexd's UAPI socket, when the world was made with `uapi`. @throws with what it printed when it fails. */
  wg(...args: string[]): string;
  /** Changes what nexd finds as /etc/hosts, when the world was made with `hosts`. */
  setHosts(text: string): void;
  /** Ends the far end's process and starts another with the same key, addresses and peer. */
  restartFarEnd(): Promise<void>;
  /** Who calls, who answers, and where the caller must connect to. */
  way(
    direction: Direction,
    family: Family,
    service: ServiceName | number,
  ): { client: Host; server: Host; to: { address: string; port: number }; serverAddress: string; serverPort: number };
  close(): Promise<void>;
}

const loopback = { v4: '127.0.0.1', v6: '::1' };

function rules(): string[] {
  const args: string[] = [];
  for (const family of ['v4', 'v6'] as const) {
    const ports: number[] = [...Object.values(SERVICES).map(({ port }) => port), REFUSED_PORT];
    for (const port of ports) {
      args.push('--egress', `tcp:${egressPort(port, family)}:${host(FAR[family])}:${port}`);
      args.push('--ingress', `tcp:${ingressPort(port, family)}:${host(loopback[family])}:${port}`);
    }
    args.push('--egress', `udp:${egressPort(UDP_PORT, family)}:${host(FAR[family])}:${UDP_PORT}`);
    args.push('--ingress', `udp:${ingressPort(UDP_PORT, family)}:${host(loopback[family])}:${UDP_PORT}`);
  }
  return args;
}

export async function makeWorld(o: {
  envoy: 'auto' | 'none';
  outer?: Family;
  args?: string[];
  rules?: string[];
  presharedKey?: boolean;
  /** nexd's endpoint for the far end, instead of its address; or the name of it. */
  endpoint?: string;
  /** Puts a relay in between. The far end then learns nexd's endpoint from nexd alone. */
  relay?: { seed: number; impairment: Impairment };
  /** What nexd finds as /etc/hosts; see `setHosts`. */
  hosts?: string;
  /** Offers the UAPI. */
  uapi?: boolean;
}): Promise<World> {
  const outer = o.outer ?? 'v4';
  const network = makeNetwork();
  const folder = makeFolder();
  const [nearKeys, farKeys] = [makeKeys(), makeKeys()];
  const device = network.far.replace('nx', 'wg').slice(0, 15);
  const keyFile = writeConfig(folder, farKeys.privateKey, 'far.key');
  const presharedKey = o.presharedKey === true ? makeKeys().privateKey : undefined;
  const presharedFile = presharedKey === undefined ? [] : [writeConfig(folder, presharedKey, 'preshared.key')];
  const startFarEnd = async (): Promise<WireGuardGo> => {
    const started = await startWireGuardGo({
      namespace: network.far,
      device,
      privateKeyFile: keyFile,
      listenPort: 51820,
      addresses: [`${FAR.v4}/24`, `${FAR.v6}/64`],
    });
    started.wg(
      ...['set', device, 'peer', nearKeys.publicKey, 'allowed-ips', `${NEAR.v4}/32,${NEAR.v6}/128`],
      ...presharedFile.flatMap(file => ['preshared-key', file]),
      ...(o.relay === undefined ? ['endpoint', `${host(network.nearAddress[outer])}:51821`] : []),
    );
    return started;
  };
  let farEnd = await startFarEnd();
  const relay = o.relay && (await startRelayHost(network, outer, o.relay));
  const endpoint = o.endpoint ?? `${host(network.farAddress[outer])}:${relay?.port ?? 51820}`;
  const config = writeConfig(
    folder,
    `[Interface]\nPrivateKey = ${nearKeys.privateKey}\nAddress = ${NEAR.v4}/32, ${NEAR.v6}/128\nListenPort = 51821\n` +
      `[Peer]\nPublicKey = ${farKeys.publicKey}\nEndpoint = ${endpoint}\nAllowedIPs = ${FAR.v4}/32, ${FAR.v6}/128\n` +
      (presharedKey === undefined ? '' : `PresharedKey = ${presharedKey}\n`),
  );
  const [near, far] = await startHosts(network).catch(async error => {
    await farEnd.stop();
    network.remove();
    throw error;
  });
  // ip-netns(8): what lies here is mounted over /etc for what is run in the namespace.
  const etc = `/etc/netns/${network.near}`;
  const setHosts = (text: string) => writeFileSync(join(etc, 'hosts'), text);
  if (o.hosts !== undefined) {
    mkdirSync(etc, { recursive: true });
    setHosts(o.hosts);
  }
  const uapiDirectory = join(folder, 'uapi');
  const uapi = o.uapi === true ? ['--uapi-dir', uapiDirectory] : [];
  const start = () =>
    startNexd({
      namespace: network.near,
      folder,
      args: ['--config', config, '--envoy', o.envoy, ...uapi, ...(o.args ?? []), ...(o.rules ?? rules())],
    });
  let nexd = start();
  const world: World = {
    network,
    near,
    far,
    get farEnd() {
      return farEnd;
    },
    get nexd() {
      return nexd;
    },
    async restartNexd() {
      nexd.signal('SIGKILL');
      await nexd.exited;
      nexd = start();
      await nexd.waitFor(/^ready/m);
    },
    publicKeys: { near: nearKeys.publicKey, far: farKeys.publicKey },
    relay,
    wg: (...args) => wgIn(uapiDirectory, args),
    setHosts,
    async restartFarEnd() {
      await farEnd.stop();
      farEnd = await startFarEnd();
    },
    way(direction, family, service) {
      const port = typeof service === 'number' ? service : SERVICES[service].port;
      return direction === 'egress'
        ? {
            client: near,
            server: far,
            to: { address: loopback[family], port: egressPort(port, family) },
            serverAddress: FAR[family],
            serverPort: port,
          }
        : {
            client: far,
            server: near,
            to: { address: NEAR[family], port: ingressPort(port, family) },
            serverAddress: loopback[family],
            serverPort: port,
          };
    },
    async close() {
      await nexd.stop();
      await Promise.all([near.stop(), far.stop(), relay?.host.stop()]);
      await farEnd.stop();
      network.remove();
      if (o.hosts !== undefined) rmSync(etc, { recursive: true });
      removeFolder(folder);
    },
  };
  try {
    await nexd.waitFor(/^ready/m, 60_000);
  } catch (error) {
    await world.close();
    throw error;
  }
  return world;
}

/** A host on each side, with every service of the table. */
async function startHosts(network: Network): Promise<[Host, Host]> {
  const [near, far] = await Promise.all([startHost(network.near), startHost(network.far)]);
  for (const family of ['v4', 'v6'] as const) {
    for (const { port, service } of Object.values(SERVICES)) {
      await far.listen({ address: FAR[family], port, service });
      await near.listen({ address: loopback[family], port, service });
    }
    await far.listenUdp(FAR[family], UDP_PORT);
    await near.listenUdp(loopback[family], UDP_PORT);
  }
  return [near, far];
}

async function startRelayHost(network: Network, outer: Family, o: { seed: number; impairment: Impairment }) {
  const relayHost = await startHost(network.far);
  const address = network.farAddress[outer];
  const started = await relayHost.relay({ ...o, listen: address, server: { address, port: 51820 } });
  return { host: relayHost, ...started };
}

/** The real `wg`, for which `directory` lies where it looks for sockets. */
function wgIn(directory: string, args: string[]): string {
  const script = 'mount --bind "$0" /var/run/wireguard && exec wg "$@"';
  return execFileSync('unshare', ['--mount', 'sh', '-c', script, directory, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}
