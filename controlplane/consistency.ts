/**
 * Whether a set of resources can work at all, looked at before any node is told of it: names are unique, what is
 * referenced is there, no two listeners want one address. Envoy would accept the first two in silence and fail at the
 * first connection.
 */
import {
  createRegistry,
  type DescMessage,
  fromBinary,
  type Message,
  type Registry,
  ScalarType,
} from '@bufbuild/protobuf';
import { type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect';
import { type Any, AnySchema, anyUnpack } from '@bufbuild/protobuf/wkt';
import {
  type Cluster,
  Cluster_DiscoveryType,
  ClusterLoadAssignmentSchema,
  ClusterSchema,
  type Listener,
  ListenerSchema,
  SecretSchema,
  SocketAddress_Protocol,
  TcpProxySchema,
  TypedExtensionConfigSchema,
  typeUrls,
  UdpProxyConfigSchema,
  RouteSchema as UdpRouteSchema,
  WasmNetworkFilterSchema,
} from '../envoy/api/index.ts';
import type { Resource } from './resources/resource.ts';

/** What one resource says about others. */
interface Findings {
  /** The name inside the message; undefined if its type has none that we know. */
  readonly name: string | undefined;
  readonly clusters: ReadonlySet<string>;
  readonly extensions: ReadonlySet<string>;
  /** The ClusterLoadAssignment that a cluster takes over EDS. */
  readonly endpoints: string | undefined;
  /** `TCP 127.0.0.1:80` or `unix PATH`, of a listener. */
  readonly addresses: readonly string[];
  readonly error: string | undefined;
}

export type Consistency =
  /** `endpointsOf`: cluster name to the name of its ClusterLoadAssignment. */
  { ok: true; endpointsOf: ReadonlyMap<string, string> } | { ok: false; errors: readonly string[] };

/**
 * @param known clusters that every node has from its bootstrap.
 * @returns all that is wrong, each naming its resource.
 */
export function checkConsistency(resources: readonly Resource[], known: ReadonlySet<string> = new Set()): Consistency {
  const errors: string[] = [];
  const names = new Map<string, Set<string>>();
  const endpointsOf = new Map<string, string>();
  for (const { typeUrl, name } of resources) {
    const ofType = names.get(typeUrl) ?? new Set();
    names.set(typeUrl, ofType);
    if (ofType.has(name)) errors.push(`${shortName(typeUrl)} ${name}: the name is used twice`);
    ofType.add(name);
  }
  const exists = (typeUrl: string, name: string): boolean => names.get(typeUrl)?.has(name) ?? false;
  const listeners = new Map<string, string>();
  for (const resource of resources) {
    const about = `${shortName(resource.typeUrl)} ${resource.name}`;
    const found = findingsOf(resource);
    if (found.error !== undefined) errors.push(`${about}: ${found.error}`);
    if (found.name !== undefined && found.name !== resource.name) {
      errors.push(`${about}: the message calls itself ${JSON.stringify(found.name)}`);
    }
    for (const cluster of found.clusters) {
      if (!exists(typeUrls.cluster, cluster) && !known.has(cluster)) errors.push(`${about}: no cluster ${cluster}`);
    }
    for (const extension of found.extensions) {
      if (!exists(typeUrls.extension, extension)) errors.push(`${about}: no extension configuration ${extension}`);
    }
    if (found.endpoints !== undefined) {
      endpointsOf.set(resource.name, found.endpoints);
      if (!exists(typeUrls.endpoint, found.endpoints)) errors.push(`${about}: no endpoints ${found.endpoints}`);
    }
    for (const address of found.addresses) {
      const other = listeners.get(address);
      if (other !== undefined && other !== resource.name) errors.push(`${about}: ${other} listens on ${address} too`);
      listeners.set(address, resource.name);
    }
  }
  return errors.length === 0 ? { ok: true, endpointsOf } : { ok: false, errors };
}

const shortName = (typeUrl: string): string => typeUrl.slice(typeUrl.lastIndexOf('.') + 1);

/** By content: the same bytes are looked at once, whoever publishes them. */
const cache = new WeakMap<Resource, Findings>();

function findingsOf(resource: Resource): Findings {
  let findings = cache.get(resource);
  if (!findings) {
    findings = examine(resource);
    cache.set(resource, findings);
  }
  return findings;
}

function examine({ typeUrl, any }: Resource): Findings {
  const clusters = new Set<string>();
  const extensions = new Set<string>();
  const none = { name: undefined, clusters, extensions, endpoints: undefined, addresses: [], error: undefined };
  try {
    switch (typeUrl) {
      case typeUrls.listener: {
        const listener = fromBinary(ListenerSchema, any);
        collect(ListenerSchema, listener, clusters);
        collectExtensions(listener, extensions);
        return { ...none, name: listener.name, addresses: addressesOf(listener) };
      }
      case typeUrls.cluster: {
        const cluster = fromBinary(ClusterSchema, any);
        return { ...none, name: cluster.name, endpoints: endpointsName(cluster) };
      }
      case typeUrls.endpoint:
        return { ...none, name: fromBinary(ClusterLoadAssignmentSchema, any).clusterName };
      case typeUrls.extension:
        return { ...none, name: fromBinary(TypedExtensionConfigSchema, any).name };
      case typeUrls.secret:
        return { ...none, name: fromBinary(SecretSchema, any).name };
      default:
        return none;
    }
  } catch (error) {
    return { ...none, error: `not a message of its type (${error instanceof Error ? error.message : String(error)})` };
  }
}

function endpointsName(cluster: Cluster): string | undefined {
  const { clusterDiscoveryType } = cluster;
  if (clusterDiscoveryType.case !== 'type' || clusterDiscoveryType.value !== Cluster_DiscoveryType.EDS)
    return undefined;
  return cluster.edsClusterConfig?.serviceName || cluster.name;
}

function collectExtensions(listener: Listener, into: Set<string>): void {
  const chains = [...listener.filterChains, ...(listener.defaultFilterChain ? [listener.defaultFilterChain] : [])];
  const filters = [...listener.listenerFilters, ...chains.flatMap(chain => chain.filters)];
  for (const filter of filters) if (filter.configType.case === 'configDiscovery') into.add(filter.name);
}

function addressesOf(listener: Listener): string[] {
  const addresses = [listener.address, ...listener.additionalAddresses.map(additional => additional.address)];
  return addresses.flatMap(address => {
    if (address?.address.case === 'pipe') return [`unix ${address.address.value.path}`];
    if (address?.address.case !== 'socketAddress') return [];
    const { protocol, address: host, portSpecifier } = address.address.value;
    // Port 0 is a different port for each.
    if (portSpecifier.case !== 'portValue' || portSpecifier.value === 0) return [];
    const transport = protocol === SocketAddress_Protocol.UDP ? 'UDP' : 'TCP';
    return [`${transport} ${host.includes(':') ? `[${host}]` : host}:${portSpecifier.value}`];
  });
}

/** The messages below a listener that can name a cluster. Others are left packed. */
const registry: Registry = createRegistry(
  TcpProxySchema,
  UdpProxyConfigSchema,
  UdpRouteSchema,
  WasmNetworkFilterSchema,
);

/** Fields that name a cluster, by message. */
const clusterFields: Record<string, readonly string[]> = {
  [TcpProxySchema.typeName]: ['cluster'],
  'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster.ClusterWeight': ['name'],
  [UdpProxyConfigSchema.typeName]: ['cluster'],
  [UdpRouteSchema.typeName]: ['cluster'],
};

/** Walks `message` and all below it, packed ones too, and collects the names of clusters. */
function collect(schema: DescMessage, message: Message, into: Set<string>): void {
  if (schema.typeName === AnySchema.typeName) {
    const packed = message as Any;
    const known = registry.getMessage(packed.typeUrl.slice(packed.typeUrl.lastIndexOf('/') + 1));
    const unpacked = known && anyUnpack(packed, known);
    if (known && unpacked) collect(known, unpacked, into);
    return;
  }
  const named = clusterFields[schema.typeName] ?? [];
  const reflected = reflect(schema, message);
  for (const field of reflected.fields) {
    if (!reflected.isSet(field)) continue;
    if (field.fieldKind === 'message') {
      collect(field.message, reflected.get(field).message, into);
    } else if (field.fieldKind === 'list' && field.listKind === 'message') {
      for (const item of reflected.get(field)) collect(field.message, (item as ReflectMessage).message, into);
    } else if (field.fieldKind === 'map' && field.mapKind === 'message') {
      for (const item of reflected.get(field).values()) {
        collect(field.message, (item as ReflectMessage).message, into);
      }
    } else if (field.fieldKind === 'scalar' && field.scalar === ScalarType.STRING && named.includes(field.name)) {
      into.add(reflected.get(field));
    }
  }
}
