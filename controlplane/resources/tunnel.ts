/**
 * How a cluster leads into the tunnel while its endpoints are the true destinations: `http_11_proxy` moves each connection to
 * the companion's socket, `upstream_proxy_protocol` writes the PROXY v2 header with the endpoint's TLV. Any cluster, whatever
 * the protocol above it, becomes a tunnel cluster by this transport socket.
 */

import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  type MetadataSchema,
  PerHostConfigSchema,
  ProxyProtocolConfig_Version,
  ProxyProtocolPassThroughTLVs_PassTLVsMatchType,
  ProxyProtocolUpstreamTransportSchema,
  pack,
  RawBufferSchema,
  TransportSocketSchema,
} from '../../envoy/api/index.ts';
import { formatEndpoint } from '../../rules/index.ts';
import { pipe } from './address.ts';
import { METADATA_NAMESPACE, TLV_DESTINATION } from './constants.ts';
import { Http11ProxySchema } from './http-11-proxy.ts';

/** Where Envoy's upstream_proxy_protocol looks for TLVs of one endpoint. */
const PROXY_PROTOCOL_METADATA = 'envoy.transport_sockets.proxy_protocol';

export function tunnelTransportSocket(companionSocket: string) {
  const rawBuffer = { name: 'envoy.transport_sockets.raw_buffer', typedConfig: pack(RawBufferSchema, {}) };
  const proxyProtocol = pack(ProxyProtocolUpstreamTransportSchema, {
    config: {
      version: ProxyProtocolConfig_Version.V2,
      // Without this Envoy leaves out the TLVs that tcp_proxy made, silently.
      passThroughTlvs: { matchType: ProxyProtocolPassThroughTLVs_PassTLVsMatchType.INCLUDE_ALL },
    },
    transportSocket: { name: rawBuffer.name, configType: { case: 'typedConfig', value: rawBuffer.typedConfig } },
  });
  return create(TransportSocketSchema, {
    name: 'envoy.transport_sockets.http_11_proxy',
    configType: {
      case: 'typedConfig',
      value: pack(Http11ProxySchema, {
        defaultProxyAddress: pipe(companionSocket),
        transportSocket: {
          name: 'envoy.transport_sockets.upstream_proxy_protocol',
          configType: { case: 'typedConfig', value: proxyProtocol },
        },
      }),
    },
  });
}

/** The endpoint's metadata that becomes TLV 0xE0. @param host an IP address in canonical text. */
export function destinationMetadata(host: string, port: number): MessageInitShape<typeof MetadataSchema> {
  const value = new TextEncoder().encode(formatEndpoint(host, port));
  return {
    typedFilterMetadata: {
      [PROXY_PROTOCOL_METADATA]: pack(PerHostConfigSchema, { addedTlvs: [{ type: TLV_DESTINATION, value }] }),
    },
  };
}

/** Metadata that only people read: for whom a loopback port stands. */
export function destinationNote(host: string, port: number): MessageInitShape<typeof MetadataSchema> {
  return { filterMetadata: { [METADATA_NAMESPACE]: { destination: formatEndpoint(host, port) } } };
}
