import { expect, test } from 'vitest';
import { parseProxyKeyName, proxyKeyName, proxyKeys } from './proxy-key.ts';
import { type Direction, type ProxyRule, parseRule } from './rule.ts';

function rules(...texts: string[]): ProxyRule[] {
  return texts.map(text => {
    const [direction, rule] = text.split(' ') as [Direction, string];
    const parsed = parseRule(direction, rule);
    if (!parsed.ok) throw new Error(parsed.error);
    return parsed.rule;
  });
}

test('rules of one listener share a key, in the order of their first rule; equal destinations count once', () => {
  const keys = proxyKeys(
    rules(
      'ingress tcp:80:127.0.0.1:8080',
      'egress tcp:80:10.0.0.1:80',
      'egress udp:80:10.0.0.1:80',
      'egress TCP:080:10.0.0.2:80',
      'egress tcp:80:10.0.0.1:80',
      'egress tcp:80:10.0.0.1:81',
    ),
  );
  expect(keys).toEqual([
    {
      name: 'ingress/tcp/80',
      direction: 'ingress',
      protocol: 'tcp',
      port: 80,
      destinations: [{ host: '127.0.0.1', port: 8080 }],
    },
    {
      name: 'egress/tcp/80',
      direction: 'egress',
      protocol: 'tcp',
      port: 80,
      destinations: [
        { host: '10.0.0.1', port: 80 },
        { host: '10.0.0.2', port: 80 },
        { host: '10.0.0.1', port: 81 },
      ],
    },
    {
      name: 'egress/udp/80',
      direction: 'egress',
      protocol: 'udp',
      port: 80,
      destinations: [{ host: '10.0.0.1', port: 80 }],
    },
  ]);
});

test('the keys do not share objects with the rules', () => {
  const given = rules('egress tcp:80:10.0.0.1:80');
  proxyKeys(given)[0]!.destinations[0]!.host = 'changed';
  expect(given[0]!.destination.host).toBe('10.0.0.1');
});

test.each([
  ['egress/tcp/5432', 'egress/tcp/5432'],
  ['egress:tcp:5432', 'egress/tcp/5432'],
  ['Ingress/UDP/1', 'ingress/udp/1'],
])('name %s', (text, name) => expect(parseProxyKeyName(text)).toBe(name));

test.each([
  '',
  'egress',
  'egress/tcp',
  'egress/tcp:80',
  'egress/tcp/0',
  'egress/tcp/65536',
  'egress/sctp/80',
  'out/tcp/80',
  'egress/tcp/80/',
])('no name: %j', text => expect(parseProxyKeyName(text)).toBeUndefined());

test('a key prints as its own name', () => {
  expect(parseProxyKeyName(proxyKeyName({ direction: 'ingress', protocol: 'udp', port: 53 }))).toBe('ingress/udp/53');
});
