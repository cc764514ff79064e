/** The same rules as a static configuration: for an Envoy without a control plane, and for reading. */

import { clone, createRegistry, type DescMessage, type JsonObject, type JsonValue, toJson } from '@bufbuild/protobuf';
import { StringValueSchema } from '@bufbuild/protobuf/wkt';
import * as api from '../../envoy/api/index.ts';
import { type KeyResources, keyResources } from './build.ts';
import { Http11ProxySchema } from './http-11-proxy.ts';
import type { ResourceInput } from './input.ts';

/** The message schemas among the exports of the API. */
function schemas(): DescMessage[] {
  const values: unknown[] = Object.values(api);
  return values.filter((value): value is DescMessage => Object(value).kind === 'message');
}

let registry: ReturnType<typeof createRegistry> | undefined;

/** JSON of a message in Envoy's own spelling (`typed_config`, with `@type`), as it stands in a configuration file. */
export function toEnvoyJson<Desc extends DescMessage>(
  schema: Desc,
  message: Parameters<typeof toJson<Desc>>[1],
): JsonValue {
  const others = schemas().filter(({ typeName }) => typeName !== Http11ProxySchema.typeName);
  registry ??= createRegistry(StringValueSchema, Http11ProxySchema, ...others);
  return toJson(schema, message, { registry, useProtoFieldName: true });
}

function staticCluster({ cluster, endpoints }: KeyResources): JsonValue {
  const copy = clone(api.ClusterSchema, cluster);
  if (endpoints !== undefined) {
    copy.clusterDiscoveryType = { case: 'type', value: api.Cluster_DiscoveryType.STATIC };
    copy.edsClusterConfig = undefined;
    copy.loadAssignment = endpoints;
  }
  return toEnvoyJson(api.ClusterSchema, copy);
}

function staticListener({ listener, policy }: KeyResources): JsonValue {
  const copy = clone(api.ListenerSchema, listener);
  for (const filter of copy.filterChains.flatMap(chain => chain.filters)) {
    if (filter.name === policy?.name && policy.typedConfig !== undefined) {
      filter.configType = { case: 'typedConfig', value: policy.typedConfig };
    }
  }
  return toEnvoyJson(api.ListenerSchema, copy);
}

/** `static_resources` of a bootstrap. @throws Error on a key that keyError refuses. */
export function renderStatic(input: ResourceInput): { listeners: JsonValue[]; clusters: JsonValue[] } & JsonObject {
  const built = input.keys.map(key => keyResources(key, input)).filter(one => one !== undefined);
  return { listeners: built.map(staticListener), clusters: built.map(staticCluster) };
}
