import { describe, expect, test } from 'vitest';
import { Random } from '../testing/random.ts';
import { Script } from '../testing/script.ts';

const seed = Number(process.env['SEED'] ?? 31);

/** What a receiver must hold: first come stays, per byte. */
class Model {
  readonly bytes = new Map<number, number>();
  next = 1;

  take(seq: number, data: Uint8Array, edge: number): void {
    data.forEach((byte, i) => {
      const at = seq + i;
      if (at >= this.next && at < edge && !this.bytes.has(at)) this.bytes.set(at, byte);
    });
    while (this.bytes.has(this.next)) this.next++;
  }
}

describe(`trap-31 reassembly, SEED=${seed}`, () => {
  test.each(Array.from({ length: 20 }, (_, i) => seed + i))(
    'overlaps, holes, repetitions against a model, seed %i',
    seed => {
      const r = new Random(seed);
      const s = Script.passive({ seed: new Uint8Array(32).fill(seed & 255) });
      const model = new Model();
      const size = r.pick([20, 200, 1300]);
      let read = 1;
      for (let i = 0; i < 600; i++) {
        const seq = model.next + r.integer(-2 * size, 6 * size);
        const data = r.bytes(r.integer(1, size));
        if (seq < 1) continue;
        const ranges = s.get('outOfOrder');
        s.send('A', { seq, data });
        model.take(seq, data, s.get('rcvAdvertised') - s.peerIsn);
        expect((s.get('rcvNxt') - s.peerIsn) >>> 0).toBe(model.next);
        expect(ranges).toBeGreaterThanOrEqual(0);
        // Every SACK block is something the model holds, whole, with a hole on both sides.
        for (const segment of s.drain()) {
          const wanted = s.relative(segment);
          expect(wanted.ack).toBe(model.next);
          for (const [start, end] of wanted.sacks ?? []) {
            if (end <= model.next) continue;
            expect(model.bytes.has(start) && model.bytes.has(end - 1)).toBe(true);
          }
        }
        if (r.chance(0.1)) {
          for (const byte of s.read(r.integer(1, 5000))) {
            if (model.bytes.get(read) !== byte) expect.fail(`byte ${read} differs`);
            read++;
          }
        }
      }
      const held = [...model.bytes.keys()].filter(at => at >= model.next).length;
      expect(s.get('outOfOrder')).toBe(held);
      for (const byte of s.read()) {
        if (model.bytes.get(read) !== byte) expect.fail(`byte ${read} differs`);
        read++;
      }
      expect(read).toBe(model.next);
    },
  );

  test('SACK blocks: the latest first, three with stamps (RFC 2018 4)', () => {
    const s = Script.passive();
    for (const seq of [11, 31, 51, 71, 91]) s.send('A', { seq, data: 5 });
    const last = s.drain().at(-1)!;
    expect(s.relative(last).sacks).toEqual([
      [91, 96],
      [71, 76],
      [51, 56],
    ]);
    s.send('A', { seq: 16, data: 3 });
    expect(s.relative(s.drain().at(-1)!).sacks![0]).toEqual([11, 19]);
  });

  test('what was there already is reported by D-SACK (RFC 2883)', () => {
    const s = Script.passive();
    s.send('A', { seq: 1, data: 100 });
    s.drain();
    s.send('A', { seq: 1, data: 100 });
    expect(s.relative(s.drain().at(-1)!)).toMatchObject({ ack: 101, sacks: [[1, 101]] });
    s.send('A', { seq: 201, data: 50 });
    s.send('A', { seq: 211, data: 10 });
    expect(s.relative(s.drain().at(-1)!).sacks).toEqual([
      [211, 221],
      [201, 251],
    ]);
  });
});
