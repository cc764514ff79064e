import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readFilter } from './index.ts';

test('the module with its hash, or one line that says what to do', () => {
  const folder = mkdtempSync(join(tmpdir(), 'nexodus-filter-'));
  try {
    const path = join(folder, 'filter.wasm');
    const missing = `the Envoy filter is not built: ${path} is missing (npm run build)`;
    expect(readFilter(path)).toEqual({ ok: false, error: missing });
    const bytes = Buffer.from('\0asm');
    writeFileSync(path, bytes);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    expect(readFilter(path)).toEqual({ ok: true, module: { path, bytes, sha256 } });
    expect(readFilter(folder)).toMatchObject({ ok: false, error: expect.stringMatching(/cannot be read: EISDIR/) });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
