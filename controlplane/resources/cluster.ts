/** Clusters and their endpoints. */

import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  type Cluster,
  Cluster_DiscoveryType,
  Cluster_DnsLookupFamily,
  Cluster_EdsClusterConfigSchema,
  Cluster_LbPolicy,
  ClusterLoadAssignmentSchema,
  ClusterSchema,
  HealthStatus,
  LbEndpointSchema,
  type MetadataSchema,
} from '../../envoy/api/index.ts';
import { formatEndpoint, type Protocol } from '../../rules/index.ts';
import { socketAddress } from './address.ts';
import { adsSource } from './config-source.ts';
import { BUFFER_BYTES, CONNECT_TIMEOUT_SECONDS, MOST_TCP_CONNECTIONS, MOST_UDP_SESSIONS } from './constants.ts';

/** One endpoint of a cluster. */
export interface Host {
  host: string;
  port: number;
  metadata?: MessageInitShape<typeof MetadataSchema>;
  healthy?: boolean;
}

/** The EDS resource, named after the cluster. */
export function loadAssignment(name: string, protocol: Protocol, hosts: readonly Host[]) {
  return create(ClusterLoadAssignmentSchema, {
    clusterName: name,
    endpoints: [
      {
        lbEndpoints: hosts.map(({ host, port, metadata, healthy = true }) =>
          create(LbEndpointSchema, {
            hostIdentifier: { case: 'endpoint', value: { address: socketAddress(host, port, protocol) } },
            ...(metadata === undefined ? {} : { metadata }),
            ...(healthy ? {} : { healthStatus: HealthStatus.UNHEALTHY }),
          }),
        ),
      },
    ],
  });
}

function common(name: string, protocol: Protocol): MessageInitShape<typeof ClusterSchema> {
  const most = protocol === 'udp' ? MOST_UDP_SESSIONS : MOST_TCP_CONNECTIONS;
  return {
    name,
    connectTimeout: { seconds: BigInt(CONNECT_TIMEOUT_SECONDS) },
    lbPolicy: Cluster_LbPolicy.ROUND_ROBIN,
    perConnectionBufferLimitBytes: BUFFER_BYTES,
    circuitBreakers: { thresholds: [{ maxConnections: most, maxPendingRequests: most, maxRequests: most }] },
    // Envoy's default spreads over the unhealthy too once half are. Here only when all are: their state may be out of date.
    commonLbConfig: { healthyPanicThreshold: { value: 1 } },
  };
}

/** A cluster whose endpoints come by EDS under its own name, so that an edit of them touches nothing else. */
export function edsCluster(name: string, protocol: Protocol, transportSocket?: Cluster['transportSocket']): Cluster {
  return create(ClusterSchema, {
    ...common(name, protocol),
    clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.EDS },
    edsClusterConfig: create(Cluster_EdsClusterConfigSchema, { edsConfig: adsSource() }),
    ...(transportSocket === undefined ? {} : { transportSocket }),
  });
}

/** A cluster of hosts some of which are names: Envoy resolves them, again and again. */
export function dnsCluster(name: string, protocol: Protocol, hosts: readonly Host[]): Cluster {
  return create(ClusterSchema, {
    ...common(name, protocol),
    clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.STRICT_DNS },
    // A service may listen on one family only of a name that has both: all are tried, in turn.
    dnsLookupFamily: Cluster_DnsLookupFamily.ALL,
    // A name that does not resolve must not hold back the listeners of other keys.
    waitForWarmOnInit: false,
    loadAssignment: loadAssignment(name, protocol, hosts),
  });
}

/** Whether `unhealthy` lists the host. */
export function isHealthy(unhealthy: ReadonlySet<string> | undefined, host: string, port: number): boolean {
  return !unhealthy?.has(formatEndpoint(host, port));
}
