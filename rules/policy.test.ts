import { expect, test } from 'vitest';
import { OPEN_POLICY, type Policy, parsePolicy, permits } from './policy.ts';

function policy(allow: string[], deny: string[]): Policy {
  const parsed = parsePolicy({ allow, deny });
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.policy;
}

test('canonical, without duplicates', () => {
  expect(policy(['10.1.2.3/8', '10.0.0.0/8', '200::1'], ['::ffff:10.0.0.5'])).toEqual({
    allow: ['10.0.0.0/8', '200::1/128'],
    deny: ['10.0.0.5/32'],
  });
});

test.each([
  [{ allow: ['10.0.0.0/33'] }, 'invalid allow prefix (10.0.0.0/33): not an address or CIDR'],
  [{ deny: ['all'] }, 'invalid deny prefix (all): not an address or CIDR'],
  [{ deny: [''] }, 'invalid deny prefix (): not an address or CIDR'],
])('%j', (texts, error) => expect(parsePolicy(texts)).toEqual({ ok: false, error }));

test.each([
  // allow, deny, address, may
  [[], [], '10.0.0.1', true],
  [['10.0.0.0/8'], [], '10.0.0.1', true],
  [['10.0.0.0/8'], [], '11.0.0.1', false],
  [['10.0.0.0/8'], ['10.0.0.1'], '10.0.0.1', false],
  [['10.0.0.1'], ['10.0.0.0/8'], '10.0.0.1', false],
  [[], ['10.0.0.0/8'], '11.0.0.1', true],
  [[], ['10.0.0.0/8'], '::ffff:10.0.0.1', false],
  [['0.0.0.0/0'], [], '::1', false],
  [['::/0'], [], '10.0.0.1', false],
  [[], [], 'not an address', false],
  [[], [], '', false],
] as [string[], string[], string, boolean][])('allow %j deny %j: %s %s', (allow, deny, address, may) => {
  expect(permits(policy(allow, deny), address)).toBe(may);
});

test('text that did not come through parsePolicy closes the door', () => {
  expect(permits({ allow: [], deny: ['garbage'] }, '10.0.0.1')).toBe(false);
  expect(permits({ allow: ['garbage'], deny: [] }, '10.0.0.1')).toBe(false);
  expect(permits(OPEN_POLICY, '10.0.0.1')).toBe(true);
});
