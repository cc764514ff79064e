/**
 * In which order the types of one aggregated stream change: make before break.
 *
 * Source: xDS protocol, "Eventual consistency considerations": clusters, then their endpoints, then listeners; what is
 * no longer referenced goes last, in the opposite direction.
 */

const prefix = 'type.googleapis.com/envoy';

/** The types whose order or semantics the protocol fixes. All others are sent last and depend on nothing. */
export const xdsTypes = {
  cluster: `${prefix}.config.cluster.v3.Cluster`,
  endpoint: `${prefix}.config.endpoint.v3.ClusterLoadAssignment`,
  listener: `${prefix}.config.listener.v3.Listener`,
  extension: `${prefix}.config.core.v3.TypedExtensionConfig`,
  secret: `${prefix}.extensions.transport_sockets.tls.v3.Secret`,
  runtime: `${prefix}.service.runtime.v3.Runtime`,
} as const;

const rank: readonly string[] = Object.values(xdsTypes);

export function compareTypes(a: string, b: string): number {
  const [rankA, rankB] = [rank.indexOf(a), rank.indexOf(b)];
  return (rankA < 0 ? rank.length : rankA) - (rankB < 0 ? rank.length : rankB);
}

/**
 * A type's additions wait until those of these types are sent.
 * Endpoints wait for nothing: Envoy withholds the ACK of a cluster update until the clusters are warm, and they are warm
 * only when their endpoints have come.
 */
const additionsAfter: Record<string, readonly string[]> = {
  [xdsTypes.listener]: [xdsTypes.cluster, xdsTypes.endpoint],
};

/** A type's removals wait until all changes of these types are sent. */
const removalsAfter: Record<string, readonly string[]> = {
  [xdsTypes.endpoint]: [xdsTypes.listener],
  [xdsTypes.cluster]: [xdsTypes.listener, xdsTypes.endpoint],
};

export const beforeAdditionsOf = (typeUrl: string): readonly string[] => additionsAfter[typeUrl] ?? [];
export const beforeRemovalsOf = (typeUrl: string): readonly string[] => removalsAfter[typeUrl] ?? [];

/**
 * In the state-of-the-world variant, whether a response holds all there is, so that absence means removal (xDS protocol,
 * "Deleting Resources"). For the other types a response may hold any subset, and nothing can be removed.
 */
export function isFullState(typeUrl: string): boolean {
  return typeUrl === xdsTypes.cluster || typeUrl === xdsTypes.listener;
}

/**
 * Types of which a held resource is never taken away: a listener that is still draining uses its extension configuration,
 * and Envoy drops it by itself when the last user is gone (envoyproxy/envoy #32823).
 */
export function isKeptByClient(typeUrl: string): boolean {
  return typeUrl === xdsTypes.extension;
}
