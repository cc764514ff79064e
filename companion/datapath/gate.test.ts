import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatAddress, permits } from '../../rules/index.ts';
import { Gate } from './gate.ts';

const address = fc.oneof(
  fc
    .tuple(fc.constantFrom(10, 192), fc.nat(3), fc.nat(1), fc.nat(255))
    .map(parts => Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, ...parts])),
  fc.tuple(fc.constantFrom(0, 0xfd), fc.nat(1), fc.nat(255)).map(([a, b, c]) => {
    const bytes = new Uint8Array(16);
    bytes.set([a, b]);
    bytes[15] = c;
    return bytes;
  }),
);
const prefix = fc.oneof(
  {
    weight: 9,
    arbitrary: fc.tuple(address, fc.nat(128)).map(([bytes, length]) => {
      const text = formatAddress(bytes);
      return `${text}/${text.includes(':') ? length : length % 33}`;
    }),
  },
  { weight: 1, arbitrary: fc.constantFrom('nonsense', '10.0.0.0/33', '') },
);

test('agrees with permits of rules/', () => {
  fc.assert(
    fc.property(fc.array(prefix, { maxLength: 3 }), fc.array(prefix, { maxLength: 3 }), address, (allow, deny, who) => {
      expect(new Gate({ allow, deny }).permits(who)).toBe(permits({ allow, deny }, who));
    }),
    { numRuns: 2000 },
  );
});
