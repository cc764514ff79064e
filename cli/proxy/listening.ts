/**
 * Whether a port is really listened on, from the kernel's tables: connecting to it would open a connection through the
 * tunnel to the destination.
 */

import { readFileSync } from 'node:fs';
import type { Protocol } from '../../rules/index.ts';

/** TCP_LISTEN, and what an unconnected UDP socket has (TCP_CLOSE); include/net/tcp_states.h. */
const STATE = { tcp: '0A', udp: '07' };

/** Ports of one of /proc/net/{tcp,tcp6,udp,udp6} that are open for anyone (proc(5)). */
export function parseListening(table: string, protocol: Protocol): Set<number> {
  const ports = new Set<number>();
  for (const line of table.split('\n').slice(1)) {
    const [, local = '', , state] = line.trim().split(/\s+/);
    if (state === STATE[protocol]) ports.add(Number.parseInt(local.slice(local.indexOf(':') + 1), 16));
  }
  return ports;
}

/** All listening ports of this network namespace; undefined where there is no /proc. */
export function listeningPorts(protocol: Protocol): Set<number> | undefined {
  let found: Set<number> | undefined;
  for (const name of [protocol, `${protocol}6`]) {
    try {
      const ports = parseListening(readFileSync(`/proc/net/${name}`, 'utf8'), protocol);
      found = new Set([...(found ?? []), ...ports]);
    } catch {
      // No IPv6, or no /proc.
    }
  }
  return found;
}
