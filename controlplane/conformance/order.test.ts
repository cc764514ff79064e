/** T19, T20: the order between types on an aggregated stream. */
import { describe, expect, test } from 'vitest';
import { typeUrls } from '../../envoy/api/index.ts';
import { namesIn } from '../testing/bodies.ts';
import { type DeltaStream, namesOf, type SotwStream } from '../testing/client.ts';
import { startPlane } from '../testing/plane.ts';
import { cluster, edsCluster, endpoints, listener } from '../testing/resources.ts';

const { cluster: cds, endpoint: eds, listener: lds } = typeUrls;
const short = (typeUrl: string): string => ({ [cds]: 'CDS', [eds]: 'EDS', [lds]: 'LDS' })[typeUrl] ?? typeUrl;

/** Subscribes to clusters and listeners, and answers every response with `delayMs` of delay; keeps a record. */
async function follow(stream: DeltaStream, agent: string): Promise<string[]> {
  const record: string[] = [];
  stream.send({ node: { id: 'n', userAgentName: agent }, typeUrl: cds });
  stream.send({ typeUrl: lds });
  void (async () => {
    for (;;) {
      const response = await stream.next().catch(() => undefined);
      if (!response) return;
      const { typeUrl, nonce: responseNonce, removedResources } = response;
      for (const name of namesOf(response)) record.push(`${short(typeUrl)} +${name}`);
      for (const name of [...removedResources].sort()) record.push(`${short(typeUrl)} -${name}`);
      await new Promise(resolve => setTimeout(resolve, Math.random() * 3));
      stream.send({ typeUrl, responseNonce });
    }
  })();
  return record;
}

describe.each(['envoy', 'test'])('T19 delta, to an agent called %s', agent => {
  test('clusters come before the listeners that use them and go after them, however fast the changes', async () => {
    await using t = await startPlane();
    t.plane.publish('n', []);
    const record = await follow(t.client.delta(), agent);
    for (let i = 1; i <= 200; i++) {
      const kept = [cluster('base'), cluster(`c${i}`)];
      t.plane.publish('n', [...kept, listener('base', 1000, 'base'), listener(`l${i}`, i, `c${i}`)]);
      if (i % 7 === 0) await new Promise(resolve => setTimeout(resolve, 4));
    }
    t.plane.publish('n', []);
    const synced = (): boolean => t.plane.status()[0]!.types.every(type => type.synced);
    await expect.poll(synced, { timeout: 10_000 }).toBe(true);
    const clusters = new Set<string>();
    const listeners = new Set<string>();
    for (const line of record) {
      const [, type, sign, name] = /^(\w+) ([+-])(.+)$/.exec(line)!;
      const own = type === 'CDS' ? clusters : listeners;
      if (sign === '+') own.add(name!);
      else own.delete(name!);
      for (const used of listeners) expect(clusters, `after ${line}`).toContain(used.replace('l', 'c'));
    }
    expect(clusters.size + listeners.size).toBe(0);
    expect(record.length).toBeGreaterThan(20);
  });
});

async function takeSotw(stream: SotwStream): Promise<[string, string[]]> {
  const response = await stream.next();
  const { typeUrl, nonce: responseNonce, versionInfo } = response;
  stream.send({ typeUrl, responseNonce, versionInfo });
  return [short(typeUrl), namesIn(response)];
}

test('T19 state of the world: a cluster stays in the list until its listener is gone', async () => {
  await using t = await startPlane();
  t.plane.publish('n', [cluster('old'), listener('l', 1, 'old')]);
  const stream = t.client.sotw();
  stream.send({ node: { id: 'n' }, typeUrl: cds });
  expect(await takeSotw(stream)).toEqual(['CDS', ['old']]);
  stream.send({ typeUrl: lds });
  expect(await takeSotw(stream)).toEqual(['LDS', ['l']]);
  await stream.rest();
  t.plane.publish('n', [cluster('new'), listener('l', 1, 'new')]);
  expect(await takeSotw(stream)).toEqual(['CDS', ['new', 'old']]);
  expect(await takeSotw(stream)).toEqual(['LDS', ['l']]);
  expect(await takeSotw(stream)).toEqual(['CDS', ['new']]);
  t.plane.publish('n', []);
  expect(await takeSotw(stream)).toEqual(['LDS', []]);
  expect(await takeSotw(stream)).toEqual(['CDS', []]);
  expect(await stream.rest()).toEqual([]);
});

test('T20 a cluster that changes is followed by its endpoints, though they did not change', async () => {
  await using t = await startPlane();
  const rest = [edsCluster('b'), endpoints('a'), endpoints('b')];
  t.plane.publish('n', [edsCluster('a'), ...rest]);
  const stream = t.client.delta();
  const take = async (): Promise<[string, string[]]> => {
    const response = await stream.next();
    stream.send({ typeUrl: response.typeUrl, responseNonce: response.nonce });
    return [short(response.typeUrl), namesOf(response)];
  };
  stream.send({ node: { id: 'n', userAgentName: 'envoy' }, typeUrl: cds });
  expect(await take()).toEqual(['CDS', ['a', 'b']]);
  stream.send({ typeUrl: eds, resourceNamesSubscribe: ['a', 'b'] });
  expect(await take()).toEqual(['EDS', ['a', 'b']]);
  await stream.rest();
  t.plane.publish('n', [edsCluster('a', 2), ...rest]);
  expect(await take()).toEqual(['CDS', ['a']]);
  expect(await take()).toEqual(['EDS', ['a']]);
  expect(await stream.rest()).toEqual([]);
});

test('T20 the endpoints come even while the clusters are not acknowledged: Envoy waits for them with its ACK', async () => {
  await using t = await startPlane();
  const rest = [endpoints('a'), listener('l', 1, 'a')];
  t.plane.publish('n', [edsCluster('a'), ...rest]);
  const stream = t.client.delta();
  stream.send({ node: { id: 'n', userAgentName: 'envoy' }, typeUrl: cds });
  const clusters = await stream.next();
  stream.send({ typeUrl: lds });
  expect(await stream.rest(), 'listeners wait until the clusters are warm').toEqual([]);
  stream.send({ typeUrl: eds, resourceNamesSubscribe: ['a'] });
  const load = await stream.next();
  expect(load.typeUrl).toBe(eds);
  stream.send({ typeUrl: eds, responseNonce: load.nonce });
  stream.send({ typeUrl: cds, responseNonce: clusters.nonce });
  expect((await stream.next()).typeUrl).toBe(lds);
});
