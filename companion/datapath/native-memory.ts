import { type LinearMemory, linearMemory } from './memory.ts';
import { nativeAddress } from './system-calls.ts';

/** A linear memory of its own of `bytes` (rounded up to 64 KiB), for where no TCP/IP stack owns one. Offset 0 stays unused. */
export function newLinearMemory(bytes: number): LinearMemory & { readonly wasm: WebAssembly.Memory } {
  const pages = Math.ceil(bytes / 65_536);
  const wasm = new WebAssembly.Memory({ initial: pages, maximum: pages });
  return { ...linearMemory(wasm, nativeAddress(new Uint8Array(wasm.buffer)), 64), wasm };
}
