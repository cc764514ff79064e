/**
 * Envoy's bootstrap, `nexodus.yaml` (envoy.config.bootstrap.v3.Bootstrap): who it is, its admin socket and where its
 * configuration comes from. Nothing in it depends on the rules.
 */

import { readFileSync } from 'node:fs';
import { stringify } from 'yaml';

export interface BootstrapOptions {
  /** The node id that the control plane knows; a resource goes to a node by this name. */
  nodeId: string;
  /** `node.cluster`, the group that the node belongs to; 'nexodus' by default. */
  nodeCluster?: string;
  /** `node.metadata`. Texts only: it is sent to the control plane, so no secret belongs there. */
  metadata?: Readonly<Record<string, string>>;
  /** Path of the control plane's unix socket. */
  xdsSocket: string;
  /** Path of the admin unix socket, which Envoy makes with mode 0600: the admin interface can stop Envoy and read all of it. */
  adminSocket: string;
  /** Downstream TCP connections that Envoy holds at most, over all listeners; by default what `mostConnections` says. More are refused. */
  maxConnections?: number;
}

/**
 * The cluster of the control plane. No proxy key has this name. Envoy sends it as HTTP/2's `:authority`, so a name with a slash
 * would have each stream reset (RFC 9113 §8.3.1, by nghttp2 in Node).
 */
const XDS_CLUSTER = 'nexodus-xds';

const type = (name: string) => ({ '@type': `type.googleapis.com/${name}` });

const MOST_CONNECTIONS = 50_000;
/** Files that Envoy has open beside its connections. */
const OTHER_FILES = 500;

/**
 * How many connections Envoy has files for: two each, of this process's limit, which its child inherits. An Envoy that runs out of
 * files does not refuse connections but spins on accept (seen in 1.40).
 */
export function mostConnections(): number {
  let limits: string;
  try {
    limits = readFileSync('/proc/self/limits', 'utf8');
  } catch {
    return MOST_CONNECTIONS;
  }
  const files = Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? Number.NaN);
  return Number.isNaN(files)
    ? MOST_CONNECTIONS
    : Math.max(1, Math.min(MOST_CONNECTIONS, Math.floor((files - OTHER_FILES) / 2)));
}

/** The bootstrap as Envoy's JSON. */
export function bootstrap(options: BootstrapOptions): object {
  const {
    nodeId,
    nodeCluster = 'nexodus',
    metadata = {},
    xdsSocket,
    adminSocket,
    maxConnections = mostConnections(),
  } = options;
  const ads = { ads: {}, resource_api_version: 'V3' };
  return {
    node: { id: nodeId, cluster: nodeCluster, metadata },
    admin: { address: { pipe: { path: adminSocket, mode: 0o600 } } },
    dynamic_resources: {
      ads_config: {
        api_type: 'DELTA_GRPC',
        transport_api_version: 'V3',
        set_node_on_first_message_only: true,
        // Envoy's defaults, 100 requests and 10 more each second; without this message there is no limit at all.
        rate_limit_settings: {},
        grpc_services: [{ envoy_grpc: { cluster_name: XDS_CLUSTER } }],
      },
      cds_config: ads,
      lds_config: ads,
    },
    static_resources: { clusters: [xdsCluster(xdsSocket)] },
    // The filter's counters in Prometheus: nexodus_allowed{nexodus_key="egress/tcp/5432"}, not a metric for each key.
    stats_config: {
      stats_tags: [{ tag_name: 'nexodus.key', regex: '^wasmcustom\\.nexodus\\.((.+)\\.)(?:allowed|denied)$' }],
    },
    overload_manager: {
      resource_monitors: [
        {
          name: 'envoy.resource_monitors.global_downstream_max_connections',
          typed_config: {
            ...type('envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig'),
            max_active_downstream_connections: maxConnections,
          },
        },
      ],
    },
  };
}

function xdsCluster(socket: string): object {
  return {
    name: XDS_CLUSTER,
    type: 'STATIC',
    connect_timeout: '5s',
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        ...type('envoy.extensions.upstreams.http.v3.HttpProtocolOptions'),
        // A control plane that hangs is noticed, and the stream is made anew.
        explicit_http_config: { http2_protocol_options: { connection_keepalive: { interval: '30s', timeout: '10s' } } },
      },
    },
    load_assignment: {
      cluster_name: XDS_CLUSTER,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: { pipe: { path: socket } } } }] }],
    },
  };
}

/**
 * The text of `nexodus.yaml`. Every string is quoted: YAML 1.1, which Envoy reads, takes a node called `n` or `off` for a
 * boolean.
 */
export function bootstrapYaml(options: BootstrapOptions): string {
  const head = '# Made by nexd. Run an Envoy of your own with it: envoy --config-path nexodus.yaml\n';
  return (
    head +
    stringify(bootstrap(options), {
      defaultStringType: 'QUOTE_DOUBLE',
      defaultKeyType: 'PLAIN',
      lineWidth: 0,
      aliasDuplicateObjects: false,
    })
  );
}
