/** The state-of-the-world rules of xDS (T1 to T18 of the list in our notes), by a raw client over gRPC. */
import { describe, expect, test } from 'vitest';
import { type DiscoveryResponse, typeUrls } from '../../envoy/api/index.ts';
import { namesIn } from '../testing/bodies.ts';
import type { SotwRequest, SotwStream } from '../testing/client.ts';
import { startPlane } from '../testing/plane.ts';
import { cluster, endpoints, listener } from '../testing/resources.ts';

const node = { id: 'n', userAgentName: 'test' };
const eds = typeUrls.endpoint;
const cds = typeUrls.cluster;
const lds = typeUrls.listener;

/** The ACK of `response`, which in this variant repeats the subscription. */
function ack(response: DiscoveryResponse, resourceNames: string[] = []): SotwRequest {
  const { typeUrl, nonce: responseNonce, versionInfo } = response;
  return { typeUrl, responseNonce, versionInfo, resourceNames };
}

function nack(response: DiscoveryResponse, versionInfo: string, resourceNames: string[] = []): SotwRequest {
  const { typeUrl, nonce: responseNonce } = response;
  const errorDetail = { code: 3, message: 'refused by the test' };
  return { typeUrl, responseNonce, versionInfo, resourceNames, errorDetail };
}

async function nextNames(stream: SotwStream): Promise<string[]> {
  return namesIn(await stream.next());
}

describe('ACK and NACK', () => {
  test('T1 error_detail alone makes a NACK, whatever the version says', async () => {
    await using t = await startPlane();
    t.plane.publish('n', [endpoints('a'), endpoints('b')]);
    const nacks: string[][] = [];
    t.plane.on('nack', verdict => nacks.push([...verdict.rejected]));
    const stream = t.client.sotw();
    stream.send({ node, typeUrl: eds, resourceNames: ['a'] });
    const first = await stream.next();
    stream.send(ack(first, ['a']));
    stream.send(ack(first, ['a', 'b']));
    const second = await stream.next();
    expect(second.versionInfo).toBe(first.versionInfo);
    stream.send(nack(second, first.versionInfo, ['a', 'b']));
    expect(await stream.rest()).toEqual([]);
    expect(nacks).toEqual([['b']]);
    expect(t.plane.status()[0]!.rejectedResources.map(r => r.name)).toEqual(['b']);
  });

  test('T2 after a NACK nothing is sent until something changes, then exactly one response', async () => {
    await using t = await startPlane();
    t.plane.publish('n', [cluster('a'), cluster('b')]);
    const stream = t.client.sotw();
    stream.send({ node, typeUrl: cds });
    const response = await stream.next();
    for (let i = 0; i < 3; i++) stream.send(nack(response, ''));
    expect(await stream.rest()).toEqual([]);
    t.plane.publish('n', [cluster('a'), cluster('b', 2)]);
    const changed = await stream.next();
    expect(namesIn(changed)).toEqual(['a', 'b']);
    stream.send(nack(changed, ''));
    expect(await stream.rest()).toEqual([]);
  });

  test('T2 probe 1: a client that NACKs every response at once gets one per change', async () => {
    await using t = await startPlane();
    t.plane.publish('n', [cluster('a'), cluster('b')]);
    const stream = t.client.sotw();
    stream.send({ node, typeUrl: cds });
    for (let edition = 2; edition < 5; edition++) {
      stream.send(nack(await stream.next(), ''));
      expect(await stream.rest()).toEqual([]);
      t.plane.publish('n', [cluster('a'), cluster('b', edition)]);
    }
  });

  test('T3 what was refused is offered again at the next change of the type', async () => {
    await using t = await startPlane();
    t.plane.publish('n', [endpoints('a'), endpoints('b')]);
    const stream = t.client.sotw();
    const wanted = ['a', 'b', 'c'];
    stream.send({ node, typeUrl: eds, resourceNames: wanted });
    stream.send(nack(await stream.next(), '', wanted));
    expect(await stream.rest()).toEqual([]);
    t.plane.publish('n', [endpoints('a'), endpoints('b'), endpoints('c')]);
    expect(await nextNames(stream)).toEqual(['a', 'b', 'c']);
  });

  test('T4 a request with a stale nonce is ignored entirely', async () => {
    await using t = await startPlane();
    t.plane.publish('n', [endpoints('a'), endpoints('b'), endpoints('c')]);
    const stream = t.client.sotw();
    stream.send({ node, typeUrl: eds, resourceNames: ['a'] });
    const first = await stream.next();
    stream.send(ack(first, ['a', 'b']));
    const second = await stream.next();
    stream.send(ack(first, ['a', 'b', 'c']));
    expect(await stream.rest()).toEqual([]);
    stream.send(ack(second, ['a', 'b', 'c']));
    expect(await nextNames(stream)).toEqual(['c']);
  });

  test('T6 the first request of a stream may carry nonce and version of an older one', async () => {
    await using t = await startPlane();
    t.plane.publish('n', [cluster('a')]);
    const stream = t.client.sotw();
    stream.send({ node, typeUrl: cds, versionInfo: 'old', responseNonce: 'zzz' });
    expect(await nextNames(stream)).toEqual(['a']);
  });

  test('T7 types on one stream have nonces of their own', async () => {
    await using t = await startPlane();
    t.plane.publish('n', [cluster('c'), listener('l', 1, 'c')]);
    const acks: string[] = [];
    t.plane.on('ack', verdict => acks.push(verdict.typeUrl));
    const stream = t.client.sotw();
    stream.send({ node, typeUrl: cds });
    const clusters = await stream.next();
    stream.send({ typeUrl: lds });
    const listeners = await stream.next();
    expect(listeners.typeUrl).toBe(lds);
    expect(listeners.nonce).not.toBe(clusters.nonce);
    stream.send(ack(clusters));
    stream.send(ack(listeners));
    expect(await stream.rest()).toEqual([]);
    expect(acks).toEqual([cds, lds]);
    // Both are idle again: a change of each is sent.
    t.plane.publish('n', [cluster('c', 2), listener('l', 1, 'c', 2)]);
    expect([(await stream.next()).typeUrl, (await stream.next()).typeUrl]).toEqual([cds, lds]);
  });
});

describe('naming', () => {
  test('T9 the four steps of the specification', async () => {
    await using t = await startPlane();
    t.plane.publish('n', [cluster('A'), cluster('B')]);
    const stream = t.client.sotw();
    stream.send({ node, typeUrl: cds });
    let last = await stream.next();
    expect(namesIn(last)).toEqual(['A', 'B']);
    stream.send(ack(last, ['*', 'A']));
    last = await stream.next();
    expect(namesIn(last)).toEqual(['A', 'B']);
    stream.send(ack(last, ['A']));
    expect(await stream.rest()).toEqual([]);
    t.plane.publish('n', [cluster('A'), cluster('B', 2)]);
    expect(await stream.rest(), 'B is no longer wanted').toEqual([]);
    t.plane.publish('n', [cluster('A', 2), cluster('B', 2)]);
    last = await stream.next();
    expect(namesIn(last)).toEqual(['A']);
    stream.send(ack(last, []));
    t.plane.publish('n', [cluster('A', 3), cluster('B', 3)]);
    expect(await stream.rest(), 'nothing is wanted').toEqual([]);
  });

  test('T15 a name new in the list is sent though the version did not change', async () => {
    await using t = await startPlane();
    t.plane.publish('n', [endpoints('foo'), endpoints('bar')]);
    const stream = t.client.sotw();
    stream.send({ node, typeUrl: eds, resourceNames: ['foo'] });
    const first = await stream.next();
    expect(namesIn(first)).toEqual(['foo']);
    stream.send(ack(first, ['foo', 'bar']));
    const second = await stream.next();
    expect(namesIn(second)).toContain('bar');
    expect(second.versionInfo).toBe(first.versionInfo);
  });

  test('T15 a name dropped and asked for again is sent again', async () => {
    await using t = await startPlane();
    t.plane.publish('n', [endpoints('foo'), endpoints('bar')]);
    const stream = t.client.sotw();
    stream.send({ node, typeUrl: eds, resourceNames: ['foo', 'bar'] });
    const first = await stream.next();
    stream.send(ack(first, ['foo']));
    stream.send(ack(first, ['foo', 'bar']));
    expect(await nextNames(stream)).toEqual(['bar']);
  });

  test('T16 of several requests only the latest counts', async () => {
    await using t = await startPlane();
    t.plane.publish(
      'n',
      ['a', 'b', 'c', 'd'].map(name => endpoints(name)),
    );
    const stream = t.client.sotw();
    stream.send({ node, typeUrl: eds, resourceNames: ['a'] });
    const first = await stream.next();
    stream.send(ack(first, ['a', 'b']));
    stream.send(ack(first, ['b', 'c']));
    stream.send(ack(first, ['c', 'd']));
    let last = await stream.next();
    const seen = new Set(namesIn(last));
    for (;;) {
      stream.send(ack(last, ['c', 'd']));
      const more = await stream.rest();
      if (more.length === 0) break;
      last = more.at(-1)!;
      for (const name of namesIn(last)) seen.add(name);
    }
    expect(seen).toContain('c');
    expect(seen).toContain('d');
    t.plane.publish(
      'n',
      ['a', 'b', 'c', 'd'].map(name => endpoints(name, 2)),
    );
    expect(await nextNames(stream)).toEqual(['c', 'd']);
  });

  test('T23 nothing is pushed after it was unsubscribed from', async () => {
    await using t = await startPlane();
    t.plane.publish('n', [endpoints('a'), endpoints('b')]);
    const stream = t.client.sotw();
    stream.send({ node, typeUrl: eds, resourceNames: ['a', 'b'] });
    const first = await stream.next();
    stream.send(ack(first, ['b']));
    await stream.rest();
    t.plane.publish('n', [endpoints('a', 2), endpoints('b', 2)]);
    expect(await nextNames(stream)).toEqual(['b']);
  });
});

describe('contents', () => {
  test('T13 listeners and clusters come as a whole, also when nothing is left', async () => {
    await using t = await startPlane();
    const all = Array.from({ length: 100 }, (_, i) => cluster(`c${i}`));
    t.plane.publish('n', all);
    const stream = t.client.sotw();
    stream.send({ node, typeUrl: cds });
    stream.send(ack(await stream.next()));
    t.plane.publish('n', [cluster('c0', 2), ...all.slice(1)]);
    const changed = await stream.next();
    expect(changed.resources).toHaveLength(100);
    stream.send(ack(changed));
    t.plane.publish('n', []);
    expect(await nextNames(stream)).toEqual([]);
  });

  test('T14 other types are never taken away: absence says nothing', async () => {
    await using t = await startPlane();
    t.plane.publish('n', [endpoints('a'), endpoints('b')]);
    const stream = t.client.sotw();
    stream.send({ node, typeUrl: eds, resourceNames: ['a', 'b'] });
    stream.send(ack(await stream.next(), ['a', 'b']));
    t.plane.publish('n', [endpoints('a')]);
    expect(await stream.rest()).toEqual([]);
    t.plane.publish('n', [endpoints('a'), endpoints('b')]);
    expect(await nextNames(stream), 'and one that comes back is sent').toEqual(['b']);
  });

  test('T17 a thousand publishes that change nothing send nothing', async () => {
    await using t = await startPlane();
    t.plane.publish('n', [cluster('a')]);
    const stream = t.client.sotw();
    stream.send({ node, typeUrl: cds });
    const response = await stream.next();
    for (let i = 0; i < 1000; i++) {
      stream.send(ack(response));
      t.plane.publish('n', [cluster('a')]);
    }
    expect(await stream.rest()).toEqual([]);
  });

  test('a listener asked for by name and absent is told by its absence', async () => {
    await using t = await startPlane();
    t.plane.publish('n', [cluster('c'), listener('other', 1, 'c')]);
    const stream = t.client.sotw();
    stream.send({ node, typeUrl: lds, resourceNames: ['ghost'] });
    const first = await stream.next();
    expect(namesIn(first)).toEqual([]);
    stream.send(ack(first, ['ghost']));
    t.plane.publish('n', [cluster('c'), listener('other', 1, 'c'), listener('ghost', 2, 'c')]);
    expect(await nextNames(stream)).toEqual(['ghost']);
  });
});
