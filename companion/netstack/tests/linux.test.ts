import { execFileSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

/** The kernel's TCP as peer. Needs root, `ip` and a TUN: elsewhere it says so and is skipped. */
const missing = ((): string | undefined => {
  if (process.getuid?.() !== 0) return 'not root';
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
    execFileSync('ip', ['netns', 'list'], { stdio: 'ignore' });
  } catch {
    return 'no TUN or no network namespaces';
  }
  return undefined;
})();
if (missing !== undefined) console.warn(`SKIPPED: Linux TCP as peer: ${missing}`);

const namespace = `netstack-${process.pid}`;
const peer = new URL('../testing/linux-peer.ts', import.meta.url).pathname;

function run(scenario: string, loss = 0, bytes = 20_000_000, control = 'cubic'): Record<string, unknown> {
  const output = execFileSync(
    'ip',
    ['netns', 'exec', namespace, process.execPath, peer, scenario, String(loss), String(bytes), control],
    {
      encoding: 'utf8',
      timeout: 60_000,
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  return JSON.parse(output) as Record<string, unknown>;
}

describe.skipIf(missing !== undefined)('Linux TCP over a TUN', () => {
  beforeAll(() => {
    execFileSync('ip', ['netns', 'add', namespace]);
  });
  afterAll(() => {
    execFileSync('ip', ['netns', 'del', namespace]);
  });

  for (const control of ['cubic', 'bbr']) {
    describe(control, () => {
      test('bulk both ways at once', () => {
        expect(run('bulk', 0, 20_000_000, control)['error']).toBeUndefined();
      });
      test('bulk over IPv6', () => {
        expect(run('bulk6', 0, 5_000_000, control)['error']).toBeUndefined();
      });
      test('1 % loss, both ways', () => {
        expect(run('bulk', 0.01, 3_000_000, control)['error']).toBeUndefined();
      });
    });
  }

  test('we dial: upload and download', () => {
    expect(run('upload')['error']).toBeUndefined();
    expect(run('download')['error']).toBeUndefined();
  });

  test('500 connections at once, half of IPv6', () => {
    expect(run('many')).toMatchObject({ count: 500 });
  });

  test('refusal, reset, zero window', () => {
    expect(run('manners')).toMatchObject({
      refused: 'refused',
      refusedByUs: 'ECONNREFUSED',
      resetByUs: 'ECONNRESET',
      resetByThem: 'reset',
      slow: true,
    });
  });
});
