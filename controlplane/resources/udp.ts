/** Listeners of UDP keys. */

import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  IPMatcherSchema,
  type Listener,
  ListenerFilterSchema,
  ListenerSchema,
  type Matcher_OnMatchSchema,
  type MatcherSchema,
  pack,
  RouteSchema,
  SocketOption_SocketState,
  type SocketOptionSchema,
  SourceIPInputSchema,
  TrafficDirection,
  UdpListenerConfigSchema,
  UdpProxyConfigSchema,
  UdpSocketConfigSchema,
} from '../../envoy/api/index.ts';
import { formatAddress, OPEN_POLICY, parseAddress, parsePrefix } from '../../rules/index.ts';
import { accessLog } from './access-log.ts';
import { cidrRange, listenAddress, listenHost, socketAddress } from './address.ts';
import { admittedPrefixes } from './admitted.ts';
import { LARGEST_DATAGRAM, UDP_IDLE_SECONDS } from './constants.ts';
import type { ResourceInput, ResourceKey } from './input.ts';

type OnMatch = MessageInitShape<typeof Matcher_OnMatchSchema>;

/** Nobody's address (RFC 4291 §2.5.2): stands where a list of ranges may not be empty. */
const NOBODY = parsePrefix('::/128')!;

/** From Linux's in.h and in6.h. */
const IPPROTO_IP = 0;
const IP_MTU_DISCOVER = 10;
const IPPROTO_IPV6 = 41;
const IPV6_MTU_DISCOVER = 23;
const PMTUDISC_DONT = 0;

const mayFragment = (level: number, name: number): MessageInitShape<typeof SocketOptionSchema> => ({
  description: 'may be fragmented',
  level: BigInt(level),
  name: BigInt(name),
  value: { case: 'intValue', value: BigInt(PMTUDISC_DONT) },
  state: SocketOption_SocketState.STATE_BOUND,
});

/**
 * Envoy forbids fragmentation on every UDP listener, for QUIC's sake. A datagram is passed on as large as it came, so an answer
 * that the link must cut would be lost (seen with 65,507 bytes to an IPv6 client on loopback).
 */
function fragmentation(host: string): MessageInitShape<typeof SocketOptionSchema>[] {
  const ipv4 = mayFragment(IPPROTO_IP, IP_MTU_DISCOVER);
  const isIPv4 = formatAddress(parseAddress(host)!).includes('.');
  return isIPv4 ? [ipv4] : [mayFragment(IPPROTO_IPV6, IPV6_MTU_DISCOVER), ipv4];
}

const socketConfig = create(UdpSocketConfigSchema, { maxRxDatagramSize: BigInt(LARGEST_DATAGRAM) });

function routeTo(cluster: string): OnMatch {
  const route = pack(RouteSchema, { cluster });
  return { onMatch: { case: 'action', value: { name: 'route', typedConfig: route } } };
}

/** Routes the sources that the policy admits. Envoy drops a datagram that nothing matches. */
function sourceMatcher(key: ResourceKey): MessageInitShape<typeof MatcherSchema> {
  const { policy = OPEN_POLICY } = key;
  if (policy.allow.length === 0 && policy.deny.length === 0) return { onNoMatch: routeTo(key.name) };
  const admitted = admittedPrefixes(policy);
  const ranges = (admitted.length === 0 ? [NOBODY] : admitted).map(cidrRange);
  const matcher = pack(IPMatcherSchema, { rangeMatchers: [{ ranges, onMatch: routeTo(key.name) }] });
  return {
    matcherType: {
      case: 'matcherTree',
      value: {
        input: { name: 'source_ip', typedConfig: pack(SourceIPInputSchema, {}) },
        treeType: { case: 'customMatch', value: { name: 'ip', typedConfig: matcher } },
      },
    },
  };
}

function listener(
  key: ResourceKey,
  input: ResourceInput,
  matcher: MessageInitShape<typeof MatcherSchema>,
  rest: MessageInitShape<typeof ListenerSchema>,
): Listener {
  const udpProxy = pack(UdpProxyConfigSchema, {
    statPrefix: key.name,
    routeSpecifier: { case: 'matcher', value: matcher },
    idleTimeout: { seconds: BigInt(key.udpIdleSeconds ?? UDP_IDLE_SECONDS) },
    upstreamSocketConfig: socketConfig,
    accessLog: accessLog(input.accessLog, key),
  });
  return create(ListenerSchema, {
    name: key.name,
    statPrefix: key.name,
    enableReusePort: true,
    udpListenerConfig: create(UdpListenerConfigSchema, { downstreamSocketConfig: socketConfig }),
    listenerFilters: [
      create(ListenerFilterSchema, {
        name: 'envoy.filters.udp_listener.udp_proxy',
        configType: { case: 'typedConfig', value: udpProxy },
      }),
    ],
    ...rest,
  });
}

/** Clients send to it; each client becomes a session with a socket of its own to the companion. */
export function egressUdpListener(key: ResourceKey, input: ResourceInput): Listener {
  return listener(key, input, sourceMatcher(key), {
    trafficDirection: TrafficDirection.OUTBOUND,
    address: listenAddress(input.bind, input.ipv6 ?? true, key.port, 'udp'),
    socketOptions: fragmentation(listenHost(input.bind, input.ipv6 ?? true)),
  });
}

/** The companion sends to it, from a socket per flow of a peer. It has asked the policy already: it knows the peer. */
export function ingressUdpListener(key: ResourceKey, input: ResourceInput, port: number): Listener {
  return listener(
    key,
    input,
    { onNoMatch: routeTo(key.name) },
    {
      trafficDirection: TrafficDirection.INBOUND,
      address: socketAddress('127.0.0.1', port, 'udp'),
      socketOptions: fragmentation('127.0.0.1'),
    },
  );
}
