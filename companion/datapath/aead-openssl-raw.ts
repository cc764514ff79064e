import type { Aead } from '../wireguard/aead.ts';
import { lengthBlock, sameTag, TAG_BYTES } from './aead-layout.ts';
import type { LinearMemory, Pointer } from './memory.ts';
import type { NativeLibrary } from './native-library.ts';

/** OpenSSL's `POLY1305` takes 248 bytes in 1.1.1 to 3.5; asked of the library itself where it tells (`Poly1305_ctx_size`). */
const POLY1305_STATE_BYTES = 512;
const BLOCK = 64;

/**
 * ChaCha20-Poly1305 (RFC 8439 §2.8, no additional data) from the two primitives inside OpenSSL that node's binary exports: 564 ns
 * for 1420 bytes, where the documented EVP interface takes 960. One ChaCha call makes both the one-time Poly1305 key (block 0, in
 * the 64 bytes before the text) and the ciphertext.
 *
 * Both symbols are internal to OpenSSL: `aead-tiers.ts` proves them by known answers before use. Throws where they are missing.
 */
export function opensslRawAead(memory: LinearMemory, library: NativeLibrary): Aead {
  const A = 'uintptr';
  const chacha = library('ChaCha20_ctr32', 'void', [A, A, 'size_t', A, A]);
  const polyInit = library('Poly1305_Init', 'void', [A, A]);
  const polyUpdate = library('Poly1305_Update', 'void', [A, A, 'size_t']);
  const polyFinal = library('Poly1305_Final', 'void', [A, A]);
  if (library('Poly1305_ctx_size', 'size_t', [])() > POLY1305_STATE_BYTES)
    throw new Error('Poly1305 state of unknown size');

  const { base, u32 } = memory;
  const counter = memory.reserve(16);
  const counterWord = counter >>> 2;
  const state = base + memory.reserve(POLY1305_STATE_BYTES);
  const block = memory.reserve(32);
  const tag = memory.reserve(TAG_BYTES);
  const counterAddress = base + counter;
  const saved = new Uint32Array(BLOCK / 4);

  // Poly1305 over the ciphertext, its padding and the length block, with the key at `polyKey`; the tag goes to `out`. Each call out
  // of JavaScript costs 30-50 ns, so where words align the length block is put behind the ciphertext for a moment, over the
  // tag's place and up to 12 bytes beyond, and all is one Update.
  const authenticate = (ciphertext: Pointer, length: number, polyKey: Pointer, out: Pointer): void => {
    polyInit(state, base + polyKey);
    const padding = -length & 15;
    if (((ciphertext | length) & 3) === 0) {
      const end = (ciphertext + length) >>> 2;
      const words = (padding >>> 2) + 4;
      for (let i = 0; i < words; i++) {
        saved[i] = u32[end + i]!;
        u32[end + i] = 0;
      }
      u32[end + words - 2] = length;
      polyUpdate(state, base + ciphertext, length + padding + 16);
      for (let i = 0; i < words; i++) u32[end + i] = saved[i]!;
    } else {
      polyUpdate(state, base + ciphertext, length);
      polyUpdate(state, base + lengthBlock(memory, block, length), padding + 16);
    }
    polyFinal(state, base + out);
  };

  return {
    seal(dst, src, length, key, counterLo, counterHi) {
      u32[counterWord] = 0;
      u32[counterWord + 1] = 0;
      u32[counterWord + 2] = counterLo;
      u32[counterWord + 3] = counterHi;
      chacha(base + dst - BLOCK, base + src - BLOCK, BLOCK + length, base + key, counterAddress);
      authenticate(dst, length, dst - BLOCK, dst + length);
    },

    open(dst, src, length, key, counterLo, counterHi) {
      const textLength = length - TAG_BYTES;
      if (textLength < 0) return false;
      u32[counterWord] = 0;
      u32[counterWord + 1] = 0;
      u32[counterWord + 2] = counterLo;
      u32[counterWord + 3] = counterHi;
      const head = src - BLOCK;
      if ((src & 3) === 0) {
        const word = head >>> 2;
        for (let i = 0; i < BLOCK / 4; i++) {
          saved[i] = u32[word + i]!;
          u32[word + i] = 0;
        }
        chacha(base + dst - BLOCK, base + head, BLOCK + textLength, base + key, counterAddress);
        for (let i = 0; i < BLOCK / 4; i++) u32[word + i] = saved[i]!;
      } else {
        const before = memory.u8.slice(head, src);
        memory.u8.fill(0, head, src);
        chacha(base + dst - BLOCK, base + head, BLOCK + textLength, base + key, counterAddress);
        memory.u8.set(before, head);
      }
      authenticate(src, textLength, dst - BLOCK, tag);
      return sameTag(memory, tag, src + textLength);
    },
  };
}
