/**
 * Structure-aware mutation of real datagrams (A1), and of what authentic ones carry (D-6). `FUZZ=n` for n datagrams in
 * place of 100,000, `SEED=n` to repeat a run.
 */
import { expect, test } from 'vitest';
import { DROP_REASONS } from './drops.ts';
import { address, endpoint, endpointText, ipv4, ipv6 } from './testing/packets.ts';
import { Probe, signMac1 } from './testing/probe.ts';
import { SeededRandom } from './testing/random.ts';
import { World } from './testing/world.ts';

const rounds = Number(process.env['FUZZ'] ?? 100_000);
const seed = Number(process.env['SEED'] ?? Date.now() % 1e9);
const random = new SeededRandom(seed);

type Mutation = (bytes: Uint8Array) => Uint8Array;

const INTERESTING = [0, 1, 2, 3, 4, 5, 0x7f, 0x80, 0xff];

function resized(bytes: Uint8Array, size: number): Uint8Array {
  const copy = random.chance(0.5) ? new Uint8Array(size) : random.bytes(size);
  copy.set(bytes.subarray(0, size));
  return copy;
}

const MUTATIONS: Mutation[] = [
  bytes => {
    if (bytes.length > 0) bytes[random.below(bytes.length)]! ^= 1 << random.below(8);
    return bytes;
  },
  bytes => {
    if (bytes.length > 0) bytes[random.below(bytes.length)] = random.pick(INTERESTING);
    return bytes;
  },
  bytes => {
    // the header, where the structure is
    if (bytes.length >= 16) bytes[random.below(16)] = random.pick(INTERESTING);
    return bytes;
  },
  bytes => resized(bytes, random.below(bytes.length + 1)),
  bytes => resized(bytes, bytes.length + random.pick([1, 15, 16, 17, 1500, 9000])),
  bytes =>
    resized(bytes, random.pick([0, 1, 3, 4, 15, 16, 31, 32, 33, 63, 64, 65, 91, 92, 93, 147, 148, 149, 2000, 65_507])),
  bytes => {
    const from = random.below(bytes.length + 1);
    bytes.set(random.bytes(Math.min(32, bytes.length - from)), from);
    return bytes;
  },
];

function mutate(bytes: Uint8Array): Uint8Array {
  let out: Uint8Array = Uint8Array.from(bytes);
  for (let n = 1 + random.below(3); n > 0; n--) out = random.pick(MUTATIONS)(out);
  return out;
}

test(`A1: ${rounds} mutated datagrams: no crash, nothing delivered, no answer but cookies, nothing moved`, () => {
  const world = new World(seed);
  const b = world.node('b');
  const peer = new Probe(world, b, 0, ['10.0.0.1/32']).handshake();
  const pending = new Probe(world, b, 1, ['10.0.0.9/32']);
  b.engine.tunnel.updatePeer(1, { endpoint: pending.at });
  b.engine.tunnel.connect(1);
  b.engine.pump(world.clock(b));
  const elsewhere = endpoint('198.51.100.1', 1);
  const small = ipv4('10.0.0.1', '10.0.0.2', new Uint8Array(40));

  const reseed = (): Uint8Array[] => {
    world.now += 2000; // whatever the load was
    const session = peer.handshake().session!;
    const index = (message: Uint8Array, at: number): Uint8Array => {
      new DataView(message.buffer).setUint32(at, session.remoteIndex, true);
      return message;
    };
    world.now += 25;
    const initiation = peer.initiation();
    const [response] = peer.ask(initiation); // so that this initiation is an old one
    const data = [peer.seal(new Uint8Array(0)), peer.seal(small), peer.seal(new Uint8Array(1420).fill(0x45))];
    for (const datagram of data) peer.ask(datagram);
    const cookie = index(new Uint8Array(64).fill(7), 4);
    cookie.set([3, 0, 0, 0]);
    return [initiation, index(Uint8Array.from(response!), 8), cookie, ...data];
  };

  let seeds = reseed();
  let cookies = 0;
  let moved = peer.endpointAtTarget;
  let delivered = b.engine.delivered.length;
  let sent = world.datagrams.length;
  const reached = new Set<string>();
  for (let i = 0; i < rounds; i++) {
    if (i % 5000 === 4999) {
      seeds = reseed();
      moved = peer.endpointAtTarget;
      delivered = b.engine.delivered.length;
      sent = world.datagrams.length;
    }
    let datagram = mutate(random.pick(seeds));
    // one in twenty passes MAC1 and so goes deeper: by turns at a pace that is no load, and all at once
    if (random.chance(1 / 20) && datagram.length >= 92) {
      datagram = resized(datagram, datagram[0] === 1 ? 148 : 92);
      datagram.set([datagram.length === 148 ? 1 : 2, 0, 0, 0]);
      signMac1(datagram, b.publicKey);
      if (Math.floor((i + 1) / 5000) % 2 === 0) world.now += 6;
    }
    world.deliver(datagram, elsewhere, b.at);
    // b's own timers send to the peers; an answer goes to where the question came from
    const answers = world.datagrams.slice(sent).filter(d => d.to === endpointText(elsewhere));
    sent = world.datagrams.length;
    for (const answer of answers) {
      if (answer.bytes.length !== 64 || answer.bytes[0] !== 3) {
        const what = `${answer.bytes.length} bytes to ${Buffer.from(datagram).toString('hex')}`;
        throw new Error(`seed ${seed}, round ${i}: answered by ${what}`);
      }
      if (answer.bytes.length > datagram.length) throw new Error(`seed ${seed}, round ${i}: amplification`);
      cookies++;
    }
    if (b.engine.delivered.length !== delivered) throw new Error(`seed ${seed}, round ${i}: something was delivered`);
    if (peer.endpointAtTarget !== moved) throw new Error(`seed ${seed}, round ${i}: the endpoint moved`);
    if (b.engine.events.length > 1000) b.engine.events.length = 0;
    if (world.datagrams.length > 1000) sent = world.datagrams.length = 0;
  }
  for (const reason of DROP_REASONS) {
    if (b.engine.handshaker.drops.get(reason) + b.engine.tunnel.drops.get(reason) > 0) reached.add(reason);
  }
  // the mutations are worth something only if they get this deep
  for (const reason of [
    'length',
    'type',
    'mac1',
    'unknown-index',
    'handshake-tag',
    'old-timestamp',
    'replayed',
    'tag',
  ]) {
    expect(reached, `seed ${seed}`).toContain(reason);
  }
  expect(cookies, `seed ${seed}: the load was felt`).toBeGreaterThan(0);
  expect(peer.delivers(small), `seed ${seed}: and the peer is served`).toBe(1);
});

/** D-6 and D-3 in words, for the packets that come out. */
function acceptable(inner: Uint8Array): boolean {
  const view = new DataView(inner.buffer, inner.byteOffset, inner.length);
  const source = (from: number, to: number, text: string) =>
    Buffer.compare(inner.subarray(from, to), address(text).subarray(16 - (to - from))) === 0;
  switch (inner[0]! >>> 4) {
    case 4:
      return (
        inner.length >= 20 &&
        view.getUint16(2) === inner.length &&
        (inner[0]! & 15) >= 5 &&
        (inner[0]! & 15) * 4 <= inner.length &&
        source(12, 16, '10.0.0.1')
      );
    case 6:
      return inner.length >= 40 && view.getUint16(4) + 40 === inner.length && source(8, 24, 'fd00::1');
    default:
      return false;
  }
}

test(`D-6: ${rounds / 5} authentic messages with mutated insides: what comes out is whole and from the peer`, () => {
  const world = new World(seed);
  const b = world.node('b');
  const peer = new Probe(world, b, 0, ['10.0.0.1/32', 'fd00::1/128']).handshake();
  const seeds = [
    ipv4('10.0.0.1', '10.0.0.2', random.bytes(40)),
    ipv6('fd00::1', 'fd00::2', random.bytes(40)),
    ipv4('10.0.0.1', '10.0.0.2', new Uint8Array(0)),
    ipv6('fd00::1', 'fd00::2', new Uint8Array(0)),
  ];
  let out = 0;
  for (let i = 0; i < rounds / 5; i++) {
    const inner = mutate(random.pick(seeds)).subarray(0, 2000);
    out += peer.delivers(inner);
    for (const { packet } of b.engine.delivered.splice(0)) {
      const whole = acceptable(packet) && Buffer.compare(packet, inner.subarray(0, packet.length)) === 0;
      if (!whole) throw new Error(`seed ${seed}, round ${i}: ${Buffer.from(packet).toString('hex')}`);
    }
    b.engine.events.length = 0;
  }
  const { tunnel } = b.engine;
  const dropped =
    tunnel.drops.get('inner-malformed') + tunnel.drops.get('inner-source') + tunnel.drops.get('inner-martian');
  expect(out).toBeGreaterThan(100);
  expect(tunnel.drops.get('inner-malformed')).toBeGreaterThan(100);
  expect(tunnel.drops.get('inner-source')).toBeGreaterThan(10);
  expect(tunnel.drops.get('tag')).toBe(0);
  expect(dropped + out).toBeLessThanOrEqual(rounds / 5);
});
