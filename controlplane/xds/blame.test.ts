import { expect, test } from 'vitest';
import { blamed } from './blame.ts';

const names = ['egress/tcp/54', 'egress/tcp/5432', 'ingress/tcp/443', 'tcp/443'];

test.each([
  ["Error adding/updating listener(s) egress/tcp/5432: cannot bind '0.0.0.0:5432'\n", ['egress/tcp/5432']],
  ['Error adding/updating listener(s) egress/tcp/54: no\ningress/tcp/443: no', ['egress/tcp/54', 'ingress/tcp/443']],
  ['Error adding/updating cluster(s) egress/tcp/54: a, egress/tcp/5432: b', ['egress/tcp/54', 'egress/tcp/5432']],
  ['Unable to create Wasm plugin policy/egress/tcp/54', []],
  ['nothing is named', []],
  ['it was egress/tcp/54.', ['egress/tcp/54']],
  ["about 'tcp/443' and no other", ['tcp/443']],
  ['first egress/tcp/5432 and then egress/tcp/54', ['egress/tcp/54', 'egress/tcp/5432']],
])('%s', (message, expected) => {
  expect(blamed(message, names)).toEqual(expected);
});

test('an empty name blames nothing', () => {
  expect(blamed('anything', [''])).toEqual([]);
});
