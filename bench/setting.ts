// Where all systems are measured: two namespaces, one real wireguard-go at the far end, servers on both sides.
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { inNamespace, makeNetwork, type Network } from '../test/harness/network.ts';
import { commandOf, descendants, makeFolder, removeFolder, writeConfig } from '../test/harness/nexd.ts';
import { makeKeys, startWireGuardGo, type WireGuardGo } from '../test/harness/wireguard-go.ts';
import { type Load, startLoad } from './load.ts';

export const FAR_ADDRESS = '10.77.0.1';
export const FAR_PORT = 51820;
export const MTU = 1420;
/** Ports of the servers, in both namespaces. */
export const BULK = 7001;
export const ECHO = 7002;
export const DATAGRAM = 7003;

const LINK_MTU = 1500;
/** Connections by the thousand: enough local ports, and those in TIME-WAIT may be taken again. */
const SYSCTLS = ['net.ipv4.ip_local_port_range=1024 65535', 'net.ipv4.tcp_tw_reuse=1', 'net.core.somaxconn=4096'];

export interface Setting {
  readonly network: Network;
  readonly folder: string;
  readonly farEnd: WireGuardGo;
  readonly farPublicKey: string;
  readonly farPid: number;
  close(): Promise<void>;
}

/** The process of a wireguard-go that we started. */
export function wireGuardGoPid(device: string): number {
  const pid = descendants(process.pid).find(child => commandOf(child).endsWith(`wireguard-go -f ${device}`));
  if (pid === undefined) throw new Error(`no process of ${device}`);
  return pid;
}

/** Ends what a bench that was killed with SIGKILL left in its namespaces, before makeNetwork removes them. */
function endStale(): void {
  for (const name of readdirSync('/var/run/netns')) {
    const owner = /^nx(\d+)x\d+[nf]$/.exec(name)?.[1];
    if (owner === undefined || commandOf(Number(owner)) !== '') continue;
    for (const pid of execFileSync('ip', ['netns', 'pids', name], { encoding: 'utf8' }).split('\n').filter(Boolean))
      process.kill(Number(pid), 'SIGKILL');
  }
}

function configure(namespace: string, noGso: boolean): void {
  for (const sysctl of SYSCTLS) inNamespace(namespace, 'sysctl', '-qw', sysctl);
  if (noGso) {
    const off = ['tx-udp-segmentation', 'tso', 'gso', 'gro'].flatMap(feature => [feature, 'off']);
    inNamespace(namespace, 'ethtool', '-K', 'veth0', ...off);
  }
}

/** @throws when a part does not start; nothing is left then. */
export async function makeSetting(o: { noGso: boolean }): Promise<Setting> {
  try {
    endStale();
  } catch {
    // No namespaces yet, or a process that has just ended.
  }
  const network = makeNetwork({ mtu: LINK_MTU });
  const folder = makeFolder();
  const servers: Load[] = [];
  let farEnd: WireGuardGo | undefined;
  const close = async () => {
    await Promise.all(servers.map(server => server.end()));
    await farEnd?.stop();
    network.remove();
    removeFolder(folder);
  };
  try {
    configure(network.near, o.noGso);
    configure(network.far, o.noGso);
    const keys = makeKeys();
    const device = `wgb${process.pid}f`;
    farEnd = await startWireGuardGo({
      namespace: network.far,
      device,
      privateKeyFile: writeConfig(folder, keys.privateKey, 'far.key'),
      listenPort: FAR_PORT,
      addresses: [`${FAR_ADDRESS}/24`],
      mtu: MTU,
    });
    servers.push(startLoad(network.far, ['serve', `${FAR_ADDRESS}:${BULK}`], 5000));
    servers.push(startLoad(network.near, ['serve', `0.0.0.0:${BULK}`], 5000));
    await Promise.all(servers.map(server => server.result));
    return { network, folder, farEnd, farPublicKey: keys.publicKey, farPid: wireGuardGoPid(device), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** A folder for one system's files. */
export const systemFolder = (setting: Setting, name: string): string => join(setting.folder, name);
