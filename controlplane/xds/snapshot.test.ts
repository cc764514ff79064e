import { expect, test } from 'vitest';
import { typeUrls } from '../../envoy/api/index.ts';
import { cluster, endpoints } from '../testing/resources.ts';
import { compareTypes, xdsTypes } from './order.ts';
import { takeSnapshot, typeOf } from './snapshot.ts';

const none = new Map<string, string>();

test('the version is that of the content, whatever the order', () => {
  const one = takeSnapshot([cluster('a'), cluster('b'), endpoints('a')], none);
  const other = takeSnapshot([endpoints('a'), cluster('b'), cluster('a')], none);
  expect(typeOf(one, xdsTypes.cluster).version).toBe(typeOf(other, xdsTypes.cluster).version);
  expect([...typeOf(other, xdsTypes.cluster).resources.keys()]).toEqual(['a', 'b']);
});

test('another name, another content or one less is another version', () => {
  const versions = [
    [cluster('a'), cluster('b')],
    [cluster('a'), cluster('c')],
    [cluster('a'), cluster('b', 2)],
    [cluster('a')],
    [],
  ].map(resources => typeOf(takeSnapshot(resources, none), xdsTypes.cluster).version);
  expect(new Set(versions).size).toBe(versions.length);
});

test('a type that did not change keeps its object', () => {
  const one = takeSnapshot([cluster('a'), endpoints('a')], none);
  const two = takeSnapshot([cluster('a'), endpoints('a', 2)], none, one);
  expect(typeOf(two, xdsTypes.cluster)).toBe(typeOf(one, xdsTypes.cluster));
  expect(typeOf(two, xdsTypes.endpoint)).not.toBe(typeOf(one, xdsTypes.endpoint));
  expect(typeOf(one, 'x')).toBe(typeOf(two, 'y'));
});

test('the types are those of the generated API', () => {
  expect(xdsTypes).toEqual(typeUrls);
});

test('types are served clusters first, unknown ones last', () => {
  const { cluster: cds, endpoint: eds, listener: lds, extension: ecds } = xdsTypes;
  expect(['x', lds, ecds, eds, cds].sort(compareTypes)).toEqual([cds, eds, lds, ecds, 'x']);
});
