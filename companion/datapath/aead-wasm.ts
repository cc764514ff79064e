import { readFileSync } from 'node:fs';
import type { Aead } from '../wireguard/aead.ts';
import type { LinearMemory } from './memory.ts';

interface AeadExports {
  seal(dst: number, src: number, length: number, key: number, counterLo: number, counterHi: number): void;
  open(dst: number, src: number, length: number, key: number, counterLo: number, counterHi: number): number;
  setScratch(pointer: number): void;
}

const SCRATCH_BYTES = 1024;

/**
 * ChaCha20-Poly1305 (RFC 8439 §2.8, no additional data) from `assembly/aead.ts`, on the very memory of the data path: for a node
 * whose OpenSSL cannot be called. Throws Error when `build/aead.wasm` is missing.
 */
export function wasmAead(memory: LinearMemory & { readonly wasm: WebAssembly.Memory }): Aead {
  const module = new WebAssembly.Module(readFileSync(new URL('../../build/aead.wasm', import.meta.url)));
  const { exports } = new WebAssembly.Instance(module, { env: { memory: memory.wasm } });
  const { seal, open, setScratch } = exports as unknown as AeadExports;
  setScratch(memory.reserve(SCRATCH_BYTES));
  return {
    seal,
    open: (dst, src, length, key, counterLo, counterHi) => open(dst, src, length, key, counterLo, counterHi) !== 0,
  };
}
