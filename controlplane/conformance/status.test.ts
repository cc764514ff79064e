/** CSDS: the fleet's state over the standard API. */
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import * as grpc from '@grpc/grpc-js';
import { expect, test } from 'vitest';
import {
  type ClientStatusRequest,
  ClientStatusRequestSchema,
  type ClientStatusResponse,
  ClientStatusResponseSchema,
  ConfigStatus,
  typeUrls,
} from '../../envoy/api/index.ts';
import { startPlane } from '../testing/plane.ts';
import { cluster, endpoints } from '../testing/resources.ts';

type Ask = MessageInitShape<typeof ClientStatusRequestSchema>;

function fetchStatus(socketPath: string, ask: Ask): Promise<ClientStatusResponse> {
  const client = new grpc.Client(`unix:${socketPath}`, grpc.credentials.createInsecure());
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      '/envoy.service.status.v3.ClientStatusDiscoveryService/FetchClientStatus',
      (request: ClientStatusRequest) => Buffer.from(toBinary(ClientStatusRequestSchema, request)),
      bytes => fromBinary(ClientStatusResponseSchema, bytes),
      create(ClientStatusRequestSchema, ask),
      (error, response) => {
        client.close();
        if (response) resolve(response);
        else reject(error);
      },
    );
  });
}

test('each resource of a node is accepted, refused, under way or owed', async () => {
  await using t = await startPlane();
  t.plane.publish('n', [cluster('a'), endpoints('a'), endpoints('b')]);
  const stream = t.client.delta();
  stream.send({ node: { id: 'n', cluster: 'edge' }, typeUrl: typeUrls.cluster });
  const clusters = await stream.next();
  stream.send({ typeUrl: typeUrls.cluster, responseNonce: clusters.nonce });
  stream.send({ typeUrl: typeUrls.endpoint, resourceNamesSubscribe: ['a'] });
  const load = await stream.next();
  const statuses = async (): Promise<Record<string, ConfigStatus>> => {
    const { config } = await fetchStatus(t.socketPath, { excludeResourceContents: true });
    expect(config[0]!.node).toMatchObject({ id: 'n', cluster: 'edge' });
    return Object.fromEntries(
      config[0]!.genericXdsConfigs.map(c => [`${c.typeUrl.split('.').at(-1)} ${c.name}`, c.configStatus]),
    );
  };
  expect(await statuses()).toEqual({
    'Cluster a': ConfigStatus.SYNCED,
    'ClusterLoadAssignment a': ConfigStatus.STALE,
    'ClusterLoadAssignment b': ConfigStatus.NOT_SENT,
  });
  stream.send({ typeUrl: typeUrls.endpoint, responseNonce: load.nonce, errorDetail: { code: 3, message: 'why' } });
  await stream.rest();
  expect((await statuses())['ClusterLoadAssignment a']).toBe(ConfigStatus.ERROR);
  const { config } = await fetchStatus(t.socketPath, {});
  const refused = config[0]!.genericXdsConfigs.find(c => c.configStatus === ConfigStatus.ERROR)!;
  expect(refused.errorState!.details).toBe('why');
  expect(new Uint8Array(refused.xdsConfig!.value)).toEqual(endpoints('a').any);
});

test('nodes are chosen by their id', async () => {
  await using t = await startPlane();
  for (const id of ['east-1', 'east-2', 'West-1']) t.plane.publish(id, []);
  const ids = async (ask: Ask): Promise<string[]> => {
    const { config } = await fetchStatus(t.socketPath, ask);
    return config.map(c => c.node!.id).sort();
  };
  expect(await ids({})).toEqual(['West-1', 'east-1', 'east-2']);
  const prefix = { nodeId: { matchPattern: { case: 'prefix', value: 'east' } } } as const;
  const west = { nodeId: { ignoreCase: true, matchPattern: { case: 'exact', value: 'WEST-1' } } } as const;
  expect(await ids({ nodeMatchers: [prefix] })).toEqual(['east-1', 'east-2']);
  expect(await ids({ nodeMatchers: [prefix, west] })).toEqual(['West-1', 'east-1', 'east-2']);
  await expect(ids({ nodeMatchers: [{ nodeMetadatas: [{}] }] })).rejects.toMatchObject({
    code: grpc.status.UNIMPLEMENTED,
  });
});
