import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { afterEach, expect, test } from 'vitest';
import { bytesOf } from '../testing/host.ts';
import { readSegment, writeSegment } from '../testing/segment.ts';

interface Line {
  ok: boolean;
  now: number;
  tx: string[];
  events: { conn: number; type: string }[];
  [field: string]: unknown;
}

const children: ReturnType<typeof spawn>[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill();
});

/** `drive.ts` as a process of its own, as a foreign suite has it. */
function drive(): (op: object | string) => Promise<Line> {
  const child = spawn(process.execPath, [new URL('../drive.ts', import.meta.url).pathname], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  children.push(child);
  const lines = createInterface({ input: child.stdout! });
  return async op => {
    child.stdin!.write((typeof op === 'string' ? op : JSON.stringify(op)) + '\n');
    const [line] = (await once(lines, 'line')) as [string];
    return JSON.parse(line) as Line;
  };
}

test('a connection from SYN to TIME-WAIT over JSON lines', async () => {
  const run = drive();
  expect(await run({ op: 'init', addresses: ['10.0.0.1/24'], mtu: 1420, seed: '00ff', now: 0 })).toEqual({
    ok: true,
    now: 0,
    tx: [],
    events: [],
  });
  const opened = await run({ op: 'connect', to: '10.0.0.2:80' });
  const conn = opened['conn'] as number;
  const syn = readSegment(Buffer.from(opened.tx[0]!, 'base64'));
  expect(syn.flags).toBe('S');
  const peer = {
    source: bytesOf('10.0.0.2'),
    destination: bytesOf('10.0.0.1'),
    sourcePort: 80,
    destinationPort: syn.sourcePort,
    window: 65_535,
    data: new Uint8Array(),
  };
  const packet = (fields: object) =>
    Buffer.from(writeSegment({ ...peer, seq: 100, ack: (syn.seq + 1) >>> 0, flags: 'A', ...fields })).toString(
      'base64',
    );
  const connected = await run({ op: 'rx', packet: packet({ flags: 'SA', mss: 1380 }) });
  expect(connected.events).toEqual([{ conn, type: 'connected' }]);
  expect(connected.tx.length).toBe(1);
  const sent = await run({ op: 'send', conn, data: Buffer.from('hello').toString('base64') });
  expect(sent['sent']).toBe(5);
  expect(Buffer.from(readSegment(Buffer.from(sent.tx[0]!, 'base64')).data).toString()).toBe('hello');
  const arrived = await run({
    op: 'rx',
    packet: packet({ seq: 101, ack: (syn.seq + 6) >>> 0, data: Buffer.from('world') }),
  });
  expect(arrived.events).toEqual([{ conn, type: 'readable' }]);
  expect(await run({ op: 'recv', conn, max: 100 })).toMatchObject({
    ok: true,
    data: Buffer.from('world').toString('base64'),
    eof: false,
  });
  await run({ op: 'advance', us: 100_000 });
  const fin = await run({ op: 'shutdown', conn });
  expect(readSegment(Buffer.from(fin.tx[0]!, 'base64')).flags).toBe('FA');
  const ended = await run({ op: 'rx', packet: packet({ seq: 106, ack: (syn.seq + 7) >>> 0, flags: 'FA' }) });
  expect(ended.events.map(event => event.type)).toEqual(['eof', 'closed']);
  expect(await run({ op: 'close', conn })).toMatchObject({ ok: true });
  expect(await run({ op: 'advance', us: 70_000_000 })).toMatchObject({ ok: true, now: 70_100_000 });
});

test('what it does not understand it refuses, and goes on', async () => {
  const run = drive();
  for (const op of ['nonsense', '[]', 'null', '{}', { op: 'rx', packet: '' }]) expect((await run(op)).ok).toBe(false);
  expect((await run({ op: 'init', addresses: [], seed: '' })).ok).toBe(false);
  expect((await run({ op: 'init', addresses: ['fd00::1/64'], mtu: 1420, seed: 'aa', now: 5 })).ok).toBe(true);
  for (const op of [
    { op: 'listen', port: 0 },
    { op: 'connect', to: '10.0.0.2:80' },
    { op: 'connect', to: 'x' },
    { op: 'send', conn: 77, data: '' },
    { op: 'what', conn: 1 },
    { op: 'advance', us: -1 },
  ])
    expect((await run(op)).ok).toBe(false);
  expect((await run({ op: 'listen', port: 80 })).ok).toBe(true);
  expect((await run({ op: 'rx', packet: 'AAAA' })).ok).toBe(true);
});

test('retransmissions come at their time within one advance', async () => {
  const run = drive();
  await run({ op: 'init', addresses: ['10.0.0.1'], mtu: 1420, seed: '01', now: 0 });
  await run({ op: 'connect', to: '10.0.0.2:80' });
  const late = await run({ op: 'advance', us: 8_000_000 });
  expect(late.tx.length).toBe(3);
  expect(late.now).toBe(8_000_000);
});
