// Bytes that both ends can make: position-dependent, so that a lost, doubled or moved block changes them.

/** @returns `length` bytes of the endless stream named `seed`, from `offset` on. */
export function pattern(seed: number, offset: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let i = 0; i < length; ) {
    const position = offset + i;
    const block = position >>> 2;
    let word = Math.imul(block ^ (seed * 0x9e3779b1), 0x85ebca6b);
    word ^= word >>> 15;
    word = Math.imul(word, 0xc2b2ae35);
    word ^= word >>> 13;
    for (let j = position & 3; j < 4 && i < length; j++) bytes[i++] = word >>> (8 * j);
  }
  return bytes;
}
