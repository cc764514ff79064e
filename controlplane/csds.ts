/**
 * envoy.service.status.v3.ClientStatusDiscoveryService: what each node should have and how far it is with it, for
 * standard tools (grpcurl, grpcdebug and their like).
 *
 * `config_status` is the control plane's view (csds.proto): SYNCED, STALE (sent, or changed since), NOT_SENT, ERROR.
 */
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import * as grpc from '@grpc/grpc-js';
import {
  type ClientConfigSchema,
  ClientResourceStatus,
  type ClientStatusRequest,
  ClientStatusRequestSchema,
  type ClientStatusResponse,
  ClientStatusResponseSchema,
  ConfigStatus,
  type NodeMatcher,
} from '../envoy/api/index.ts';
import type { NodeRecord } from './nodes.ts';
import type { Progress } from './xds/messages.ts';

const service = '/envoy.service.status.v3.ClientStatusDiscoveryService';
const codec = {
  requestSerialize: (message: ClientStatusRequest) => Buffer.from(toBinary(ClientStatusRequestSchema, message)),
  requestDeserialize: (bytes: Buffer) => fromBinary(ClientStatusRequestSchema, bytes),
  responseSerialize: (message: ClientStatusResponse) => Buffer.from(toBinary(ClientStatusResponseSchema, message)),
  responseDeserialize: (bytes: Buffer) => fromBinary(ClientStatusResponseSchema, bytes),
};

export const csdsDefinition = {
  FetchClientStatus: { path: `${service}/FetchClientStatus`, requestStream: false, responseStream: false, ...codec },
  StreamClientStatus: { path: `${service}/StreamClientStatus`, requestStream: true, responseStream: true, ...codec },
} satisfies grpc.ServiceDefinition;

const configStatus: Record<Progress, ConfigStatus> = {
  owed: ConfigStatus.NOT_SENT,
  sent: ConfigStatus.STALE,
  accepted: ConfigStatus.SYNCED,
  refused: ConfigStatus.ERROR,
};
const clientStatus: Record<Progress, ClientResourceStatus> = {
  owed: ClientResourceStatus.UNKNOWN,
  sent: ClientResourceStatus.REQUESTED,
  accepted: ClientResourceStatus.ACKED,
  refused: ClientResourceStatus.NACKED,
};

/** Something in the request that we do not do; its message is for the caller. */
class Unsupported extends Error {}

/**
 * @param nodes all nodes.
 * @param may whether the caller may look at the fleet; what nodes have is not for other nodes.
 */
export function csdsService(
  nodes: () => Iterable<NodeRecord>,
  may: (call: Pick<grpc.ServerUnaryCall<unknown, unknown>, 'getAuthContext'>) => boolean,
): grpc.UntypedServiceImplementation {
  type Call = grpc.ServerUnaryCall<ClientStatusRequest, ClientStatusResponse>;
  type Stream = grpc.ServerDuplexStream<ClientStatusRequest, ClientStatusResponse>;
  const answer = (request: ClientStatusRequest): ClientStatusResponse | Partial<grpc.StatusObject> => {
    try {
      const matching = [...nodes()].filter(node => matches(node, request.nodeMatchers));
      const config = matching.map(node => describe(node, request.excludeResourceContents));
      return create(ClientStatusResponseSchema, { config });
    } catch (error) {
      if (error instanceof Unsupported) return { code: grpc.status.UNIMPLEMENTED, details: error.message };
      throw error;
    }
  };
  const denied = { code: grpc.status.PERMISSION_DENIED, details: 'the status of the fleet is for its operators' };
  return {
    FetchClientStatus: (call: Call, callback: grpc.sendUnaryData<ClientStatusResponse>) => {
      const response = may(call) ? answer(call.request) : denied;
      if ('config' in response) callback(null, response);
      else callback(response);
    },
    StreamClientStatus: (call: Stream) => {
      call.on('error', () => {});
      call.on('end', () => call.end());
      call.on('data', (request: ClientStatusRequest) => {
        const response = may(call) ? answer(request) : denied;
        if ('config' in response) call.write(response);
        else call.emit('error', response);
      });
    },
  };
}

/** No matcher matches all nodes; of several, one is enough (csds.proto, node_matchers). */
function matches(node: NodeRecord, matchers: readonly NodeMatcher[]): boolean {
  return matchers.length === 0 || matchers.some(matcher => matchesOne(node.id, matcher));
}

function matchesOne(id: string, { nodeId, nodeMetadatas }: NodeMatcher): boolean {
  if (nodeMetadatas.length > 0) throw new Unsupported('nodes are not matched by metadata');
  if (!nodeId) return true;
  const { matchPattern: pattern, ignoreCase } = nodeId;
  const fold = (text: string): string => (ignoreCase ? text.toLowerCase() : text);
  switch (pattern.case) {
    case 'exact':
      return fold(id) === fold(pattern.value);
    case 'prefix':
      return fold(id).startsWith(fold(pattern.value));
    case 'suffix':
      return fold(id).endsWith(fold(pattern.value));
    case 'contains':
      return fold(id).includes(fold(pattern.value));
    default:
      throw new Unsupported('nodes are matched by exact, prefix, suffix or contains');
  }
}

function describe(node: NodeRecord, withoutContents: boolean): MessageInitShape<typeof ClientConfigSchema> {
  const sessions = node.sessions();
  const resources = [...(node.snapshot?.types ?? [])].flatMap(([typeUrl, type]) =>
    [...type.resources.values()].map(resource => ({ typeUrl, resource, session: sessions.get(typeUrl) })),
  );
  return {
    node: { id: node.id, cluster: node.identity?.cluster ?? '', userAgentName: node.identity?.agent ?? '' },
    genericXdsConfigs: resources.map(({ typeUrl, resource, session }) => {
      const progress: Progress = session?.wants(resource.name) ? session.progressOf(resource) : 'owed';
      const refusal = session?.rejected.get(resource.name);
      return {
        typeUrl,
        name: resource.name,
        versionInfo: resource.version,
        configStatus: configStatus[progress],
        clientStatus: clientStatus[progress],
        ...(!withoutContents && { xdsConfig: { typeUrl, value: resource.any } }),
        ...(node.publishedAt !== undefined && { lastUpdated: timestampFromMs(node.publishedAt) }),
        ...(refusal !== undefined && { errorState: { details: refusal, versionInfo: resource.version } }),
      };
    }),
  };
}
