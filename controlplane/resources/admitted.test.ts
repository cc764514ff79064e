import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatAddress, permits, prefixContains } from '../../rules/index.ts';
import { admittedPrefixes } from './admitted.ts';

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const texts = (allow: string[], deny: string[]) => admittedPrefixes({ allow, deny }).map(prefix => prefix.text);

test('the plain cases', () => {
  expect(texts([], [])).toEqual(['0.0.0.0/0', '::/0']);
  expect(texts(['10.0.0.0/8', '10.1.0.0/16', '10.0.0.0/8'], [])).toEqual(['10.0.0.0/8']);
  expect(texts(['10.0.0.0/30'], ['10.0.0.1'])).toEqual(['10.0.0.2/31', '10.0.0.0/32']);
  expect(texts(['10.0.0.0/8'], ['0.0.0.0/0'])).toEqual([]);
  expect(texts(['2001:db8::/127'], ['2001:db8::1'])).toEqual(['2001:db8::/128']);
});

const address = fc.oneof(
  fc
    .tuple(fc.constantFrom(10, 11, 192), fc.constantFrom(0, 128), fc.nat(3), fc.nat(255))
    .map(quad => Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, ...quad])),
  fc.array(fc.constantFrom(0, 0, 0, 1, 0x80), { minLength: 16, maxLength: 16 }).map(bytes => Uint8Array.from(bytes)),
);
const prefix = fc.tuple(address, fc.nat(128)).map(([bytes, length]) => {
  const text = formatAddress(bytes);
  return `${text}/${text.includes(':') ? length : length % 33}`;
});

test(`holds whom the policy permits, each once (seed ${seed})`, () => {
  const lists = fc.array(prefix, { maxLength: 4 });
  fc.assert(
    fc.property(lists, lists, fc.array(address, { minLength: 20, maxLength: 20 }), (allow, deny, sources) => {
      const admitted = admittedPrefixes({ allow, deny });
      for (const source of sources) {
        const holding = admitted.filter(one => prefixContains(one, source)).length;
        expect(holding, `${formatAddress(source)} allow ${allow} deny ${deny}`).toBe(
          permits({ allow, deny }, source) ? 1 : 0,
        );
      }
    }),
    { seed, numRuns: 1000 },
  );
});
