/** Small resources for tests, each a real message of its type. */
import { create, type DescMessage, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import {
  Cluster_DiscoveryType,
  ClusterLoadAssignmentSchema,
  ClusterSchema,
  ListenerSchema,
  pack,
  RuntimeResourceSchema,
  TcpProxySchema,
  TypedExtensionConfigSchema,
  typeUrl,
} from '../../envoy/api/index.ts';
import { makeResource, type Resource } from '../resources/resource.ts';

export function resource<Desc extends DescMessage>(schema: Desc, name: string, init: MessageInitShape<Desc>): Resource {
  return makeResource(typeUrl(schema), name, toBinary(schema, create(schema, init)));
}

/** A static cluster of no endpoints. @param edition anything that makes it another version. */
export function cluster(name: string, edition = 1): Resource {
  return resource(ClusterSchema, name, { name, connectTimeout: { seconds: BigInt(edition) } });
}

/** A cluster that takes its endpoints over ADS. */
export function edsCluster(name: string, edition = 1): Resource {
  return resource(ClusterSchema, name, {
    name,
    connectTimeout: { seconds: BigInt(edition) },
    clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.EDS },
    edsClusterConfig: {
      edsConfig: { resourceApiVersion: 2, configSourceSpecifier: { case: 'ads', value: {} } },
    },
  });
}

/** The endpoints of a cluster: one, on 127.0.0.1. */
export function endpoints(name: string, port = 1): Resource {
  return resource(ClusterLoadAssignmentSchema, name, {
    clusterName: name,
    endpoints: [{ lbEndpoints: [{ hostIdentifier: { case: 'endpoint', value: { address: address(port) } } }] }],
  });
}

/** A listener on 127.0.0.1 that proxies to `to`. */
export function listener(name: string, port: number, to: string, edition = 1): Resource {
  return resource(ListenerSchema, name, {
    name,
    address: address(port),
    statPrefix: `edition-${edition}`,
    filterChains: [
      {
        filters: [
          {
            name: 'tcp',
            configType: {
              case: 'typedConfig',
              value: pack(TcpProxySchema, { statPrefix: 'test', clusterSpecifier: { case: 'cluster', value: to } }),
            },
          },
        ],
      },
    ],
  });
}

/** An extension configuration, of a message that nobody runs. */
export function extension(name: string, edition = 1): Resource {
  return resource(TypedExtensionConfigSchema, name, {
    name,
    typedConfig: pack(TcpProxySchema, { statPrefix: `edition-${edition}` }),
  });
}

/** A runtime layer. */
export function runtime(name: string): Resource {
  return resource(RuntimeResourceSchema, name, { name, layer: {} });
}

function address(port: number): MessageInitShape<typeof ListenerSchema>['address'] & {} {
  return {
    address: {
      case: 'socketAddress',
      value: { address: '127.0.0.1', portSpecifier: { case: 'portValue', value: port } },
    },
  };
}
