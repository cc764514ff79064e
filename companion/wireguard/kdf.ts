/**
 * Hash, MAC and key derivation of the handshake (whitepaper §5.4): BLAKE2s, keyed BLAKE2s-128, HKDF over HMAC-BLAKE2s.
 */
import { timingSafeEqual } from 'node:crypto';
import { blake2s } from '@noble/hashes/blake2.js';
import { hmac } from '@noble/hashes/hmac.js';

const ONE = Uint8Array.of(1);
const TWO = Uint8Array.of(2);
const THREE = Uint8Array.of(3);

/** Hash(a || b), 32 bytes. */
export function hash(a: Uint8Array, b?: Uint8Array): Uint8Array {
  const h = blake2s.create({ dkLen: 32 }).update(a);
  return (b === undefined ? h : h.update(b)).digest();
}

/** Mac(key, input), 16 bytes. */
export function mac(key: Uint8Array, input: Uint8Array): Uint8Array {
  return blake2s(input, { key, dkLen: 16 });
}

export function equalMac(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

export function hmacBlake2s(key: Uint8Array, ...inputs: Uint8Array[]): Uint8Array {
  const h = hmac.create(blake2s, key);
  for (const input of inputs) h.update(input);
  return h.digest();
}

/** Kdf_n(key, input) for n = 2; each output 32 bytes. Kdf_1 is its first output. */
export function kdf2(key: Uint8Array, input: Uint8Array): [Uint8Array, Uint8Array] {
  const t0 = hmacBlake2s(key, input);
  const t1 = hmacBlake2s(t0, ONE);
  const t2 = hmacBlake2s(t0, t1, TWO);
  t0.fill(0);
  return [t1, t2];
}

export function kdf3(key: Uint8Array, input: Uint8Array): [Uint8Array, Uint8Array, Uint8Array] {
  const t0 = hmacBlake2s(key, input);
  const t1 = hmacBlake2s(t0, ONE);
  const t2 = hmacBlake2s(t0, t1, TWO);
  const t3 = hmacBlake2s(t0, t2, THREE);
  t0.fill(0);
  return [t1, t2, t3];
}
