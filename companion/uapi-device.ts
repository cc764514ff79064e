import { networkOf, parsePrefix } from '../rules/index.ts';
import type { PeerConfig } from './config.ts';
import { isZero, type Prefix, type UapiPeerChange, type UapiSet } from './wireguard/index.ts';

/** What a set of the UAPI makes of the peers. */
export interface ChangedPeers {
  /** All of them, as they shall be from now on. */
  readonly peers: PeerConfig[];
  /** Public keys (base64) of those whose endpoint was named, also if by the value that is configured: a peer that has roamed comes back. */
  readonly placed: ReadonlySet<string>;
}

interface Draft extends PeerConfig {
  allowedIps: string[];
  readonly owned: Set<string>;
}

/**
 * The peers that a set asks for, from those that are there. A peer that the set replaces by one with the same key is the same peer: it
 * loses its settings, but not its session, which is more than WireGuard promises. `endpointOf` tells the endpoint in use
 * (`address:port` as `formatEndpoint` writes it): naming just that changes nothing, so that a peer known by name stays so.
 */
export function changedPeers(
  current: readonly PeerConfig[],
  set: Pick<UapiSet, 'replacePeers' | 'peers'>,
  endpointOf: (publicKeyBase64: string) => { readonly host: string; readonly port: number } | undefined,
): ChangedPeers {
  const owners = new Map<string, Draft>();
  const drafts = new Map<string, Draft>();
  const placed = new Set<string>();
  if (!set.replacePeers) {
    for (const peer of current) {
      const draft = { ...peer, allowedIps: [], owned: new Set<string>() };
      drafts.set(base64(peer.publicKey), draft);
      for (const text of peer.allowedIps) own(owners, draft, networkOf(parsePrefix(text)!).text);
    }
  }
  const before = new Map(current.map(peer => [base64(peer.publicKey), peer]));
  for (const change of set.peers) {
    const name = base64(change.publicKey);
    const known = drafts.get(name);
    if (change.remove) {
      for (const text of known?.owned ?? []) owners.delete(text);
      drafts.delete(name);
      continue;
    }
    if (known === undefined && change.updateOnly) continue;
    const draft = known ?? { publicKey: change.publicKey, allowedIps: [], owned: new Set<string>() };
    drafts.set(name, draft);
    if (place(draft, change, endpointOf(name), before.get(name))) placed.add(name);
    settle(draft, change);
    route(owners, draft, change);
  }
  const peers = [...drafts.values()].map(({ owned, ...peer }) => ({ ...peer, allowedIps: [...owned] }));
  return { peers, placed };
}

/** @returns whether the endpoint in use has to change. */
function place(
  draft: Draft,
  { endpoint }: UapiPeerChange,
  inUse: { readonly host: string; readonly port: number } | undefined,
  before: PeerConfig | undefined,
): boolean {
  if (endpoint === undefined) return false;
  if (before?.endpoint !== undefined && endpoint.host === inUse?.host && endpoint.port === inUse.port) {
    draft.endpoint = before.endpoint;
    return false;
  }
  draft.endpoint = { ...endpoint };
  return true;
}

function settle(draft: Draft, { presharedKey, persistentKeepalive }: UapiPeerChange): void {
  if (presharedKey !== undefined) {
    if (isZero(presharedKey)) delete draft.presharedKey;
    else draft.presharedKey = Uint8Array.from(presharedKey);
  }
  if (persistentKeepalive !== undefined) draft.persistentKeepalive = persistentKeepalive;
}

function route(owners: Map<string, Draft>, draft: Draft, { replaceAllowedIps, allowedIps }: UapiPeerChange): void {
  if (replaceAllowedIps) {
    for (const text of draft.owned) owners.delete(text);
    draft.owned.clear();
  }
  for (const { prefix, remove } of allowedIps) {
    const text = prefixText(prefix);
    if (!remove) own(owners, draft, text);
    else if (draft.owned.delete(text)) owners.delete(text);
  }
}

/** A prefix belongs to one peer at a time. */
function own(owners: Map<string, Draft>, draft: Draft, text: string): void {
  const owner = owners.get(text);
  if (owner === draft) return;
  owner?.owned.delete(text);
  draft.owned.add(text);
  owners.set(text, draft);
}

function prefixText({ address, length }: Prefix): string {
  return networkOf({ address, length, text: '' }).text;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}
