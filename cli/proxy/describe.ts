/** The lines that tell what is listened on. */

import { formatEndpoint, type ProxyKey } from '../../rules/index.ts';

/** `egress/tcp/5432: listening on port 5432 of all addresses, to 100.100.0.2:5432 through the tunnel` */
export function describeKey(key: ProxyKey, bind: string, tunnelAddresses: readonly string[]): string {
  const destinations = key.destinations.map(({ host, port }) => formatEndpoint(host, port)).join(', ');
  const at = (address: string) => formatEndpoint(address, key.port);
  if (key.direction === 'egress') {
    const where = bind === '' ? `port ${key.port} of all addresses` : at(bind);
    return `${key.name}: listening on ${where}, to ${destinations} through the tunnel`;
  }
  return `${key.name}: listening on ${tunnelAddresses.map(at).join(' and ')} in the tunnel, to ${destinations}`;
}
