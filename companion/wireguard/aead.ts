/**
 * ChaCha20-Poly1305 over linear memory, as the transport half calls it. Nonce: 32 zero bits, then the 64-bit counter,
 * little-endian (whitepaper §5.4.6). No additional data. All pointers are byte offsets; sources and destinations must
 * not overlap.
 */
import { chacha20poly1305 } from '@noble/ciphers/chacha.js';
import { TAG_SIZE } from './constants.ts';
import type { MemoryView } from './memory.ts';

export interface Aead {
  /**
   * Encrypts `length` bytes at `src`, writes length + 16 at `dst`. `key` points at 32 bytes.
   * Needs 64 zero bytes at `src - 64`; clobbers `dst - 64` to `dst`.
   */
  seal(dst: number, src: number, length: number, key: number, counterLo: number, counterHi: number): void;
  /**
   * Decrypts `length` bytes (tag included) at `src`, writes length - 16 at `dst`; false if the tag does not verify,
   * and then nothing at `dst` may be used. Clobbers `dst - 64` to `dst`; `src - 64` to `src` is the same afterwards.
   */
  open(dst: number, src: number, length: number, key: number, counterLo: number, counterHi: number): boolean;
}

/** The readable twin of the fast implementations: same contract, byte for byte, and strict about its callers. */
export class NobleAead implements Aead {
  readonly #memory: MemoryView;
  readonly #nonce = new Uint8Array(12);

  constructor(memory: MemoryView) {
    this.#memory = memory;
  }

  seal(dst: number, src: number, length: number, key: number, counterLo: number, counterHi: number): void {
    const { u8 } = this.#memory;
    for (let i = src - 64; i < src; i++) if (u8[i] !== 0) throw new Error('seal needs 64 zero bytes before its source');
    const sealed = this.#cipher(key, counterLo, counterHi).encrypt(u8.subarray(src, src + length));
    u8.fill(0xa5, dst - 64, dst);
    u8.set(sealed, dst);
  }

  open(dst: number, src: number, length: number, key: number, counterLo: number, counterHi: number): boolean {
    const { u8 } = this.#memory;
    if (length < TAG_SIZE) return false;
    const sealed = u8.slice(src, src + length);
    u8.fill(0xa5, dst - 64, dst + length - TAG_SIZE);
    try {
      u8.set(this.#cipher(key, counterLo, counterHi).decrypt(sealed), dst);
      return true;
    } catch {
      return false;
    }
  }

  #cipher(key: number, counterLo: number, counterHi: number) {
    const nonce = new DataView(this.#nonce.buffer);
    nonce.setUint32(4, counterLo, true);
    nonce.setUint32(8, counterHi, true);
    return chacha20poly1305(this.#memory.u8.slice(key, key + 32), this.#nonce);
  }
}
