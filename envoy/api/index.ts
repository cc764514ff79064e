/**
 * Envoy's API: the messages we use as protobuf-es types and schemas, and their type URLs.
 *
 * The modules below `generated/` are made at set-up by `generate.ts`; nothing else imports them directly.
 * A `typed_config` is packed by `pack(Schema, init)`.
 */
import { create, type DescMessage, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { type Any, AnySchema } from '@bufbuild/protobuf/wkt';
import { ClusterSchema } from './generated/envoy/config/cluster/v3/cluster_pb.js';
import { TypedExtensionConfigSchema } from './generated/envoy/config/core/v3/extension_pb.js';
import { ClusterLoadAssignmentSchema } from './generated/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from './generated/envoy/config/listener/v3/listener_pb.js';
import { SecretSchema } from './generated/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { RuntimeSchema } from './generated/envoy/service/runtime/v3/rtds_pb.js';

export * from './generated/envoy/admin/v3/clusters_pb.js';
export * from './generated/envoy/admin/v3/config_dump_pb.js';
export * from './generated/envoy/admin/v3/config_dump_shared_pb.js';
export * from './generated/envoy/admin/v3/listeners_pb.js';
export * from './generated/envoy/admin/v3/server_info_pb.js';
export * from './generated/envoy/config/accesslog/v3/accesslog_pb.js';
export * from './generated/envoy/config/bootstrap/v3/bootstrap_pb.js';
export * from './generated/envoy/config/cluster/v3/cluster_pb.js';
export * from './generated/envoy/config/cluster/v3/outlier_detection_pb.js';
export * from './generated/envoy/config/core/v3/address_pb.js';
export * from './generated/envoy/config/core/v3/base_pb.js';
export * from './generated/envoy/config/core/v3/config_source_pb.js';
export * from './generated/envoy/config/core/v3/extension_pb.js';
export * from './generated/envoy/config/core/v3/grpc_service_pb.js';
export * from './generated/envoy/config/core/v3/health_check_pb.js';
export * from './generated/envoy/config/core/v3/protocol_pb.js';
export * from './generated/envoy/config/core/v3/proxy_protocol_pb.js';
export * from './generated/envoy/config/core/v3/socket_option_pb.js';
export * from './generated/envoy/config/core/v3/substitution_format_string_pb.js';
export * from './generated/envoy/config/core/v3/udp_socket_config_pb.js';
export * from './generated/envoy/config/endpoint/v3/endpoint_components_pb.js';
export * from './generated/envoy/config/endpoint/v3/endpoint_pb.js';
export * from './generated/envoy/config/listener/v3/listener_components_pb.js';
export * from './generated/envoy/config/listener/v3/listener_pb.js';
export * from './generated/envoy/config/listener/v3/udp_listener_config_pb.js';
export * from './generated/envoy/config/overload/v3/overload_pb.js';
export * from './generated/envoy/extensions/access_loggers/file/v3/file_pb.js';
export * from './generated/envoy/extensions/access_loggers/stream/v3/stream_pb.js';
export * from './generated/envoy/extensions/filters/common/set_filter_state/v3/value_pb.js';
export * from './generated/envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol_pb.js';
export * from './generated/envoy/extensions/filters/network/connection_limit/v3/connection_limit_pb.js';
export {
  type RBAC as RbacNetworkFilter,
  RBACSchema as RbacNetworkFilterSchema,
} from './generated/envoy/extensions/filters/network/rbac/v3/rbac_pb.js';
// Names that two of Envoy's packages share get one of ours.
export {
  type Config as SetFilterStateNetworkFilter,
  ConfigSchema as SetFilterStateNetworkFilterSchema,
} from './generated/envoy/extensions/filters/network/set_filter_state/v3/set_filter_state_pb.js';
export * from './generated/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js';
export {
  type Wasm as WasmNetworkFilter,
  WasmSchema as WasmNetworkFilterSchema,
} from './generated/envoy/extensions/filters/network/wasm/v3/wasm_pb.js';
export * from './generated/envoy/extensions/filters/udp/udp_proxy/v3/route_pb.js';
export * from './generated/envoy/extensions/filters/udp/udp_proxy/v3/udp_proxy_pb.js';
export * from './generated/envoy/extensions/load_balancing_policies/least_request/v3/least_request_pb.js';
export * from './generated/envoy/extensions/load_balancing_policies/round_robin/v3/round_robin_pb.js';
export * from './generated/envoy/extensions/matching/common_inputs/network/v3/network_inputs_pb.js';
export * from './generated/envoy/extensions/resource_monitors/downstream_connections/v3/downstream_connections_pb.js';
export * from './generated/envoy/extensions/resource_monitors/fixed_heap/v3/fixed_heap_pb.js';
export * from './generated/envoy/extensions/transport_sockets/http_11_proxy/v3/upstream_http_11_connect_pb.js';
export * from './generated/envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol_pb.js';
export * from './generated/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer_pb.js';
export * from './generated/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
export * from './generated/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
export * from './generated/envoy/extensions/udp_packet_writer/v3/udp_default_writer_factory_pb.js';
export * from './generated/envoy/extensions/udp_packet_writer/v3/udp_gso_batch_writer_factory_pb.js';
export {
  type HttpProtocolOptions as UpstreamHttpProtocolOptions,
  HttpProtocolOptionsSchema as UpstreamHttpProtocolOptionsSchema,
} from './generated/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js';
export * from './generated/envoy/extensions/wasm/v3/wasm_pb.js';
export * from './generated/envoy/service/cluster/v3/cds_pb.js';
export * from './generated/envoy/service/discovery/v3/ads_pb.js';
export * from './generated/envoy/service/discovery/v3/discovery_pb.js';
export * from './generated/envoy/service/endpoint/v3/eds_pb.js';
export * from './generated/envoy/service/extension/v3/config_discovery_pb.js';
export * from './generated/envoy/service/listener/v3/lds_pb.js';
export {
  type Runtime as RuntimeResource,
  RuntimeDiscoveryService,
  RuntimeSchema as RuntimeResourceSchema,
} from './generated/envoy/service/runtime/v3/rtds_pb.js';
export * from './generated/envoy/service/secret/v3/sds_pb.js';
export * from './generated/envoy/service/status/v3/csds_pb.js';
export * from './generated/envoy/type/matcher/v3/node_pb.js';
export * from './generated/envoy/type/v3/percent_pb.js';
export * from './generated/google/rpc/status_pb.js';
export {
  type CidrRange as XdsCidrRange,
  CidrRangeSchema as XdsCidrRangeSchema,
} from './generated/xds/core/v3/cidr_pb.js';
export * from './generated/xds/type/matcher/v3/ip_pb.js';
export * from './generated/xds/type/matcher/v3/matcher_pb.js';

/** The type URL of a message: `type.googleapis.com/` and its full name. */
export function typeUrl(schema: DescMessage): string {
  return `type.googleapis.com/${schema.typeName}`;
}

/** The resource types of xDS. The short names are those of the discovery services. */
export const typeUrls = {
  cluster: typeUrl(ClusterSchema),
  endpoint: typeUrl(ClusterLoadAssignmentSchema),
  listener: typeUrl(ListenerSchema),
  extension: typeUrl(TypedExtensionConfigSchema),
  secret: typeUrl(SecretSchema),
  runtime: typeUrl(RuntimeSchema),
} as const;

/** A message made of `init`, as a `google.protobuf.Any` (what Envoy's `typed_config` fields hold). */
export function pack<Desc extends DescMessage>(schema: Desc, init: MessageInitShape<Desc>): Any {
  return create(AnySchema, { typeUrl: typeUrl(schema), value: toBinary(schema, create(schema, init)) });
}
