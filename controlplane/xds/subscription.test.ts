import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Subscription } from './subscription.ts';

function state(subscription: Subscription): string {
  return [...(subscription.wildcard ? ['*'] : []), ...[...subscription.names].sort()].join(' ');
}

describe('state of the world', () => {
  test('the four steps of the specification', () => {
    const s = new Subscription();
    expect(s.replace([])).toEqual({ ask: [], wildcardStarted: true, narrowed: false });
    expect(state(s)).toBe('*');
    expect(s.replace(['*', 'A'])).toEqual({ ask: ['A'], wildcardStarted: false, narrowed: false });
    expect(state(s)).toBe('* A');
    expect(s.replace(['A'])).toEqual({ ask: [], wildcardStarted: false, narrowed: true });
    expect(state(s)).toBe('A');
    expect(s.replace([])).toEqual({ ask: [], wildcardStarted: false, narrowed: true });
    expect(state(s)).toBe('');
    expect(s.wants('A')).toBe(false);
  });

  test('empty lists repeated keep the wildcard', () => {
    const s = new Subscription();
    s.replace([]);
    expect(s.replace([])).toEqual({ ask: [], wildcardStarted: false, narrowed: false });
    expect(state(s)).toBe('*');
  });

  test('a name first: an empty list then is an unsubscription', () => {
    const s = new Subscription();
    s.replace(['A']);
    s.replace([]);
    expect(state(s)).toBe('');
  });

  test('any sequence means what its last request says, once something was named', () => {
    const requests = fc.array(fc.subarray(['*', 'a', 'b', 'c']), { minLength: 1 });
    fc.assert(
      fc.property(requests, lists => {
        const s = new Subscription();
        let before = new Set<string>();
        for (const list of lists) {
          const { ask } = s.replace(list);
          expect(ask).toEqual(list.filter(name => name !== '*' && !before.has(name)));
          before = new Set(list);
        }
        const last = lists.at(-1)!;
        const named = lists.some(list => list.length > 0);
        expect(s.wildcard).toBe(named ? last.includes('*') : true);
        for (const name of ['a', 'b', 'c']) expect(s.names.has(name)).toBe(last.includes(name));
      }),
    );
  });
});

describe('incremental', () => {
  test('the four steps of the specification', () => {
    const s = new Subscription();
    expect(s.change([], [])).toEqual({ ask: [], wildcardStarted: true, narrowed: false });
    expect(s.change(['A'], [])).toEqual({ ask: ['A'], wildcardStarted: false, narrowed: false });
    expect(state(s)).toBe('* A');
    expect(s.change([], ['*'])).toEqual({ ask: [], wildcardStarted: false, narrowed: true });
    expect(state(s)).toBe('A');
    expect(s.change([], ['A'])).toEqual({ ask: [], wildcardStarted: false, narrowed: true });
    expect(state(s)).toBe('');
    expect(s.change([], [])).toEqual({ ask: [], wildcardStarted: false, narrowed: false });
    expect(state(s)).toBe('');
  });

  test('the legacy wildcard can be ended by its name', () => {
    const s = new Subscription();
    s.change([], []);
    s.change([], ['*']);
    s.change([], []);
    expect(state(s)).toBe('');
  });

  test('every subscription asks, also to a name that is subscribed to already', () => {
    const s = new Subscription();
    expect(s.change(['A'], []).ask).toEqual(['A']);
    expect(s.change(['A'], []).ask).toEqual(['A']);
  });

  test('an unsubscription asks only under a wildcard, and only for what was subscribed to', () => {
    const s = new Subscription();
    s.change(['*', 'A'], []);
    expect(s.change([], ['A', 'B']).ask).toEqual(['A']);
    s.change(['A'], ['*']);
    expect(s.change([], ['A']).ask).toEqual([]);
  });

  test('the wildcard that comes after names starts', () => {
    const s = new Subscription();
    expect(s.change(['A'], []).wildcardStarted).toBe(false);
    expect(s.change(['*'], []).wildcardStarted).toBe(true);
    expect(s.change(['*'], []).wildcardStarted).toBe(false);
  });
});
