import { createCipheriv, randomBytes, randomInt } from 'node:crypto';
import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Aead } from '../wireguard/aead.ts';
import { NobleAead } from '../wireguard/aead.ts';
import { AEAD_TIERS, makeAead, selectAead, selfTest } from './aead-tiers.ts';
import { newLinearMemory } from './native-memory.ts';

const seed = Number(process.env['SEED'] ?? randomInt(2 ** 31));
const hasWasm = existsSync(new URL('../../build/aead.wasm', import.meta.url));

/** A small generator (mulberry32), so that a failure can be run again with SEED=n. */
function generator(state: number): () => number {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  };
}

function reference(key: Uint8Array, counterLo: number, counterHi: number, text: Uint8Array): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeUInt32LE(counterLo, 4);
  nonce.writeUInt32LE(counterHi, 8);
  const cipher = createCipheriv('chacha20-poly1305', key, nonce, { authTagLength: 16 });
  return Buffer.concat([cipher.update(text), cipher.final(), cipher.getAuthTag()]);
}

for (const tier of AEAD_TIERS)
  describe.skipIf(tier === 'wasm' && !hasWasm)(`${tier} (SEED=${seed})`, () => {
    const memory = newLinearMemory(1 << 20);
    const { u8 } = memory;
    const aead = makeAead(tier, memory);
    const key = memory.reserve(32);
    const srcArea = memory.reserve(70_000);
    const sealedArea = memory.reserve(70_000);
    const openedArea = memory.reserve(70_000);
    const random = generator(seed);

    it('gives the known answers', () => {
      expect(selfTest(memory, aead)).toBeUndefined();
    });

    it('seals as node:crypto does and opens again, at any length and alignment', () => {
      for (let round = 0; round < 600; round++) {
        const length = round < 300 ? round : random() % (round % 50 === 0 ? 65_000 : 2_000);
        const src = srcArea + 128 + (random() % 5);
        const sealed = sealedArea + 128 + (random() % 5);
        const opened = openedArea + 128 + (random() % 5);
        const [lo, hi] = [random(), random()];
        const text = randomBytes(length);
        u8.set(randomBytes(32), key);
        u8.fill(0, src - 64, src).set(text, src);
        const around = randomBytes(64);
        u8.set(around, sealed + length + 16);
        aead.seal(sealed, src, length, key, lo, hi);
        const want = reference(u8.slice(key, key + 32), lo, hi, text);
        expect(Buffer.compare(u8.subarray(sealed, sealed + length + 16), want), `seal of ${length}`).toBe(0);
        expect(Buffer.compare(u8.subarray(sealed + length + 16, sealed + length + 80), around), 'beyond the tag').toBe(
          0,
        );

        const before = randomBytes(64);
        u8.set(before, sealed - 64);
        const beforeDestination = u8.slice(opened - 128, opened - 64);
        expect(aead.open(opened, sealed, length + 16, key, lo, hi), `open of ${length}`).toBe(true);
        expect(Buffer.compare(u8.subarray(opened, opened + length), text)).toBe(0);
        expect(Buffer.compare(u8.subarray(sealed - 64, sealed), before), 'before the ciphertext').toBe(0);
        expect(Buffer.compare(u8.subarray(sealed, sealed + length + 16), want), 'the ciphertext').toBe(0);
        expect(Buffer.compare(u8.subarray(sealed + length + 16, sealed + length + 80), around), 'behind it').toBe(0);
        expect(Buffer.compare(u8.subarray(opened - 128, opened - 64), beforeDestination)).toBe(0);
      }
    });

    it('refuses each single flipped bit, a wrong counter, a wrong key and every truncation', () => {
      const length = 61;
      const [src, sealed, opened] = [srcArea + 128, sealedArea + 128, openedArea + 128];
      u8.set(randomBytes(32), key);
      u8.fill(0, src - 64, src);
      aead.seal(sealed, src, length, key, 7, 0);
      const open = (bytes = length + 16, lo = 7, hi = 0) => aead.open(opened, sealed, bytes, key, lo, hi);
      for (let bit = 0; bit < (length + 16) * 8; bit++) {
        u8[sealed + (bit >> 3)]! ^= 1 << (bit & 7);
        expect(open(), `bit ${bit}`).toBe(false);
        u8[sealed + (bit >> 3)]! ^= 1 << (bit & 7);
      }
      for (let bytes = 0; bytes < length + 16; bytes++) expect(open(bytes), `${bytes} bytes`).toBe(false);
      expect(open(length + 16, 8, 0)).toBe(false);
      expect(open(length + 16, 7, 1)).toBe(false);
      u8[key]! ^= 1;
      expect(open()).toBe(false);
      u8[key]! ^= 1;
      expect(open()).toBe(true);
    });

    it('fills a run of slots from the last to the first', () => {
      const [size, count] = [1420, 9];
      const stride = 64 + 1424;
      u8.set(randomBytes(32), key);
      for (let i = 0; i < count; i++) {
        const src = srcArea + 64 + i * stride;
        u8.fill(0, src - 64, src).set(randomBytes(size), src);
      }
      for (let i = count - 1; i >= 0; i--)
        aead.seal(sealedArea + 64 + i * (size + 32) + 16, srcArea + 64 + i * stride, size, key, i, 0);
      for (let i = 0; i < count; i++) {
        const src = srcArea + 64 + i * stride;
        const at = sealedArea + 64 + i * (size + 32) + 16;
        const want = reference(u8.slice(key, key + 32), i, 0, u8.slice(src, src + size));
        expect(Buffer.compare(u8.subarray(at, at + size + 16), want), `slot ${i}`).toBe(0);
      }
    });
  });

describe('the choice of a tier', () => {
  it('takes the first that works and says why not the ones before', () => {
    const { tier, skipped } = selectAead(newLinearMemory(1 << 16));
    expect(AEAD_TIERS.indexOf(tier)).toBe(skipped.length);
  });

  it('has a self-test that catches a wrong cipher', () => {
    const memory = newLinearMemory(1 << 16);
    const right = new NobleAead(memory);
    expect(selfTest(memory, right)).toBeUndefined();
    const credulous: Aead = { seal: right.seal.bind(right), open: (...a) => right.open(...a) || true };
    expect(selfTest(memory, credulous)).toMatch(/forgery/);
    const swapped: Aead = {
      seal: (d, s, l, k, lo, hi) => right.seal(d, s, l, k, hi, lo),
      open: right.open.bind(right),
    };
    expect(selfTest(memory, swapped)).toMatch(/wrong tag/);
  });
});
