/**
 * The methods of the control socket: Nexodus' `NexdCtl.*` with its texts, and ours beside them. Every method takes one
 * string and gives one string; JSON documents are strings.
 */

import type { PeerStatus } from '../../companion/index.ts';
import type { Direction } from '../../rules/index.ts';
import type { Method, Methods } from '../control/index.ts';
import type { Logger } from '../log.ts';
import { version } from '../version.ts';
import type { DataPathStatus } from './parts.ts';

/** A peer whose last handshake is older is not healthy; Nexodus' limit (s). */
const HEALTHY_WITHIN = 210;

/** What the methods need of the daemon. */
export interface ControlledDaemon {
  running(): boolean;
  /** Resolves when rules can be changed; rejects when that takes too long. */
  ready(): Promise<void>;
  /** Our tunnel addresses without prefix length. */
  tunnelAddresses(): string[];
  rules(): string[];
  addRule(direction: Direction, text: string): Promise<void>;
  removeRule(direction: Direction, text: string): Promise<void>;
  dataPathStatus(): Promise<DataPathStatus | undefined>;
  detail(): Promise<object>;
  logger: Logger;
}

const nowSeconds = (): number => Math.floor(Date.now() / 1000);

export const isHealthy = (peer: PeerStatus): boolean =>
  peer.latestHandshake > 0 && nowSeconds() - peer.latestHandshake <= HEALTHY_WITHIN;

function listPeers(peers: readonly PeerStatus[]): string {
  const sessions = peers.map(peer => [
    peer.publicKey,
    {
      PublicKey: peer.publicKey,
      Endpoint: peer.endpoint ?? '',
      AllowedIPs: peer.allowedIps,
      LatestHandshake: String(peer.latestHandshake),
      Tx: peer.tx,
      Rx: peer.rx,
      Healthy: isHealthy(peer),
    },
  ]);
  return JSON.stringify({ 'relay-present': false, 'relay-required': false, peers: Object.fromEntries(sessions) });
}

function refuse(reason: string): Method {
  return () => {
    throw new Error(reason);
  };
}

export function controlMethods(daemon: ControlledDaemon): Methods {
  const change =
    (verb: 'Added' | 'Removed', direction: Direction): Method =>
    async text => {
      await daemon.ready();
      await (verb === 'Added' ? daemon.addRule(direction, text) : daemon.removeRule(direction, text));
      return `${verb} ${direction} proxy rule: ${text}\n`;
    };
  const firstAddress =
    (ipv6: boolean): Method =>
    () =>
      daemon.running() ? (daemon.tunnelAddresses().find(address => address.includes(':') === ipv6) ?? '') : '';
  const debug =
    (on: boolean): Method =>
    () => {
      daemon.logger.setLevel(on ? 'debug' : 'info');
      return `Debug logging ${on ? 'enabled' : 'disabled'}`;
    };
  const noExitNodes = refuse('exit nodes are not supported in proxy mode');
  const noPings = refuse('connectivity checks are not supported yet; see the latest handshakes in the list of peers');
  const methods: Record<string, Method> = {
    Version: version,
    Status: () => `Status: ${daemon.running() ? 'Running' : 'Starting'}\n`,
    GetTunnelIPv4: firstAddress(false),
    GetTunnelIPv6: firstAddress(true),
    ProxyList: () =>
      daemon
        .rules()
        .map(rule => `${rule}\n`)
        .join(''),
    ProxyAddIngress: change('Added', 'ingress'),
    ProxyAddEgress: change('Added', 'egress'),
    ProxyRemoveIngress: change('Removed', 'ingress'),
    ProxyRemoveEgress: change('Removed', 'egress'),
    SetDebugOn: debug(true),
    SetDebugOff: debug(false),
    GetDebug: () => (daemon.logger.level() === 'debug' ? 'on' : 'off'),
    ListPeers: async () => listPeers((await daemon.dataPathStatus())?.peers ?? []),
    ConnectivityV4: noPings,
    ConnectivityV6: noPings,
    EnableExitNodeClient: noExitNodes,
    DisableExitNodeClient: noExitNodes,
    ListExitNodes: () => 'null',
    // Ours.
    StatusDetail: async () => JSON.stringify(await daemon.detail()),
  };
  return new Map(Object.entries(methods).map(([name, method]) => [`NexdCtl.${name}`, method]));
}
