/** The incremental rules of xDS, by a raw client over gRPC; among them the six probes that a reference server failed. */
import { describe, expect, test } from 'vitest';
import { type DeltaDiscoveryResponse, typeUrls } from '../../envoy/api/index.ts';
import { type DeltaRequest, type DeltaStream, namesOf } from '../testing/client.ts';
import { startPlane } from '../testing/plane.ts';
import { cluster, endpoints, extension, listener } from '../testing/resources.ts';

const node = { id: 'n', userAgentName: 'test' };
const eds = typeUrls.endpoint;
const cds = typeUrls.cluster;

function ack({ typeUrl, nonce }: DeltaDiscoveryResponse): DeltaRequest {
  return { typeUrl, responseNonce: nonce };
}

function nack({ typeUrl, nonce }: DeltaDiscoveryResponse, message = 'refused by the test'): DeltaRequest {
  return { typeUrl, responseNonce: nonce, errorDetail: { code: 3, message } };
}

/** The next response, acknowledged. */
async function take(stream: DeltaStream): Promise<{ names: string[]; removed: string[] }> {
  const response = await stream.next();
  stream.send(ack(response));
  return { names: namesOf(response), removed: response.removedResources };
}

describe('ACK and NACK', () => {
  test('T2 quiet after a NACK; T3 probe 6: then what was refused is offered with what changed', async () => {
    await using t = await startPlane();
    t.plane.publish('n', [cluster('a'), cluster('b')]);
    const stream = t.client.delta();
    stream.send({ node, typeUrl: cds });
    const first = await stream.next();
    expect(namesOf(first)).toEqual(['a', 'b']);
    stream.send(nack(first));
    stream.send(nack(first));
    expect(await stream.rest()).toEqual([]);
    t.plane.publish('n', [cluster('a'), cluster('b'), cluster('c')]);
    const second = await stream.next();
    expect(namesOf(second)).toEqual(['a', 'b', 'c']);
    stream.send(ack(second));
    expect(await stream.rest()).toEqual([]);
  });

  test('T3 a refused listener is offered again when its rival goes', async () => {
    await using t = await startPlane();
    const [x, y] = [listener('x', 1, 'c'), listener('y', 2, 'c')];
    t.plane.publish('n', [cluster('c'), x]);
    const stream = t.client.delta();
    stream.send({ node, typeUrl: typeUrls.listener });
    await take(stream);
    t.plane.publish('n', [cluster('c'), x, y]);
    stream.send(nack(await stream.next()));
    expect(await stream.rest()).toEqual([]);
    t.plane.publish('n', [cluster('c'), y]);
    expect(await take(stream)).toEqual({ names: ['y'], removed: ['x'] });
  });

  test('a removal follows for what a refused response may have brought', async () => {
    await using t = await startPlane();
    t.plane.publish('n', [cluster('a')]);
    const stream = t.client.delta();
    stream.send({ node, typeUrl: cds });
    stream.send(nack(await stream.next()));
    t.plane.publish('n', []);
    expect(await take(stream)).toEqual({ names: [], removed: ['a'] });
  });

  test('T2 a removal that is refused is not repeated until something changes', async () => {
    await using t = await startPlane();
    t.plane.publish('n', [cluster('a'), cluster('b')]);
    const stream = t.client.delta();
    stream.send({ node, typeUrl: cds });
    await take(stream);
    t.plane.publish('n', [cluster('a')]);
    const response = await stream.next();
    expect(response.removedResources).toEqual(['b']);
    stream.send(nack(response));
    expect(await stream.rest()).toEqual([]);
    t.plane.publish('n', [cluster('a', 2)]);
    expect(await take(stream)).toEqual({ names: ['a'], removed: ['b'] });
  });

  test('T5 a stale nonce does not lose a subscription', async () => {
    await using t = await startPlane();
    t.plane.publish('n', [endpoints('a'), endpoints('b')]);
    const stream = t.client.delta();
    stream.send({ node, typeUrl: eds, resourceNamesSubscribe: ['a'] });
    const first = await stream.next();
    stream.send(ack(first));
    t.plane.publish('n', [endpoints('a', 2), endpoints('b')]);
    const second = await stream.next();
    stream.send({ typeUrl: eds, responseNonce: first.nonce, resourceNamesSubscribe: ['b'] });
    expect(await stream.rest(), 'one response at a time').toEqual([]);
    stream.send(ack(second));
    expect(await take(stream)).toEqual({ names: ['b'], removed: [] });
  });

  test('T6 the first request of a stream may carry the nonce of an older one', async () => {
    await using t = await startPlane();
    t.plane.publish('n', [cluster('a')]);
    const stream = t.client.delta();
    stream.send({ node, typeUrl: cds, responseNonce: 'zzz' });
    expect((await take(stream)).names).toEqual(['a']);
  });
});

describe('naming', () => {
  test('T9 the four steps of the specification', async () => {
    await using t = await startPlane();
    const edition = (n: number) => [cluster('A', n), cluster('B', n)];
    t.plane.publish('n', edition(1));
    const stream = t.client.delta();
    stream.send({ node, typeUrl: cds });
    expect((await take(stream)).names).toEqual(['A', 'B']);
    stream.send({ typeUrl: cds, resourceNamesSubscribe: ['A'] });
    expect((await take(stream)).names).toEqual(['A']);
    t.plane.publish('n', edition(2));
    expect((await take(stream)).names, 'still a wildcard').toEqual(['A', 'B']);
    stream.send({ typeUrl: cds, resourceNamesUnsubscribe: ['*'] });
    t.plane.publish('n', edition(3));
    expect((await take(stream)).names).toEqual(['A']);
    stream.send({ typeUrl: cds, resourceNamesUnsubscribe: ['A'] });
    await stream.rest();
    t.plane.publish('n', edition(4));
    expect(await stream.rest(), 'nothing is wanted').toEqual([]);
    stream.send({ typeUrl: cds });
    expect(await stream.rest(), 'and an empty list is no wildcard any more').toEqual([]);
  });

  test('T10 a name unsubscribed from within a wildcard is answered', async () => {
    await using t = await startPlane();
    t.plane.publish('n', [cluster('A'), cluster('B')]);
    const stream = t.client.delta();
    stream.send({ node, typeUrl: cds, resourceNamesSubscribe: ['*', 'A', 'ghost'] });
    expect(await take(stream)).toEqual({ names: ['A', 'B'], removed: ['ghost'] });
    stream.send({ typeUrl: cds, resourceNamesUnsubscribe: ['A'] });
    expect(await take(stream)).toEqual({ names: ['A'], removed: [] });
    stream.send({ typeUrl: cds, resourceNamesUnsubscribe: ['ghost'] });
    expect(await take(stream)).toEqual({ names: [], removed: ['ghost'] });
    expect(await stream.rest()).toEqual([]);
  });

  test('T11 probe 3: a name subscribed to again is sent again', async () => {
    await using t = await startPlane();
    t.plane.publish('n', [endpoints('rule-0')]);
    const stream = t.client.delta();
    stream.send({ node, typeUrl: eds, resourceNamesSubscribe: ['rule-0'] });
    expect((await take(stream)).names).toEqual(['rule-0']);
    stream.send({ typeUrl: eds, resourceNamesSubscribe: ['rule-0'] });
    expect((await take(stream)).names).toEqual(['rule-0']);
    expect(await stream.rest()).toEqual([]);
  });

  test('T12 probe 2: an absent name beside a present one is told at once', async () => {
    await using t = await startPlane();
    t.plane.publish('n', [endpoints('rule-0')]);
    const stream = t.client.delta();
    stream.send({ node, typeUrl: eds, resourceNamesSubscribe: ['rule-0', 'ghost'] });
    expect(await take(stream)).toEqual({ names: ['rule-0'], removed: ['ghost'] });
  });

  test('T12 probe 4: an absent name alone is told at once, and pushed when it is created', async () => {
    await using t = await startPlane();
    t.plane.publish('n', [endpoints('rule-0')]);
    const stream = t.client.delta();
    stream.send({ node, typeUrl: eds, resourceNamesSubscribe: ['ghost2'] });
    expect(await take(stream)).toEqual({ names: [], removed: ['ghost2'] });
    expect(await stream.rest()).toEqual([]);
    t.plane.publish('n', [endpoints('rule-0'), endpoints('ghost2')]);
    expect(await take(stream)).toEqual({ names: ['ghost2'], removed: [] });
    t.plane.publish('n', [endpoints('rule-0')]);
    expect(await take(stream)).toEqual({ names: [], removed: ['ghost2'] });
  });

  test('T16 three subscriptions at once: everything asked for comes, nothing else', async () => {
    await using t = await startPlane();
    t.plane.publish(
      'n',
      ['a', 'b', 'c', 'd'].map(name => endpoints(name)),
    );
    const stream = t.client.delta();
    stream.send({ node, typeUrl: eds, resourceNamesSubscribe: ['a'] });
    stream.send({ typeUrl: eds, resourceNamesSubscribe: ['b'], resourceNamesUnsubscribe: ['a'] });
    stream.send({ typeUrl: eds, resourceNamesSubscribe: ['c'] });
    const seen = new Set<string>();
    for (;;) {
      const [response] = await stream.rest();
      if (!response) break;
      for (const name of namesOf(response)) seen.add(name);
      stream.send(ack(response));
    }
    expect(seen).toContain('b');
    expect(seen).toContain('c');
    expect(seen).not.toContain('d');
    t.plane.publish(
      'n',
      ['a', 'b', 'c', 'd'].map(name => endpoints(name, 2)),
    );
    expect((await take(stream)).names).toEqual(['b', 'c']);
  });

  test('T23 nothing is pushed after it was unsubscribed from', async () => {
    await using t = await startPlane();
    t.plane.publish('n', [endpoints('a'), endpoints('b')]);
    const stream = t.client.delta();
    stream.send({ node, typeUrl: eds, resourceNamesSubscribe: ['a', 'b'] });
    const first = await stream.next();
    t.plane.publish('n', [endpoints('a', 2), endpoints('b', 2)]);
    stream.send({ typeUrl: eds, resourceNamesUnsubscribe: ['a'] });
    await stream.rest();
    stream.send(ack(first));
    expect(await take(stream)).toEqual({ names: ['b'], removed: [] });
    expect(await stream.rest()).toEqual([]);
  });
});

describe('contents', () => {
  test('only what changed is sent, in versions that are hashes of content', async () => {
    await using t = await startPlane();
    const all = Array.from({ length: 20 }, (_, i) => cluster(`c${i}`));
    t.plane.publish('n', all);
    const stream = t.client.delta();
    stream.send({ node, typeUrl: cds });
    const first = await stream.next();
    expect(first.resources.map(r => r.version)).toEqual(
      first.resources.map(r => all.find(c => c.name === r.name)?.version),
    );
    stream.send(ack(first));
    t.plane.publish('n', [cluster('c0', 2), ...all.slice(1, 19)]);
    expect(await take(stream)).toEqual({ names: ['c0'], removed: ['c19'] });
  });

  test('T17 publishes that change nothing, and ACKs, send nothing', async () => {
    await using t = await startPlane();
    t.plane.publish('n', [cluster('a')]);
    const stream = t.client.delta();
    stream.send({ node, typeUrl: cds });
    const response = await stream.next();
    for (let i = 0; i < 1000; i++) {
      stream.send(ack(response));
      t.plane.publish('n', [cluster('a')]);
    }
    expect(await stream.rest()).toEqual([]);
  });

  test('T21 probe 5: a reconnecting client gets what changed, is told what is gone, and not what it has', async () => {
    await using t = await startPlane();
    const same = cluster('same');
    t.plane.publish('n', [same, cluster('changed', 2), cluster('new')]);
    const stream = t.client.delta();
    stream.send({
      node,
      typeUrl: cds,
      initialResourceVersions: { same: same.version, changed: 'old', gone: 'x' },
    });
    expect(await take(stream)).toEqual({ names: ['changed', 'new'], removed: ['gone'] });
    expect(await stream.rest()).toEqual([]);
  });

  test('T21 names that it holds and subscribes to are not sent again; those it no longer wants are left alone', async () => {
    await using t = await startPlane();
    const [a, b] = [endpoints('a'), endpoints('b')];
    t.plane.publish('n', [a, b]);
    const stream = t.client.delta();
    stream.send({
      node,
      typeUrl: eds,
      resourceNamesSubscribe: ['a', 'b'],
      initialResourceVersions: { a: a.version, b: 'old', unwanted: 'x' },
    });
    expect(await take(stream)).toEqual({ names: ['b'], removed: [] });
    expect(await stream.rest()).toEqual([]);
  });

  test('T21 a client that has all is sent nothing, even by another control plane', async () => {
    await using first = await startPlane();
    first.plane.publish('n', [cluster('a'), cluster('b')]);
    const before = first.client.delta();
    before.send({ node, typeUrl: cds });
    const { resources } = await before.next();
    await using second = await startPlane();
    second.plane.publish('n', [cluster('b'), cluster('a')]);
    const after = second.client.delta();
    const initialResourceVersions = Object.fromEntries(resources.map(r => [r.name, r.version]));
    after.send({ node, typeUrl: cds, initialResourceVersions });
    expect(await after.rest()).toEqual([]);
  });

  test('an extension configuration is not taken away while it is subscribed to', async () => {
    await using t = await startPlane();
    t.plane.publish('n', [extension('a'), extension('b')]);
    const stream = t.client.delta();
    stream.send({ node, typeUrl: typeUrls.extension, resourceNamesSubscribe: ['a', 'b'] });
    await take(stream);
    t.plane.publish('n', [extension('b')]);
    expect(await stream.rest()).toEqual([]);
    t.plane.publish('n', [extension('a', 2), extension('b')]);
    expect(await take(stream)).toEqual({ names: ['a'], removed: [] });
  });
});

describe('blame', () => {
  test('an Envoy that refuses a response of extension configurations is offered each alone', async () => {
    await using t = await startPlane();
    const nacks: string[][] = [];
    t.plane.on('nack', verdict => nacks.push([...verdict.rejected]));
    t.plane.publish(
      'n',
      ['a', 'bad', 'c'].map(name => extension(name)),
    );
    const stream = t.client.delta();
    const resourceNamesSubscribe = ['a', 'bad', 'c'];
    stream.send({ node: { id: 'n', userAgentName: 'envoy' }, typeUrl: typeUrls.extension, resourceNamesSubscribe });
    const together = await stream.next();
    expect(namesOf(together)).toEqual(['a', 'bad', 'c']);
    stream.send(nack(together, 'Unable to create Wasm plugin'));
    const offered: string[][] = [];
    for (let i = 0; i < 3; i++) {
      const response = await stream.next();
      offered.push(namesOf(response));
      stream.send(namesOf(response).includes('bad') ? nack(response, 'Unable to create Wasm plugin') : ack(response));
    }
    expect(offered.sort()).toEqual([['a'], ['bad'], ['c']]);
    expect(await stream.rest()).toEqual([]);
    expect(nacks).toEqual([[], ['bad']]);
    const [status] = t.plane.status();
    expect(status!.rejectedResources).toEqual([
      { typeUrl: typeUrls.extension, name: 'bad', message: 'Unable to create Wasm plugin' },
    ]);
    expect(status!.types[0]).toMatchObject({ acked: 2, synced: false });
    t.plane.publish('n', [extension('a'), extension('bad', 2), extension('c')]);
    expect(await take(stream)).toEqual({ names: ['bad'], removed: [] });
    await stream.rest();
    expect(t.plane.status()[0]).toMatchObject({ rejectedResources: [], types: [{ acked: 3, synced: true }] });
  });

  test("an Envoy's refusal of listeners blames those that it names, and no others", async () => {
    await using t = await startPlane();
    const names = ['egress/tcp/54', 'egress/tcp/5432', 'egress/tcp/80'];
    const listeners = names.map((name, i) => listener(name, i + 1, 'c'));
    t.plane.publish('n', [cluster('c'), ...listeners]);
    const stream = t.client.delta();
    stream.send({ node: { id: 'n', userAgentName: 'envoy' }, typeUrl: typeUrls.listener });
    const reason = "cannot bind '127.0.0.1:2': Address already in use";
    stream.send(nack(await stream.next(), `Error adding/updating listener(s) egress/tcp/5432: ${reason}\n`));
    expect(await stream.rest()).toEqual([]);
    const [status] = t.plane.status();
    expect(status!.types[0]).toMatchObject({ sent: 2, acked: 2, synced: false });
    expect(status!.types[0]!.rejected!.resources).toEqual(['egress/tcp/5432']);
    t.plane.retry('n');
    expect((await take(stream)).names).toEqual(['egress/tcp/5432']);
    await stream.rest();
    expect(t.plane.status()[0]!.types[0]).toMatchObject({ acked: 3, synced: true });
  });

  test('what such a refused response takes away is gone', async () => {
    await using t = await startPlane();
    t.plane.publish('n', [cluster('c'), listener('old', 1, 'c')]);
    const stream = t.client.delta();
    stream.send({ node: { id: 'n', userAgentName: 'envoy' }, typeUrl: typeUrls.listener });
    await take(stream);
    t.plane.publish('n', [cluster('c'), listener('bad', 2, 'c')]);
    const response = await stream.next();
    expect(response.removedResources).toEqual(['old']);
    stream.send(nack(response, 'Error adding/updating listener(s) bad: no'));
    expect(await stream.rest()).toEqual([]);
    t.plane.retry('n');
    expect(await take(stream)).toEqual({ names: ['bad'], removed: [] });
  });

  test('what a refused response may have brought is removed on the next stream too', async () => {
    await using t = await startPlane();
    t.plane.publish('n', [cluster('c'), listener('good', 1, 'c'), listener('bad', 2, 'c')]);
    const envoy = { id: 'n', userAgentName: 'envoy' };
    const stream = t.client.delta();
    stream.send({ node: envoy, typeUrl: typeUrls.listener });
    stream.send(nack(await stream.next(), 'Error adding/updating listener(s) bad: no'));
    await stream.rest();
    stream.cancel();
    await stream.ended;
    t.plane.publish('n', []);
    const again = t.client.delta();
    // Envoy applied `good` and yet does not list it: it records nothing of a response that it refused.
    again.send({ node: envoy, typeUrl: typeUrls.listener });
    expect((await take(again)).removed.sort()).toEqual(['bad', 'good']);
  });
});
