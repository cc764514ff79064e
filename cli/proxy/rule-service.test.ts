import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Failure } from '../failure.ts';
import { StateStore } from '../state/index.ts';
import type { DataPath, Front, KeyReport, ServedKey } from './parts.ts';
import { RuleBook } from './rule-book.ts';
import { probeKeys, RuleService } from './rule-service.ts';

/** A data path and a front that fail when told to; the real ones cannot be made to at a chosen step. */
class Parts implements DataPath, Front {
  keys: ServedKey[] = [];
  served: string[] = [];
  changed: string[][] = [];
  failing: { dataPath?: string; front?: string } = {};
  slow = 0;

  async setProxyKeys(keys: ServedKey[]): Promise<KeyReport[]> {
    await sleep(this.slow);
    this.keys = keys;
    return keys.map(({ name }) =>
      name === this.failing.dataPath ? { name, ok: false, error: 'no' } : { name, ok: true },
    );
  }
  async prepare(keys: ServedKey[]): Promise<Map<string, number>> {
    return new Map(
      keys.filter(key => key.direction === 'ingress' && key.protocol === 'udp').map(key => [key.name, 40000]),
    );
  }
  async serve(keys: ServedKey[], _: KeyReport[], changed: ReadonlySet<string>): Promise<void> {
    if (keys.some(key => key.name === this.failing.front)) throw new Failure('refused by Envoy: bad');
    this.served = keys.map(key => key.name);
    this.changed.push([...changed]);
  }
  status(): never {
    throw new Error('not asked');
  }
  async close(): Promise<void> {}
}

let directory: string;
let parts: Parts;
let state: StateStore;
let service: RuleService;
const told: string[] = [];
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'nexd-rules-'));
  state = StateStore.open(directory, () => {});
  parts = new Parts();
  const book = RuleBook.fromFlags([], ['tcp:1:a:1']);
  if (!book.ok) throw new Error(book.error);
  service = new RuleService({
    book: book.book,
    policies: new Map([['ingress/udp/2', { allow: ['10.0.0.0/8'], deny: [] }]]),
    udpIdleSeconds: 5,
    probe: keys => probeKeys(keys, '127.0.0.1'),
    state,
    dataPath: parts,
    front: parts,
    log: (_, message) => told.push(message),
  });
  await service.start();
});
afterEach(() => rmSync(directory, { recursive: true }));

test('a key is made with its policy, idle time and port; what changed is told', async () => {
  await service.add('ingress', 'udp:2:b:2');
  expect(parts.keys.at(-1)).toEqual({
    name: 'ingress/udp/2',
    direction: 'ingress',
    protocol: 'udp',
    port: 2,
    destinations: [{ host: 'b', port: 2 }],
    policy: { allow: ['10.0.0.0/8'], deny: [] },
    udpIdleSeconds: 5,
    ingressUdpPort: 40000,
  });
  await service.add('ingress', 'udp:2:c:2');
  await service.remove('ingress', 'tcp:1:a:1');
  expect(parts.changed).toEqual([['ingress/tcp/1'], ['ingress/udp/2'], ['ingress/udp/2'], []]);
  expect(state.rules()).toEqual({ egress: [], ingress: ['udp:2:b:2', 'udp:2:c:2'] });
});

test.each(['dataPath', 'front'] as const)('refused by %s: all is as before', async who => {
  await service.add('ingress', 'tcp:3:a:3');
  const file = readFileSync(state.path, 'utf8');
  parts.failing[who] = 'ingress/tcp/4';
  await expect(service.add('ingress', 'tcp:4:a:4')).rejects.toThrow(
    who === 'front' ? 'refused by Envoy: bad' : 'ingress/tcp/4: no',
  );
  expect(parts.keys.map(key => key.name)).toEqual(['ingress/tcp/1', 'ingress/tcp/3']);
  expect(parts.served).toEqual(['ingress/tcp/1', 'ingress/tcp/3']);
  expect(service.list()).toEqual(['--ingress tcp:1:a:1', '--ingress tcp:3:a:3']);
  expect(readFileSync(state.path, 'utf8')).toBe(file);
});

test('not kept on disk: not served either', async () => {
  state.saveRules = () => {
    throw new Failure('the rules cannot be stored: no space left on device');
  };
  await expect(service.add('ingress', 'tcp:3:a:3')).rejects.toThrow('no space left');
  expect(parts.served).toEqual(['ingress/tcp/1']);
  expect(service.list()).toEqual(['--ingress tcp:1:a:1']);
});

test('a port in use is refused before anything is touched; one of our own is not probed', async () => {
  const server = createServer();
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const before = parts.changed.length;
  await expect(service.add('egress', `tcp:${port}:10.0.0.1:1`)).rejects.toThrow(
    `port ${port}/tcp is already in use on this machine`,
  );
  expect(parts.changed).toHaveLength(before);
  server.close();
});

test('changes at the same time come one after the other', async () => {
  parts.slow = 20;
  const results = await Promise.allSettled([
    service.add('ingress', 'tcp:5:a:5'),
    service.add('ingress', 'tcp:5:a:5'),
    service.remove('ingress', 'tcp:5:a:5'),
    service.add('ingress', 'tcp:6:a:6'),
  ]);
  expect(results.map(result => result.status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled']);
  expect(parts.served).toEqual(['ingress/tcp/1', 'ingress/tcp/6']);
});
