/** Rows C-1 to C-7: what the engine does under load, and what it does with a cookie. */
import { xchacha20poly1305 } from '@noble/ciphers/chacha.js';
import { describe, expect, test } from 'vitest';
import { LIMITER_ENTRIES } from '../constants.ts';
import { CookieGenerator } from '../cookie.ts';
import { hash, mac } from '../kdf.ts';
import { LoadMeter, SourceLimiter } from '../load.ts';
import { endpoint, numbered } from '../testing/packets.ts';
import { Probe, signMac1 } from '../testing/probe.ts';
import { numbers, pair, World } from '../testing/world.ts';
import { opensslX25519, type X25519 } from '../x25519.ts';

const toB = (n: number) => numbered('10.0.0.1', '10.0.0.2', n);
const here = endpoint('203.0.113.50', 5000);

/** A peer of a loaded node, with the generator of its own cookies. */
function loaded() {
  const world = new World(21);
  const b = world.node('b', { forceUnderLoad: true });
  const peer = new Probe(world, b, 0, ['10.0.0.1/32'], here);
  const cookies = new CookieGenerator(b.publicKey);
  const signed = (): Uint8Array => {
    const message = peer.initiation();
    message.fill(0, 116);
    cookies.addMacs(message, world.now);
    world.now += 25;
    return message;
  };
  return { world, b, peer, cookies, signed };
}

describe('C-1 the cookie reply', () => {
  test('64 bytes; opens with the label, our public key and the MAC1 of the message alone', () => {
    const { b, peer, signed } = loaded();
    const message = signed();
    const [reply] = peer.ask(message);
    expect(reply).toHaveLength(64);
    expect(reply![0]).toBe(3);
    expect([...reply!.subarray(4, 8)]).toEqual([...message.subarray(4, 8)]);
    const key = hash(new TextEncoder().encode('cookie--'), b.publicKey);
    const open = (mac1: Uint8Array) =>
      xchacha20poly1305(key, reply!.subarray(8, 32), mac1).decrypt(reply!.subarray(32));
    const cookie = open(message.subarray(116, 132));
    expect(cookie).toHaveLength(16);
    expect(() => open(new Uint8Array(16))).toThrow();
    message.set(mac(cookie, message.subarray(0, 132)), 132);
    expect(peer.ask(message)[0], 'the same message with its MAC2 is answered').toHaveLength(92);
  });

  test('it is bound to the source address and to the port', () => {
    const { world, peer, cookies, signed } = loaded();
    expect(cookies.consumeReply(peer.ask(signed())[0]!, world.now)).toBe(true);
    expect(peer.ask(signed(), endpoint('203.0.113.50', 5001))[0], 'another port').toHaveLength(64);
    expect(peer.ask(signed(), endpoint('203.0.113.51', 5000))[0], 'another address').toHaveLength(64);
    expect(peer.ask(signed(), here)[0]).toHaveLength(92);
  });

  test('the secret behind it lives 120 s', () => {
    const { world, peer, cookies, signed } = loaded();
    cookies.consumeReply(peer.ask(signed())[0]!, world.now);
    world.now += 119_000;
    expect(peer.ask(signed())[0]).toHaveLength(92);
    world.now += 1000;
    const stale = signed();
    expect(peer.ask(stale)[0]).toHaveLength(64);
  });

  test('A5: every answer to a stranger is smaller than its question', () => {
    const { world, b, peer, signed } = loaded();
    const [asked, answered] = [signed(), new Uint8Array(92)];
    answered.set([2, 0, 0, 0, 1, 2, 3, 4]);
    signMac1(answered, b.publicKey);
    for (const message of [asked, answered]) {
      const bytes = peer.ask(message, endpoint('198.51.100.1', world.random.below(60_000))).map(a => a.length);
      expect(bytes).toEqual([64]);
      expect(64).toBeLessThan(message.length);
    }
  });
});

test('C-2 with a valid cookie: a burst of 5, then 20 a second, the rest in silence', () => {
  const { world, b, peer, cookies, signed } = loaded();
  cookies.consumeReply(peer.ask(signed())[0]!, world.now);
  const messages = Array.from({ length: 20 }, () => signed());
  const burst = messages.map(message => peer.ask(message).length);
  // they come at one instant: the flood limit of the peer lets one through, the limiter five
  expect(burst.filter(n => n > 0)).toHaveLength(1);
  expect(b.engine.handshaker.drops.get('rate-limited')).toBe(15);
  world.now += 1000;
  let passed = 0;
  for (let ms = 0; ms < 2000; ms += 25) passed += peer.ask(signed()).length;
  expect(passed).toBeGreaterThanOrEqual(38);
  expect(passed).toBeLessThanOrEqual(46);
});

test('C-3 a response under load gets a cookie as well, and the next response carries it', () => {
  const { world, a, b } = pair({ a: { forceUnderLoad: true } });
  world.send(a, toB(1));
  world.run(1000);
  expect(world.trace()).toBe('a:148 b:92 a:64');
  expect(numbers(b)).toEqual([]);
  world.run(5000);
  expect(world.trace()).toBe('a:148 b:92 a:64 a:148 b:92 a:64');
  expect(
    world
      .sent(b, 92)[1]!
      .bytes.subarray(76)
      .some(byte => byte !== 0),
  ).toBe(true);
  expect(numbers(b)).toEqual([1]);
});

describe('C-4 as initiator', () => {
  test('the cookie waits for the retransmission, which gets through', () => {
    const { world, a, b } = pair({ b: { forceUnderLoad: true } });
    world.send(a, toB(1));
    world.run(4900);
    expect(world.trace()).toBe('a:148 b:64');
    world.run(500);
    expect(world.trace()).toBe('a:148 b:64 a:148 b:92 a:64');
    expect(numbers(b)).toEqual([1]);
  });

  test('it is forgotten after 120 s', () => {
    const { world, a } = pair({ b: { forceUnderLoad: true } });
    world.send(a, toB(1));
    world.run(6000);
    world.run(181_000);
    const since = world.datagrams.length;
    world.send(a, toB(2));
    world.run(1000);
    expect(world.trace(since)).toBe('a:148 b:64');
    expect(
      world
        .sent(a, 148, since)[0]!
        .bytes.subarray(132)
        .every(byte => byte === 0),
    ).toBe(true);
  });

  test('a cookie reply moves no endpoint and no timer, whoever sends it', () => {
    const { world, a, b } = pair({ b: { forceUnderLoad: true } });
    world.fate = d => (d.from === 'b' ? [] : [10]);
    world.send(a, toB(1));
    world.run(100);
    const reply = world.sent(b, 64)[0]!.bytes;
    const ptr = a.engine.tunnel.endpoint(0);
    const endpointBefore = [...a.engine.memory.u8.subarray(ptr, ptr + 18)];
    const { deadline } = a.engine.tunnel;
    const stats = a.engine.tunnel.stats(0);
    world.deliver(reply, endpoint('198.51.100.66', 66), a.at);
    expect([...a.engine.memory.u8.subarray(ptr, ptr + 18)]).toEqual(endpointBefore);
    expect(a.engine.tunnel.deadline).toBe(deadline);
    expect(a.engine.tunnel.stats(0)).toEqual(stats);
    expect(a.engine.handshaker.drops.get('unexpected-cookie')).toBe(0);
    world.deliver(reply, b.at, a.at);
    expect(a.engine.handshaker.drops.get('unexpected-cookie'), 'the same one twice').toBe(1);
  });

  test('a forged cookie is refused, the true one still taken', () => {
    const { world, a, b } = pair({ b: { forceUnderLoad: true } });
    world.fate = d => (d.bytes.length === 64 ? [1000] : [10]);
    world.send(a, toB(1));
    world.run(100);
    const forged = Uint8Array.from(world.sent(b, 64)[0]!.bytes);
    forged[40]! ^= 1;
    world.deliver(forged, b.at, a.at);
    expect(a.engine.handshaker.drops.get('unexpected-cookie')).toBe(1);
    world.fate = () => [10];
    world.run(5500);
    expect(numbers(b)).toEqual([1]);
  });
});

test('C-5 not under load: MAC2 is not looked at, no cookie leaves', () => {
  const world = new World(22);
  const b = world.node('b');
  const peer = new Probe(world, b, 0, ['10.0.0.1/32']);
  const message = peer.initiation();
  message.set(world.random.bytes(16), 132);
  expect(peer.ask(message)[0]).toHaveLength(92);
});

describe('C-6 a flood', () => {
  function flooded() {
    const { world, a, b } = pair();
    const flooder = new Probe(world, b, 1, []);
    // with right MAC1s, as anyone can make them who knows the public key
    const template = flooder.initiation();
    const flood = (seconds: number, perSecond: number) => {
      for (let i = 0; i < seconds * perSecond; i++) {
        world.at(world.now + (i * 1000) / perSecond, () => {
          template.set(world.random.bytes(8), 8);
          const from = endpoint(
            `198.51.${world.random.below(100)}.${world.random.below(250)}`,
            1 + world.random.below(60_000),
          );
          world.deliver(signMac1(template, b.publicKey), from, b.at);
        });
      }
    };
    return { world, a, b, flood };
  }

  test('from anywhere at 500 a second: a real peer is in within one retransmission', () => {
    const { world, a, b, flood } = flooded();
    flood(7, 500);
    world.run(1000);
    expect(b.engine.handshaker.drops.get('cookie-required')).toBeGreaterThan(50);
    world.send(a, toB(1));
    world.run(5500);
    expect(numbers(b)).toEqual([1]);
    // the DHs that strangers cost us are bounded
    expect(b.engine.handshaker.drops.get('handshake-tag')).toBeLessThan(400);
  });

  test('a second after it, a plain handshake works at the first try', () => {
    const { world, a, b, flood } = flooded();
    flood(1, 1000);
    world.run(2200);
    world.send(a, toB(1));
    world.run(100);
    expect(numbers(b)).toEqual([1]);
  });

  test('an existing session is not touched by it', () => {
    const { world, a, b, flood } = flooded();
    world.send(a, toB(0));
    world.run(1000);
    flood(2, 1000);
    for (let i = 1; i < 20; i++) {
      world.send(a, toB(i));
      world.run(100);
    }
    expect(numbers(b)).toHaveLength(20);
  });
});

test('C-7 a wrong MAC1 costs no Diffie-Hellman', () => {
  let calls = 0;
  const counting: X25519 = {
    publicKey: key => opensslX25519.publicKey(key),
    sharedSecret: (key, point) => {
      calls++;
      return opensslX25519.sharedSecret(key, point);
    },
  };
  const world = new World(23);
  const b = world.node('b', { x25519: counting });
  const peer = new Probe(world, b, 0, ['10.0.0.1/32']);
  const message = peer.initiation();
  for (let i = 0; i < 1000; i++) {
    message.set(world.random.bytes(16), 116);
    peer.ask(message);
  }
  expect(calls).toBe(0);
  expect(b.engine.handshaker.drops.get('mac1')).toBe(1000);
  peer.handshake();
  expect(calls).toBeGreaterThan(0);
});

describe('the load meter', () => {
  test('a queue of 128 means load, for a second', () => {
    const meter = new LoadMeter();
    expect(meter.observe(0, 127)).toBe(false);
    expect(meter.observe(1, 128)).toBe(true);
    expect(meter.observe(1000, 0)).toBe(true);
    expect(meter.observe(1001, 0)).toBe(false);
  });

  test('a burst of 100 is no load, a lasting thousand a second is', () => {
    const burst = new LoadMeter();
    for (let i = 0; i < 100; i++) expect(burst.observe(0, 0)).toBe(false);
    const lasting = new LoadMeter();
    let first = -1;
    for (let i = 0; i < 1000 && first < 0; i++) if (lasting.observe(i, 0)) first = i;
    expect(first).toBeGreaterThan(100);
    expect(first).toBeLessThan(400);
  });
});

describe('the limiter', () => {
  test('is per IPv4 address and per IPv6 /64, ports alike', () => {
    const limiter = new SourceLimiter();
    const five = (text: string, port: number) => [1, 2, 3, 4, 5].map(() => limiter.allow(endpoint(text, port), 0));
    expect(five('192.0.2.1', 1)).not.toContain(false);
    expect(limiter.allow(endpoint('192.0.2.1', 2), 0)).toBe(false);
    expect(limiter.allow(endpoint('192.0.2.2', 1), 0)).toBe(true);
    expect(five('2001:db8:0:1::1', 1)).not.toContain(false);
    expect(limiter.allow(endpoint('2001:db8:0:1:ffff::9', 7), 0)).toBe(false);
    expect(limiter.allow(endpoint('2001:db8:0:2::1', 1), 0)).toBe(true);
    expect(limiter.allow(endpoint('192.0.2.1', 1), 51), 'one token in 50 ms').toBe(true);
  });

  test('its table is bounded and empties after a second', () => {
    const limiter = new SourceLimiter();
    const source = endpoint('2001:db8::', 1);
    const view = new DataView(source.buffer);
    for (let i = 0; i < LIMITER_ENTRIES + 10; i++) {
      view.setUint32(4, i);
      if (limiter.allow(source, 0) !== i < LIMITER_ENTRIES) throw new Error(`source ${i}`);
    }
    expect(limiter.size).toBe(LIMITER_ENTRIES);
    view.setUint32(4, 0xffff_ffff);
    expect(limiter.allow(source, 1500)).toBe(true);
    expect(limiter.size).toBe(1);
  });
});
