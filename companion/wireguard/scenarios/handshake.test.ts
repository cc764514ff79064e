/** Rows H-1 to H-12 of the requirements, between two engines on a virtual clock. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { endpoint, endpointText, ipv4, numbered } from '../testing/packets.ts';
import { Probe, signMac1 } from '../testing/probe.ts';
import { type Node, numbers, pair, World } from '../testing/world.ts';
import { nobleX25519, opensslX25519 } from '../x25519.ts';

const toB = (n: number, size = 4) => numbered('10.0.0.1', '10.0.0.2', n, size);
const toA = (n: number, size = 4) => numbered('10.0.0.2', '10.0.0.1', n, size);
const indexOf = (bytes: Uint8Array, at = 4) => new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);

function established(options: Parameters<typeof pair>[0] = {}) {
  const made = pair(options);
  made.world.send(made.a, toB(0));
  made.world.run(1000);
  expect(numbers(made.b)).toEqual([0]);
  made.b.engine.delivered.length = 0;
  return made;
}

describe('H-1 roles and key confirmation', () => {
  test('data waits for one round trip: 148, 92, data', () => {
    const { world, a, b } = pair();
    world.send(a, toB(7));
    world.run(100);
    expect(world.trace()).toBe('a:148 b:92 a:64');
    expect(numbers(b)).toEqual([7]);
    expect(b.engine.delivered[0]!.peer).toBe(0);
  });

  test('without data the initiator confirms by a keepalive: 148, 92, 32', () => {
    const { world, a } = pair();
    a.engine.tunnel.connect(0);
    a.engine.pump(world.clock(a));
    world.run(100);
    expect(world.trace()).toBe('a:148 b:92 a:32');
  });

  test('the other side may initiate as well', () => {
    const { world, b, a } = pair({ bothEndpoints: true });
    world.send(b, toA(1));
    world.run(100);
    expect(world.trace()).toBe('b:148 a:92 b:64');
    expect(numbers(a)).toEqual([1]);
  });

  test('a responder with data to send waits for the first packet of the initiator', () => {
    const { world, a, b } = pair();
    world.fate = d => (d.from === 'a' && d.bytes.length !== 148 ? [] : [10]);
    world.send(a, toB(1));
    world.run(100);
    world.send(b, toA(2));
    world.send(b, toA(3));
    world.run(3000);
    expect(world.trace()).toBe('a:148 b:92 a:64');
    world.fate = () => [10];
    world.send(a, toB(4));
    world.run(100);
    expect(numbers(a)).toEqual([2, 3]);
    expect(world.sent(b, 148)).toEqual([]);
  });

  test('both report the session once it is confirmed', () => {
    const { a, b } = established();
    expect(a.engine.events.filter(e => e.type === 'established')).toEqual([
      { type: 'established', peer: 0, initiator: true },
    ]);
    expect(b.engine.events.filter(e => e.type === 'established')).toEqual([
      { type: 'established', peer: 0, initiator: false },
    ]);
  });
});

describe('H-2 three keypairs', () => {
  test('a packet of the session before arrives after the change of sessions', () => {
    const { world, a, b } = established();
    world.run(119_000);
    world.fate = d => (d.bytes.length === 64 ? [3000] : [10]);
    world.send(a, toB(1));
    world.fate = () => [10];
    world.run(1500);
    world.send(a, toB(2)); // older than 120 s: goes out, and a handshake with it
    world.run(500);
    world.send(a, toB(3));
    world.run(500);
    expect(world.sent(a, 148)).toHaveLength(2);
    expect(numbers(b)).toEqual([2, 3]);
    world.run(1000);
    expect(numbers(b)).toEqual([2, 3, 1]);
  });

  test('the responder goes on sending on the old session until the new one is confirmed', () => {
    const { world, a, b } = established();
    world.send(b, toA(1));
    world.run(121_000);
    const oldIndex = indexOf(world.sent(b, 64)[0]!.bytes);
    const since = world.datagrams.length;
    world.fate = d => (d.from === 'a' && d.bytes.length === 32 ? [] : [10]);
    world.send(a, toB(1));
    world.run(50);
    world.send(b, toA(2));
    world.run(50);
    expect(world.trace(since)).toBe('a:64 a:148 b:92 a:32 b:64');
    expect(indexOf(world.sent(b, 64, since)[0]!.bytes)).toBe(oldIndex);
    world.send(a, toB(2));
    world.run(50);
    world.send(b, toA(3));
    world.run(50);
    expect(indexOf(world.sent(b, 64, since)[1]!.bytes)).not.toBe(oldIndex);
    expect(numbers(a)).toEqual([1, 2, 3]);
  });

  test('a stream over more than ten sessions loses nothing', () => {
    const { world, a, b } = established();
    for (let i = 0; i < 2700; i++) {
      world.send(a, toB(i));
      if (i % 3 === 0) world.send(b, toA(i));
      world.run(500);
    }
    expect(world.sent(a, 148).length).toBeGreaterThan(10);
    expect(world.sent(b, 148)).toEqual([]);
    expect(numbers(b)).toEqual(Array.from({ length: 2700 }, (_, i) => i));
    expect(numbers(a)).toEqual(Array.from({ length: 900 }, (_, i) => 3 * i));
  });

  test('every index of a dead session is released', () => {
    const { world, a, b } = established();
    for (let i = 0; i < 20; i++) {
      world.run(125_000);
      world.send(a, toB(i));
      world.run(1000);
    }
    for (const node of [a, b]) {
      const made = node.engine.events.filter(e => e.type === 'session').length;
      const released = node.engine.events.filter(e => e.type === 'release').length;
      expect(made).toBeGreaterThan(15);
      expect(made - released).toBeLessThanOrEqual(3);
    }
  });
});

describe('H-3 simultaneous initiations converge', () => {
  test('100 trials: traffic both ways within a round trip and a half', () => {
    const times: number[] = [];
    for (let trial = 0; trial < 100; trial++) {
      const { world, a, b } = pair({ seed: trial, bothEndpoints: true });
      world.fate = () => [10 + world.random.below(20)];
      const start = world.now;
      world.at(start + world.random.below(25), () => world.send(a, toB(1)));
      world.at(start + world.random.below(25), () => world.send(b, toA(2)));
      while (world.now - start < 11_000 && (numbers(a).length === 0 || numbers(b).length === 0)) world.run(5);
      times.push(world.now - start);
    }
    times.sort((x, y) => x - y);
    expect(times[50]).toBeLessThanOrEqual(1500);
    expect(times.at(-1)).toBeLessThanOrEqual(1500);
  });

  test('both at the very same instant, and both sessions then carry', () => {
    const { world, a, b } = pair({ bothEndpoints: true });
    world.send(a, toB(1));
    world.send(b, toA(1));
    world.run(200);
    for (let i = 2; i < 6; i++) {
      world.send(a, toB(i));
      world.send(b, toA(i));
      world.run(50);
    }
    expect(numbers(a)).toEqual([1, 2, 3, 4, 5]);
    expect(numbers(b)).toEqual([1, 2, 3, 4, 5]);
    world.run(20_000);
    expect(world.sent(a, 148).length + world.sent(b, 148).length).toBe(2);
    world.run(600_000);
    for (const { engine } of [a, b]) {
      const count = (type: string) => engine.events.filter(e => e.type === type).length;
      expect([count('session'), count('release')], 'and neither is forgotten').toEqual([2, 2]);
    }
  });
});

describe('H-4 preshared key', () => {
  const psk = (fill: number) => new Uint8Array(32).fill(fill);

  test('the same on both sides', () => {
    const { world, a, b } = pair({ presharedKey: psk(9) });
    world.send(a, toB(1));
    world.run(100);
    expect(numbers(b)).toEqual([1]);
  });

  test('different: the responder answers, the initiator refuses, nothing flows', () => {
    const { world, a, b } = pair({ presharedKey: psk(9) });
    b.engine.handshaker.updatePeer(0, { presharedKey: psk(8) });
    world.send(a, toB(1));
    world.run(4000);
    expect(world.trace()).toBe('a:148 b:92');
    expect(a.engine.handshaker.drops.get('handshake-tag')).toBe(1);
    expect(a.engine.tunnel.stats(0)!.hasSession).toBe(false);
  });

  test('a change leaves the live session and counts from the next handshake', () => {
    const { world, a, b } = established({ presharedKey: psk(9) });
    a.engine.handshaker.updatePeer(0, { presharedKey: psk(7) });
    world.send(a, toB(1));
    world.send(b, toA(1));
    world.run(100);
    expect([numbers(a), numbers(b)]).toEqual([[1], [1]]);
    world.run(180_000);
    world.send(a, toB(2));
    world.run(1000);
    expect(numbers(b), 'the handshake with two keys fails').toEqual([1]);
    b.engine.handshaker.updatePeer(0, { presharedKey: psk(7) });
    world.run(6000);
    expect(numbers(b)).toEqual([1, 2]);
  });
});

describe('H-5 silence', () => {
  const world = new World(5);
  const b = world.node('b');
  const peer = new Probe(world, b, 0, ['10.0.0.1/32']).handshake();
  const stranger = new Probe(world, b, 1, []);
  const elsewhere = endpoint('198.51.100.99', 99);
  const before = peer.endpointAtTarget;

  const edit = (message: Uint8Array, at: number, value: number): Uint8Array => {
    const copy = Uint8Array.from(message);
    copy[at] = value;
    return copy;
  };
  const resize = (message: Uint8Array, size: number): Uint8Array => {
    const copy = new Uint8Array(size);
    copy.set(message.subarray(0, size));
    return copy;
  };
  const response = (): Uint8Array => signMac1(resize(edit(peer.initiation(), 0, 2), 92), b.publicKey);

  const rows: [string, () => Uint8Array, string][] = [
    ['an unknown static key', () => stranger.initiation(), 'unknown-peer'],
    ['a wrong MAC1', () => edit(peer.initiation(), 116, 1), 'mac1'],
    ['a wrong tag on the static key', () => signMac1(edit(peer.initiation(), 80, 1), b.publicKey), 'handshake-tag'],
    ['a wrong tag on the timestamp', () => signMac1(edit(peer.initiation(), 110, 1), b.publicKey), 'handshake-tag'],
    ['type 0', () => edit(peer.initiation(), 0, 0), 'type'],
    ['type 5', () => edit(peer.initiation(), 0, 5), 'type'],
    ['a reserved byte', () => signMac1(edit(peer.initiation(), 2, 1), b.publicKey), 'type'],
    ['147 bytes', () => resize(peer.initiation(), 147), 'length'],
    ['149 bytes', () => resize(peer.initiation(), 149), 'length'],
    ['a response of 91 bytes', () => resize(response(), 91), 'length'],
    ['a response of 93 bytes', () => resize(response(), 93), 'length'],
    ['a response to nothing', response, 'unknown-index'],
    ['a cookie of 63 bytes', () => resize(edit(peer.initiation(), 0, 3), 63), 'length'],
    ['a cookie of 65 bytes', () => resize(edit(peer.initiation(), 0, 3), 65), 'length'],
    ['an unsolicited cookie', () => resize(edit(peer.initiation(), 0, 3), 64), 'unknown-index'],
    ['nothing at all', () => new Uint8Array(0), 'length'],
    ['one byte', () => new Uint8Array(1).fill(1), 'length'],
    ['data of 31 bytes', () => resize(peer.seal(new Uint8Array(0)), 31), 'length'],
    [
      'data for no session',
      () => edit(peer.seal(new Uint8Array(16)), 4, peer.session!.remoteIndex ^ 0xff),
      'unknown-index',
    ],
    ['data with a reserved byte', () => edit(peer.seal(new Uint8Array(16)), 3, 1), 'type'],
    ['data with a wrong tag', () => edit(peer.seal(new Uint8Array(16)), 40, 0x55), 'tag'],
  ];
  test.each(rows)('to %s', (_, make, reason) => {
    const { handshaker, tunnel, delivered } = b.engine;
    const count = () => handshaker.drops.get(reason as never) + tunnel.drops.get(reason as never);
    const [drops, packets] = [count(), delivered.length];
    world.now += 25;
    expect(peer.ask(make(), elsewhere)).toEqual([]);
    expect(count(), 'and counted by its reason').toBe(drops + 1);
    expect(delivered.length).toBe(packets);
    expect(peer.endpointAtTarget).toBe(before);
  });

  test('and the peer is served as before', () => {
    expect(peer.delivers(ipv4('10.0.0.1', '10.0.0.2', new Uint8Array(8)))).toBe(1);
    world.now += 25;
    expect(peer.ask(peer.initiation())[0]).toHaveLength(92);
  });
});

describe('H-6 low-order points', () => {
  const { lowOrder } = JSON.parse(readFileSync(new URL('../testdata/rfc.json', import.meta.url), 'utf8')) as {
    lowOrder: string[];
  };
  const point = (hex: string) => Uint8Array.from(Buffer.from(hex, 'hex'));

  test.each(lowOrder)('ephemeral %s is not answered', hex => {
    const world = new World(6);
    const b = world.node('b');
    const peer = new Probe(world, b, 0, ['10.0.0.1/32']);
    const message = peer.initiation();
    message.set(point(hex), 8);
    expect(peer.ask(signMac1(message, b.publicKey))).toEqual([]);
    expect(b.engine.handshaker.drops.get('low-order')).toBe(1);
  });

  test.each(lowOrder)('a peer with static key %s can be configured and never is called', hex => {
    const world = new World(6);
    const a = world.node('a');
    a.engine.handshaker.addPeer(0, { publicKey: point(hex) });
    a.engine.tunnel.addPeer(0, {
      publicKey: point(hex),
      endpoint: endpoint('192.0.2.9', 9),
      persistentKeepalive: 1,
      allowedIps: [],
    });
    a.engine.pump(world.clock(a));
    world.run(30_000);
    expect(world.datagrams).toEqual([]);
  });
});

describe('H-7 replay of handshakes', () => {
  test('the same initiation again, and an older one: silence', () => {
    const world = new World(7);
    const b = world.node('b');
    const peer = new Probe(world, b, 0, ['10.0.0.1/32']);
    const older = peer.initiation();
    const newer = peer.initiation();
    expect(peer.ask(newer)).toHaveLength(1);
    const before = peer.endpointAtTarget;
    world.now += 1000;
    expect(peer.ask(newer, endpoint('198.51.100.1', 1))).toEqual([]);
    expect(peer.ask(older, endpoint('198.51.100.1', 1))).toEqual([]);
    expect(b.engine.handshaker.drops.get('old-timestamp')).toBe(2);
    expect(peer.endpointAtTarget).toBe(before);
  });

  test('more than 50 a second for one peer: the rest is dropped', () => {
    const world = new World(7);
    const b = world.node('b');
    const peer = new Probe(world, b, 0, ['10.0.0.1/32']);
    let answered = 0;
    for (let ms = 0; ms < 1000; ms += 5) {
      answered += peer.ask(peer.initiation()).length;
      world.now += 5;
    }
    expect(answered).toBeGreaterThan(30);
    expect(answered).toBeLessThanOrEqual(50);
    expect(b.engine.handshaker.drops.get('initiation-flood')).toBe(200 - answered);
  });
});

test('H-8 a thousand sender indices: all different, no order in them', () => {
  const world = new World(Date.now() >>> 0);
  const b = world.node('b');
  const peer = new Probe(world, b, 0, ['10.0.0.1/32']);
  const indices: number[] = [];
  for (let i = 0; i < 1000; i++) {
    // ours as initiator, and now and then as responder: they come from one place
    world.now += 25;
    const initiation = peer.initiation();
    indices.push(i % 10 === 0 ? indexOf(peer.ask(initiation)[0]!) : indexOf(initiation));
  }
  expect(new Set(indices).size).toBe(1000);
  const rising = indices.filter((index, i) => i > 0 && index > indices[i - 1]!).length;
  expect(rising).toBeGreaterThan(400);
  expect(rising).toBeLessThan(600);
  expect(indices.filter(index => index >= 2 ** 31).length).toBeGreaterThan(400);
});

describe('H-9 our timestamps', () => {
  test('50 restarts within 16 ms, the clock an hour back each second one: the peer takes every one in 5.4 s', () => {
    const { world, a, b } = established();
    let stamp = a.engine.stamp;
    let dead = a;
    for (let restart = 0; restart < 50; restart++) {
      world.remove(dead);
      const again = world.node('a', { privateKey: a.privateKey, ...(stamp && { lastStamp: stamp }) });
      again.skew = restart % 2 === 1 ? -3_600_000 : 0;
      world.peer(again, 0, b, ['10.0.0.2/32']);
      world.send(again, toB(restart));
      world.run(16);
      world.run(5400);
      expect(numbers(b).at(-1)).toBe(restart);
      stamp = again.engine.stamp ?? stamp;
      dead = again;
    }
  });

  test('CVE-2021-46873: one initiation ten years ahead is answered, reported, and can be forgiven', () => {
    const world = new World(9);
    const b = world.node('b');
    const peer = new Probe(world, b, 0, ['10.0.0.1/32']);
    const decade = 3650 * 86_400_000;
    expect(peer.ask(peer.initiation(decade))[0]).toHaveLength(92);
    expect(b.engine.handshaker.futureTimestamps).toBe(1);
    expect(b.engine.events.find(e => e.type === 'future-timestamp')).toMatchObject({ peer: 0 });
    const honest = new Probe(world, b, 1, []); // the same keys, another process with the right clock
    honest.handshaker.setPrivateKey(peer.privateKey);
    world.now += 1000;
    expect(honest.ask(honest.initiation())).toEqual([]);
    b.engine.handshaker.resetTimestamp(0);
    world.now += 1000;
    expect(honest.ask(honest.initiation())[0]).toHaveLength(92);
  });

  test('a clock that leaps ten years ahead under way does not poison us', () => {
    const { world, a, b } = established();
    a.skew = 3650 * 86_400_000;
    world.run(181_000);
    world.send(a, toB(1));
    world.run(1000);
    expect(numbers(b)).toEqual([1]);
    expect(b.engine.handshaker.futureTimestamps).toBe(0);
    expect(a.engine.handshaker.clockHeldBack).toBeGreaterThan(0);
  });
});

describe('H-10 change of keys', () => {
  test('a new private key: a handshake at once, and traffic on it', () => {
    const { world, a, b } = established();
    const privateKey = world.random.bytes(32);
    const since = world.datagrams.length;
    a.engine.handshaker.setPrivateKey(privateKey);
    a.engine.tunnel.expireSessions();
    b.engine.handshaker.removePeer(0);
    b.engine.tunnel.removePeer(0);
    world.peer(b, 0, { ...a, publicKey: opensslX25519.publicKey(privateKey) }, ['10.0.0.1/32'], { endpoint: false });
    world.send(a, toB(1));
    world.run(100);
    expect(world.trace(since)).toBe('a:148 b:92 a:64');
    expect(numbers(b)).toEqual([1]);
  });

  test('a peer with our own key is there and does nothing', () => {
    const world = new World(10);
    const a = world.node('a');
    world.peer(a, 0, a, ['10.0.0.9/32'], { persistentKeepalive: 1 });
    world.run(10_000);
    expect(world.datagrams).toEqual([]);
    expect(a.engine.handshaker.drops.get('unknown-peer')).toBeGreaterThan(0);
  });

  test('without a private key nothing goes out; with one, the persistent keepalive does at once', () => {
    const { world, a, b } = pair({ a: { privateKey: new Uint8Array(32).fill(77) } });
    const { privateKey } = a;
    a.engine.handshaker.setPrivateKey(undefined);
    a.engine.tunnel.updatePeer(0, { persistentKeepalive: 25 });
    a.engine.pump(world.clock(a));
    world.run(7000);
    expect(world.datagrams).toEqual([]);
    a.engine.handshaker.setPrivateKey(privateKey);
    a.engine.tunnel.expireSessions();
    a.engine.pump(world.clock(a));
    world.run(100);
    expect(world.trace()).toBe('a:148 b:92 a:32');
    expect(b.engine.tunnel.stats(0)!.hasSession).toBe(true);
  });
});

describe('H-11 retransmission', () => {
  test('20 initiations in 95 to 103 s, unequal gaps of 5.0 to 5.4 s; then silence, then a fresh start', () => {
    const { world, a, b } = pair();
    world.fate = () => [];
    world.send(a, toB(1));
    world.run(300_000);
    const times = world.sent(a, 148).map(d => d.at);
    expect(times).toHaveLength(20);
    const gaps = times.slice(1).map((t, i) => t - times[i]!);
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(5000);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(5400);
    expect(new Set(gaps.map(gap => Math.round(gap))).size).toBeGreaterThan(5);
    expect(times.at(-1)! - times[0]!).toBeGreaterThanOrEqual(95_000);
    expect(times.at(-1)! - times[0]!).toBeLessThanOrEqual(103_000);
    expect(a.engine.tunnel.drops.get('staged-expired')).toBe(1);
    const failing = a.engine.events.filter(e => e.type === 'failing');
    expect(failing).toHaveLength(20);
    expect(failing.at(-1)).toMatchObject({ peer: 0, attempts: 20, gaveUp: true });
    expect(failing.at(-2)).toMatchObject({ gaveUp: false });
    world.run(350_000);
    expect(
      a.engine.events.filter(e => e.type === 'forget'),
      'what is left of it is wiped',
    ).toHaveLength(1);
    world.fate = () => [10];
    world.send(a, toB(2));
    world.run(100);
    expect(numbers(b)).toEqual([2]);
  });

  test('a name that resolves to another address now: the next retransmission gets through', () => {
    const { world, a, b } = pair();
    a.engine.tunnel.updatePeer(0, { endpoint: endpoint('192.0.2.200', 1) });
    world.send(a, toB(1));
    world.run(6000);
    expect(a.engine.events.find(e => e.type === 'failing')).toMatchObject({ attempts: 1, gaveUp: false });
    a.engine.tunnel.updatePeer(0, { endpoint: b.at });
    world.run(6000);
    expect(numbers(b)).toEqual([1]);
  });

  test('with no endpoint known nothing is sent; the moment one is, the handshake goes out', () => {
    const world = new World(11);
    const [a, b] = [world.node('a'), world.node('b')];
    world.peer(a, 0, b, ['10.0.0.2/32'], { endpoint: false });
    world.peer(b, 0, a, ['10.0.0.1/32'], { endpoint: false });
    world.send(a, toB(1));
    world.run(20_000);
    expect(world.datagrams).toEqual([]);
    a.engine.tunnel.updatePeer(0, { endpoint: b.at });
    a.engine.pump(world.clock(a));
    world.run(100);
    expect(numbers(b)).toEqual([1]);
  });

  test('a forged response before the true one costs nothing', () => {
    const { world, a, b } = pair();
    world.fate = d => (d.bytes.length === 92 ? [100] : [10]);
    world.send(a, toB(1));
    world.run(50);
    const forged = Uint8Array.from(world.sent(b, 92)[0]!.bytes);
    forged[50]! ^= 1;
    world.deliver(signMac1(forged, a.publicKey), b.at, a.at);
    expect(a.engine.handshaker.drops.get('handshake-tag')).toBe(1);
    world.run(100);
    expect(numbers(b)).toEqual([1]);
    expect(world.sent(a, 148)).toHaveLength(1);
  });

  test('a response to the initiation before the last finds nothing of it left', () => {
    const { world, a, b } = pair();
    let first = true;
    world.fate = d => {
      if (d.bytes.length !== 92 || !first) return [10];
      first = false;
      return [7000];
    };
    world.send(a, toB(1));
    world.run(10_000);
    expect(numbers(b)).toEqual([1]);
    expect(a.engine.handshaker.drops.get('unknown-index')).toBe(1);
  });

  test('a lost response is made good by the next initiation', () => {
    const { world, a, b } = pair();
    let lost = 0;
    world.fate = d => (d.bytes.length === 92 && lost++ === 0 ? [] : [10]);
    world.send(a, toB(1));
    world.run(5400);
    expect(numbers(b)).toEqual([1]);
    expect(world.trace()).toBe('a:148 b:92 a:148 b:92 a:64');
  });
});

test('H-12 never two initiations within 5 s, however much is sent', () => {
  const { world, a, b } = pair({ bothEndpoints: true });
  world.fate = d => (d.at % 100_000 < 60_000 ? [] : [10]);
  for (let i = 0; i < 6000; i++) {
    world.send(a, toB(i));
    if (i % 7 === 0) world.send(b, toA(i));
    if (i % 500 === 0) a.engine.tunnel.connect(0);
    world.run(50);
  }
  for (const node of [a, b]) {
    const times = world.sent(node, 148).map(d => d.at);
    expect(times.length).toBeGreaterThan(3);
    for (let i = 1; i < times.length; i++) expect(times[i]! - times[i - 1]!).toBeGreaterThanOrEqual(5000);
  }
});

test('initiating at start: a node that only listens is reachable behind its NAT', () => {
  const { world, a, b } = pair();
  a.engine.tunnel.connect(0);
  a.engine.pump(world.clock(a));
  world.run(100);
  world.send(b, toA(1));
  world.run(100);
  expect(numbers(a)).toEqual([1]);
  const since = world.datagrams.length;
  a.engine.tunnel.connect(0);
  a.engine.pump(world.clock(a));
  world.run(100);
  expect(world.trace(since), 'asking again with a session does nothing').toBe('');
});

test('OpenSSL on one side, noble on the other', () => {
  const { world, a, b } = pair({ a: { x25519: nobleX25519 } });
  world.send(a, toB(1));
  world.run(100);
  expect(numbers(b)).toEqual([1]);
});

test('a removed peer is not answered, and its session carries nothing', () => {
  const { world, a, b } = established();
  b.engine.handshaker.removePeer(0);
  b.engine.tunnel.removePeer(0);
  b.engine.pump(world.clock(b));
  const since = world.datagrams.length;
  world.send(a, toB(1));
  world.run(16_000);
  expect(numbers(b)).toEqual([]);
  expect(world.datagrams.slice(since).filter(d => d.from === 'b')).toEqual([]);
  expect(b.engine.handshaker.drops.get('unknown-peer')).toBe(1);
  const state = (node: Node) => node.engine.tunnel.stats(0);
  expect(state(b)).toBeUndefined();
  expect(endpointText(a.at)).toContain('192.0.2.1');
});
