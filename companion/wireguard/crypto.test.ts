/** The primitives against their RFCs and against each other (noble, OpenSSL). */
import { createCipheriv, createHash, createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { chacha20poly1305, xchacha20poly1305 } from '@noble/ciphers/chacha.js';
import { describe, expect, test } from 'vitest';
import { NobleAead } from './aead.ts';
import { equalMac, hash, hmacBlake2s, kdf2, kdf3, mac } from './kdf.ts';
import { createMemory } from './memory.ts';
import { SeededRandom } from './testing/random.ts';
import { clamp, isZero, nobleX25519, opensslX25519 } from './x25519.ts';

const rfc = JSON.parse(readFileSync(new URL('testdata/rfc.json', import.meta.url), 'utf8'));
const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'));
const hex = (b: Uint8Array | undefined): string => (b === undefined ? 'none' : Buffer.from(b).toString('hex'));

describe.each([
  ['openssl', opensslX25519],
  ['noble', nobleX25519],
])('x25519 by %s', (_, x25519) => {
  test.each(rfc.x25519 as { source: string; private: string; public: string; shared: string }[])('$source', vector => {
    expect(hex(x25519.sharedSecret(bytes(vector.private), bytes(vector.public)))).toBe(vector.shared);
  });

  test('RFC 7748 §5.2, iterated', () => {
    let k = bytes('09' + '00'.repeat(31));
    let u = k;
    const rounds = x25519 === opensslX25519 ? 1000 : 1;
    for (let i = 1; i <= rounds; i++) {
      [k, u] = [x25519.sharedSecret(k, u)!, k];
      if (i === 1) expect(hex(k)).toBe(rfc.x25519Iterated['1']);
    }
    if (rounds === 1000) expect(hex(k)).toBe(rfc.x25519Iterated['1000']);
  });

  test.each(rfc.lowOrder as string[])('H-6: low-order point %s has no shared secret', point => {
    const random = new SeededRandom(3);
    expect(x25519.sharedSecret(random.bytes(32), bytes(point))).toBeUndefined();
    const high = bytes(point);
    high[31]! |= 0x80; // the top bit does not count (RFC 7748 §5)
    expect(x25519.sharedSecret(random.bytes(32), high)).toBeUndefined();
  });

  test('a key of another length is a programmer error', () => {
    expect(() => x25519.sharedSecret(new Uint8Array(31), new Uint8Array(32))).toThrow();
    expect(() => x25519.sharedSecret(new Uint8Array(32).fill(1), new Uint8Array(33))).toThrow();
  });
});

test('x25519: openssl and noble agree, unclamped and non-canonical keys included', () => {
  const random = new SeededRandom(Date.now() >>> 0);
  for (let i = 0; i < 40; i++) {
    const [a, b] = [random.bytes(32), random.bytes(32)];
    if (i % 4 === 0) b.fill(0xff, 1);
    expect(hex(opensslX25519.publicKey(a))).toBe(hex(nobleX25519.publicKey(a)));
    expect(hex(opensslX25519.sharedSecret(a, b))).toBe(hex(nobleX25519.sharedSecret(a, b)));
    expect(hex(opensslX25519.publicKey(clamp(a)))).toBe(hex(opensslX25519.publicKey(a)));
  }
});

test('isZero looks at every byte', () => {
  expect(isZero(new Uint8Array(32))).toBe(true);
  for (let i = 0; i < 32; i++) expect(isZero(new Uint8Array(32).fill(1, i, i + 1))).toBe(false);
});

test('BLAKE2s, HMAC and KDF against OpenSSL', () => {
  expect(hex(hash(new TextEncoder().encode(rfc.blake2s.text)))).toBe(rfc.blake2s.hash);
  const random = new SeededRandom(11);
  for (let length = 0; length < 200; length += 7) {
    const [key, input] = [random.bytes(32), random.bytes(length)];
    expect(hex(hash(key, input))).toBe(createHash('blake2s256').update(key).update(input).digest('hex'));
    expect(hex(hmacBlake2s(key, input))).toBe(createHmac('blake2s256', key).update(input).digest('hex'));
    // RFC 5869 with the chaining key as salt and no info
    const prk = createHmac('blake2s256', key).update(input).digest();
    const t1 = createHmac('blake2s256', prk).update(Buffer.of(1)).digest();
    const t2 = createHmac('blake2s256', prk).update(t1).update(Buffer.of(2)).digest();
    const t3 = createHmac('blake2s256', prk).update(t2).update(Buffer.of(3)).digest();
    expect(kdf2(key, input).map(hex)).toEqual([t1, t2].map(hex));
    expect(kdf3(key, input).map(hex)).toEqual([t1, t2, t3].map(hex));
  }
});

test('a MAC compares equal only to itself', () => {
  const a = mac(new Uint8Array(32), new Uint8Array(10));
  expect(a).toHaveLength(16);
  expect(equalMac(a, Uint8Array.from(a))).toBe(true);
  for (let bit = 0; bit < 128; bit++) {
    const b = Uint8Array.from(a);
    b[bit >> 3]! ^= 1 << (bit & 7);
    expect(equalMac(a, b)).toBe(false);
  }
  expect(equalMac(a, a.subarray(1))).toBe(false);
});

test.each(rfc.aead as Record<string, string>[])('aead: $source', vector => {
  const cipher = vector['nonce']!.length === 24 ? chacha20poly1305 : xchacha20poly1305;
  const sealed = cipher(bytes(vector['key']!), bytes(vector['nonce']!), bytes(vector['aad']!)).encrypt(
    new TextEncoder().encode(vector['text']),
  );
  expect(hex(sealed)).toBe(vector['sealed']);
});

describe('NobleAead keeps the contract of Aead', () => {
  const memory = createMemory(new ArrayBuffer(1 << 16));
  const aead = new NobleAead(memory);
  const key = memory.reserve(32);
  const src = memory.reserve(4096) + 64;
  const dst = memory.reserve(4096) + 64;
  const random = new SeededRandom(5);

  test.each([0, 1, 15, 16, 17, 63, 64, 65, 1419, 1420])('%i bytes, against OpenSSL', length => {
    memory.u8.set(random.bytes(32), key);
    const text = random.bytes(length);
    const [lo, hi] = [random.u32(), random.u32()];
    memory.u8.fill(0, src - 64, src);
    memory.u8.set(text, src);
    aead.seal(dst, src, length, key, lo, hi);
    const nonce = Buffer.alloc(12);
    nonce.writeUInt32LE(lo, 4);
    nonce.writeUInt32LE(hi, 8);
    const openssl = createCipheriv('chacha20-poly1305', memory.u8.slice(key, key + 32), nonce, { authTagLength: 16 });
    const expected = Buffer.concat([openssl.update(text), openssl.final(), openssl.getAuthTag()]);
    expect(hex(memory.u8.slice(dst, dst + length + 16))).toBe(expected.toString('hex'));

    memory.u8.fill(0x77, dst - 64 - 1, dst - 64);
    memory.u8.copyWithin(src, dst, dst + length + 16);
    memory.u8.fill(0x5a, src - 64, src);
    expect(aead.open(dst, src, length + 16, key, lo, hi)).toBe(true);
    expect(hex(memory.u8.slice(dst, dst + length))).toBe(hex(text));
    expect([...memory.u8.subarray(src - 64, src)], 'before the source').toEqual(new Array(64).fill(0x5a));
    expect(memory.u8[dst - 65], 'further than 64 before the destination').toBe(0x77);
    for (const [at, bit] of [
      [src, 1],
      [src + length + 15, 128],
    ] as const) {
      memory.u8[at]! ^= bit;
      expect(aead.open(dst, src, length + 16, key, lo, hi)).toBe(false);
      memory.u8[at]! ^= bit;
    }
    expect(aead.open(dst, src, length + 16, key, lo, (hi + 1) >>> 0)).toBe(false);
  });

  test('no tag, no plaintext', () => {
    expect(aead.open(dst, src, 15, key, 0, 0)).toBe(false);
  });
});
