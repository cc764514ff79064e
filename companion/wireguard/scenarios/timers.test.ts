/** Rows D-7 to D-12: keepalives, silence, the age of sessions. Whitepaper §6. */
import { describe, expect, test } from 'vitest';
import { numbered } from '../testing/packets.ts';
import { numbers, pair } from '../testing/world.ts';

const toB = (n: number) => numbered('10.0.0.1', '10.0.0.2', n);
const toA = (n: number) => numbered('10.0.0.2', '10.0.0.1', n);

/** A session, quiet for 30 s, so that nothing is pending. `since`: where the record of datagrams then stands. */
function quiet(options: Parameters<typeof pair>[0] = {}) {
  const made = pair(options);
  made.world.send(made.a, toB(0));
  made.world.run(30_000);
  const since = made.world.datagrams.length;
  return { ...made, since, start: made.world.now };
}

describe('D-7 idle', () => {
  test('two idle peers: nothing in 120 s, and keepalives do not feed on each other', () => {
    const { world, since } = quiet();
    world.run(120_000);
    expect(world.trace(since)).toBe('');
  });

  test('a received keepalive is not answered', () => {
    const { world, a, since } = quiet();
    a.engine.tunnel.updatePeer(0, { persistentKeepalive: 30 });
    a.engine.pump(world.clock(a));
    world.run(89_000);
    expect(world.trace(since)).toBe('a:32 a:32 a:32');
  });

  test('a keepalive is 32 bytes and delivers nothing', () => {
    const { world, a, b } = quiet();
    a.engine.tunnel.updatePeer(0, { persistentKeepalive: 30 });
    a.engine.pump(world.clock(a));
    world.run(100);
    expect(world.datagrams.at(-1)!.bytes).toHaveLength(32);
    expect(numbers(b)).toEqual([0]);
  });
});

describe('D-8 passive keepalive', () => {
  test('exactly one, 10 s after data that nothing was sent back for', () => {
    const { world, a, b, since } = quiet();
    world.send(a, toB(1));
    world.run(60_000);
    expect(world.trace(since)).toBe('a:64 b:32');
    const keepalive = world.sent(b, 32, since)[0]!;
    expect(keepalive.at - world.datagrams[since]!.at).toBe(10_010);
  });

  test('data that comes while one is waiting is answered by another', () => {
    const { world, a, b, since, start } = quiet();
    world.send(a, toB(1));
    world.run(5000);
    world.send(a, toB(2));
    world.run(55_000);
    expect(world.sent(b, 32, since).map(d => d.at - start)).toEqual([10_010, 20_010]);
  });

  test('none if data went back in time', () => {
    const { world, a, b, since } = quiet();
    world.send(a, toB(1));
    world.run(9000);
    world.send(b, toA(1));
    world.run(9000);
    expect(world.trace(since)).toBe('a:64 b:64');
  });

  test('a one-way stream of 1 packet a second: one keepalive each 10 s, no handshake', () => {
    const { world, a, b, since, start } = quiet();
    for (let i = 0; i < 80; i++) {
      world.send(a, toB(i));
      world.run(1000);
    }
    const times = world.sent(b, 32, since).map(d => d.at - start);
    expect(times.length).toBeGreaterThanOrEqual(7);
    expect(times.length).toBeLessThanOrEqual(8);
    for (let i = 1; i < times.length; i++) expect(times[i]! - times[i - 1]!).toBeGreaterThanOrEqual(10_000);
    expect(world.sent(a, 148, since)).toEqual([]);
  });
});

describe('D-9 persistent keepalive', () => {
  test('one at once when it is turned on, a handshake included', () => {
    const { world, a } = pair();
    a.engine.tunnel.updatePeer(0, { persistentKeepalive: 25 });
    a.engine.pump(world.clock(a));
    world.run(100);
    expect(world.trace()).toBe('a:148 b:92 a:32');
  });

  test('then each interval', () => {
    const { world, a, since, start } = quiet();
    a.engine.tunnel.updatePeer(0, { persistentKeepalive: 25 });
    a.engine.pump(world.clock(a));
    world.run(80_000);
    expect(world.sent(a, 32, since).map(d => d.at - start)).toEqual([0, 25_000, 50_000, 75_000]);
  });

  test('any packet either way puts it off', () => {
    const { world, a, b, since } = quiet();
    a.engine.tunnel.updatePeer(0, { persistentKeepalive: 25 });
    a.engine.pump(world.clock(a));
    for (let i = 0; i < 8; i++) {
      world.run(6000);
      world.send(b, toA(i));
      world.run(6000);
      world.send(a, toB(i));
    }
    expect(world.sent(a, 32, since)).toHaveLength(1);
  });

  test('0 turns it off', () => {
    const { world, a, since } = quiet();
    a.engine.tunnel.updatePeer(0, { persistentKeepalive: 25 });
    a.engine.pump(world.clock(a));
    world.run(30_000);
    a.engine.tunnel.updatePeer(0, { persistentKeepalive: 0 });
    world.run(100_000);
    expect(world.sent(a, 32, since)).toHaveLength(2);
    expect(a.engine.tunnel.stats(0)!.persistentKeepalive).toBe(0);
  });

  test('it keeps a session for ever, and brings one back after an outage of ten minutes', () => {
    const { world, a, b } = quiet();
    a.engine.tunnel.updatePeer(0, { persistentKeepalive: 25 });
    a.engine.pump(world.clock(a));
    for (let i = 0; i < 20; i++) {
      world.run(60_000);
      expect(b.engine.tunnel.stats(0)!.hasSession).toBe(true);
    }
    world.fate = () => [];
    world.run(600_000);
    expect(a.engine.tunnel.stats(0)!.hasSession).toBe(false);
    world.fate = () => [10];
    world.run(6000);
    expect(a.engine.tunnel.stats(0)!.hasSession).toBe(true);
  });
});

describe('D-10 silence', () => {
  test('15 s after the first packet that nothing answers: a handshake', () => {
    const { world, a, since, start } = quiet();
    world.fate = d => (d.from === 'b' ? [] : [10]);
    for (let i = 0; i < 20; i++) {
      world.send(a, toB(i));
      world.run(1000);
    }
    const [first] = world.sent(a, 148, since);
    expect(first!.at - start).toBeGreaterThanOrEqual(15_000);
    expect(first!.at - start).toBeLessThan(15_334);
  });

  test('no handshake while answers come, though each comes late (firezone #66)', () => {
    const { world, a, b, since } = quiet();
    for (let i = 0; i < 7; i++) {
      world.send(a, toB(i));
      world.run(7000);
      world.send(a, toB(i));
      world.run(5000);
      world.send(b, toA(i));
    }
    expect(world.sent(a, 148, since)).toEqual([]);
    expect(world.sent(b, 148, since)).toEqual([]);
  });

  test('the peer’s passive keepalive is an answer', () => {
    const { world, a, since } = quiet();
    world.send(a, toB(1));
    world.run(40_000);
    expect(world.sent(a, 148, since)).toEqual([]);
  });

  test('a peer that has lost its session is back 15 s after we speak to it', () => {
    const { world, a, b } = quiet();
    b.engine.tunnel.removePeer(0);
    b.engine.handshaker.removePeer(0);
    b.engine.pump(world.clock(b));
    world.peer(b, 0, a, ['10.0.0.1/32', 'fd00::1/128'], { endpoint: false });
    world.send(a, toB(1));
    world.run(15_500);
    world.send(a, toB(2));
    world.run(100);
    expect(numbers(b)).toEqual([0, 2]);
  });
});

describe('D-11 who renews, and when', () => {
  test('the initiator at 120 s, as it sends; the responder never by age', () => {
    const { world, a, b, since } = quiet();
    const first = world.datagrams[0]!.at;
    for (let s = 0; s < 400; s++) {
      world.send(a, toB(s));
      world.send(b, toA(s));
      world.run(1000);
    }
    const times = world.sent(a, 148, since).map(d => d.at - first);
    expect(times).toHaveLength(3);
    expect(times[0]).toBeGreaterThanOrEqual(120_000);
    expect(times[0]).toBeLessThan(121_100);
    expect(world.sent(b, 148)).toEqual([]);
  });

  test('an initiator that only receives: at 165 s, once', () => {
    const { world, a, b, since } = quiet();
    const first = world.datagrams[0]!.at;
    world.fate = d => (d.bytes.length === 92 ? [] : [10]); // so that the attempt does not renew anything
    for (let ms = 0; ms < 144_000; ms += 500) {
      world.send(b, toA(ms));
      world.run(500);
    }
    const times = world.sent(a, 148, since).map(d => d.at - first);
    // its passive keepalives are sends, and the session is past 120 s when one of them leaves
    expect(times[0]).toBeGreaterThanOrEqual(120_000);
    expect(times[0]).toBeLessThan(165_700);
  });

  test('165 s to the point: nothing sent at all between 120 s and then', () => {
    const { world, a, b, since } = quiet();
    const first = world.datagrams[0]!.at;
    world.run(134_000 - 100);
    world.send(b, toA(1)); // 163.9 s: too early
    world.run(2000);
    expect(world.sent(a, 148, since)).toEqual([]);
    world.send(b, toA(2)); // 165.9 s
    world.run(100);
    expect(world.sent(a, 148, since)).toHaveLength(1);
    expect(world.sent(a, 148, since)[0]!.at - first).toBeLessThan(166_100);
    world.send(b, toA(3));
    world.run(100);
    expect(world.sent(a, 148, since)).toHaveLength(1);
    world.run(165_500); // and so with the session that it made
    expect(world.sent(a, 148, since)).toHaveLength(1);
    world.send(b, toA(4));
    world.run(100);
    expect(world.sent(a, 148, since)).toHaveLength(2);
  });

  test('a responder does not renew at 165 s, whatever it receives', () => {
    const { world, a, b, since } = quiet();
    world.fate = d => (d.bytes.length === 148 && d.from === 'a' ? [] : [10]);
    for (let s = 0; s < 148; s++) {
      world.send(a, toB(s));
      world.run(1000);
    }
    expect(numbers(b)).toHaveLength(149);
    expect(world.sent(b, 148, since)).toEqual([]);
  });

  test('a responder whose session has died initiates itself when it has data', () => {
    const { world, a, b, since } = quiet();
    world.run(200_000);
    world.send(b, toA(1));
    world.run(100);
    expect(world.trace(since)).toBe('b:148 a:92 b:64');
    expect(numbers(a)).toEqual([1]);
  });
});

describe('D-12 the end of a session', () => {
  test('at 180 s neither side sends on it', () => {
    const { world, a, b } = quiet();
    world.run(149_900);
    expect(a.engine.tunnel.ready(0)).toBe(true);
    expect(b.engine.tunnel.ready(0)).toBe(true);
    world.run(200);
    expect(a.engine.tunnel.ready(0)).toBe(false);
    expect(b.engine.tunnel.ready(0)).toBe(false);
  });

  test('at 180 s a late packet on it is refused', () => {
    const { world, a, b } = quiet();
    world.run(148_000);
    world.fate = d => (d.bytes.length === 64 ? [1500] : []);
    world.send(a, toB(1));
    world.run(1600);
    expect(numbers(b)).toEqual([0, 1]);
    world.fate = d => (d.bytes.length === 64 ? [1500] : []);
    world.send(a, toB(2));
    world.run(1600);
    expect(numbers(b)).toEqual([0, 1]);
    expect(b.engine.tunnel.drops.get('expired')).toBe(1);
  });

  test('at 540 s everything is forgotten on both sides, and the first packet brings it back', () => {
    const { world, a, b } = quiet();
    world.run(511_000);
    for (const node of [a, b]) {
      expect(node.engine.tunnel.currentKeypair(0)).toBeUndefined();
      expect(node.engine.events.filter(e => e.type === 'forget')).toHaveLength(1);
    }
    world.send(b, toA(1));
    world.run(100);
    expect(numbers(a)).toEqual([1]);
  });

  test('a packet just before the 540 s: the handshake it starts is not forgotten with the rest', () => {
    const { world, a, b } = quiet();
    world.fate = () => [100];
    world.run(509_950);
    world.send(a, toB(1));
    world.run(1000);
    expect(numbers(b)).toEqual([0, 1]);
    world.run(545_000);
    expect(
      a.engine.events.filter(e => e.type === 'forget'),
      'but later',
    ).toHaveLength(1);
  });

  test('a machine that slept for ten minutes: traffic within 6 s', () => {
    const { world, a, b } = quiet();
    world.now += 600_000; // no timer ran
    world.send(a, toB(1));
    world.run(6000);
    expect(numbers(b)).toEqual([0, 1]);
  });

  test('`wg show` sees when the last handshake was', () => {
    const { world, a, b, start } = quiet();
    expect(a.engine.tunnel.stats(0)!.lastHandshake).toBe(start - 30_000 + 20);
    expect(b.engine.tunnel.stats(0)!.lastHandshake).toBe(start - 30_000 + 30);
    world.run(1);
  });
});

test('advance is due exactly at its deadline, and nothing happens before', () => {
  const { world, a, since } = quiet();
  world.fate = () => [];
  world.send(a, toB(1));
  const { deadline } = a.engine.tunnel;
  expect(deadline).toBeGreaterThan(world.now);
  a.engine.advance({ mono: deadline - 0.001, wall: 0 });
  expect(world.trace(since)).toBe('a:64');
  a.engine.advance({ mono: deadline + 1000, wall: 0 });
  expect(a.engine.tunnel.deadline).toBeGreaterThan(deadline);
});
