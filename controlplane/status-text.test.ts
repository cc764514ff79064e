import { expect, test } from 'vitest';
import { typeUrls } from '../envoy/api/index.ts';
import { formatStatus } from './status-text.ts';

test('a node that refuses one listener', () => {
  const text = formatStatus(
    [
      {
        nodeId: 'laptop',
        connected: true,
        connectedAt: 0,
        publishedAt: 295_000,
        types: [
          { typeUrl: typeUrls.cluster, sent: 2, acked: 2, version: '0123456789abcdef', synced: true },
          {
            typeUrl: typeUrls.listener,
            sent: 2,
            acked: 1,
            version: 'fedcba9876543210',
            synced: false,
            rejected: { message: 'x', resources: ['egress/tcp/80'], at: 1 },
          },
        ],
        rejectedResources: [{ typeUrl: typeUrls.listener, name: 'egress/tcp/80', message: 'cannot bind:\n in use\n' }],
      },
      { nodeId: 'other', connected: false, types: [], rejectedResources: [] },
    ],
    300_000,
  );
  expect(text).toBe(
    [
      'laptop: connected for 5m, published 5s ago',
      '  clusters        2/2  01234567  in sync',
      '  listeners       1/2  fedcba98  1 refused',
      '  ! listeners egress/tcp/80: cannot bind:; in use',
      '',
      'other: not connected, nothing published',
      '',
    ].join('\n'),
  );
});

test('nobody there', () => {
  expect(formatStatus([], 0)).toBe('no nodes\n');
});
