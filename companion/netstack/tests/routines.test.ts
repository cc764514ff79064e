import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Core } from '../core.ts';
import { instantiate } from '../core.ts';
import { COUNTER_NAMES } from '../counters.ts';
import { Random } from '../testing/random.ts';
import { checksum } from '../testing/segment.ts';

let core: Core;
let u8: Uint8Array;
let at: number;

beforeAll(() => {
  const made = instantiate({ mtu: 1420, seed: new Uint8Array(32).map((_, i) => i), now: 0, memoryBytes: 16 << 20 });
  core = made.core;
  u8 = new Uint8Array(made.memory.buffer);
  at = core.reserve(1 << 18);
});

const seed = Number(process.env['SEED'] ?? 20_261_123);

describe(`fast routines against slow twins, SEED=${seed}`, () => {
  test('sum and copySum', () => {
    const r = new Random(seed);
    for (let i = 0; i < 3000; i++) {
      const length = r.chance(0.1) ? r.integer(0, 65_535) : r.integer(0, 300);
      const from = at + r.integer(0, 70);
      const to = at + 100_000 + r.integer(0, 70);
      const data = r.chance(0.1) ? new Uint8Array(length).fill(255) : r.bytes(length);
      u8.set(data, from);
      u8.fill(0xaa, to - 4, to + length + 4);
      // The core sums little-endian words: its 16 bits are ours with the bytes swapped.
      const folded = core.fold(core.sum(from, length));
      const wanted = ~checksum(data) & 0xffff;
      const swapped = ((folded & 255) << 8) | (folded >> 8);
      expect(swapped === wanted || (swapped % 0xffff === 0 && wanted % 0xffff === 0)).toBe(true);
      expect(core.fold(core.copySum(to, from, length))).toBe(folded);
      expect(Buffer.compare(u8.subarray(to, to + length), data)).toBe(0);
      expect([u8[to - 1], u8[to + length]]).toEqual([0xaa, 0xaa]);
    }
  });

  test('fold of large sums', () => {
    const r = new Random(seed);
    for (let i = 0; i < 1000; i++) {
      const sum = BigInt(Math.floor(r.next() * 2 ** 48)) * BigInt(r.integer(0, 65_535));
      let slow = sum;
      while (slow > 0xffffn) slow = (slow & 0xffffn) + (slow >> 16n);
      expect(core.fold(sum)).toBe(Number(slow));
    }
  });

  test('SipHash-2-4 of 48 bytes', () => {
    const words = [1n, 2n, 0xffff_ffff_ffff_ffffn, 0x0123_4567_89ab_cdefn, 5n, 6n] as const;
    const hash = BigInt.asUintN(64, core.sipHashOf(...words));
    const key = new Uint8Array(16).map((_, i) => i);
    const message = new Uint8Array(48);
    for (const [i, word] of words.entries()) new DataView(message.buffer).setBigUint64(i * 8, word, true);
    expect(hash).toBe(sipHash24(key, message));
  });
});

/** As in the paper's pseudo code, on BigInts; checked against the vector of its Appendix A below. */
function sipHash24(key: Uint8Array, message: Uint8Array): bigint {
  const mask = (1n << 64n) - 1n;
  const word = (bytes: Uint8Array, i: number) => new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(i, true);
  const rotate = (x: bigint, n: bigint) => ((x << n) | (x >> (64n - n))) & mask;
  const [k0, k1] = [word(key, 0), word(key, 8)];
  let [v0, v1, v2, v3] = [
    k0 ^ 0x736f6d6570736575n,
    k1 ^ 0x646f72616e646f6dn,
    k0 ^ 0x6c7967656e657261n,
    k1 ^ 0x7465646279746573n,
  ];
  const round = () => {
    v0 = (v0 + v1) & mask;
    v1 = rotate(v1, 13n) ^ v0;
    v0 = rotate(v0, 32n);
    v2 = (v2 + v3) & mask;
    v3 = rotate(v3, 16n) ^ v2;
    v0 = (v0 + v3) & mask;
    v3 = rotate(v3, 21n) ^ v0;
    v2 = (v2 + v1) & mask;
    v1 = rotate(v1, 17n) ^ v2;
    v2 = rotate(v2, 32n);
  };
  const padded = new Uint8Array((Math.floor(message.length / 8) + 1) * 8);
  padded.set(message);
  padded[padded.length - 1] = message.length & 255;
  for (let i = 0; i < padded.length; i += 8) {
    const m = word(padded, i);
    v3 ^= m;
    round();
    round();
    v0 ^= m;
  }
  v2 ^= 0xffn;
  for (let i = 0; i < 4; i++) round();
  return v0 ^ v1 ^ v2 ^ v3;
}

test('the slow SipHash has the vector of the paper', () => {
  const key = new Uint8Array(16).map((_, i) => i);
  const message = new Uint8Array(15).map((_, i) => i);
  expect(sipHash24(key, message)).toBe(0xa129ca6149be45e5n);
});

test('the counters have the same order on both sides', () => {
  const source = readFileSync(new URL('../assembly/counters.ts', import.meta.url), 'utf8');
  const names = [...source.matchAll(/^export const ([A-Z0-9_]+): u32 = (\d+);/gm)].map(([, name, index]) => [
    Number(index),
    camel(name!),
  ]);
  expect(names.map(([, name]) => name)).toEqual([...COUNTER_NAMES]);
  expect(names.map(([index]) => index)).toEqual(COUNTER_NAMES.map((_, i) => i));
});

function camel(name: string): string {
  return name.toLowerCase().replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
}
