/** The gRPC methods of xDS: the aggregated service and one per type, each in both variants. */
import { fromBinary } from '@bufbuild/protobuf';
import type * as grpc from '@grpc/grpc-js';
import { DeltaDiscoveryRequestSchema, DiscoveryRequestSchema } from '../../envoy/api/index.ts';
import type { TypeRequest, Variant } from './messages.ts';
import { xdsTypes } from './order.ts';

/** A request of either variant. */
export interface DiscoveryMessage {
  /** '' if absent. */
  readonly typeUrl: string;
  readonly node?: NodeIdentity;
  readonly request: TypeRequest;
}

export interface NodeIdentity {
  readonly id: string;
  readonly cluster: string;
  /** `user_agent_name`; 'envoy' for Envoy. */
  readonly agent: string;
}

export interface Method {
  readonly variant: Variant;
  /** The only type that the method serves; undefined for the aggregated service. */
  readonly typeUrl?: string;
}

/** Service and method names, by type. */
const perType = [
  ['cluster.v3.ClusterDiscoveryService', 'Clusters', xdsTypes.cluster],
  ['endpoint.v3.EndpointDiscoveryService', 'Endpoints', xdsTypes.endpoint],
  ['listener.v3.ListenerDiscoveryService', 'Listeners', xdsTypes.listener],
  ['extension.v3.ExtensionConfigDiscoveryService', 'ExtensionConfigs', xdsTypes.extension],
  ['secret.v3.SecretDiscoveryService', 'Secrets', xdsTypes.secret],
  ['runtime.v3.RuntimeDiscoveryService', 'Runtime', xdsTypes.runtime],
] as const;

/** All methods by path. */
export const methods: ReadonlyMap<string, Method> = new Map([
  ...bothVariants('discovery.v3.AggregatedDiscoveryService', 'AggregatedResources', undefined),
  ...perType.flatMap(([service, noun, typeUrl]) => bothVariants(service, noun, typeUrl)),
]);

function bothVariants(service: string, noun: string, typeUrl: string | undefined): [string, Method][] {
  const of = typeUrl === undefined ? {} : { typeUrl };
  return [
    [`/envoy.service.${service}/Stream${noun}`, { variant: 'sotw', ...of }],
    [`/envoy.service.${service}/Delta${noun}`, { variant: 'delta', ...of }],
  ];
}

export function decodeRequest(variant: Variant, bytes: Uint8Array): DiscoveryMessage {
  // Fields of a newer Envoy are skipped: protobuf-es keeps unknown fields aside.
  if (variant === 'sotw') {
    const message = fromBinary(DiscoveryRequestSchema, bytes);
    return normalize(message, {
      nonce: message.responseNonce,
      subscribe: message.resourceNames,
      unsubscribe: [],
      held: {},
    });
  }
  const message = fromBinary(DeltaDiscoveryRequestSchema, bytes);
  return normalize(message, {
    nonce: message.responseNonce,
    subscribe: message.resourceNamesSubscribe,
    unsubscribe: message.resourceNamesUnsubscribe,
    held: message.initialResourceVersions,
  });
}

interface Common {
  typeUrl: string;
  node?: { id: string; cluster: string; userAgentName: string } | undefined;
  errorDetail?: { message: string } | undefined;
}

function normalize({ typeUrl, node, errorDetail }: Common, request: TypeRequest): DiscoveryMessage {
  return {
    typeUrl,
    request: errorDetail ? { ...request, error: errorDetail.message } : request,
    ...(node && { node: { id: node.id, cluster: node.cluster, agent: node.userAgentName } }),
  };
}

/** What grpc-js wants to know of a method. Responses are written as bytes. */
export function definitionOf(path: string, method: Method): grpc.MethodDefinition<DiscoveryMessage, Buffer> {
  return {
    path,
    requestStream: true,
    responseStream: true,
    requestSerialize: () => Buffer.alloc(0),
    requestDeserialize: bytes => decodeRequest(method.variant, bytes),
    responseSerialize: bytes => bytes,
    responseDeserialize: bytes => bytes,
  };
}
