/** From proxy keys to Envoy resources. Pure: equal input gives equal bytes. */

import { type DescMessage, type MessageShape, toBinary } from '@bufbuild/protobuf';
import {
  type Cluster,
  type ClusterLoadAssignment,
  ClusterLoadAssignmentSchema,
  ClusterSchema,
  type Listener,
  ListenerSchema,
  type TypedExtensionConfig,
  TypedExtensionConfigSchema,
  typeUrl,
} from '../../envoy/api/index.ts';
import { formatAddress, formatEndpoint, parseAddress, parsePrefix } from '../../rules/index.ts';
import { dnsCluster, edsCluster, type Host, isHealthy, loadAssignment } from './cluster.ts';
import { LONGEST_SOCKET_PATH } from './constants.ts';
import type { ResourceError, ResourceInput, ResourceKey } from './input.ts';
import { policyResource } from './policy.ts';
import { makeResource, type Resource } from './resource.ts';
import { egressTcpListener, ingressSocketPath, ingressTcpListener } from './tcp.ts';
import { destinationMetadata, destinationNote, tunnelTransportSocket } from './tunnel.ts';
import { egressUdpListener, ingressUdpListener } from './udp.ts';

/** What one proxy key is in Envoy. */
export interface KeyResources {
  key: ResourceKey;
  cluster: Cluster;
  /** Absent for a cluster that resolves names: its hosts are in it. */
  endpoints?: ClusterLoadAssignment;
  listener: Listener;
  /** TCP only: no Wasm filter exists for UDP. */
  policy?: TypedExtensionConfig;
}

export type BuildResult = { ok: true; resources: Resource[] } | { ok: false; errors: ResourceError[] };

/** Why a key cannot be served; undefined if it can. */
export function keyError(key: ResourceKey, input: Pick<ResourceInput, 'paths' | 'bind'>): string | undefined {
  for (const { host, port } of key.destinations) {
    if (key.direction === 'egress' && parseAddress(host) === undefined) {
      return `destination ${formatEndpoint(host, port)}: an egress destination must be an IP address; names are not resolved through the tunnel`;
    }
  }
  for (const text of [...(key.policy?.allow ?? []), ...(key.policy?.deny ?? [])]) {
    if (parsePrefix(text) === undefined) return `policy: ${text} is not a CIDR`;
  }
  if (key.direction === 'egress' && input.bind !== '' && parseAddress(input.bind) === undefined) {
    return `bind: ${input.bind} is not an IP address`;
  }
  if (key.direction === 'ingress' && key.protocol === 'tcp') {
    const path = ingressSocketPath(input.paths.ingressDirectory, key.port);
    if (Buffer.byteLength(path) > LONGEST_SOCKET_PATH) {
      return `socket ${path}: a unix socket's path has at most ${LONGEST_SOCKET_PATH} bytes`;
    }
  }
  return undefined;
}

/** @returns undefined while the companion has not reported what the key needs. @throws Error on a key that keyError refuses. */
export function keyResources(key: ResourceKey, input: ResourceInput): KeyResources | undefined {
  const error = keyError(key, input);
  if (error !== undefined) throw new Error(`${key.name}: ${error}`);
  return key.direction === 'egress' ? egress(key, input) : ingress(key, input);
}

function egress(key: ResourceKey, input: ResourceInput): KeyResources | undefined {
  const { name, protocol } = key;
  const unhealthy = input.unhealthy?.get(name);
  if (protocol === 'udp') {
    const ports = input.udpPorts.get(name) ?? [];
    const hosts: Host[] = ports.map(({ destination: { host, port }, port: local }) => ({
      ...{ host: '127.0.0.1', port: local, metadata: destinationNote(host, port) },
      healthy: isHealthy(unhealthy, host, port),
    }));
    if (hosts.length === 0) return undefined;
    const endpoints = loadAssignment(name, protocol, hosts);
    return { key, cluster: edsCluster(name, protocol), endpoints, listener: egressUdpListener(key, input) };
  }
  const hosts: Host[] = key.destinations.map(({ host: text, port }) => {
    const host = formatAddress(parseAddress(text)!);
    return { host, port, metadata: destinationMetadata(host, port), healthy: isHealthy(unhealthy, text, port) };
  });
  return {
    key,
    cluster: edsCluster(name, protocol, tunnelTransportSocket(input.paths.companionSocket)),
    endpoints: loadAssignment(name, protocol, hosts),
    listener: egressTcpListener(key, input),
    policy: policyResource(key, input),
  };
}

function ingress(key: ResourceKey, input: ResourceInput): KeyResources | undefined {
  const { name, protocol, destinations } = key;
  const addresses = destinations.every(({ host }) => parseAddress(host) !== undefined);
  const cluster = addresses ? edsCluster(name, protocol) : dnsCluster(name, protocol, destinations);
  const endpoints = addresses ? { endpoints: loadAssignment(name, protocol, destinations) } : {};
  if (protocol === 'tcp') {
    return { key, cluster, ...endpoints, listener: ingressTcpListener(key, input), policy: policyResource(key, input) };
  }
  const port = input.ingressUdpPorts.get(name);
  if (port === undefined) return undefined;
  return { key, cluster, ...endpoints, listener: ingressUdpListener(key, input, port) };
}

function resource<Desc extends DescMessage>(schema: Desc, name: string, message: MessageShape<Desc>): Resource {
  return makeResource(typeUrl(schema), name, toBinary(schema, message));
}

/**
 * All resources, clusters first, then endpoints, listeners and policies, each in the order of the keys. Either every key
 * can be served or none is, with the reason for each that cannot.
 */
export function buildResources(input: ResourceInput): BuildResult {
  const errors = input.keys.flatMap(key => {
    const error = keyError(key, input);
    return error === undefined ? [] : [{ key: key.name, error }];
  });
  if (errors.length > 0) return { ok: false, errors };
  const built = input.keys.map(key => keyResources(key, input)).filter(one => one !== undefined);
  return {
    ok: true,
    resources: [
      ...built.map(({ key, cluster }) => resource(ClusterSchema, key.name, cluster)),
      ...built.flatMap(({ key, endpoints }) => {
        return endpoints === undefined ? [] : [resource(ClusterLoadAssignmentSchema, key.name, endpoints)];
      }),
      ...built.map(({ key, listener }) => resource(ListenerSchema, key.name, listener)),
      ...built.flatMap(({ policy }) => {
        return policy === undefined ? [] : [resource(TypedExtensionConfigSchema, policy.name, policy)];
      }),
    ],
  };
}
