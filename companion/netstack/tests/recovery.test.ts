import { describe, expect, test } from 'vitest';
import { Script } from '../testing/script.ts';

const MSS = 1368;

/** A connection whose srtt is `rtt` µs, with `segments` segments just sent and nothing else in flight. */
function flight(segments: number, rtt = 10_000, options: ConstructorParameters<typeof Script>[0] = {}): Script {
  const s = new Script({ window: 65_535, ...options });
  s.host.stack.listen(80, { deferred: false });
  s.send('S', { seq: 0, ...s.synOptions() });
  s.expect('SA');
  s.pass(rtt);
  s.send('A', { seq: 1, ack: 1 });
  s.conn = [...s.bits.keys()][0]!;
  s.drain();
  s.write(segments * MSS);
  return s;
}

/** Sequence number of segment `i`, counted from 0. */
const at = (i: number): number => 1 + i * MSS;

describe('trap-14 retransmission timer', () => {
  test('an RTO of srtt + 4 rttvar, at least 200 ms over srtt, doubles; ACKs that do not advance do not restart it', () => {
    const s = flight(1);
    const start = s.now;
    s.drain();
    const times: number[] = [];
    for (let i = 0; i < 60; i++) {
      s.pass(100_000);
      times.push(...s.out.map(x => x.at - start));
      s.drain();
      // Duplicate ACKs all the while.
      if (i < 4) s.send('A', { seq: 1, ack: 1 });
    }
    // A tail loss probe first (RFC 8985), then the RTOs, each interval twice the one before.
    const gaps = times.slice(1).map((time, i) => time - times[i]!);
    expect(times[0]).toBeGreaterThan(200_000);
    expect(times[0]).toBeLessThan(400_000);
    for (let i = 2; i < gaps.length; i++) expect(gaps[i]! / gaps[i - 1]!).toBeCloseTo(2, 1);
    expect(gaps.length).toBeGreaterThan(2);
  });

  test('after an RTO cwnd is one segment, and everything in flight goes again in slow start', () => {
    const s = flight(10);
    s.drain();
    s.pass(400_000);
    s.drain();
    expect(s.get('cwnd')).toBe(MSS);
    s.send('A', { seq: 1, ack: at(1), stamp: { echo: s.lastStamp } });
    expect(s.drain().length).toBe(2);
  });

  test('a spurious RTO is taken back when the ACK echoes the original (RFC 3522)', () => {
    const s = flight(10);
    const original = s.lastStamp;
    const cwnd = s.get('cwnd');
    s.drain();
    s.pass(600_000);
    expect(s.get('recovery')).toBe(2);
    s.send('A', { seq: 1, ack: at(10), stamp: { echo: original } });
    expect(s.stat('tcpUndos')).toBe(1);
    expect(s.get('cwnd')).toBeGreaterThanOrEqual(cwnd);
  });
});

describe('trap-27 reordering and loss, RFC 8985', () => {
  test('a hole with SACKs beyond is retransmitted within a round trip, once', () => {
    const s = flight(10);
    s.drain();
    s.pass(10_000);
    s.send('A', { seq: 1, ack: 1, sacks: [[at(1), at(2)]] });
    s.send('A', { seq: 1, ack: 1, sacks: [[at(1), at(3)]] });
    s.send('A', { seq: 1, ack: 1, sacks: [[at(1), at(4)]] });
    s.expect('A', { seq: 1, length: MSS });
    s.send('A', { seq: 1, ack: 1, sacks: [[at(1), at(10)]] });
    s.silent();
    s.pass(10_000);
    s.send('A', { seq: 1, ack: at(10) });
    expect(s.get('recovery')).toBe(0);
    expect(s.get('retransmits')).toBe(1);
    // CUBIC: 0.7 of the window of 10 segments.
    expect(s.get('cwnd')).toBeLessThanOrEqual(8 * MSS);
    expect(s.get('cwnd')).toBeGreaterThanOrEqual(6 * MSS);
  });

  test('overtaking by less than the reordering window is no loss', () => {
    const s = flight(10, 40_000);
    const cwnd = s.get('cwnd');
    s.drain();
    s.pass(40_000);
    s.send('A', { seq: 1, ack: 1, sacks: [[at(1), at(2)]] });
    s.pass(5_000);
    s.silent();
    s.send('A', { seq: 1, ack: at(2) });
    expect(s.get('retransmits')).toBe(0);
    expect(s.get('cwnd')).toBeGreaterThanOrEqual(cwnd);
  });

  test('D-SACK of a needless retransmission restores cwnd and widens the reordering window', () => {
    const s = flight(10, 10_000, { stamps: false });
    const cwnd = s.get('cwnd');
    s.drain();
    s.pass(10_000);
    s.send('A', { seq: 1, ack: 1, sacks: [[at(1), at(5)]] });
    s.pass(5_000);
    expect(s.drain().length).toBeGreaterThanOrEqual(1);
    // The original was only late; then the retransmission arrives as well.
    s.send('A', { seq: 1, ack: at(10) });
    s.pass(10_000);
    s.send('A', { seq: 1, ack: at(10), sacks: [[1, at(1)]] });
    expect(s.stat('tcpUndos')).toBe(1);
    expect(s.get('cwnd')).toBeGreaterThanOrEqual(cwnd);
    expect(s.get('reorderWindow')).toBeGreaterThan(0);
  });

  test('the last segment of a flight is probed for after 2 srtt (TLP), not an RTO', () => {
    const s = flight(10, 20_000);
    s.drain();
    s.pass(20_000);
    s.send('A', { seq: 1, ack: at(8) });
    const start = s.now;
    s.pass(100_000);
    const probe = s.expect('A', { seq: at(9), length: MSS });
    expect(probe.at - start).toBeLessThan(60_000);
    expect(s.stat('tcpTimeouts')).toBe(0);
    // The probe's SACK shows the hole before it.
    s.send('A', { seq: 1, ack: at(8), sacks: [[at(9), at(10)]] });
    s.pass(20_000);
    s.expect('A', { seq: at(8), length: MSS });
  });

  test('PRR: in recovery no more goes out than comes in', () => {
    const s = flight(10);
    s.write(100 * MSS);
    s.drain();
    s.pass(10_000);
    s.send('A', { seq: 1, ack: 1, sacks: [[at(1), at(4)]] });
    let sent = s.drain().length;
    for (let i = 5; i <= 10; i++) {
      s.send('A', { seq: 1, ack: 1, sacks: [[at(1), at(i)]] });
      const now = s.drain().length;
      expect(now).toBeLessThanOrEqual(2);
      sent += now;
    }
    expect(sent).toBeLessThanOrEqual(8);
    expect(sent).toBeGreaterThanOrEqual(3);
  });
});

describe('trap-29 hostile SACKs', () => {
  test.each<[string, [number, number][]]>([
    ['inverted', [[at(5), at(3)]]],
    ['empty', [[at(5), at(5)]]],
    ['beyond what was sent', [[at(5), at(50)]]],
    ['below the cumulative ACK', [[-5000, -2000]]],
    ['half the space', [[at(1), at(1) + 2 ** 31]]],
    [
      'overlapping each other',
      [
        [at(2), at(6)],
        [at(3), at(7)],
        [at(2), at(9)],
      ],
    ],
    [
      'splitting segments at odd places',
      [
        [at(2) + 7, at(2) + 9],
        [at(4) + 1, at(5) - 1],
      ],
    ],
  ])('%s: nothing breaks, all still arrives', (_name, sacks) => {
    const s = flight(10);
    s.drain();
    s.send('A', { seq: 1, ack: 1, sacks });
    expect(s.get('sacked') + s.get('lost')).toBeLessThanOrEqual(10 * MSS);
    s.pass(3_000_000);
    s.drain();
    s.send('A', { seq: 1, ack: at(10) });
    expect(s.get('inFlight')).toBe(0);
    expect(s.get('sacked')).toBe(0);
    expect(s.get('lost')).toBe(0);
    expect(s.stat('recordsUsed')).toBe(0);
    expect(s.stat('pagesUsed')).toBe(0);
  });

  test('reneging: data stays until the cumulative ACK and goes again', () => {
    const s = flight(4);
    s.drain();
    s.send('A', { seq: 1, ack: 1, sacks: [[at(1), at(4)]] });
    s.pass(20_000);
    s.drain();
    // The hole is filled, and yet the peer no longer has what it sacked.
    s.send('A', { seq: 1, ack: at(1) });
    let again = 0;
    for (let i = 0; i < 20; i++) {
      s.pass(500_000);
      again += s.drain().filter(x => (x.seq - s.stackIsn) >>> 0 >= at(1)).length;
    }
    expect(again).toBeGreaterThan(0);
    expect(s.get('sndQueued')).toBe(3 * MSS);
    s.send('A', { seq: 1, ack: at(4) });
    expect(s.stat('pagesUsed')).toBe(0);
  });
});

describe('trap-30 optimistic ACKs', () => {
  test('of what was never sent: challenge ACK, ignored', () => {
    const s = flight(2);
    s.drain();
    s.send('A', { seq: 1, ack: at(2) + 1 });
    s.expect('A', { seq: at(2), ack: 1 });
    expect(s.get('inFlight')).toBe(2 * MSS);
  });

  test('far below snd_una: challenge ACK (RFC 5961 5)', () => {
    const s = flight(2);
    s.send('A', { seq: 1, ack: at(2) });
    s.drain();
    s.send('A', { seq: 1, ack: at(2) - 2 ** 30 });
    s.expect('A', { ack: 1 });
  });
});

describe('trap-37 outage', () => {
  test('30 s of silence end nothing; then it goes on within one RTO', () => {
    const s = flight(10, 10_000, { rtoMax: 10_000 });
    s.drain();
    s.pass(30_000_000);
    s.drain();
    expect(s.takeEvents()).toBe(2);
    s.pass(10_000_000);
    expect(s.drain().length).toBeGreaterThan(0);
    s.send('A', { seq: 1, ack: at(1) });
    expect(s.drain().length).toBeGreaterThanOrEqual(2);
  });

  test('the user timeout ends it', () => {
    const s = flight(10, 10_000, { userTimeout: 60_000 });
    s.pass(130_000_000);
    expect(s.host.stack.errorOf(s.conn)).toBe('timeout');
    expect(s.stat('pagesUsed')).toBeLessThanOrEqual(1);
  });

  test('keepalive finds a dead peer, and a live one answers', () => {
    const s = Script.passive({ keepalive: 60_000 });
    s.pass(61_000_000);
    s.expect('A', { seq: 0, length: 0 });
    s.send('A', { seq: 1, ack: 1 });
    s.pass(59_000_000);
    s.silent();
    s.pass(60_000_000 + 10 * 75_000_000);
    expect(s.host.stack.errorOf(s.conn)).toBe('timeout');
  });

  test('a keepalive of the peer is answered', () => {
    const s = Script.passive();
    for (let i = 0; i < 30; i++) {
      s.send('A', { seq: 0, ack: 1 });
      s.expect('A', { seq: 1, ack: 1 });
      s.pass(10_000);
    }
  });
});

describe('trap-38 the clock jumps', () => {
  test('an hour late: one RTO, no cascade', () => {
    const s = flight(10);
    s.drain();
    s.jump(100_000_000);
    expect(s.stat('tcpTimeouts')).toBe(1);
    expect(s.drain().length).toBeLessThanOrEqual(2);
  });

  test('backwards: nothing happens', () => {
    const s = flight(10);
    s.drain();
    s.host.stack.setNow(0);
    s.host.stack.advance();
    s.collect();
    s.silent();
  });
});
