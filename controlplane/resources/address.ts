/** `envoy.config.core.v3.Address` of the kinds we use. */

import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { type AddressSchema, SocketAddress_Protocol, XdsCidrRangeSchema } from '../../envoy/api/index.ts';
import { formatAddress, isIPv4Prefix, type Prefix, type Protocol, parseAddress } from '../../rules/index.ts';

type AddressInit = MessageInitShape<typeof AddressSchema>;

/** @param host an IP address in any spelling, or a name. */
export function socketAddress(host: string, port: number, protocol: Protocol = 'tcp'): AddressInit {
  const bytes = parseAddress(host);
  return {
    address: {
      case: 'socketAddress',
      value: {
        protocol: protocol === 'udp' ? SocketAddress_Protocol.UDP : SocketAddress_Protocol.TCP,
        address: bytes === undefined ? host : formatAddress(bytes),
        portSpecifier: { case: 'portValue', value: port },
      },
    },
  };
}

/** @param bind an IP address, or '' for all: one IPv6 socket that takes IPv4 as well, or an IPv4 socket where there is no IPv6 */
export const listenHost = (bind: string, ipv6: boolean): string => (bind !== '' ? bind : ipv6 ? '::' : '0.0.0.0');

/** Where to listen for clients; the arguments as of `listenHost`. */
export function listenAddress(bind: string, ipv6: boolean, port: number, protocol: Protocol): AddressInit {
  const address = socketAddress(listenHost(bind, ipv6), port, protocol);
  if (bind === '' && ipv6 && address.address?.case === 'socketAddress') address.address.value.ipv4Compat = true;
  return address;
}

/** A unix socket. @param mode of a socket that Envoy makes, such as 0o600. */
export function pipe(path: string, mode?: number): AddressInit {
  return { address: { case: 'pipe', value: mode === undefined ? { path } : { path, mode } } };
}

/** `xds.core.v3.CidrRange` of a prefix whose length counts 16-byte addresses. */
export function cidrRange(prefix: Pick<Prefix, 'address' | 'length'>) {
  const length = isIPv4Prefix(prefix) ? prefix.length - 96 : prefix.length;
  return create(XdsCidrRangeSchema, { addressPrefix: formatAddress(prefix.address), prefixLen: length });
}
