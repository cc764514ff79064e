import { describe, expect, test } from 'vitest';
import * as EventBits from '../event-bits.ts';
import { Script, State } from '../testing/script.ts';

describe('trap-01 simultaneous close', () => {
  test('the FIN is sent after queued data, retransmitted in CLOSING, then TIME-WAIT', () => {
    const s = Script.passive();
    s.write('last words');
    s.expect('A', { seq: 1, length: 10 });
    s.call((stack, conn) => stack.shutdown(conn));
    s.expect('FA', { seq: 11, length: 0 });
    expect(s.state).toBe(State.finWait1);
    // The peer's FIN crosses ours: it has not seen our data.
    s.send('FA', { seq: 1, ack: 1 });
    expect(s.state).toBe(State.closing);
    s.expect('A', { seq: 12, ack: 2 });
    s.pass(1_500_000);
    // Everything goes again, the FIN with it.
    const again = s.drain();
    expect(again.some(segment => segment.flags.includes('F'))).toBe(true);
    s.send('A', { seq: 2, ack: 12 });
    expect(s.takeEvents() & EventBits.CLOSED).toBe(EventBits.CLOSED);
    expect(s.stat('timeWaits')).toBe(1);
    s.pass(61_000_000);
    expect(s.stat('timeWaits')).toBe(0);
  });

  test('LAST-ACK retransmits its FIN until it is acknowledged', () => {
    const s = Script.passive();
    s.send('FA', { seq: 1 });
    s.expect('A', { ack: 2 });
    expect(s.takeEvents() & EventBits.EOF).toBe(EventBits.EOF);
    s.call((stack, conn) => stack.close(conn));
    s.expect('FA', { seq: 1, ack: 2 });
    s.pass(700_000);
    const again = s.drain();
    expect(again.length).toBeGreaterThan(0);
    expect(again.every(segment => segment.flags.includes('F'))).toBe(true);
    s.send('A', { seq: 2, ack: 2 });
    expect(s.stat('connections')).toBe(0);
    expect(s.stat('timeWaits')).toBe(0);
  });
});

describe('trap-02 close with data behind a zero window', () => {
  test('FIN-WAIT-1 at once, probes, and a reset after the orphan limit', () => {
    const s = Script.passive();
    s.send('A', { seq: 1, window: 0 });
    s.drain();
    s.write(5000);
    s.silent();
    s.call((stack, conn) => stack.close(conn));
    s.silent();
    expect(s.stat('connections')).toBe(1);
    s.pass(1_200_000);
    s.expect('A', { seq: 1, length: 1 });
    // The peer answers each probe and keeps its window closed.
    for (let i = 0; i < 200 && s.stat('connections') > 0; i++) {
      s.send('A', { seq: 1, ack: 1, window: 0 });
      s.pass(1_000_000);
    }
    expect(s.stat('connections')).toBe(0);
    expect(s.stat('pagesUsed')).toBe(s.stat('datagramsQueued'));
    expect(s.drain().some(segment => segment.flags.includes('R'))).toBe(true);
    expect(s.now).toBeLessThan(140_000_000);
  });

  test('the data and the FIN still go out if the window opens', () => {
    const s = Script.passive();
    s.send('A', { seq: 1, window: 0 });
    s.drain();
    s.write(1000);
    s.call((stack, conn) => stack.close(conn));
    s.send('A', { seq: 1, ack: 1, window: 100 });
    s.expect('FA', { seq: 1, length: 1000 });
    s.send('A', { seq: 1, ack: 1002 });
    s.send('FA', { seq: 1, ack: 1002 });
    s.expect('A', { seq: 1002, ack: 2 });
    expect(s.stat('connections')).toBe(0);
  });
});

describe('trap-03 half-close', () => {
  test('after shutdown data is received for as long as the application holds the connection', () => {
    const s = Script.passive();
    s.call((stack, conn) => stack.shutdown(conn));
    s.expect('FA', { seq: 1 });
    s.send('A', { seq: 1, ack: 2 });
    expect(s.state).toBe(State.finWait2);
    s.pass(3_600_000_000);
    s.silent();
    s.send('A', { seq: 1, ack: 2, data: 'late' });
    expect(Buffer.from(s.read()).toString()).toBe('late');
    expect(s.state).toBe(State.finWait2);
  });

  test('an orphan in FIN-WAIT-2 is gone after 60 s', () => {
    const s = Script.passive();
    s.call((stack, conn) => stack.close(conn));
    s.expect('FA', { seq: 1 });
    s.send('A', { seq: 1, ack: 2 });
    s.pass(59_000_000);
    expect(s.stat('connections')).toBe(1);
    s.pass(2_000_000);
    expect(s.stat('connections')).toBe(0);
    expect(s.stat('tcpAbortOrphan')).toBe(1);
  });

  test('data for an orphan is answered by a reset', () => {
    const s = Script.passive();
    s.call((stack, conn) => stack.close(conn));
    s.expect('FA', { seq: 1 });
    s.send('A', { seq: 1, ack: 2, data: 'nobody reads this' });
    s.expect('RA', { seq: 2 });
    expect(s.stat('connections')).toBe(0);
  });
});

describe('trap-04 the peer ends first', () => {
  test('its FIN leaves our direction open', () => {
    const s = Script.passive();
    s.send('FA', { seq: 1, data: 'request' });
    s.expect('A', { ack: 9 });
    expect(s.takeEvents() & (EventBits.READABLE | EventBits.EOF)).toBe(EventBits.READABLE | EventBits.EOF);
    expect(Buffer.from(s.read()).toString()).toBe('request');
    expect(s.host.stack.recvEnded(s.conn)).toBe(true);
    for (let i = 0; i < 5; i++) {
      s.write(1000);
      s.expect('A', { seq: 1 + i * 1000, length: 1000 });
      s.send('A', { seq: 9, ack: 1001 + i * 1000 });
      s.pass(1_000_000);
    }
    s.call((stack, conn) => stack.shutdown(conn));
    s.expect('FA', { seq: 5001 });
    s.send('A', { seq: 9, ack: 5002 });
    expect(s.takeEvents() & EventBits.CLOSED).toBe(EventBits.CLOSED);
  });
});

describe('trap-07 close with unread data', () => {
  test('is a reset', () => {
    const s = Script.passive();
    s.send('A', { seq: 1, data: 'unread' });
    s.drain();
    s.call((stack, conn) => stack.close(conn));
    s.expect('RA', { seq: 1 });
    expect(s.stat('connections')).toBe(0);
    expect(s.stat('pagesUsed')).toBe(0);
  });

  test('not if all was read', () => {
    const s = Script.passive();
    s.send('A', { seq: 1, data: 'read' });
    s.read();
    s.drain();
    s.call((stack, conn) => stack.close(conn));
    s.expect('FA', { seq: 1, ack: 5 });
  });
});

describe('trap-32 FIN out of order, repeated, in TIME-WAIT', () => {
  test('a FIN beyond a hole waits for the hole', () => {
    const s = Script.passive();
    s.send('FA', { seq: 11, data: 'tail' });
    s.expect('A', { ack: 1, sacks: [[11, 15]] });
    expect(s.takeEvents() & EventBits.EOF).toBe(0);
    s.send('A', { seq: 1, data: '0123456789' });
    s.expect('A', { ack: 16 });
    expect(s.takeEvents() & EventBits.EOF).toBe(EventBits.EOF);
    expect(Buffer.from(s.read()).toString()).toBe('0123456789tail');
  });

  test('a bare FIN beyond a hole, the data later', () => {
    const s = Script.passive();
    s.send('FA', { seq: 5 });
    s.expect('A', { ack: 1 });
    s.send('A', { seq: 1, data: 'abcd' });
    s.expect('A', { ack: 6 });
    expect(s.state).toBe(State.closeWait);
  });

  test('a repeated FIN in TIME-WAIT is acknowledged and starts 2 MSL anew; after it a RST', () => {
    const s = Script.passive();
    s.call((stack, conn) => stack.close(conn));
    s.expect('FA', { seq: 1 });
    s.send('FA', { seq: 1, ack: 2 });
    s.expect('A', { seq: 2, ack: 2 });
    s.pass(50_000_000);
    s.send('FA', { seq: 1, ack: 2 });
    s.expect('A', { seq: 2, ack: 2 });
    s.pass(50_000_000);
    expect(s.stat('timeWaits')).toBe(1);
    s.pass(11_000_000);
    expect(s.stat('timeWaits')).toBe(0);
    s.send('FA', { seq: 1, ack: 2 });
    s.expect('R', { seq: 2 });
  });

  test('a RST does not cut TIME-WAIT short (RFC 1337)', () => {
    const s = Script.passive();
    s.call((stack, conn) => stack.close(conn));
    s.drain();
    s.send('FA', { seq: 1, ack: 2 });
    s.drain();
    s.send('R', { seq: 2 });
    expect(s.stat('timeWaits')).toBe(1);
    s.silent();
  });
});
