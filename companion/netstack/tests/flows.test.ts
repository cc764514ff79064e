import { describe, expect, test } from 'vitest';
import * as EventBits from '../event-bits.ts';
import { Host } from '../testing/host.ts';
import { type LinkOptions, PERFECT } from '../testing/link.ts';
import { Script } from '../testing/script.ts';
import { readSegment } from '../testing/segment.ts';
import { makeScenario, type Outcome, simulate } from '../testing/simulation.ts';

/** One bulk transfer over that path; times in µs, rates in bytes per µs. TIME-WAIT is taken off the time. */
function bulk(bytes: number, there: Partial<LinkOptions>, back: Partial<LinkOptions> = {}): Outcome & { rate: number } {
  const outcome = simulate(
    {
      ...makeScenario(1),
      mtu: [1420, 1420],
      v6: false,
      wrap: false,
      deferred: false,
      bytes: [bytes, 0],
      write: [65_536, 65_536],
      read: [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY],
      pause: [0, 0],
      ending: ['shutdown', 'shutdown'],
      abortAt: Number.POSITIVE_INFINITY,
      outage: [0, 0],
      there: { ...PERFECT, ...there },
      back: { ...PERFECT, delay: there.delay ?? PERFECT.delay, ...back },
    },
    undefined,
    false,
  );
  expect(outcome.error).toBeUndefined();
  return { ...outcome, rate: bytes / (outcome.took - 60_000_000) };
}

describe('goodput', () => {
  test('a LAN at 1 Gbit/s with a shallow buffer is filled', () => {
    expect(bulk(5e6, { delay: 100, rate: 125, queue: 100_000 }).rate).toBeGreaterThan(0.85 * 125);
  });

  test('trap-34 buffers grow with the path: 60 ms, 400 Mbit/s', () => {
    // 3 MB of window are needed, 256 KiB are there at first; slow start takes half a second.
    expect(bulk(20e6, { delay: 30_000, rate: 50, queue: 3e6 }).rate).toBeGreaterThan(15);
  });

  test('trap-27 reordering without loss costs little', () => {
    const clean = bulk(4e6, { delay: 10_000, rate: 12.5, queue: 5e6 });
    const shuffled = bulk(4e6, { delay: 10_000, rate: 12.5, queue: 5e6, reorder: 0.2, reorderBy: 3000 });
    expect(shuffled.rate).toBeGreaterThan(0.9 * clean.rate);
    expect(shuffled.retransmits).toBeLessThan(0.03 * shuffled.packets);
  });

  test('a hundredth of the packets lost: within reach of what the equations of Reno allow', () => {
    // RFC 9438 3.4 has CUBIC at least there: 1.22 MSS / (RTT sqrt(p)).
    const p = 0.01;
    expect(bulk(4e6, { delay: 5000, loss: p }).rate).toBeGreaterThan((0.7 * 1.22 * 1368) / (10_000 * Math.sqrt(p)));
  });

  test('a third of the ACKs lost hurts nobody', () => {
    expect(bulk(4e6, { delay: 5000, rate: 12.5, queue: 125_000 }, { loss: 0.3 }).rate).toBeGreaterThan(5);
  });

  test('trap-24 what is larger than 1300 vanishes: the transfer completes', () => {
    const outcome = bulk(300_000, { delay: 10_000, largest: 1300 });
    expect(outcome.took - 60_000_000).toBeLessThan(5_000_000);
  });
});

/** Two hosts with an instantaneous link; `turn` moves at most `most` packets each way. */
class Pair {
  readonly a: Host;
  readonly b: Host;
  now = 0;

  constructor(memoryBytes = 64 << 20) {
    this.a = new Host(['10.0.0.1'], { memoryBytes });
    this.b = new Host(['10.0.0.2'], { memoryBytes });
  }

  turn(us: number, most = Number.POSITIVE_INFINITY): Uint8Array[] {
    this.now += us;
    for (const host of [this.a, this.b]) {
      host.stack.setNow(this.now);
      host.stack.advance();
    }
    const packets = this.a.poll(most);
    for (const packet of packets) this.b.input(packet);
    for (const packet of this.b.poll(most)) this.a.input(packet);
    return packets;
  }

  connect(count: number): [client: number, server: number][] {
    this.b.stack.listen(80, { deferred: false });
    const clients: number[] = [];
    for (let i = 0; i < count; i++) {
      clients.push(this.a.connect('10.0.0.2', 80));
      if (i % 500 === 499) for (let turns = 0; turns < 3; turns++) this.turn(100);
    }
    for (let i = 0; i < 5; i++) this.turn(100);
    const servers = new Map(
      this.b
        .events()
        .filter(([, bits]) => bits & EventBits.ACCEPT)
        .map(([conn]) => [this.b.stack.remote(conn).port, conn]),
    );
    this.a.events();
    return clients.map(conn => [conn, servers.get(this.a.stack.local(conn).port)!]);
  }
}

describe('sharing', () => {
  test('trap-20 a slow sink makes the stack wait, not drop', () => {
    const pair = new Pair();
    const [[client, server]] = pair.connect(1) as [[number, number]];
    let sent = 0;
    let received = 0;
    for (let i = 0; i < 3000; i++) {
      sent += pair.a.write(client, new Uint8Array(50_000));
      pair.turn(100, 3);
      received += pair.b.read(server).length;
    }
    expect(received).toBeGreaterThan(3_000_000);
    expect(sent).toBeGreaterThan(received);
    expect(pair.a.stack.stats()['tcpRetransmits']).toBe(0);
  });

  test('trap-22 a full pipe of one connection does not keep small ones waiting', () => {
    const pair = new Pair();
    const conns = pair.connect(100);
    const [bulkClient, bulkServer] = conns[0]!;
    for (let i = 0; i < 200; i++) {
      pair.a.write(bulkClient, new Uint8Array(500_000));
      pair.turn(100);
      pair.b.read(bulkServer);
    }
    for (const [client] of conns.slice(1)) pair.a.write(client, new Uint8Array(10));
    // Few slots: the bulk could fill them all, many times over.
    let served = 0;
    for (let turns = 0; turns < 20; turns++) {
      pair.a.write(bulkClient, new Uint8Array(500_000));
      served += pair.turn(1, 45).filter(packet => readSegment(packet).data.length === 10).length;
      pair.b.read(bulkServer);
    }
    expect(served).toBe(99);
  });

  test('two equal connections get equal shares', () => {
    const pair = new Pair();
    const conns = pair.connect(2);
    const got = [0, 0];
    for (let i = 0; i < 2000; i++) {
      for (const [client] of conns) pair.a.write(client, new Uint8Array(100_000));
      pair.turn(100, 20);
      conns.forEach(([, server], which) => {
        got[which]! += pair.b.read(server).length;
      });
    }
    expect(got[0]! / got[1]!).toBeGreaterThan(0.8);
    expect(got[0]! / got[1]!).toBeLessThan(1.25);
  });

  test('one flow fills batches of 45 segments on a LAN', () => {
    const pair = new Pair();
    const [[client, server]] = pair.connect(1) as [[number, number]];
    let full = 0;
    let packets = 0;
    for (let i = 0; i < 500; i++) {
      pair.a.write(client, new Uint8Array(500_000));
      const count = pair.turn(300).length;
      if (i > 50 && count >= 45) full++;
      packets += count;
      pair.b.read(server);
    }
    expect(full).toBeGreaterThan(440);
    // One ACK per batch, or one per 16 segments within it.
    expect(pair.b.stack.stats()['packetsOut']).toBeLessThan(packets / 10);
  });

  test('trap-36 a path with a long round trip is paced: no burst of a whole window', () => {
    const sizes: number[] = [];
    const pair = new Pair();
    const [[client, server]] = pair.connect(1) as [[number, number]];
    const wires: { at: number; packet: Uint8Array; to: Host }[] = [];
    let now = pair.now;
    pair.a.write(client, new Uint8Array(200_000));
    for (let i = 0; i < 10_000; i++) {
      now += 100;
      for (const host of [pair.a, pair.b]) {
        host.stack.setNow(now);
        host.stack.advance();
      }
      while (wires.length > 0 && wires[0]!.at <= now) {
        const { packet, to } = wires.shift()!;
        to.input(packet);
      }
      pair.a.write(client, new Uint8Array(200_000));
      const out = pair.a.poll();
      if (out.length > 0) sizes.push(out.length);
      for (const packet of out) wires.push({ at: now + 20_000, packet, to: pair.b });
      pair.b.read(server);
      for (const packet of pair.b.poll()) wires.push({ at: now + 20_000, packet, to: pair.a });
    }
    const cwnd = pair.a.stack.inspect(client)!['cwnd']! / 1368;
    expect(cwnd).toBeGreaterThan(200);
    // 4 ms of a 40 ms window is a tenth; twice that with slow start's gain.
    expect(Math.max(...sizes.slice(50))).toBeLessThan(cwnd / 3);
  });
});

describe('trap-33 memory', () => {
  test('an idle connection takes less than 1 KiB and no page; all comes back', () => {
    const pair = new Pair();
    const conns = pair.connect(3000);
    expect(pair.b.stack.stats()['connections']).toBe(3000);
    for (const [client, server] of conns) {
      pair.a.write(client, new Uint8Array(100));
      pair.b.write(server, new Uint8Array(100));
    }
    for (let i = 0; i < 5; i++) pair.turn(10_000);
    for (const [client, server] of conns) {
      expect(pair.a.read(client).length).toBe(100);
      expect(pair.b.read(server).length).toBe(100);
    }
    for (let i = 0; i < 5; i++) pair.turn(30_000);
    for (const host of [pair.a, pair.b])
      expect(host.stack.stats()).toMatchObject({ pagesUsed: 0, recordsUsed: 0, datagramsQueued: 0 });
    const [first, second] = pair.a.stack.connections();
    expect(first).toBeDefined();
    expect(second).toBeDefined();
    for (const [client, server] of conns) {
      pair.a.stack.close(client);
      pair.b.stack.close(server);
    }
    for (let i = 0; i < 10; i++) pair.turn(100_000);
    pair.turn(70_000_000);
    for (const host of [pair.a, pair.b])
      expect(host.stack.stats()).toMatchObject({ connections: 0, timeWaits: 0, timers: 0, pagesUsed: 0 });
  });

  test('tiny segments out of order: ranges and pages are bounded', () => {
    const s = Script.passive();
    for (let i = 0; i < 5000; i++) s.send('A', { seq: 3 + i * 2, data: 1 });
    expect(s.stat('pagesUsed')).toBeLessThanOrEqual(64);
    expect(s.get('outOfOrder')).toBeLessThanOrEqual(64);
    // And filled: what had been kept in many pages must not stay in many.
    for (let i = 0; i < 5000; i++) s.send('A', { seq: 1 + i, data: 1 });
    expect(s.host.stack.recvAvailable(s.conn)).toBe(5000);
    expect(s.stat('pagesUsed')).toBeLessThan(5);
  });

  test('a pool under pressure: bytes are refused, connections survive, all arrives in the end', () => {
    const pair = new Pair(16 << 20);
    const conns = pair.connect(300);
    const total = 200_000;
    const sent = new Map<number, number>();
    for (let i = 0; i < 60; i++) {
      for (const [client] of conns) {
        const done = sent.get(client) ?? 0;
        sent.set(client, done + pair.a.write(client, new Uint8Array(Math.min(30_000, total - done))));
      }
      pair.turn(10_000);
      expect(pair.b.stack.stats()['pagesUsed']).toBeLessThanOrEqual(pair.b.stack.stats()['pagesTotal']!);
    }
    expect(pair.a.stack.stats()['pagesUsed']! + pair.b.stack.stats()['pagesUsed']!).toBeGreaterThan(1000);
    const got = new Map<number, number>();
    for (let i = 0; i < 6000 && [...got.values()].reduce((x, y) => x + y, 0) < conns.length * total; i++) {
      for (const [client, server] of conns) {
        got.set(server, (got.get(server) ?? 0) + pair.b.read(server).length);
        const done = sent.get(client) ?? 0;
        if (done < total) sent.set(client, done + pair.a.write(client, new Uint8Array(Math.min(30_000, total - done))));
      }
      pair.turn(50_000);
    }
    expect([...got.values()].filter(x => x !== total)).toEqual([]);
  });
});
