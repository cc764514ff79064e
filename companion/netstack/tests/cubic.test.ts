import { describe, expect, test } from 'vitest';
import { Script } from '../testing/script.ts';

const MSS = 1368;
const RTT = 100_000;
const PLENTY = new Uint8Array(1_000_000);

/** A peer with a huge window that acknowledges all of a round at once, a round trip later. */
class Rounds {
  readonly s = Script.passive({ scale: 14, window: 65_535 });

  constructor() {
    this.s.pass(RTT);
  }

  /** One round trip. @param lose the first segment of the round @returns segments that the round had */
  round(lose = false): number {
    const { s } = this;
    const out = new Set<number>();
    for (let i = 0; i < 40; i++) {
      s.host.write(s.conn, PLENTY);
      s.pass(RTT / 40);
      for (const segment of s.drain()) out.add((segment.seq - s.stackIsn) >>> 0);
    }
    const sequence = [...out].sort((a, b) => a - b);
    const end = s.get('sndNxt') - s.stackIsn;
    if (!lose) {
      // In pieces, as a receiver does.
      for (let i = 15; i < sequence.length; i += 16) s.send('A', { seq: 1, ack: sequence[i]! });
      s.send('A', { seq: 1, ack: end >>> 0 });
    } else {
      for (let i = 20; i < sequence.length; i += 16)
        s.send('A', { seq: 1, ack: sequence[0]!, sacks: [[sequence[1]!, sequence[i]!]] });
      s.pass(RTT);
      s.drain();
      s.send('A', { seq: 1, ack: (s.get('sndNxt') - s.stackIsn) >>> 0 });
    }
    return sequence.length;
  }

  get cwnd(): number {
    return this.s.get('cwnd') / MSS;
  }
}

describe('trap-28 CUBIC, RFC 9438', () => {
  test('slow start doubles per round', () => {
    const r = new Rounds();
    const before = r.cwnd;
    r.round();
    r.round();
    r.round();
    expect(r.cwnd / before).toBeGreaterThan(5);
    expect(r.cwnd / before).toBeLessThan(17);
  });

  test('after a loss: times 0.7, then the curve C (t - K)^3 + Wmax of section 4.2', () => {
    const r = new Rounds();
    while (r.cwnd < 150) r.round();
    const top = r.cwnd;
    r.round(true);
    const start = r.s.now;
    const low = r.cwnd;
    expect(low / top).toBeGreaterThan(0.65);
    expect(low / top).toBeLessThan(0.8);
    const k = Math.cbrt((top - low) / 0.4);
    for (let i = 0; i < 70; i++) {
      r.round();
      const t = (r.s.now - start) / 1e6;
      const reference = Math.max(low, 0.4 * (t - k) ** 3 + top);
      if (i % 5 === 4) {
        expect(r.cwnd / reference).toBeGreaterThan(0.85);
        expect(r.cwnd / reference).toBeLessThan(1.15);
      }
    }
    expect(r.cwnd).toBeGreaterThan(top);
  });

  test('hours of idle or of silence do not let the curve run away', () => {
    const r = new Rounds();
    while (r.cwnd < 100) r.round();
    r.round(true);
    const before = r.cwnd;
    r.s.pass(10_000_000);
    for (let hours = 0; hours < 5; hours++) {
      r.s.send('A', { seq: 1, ack: (r.s.get('sndNxt') - r.s.stackIsn) >>> 0 });
      r.s.drain();
      r.s.pass(3_600_000_000);
    }
    expect(r.cwnd).toBeLessThan(before * 2);
    expect(Number.isFinite(r.s.get('cwnd'))).toBe(true);
  });
});
