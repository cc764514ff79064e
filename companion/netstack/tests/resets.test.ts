import { describe, expect, test } from 'vitest';
import * as EventBits from '../event-bits.ts';
import { Script, State } from '../testing/script.ts';

describe('trap-05 RST, RFC 5961', () => {
  // The advertised window is 262,144 bytes from 1.
  const table: [name: string, seq: number, outcome: 'reset' | 'challenge' | 'dropped'][] = [
    ['exactly rcv_nxt', 1, 'reset'],
    ['one beyond', 2, 'challenge'],
    ['in the middle of the window', 100_000, 'challenge'],
    ['the last byte of the window', 262_144, 'challenge'],
    ['one below', 0, 'dropped'],
    ['far below', -100_000, 'dropped'],
    ['just past the window', 263_300, 'dropped'],
    ['half the space away', 2 ** 31, 'dropped'],
    ['far beyond', 2 ** 30, 'dropped'],
  ];
  const states: [name: string, prepare: (s: Script) => void][] = [
    ['ESTABLISHED', () => {}],
    ['FIN-WAIT-1', s => s.call((stack, conn) => stack.shutdown(conn))],
    [
      'FIN-WAIT-2',
      s => {
        s.call((stack, conn) => stack.shutdown(conn));
        s.send('A', { seq: 1, ack: 2 });
      },
    ],
  ];
  for (const [state, prepare] of states) {
    test.each(table)(`${state}: %s`, (_name, seq, outcome) => {
      const s = Script.passive();
      prepare(s);
      s.drain();
      s.takeEvents();
      s.send('R', { seq });
      if (outcome === 'reset') {
        s.silent();
        expect(s.takeEvents()).toBe(EventBits.RESET);
        expect(s.host.stack.errorOf(s.conn)).toBe('reset');
      } else {
        if (outcome === 'challenge') s.expect('A', { ack: 1 });
        s.silent();
        expect(s.takeEvents()).toBe(0);
        expect(s.state).toBeGreaterThanOrEqual(State.established);
      }
    });
  }

  test('challenge ACKs are limited', () => {
    const s = Script.passive();
    for (let i = 0; i < 100; i++) s.send('R', { seq: 1000 });
    expect(s.drain().length).toBeLessThanOrEqual(10);
  });

  test('in SYN-SENT only one that acknowledges our SYN counts', () => {
    const s = new Script();
    s.dial();
    s.send('R', { seq: 0 });
    s.send('RA', { seq: 0, ack: 5 });
    s.send('RA', { seq: 0, ack: 0 });
    expect(s.state).toBe(State.synSent);
    s.silent();
    s.send('RA', { seq: 0, ack: 1 });
    expect(s.takeEvents()).toBe(EventBits.ERROR);
    expect(s.host.stack.errorOf(s.conn)).toBe('refused');
  });

  test('a RST is never answered', () => {
    const s = new Script();
    s.send('R', { seq: 5 });
    s.send('RA', { seq: 5, ack: 77 });
    s.silent();
  });

  test('a segment for no connection: RST with the ACK as its number, or RST and ACK (RFC 9293 3.10.7.1)', () => {
    const s = new Script();
    s.send('A', { seq: 5, ack: 1234, data: 'x' });
    const first = s.out.shift()!.segment;
    expect([first.flags, first.seq]).toEqual(['R', 1234]);
    s.send('S', { seq: 7 });
    const second = s.out.shift()!.segment;
    expect([second.flags, second.seq, (second.ack - s.peerIsn) >>> 0]).toEqual(['RA', 0, 8]);
  });

  test('a passive connection in SYN-RECEIVED goes back to LISTEN without a word', () => {
    const s = new Script();
    s.host.stack.listen(80, { deferred: false });
    s.send('S', { seq: 0, ...s.synOptions() });
    s.expect('SA');
    s.send('R', { seq: 1 });
    expect(s.stat('connections')).toBe(0);
    s.silent();
  });
});

describe('trap-06 SYN in a synchronized state', () => {
  test.each([-1000, 0, 1, 5000, 10 ** 6])('challenge ACK for a SYN at %i', seq => {
    const s = Script.passive();
    s.send('S', { seq });
    s.expect('A', { seq: 1, ack: 1 });
    expect(s.state).toBe(State.established);
  });

  test('TIME-WAIT takes a SYN with a newer stamp for a new connection (RFC 6191), with a later sequence number of ours', () => {
    const s = Script.passive();
    s.call((stack, conn) => stack.close(conn));
    s.drain();
    s.send('FA', { seq: 1, ack: 2 });
    const last = s.expect('A');
    s.pass(5_000_000);
    s.send('S', { seq: 100_000, ...s.synOptions() });
    const synAck = s.out.shift()!.segment;
    expect(synAck.flags).toBe('SA');
    expect((synAck.seq - last.seq) | 0).toBeGreaterThan(0);
    expect(s.stat('timeWaits')).toBe(0);
  });

  test('TIME-WAIT answers an older SYN by an ACK', () => {
    const s = Script.passive();
    s.call((stack, conn) => stack.close(conn));
    s.drain();
    s.send('FA', { seq: 1, ack: 2 });
    s.drain();
    s.send('S', { seq: 100_000, ...s.synOptions(), stamp: { value: s.peerClock() - 1000, echo: 0 } });
    s.expect('A', { ack: 2 });
    expect(s.stat('timeWaits')).toBe(1);
  });

  test('SYN-SENT answers an unacceptable ACK by RST and asks again at once', () => {
    const s = new Script();
    s.dial();
    s.send('A', { seq: 500, ack: 1000 });
    const first = s.out.shift()!.segment;
    const second = s.out.shift()!.segment;
    expect([first.flags, second.flags].sort()).toEqual(['R', 'S']);
    const reset = first.flags === 'R' ? first : second;
    expect((reset.seq - s.stackIsn) >>> 0).toBe(1000);
  });
});

describe('trap-16 SYN flood', () => {
  test('beyond 1024 half-open connections cookies answer, and memory stays', () => {
    const s = new Script();
    s.host.stack.listen(80, { deferred: false });
    for (let i = 0; i < 20_000; i++) {
      s.peerPort = 1 + i;
      s.send('S', { seq: i, ...s.synOptions() });
      if (i % 1000 === 0) s.pass(100);
    }
    const answers = s.drain();
    expect(answers.length).toBe(20_000);
    expect(s.stat('halfOpen')).toBe(1024);
    expect(s.stat('pagesUsed')).toBe(0);
    expect(s.stat('tcpCookiesSent')).toBe(20_000 - 1024);
    // An honest peer gets through all the same, with its window scale and SACK kept.
    s.peerPort = 50_000;
    s.send('S', { seq: 0, ...s.synOptions() });
    s.expect('SA', { ack: 1 });
    s.send('A', { seq: 1, ack: 1 });
    expect(s.stat('tcpCookiesOk')).toBe(1);
    const [conn] = [...s.bits].find(([, bits]) => bits & EventBits.ACCEPT)!;
    s.conn = conn;
    expect(s.get('sndWnd')).toBe(65_535 * 128);
    s.drain();
    s.send('A', { seq: 5, data: 'hole' });
    s.expect('A', { ack: 1, sacks: [[5, 9]] });
    s.write(3000);
    s.expect('A', { seq: 1, length: 1368 });
  });

  test('a forged cookie is answered by RST', () => {
    const s = new Script();
    s.host.stack.listen(80, { deferred: false });
    s.send('A', { seq: 1, ack: 12_345 });
    const { segment } = s.out.shift()!;
    expect(segment.flags).toBe('R');
    expect(s.stat('connections')).toBe(0);
    expect(s.stat('tcpCookiesBad')).toBe(1);
  });

  test('SYN-ACKs are repeated five times, then the place is free', () => {
    const s = new Script();
    s.host.stack.listen(80, { deferred: false });
    s.send('S', { seq: 0, ...s.synOptions() });
    s.pass(200_000_000);
    expect(s.drain().map(x => x.flags)).toEqual(['SA', 'SA', 'SA', 'SA', 'SA', 'SA']);
    expect(s.stat('connections')).toBe(0);
  });
});

describe('trap-17 deferred accept', () => {
  const knock = (): Script => {
    const s = new Script();
    s.host.stack.listen(80, { deferred: true });
    s.send('S', { seq: 0, ...s.synOptions() });
    s.silent();
    s.conn = [...s.bits].find(([, bits]) => bits & EventBits.SYN)![0];
    return s;
  };

  test('accept() sends the SYN-ACK, CONNECTED follows the peer', () => {
    const s = knock();
    s.pass(500_000);
    s.send('S', { seq: 0, ...s.synOptions() });
    s.silent();
    s.takeEvents();
    expect(s.host.stack.remote(s.conn)).toEqual({ address: s.them, port: 40_000 });
    expect(s.host.stack.local(s.conn)).toEqual({ address: s.us, port: 80 });
    s.call((stack, conn) => stack.accept(conn));
    s.expect('SA', { seq: 0, ack: 1 });
    s.send('A', { seq: 1, ack: 1, data: 'hi' });
    expect(s.takeEvents()).toBe(EventBits.CONNECTED | EventBits.READABLE);
  });

  test('reject() answers RST', () => {
    const s = knock();
    s.call((stack, conn) => stack.reject(conn));
    s.expect('RA', { ack: 1 });
    expect(s.stat('connections')).toBe(0);
  });

  test('a peer that gives up takes its SYN back', () => {
    const s = knock();
    s.takeEvents();
    s.send('R', { seq: 1 });
    expect(s.takeEvents()).toBe(EventBits.RESET);
  });

  test('an application that never answers: gone after a minute', () => {
    const s = knock();
    s.takeEvents();
    s.pass(61_000_000);
    expect(s.takeEvents()).toBe(EventBits.ERROR);
    s.host.stack.close(s.conn);
    expect(s.stat('connections')).toBe(0);
    expect(s.stat('halfOpen')).toBe(0);
  });
});
