import { parsePrefix } from '../rules/index.ts';
import type { CompanionConfig, PeerConfig } from './config.ts';

/** Specification (RFC 791): what every IPv4 link must carry. */
const LEAST_MTU = 576;
/** Specification (whitepaper §5.4.6, UDP): 65,507 less the transport header, the tag and the padding to 16. */
const MOST_MTU = 65_455;

/** What of the configuration cannot work, in words for a person; undefined when nothing. Never quotes a key. */
export function configError(config: CompanionConfig): string | undefined {
  if (config.privateKey.length !== 32) return `the private key has ${config.privateKey.length} bytes, not 32`;
  if (config.privateKey.every(byte => byte === 0)) return 'the private key is all zero';
  if (config.addresses.length === 0) return 'no address: the node needs at least one inside the network';
  for (const text of config.addresses) if (parsePrefix(text) === undefined) return `${text} is no address or CIDR`;
  if (!Number.isInteger(config.listenPort) || config.listenPort < 0 || config.listenPort > 65_535)
    return `listen port ${config.listenPort} is outside 0..65535`;
  if (!Number.isInteger(config.mtu) || config.mtu < LEAST_MTU || config.mtu > MOST_MTU)
    return `MTU ${config.mtu} is outside ${LEAST_MTU}..${MOST_MTU}`;
  return peersError(config.peers);
}

/** The same for a list of peers. */
export function peersError(peers: readonly PeerConfig[]): string | undefined {
  const seen = new Set<string>();
  for (const peer of peers) {
    const name = Buffer.from(peer.publicKey).toString('base64');
    if (peer.publicKey.length !== 32) return `a public key has ${peer.publicKey.length} bytes, not 32`;
    if (peer.presharedKey !== undefined && peer.presharedKey.length !== 32)
      return `peer ${name}: the preshared key has ${peer.presharedKey.length} bytes, not 32`;
    if (seen.has(name)) return `peer ${name} is there twice`;
    seen.add(name);
    for (const text of peer.allowedIps) if (parsePrefix(text) === undefined) return `peer ${name}: ${text} is no CIDR`;
    const keepalive = peer.persistentKeepalive ?? 0;
    if (!Number.isInteger(keepalive) || keepalive < 0 || keepalive > 65_535)
      return `peer ${name}: persistent keepalive ${keepalive} is outside 0..65535 s`;
    const port = peer.endpoint?.port;
    if (port !== undefined && (!Number.isInteger(port) || port < 1 || port > 65_535))
      return `peer ${name}: endpoint port ${port} is outside 1..65535`;
  }
  return undefined;
}
