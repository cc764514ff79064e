import { describe, expect, test } from 'vitest';
import * as EventBits from '../event-bits.ts';
import { Script } from '../testing/script.ts';

/** A multiple of the window's unit, so that rounding plays no part. */
const SEGMENT = 1280;

/** Fills the receive buffer without reading. @returns the next sequence number */
function fill(s: Script, from = 1): number {
  let seq = from;
  for (let i = 0; i < 1000; i++) {
    const open = s.get('rcvAdvertised') - s.get('rcvNxt');
    if (open <= 0) break;
    const length = Math.min(SEGMENT, open);
    s.send('A', { seq, data: length });
    seq += length;
  }
  s.drain();
  return seq;
}

describe('trap-08 silly windows, receiving', () => {
  test('reading byte by byte moves the edge by a segment at a time', () => {
    const s = Script.passive();
    const seq = fill(s);
    s.send('A', { seq, data: 'p' });
    const closed = s.expect('A', { ack: seq });
    expect(closed.window).toBe(0);
    let updates = 0;
    for (let i = 0; i < 5000; i++) {
      s.read(1);
      for (const segment of s.drain()) {
        updates++;
        expect(segment.window * 128).toBeGreaterThanOrEqual(1280);
      }
    }
    expect(updates).toBeGreaterThan(0);
    expect(updates).toBeLessThanOrEqual(4);
  });

  test('a probe is answered by a window of 0 until a segment fits', () => {
    const s = Script.passive();
    const seq = fill(s);
    s.read(1000);
    s.drain();
    s.send('A', { seq, data: 'p' });
    expect(s.expect('A').window).toBe(0);
    s.read(400);
    expect(s.expect('A').window).toBeGreaterThan(0);
  });
});

describe('trap-09 silly windows, sending', () => {
  test('writes of one byte in one turn are one segment', () => {
    const s = Script.passive();
    for (let i = 0; i < 100; i++) s.host.write(s.conn, Uint8Array.of(i));
    s.collect();
    s.expect('A', { seq: 1, length: 100 });
    s.silent();
  });

  test('a window below half the largest is not filled by a scrap, but by the override timer', () => {
    const s = Script.passive({ scale: 0, window: 8000 });
    s.send('A', { seq: 1, ack: 1, data: 'x' });
    s.send('A', { seq: 2, ack: 1, window: 500 });
    s.drain();
    s.write(5000);
    s.silent();
    s.pass(1_500_000);
    s.expect('A', { seq: 1, length: 500 });
  });
});

describe('trap-10 lost window update', () => {
  test('the update goes out at once when a segment fits again', () => {
    const s = Script.passive();
    fill(s);
    s.read(1300);
    s.silent();
    s.read(100);
    expect(s.expect('A').window).toBeGreaterThan(0);
  });

  test('if it was lost the probe fetches it, and we probe with a real byte', () => {
    const s = Script.passive();
    s.send('A', { seq: 1, window: 0 });
    s.drain();
    s.write(100);
    s.silent();
    s.pass(300_000);
    s.expect('A', { seq: 1, length: 1 });
    s.send('A', { seq: 1, ack: 2, window: 65_535 });
    s.expect('A', { seq: 2, length: 99 });
  });
});

describe('trap-11 probing for ever', () => {
  test('for hours while each probe is answered, at most a minute apart', () => {
    const s = Script.passive();
    s.send('A', { seq: 1, window: 0 });
    s.drain();
    s.write(100);
    let probes = 0;
    let last = s.now;
    let widest = 0;
    while (s.now < 4 * 3_600_000_000) {
      s.pass(100_000);
      for (const { at } of s.out) {
        probes++;
        widest = Math.max(widest, at - last);
        last = at;
      }
      if (s.drain().length > 0) s.send('A', { seq: 1, ack: 1, window: 0 });
      s.drain();
    }
    expect(probes).toBeGreaterThan(200);
    expect(widest).toBeLessThanOrEqual(60_100_000);
    s.send('A', { seq: 1, ack: 1, window: 1000 });
    expect(s.drain().length).toBeGreaterThan(0);
  });

  test('unanswered probes end with the user timeout', () => {
    const s = Script.passive({ userTimeout: 120_000 });
    s.send('A', { seq: 1, window: 0 });
    s.drain();
    s.write(100);
    s.pass(100_000_000);
    expect(s.takeEvents() & EventBits.ERROR).toBe(0);
    s.pass(90_000_000);
    expect(s.takeEvents() & EventBits.ERROR).toBe(EventBits.ERROR);
    expect(s.host.stack.errorOf(s.conn)).toBe('timeout');
  });
});

describe('trap-12 the peer shrinks its window', () => {
  test('bytes in flight beyond the new edge are no loss', () => {
    const s = Script.passive({ scale: 0, window: 10_000 });
    s.write(6000);
    expect(s.drain().length).toBe(5);
    const cwnd = s.get('cwnd');
    s.send('A', { seq: 1, ack: 1369, window: 0 });
    s.pass(5_000_000);
    for (const segment of s.drain()) expect(segment.data.length).toBe(1);
    expect(s.get('cwnd')).toBeGreaterThanOrEqual(cwnd);
    s.send('A', { seq: 1, ack: 1369, window: 10_000 });
    expect(s.drain().reduce((sum, x) => sum + x.data.length, 0)).toBe(6000 - 1368);
    expect(s.get('cwnd')).toBeGreaterThanOrEqual(cwnd);
    expect(s.stat('tcpRecoveries')).toBe(0);
  });
});

describe('trap-13 window scale', () => {
  test('the window of a SYN is not scaled, ours is 7, a larger shift than 14 counts as 14', () => {
    const s = Script.passive({ scale: 200, window: 3 });
    expect(s.get('sndWnd')).toBe(3 << 14);
  });

  test('without the option neither side scales', () => {
    const s = Script.passive({ scale: null });
    expect(s.get('sndWnd')).toBe(65_535);
    s.send('A', { seq: 1, data: 100 });
    expect(s.expect('A').window).toBeGreaterThan(60_000);
    expect(s.get('rcvBuffer')).toBe(65_535);
  });

  test('our SYN-ACK offers a scale only if the SYN did', () => {
    const s = new Script({ scale: null });
    s.host.stack.listen(80, { deferred: false });
    s.send('S', { seq: 0, ...s.synOptions() });
    expect(s.out[0]!.segment.scale).toBeUndefined();
  });
});

describe('trap-21, trap-35 back pressure', () => {
  test('the application cannot queue more than the send buffer, and hears when there is room', () => {
    const s = Script.passive({ window: 1000 });
    let queued = 0;
    for (let wrote = -1; wrote !== 0; queued += wrote) wrote = s.write(100_000);
    expect(queued).toBeLessThanOrEqual(256 * 1024);
    s.takeEvents();
    let acked = 1;
    while ((s.takeEvents() & EventBits.WRITABLE) === 0) {
      const next = s.drain();
      acked = Math.max(acked, ...next.map(x => ((x.seq - s.stackIsn) >>> 0) + x.data.length));
      s.send('A', { seq: 1, ack: acked });
      expect(acked).toBeLessThan(200_000);
    }
    expect(s.host.stack.sendRoom(s.conn)).toBeGreaterThan(60_000);
  });

  test('the window closes while nobody reads, and memory stays within the buffer', () => {
    const s = Script.passive();
    fill(s);
    expect(s.get('rcvQueued')).toBeLessThanOrEqual(s.get('rcvBuffer') + 16_384);
    expect(s.stat('pagesUsed') * 4096).toBeLessThan(300_000);
  });
});
