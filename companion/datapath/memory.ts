/** A byte offset into the linear memory. The kernel and OpenSSL are given `base + pointer`. */
export type Pointer = number;

/**
 * The one linear memory in which every byte of the data path lies: buffers of the TCP/IP stack, datagrams, keys, and the
 * structures that system calls read. It never grows: growing detaches every view of it.
 */
export interface LinearMemory {
  readonly u8: Uint8Array;
  readonly u32: Uint32Array;
  readonly view: DataView;
  /** Native address of byte 0: an integer below 2^53, so that `base + pointer` is exact. */
  readonly base: number;
  /** Permanent space, zeroed, aligned to 64 bytes. Throws RangeError when the memory is used up. */
  reserve(bytes: number): Pointer;
}

/** Writes a C pointer, size_t or u64 below 2^53, little endian, at `pointer` (a multiple of 4). */
export function writeU64(memory: { readonly u32: Uint32Array }, pointer: Pointer, value: number): void {
  memory.u32[pointer >>> 2] = value >>> 0;
  memory.u32[(pointer >>> 2) + 1] = Math.floor(value / 0x1_0000_0000);
}

/** Gives out parts of `views` from `from` on, in order, for as long as there are any. */
export function linearMemory(memory: WebAssembly.Memory, base: number, from: Pointer): LinearMemory {
  const { buffer } = memory;
  let top = from;
  return {
    u8: new Uint8Array(buffer),
    u32: new Uint32Array(buffer),
    view: new DataView(buffer),
    base,
    reserve(bytes) {
      const pointer = (top + 63) & ~63;
      if (bytes < 0 || pointer + bytes > buffer.byteLength)
        throw new RangeError(`no ${bytes} bytes left in ${buffer.byteLength}`);
      top = pointer + bytes;
      return pointer;
    },
  };
}
