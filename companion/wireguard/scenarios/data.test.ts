/** Rows D-1 to D-6 and D-13 to D-17: transport messages, cryptokey routing, sizes, roaming, counters. */
import { describe, expect, test } from 'vitest';
import type { SessionAction } from '../actions.ts';
import { address, endpoint, endpointText, ipv4, ipv6, numbered, numberOf, prefix } from '../testing/packets.ts';
import { Probe } from '../testing/probe.ts';
import { type Node, numbers, pair, World } from '../testing/world.ts';

const toB = (n: number, size = 4) => numbered('10.0.0.1', '10.0.0.2', n, size);
const toA = (n: number, size = 4) => numbered('10.0.0.2', '10.0.0.1', n, size);
const small = ipv4('10.0.0.1', '10.0.0.2', new Uint8Array(8));

function probed(...allowedIps: string[]) {
  const world = new World(31);
  const b = world.node('b');
  b.engine.tunnel.setAddresses([address('10.0.0.2'), address('fd00::2')]);
  const probe = new Probe(world, b, 0, allowedIps.length > 0 ? allowedIps : ['10.0.0.1/32', 'fd00::1/128']).handshake();
  return { world, b, probe, drops: b.engine.tunnel.drops };
}

function established(options: Parameters<typeof pair>[0] = {}) {
  const made = pair(options);
  made.world.send(made.a, toB(0));
  made.world.run(1000);
  made.b.engine.delivered.length = 0;
  return made;
}

describe('D-1 replay window', () => {
  test('a duplicate is delivered once', () => {
    const { probe, drops } = probed();
    const datagram = probe.seal(small);
    const counts = [1, 2, 3].map(() => {
      probe.ask(datagram);
      return drops.get('replayed');
    });
    expect(counts).toEqual([0, 1, 2]);
  });

  test.each([
    [
      '+8000, then 7999 behind',
      9000n,
      [
        [17_000n, 1],
        [17_000n - 7999n, 1],
      ],
    ],
    [
      '+9000, then 8998 behind',
      9000n,
      [
        [18_000n, 1],
        [18_000n - 8998n, 0],
      ],
    ],
    [
      'the edge: -8128 and -8129',
      1n,
      [
        [20_000n, 1],
        [20_000n - 8128n, 1],
        [20_000n - 8129n, 0],
      ],
    ],
    [
      'around 2^32',
      2n ** 32n - 1n,
      [
        [2n ** 32n, 1],
        [2n ** 32n, 0],
        [2n ** 32n - 2n, 1],
        [2n ** 32n + 1n, 1],
      ],
    ],
    [
      'past 2^53',
      2n ** 53n + 1n,
      [
        [2n ** 53n, 1],
        [2n ** 53n + 1n, 0],
        [2n ** 53n + 2n, 1],
      ],
    ],
    [
      '2^60',
      2n ** 60n,
      [
        [2n ** 60n, 0],
        [2n ** 60n + 1n, 1],
      ],
    ],
    [
      'REJECT_AFTER_MESSAGES',
      2n ** 64n - 2n ** 13n - 2n,
      [
        [2n ** 64n - 2n ** 13n - 1n, 0],
        [2n ** 64n - 1n, 0],
      ],
    ],
  ] as [string, bigint, [bigint, number][]][])('D-2 %s', (_, first, then) => {
    const { probe } = probed();
    expect(probe.delivers(small, first)).toBe(1);
    for (const [counter, delivered] of then) expect(probe.delivers(small, counter), `${counter}`).toBe(delivered);
  });

  test('a forged counter does not move the window', () => {
    const { probe, drops } = probed();
    const forged = probe.seal(small, 2n ** 40n);
    forged[30]! ^= 1;
    probe.ask(forged);
    expect(drops.get('tag')).toBe(1);
    expect(probe.delivers(small, 5n)).toBe(1);
  });

  test('A2: everything recorded, played again from another port: nothing delivered, nothing moved', () => {
    const { world, a, b } = established();
    for (let i = 0; i < 200; i++) {
      world.send(a, toB(i));
      world.send(b, toA(i));
      world.run(700);
    }
    const recorded = [...world.datagrams];
    const [inA, inB] = [numbers(a).length, numbers(b).length];
    const where = (node: Node) => {
      const ptr = node.engine.tunnel.endpoint(0);
      return endpointText(node.engine.memory.u8.slice(ptr, ptr + 18));
    };
    const before = [where(a), where(b)];
    const since = world.datagrams.length;
    for (let round = 0; round < 3; round++) {
      for (const d of recorded) world.deliver(d.bytes, endpoint('198.51.100.9', 9), d.from === 'a' ? b.at : a.at);
    }
    expect([numbers(a).length, numbers(b).length]).toEqual([inA, inB]);
    expect([where(a), where(b)]).toEqual(before);
    expect(world.trace(since)).toBe('');
  });
});

describe('D-3 cryptokey routing on receipt', () => {
  test('a source that is not the peer’s is dropped and counted', () => {
    const { probe, drops } = probed();
    expect(probe.delivers(ipv4('10.0.0.9', '10.0.0.2', new Uint8Array(8)))).toBe(0);
    expect(probe.delivers(ipv6('fd00::9', 'fd00::2', new Uint8Array(8)))).toBe(0);
    expect(drops.get('inner-source')).toBe(2);
    expect(probe.delivers(small)).toBe(1);
    expect(probe.delivers(ipv6('fd00::1', 'fd00::2', new Uint8Array(8)))).toBe(1);
  });

  test('nested prefixes: the wider peer may not speak for the narrower one', () => {
    const world = new World(32);
    const b = world.node('b');
    const wide = new Probe(world, b, 0, ['10.0.0.0/8']).handshake();
    const narrow = new Probe(world, b, 1, ['10.1.0.0/16']).handshake();
    const from = (source: string) => ipv4(source, '10.0.0.2', new Uint8Array(4));
    expect(wide.delivers(from('10.2.0.1'))).toBe(1);
    expect(wide.delivers(from('10.1.0.1'))).toBe(0);
    expect(narrow.delivers(from('10.1.0.1'))).toBe(1);
    expect(narrow.delivers(from('10.2.0.1'))).toBe(0);
    expect(b.engine.delivered.map(d => d.peer)).toEqual([0, 1]);
  });

  test.each([
    '10.0.0.2',
    '127.0.0.1',
    '127.255.0.1',
    '224.0.0.1',
    '239.1.1.1',
    '255.255.255.255',
    '0.0.0.0',
    'fd00::2',
    '::1',
    '::',
    'ff02::1',
    '::ffff:10.0.0.1',
  ])('A3: %s is nobody’s source, whatever is allowed', source => {
    const { probe, drops } = probed('0.0.0.0/0', '::/0');
    const packet = ipv6('fd00::7', 'fd00::2', new Uint8Array(8));
    if (source.includes('.') && !source.includes(':')) packet.set(ipv4(source, '10.0.0.2', new Uint8Array(28)));
    else packet.set(address(source), 8);
    for (let i = 1; i <= 3; i++) {
      expect(probe.delivers(packet)).toBe(0);
      expect(drops.get('inner-martian')).toBe(i);
    }
  });

  test('A3: IPv4 dressed up as IPv6 does not profit from the answer remembered for IPv4', () => {
    const { probe, drops } = probed();
    expect(probe.delivers(small)).toBe(1);
    expect(probe.delivers(ipv6('::ffff:10.0.0.1', 'fd00::2', new Uint8Array(8)))).toBe(0);
    expect(drops.get('inner-martian')).toBe(1);
    expect(probe.delivers(small)).toBe(1);
  });

  test('D-5 allowed IPs move to another peer under live sessions', () => {
    const world = new World(33);
    const b = world.node('b');
    const one = new Probe(world, b, 0, ['10.0.0.1/32']).handshake();
    const two = new Probe(world, b, 1, []);
    b.engine.handshaker.addPeer(1, { publicKey: two.publicKey });
    b.engine.tunnel.addPeer(1, { publicKey: two.publicKey, allowedIps: [] });
    two.handshake();
    expect([one.delivers(small), two.delivers(small)]).toEqual([1, 0]);
    b.engine.tunnel.updatePeer(1, { addAllowedIps: [prefix('10.0.0.1/32')] });
    expect([one.delivers(small), two.delivers(small)]).toEqual([0, 1]);
    expect(b.engine.tunnel.allowedIps(0)).toEqual([]);
    world.send(b, toA(7));
    expect(world.datagrams.at(-1)!.to).toBe(endpointText(two.at));
    b.engine.tunnel.updatePeer(1, { removeAllowedIps: [prefix('10.0.0.1/32')] });
    expect([one.delivers(small), two.delivers(small)]).toEqual([0, 0]);
    b.engine.tunnel.updatePeer(0, { allowedIps: [prefix('10.0.0.0/24')] });
    expect([one.delivers(small), two.delivers(small)]).toEqual([1, 0]);
  });
});

test('D-4 no route: the caller is told at once', () => {
  const { world, a } = established();
  expect(world.send(a, numbered('10.0.0.1', '192.0.2.77', 1))).toBe(false);
  expect(world.send(a, numbered('fd00::1', 'fd00::77', 1))).toBe(false);
  expect(world.send(a, numbered('fd00::1', 'fd00::2', 1))).toBe(true);
  expect(a.engine.tunnel.routeAddress(address('10.0.0.2'))).toBe(0);
  expect(a.engine.tunnel.routeAddress(address('10.0.0.3'))).toBe(-1);
});

describe('D-6 inner sanity', () => {
  const v4 = (edit: (packet: Uint8Array, view: DataView) => void): Uint8Array => {
    const packet = ipv4('10.0.0.1', '10.0.0.2', new Uint8Array(20));
    edit(packet, new DataView(packet.buffer));
    return packet;
  };
  const v6 = (edit: (packet: Uint8Array, view: DataView) => void): Uint8Array => {
    const packet = ipv6('fd00::1', 'fd00::2', new Uint8Array(20));
    edit(packet, new DataView(packet.buffer));
    return packet;
  };
  test.each([
    ['IPv4 longer than the message', v4((_, d) => d.setUint16(2, 41))],
    ['IPv4 of 19 bytes', v4((_, d) => d.setUint16(2, 19))],
    ['IPv4 of 0 bytes', v4((_, d) => d.setUint16(2, 0))],
    ['version 5', v4(p => p.fill(0x55, 0, 1))],
    ['version 0', v4(p => p.fill(0x05, 0, 1))],
    ['one byte', Uint8Array.of(0x45)],
    ['19 bytes of IPv4', v4(() => undefined).subarray(0, 19)],
    ['a header longer than the packet', v4(p => p.fill(0x4f, 0, 1))],
    ['a header of no length', v4(p => p.fill(0x40, 0, 1))],
    ['IPv6 of 65,575 bytes', v6((_, d) => d.setUint16(4, 0xffff))],
    ['IPv6 whose length wraps at 16 bits', v6((_, d) => d.setUint16(4, 65_500))],
    ['39 bytes of IPv6', v6(() => undefined).subarray(0, 39)],
  ])('%s is dropped', (_, packet) => {
    const { probe, drops } = probed();
    expect(probe.delivers(packet)).toBe(0);
    expect(drops.get('inner-malformed')).toBe(1);
    expect(probe.delivers(small), 'and life goes on').toBe(1);
  });

  test('padding is cut to the packet’s own length', () => {
    const { b, probe } = probed();
    const padded = new Uint8Array(small.length + 500);
    padded.set(small);
    expect(probe.delivers(padded)).toBe(1);
    expect(b.engine.delivered[0]!.packet).toEqual(small);
    const six = new Uint8Array(100);
    six.set(ipv6('fd00::1', 'fd00::2', new Uint8Array(0)));
    expect(probe.delivers(six), 'no payload at all').toBe(1);
    expect(b.engine.delivered[1]!.packet).toHaveLength(40);
  });
});

describe('D-13 staged packets', () => {
  test('200 before a session: the last 128 arrive, in order', () => {
    const { world, a, b } = pair();
    for (let i = 0; i < 200; i++) world.send(a, toB(i));
    world.run(100);
    expect(numbers(b)).toEqual(Array.from({ length: 128 }, (_, i) => 72 + i));
    expect(a.engine.tunnel.drops.get('staged-overflow')).toBe(72);
  });

  test('what is sent while the session comes up stays behind what waited', () => {
    const { world, a, b } = pair();
    let n = 0;
    for (let ms = 0; ms < 60; ms++) {
      world.send(a, toB(n++), toB(n++));
      world.run(1);
    }
    world.run(100);
    expect(numbers(b)).toEqual(Array.from({ length: 120 }, (_, i) => i));
  });
});

describe('D-14 padding', () => {
  test.each([
    [20, 32 + 32],
    [21, 32 + 32],
    [32, 32 + 32],
    [33, 32 + 48],
    [1419, 32 + 1420],
    [1420, 32 + 1420],
    [1409, 32 + 1420],
  ])('at MTU 1420 a packet of %i bytes makes a datagram of %i', (length, size) => {
    const { world, a, b } = established();
    const since = world.datagrams.length;
    world.send(a, ipv4('10.0.0.1', '10.0.0.2', new Uint8Array(length - 20)));
    world.run(100);
    expect(world.datagrams[since]!.bytes).toHaveLength(size);
    expect(b.engine.delivered.at(-1)!.packet).toHaveLength(length);
  });

  test('at MTU 1299 never past it, staged packets and batches alike', () => {
    const { world, a, b } = pair({ a: { mtu: 1299 } });
    for (let i = 0; i < 3; i++) world.send(a, toB(i, 1279)); // 1299 with its header
    world.run(100);
    world.send(a, toB(3, 1279), toB(4, 1279), toB(5, 1200));
    world.run(100);
    expect(numbers(b)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(Math.max(...world.datagrams.map(d => d.bytes.length))).toBe(1299 + 32);
  });

  test('padding is zero, even where a slot held other bytes before', () => {
    const { world, a, b } = established();
    const sizes: Uint8Array[] = [];
    const { receive } = b.engine.tunnel;
    b.engine.tunnel.receive = (src, length, dst, source) => {
      const result = receive.call(b.engine.tunnel, src, length, dst, source);
      if (result > 0) sizes.push(b.engine.memory.u8.slice(dst + result, dst + length - 32));
      return result;
    };
    world.send(a, toB(1, 400), toB(2, 400));
    world.send(a, toB(3, 5), toB(4, 5));
    world.run(100);
    expect(sizes.flatMap(padding => [...padding]).every(byte => byte === 0)).toBe(true);
    expect(sizes.map(padding => padding.length)).toEqual([12, 12, 7, 7]);
  });
});

describe('sealing in batches', () => {
  test('a run of equal packets and a shorter last one is one batch; longer ones begin another', () => {
    const { world, a, b } = established();
    const lengths = [400, 400, 400, 100, 400, 400, 401, 420, 1300];
    const since = world.datagrams.length;
    world.send(a, ...lengths.map((length, i) => toB(i, length)));
    world.run(100);
    expect(numbers(b)).toEqual(lengths.map((_, i) => i));
    expect(b.engine.delivered.map(d => d.packet.length)).toEqual(lengths.map(length => length + 20));
    const counters = world.datagrams.slice(since).map(d => new DataView(d.bytes.buffer).getBigUint64(8, true));
    expect(counters).toEqual(lengths.map((_, i) => BigInt(i + 1)));
  });

  test('the counter crosses 2^32 inside a batch without repeating', () => {
    const { world, a, b } = established();
    const keypair = a.engine.tunnel.currentKeypair(0)!;
    keypair.counter.set([0xffff_fffe, 3]);
    const since = world.datagrams.length;
    world.send(a, toB(1), toB(2), toB(3), toB(4));
    world.run(100);
    const counters = world.datagrams.slice(since).map(d => new DataView(d.bytes.buffer).getBigUint64(8, true));
    expect(counters).toEqual([0x3_ffff_fffen, 0x3_ffff_ffffn, 0x4_0000_0000n, 0x4_0000_0001n]);
    expect(numbers(b)).toEqual([1, 2, 3, 4]);
    expect([...keypair.counter], 'and goes on from there').toEqual([2, 4]);
  });

  test('so it does between single packets', () => {
    const { world, a } = established();
    const keypair = a.engine.tunnel.currentKeypair(0)!;
    keypair.counter.set([0xffff_ffff, 3]);
    const since = world.datagrams.length;
    for (let i = 0; i < 2; i++) {
      a.engine.memory.u8.set(toB(i), 512);
      a.engine.tunnel.stage(0, 512, 24);
      a.engine.pump(world.clock(a));
    }
    const counters = world.datagrams.slice(since).map(d => new DataView(d.bytes.buffer).getBigUint64(8, true));
    expect(counters).toEqual([0x3_ffff_ffffn, 0x4_0000_0000n]);
    expect([...keypair.counter]).toEqual([1, 4]);
  });

  test('a peer is not ready while packets are staged for it, though it has a session', () => {
    const { world, a } = established();
    const { tunnel, memory } = a.engine;
    expect(tunnel.ready(0)).toBe(true);
    memory.u8.set(toB(1), 512);
    tunnel.stage(0, 512, 24);
    expect(tunnel.ready(0)).toBe(false);
    a.engine.pump(world.clock(a));
    expect(tunnel.ready(0)).toBe(true);
  });

  test('D-2: past 2^60 messages the session is renewed, whoever made it', () => {
    const { world, a, b } = established();
    b.engine.tunnel.currentKeypair(0)!.counter.set([0, 0x1000_0000]);
    const since = world.datagrams.length;
    world.run(6000);
    world.send(b, toA(1));
    world.run(100);
    expect(world.trace(since)).toBe('b:64 b:148 a:92 b:32');
    expect(numbers(a)).toEqual([1]);
  });

  test('at the limit nothing more is sealed', () => {
    const { world, a } = established();
    a.engine.tunnel.currentKeypair(0)!.counter.set([0, 0xffff_ffff]);
    const since = world.datagrams.length;
    expect(a.engine.tunnel.ready(0)).toBe(false);
    world.run(6000);
    world.send(a, toB(1));
    expect(world.trace(since)).toBe('a:148');
  });
});

test('D-15 datagrams of every length up to 65,507 bytes: silence, life goes on', () => {
  const { world, b, probe } = probed();
  const session = probe.session!;
  for (let length = 0; length < 66_000; length += length < 200 ? 1 : 1777) {
    for (const type of [0, 1, 2, 3, 4, 200]) {
      const datagram = world.random.bytes(Math.min(length, 65_507));
      datagram.set([type, 0, 0, 0].slice(0, length));
      if (type === 4 && length >= 8) new DataView(datagram.buffer).setUint32(4, session.remoteIndex, true);
      expect(probe.ask(datagram, endpoint('198.51.100.3', 3))).toEqual([]);
    }
  }
  expect(b.engine.delivered).toEqual([]);
  const large = new Uint8Array(65_507 - 32);
  large.set(small);
  expect(probe.delivers(large), 'and one that is authentic').toBe(1);
});

describe('D-16 roaming', () => {
  const where = (node: Node) => {
    const ptr = node.engine.tunnel.endpoint(0);
    return endpointText(node.engine.memory.u8.slice(ptr, ptr + 18));
  };

  test('data from a new address: answers go there', () => {
    const { world, a, b } = established();
    world.rebind(a);
    world.send(a, toB(1));
    world.run(100);
    world.send(b, toA(2));
    world.run(100);
    expect(where(b)).toBe(endpointText(a.at));
    expect(numbers(a)).toEqual([2]);
    expect(b.engine.events.filter(e => e.type === 'roamed').at(-1)).toMatchObject({ peer: 0, endpoint: a.at });
  });

  test('from IPv4 to IPv6 and back, by keepalives and handshakes as well', () => {
    const { world, a, b } = established();
    world.rebind(a, endpoint('2001:db8::5', 555));
    a.engine.tunnel.updatePeer(0, { persistentKeepalive: 5 });
    a.engine.pump(world.clock(a));
    world.run(100);
    expect(where(b)).toBe('2001:db8::5|555');
    a.engine.tunnel.updatePeer(0, { persistentKeepalive: 0 });
    world.run(200_000);
    world.rebind(a, endpoint('192.0.2.44', 44));
    world.fate = d => (d.bytes.length === 148 ? [10] : []);
    world.send(a, toB(1));
    world.run(100);
    expect(where(b)).toBe('192.0.2.44|44');
  });

  test('both sides in turn, every 5 s, a hundred times: each finds the other', () => {
    const { world, a, b } = established({ bothEndpoints: true });
    for (let i = 0; i < 100; i++) {
      const [mover, other] = i % 2 === 0 ? [a, b] : [b, a];
      world.rebind(mover);
      world.send(mover, mover === a ? toB(i) : toA(i));
      world.run(50);
      world.send(other, other === a ? toB(i) : toA(i));
      world.run(4950);
    }
    expect(numbers(a)).toHaveLength(100);
    expect(numbers(b)).toHaveLength(100);
  });

  test('the last authentic datagram of a batch decides', () => {
    const { b, probe } = probed();
    const { tunnel, memory } = b.engine;
    const buffer = memory.reserve(4096) + 64;
    const source = memory.reserve(18);
    const roams = [endpoint('192.0.2.71', 1), endpoint('192.0.2.72', 2), endpoint('192.0.2.73', 3)];
    roams.forEach((from, i) => {
      const datagram = probe.seal(small);
      if (i === 2) datagram[20]! ^= 1;
      memory.u8.set(datagram, buffer);
      memory.u8.set(from, source);
      tunnel.receive(buffer, datagram.length, buffer + 2048, source);
    });
    tunnel.endBatch(1_000_100);
    expect(tunnel.actions().filter(e => e.type === 'roamed')).toEqual([
      { type: 'roamed', peer: 0, endpoint: roams[1] },
    ]);
    expect(probe.endpointAtTarget).toBe('192.0.2.72|2');
  });

  test('a disallowed inner source is authentic all the same', () => {
    const { probe } = probed();
    probe.ask(probe.seal(ipv4('10.9.9.9', '10.0.0.2', new Uint8Array(8))), endpoint('192.0.2.80', 80));
    expect(probe.endpointAtTarget).toBe('192.0.2.80|80');
  });
});

describe('D-17 byte counters', () => {
  test('count what was authentic, handshakes, keepalives and disallowed sources included', () => {
    const { b, probe } = probed();
    const stats = () => b.engine.tunnel.stats(0)!;
    expect(stats().rxBytes).toBe(148 + 32);
    expect(stats().txBytes).toBe(92);
    probe.ask(probe.seal(ipv4('10.9.9.9', '10.0.0.2', new Uint8Array(8))));
    expect(stats().rxBytes).toBe(148 + 32 + 60);
    const forged = probe.seal(small);
    forged[20]! ^= 1;
    probe.ask(forged);
    expect(stats().rxBytes).toBe(148 + 32 + 60);
  });

  test('one side’s tx is the other’s rx', () => {
    const { world, a, b } = established();
    for (let i = 0; i < 300; i++) {
      world.send(a, toB(i, i));
      world.send(b, toA(i, 3 * i));
      world.run(1000);
    }
    world.run(20_000);
    const [sa, sb] = [a.engine.tunnel.stats(0)!, b.engine.tunnel.stats(0)!];
    expect(sa.txBytes).toBe(sb.rxBytes);
    expect(sb.txBytes).toBe(sa.rxBytes);
    const onTheWire = world.datagrams.filter(d => d.from === 'a').reduce((sum, d) => sum + d.bytes.length, 0);
    expect(sa.txBytes).toBe(onTheWire);
  });
});

describe('K key hygiene in linear memory', () => {
  /** Copies the keys of every session before the tunnel zeroes the arrays that carry them. */
  function watch(node: Node): { keys: Uint8Array[]; carriers: SessionAction[] } {
    const seen = { keys: [] as Uint8Array[], carriers: [] as SessionAction[] };
    const { tunnel } = node.engine;
    const session = tunnel.session.bind(tunnel);
    tunnel.session = (action, now) => {
      seen.keys.push(Uint8Array.from(action.sendKey), Uint8Array.from(action.receiveKey));
      seen.carriers.push(action);
      session(action, now);
    };
    return seen;
  }
  const hits = (node: Node, keys: readonly Uint8Array[]): number => {
    const memory = Buffer.from(node.engine.memory.u8.buffer as ArrayBuffer);
    return keys.filter(key => memory.includes(Buffer.from(key))).length;
  };

  test('there while the session lives, gone 540 s after; the arrays that carried them are zero', () => {
    const { world, a, b } = pair();
    const seen = watch(a);
    world.send(a, toB(1));
    world.run(1000);
    expect(hits(a, seen.keys)).toBe(2);
    expect(seen.carriers[0]!.sendKey).toEqual(new Uint8Array(32));
    expect(seen.carriers[0]!.receiveKey).toEqual(new Uint8Array(32));
    world.run(530_000);
    expect(hits(a, seen.keys)).toBe(2);
    world.run(10_000);
    expect(hits(a, seen.keys)).toBe(0);
    expect(a.engine.events.filter(e => e.type === 'forget')).toHaveLength(1);
    expect(a.engine.tunnel.stats(0)!.hasSession).toBe(false);
    world.send(a, toB(2));
    world.run(1000);
    expect(numbers(b)).toEqual([1, 2]);
  });

  test('gone with the peer', () => {
    const { world, a } = pair();
    const seen = watch(a);
    world.send(a, toB(1));
    world.run(1000);
    a.engine.tunnel.removePeer(0);
    expect(hits(a, seen.keys)).toBe(0);
  });

  test('of many sessions only the living are there', () => {
    const { world, a, b } = pair();
    const seen = watch(b);
    for (let i = 0; i < 10; i++) {
      world.send(a, toB(i));
      world.run(125_000);
    }
    expect(seen.keys.length).toBeGreaterThan(10);
    expect(hits(b, seen.keys)).toBeLessThanOrEqual(6);
  });
});

test('two peers at once: each gets its own', () => {
  const world = new World(40);
  const [hub, x, y] = [world.node('hub'), world.node('x'), world.node('y')];
  world.peer(hub, 0, x, ['10.0.0.11/32'], { endpoint: false });
  world.peer(hub, 5, y, ['10.0.0.12/32'], { endpoint: false });
  world.peer(x, 0, hub, ['10.0.0.0/24']);
  world.peer(y, 0, hub, ['10.0.0.0/24']);
  world.send(x, numbered('10.0.0.11', '10.0.0.1', 1));
  world.send(y, numbered('10.0.0.12', '10.0.0.1', 2));
  world.run(100);
  world.send(hub, numbered('10.0.0.1', '10.0.0.12', 4));
  world.send(hub, numbered('10.0.0.1', '10.0.0.11', 3));
  world.run(100);
  expect(hub.engine.delivered.map(d => [d.peer, numberOf(d.packet)])).toEqual([
    [0, 1],
    [5, 2],
  ]);
  expect([numbers(x), numbers(y)]).toEqual([[3], [4]]);
});
