/**
 * A proxy key: all rules that share direction, protocol and listen port. It is one listener with several destinations.
 * Its name, `egress/tcp/5432`, is the name of the Envoy listener, of the cluster and of the EDS resource.
 */

import { formatEndpoint } from './address.ts';
import type { Destination, Direction, Protocol, ProxyRule } from './rule.ts';

export interface ProxyKey {
  /** `egress/tcp/5432` */
  name: string;
  direction: Direction;
  protocol: Protocol;
  /** Listen port, 1..65535. */
  port: number;
  /** In the order of the rules, no two equal, at least one. */
  destinations: Destination[];
}

export function proxyKeyName(key: Pick<ProxyRule, 'direction' | 'protocol' | 'port'>): string {
  return `${key.direction}/${key.protocol}/${key.port}`;
}

/** The canonical name of `egress/tcp/5432` or Nexodus' `egress:tcp:5432`; undefined when it is neither. */
export function parseProxyKeyName(text: string): string | undefined {
  const match = /^(egress|ingress)([:/])(tcp|udp)\2([1-9]\d{0,4})$/.exec(text.toLowerCase());
  if (match === null || Number(match[4]) > 65535) return undefined;
  return `${match[1]}/${match[3]}/${match[4]}`;
}

/** Group rules into keys, in the order of each key's first rule; a destination given twice is kept once. */
export function proxyKeys(rules: readonly ProxyRule[]): ProxyKey[] {
  const keys = new Map<string, ProxyKey>();
  for (const { direction, protocol, port, destination } of rules) {
    const name = proxyKeyName({ direction, protocol, port });
    const key = keys.get(name) ?? { name, direction, protocol, port, destinations: [] };
    keys.set(name, key);
    const text = formatEndpoint(destination.host, destination.port);
    if (!key.destinations.some(known => formatEndpoint(known.host, known.port) === text)) {
      key.destinations.push({ host: destination.host, port: destination.port });
    }
  }
  return [...keys.values()];
}
