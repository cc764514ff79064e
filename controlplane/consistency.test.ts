import { create, toBinary } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import {
  ListenerSchema,
  pack,
  TcpProxySchema,
  typeUrls,
  UdpProxyConfigSchema,
  RouteSchema as UdpRouteSchema,
} from '../envoy/api/index.ts';
import { checkConsistency } from './consistency.ts';
import { makeResource, type Resource } from './resources/resource.ts';
import { cluster, edsCluster, endpoints, extension, listener, resource } from './testing/resources.ts';

function errorsOf(resources: Resource[], known?: ReadonlySet<string>): readonly string[] {
  const result = checkConsistency(resources, known);
  return result.ok ? [] : result.errors;
}

test('a rule as a whole is consistent, and says whose endpoints are whose', () => {
  const result = checkConsistency([listener('l', 1, 'c'), edsCluster('c'), endpoints('c'), cluster('static')]);
  expect(result).toEqual({ ok: true, endpointsOf: new Map([['c', 'c']]) });
});

test('what is referenced must be there', () => {
  expect(errorsOf([listener('l', 1, 'c')])).toEqual(['Listener l: no cluster c']);
  expect(errorsOf([listener('l', 1, 'c')], new Set(['c']))).toEqual([]);
  expect(errorsOf([edsCluster('c')])).toEqual(['Cluster c: no endpoints c']);
});

test('an extension configuration must be there', () => {
  const guarded = resource(ListenerSchema, 'l', {
    name: 'l',
    filterChains: [{ filters: [{ name: 'policy/l', configType: { case: 'configDiscovery', value: {} } }] }],
  });
  expect(errorsOf([guarded])).toEqual(['Listener l: no extension configuration policy/l']);
  expect(errorsOf([guarded, extension('policy/l')])).toEqual([]);
});

test('clusters are found wherever a listener names them', () => {
  const weighted = resource(ListenerSchema, 'tcp', {
    name: 'tcp',
    defaultFilterChain: {
      filters: [
        {
          name: 'tcp',
          configType: {
            case: 'typedConfig',
            value: pack(TcpProxySchema, {
              statPrefix: 'x',
              clusterSpecifier: {
                case: 'weightedClusters',
                value: {
                  clusters: [
                    { name: 'one', weight: 1 },
                    { name: 'two', weight: 1 },
                  ],
                },
              },
            }),
          },
        },
      ],
    },
  });
  const route = pack(UdpRouteSchema, { cluster: 'three' });
  const matched = resource(ListenerSchema, 'udp', {
    name: 'udp',
    listenerFilters: [
      {
        name: 'udp',
        configType: {
          case: 'typedConfig',
          value: pack(UdpProxyConfigSchema, {
            statPrefix: 'x',
            routeSpecifier: {
              case: 'matcher',
              value: { onNoMatch: { onMatch: { case: 'action', value: { name: 'route', typedConfig: route } } } },
            },
          }),
        },
      },
    ],
  });
  expect(errorsOf([weighted, matched])).toEqual([
    'Listener tcp: no cluster one',
    'Listener tcp: no cluster two',
    'Listener udp: no cluster three',
  ]);
});

test('two listeners on one address are refused, of different protocols not', () => {
  const c = cluster('c');
  expect(errorsOf([c, listener('a', 80, 'c'), listener('b', 80, 'c')])).toEqual([
    'Listener b: a listens on TCP 127.0.0.1:80 too',
  ]);
  const udp = resource(ListenerSchema, 'u', {
    name: 'u',
    address: {
      address: {
        case: 'socketAddress',
        value: { protocol: 1, address: '127.0.0.1', portSpecifier: { case: 'portValue', value: 80 } },
      },
    },
  });
  expect(errorsOf([c, listener('a', 80, 'c'), udp])).toEqual([]);
});

test('names are unique, per type', () => {
  expect(errorsOf([cluster('a'), cluster('a', 2)])).toEqual(['Cluster a: the name is used twice']);
  expect(errorsOf([cluster('a'), endpoints('a')])).toEqual([]);
});

test('a resource goes by the name that its message has', () => {
  const { any } = cluster('inside');
  expect(errorsOf([makeResource(typeUrls.cluster, 'outside', any)])).toEqual([
    'Cluster outside: the message calls itself "inside"',
  ]);
});

test('bytes of no message are refused', () => {
  const [error] = errorsOf([makeResource(typeUrls.listener, 'l', Uint8Array.of(0xff, 0xff, 0xff))]);
  expect(error).toContain('Listener l: not a message of its type');
});

test('types that we know nothing of are taken as they are', () => {
  const any = toBinary(ListenerSchema, create(ListenerSchema, { name: 'x' }));
  expect(errorsOf([makeResource('type.googleapis.com/nexodus.v1.Peer', 'p', any)])).toEqual([]);
});
