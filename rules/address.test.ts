import { isIPv4 as nodeIsIPv4, isIPv6 as nodeIsIPv6 } from 'node:net';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  formatAddress,
  formatEndpoint,
  isIPv4,
  networkOf,
  parseAddress,
  parseEndpoint,
  parsePrefix,
  prefixContains,
} from './address.ts';

const bytes16 = fc.oneof(
  fc.uint8Array({ minLength: 16, maxLength: 16 }),
  // Runs of zero words, where RFC 5952's choice matters, and mapped addresses.
  fc
    .array(fc.constantFrom(0, 0, 0, 1, 0xabcd), { minLength: 8, maxLength: 8 })
    .map(words => Uint8Array.from(words.flatMap(word => [word >> 8, word & 255]))),
  fc.uint8Array({ minLength: 4, maxLength: 4 }).map(v4 => Uint8Array.from([...new Array(10).fill(0), 255, 255, ...v4])),
);

describe('addresses', () => {
  test.each([
    ['0.0.0.0', '0.0.0.0'],
    ['255.255.255.255', '255.255.255.255'],
    ['::', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['::ffff:10.0.0.1', '10.0.0.1'],
    ['::FFFF:a00:1', '10.0.0.1'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
    ['200::', '200::'],
  ])('%s is %s', (text, canonical) => {
    expect(formatAddress(parseAddress(text)!)).toBe(canonical);
  });

  test.each([
    '',
    '1',
    '1.2.3',
    '1.2.3.4.5',
    '01.2.3.4',
    '256.1.1.1',
    '1.2.3.4 ',
    ' 1.2.3.4',
    '1.2.3.-4',
    '1..2.3',
    ':',
    ':::',
    '1::2::3',
    '12345::',
    'g::',
    '::1%eth0',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7:8::',
    '::1.2.3',
    '1.2.3.4::',
    '::1.2.3.4:5',
    '[::1]',
    '1:2:3:4:5:6:7:1.2.3.4',
    '0x1.2.3.4',
    'localhost',
  ])('%j is none', text => {
    expect(parseAddress(text)).toBeUndefined();
  });

  test('agrees with Node on any text', () => {
    const text = fc.oneof(
      fc.string({ unit: fc.constantFrom(':', '.', '0', '1', '2', '5', 'f', '::', 'ffff', '255'), maxLength: 16 }),
      fc.ipV4(),
      fc.ipV6(),
    );
    fc.assert(
      fc.property(text, t => (parseAddress(t) !== undefined) === (nodeIsIPv4(t) || nodeIsIPv6(t))),
      { numRuns: 5000 },
    );
  });

  test('text and bytes round-trip', () => {
    fc.assert(
      fc.property(bytes16, bytes => {
        const text = formatAddress(bytes);
        expect(parseAddress(text)).toEqual(bytes);
        // WHATWG URL serialises IPv6 as RFC 5952 does.
        if (!isIPv4(bytes)) expect(`[${text}]`).toBe(new URL(`http://[${text}]/`).hostname);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('prefixes', () => {
  test.each([
    ['10.1.2.3/8', 104, '10.1.2.3/8', '10.0.0.0/8'],
    ['10.1.2.3', 128, '10.1.2.3/32', '10.1.2.3/32'],
    ['0.0.0.0/0', 96, '0.0.0.0/0', '0.0.0.0/0'],
    ['::/0', 0, '::/0', '::/0'],
    ['200::1/64', 64, '200::1/64', '200::/64'],
    ['200::1', 128, '200::1/128', '200::1/128'],
    ['::ffff:10.1.2.3/104', 104, '10.1.2.3/8', '10.0.0.0/8'],
    ['10.0.0.255/31', 127, '10.0.0.255/31', '10.0.0.254/31'],
  ])('%s', (text, length, canonical, network) => {
    const prefix = parsePrefix(text)!;
    expect(prefix.length).toBe(length);
    expect(prefix.text).toBe(canonical);
    expect(networkOf(prefix).text).toBe(network);
    expect(parsePrefix(prefix.text)).toEqual(prefix);
  });

  test.each([
    '',
    '/',
    '10.0.0.0/',
    '10.0.0.0/33',
    '10.0.0.0/08',
    '10.0.0.0/-1',
    '::/129',
    '::/',
    'a/8',
    '10.0.0/8',
    '10.0.0.0/8/8',
    '::1%lo/128',
  ])('%j is none', text => expect(parsePrefix(text)).toBeUndefined());

  test('contains what agrees in the first bits, within one family', () => {
    const bits = (bytes: Uint8Array, length: number) =>
      Array.from(bytes, b => b.toString(2).padStart(8, '0'))
        .join('')
        .slice(0, length);
    fc.assert(
      fc.property(bytes16, bytes16, fc.nat(128), fc.nat(128), (base, other, length, copied) => {
        // Make long agreements likely.
        const address = Uint8Array.from(other, (b, i) => (i < copied >> 3 ? base[i]! : b));
        const v4 = length >= 96 && isIPv4(base);
        const expected = v4 === isIPv4(address) && bits(base, length) === bits(address, length);
        expect(prefixContains({ address: base, length }, address)).toBe(expected);
      }),
      { numRuns: 5000 },
    );
  });

  test('::/0 has no IPv4 address in it', () => {
    expect(prefixContains(parsePrefix('::/0')!, parseAddress('10.0.0.1')!)).toBe(false);
    expect(prefixContains(parsePrefix('0.0.0.0/0')!, parseAddress('10.0.0.1')!)).toBe(true);
    expect(prefixContains(parsePrefix('0.0.0.0/0')!, parseAddress('::1')!)).toBe(false);
  });
});

describe('endpoints', () => {
  test.each([
    ['10.0.0.1:80', { host: '10.0.0.1', port: 80 }],
    ['[200::1]:8080', { host: '200::1', port: 8080 }],
    ['[fe80::1%eth0]:51820', { host: 'fe80::1%eth0', port: 51820 }],
    ['vpn.example.org:51820', { host: 'vpn.example.org', port: 51820 }],
  ])('%s', (text, endpoint) => {
    expect(parseEndpoint(text)).toEqual(endpoint);
    expect(formatEndpoint(endpoint.host, endpoint.port)).toBe(text);
  });

  test.each([
    '',
    ':80',
    '1.2.3.4',
    '1.2.3.4:',
    '1.2.3.4:0',
    '1.2.3.4:65536',
    '1.2.3.4:080',
    '::1:80',
    '[::1]',
    '[::1:80',
    '[name]:80',
    'a:b:1',
    '[]:1',
  ])('%j is none', text => expect(parseEndpoint(text)).toBeUndefined());
});
