/**
 * Try each listening port before anything starts. Envoy tells of a port in use only in a NACK, seconds later, with
 * everything else already up; here it is one line that names the rule.
 */

import { createSocket } from 'node:dgram';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { ProxyKey } from '../../rules/index.ts';
import { reasonOf } from '../failure.ts';

function probeTcp(host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ host, port, exclusive: true, ipv6Only: host.includes(':') }, () => server.close(() => resolve()));
  });
}

function probeUdp(address: string, port: number): Promise<void> {
  const ipv6 = address.includes(':');
  return new Promise((resolve, reject) => {
    const socket = createSocket({ type: ipv6 ? 'udp6' : 'udp4', ipv6Only: ipv6 });
    socket.once('error', reject);
    socket.bind({ address, port, exclusive: true }, () => socket.close(() => resolve()));
  });
}

/** Containers often lower it; ip(7). */
function privilegedBelow(): number {
  try {
    return Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8'));
  } catch {
    return 1024;
  }
}

/** Why a key's listener could not be opened at `bind` ('' for all addresses), or undefined when it could. */
export async function probeListener(
  key: Pick<ProxyKey, 'protocol' | 'port'>,
  bind: string,
): Promise<string | undefined> {
  const probe = key.protocol === 'tcp' ? probeTcp : probeUdp;
  const where = `port ${key.port}/${key.protocol}`;
  for (const host of bind === '' ? ['0.0.0.0', '::'] : [bind]) {
    try {
      await probe(host, key.port);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // A machine without IPv6 listens on IPv4 alone.
      if (bind === '' && host === '::' && (code === 'EAFNOSUPPORT' || code === 'EADDRNOTAVAIL')) continue;
      if (code === 'EADDRINUSE') return `${where} is already in use on this machine`;
      if (code === 'EACCES') return `${where} is privileged (below ${privilegedBelow()}): permission denied`;
      return `${where} cannot be listened on at ${host}: ${reasonOf(error)}`;
    }
  }
  return undefined;
}

/** Whether the kernel has IPv6 at all. */
export function hasIPv6(): boolean {
  return existsSync('/proc/net/if_inet6');
}

/** A free UDP port on loopback, for a listener that is opened by another process a moment later. */
export function freeLoopbackUdpPort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4');
    socket.once('error', reject);
    socket.bind(0, '127.0.0.1', () => {
      const { port } = socket.address();
      socket.close(() => resolve(port));
    });
  });
}
