import { randomBytes, randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { parseAddress } from '../../rules/index.ts';
import { Counters } from './counters.ts';
import { EADDRINUSE, EAGAIN, EINVAL } from './errno.ts';
import { newLinearMemory } from './native-memory.ts';
import { OuterSocket } from './outer-socket.ts';
import { EpollReactor } from './reactor.ts';
import { type SystemCalls, systemCalls } from './system-calls.ts';

const sys = systemCalls();
const open: { close(): void }[] = [];
afterEach(() => {
  for (const each of open.splice(0).reverse()) each.close();
});

/** A socket with its own memory and reactor; `received` collects what came, datagram by datagram. */
function endpoint(port = 0, calls: SystemCalls = sys) {
  const memory = newLinearMemory(2 << 20);
  const reactor = new EpollReactor({ sys: calls, memory });
  const counters = new Counters();
  const received: { datagram: Buffer; source: Uint8Array }[] = [];
  const merged: number[] = [];
  const opened = OuterSocket.open({
    sys: calls,
    memory,
    reactor,
    counters,
    port,
    onReadable: fd => {
      const { receiver } = socket;
      const messages = socket.receive(fd);
      for (let i = 0; i < messages; i++) {
        const [at, length, segment, source] = [
          receiver.buffer(i),
          receiver.length(i),
          receiver.segment(i),
          receiver.source(i),
        ];
        merged.push(Math.ceil(length / segment));
        for (let o = 0; o < length; o += segment)
          received.push({
            datagram: Buffer.from(memory.u8.slice(at + o, at + Math.min(o + segment, length))),
            source: memory.u8.slice(source, source + 18),
          });
      }
    },
  });
  if (!opened.ok) {
    reactor.close();
    throw new Error(opened.error);
  }
  const { socket } = opened;
  open.push(reactor, socket);
  const area = memory.reserve(70_000);
  const to = memory.reserve(18);
  return {
    socket,
    memory,
    reactor,
    counters,
    received,
    merged,
    sendTo(address: string, toPort: number, bytes: Uint8Array, segment: number, path = { gsoRefusedUntil: 0 }) {
      memory.u8.set(parseAddress(address)!, to);
      memory.view.setUint16(to + 16, toPort);
      memory.u8.set(bytes, area);
      socket.send(to, area, bytes.length, segment, path);
    },
    /** Turns until `count` datagrams are there, or nothing has come for 200 ms. */
    turn(count: number) {
      for (let idle = 0; received.length < count && idle < 20; ) {
        const before = received.length;
        reactor.turn(performance.now() * 1000 + 10_000);
        idle = received.length === before ? idle + 1 : 0;
      }
      return received.map(({ datagram }) => datagram);
    },
  };
}

function cut(bytes: Buffer, segment: number): Buffer[] {
  const parts: Buffer[] = [];
  for (let o = 0; o < bytes.length; o += segment) parts.push(bytes.subarray(o, o + segment));
  return parts;
}

const LOOPBACKS = ['127.0.0.1', '::1'];

describe('OuterSocket', () => {
  it.each(LOOPBACKS)('cuts, merges and names the source over %s', address => {
    const [a, b] = [endpoint(), endpoint()];
    const bytes = randomBytes(1452 * 44 + 777);
    a.sendTo(address, b.socket.port, bytes, 1452);
    expect(b.turn(45)).toEqual(cut(bytes, 1452));
    const { source } = b.received[0]!;
    expect(Buffer.from(source.subarray(0, 16))).toEqual(Buffer.from(parseAddress(address)!));
    expect(Buffer.from(source).readUInt16BE(16)).toBe(a.socket.port);
    expect(a.counters.get('outer_sends_segmented')).toBe(1);
    // The point of UDP_GRO: 45 datagrams crossed as one message.
    expect(Math.max(...b.merged)).toBe(45);
  });

  it('sends any mixture of sizes whole and in order', () => {
    const [a, b] = [endpoint(), endpoint()];
    const want: Buffer[] = [];
    for (let i = 0; i < 60; i++) {
      const segment = randomInt(1, 3000);
      const bytes = randomBytes(randomInt(1, Math.min(65_507, segment * 64)));
      a.sendTo('127.0.0.1', b.socket.port, bytes, segment);
      want.push(...cut(bytes, segment));
      expect(b.turn(want.length).length).toBe(want.length);
    }
    expect(b.received.map(r => r.datagram)).toEqual(want);
  });

  it('talks to a socket without merging, and takes single datagrams of 0 to 65,507 bytes', async () => {
    const a = endpoint();
    const plain = createSocket('udp4').bind(0, '127.0.0.1');
    await once(plain, 'listening');
    const got: Buffer[] = [];
    plain.on('message', message => got.push(message));
    const bytes = randomBytes(1000 * 9 + 1);
    a.sendTo('127.0.0.1', plain.address().port, bytes, 1000);
    await expect.poll(() => got.length).toBe(10);
    expect(got).toEqual(cut(bytes, 1000));

    const large = randomBytes(65_507);
    for (const message of [Buffer.alloc(0), Buffer.from([1]), large])
      await new Promise(resolve => plain.send(message, a.socket.port, '127.0.0.1', resolve));
    expect(a.turn(2)).toEqual([Buffer.from([1]), large]);
    plain.close();
  });

  it('gives both families the same random port', () => {
    const a = endpoint();
    const b = endpoint();
    expect(a.socket.port).not.toBe(b.socket.port);
    for (const address of LOOPBACKS) b.sendTo(address, a.socket.port, Buffer.from('x'), 1);
    expect(a.turn(2).length).toBe(2);
  });

  it('says when the port is taken, by either family', async () => {
    const { port } = endpoint().socket;
    expect(() => endpoint(port)).toThrow(`UDP port ${port} for WireGuard: in use by another process`);
    const v4 = createSocket('udp4').bind(0, '0.0.0.0');
    await once(v4, 'listening');
    expect(() => endpoint(v4.address().port)).toThrow('in use by another process');
    v4.close();
  });

  it('holds what a full socket does not take, then sends it in order', () => {
    let full = 0;
    const refuse: SystemCalls = {
      ...sys,
      sendmsg: (fd, header, flags) => (full-- > 0 ? -EAGAIN : sys.sendmsg(fd, header, flags)),
    };
    const [a, b] = [endpoint(0, refuse), endpoint()];
    const bytes = randomBytes(1452 * 3);
    let writable = 0;
    a.socket.onWritable = () => writable++;
    full = 2;
    a.sendTo('127.0.0.1', b.socket.port, bytes, 1452);
    expect(a.socket.blocked).toBe(true);
    const target = Buffer.concat([parseAddress('127.0.0.1')!, Buffer.from([b.socket.port >> 8, b.socket.port & 0xff])]);
    a.socket.sendDatagram(target, Buffer.from('handshake'));
    expect(b.turn(1)).toEqual([]);
    for (let i = 0; i < 3; i++) a.reactor.turn(0);
    expect(a.socket.blocked).toBe(false);
    expect(writable).toBe(1);
    expect(b.turn(4)).toEqual([...cut(bytes, 1452), Buffer.from('handshake')]);
  });

  it('moves to another port, also while it holds something, and stays where it is when that is taken', () => {
    let full = 0;
    const refuse: SystemCalls = {
      ...sys,
      sendmsg: (fd, header, flags) => (full-- > 0 ? -EAGAIN : sys.sendmsg(fd, header, flags)),
    };
    const [a, b] = [endpoint(0, refuse), endpoint()];
    const { port } = a.socket;
    expect(a.socket.rebind(port)).toBe(0);
    expect(a.socket.rebind(b.socket.port)).toBe(-EADDRINUSE);
    expect(a.socket.port).toBe(port);
    for (const [i, address] of LOOPBACKS.entries()) {
      full = 1;
      const bytes = randomBytes(1452 * 2);
      a.sendTo(address, b.socket.port, bytes, 1452);
      expect(a.socket.blocked).toBe(true);
      expect(a.socket.rebind(0)).toBe(0);
      for (let turn = 0; turn < 3; turn++) a.reactor.turn(0);
      expect(b.turn(2 * i + 2).slice(-2)).toEqual(cut(bytes, 1452));
      expect(Buffer.from(b.received.at(-1)!.source).readUInt16BE(16)).toBe(a.socket.port);
    }
    expect(a.socket.port).not.toBe(port);
    for (const address of LOOPBACKS) b.sendTo(address, a.socket.port, Buffer.from('x'), 1);
    expect(a.turn(2).length).toBe(2);
    // The old port is free.
    expect(endpoint(port).socket.port).toBe(port);
  });

  it('sends one by one where segmentation is refused, and remembers it for that path', () => {
    let refusals = 0;
    const refuse: SystemCalls = {
      ...sys,
      sendmsg: () => {
        refusals++;
        return -EINVAL;
      },
    };
    const [a, b] = [endpoint(0, refuse), endpoint()];
    const bytes = randomBytes(65_000);
    const path = { gsoRefusedUntil: 0 };
    a.sendTo('127.0.0.1', b.socket.port, bytes, 700, path);
    a.sendTo('127.0.0.1', b.socket.port, bytes, 700, path);
    expect(b.turn(186)).toEqual([...cut(bytes, 700), ...cut(bytes, 700)]);
    expect(refusals).toBe(1);
    expect(a.counters.get('outer_gso_refused')).toBe(1);
  });

  it('drops and counts what cannot be sent, and goes on', () => {
    const [a, b] = [endpoint(), endpoint()];
    a.sendTo('127.0.0.1', 0, Buffer.from('nowhere'), 7);
    a.sendTo('127.0.0.1', b.socket.port, randomBytes(65_508), 65_508);
    a.sendTo('127.0.0.1', b.socket.port, Buffer.from('next'), 4);
    expect(b.turn(1)).toEqual([Buffer.from('next')]);
    const failures = Object.entries(a.counters.snapshot()).filter(
      ([name, n]) => name.startsWith('outer_send_failed') && n > 0,
    );
    expect(failures.map(([, n]) => n)).toEqual([1, 1]);
    expect(a.socket.blocked).toBe(false);
  });
});
