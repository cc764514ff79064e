/**
 * Linear memory as the transport half sees it: byte offsets ("ptr") into one buffer that never moves or grows.
 */

export interface MemoryView {
  readonly u8: Uint8Array;
  readonly u32: Uint32Array;
  readonly view: DataView;
  /** `bytes` of zeroed memory for ever, 64-byte aligned. Throws RangeError when the memory is used up. */
  reserve(bytes: number): number;
}

/** A memory of its own over `buffer`, for tests and for the engine without a netstack. Offset 0 is never handed out. */
export function createMemory(buffer: ArrayBufferLike): MemoryView {
  let top = 64;
  return {
    u8: new Uint8Array(buffer),
    u32: new Uint32Array(buffer),
    view: new DataView(buffer),
    reserve(bytes) {
      const ptr = top;
      if (ptr + bytes > buffer.byteLength) throw new RangeError(`linear memory is used up (${bytes} bytes wanted)`);
      top = Math.ceil((ptr + bytes) / 64) * 64;
      return ptr;
    },
  };
}
