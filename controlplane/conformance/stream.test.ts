/** What concerns a stream as a whole: nodes, unknown types, sizes, slow readers, separate services. */
import { create, toBinary } from '@bufbuild/protobuf';
import * as grpc from '@grpc/grpc-js';
import { describe, expect, test } from 'vitest';
import { DiscoveryRequestSchema, typeUrls } from '../../envoy/api/index.ts';
import { makeResource } from '../resources/resource.ts';
import { namesIn } from '../testing/bodies.ts';
import { namesOf } from '../testing/client.ts';
import { startPlane } from '../testing/plane.ts';
import { cluster, endpoints, extension, listener, runtime } from '../testing/resources.ts';

const { cluster: cds, endpoint: eds, listener: lds, runtime: rtds, extension: ecds } = typeUrls;
const node = { id: 'n' };
const { INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNAVAILABLE } = grpc.status;

describe('T8 the node', () => {
  test('is named once', async () => {
    await using t = await startPlane();
    t.plane.publish('n', [cluster('c'), listener('l', 1, 'c')]);
    const stream = t.client.sotw();
    stream.send({ node, typeUrl: cds });
    expect((await stream.next()).typeUrl).toBe(cds);
    stream.send({ typeUrl: lds });
    expect((await stream.next()).typeUrl).toBe(lds);
  });

  test('cannot change', async () => {
    await using t = await startPlane();
    t.plane.publish('n', [cluster('c')]);
    t.plane.publish('m', [cluster('secret')]);
    const stream = t.client.sotw();
    stream.send({ node, typeUrl: cds });
    await stream.next();
    stream.send({ node: { id: 'm' }, typeUrl: lds });
    expect((await stream.ended).code).toBe(INVALID_ARGUMENT);
  });

  test('must be named first', async () => {
    await using t = await startPlane();
    const stream = t.client.delta();
    stream.send({ typeUrl: cds });
    expect((await stream.ended).code).toBe(INVALID_ARGUMENT);
  });
});

test('T18 a name used twice is not published, nor is anything else of that set', async () => {
  await using t = await startPlane();
  expect(() => t.plane.publish('n', [cluster('a'), cluster('b'), cluster('a', 2)])).toThrow(
    'Cluster a: the name is used',
  );
  expect(t.plane.status()).toEqual([]);
});

test('T22 two streams of one node know nothing of each other', async () => {
  await using t = await startPlane();
  t.plane.publish('n', [cluster('a')]);
  const streams = [t.client.delta(), t.connect().delta()];
  for (const stream of streams) {
    stream.send({ node, typeUrl: cds });
    const response = await stream.next();
    expect(namesOf(response)).toEqual(['a']);
    stream.send({ typeUrl: cds, responseNonce: response.nonce });
  }
  await streams[0]!.rest();
  streams[0]!.cancel();
  await streams[0]!.ended;
  t.plane.publish('n', [cluster('a', 2)]);
  expect(namesOf(await streams[1]!.next())).toEqual(['a']);
  expect(t.plane.status()[0]!.connected).toBe(true);
});

describe('T24 a type that nobody publishes', () => {
  test('leaves an aggregated stream alive', async () => {
    await using t = await startPlane();
    t.plane.publish('n', [cluster('a')]);
    const stream = t.client.sotw();
    stream.send({ node, typeUrl: 'type.googleapis.com/some.future.v9.Thing', resourceNames: ['x'] });
    stream.send({ typeUrl: rtds, resourceNames: ['layer'] });
    expect(await stream.rest()).toEqual([]);
    stream.send({ typeUrl: cds });
    expect(namesIn(await stream.next())).toEqual(['a']);
  });

  test('is answered as empty to a delta wildcard', async () => {
    await using t = await startPlane();
    t.plane.publish('n', [cluster('a')]);
    const stream = t.client.delta();
    stream.send({ node, typeUrl: 'type.googleapis.com/some.future.v9.Thing' });
    const response = await stream.next();
    expect([response.resources, response.removedResources]).toEqual([[], []]);
    expect(response.typeUrl).toBe('type.googleapis.com/some.future.v9.Thing');
  });

  test('does not let one stream hold types without bound', async () => {
    await using t = await startPlane();
    t.plane.publish('n', []);
    const stream = t.client.sotw();
    for (let i = 0; i < 100; i++) stream.send({ node, typeUrl: `type.googleapis.com/t${i}` });
    expect((await stream.ended).code).toBe(RESOURCE_EXHAUSTED);
  });
});

describe('T25 the type', () => {
  test('is required on an aggregated stream', async () => {
    await using t = await startPlane();
    const stream = t.client.sotw();
    stream.send({ node });
    expect((await stream.ended).code).toBe(INVALID_ARGUMENT);
  });

  test('is implied, and no other, on a stream of its own', async () => {
    await using t = await startPlane();
    t.plane.publish('n', [cluster('a')]);
    const path = '/envoy.service.cluster.v3.ClusterDiscoveryService/StreamClusters';
    const stream = t.client.sotw(path);
    stream.send({ node });
    expect(namesIn(await stream.next())).toEqual(['a']);
    stream.send({ typeUrl: lds });
    expect((await stream.ended).code).toBe(INVALID_ARGUMENT);
  });
});

describe('T26 a node', () => {
  test('of which nothing is to be had is told so at once', async () => {
    await using t = await startPlane();
    t.plane.publish('n', []);
    const sotw = t.client.sotw();
    sotw.send({ node, typeUrl: cds });
    expect((await sotw.next()).resources).toEqual([]);
    sotw.send({ typeUrl: lds });
    expect((await sotw.next()).resources).toEqual([]);
    const delta = t.client.delta();
    delta.send({ node, typeUrl: lds });
    expect((await delta.next()).resources).toEqual([]);
  });

  test('for which nothing was published yet is told nothing: it may be running on what it has', async () => {
    await using t = await startPlane();
    const stream = t.client.delta();
    stream.send({ node, typeUrl: cds, initialResourceVersions: { a: cluster('a').version, b: 'old' } });
    expect(await stream.rest()).toEqual([]);
    t.plane.publish('n', [cluster('a')]);
    expect((await stream.next()).removedResources).toEqual(['b']);
  });
});

test('T28 a reader that stops holds up nobody and gets the newest state when it goes on', async () => {
  await using t = await startPlane();
  const edition = (n: number) => Array.from({ length: 50 }, (_, i) => cluster(`cluster-${i}`, n));
  t.plane.publish('n', edition(1));
  const slow = t.client.delta();
  slow.pause();
  slow.send({ node, typeUrl: cds });
  const other = t.connect().delta();
  other.send({ node: { id: 'other' }, typeUrl: cds });
  for (let n = 2; n <= 10_000; n += 1) {
    t.plane.publish('n', n % 100 === 0 ? edition(n) : [...edition(1).slice(1), cluster('cluster-0', n)]);
    if (n % 500 === 0) await new Promise(resolve => setImmediate(resolve));
  }
  t.plane.publish('other', [cluster('quick')]);
  expect(namesOf(await other.next())).toEqual(['quick']);
  slow.resume();
  const first = await slow.next();
  slow.send({ typeUrl: cds, responseNonce: first.nonce });
  const second = await slow.next();
  slow.send({ typeUrl: cds, responseNonce: second.nonce });
  expect(await slow.rest(), 'all that happened meanwhile came as one').toEqual([]);
  expect(second.resources).toHaveLength(50);
  expect(second.resources[0]!.version).toBe(edition(10_000)[0]!.version);
}, 60_000);

test('T28 what a reader has not taken is not written: responses of other types wait too, as their newest state', async () => {
  await using t = await startPlane();
  const types = Array.from({ length: 30 }, (_, i) => `type.googleapis.com/large.T${i}`);
  const large = (edition: number) => types.map(url => makeResource(url, 'x', new Uint8Array(1_000_000).fill(edition)));
  t.plane.publish('n', large(1));
  const stream = t.client.delta();
  stream.pause();
  for (const typeUrl of types) stream.send({ node, typeUrl });
  const written = (): number => t.plane.status()[0]!.types.filter(type => type.sent > 0).length;
  let before = 0;
  do {
    before = written();
    await stream.rest();
    await stream.rest();
  } while (before === 0 || written() > before);
  // As many as the windows of HTTP/2 and the buffers of the sockets take.
  expect(before).toBeLessThan(20);
  t.plane.publish('n', large(2));
  await stream.rest();
  expect(written()).toBe(before);
  stream.resume();
  const editions: number[] = [];
  for (const _ of types) editions.push((await stream.next()).resources[0]!.resource!.value[0]!);
  expect(editions.filter(edition => edition === 2)).toHaveLength(types.length - before);
});

test('T29 fields of a newer protocol are skipped', async () => {
  await using t = await startPlane();
  t.plane.publish('n', [cluster('a')]);
  const stream = t.client.bytes();
  const known = toBinary(DiscoveryRequestSchema, create(DiscoveryRequestSchema, { node, typeUrl: cds }));
  // Field 999, a string, and field 1000, a varint.
  stream.send(Uint8Array.of(...known, 0xba, 0x3e, 0x02, 0x68, 0x69, 0xc0, 0x3e, 0x05));
  expect(namesIn(await stream.next())).toEqual(['a']);
});

test('T30 a request that names 60,000 held resources', async () => {
  await using t = await startPlane();
  const held: Record<string, string> = {};
  const names: string[] = [];
  for (let i = 0; i < 60_000; i++) {
    const name = `endpoints/of/a/rule/with/a/rather/long/name/number/${i}`;
    names.push(name);
    held[name] = 'a version of sixteen';
  }
  t.plane.publish('n', [endpoints(names[0]!)]);
  const stream = t.client.delta();
  stream.send({ node, typeUrl: eds, resourceNamesSubscribe: names, initialResourceVersions: held });
  const response = await stream.next();
  expect(namesOf(response)).toEqual([names[0]]);
  expect(response.removedResources).toHaveLength(59_999);
});

test('each type is served on a stream of its own too, in both variants', async () => {
  await using t = await startPlane();
  t.plane.publish('n', [cluster('c'), endpoints('c'), listener('l', 1, 'c'), extension('e'), runtime('r')]);
  const services: [string, string, string[]][] = [
    ['cluster.v3.ClusterDiscoveryService/%Clusters', cds, ['c']],
    ['endpoint.v3.EndpointDiscoveryService/%Endpoints', eds, ['c']],
    ['listener.v3.ListenerDiscoveryService/%Listeners', lds, ['l']],
    ['extension.v3.ExtensionConfigDiscoveryService/%ExtensionConfigs', ecds, ['e']],
    ['runtime.v3.RuntimeDiscoveryService/%Runtime', rtds, ['r']],
  ];
  for (const [service, typeUrl, names] of services) {
    const path = `/envoy.service.${service}`;
    const delta = t.client.delta(path.replace('%', 'Delta'));
    delta.send({ node, resourceNamesSubscribe: names });
    const changes = await delta.next();
    expect([changes.typeUrl, namesOf(changes)]).toEqual([typeUrl, names]);
    const sotw = t.client.sotw(path.replace('%', 'Stream'));
    sotw.send({ node, resourceNames: names });
    const state = await sotw.next();
    expect([state.typeUrl, state.resources.length]).toEqual([typeUrl, 1]);
  }
});

test('streams beyond the limit are refused, and room is made by those that end', async () => {
  await using t = await startPlane({ maxStreams: 2 });
  t.plane.publish('n', []);
  const streams = [t.client.delta(), t.client.delta()];
  for (const stream of streams) {
    stream.send({ node, typeUrl: cds });
    await stream.next();
  }
  const third = t.client.delta();
  third.send({ node, typeUrl: cds });
  expect((await third.ended).code).toBe(RESOURCE_EXHAUSTED);
  streams[0]!.cancel();
  await expect
    .poll(async () => {
      const again = t.client.delta();
      again.send({ node, typeUrl: cds });
      return Promise.race([again.next().then(() => 'served'), again.ended.then(() => 'refused')]);
    })
    .toBe('served');
});

test('closing ends the streams as unavailable, which clients take as a reason to reconnect', async () => {
  await using t = await startPlane();
  t.plane.publish('n', []);
  const stream = t.client.delta();
  stream.send({ node, typeUrl: cds });
  await stream.next();
  await t.plane.close();
  expect((await stream.ended).code).toBe(UNAVAILABLE);
});
