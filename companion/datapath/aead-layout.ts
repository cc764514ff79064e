import type { LinearMemory, Pointer } from './memory.ts';

/** Specification (RFC 8439 §2.8). */
export const TAG_BYTES = 16;

/**
 * Writes, for a ciphertext of `length` bytes without additional data, what Poly1305 still has to read after it, into the 32 bytes
 * at `block`: zeros up to a multiple of 16, then both lengths as le64. Answers where that begins; it ends with the block.
 */
export function lengthBlock({ u32 }: LinearMemory, block: Pointer, length: number): Pointer {
  const word = block >>> 2;
  for (let i = 0; i < 8; i++) u32[word + i] = 0;
  u32[word + 6] = length;
  return block + 16 - (-length & 15);
}

/** Compares 16 bytes in a time that does not depend on where they differ. */
export function sameTag({ view }: LinearMemory, a: Pointer, b: Pointer): boolean {
  let difference = 0;
  for (let i = 0; i < TAG_BYTES; i += 4) difference |= view.getInt32(a + i, true) ^ view.getInt32(b + i, true);
  return difference === 0;
}
