import { describe, expect, test } from 'vitest';
import * as EventBits from '../event-bits.ts';
import { bytesOf, Host } from '../testing/host.ts';
import { Script, State } from '../testing/script.ts';
import { readSegment, writeSegment } from '../testing/segment.ts';

describe('connecting', () => {
  test('active open with all options, then data both ways', () => {
    const s = new Script();
    const syn = s.dial();
    expect(syn).toMatchObject({ mss: 1380, scale: 7, sackPermitted: true, window: 65_535 });
    expect(syn.stamp).toBeDefined();
    s.send('SA', { seq: 0, ack: 1, ...s.synOptions() });
    s.expect('A', { seq: 1, ack: 1 });
    expect(s.takeEvents()).toBe(EventBits.CONNECTED);
    s.write('ping');
    s.expect('A', { seq: 1, length: 4 });
    s.send('A', { seq: 1, ack: 5, data: 'pong' });
    expect(Buffer.from(s.read()).toString()).toBe('pong');
  });

  test('simultaneous open (RFC 9293 3.5)', () => {
    const s = new Script();
    s.dial();
    s.send('S', { seq: 0, ...s.synOptions() });
    s.expect('SA', { seq: 0, ack: 1 });
    expect(s.state).toBe(State.synReceived);
    s.send('SA', { seq: 0, ack: 1, ...s.synOptions() });
    expect(s.state).toBe(State.established);
    expect(s.takeEvents() & EventBits.CONNECTED).toBe(EventBits.CONNECTED);
  });

  test('the SYN is repeated with backoff and given up at the connect timeout', () => {
    const s = new Script({ connectTimeout: 20_000 });
    s.dial();
    s.pass(19_000_000);
    expect(s.out.map(x => x.at)).toEqual([1_000_000, 3_000_000, 7_000_000, 15_000_000]);
    expect(s.takeEvents()).toBe(0);
    s.pass(1_000_000);
    expect(s.takeEvents()).toBe(EventBits.ERROR);
    expect(s.host.stack.errorOf(s.conn)).toBe('timeout');
    s.host.stack.close(s.conn);
    expect(s.stat('connections')).toBe(0);
  });

  test('refused at once by RST', () => {
    const s = new Script();
    s.dial();
    s.send('RA', { seq: 0, ack: 1 });
    expect(s.takeEvents()).toBe(EventBits.ERROR);
    expect(s.host.stack.errorOf(s.conn)).toBe('refused');
  });

  test('data written before the handshake is over goes out after it, FIN too', () => {
    const s = new Script();
    s.dial();
    s.host.write(s.conn, Buffer.from('early'));
    s.host.stack.shutdown(s.conn);
    s.send('SA', { seq: 0, ack: 1, ...s.synOptions() });
    s.expect('FA', { seq: 1, length: 5 });
    expect(s.state).toBe(State.finWait1);
  });

  test('no address of that family, no such address: an error code', () => {
    const s = new Script();
    expect(s.host.connect('fd00::2', 80)).toBe(-2);
    expect(s.host.connect('224.0.0.1', 80)).toBe(-2);
    expect(s.host.connect('10.0.0.2', 0)).toBe(-5);
  });

  test('stale handles do nothing', () => {
    const s = Script.passive();
    const { stack } = s.host;
    stack.abort(s.conn);
    for (const handle of [s.conn, -1, 0, 0x7fff_ffff, 65_535]) {
      stack.close(handle);
      stack.abort(handle);
      stack.shutdown(handle);
      stack.accept(handle);
      expect(stack.sendRoom(handle)).toBe(0);
      expect(stack.recvAvailable(handle)).toBe(0);
      expect(stack.inspect(handle)).toBeUndefined();
      expect(stack.remote(handle).port).toBe(0);
    }
  });

  test('a port has one listener; after unlisten SYNs are refused', () => {
    const s = new Script();
    const listener = s.host.stack.listen(80, { deferred: false });
    expect(s.host.stack.listen(80, { deferred: true })).toBe(-1);
    s.host.stack.unlisten(listener);
    s.send('S', { seq: 0, ...s.synOptions() });
    expect(s.out[0]!.segment.flags).toBe('RA');
  });

  test('removing the address ends its connections', () => {
    const s = Script.passive();
    s.takeEvents();
    s.host.stack.removeAddress(s.us);
    s.collect();
    expect(s.takeEvents()).toBe(EventBits.ERROR);
    s.silent();
  });
});

describe('trap-18 local ports, RFC 6056', () => {
  test('all 32,768 ports serve one destination, then an error; another destination still works', () => {
    const host = new Host(['10.0.0.1'], { memoryBytes: 256 << 20 });
    const ports = new Set<number>();
    for (let i = 0; i < 32_768; i++) {
      const conn = host.connect('10.0.0.2', 80);
      expect(conn).toBeGreaterThan(0);
      ports.add(host.stack.local(conn).port);
    }
    expect(ports.size).toBe(32_768);
    expect(Math.min(...ports)).toBe(32_768);
    expect(host.connect('10.0.0.2', 80)).toBe(-3);
    expect(host.connect('10.0.0.2', 81)).toBeGreaterThan(0);
    expect(host.connect('10.0.0.3', 80)).toBeGreaterThan(0);
  });

  test('the ports of one destination tell nothing of those of another', () => {
    const host = new Host(['10.0.0.1']);
    const firsts: number[] = [];
    for (let i = 1; i <= 200; i++) firsts.push(host.stack.local(host.connect(`10.0.1.${i}`, 80)).port);
    const steps = firsts.slice(1).map((port, i) => port - firsts[i]!);
    expect(steps.filter(step => Math.abs(step) < 100).length).toBeLessThan(10);
    expect(new Set(firsts.map(port => port >> 12)).size).toBe(8);
  });
});

describe('trap-19 initial sequence numbers, RFC 6528', () => {
  const isn = (host: Host, to: string): number => {
    host.connect(to, 80);
    return readSegment(host.poll().at(-1)!).seq;
  };

  test('unrelated across destinations, other with another seed', () => {
    const host = new Host(['10.0.0.1']);
    const other = new Host(['10.0.0.1'], { seedByte: 9 });
    const numbers = [isn(host, '10.0.0.2'), isn(host, '10.0.0.3'), isn(host, '10.0.0.4'), isn(other, '10.0.0.2')];
    for (let i = 0; i < numbers.length; i++)
      for (let j = 0; j < i; j++) expect(Math.abs((numbers[i]! - numbers[j]!) | 0)).toBeGreaterThan(10_000);
  });

  test('a flow used again starts later: 250,000 a second', () => {
    const numbers: number[] = [];
    for (const now of [0, 1_000_000, 10_000_000]) {
      const s = new Script({ now });
      s.host.stack.listen(80, { deferred: false });
      s.send('S', { seq: 0, ...s.synOptions() });
      numbers.push(s.stackIsn);
    }
    expect([(numbers[1]! - numbers[0]!) | 0, (numbers[2]! - numbers[0]!) | 0]).toEqual([250_000, 2_500_000]);
  });
});

describe('trap-40 own addresses', () => {
  test('a connection to a listener of the same stack loops back inside', () => {
    const host = new Host(['10.0.0.1', 'fd00::1']);
    host.stack.listen(80, { deferred: false });
    for (const address of ['10.0.0.1', 'fd00::1']) {
      const client = host.connect(address, 80);
      expect(client).toBeGreaterThan(0);
      expect(host.poll()).toEqual([]);
      const events = host.events();
      const server = events.find(([, bits]) => bits & EventBits.ACCEPT)![0];
      expect(events.find(([conn]) => conn === client)![1]).toBe(EventBits.CONNECTED);
      const data = new Uint8Array(200_000).map((_, i) => i % 251);
      let written = 0;
      let received: number[] = [];
      for (let turn = 0; turn < 200 && received.length < data.length; turn++) {
        host.stack.setNow(turn * 1000);
        host.stack.advance();
        written += host.write(client, data.subarray(written));
        expect(host.poll()).toEqual([]);
        received = received.concat([...host.read(server)]);
      }
      expect(received.length).toBe(data.length);
      expect(Buffer.compare(Buffer.from(received), data)).toBe(0);
      host.stack.close(client);
      host.poll();
      host.stack.close(server);
      host.poll();
    }
    expect(host.stack.stats()['connections']).toBe(0);
  });

  test('to a closed port of our own: refused', () => {
    const host = new Host(['10.0.0.1']);
    const conn = host.connect('10.0.0.1', 81);
    host.poll();
    expect(host.events()).toEqual([[conn, EventBits.ERROR]]);
  });

  test('a packet from outside that claims to be from us is dropped', () => {
    const s = new Script();
    s.host.stack.listen(80, { deferred: false });
    const segment = s.build('S', { seq: 0 });
    segment.source = bytesOf('10.0.0.1');
    s.send('S');
    s.drain();
    const before = s.stat('ipSourceInvalid');
    s.inject(writeSegment(segment));
    s.silent();
    expect(s.stat('ipSourceInvalid')).toBe(before + 1);
  });
});
