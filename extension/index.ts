/** Where the built Envoy filter is. It is compiled from `assembly/` by `npm run build`. */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Absolute path of the filter's Wasm module (proxy-wasm ABI 0.2.1). */
export const filterPath: string = fileURLToPath(new URL('../build/filter.wasm', import.meta.url));

/** The module's bytes and their SHA-256 in lower-case hex. */
export interface FilterModule {
  path: string;
  bytes: Uint8Array;
  sha256: string;
}

/** Reads the built module. */
export function readFilter(
  path: string = filterPath,
): { ok: true; module: FilterModule } | { ok: false; error: string } {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT')
      return { ok: false, error: `the Envoy filter is not built: ${path} is missing (npm run build)` };
    return { ok: false, error: `the Envoy filter cannot be read: ${(error as Error).message}` };
  }
  return { ok: true, module: { path, bytes, sha256: createHash('sha256').update(bytes).digest('hex') } };
}
