import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { formatAddress, formatEndpoint, type Policy, parsePrefix, permits } from '../rules/index.ts';
import { compileFilter } from './testing/build.ts';
import { FilterHost } from './testing/host.ts';

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
let folder: string;
let module: WebAssembly.Module;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'nexodus-filter-'));
  compileFilter('assembly/index.ts', join(folder, 'filter.wasm'));
  module = new WebAssembly.Module(readFileSync(join(folder, 'filter.wasm')));
});
afterAll(() => rmSync(folder, { recursive: true }));

function configuration(policy: Partial<Policy> = {}, key = 'egress/tcp/5432'): string {
  return JSON.stringify({ key, allow: [], deny: [], ...policy });
}

function configured(host: FilterHost, text: string): number {
  const result = host.configure(text);
  if (!result.ok) throw new Error(result.error);
  return result.root;
}

test('imports only what Envoy offers, and no data callback is exported', () => {
  expect(WebAssembly.Module.imports(module).every(i => i.module === 'env' && i.name.startsWith('proxy_'))).toBe(true);
  const names = WebAssembly.Module.exports(module).map(e => e.name);
  expect(names).toContain('proxy_abi_version_0_2_1');
  expect(names.filter(name => name.endsWith('_data'))).toEqual([]);
});

test('an admitted connection carries its key; a denied one is closed, counted and logged', () => {
  const host = new FilterHost(module);
  const root = configured(host, configuration({ allow: ['10.0.0.0/8'], deny: ['10.9.0.0/16'] }));
  const admitted = host.connect(root, { 'source.address': '10.1.2.3:4567' });
  expect(admitted).toEqual({
    admitted: true,
    closed: false,
    filterState: new Map([['wasm.nexodus.key', 'egress/tcp/5432']]),
  });
  const peer = { 'metadata.filter_metadata.nexodus.peer_public_key': 'cGVlcg==' };
  const denied = host.connect(root, { 'source.address': '10.9.2.3:4567', ...peer });
  expect(denied).toEqual({ admitted: false, closed: true, filterState: new Map() });
  expect(host.logs.at(-1)).toEqual({ level: 2, message: 'denied egress/tcp/5432 from 10.9.2.3:4567 peer cGVlcg==' });
  expect([...host.metrics]).toEqual([
    ['nexodus.egress/tcp/5432.allowed', 1],
    ['nexodus.egress/tcp/5432.denied', 1],
  ]);
});

test('denials are written ten a second for each key, and all are counted', () => {
  const host = new FilterHost(module);
  const keys = ['a', 'b'].map(key => configured(host, configuration({ deny: ['::/0'] }, key)));
  const deny = (key: number) => host.connect(key, { 'source.address': '[::1]:5' });
  for (let i = 0; i < 25; i++) deny(keys[0]!);
  deny(keys[1]!);
  expect(host.logs.map(({ message }) => message)).toEqual([
    ...new Array(10).fill('denied a from [::1]:5'),
    'denied b from [::1]:5',
  ]);
  host.now += 999_999_999n;
  deny(keys[0]!);
  host.now += 1n;
  deny(keys[0]!);
  deny(keys[0]!);
  expect(host.logs.slice(11).map(({ message }) => message)).toEqual([
    'denied a from [::1]:5, and 16 before',
    'denied a from [::1]:5',
  ]);
  expect(host.metrics.get('nexodus.a.denied')).toBe(28);
  // The clock is set back: not to be silent until the old time comes again.
  host.now -= 86_400_000_000_000n;
  deny(keys[0]!);
  expect(host.logs).toHaveLength(14);
});

test.each([
  '/run/client.sock',
  '@',
  '',
  '10.1.2.3',
  '10.1.2.256:1',
  '[::1',
  '[1::2::3]:4',
  'envoy://internal_client_address/',
])('a source that is no IP address (%s) is denied even when everybody may', address => {
  const host = new FilterHost(module);
  const root = configured(host, configuration());
  expect(host.connect(root, { 'source.address': address }).admitted).toBe(false);
  expect(host.connect(root, {}).admitted).toBe(false);
  expect(host.connect(root, { 'source.address': '[fe80::1%eth0]:4' }).admitted).toBe(true);
});

test.each([
  ['', 'none given'],
  ['[]', 'not the expected JSON object: expected { at character 0'],
  ['{"key":"a","allow":[],"deny":[]} x', 'not the expected JSON object: text after the end at character 33'],
  ['{"key":"a","allow":[]}', '"deny": missing'],
  ['{"key":"a","allow":[],"deny":[],"dney":[]}', '"dney": unknown field'],
  ['{"key":"a","allow":[],"allow":[],"deny":[]}', '"allow": given twice'],
  ['{"key":"a","allow":["10.0.0.0/33"],"deny":[]}', '"allow": "10.0.0.0/33" is not a CIDR'],
  ['{"key":"a","allow":[],"deny":["10.0.0/8"]}', '"deny": "10.0.0/8" is not a CIDR'],
  ['{"key":"a","allow":[],"deny":["::/129"]}', '"deny": "::/129" is not a CIDR'],
  ['{"key":"a","allow":[],"deny":["10.0.0.0/08"]}', '"deny": "10.0.0.0/08" is not a CIDR'],
  ['{"key":"a","allow":["",],"deny":[]}', '"allow": expected a string at character 23'],
  ['{"key":"-","allow":[],"deny":[]}', '"key": must have 1 to 128 characters and not be "-"'],
  ['{"key":"a b","allow":[],"deny":[]}', '"key": only letters, digits and ._/- are allowed'],
  ['{"key":1,"allow":[],"deny":[]}', '"key": expected a string at character 7'],
  ['{"key":"\\q","allow":[],"deny":[]}', '"key": bad string at character 7'],
  ['{"key":"a","allow":[],"deny":[],}', 'not the expected JSON object: expected a string at character 32'],
])('refuses the configuration %s', (text, error) => {
  const host = new FilterHost(module);
  const result = host.configure(text);
  expect(result).toEqual({ ok: false, error: `configuration rejected: ${error}` });
  // A root context without a rule admits nobody.
  expect(host.connect(1, { 'source.address': '10.1.2.3:1' })).toMatchObject({ admitted: false, closed: true });
});

test(`reads JSON as JSON.parse does (seed ${seed})`, () => {
  const host = new FilterHost(module);
  const text = fc.oneof(
    fc.string({ unit: fc.constantFrom(...'{}[],:"\\u0041ek \n') }),
    fc.constantFrom('"allow":[]', '"key":"a"', '"deny":["::/0"]'),
  );
  fc.assert(
    fc.property(fc.array(text, { maxLength: 5 }), fc.constantFrom(',', ' ', ''), (parts, glue) => {
      const json = `{${parts.join(glue)}}`;
      const accepted = host.configure(json).ok;
      let readable = true;
      try {
        JSON.parse(json);
      } catch {
        readable = false;
      }
      // Stricter than JSON.parse is right, laxer is not.
      return readable || !accepted;
    }),
    { seed, numRuns: 3000 },
  );
  const key = fc.string({ unit: fc.constantFrom(...'abcXYZ019._/-'), minLength: 2, maxLength: 128 });
  fc.assert(
    fc.property(key, fc.boolean(), (name, escaped) => {
      const text = escaped
        ? `"${[...name].map(c => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')}"`
        : JSON.stringify(name);
      const root = configured(host, ` { "deny" : [ ] ,\t"allow":[],\r\n"key":${text}} `);
      return host.connect(root, { 'source.address': '[::1]:1' }).filterState.get('wasm.nexodus.key') === name;
    }),
    { seed, numRuns: 300 },
  );
});

// Addresses near each other, so that prefixes of every length both match and miss.
const address = fc.oneof(
  fc
    .tuple(fc.constantFrom(10, 11, 192), fc.constantFrom(0, 128), fc.nat(255), fc.nat(255))
    .map(quad => Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, ...quad])),
  fc
    .array(fc.constantFrom(0, 0, 0, 1, 0x20, 0xff), { minLength: 16, maxLength: 16 })
    .map(bytes => Uint8Array.from(bytes)),
);
const prefix = fc.tuple(address, fc.nat(128)).map(([bytes, length]) => {
  const text = formatAddress(bytes);
  return `${text}/${text.includes(':') ? length : length % 33}`;
});

test(`decides as rules/policy does (seed ${seed})`, () => {
  fc.assert(
    fc.property(
      fc.array(prefix, { maxLength: 4 }),
      fc.array(prefix, { maxLength: 3 }),
      fc.array(address, { minLength: 10, maxLength: 10 }),
      (allow, deny, sources) => {
        const host = new FilterHost(module);
        const root = configured(host, configuration({ allow, deny }));
        for (const source of sources) {
          const text = formatAddress(source);
          const { admitted } = host.connect(root, { 'source.address': formatEndpoint(text, 4321) });
          expect(admitted, `${text} allow ${allow} deny ${deny}`).toBe(permits({ allow, deny }, source));
        }
      },
    ),
    { seed, numRuns: 400 },
  );
});

test(`accepts the same prefix texts as rules/address (seed ${seed})`, () => {
  const host = new FilterHost(module);
  const noise = fc.string({ unit: fc.constantFrom(...'0123459afF:::./%'), maxLength: 24 });
  const mutated = fc
    .tuple(prefix, fc.nat(20), fc.constantFrom('', ':', '.', '0', '/', '::', 'g'))
    .map(([text, at, insert]) => {
      return text.slice(0, at) + insert + text.slice(at + 1);
    });
  fc.assert(
    fc.property(fc.oneof(noise, mutated, prefix), text => {
      expect(host.configure(configuration({ allow: [text] })).ok, text).toBe(parsePrefix(text) !== undefined);
    }),
    { seed, numRuns: 6000 },
  );
});

test('200,000 connections and 2,000 configurations leave no memory behind', () => {
  const host = new FilterHost(module);
  const policy = { allow: ['10.0.0.0/8', '2001:db8::/32'], deny: ['10.9.0.0/16'] };
  const round = (connections: number, configurations: number) => {
    for (let i = 0; i < configurations; i++) {
      const root = configured(host, configuration(policy));
      for (let j = 0; j < connections / configurations; j++) {
        host.connect(root, { 'source.address': j % 4 === 0 ? '10.9.0.1:1' : '[2001:db8::1]:65535' });
      }
      host.exports.proxy_on_delete(root);
      host.logs.length = 0;
    }
  };
  round(20_000, 200);
  const before = host.exports.memory.buffer.byteLength;
  round(200_000, 2000);
  expect(host.exports.memory.buffer.byteLength).toBe(before);
  expect(host.definitions).toBe(2);
});
