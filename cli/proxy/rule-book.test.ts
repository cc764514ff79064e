import { expect, test } from 'vitest';
import { formatRuleFlag } from '../../rules/index.ts';
import { RuleBook } from './rule-book.ts';

const flags = (book: RuleBook) => book.rules().map(formatRuleFlag);
function fromFlags(egress: string[], ingress: string[] = []): RuleBook {
  const made = RuleBook.fromFlags(egress, ingress);
  if (!made.ok) throw new Error(made.error);
  return made.book;
}

test('flags: egress first; the first bad one is named', () => {
  expect(flags(fromFlags(['tcp:1:10.0.0.1:1'], ['tcp:2:a:2']))).toEqual([
    '--egress tcp:1:10.0.0.1:1',
    '--ingress tcp:2:a:2',
  ]);
  expect(RuleBook.fromFlags(['tcp:1:10.0.0.1:1'], ['tcp:x:a:2'])).toMatchObject({ ok: false });
});

test('the same rule twice, however it is written', () => {
  const error = 'port already in use by another proxy rule';
  expect(RuleBook.fromFlags(['tcp:1:10.0.0.1:1', 'TCP:01:10.0.0.1:+1'], [])).toEqual({
    ok: false,
    error: `Failed to add egress proxy rule (TCP:01:10.0.0.1:+1): ${error}`,
  });
  const book = fromFlags(['tcp:1:10.0.0.1:1']);
  expect(book.add('egress', 'tcp:1:10.0.0.1:1', 'stored')).toEqual({ ok: false, error });
  // Another destination shares the port; the other direction has nothing to do with it.
  expect(book.add('egress', 'tcp:1:10.0.0.2:1', 'stored').ok).toBe(true);
  expect(book.add('ingress', 'tcp:1:10.0.0.1:1', 'stored').ok).toBe(true);
});

test('stored rules join: one that is a flag too is one rule; what does not parse or cannot work is set aside', () => {
  const { book, setAside } = fromFlags(['tcp:1:10.0.0.1:1']).withStored({
    egress: ['tcp:1:10.0.0.1:1', 'tcp:2:10.0.0.1:2', 'tcp:3:name:3'],
    ingress: ['udp:4:name:4', 'nonsense'],
  });
  expect(flags(book)).toEqual(['--egress tcp:1:10.0.0.1:1', '--ingress udp:4:name:4', '--egress tcp:2:10.0.0.1:2']);
  expect(book.stored()).toEqual({ egress: ['tcp:1:10.0.0.1:1', 'tcp:2:10.0.0.1:2'], ingress: ['udp:4:name:4'] });
  expect(setAside).toEqual([
    {
      direction: 'ingress',
      rule: 'nonsense',
      reason: 'invalid proxy rule format, must specify 4 colon-separated values (nonsense)',
    },
    {
      direction: 'egress',
      rule: 'tcp:3:name:3',
      reason: expect.stringContaining('an egress destination must be an IP address'),
    },
  ]);
});

test('only what was added at run time is stored; removing takes flags too; a book never changes', () => {
  const flag = fromFlags(['tcp:1:10.0.0.1:1']);
  const added = flag.add('ingress', 'TCP:2:a:2', 'stored');
  expect(added.ok && added.book.stored()).toEqual({ egress: [], ingress: ['tcp:2:a:2'] });
  expect(flags(flag)).toHaveLength(1);
  const removed = added.ok ? added.book.remove('egress', 'tcp:01:10.0.0.1:1') : added;
  expect(removed.ok && flags(removed.book)).toEqual(['--ingress tcp:2:a:2']);
  expect(flag.remove('ingress', 'tcp:1:10.0.0.1:1')).toEqual({
    ok: false,
    error: 'no matching ingress proxy rule found: tcp:1:10.0.0.1:1',
  });
});
