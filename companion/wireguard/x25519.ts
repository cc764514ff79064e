/**
 * Curve25519 Diffie-Hellman (RFC 7748). Two implementations of one interface: OpenSSL's, constant-time and 0.1 ms, is
 * the default; noble's, 1 ms and in BigInt (which has no constant-time contract), is the readable twin.
 */
import { createPrivateKey, createPublicKey, diffieHellman, type KeyObject } from 'node:crypto';
import { x25519 } from '@noble/curves/ed25519.js';
import { KEY_SIZE } from './constants.ts';

export interface X25519 {
  /** The public key of a private key, 32 bytes each. Clamping happens inside. */
  publicKey(privateKey: Uint8Array): Uint8Array;
  /** 32 bytes, or undefined when the result is all zero: the public key is a low-order point (RFC 7748 §6.1). */
  sharedSecret(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array | undefined;
}

/** The bits that X25519 sets and clears in a private key (RFC 7748 §5), made visible: a copy. */
export function clamp(privateKey: Uint8Array): Uint8Array {
  const key = Uint8Array.from(privateKey);
  key[0]! &= 0xf8;
  key[31] = (key[31]! & 0x7f) | 0x40;
  return key;
}

export function isZero(bytes: Uint8Array): boolean {
  let or = 0;
  for (const byte of bytes) or |= byte;
  return or === 0;
}

// RFC 8410: the fixed DER before the 32 bytes of an X25519 key.
const PKCS8 = Buffer.from('302e020100300506032b656e04220420', 'hex');
const SPKI = Buffer.from('302a300506032b656e032100', 'hex');

function importPrivate(key: Uint8Array): KeyObject {
  const der = Buffer.concat([PKCS8, key]);
  try {
    return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  } finally {
    der.fill(0);
  }
}

export const opensslX25519: X25519 = {
  publicKey(privateKey) {
    checkKey(privateKey);
    const spki = createPublicKey(importPrivate(privateKey) as never).export({ format: 'der', type: 'spki' });
    return Uint8Array.from(spki.subarray(SPKI.length));
  },
  sharedSecret(privateKey, publicKey) {
    checkKey(privateKey);
    checkKey(publicKey);
    const remote = createPublicKey({ key: Buffer.concat([SPKI, publicKey]), format: 'der', type: 'spki' });
    let shared: Buffer;
    try {
      shared = diffieHellman({ privateKey: importPrivate(privateKey), publicKey: remote });
    } catch {
      return undefined; // OpenSSL refuses an all-zero result by itself
    }
    const secret = Uint8Array.from(shared);
    shared.fill(0);
    return isZero(secret) ? undefined : secret;
  },
};

export const nobleX25519: X25519 = {
  publicKey(privateKey) {
    return x25519.getPublicKey(privateKey);
  },
  sharedSecret(privateKey, publicKey) {
    checkKey(privateKey);
    checkKey(publicKey);
    try {
      return x25519.getSharedSecret(privateKey, publicKey);
    } catch {
      return undefined; // noble throws on an all-zero result
    }
  },
};

function checkKey(key: Uint8Array): void {
  if (key.length !== KEY_SIZE) throw new RangeError(`a Curve25519 key has ${KEY_SIZE} bytes, not ${key.length}`);
}
