import type { Aead } from '../wireguard/aead.ts';
import { TAG_BYTES } from './aead-layout.ts';
import type { LinearMemory } from './memory.ts';
import type { NativeLibrary } from './native-library.ts';

/** `EVP_CTRL_AEAD_GET_TAG`, `EVP_CTRL_AEAD_SET_TAG` (openssl/evp.h). */
const GET_TAG = 0x10;
const SET_TAG = 0x11;

/**
 * ChaCha20-Poly1305 (RFC 8439 §2.8, no additional data) by OpenSSL's documented EVP interface, for a node that is linked to a
 * shared libcrypto, which hides the primitives. Throws where the interface is missing.
 */
export function opensslEvpAead(memory: LinearMemory, library: NativeLibrary): Aead {
  const A = 'uintptr';
  const newContext = library('EVP_CIPHER_CTX_new', A, []);
  const algorithm = library('EVP_chacha20_poly1305', A, []);
  const init = library('EVP_CipherInit_ex', 'int', [A, A, A, A, A, 'int']);
  const update = library('EVP_CipherUpdate', 'int', [A, A, A, A, 'int']);
  const final = library('EVP_CipherFinal_ex', 'int', [A, A, A]);
  const control = library('EVP_CIPHER_CTX_ctrl', 'int', [A, 'int', 'int', A]);

  const { base, u32 } = memory;
  const nonce = memory.reserve(16);
  const nonceWord = nonce >>> 2;
  const nonceAddress = base + nonce;
  const outLength = base + memory.reserve(4);
  // Never freed: they live as long as the memory, that is the thread.
  const sealing = newContext();
  const opening = newContext();
  if (
    !sealing ||
    !opening ||
    init(sealing, algorithm(), 0, 0, 0, 1) !== 1 ||
    init(opening, algorithm(), 0, 0, 0, 0) !== 1
  )
    throw new Error('EVP_CipherInit_ex failed');

  return {
    seal(dst, src, length, key, counterLo, counterHi) {
      u32[nonceWord] = 0;
      u32[nonceWord + 1] = counterLo;
      u32[nonceWord + 2] = counterHi;
      const done =
        init(sealing, 0, 0, base + key, nonceAddress, 1) === 1 &&
        update(sealing, base + dst, outLength, base + src, length) === 1 &&
        final(sealing, base + dst + length, outLength) === 1 &&
        control(sealing, GET_TAG, TAG_BYTES, base + dst + length) === 1;
      // Sending what was not sealed would be worse than ending the process.
      if (!done) throw new Error('EVP could not seal');
    },

    open(dst, src, length, key, counterLo, counterHi) {
      const textLength = length - TAG_BYTES;
      if (textLength < 0) return false;
      u32[nonceWord] = 0;
      u32[nonceWord + 1] = counterLo;
      u32[nonceWord + 2] = counterHi;
      return (
        init(opening, 0, 0, base + key, nonceAddress, 0) === 1 &&
        control(opening, SET_TAG, TAG_BYTES, base + src + textLength) === 1 &&
        update(opening, base + dst, outLength, base + src, textLength) === 1 &&
        final(opening, base + dst + textLength, outLength) === 1
      );
    },
  };
}
