/** Listeners of TCP keys. */

import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  type FilterSchema,
  type Listener,
  type Listener_ConnectionBalanceConfigSchema,
  ListenerSchema,
  ProxyProtocol_TlvLocation,
  ProxyProtocolConfig_Version,
  ProxyProtocolSchema,
  pack,
  SocketOption_SocketState,
  type SocketOptionSchema,
  TcpProxySchema,
  type TlvEntrySchema,
  TrafficDirection,
} from '../../envoy/api/index.ts';
import { accessLog } from './access-log.ts';
import { listenAddress, pipe } from './address.ts';
import {
  BUFFER_BYTES,
  HEADER_TIMEOUT_SECONDS,
  INGRESS_CONNECT_ATTEMPTS,
  KEEPALIVE_INTERVAL_SECONDS,
  KEEPALIVE_PROBES,
  KEEPALIVE_SECONDS,
  KEY_OPERATOR,
  METADATA_NAMESPACE,
  TLV_CONNECTION_ID,
  TLV_KEY,
  TLV_PEER_PUBLIC_KEY,
} from './constants.ts';
import type { ResourceInput, ResourceKey } from './input.ts';
import { policyFilter } from './policy.ts';

type FilterInit = MessageInitShape<typeof FilterSchema>;

function formattedTlv(type: number, operators: string): MessageInitShape<typeof TlvEntrySchema> {
  const inlineString = { specifier: { case: 'inlineString' as const, value: operators } };
  return { type, formatString: { format: { case: 'textFormatSource', value: inlineString } } };
}

function tcpProxy(key: ResourceKey, input: ResourceInput): FilterInit {
  const egress = key.direction === 'egress';
  return {
    name: 'envoy.filters.network.tcp_proxy',
    configType: {
      case: 'typedConfig',
      value: pack(TcpProxySchema, {
        statPrefix: key.name,
        clusterSpecifier: { case: 'cluster', value: key.name },
        // 0 is never. Envoy's default of an hour would cut connections that are merely quiet.
        idleTimeout: { seconds: BigInt(key.tcpIdleSeconds ?? 0) },
        // On egress each connection is made at once, and the companion does the trying of destinations.
        maxConnectAttempts: egress ? 1 : INGRESS_CONNECT_ATTEMPTS,
        accessLog: accessLog(input.accessLog, key),
        proxyProtocolTlvs: egress
          ? [formattedTlv(TLV_KEY, KEY_OPERATOR), formattedTlv(TLV_CONNECTION_ID, '%CONNECTION_ID%')]
          : [],
      }),
    },
  };
}

function listener(key: ResourceKey, input: ResourceInput, rest: MessageInitShape<typeof ListenerSchema>): Listener {
  return create(ListenerSchema, {
    name: key.name,
    statPrefix: key.name,
    perConnectionBufferLimitBytes: BUFFER_BYTES,
    filterChains: [{ filters: [policyFilter(key.name), tcpProxy(key, input)] }],
    ...rest,
  });
}

/**
 * Keepalive of the accepted connections, which inherit it from the listening socket. Listener has no field for it, so these
 * are numbers of Linux: SOL_SOCKET SO_KEEPALIVE, IPPROTO_TCP TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT (socket.h, tcp.h).
 */
const keepalive: MessageInitShape<typeof SocketOptionSchema>[] = (
  [
    [1, 9, 1],
    [6, 4, KEEPALIVE_SECONDS],
    [6, 5, KEEPALIVE_INTERVAL_SECONDS],
    [6, 6, KEEPALIVE_PROBES],
  ] as const
).map(([level, name, value]) => ({
  ...{ level: BigInt(level), name: BigInt(name), value: { case: 'intValue', value: BigInt(value) } },
  state: SocketOption_SocketState.STATE_PREBIND,
}));

/** Clients connect to it; behind it is the tunnel. */
export function egressTcpListener(key: ResourceKey, input: ResourceInput): Listener {
  return listener(key, input, {
    trafficDirection: TrafficDirection.OUTBOUND,
    address: listenAddress(input.bind, input.ipv6 ?? true, key.port, 'tcp'),
    enableReusePort: true,
    socketOptions: (input.tcpKeepalive ?? true) ? keepalive : [],
  });
}

/** The socket's path of an ingress TCP key. */
export function ingressSocketPath(ingressDirectory: string, port: number): string {
  return `${ingressDirectory}/tcp/${port}.sock`;
}

/** The companion connects to it with PROXY v2; behind it are local services. */
export function ingressTcpListener(key: ResourceKey, input: ResourceInput): Listener {
  const tlv = (tlvType: number, name: string) => ({
    tlvType,
    onTlvPresent: { metadataNamespace: METADATA_NAMESPACE, key: name },
  });
  const proxyProtocol = pack(ProxyProtocolSchema, {
    rules: [tlv(TLV_KEY, 'key'), tlv(TLV_PEER_PUBLIC_KEY, 'peer_public_key')],
    disallowedVersions: [ProxyProtocolConfig_Version.V1],
    tlvLocation: ProxyProtocol_TlvLocation.DYNAMIC_METADATA,
  });
  // All workers wait on the one socket of a path (there is no SO_REUSEPORT for it) and the first to wake would take them all.
  const balance: MessageInitShape<typeof Listener_ConnectionBalanceConfigSchema> = {
    balanceType: { case: 'exactBalance', value: {} },
  };
  return listener(key, input, {
    trafficDirection: TrafficDirection.INBOUND,
    address: pipe(ingressSocketPath(input.paths.ingressDirectory, key.port), 0o600),
    connectionBalanceConfig: balance,
    listenerFiltersTimeout: { seconds: BigInt(HEADER_TIMEOUT_SECONDS) },
    listenerFilters: [
      {
        name: 'envoy.filters.listener.proxy_protocol',
        configType: { case: 'typedConfig', value: proxyProtocol },
      },
    ],
  });
}
