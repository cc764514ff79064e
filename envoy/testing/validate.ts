/** `envoy --mode validate`, for tests: Envoy itself reads a configuration, makes the VM and configures the filter, and ends. */

import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The Envoy that tests run. */
export const envoyBinary: string = process.env['ENVOY_BIN'] ?? 'envoy';

/** @param configuration a bootstrap, as text (YAML or JSON) or as an object. @returns all that Envoy said. */
export async function validate(configuration: object | string): Promise<{ ok: boolean; output: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'nexodus-validate-'));
  const path = join(folder, 'bootstrap.yaml');
  writeFileSync(path, typeof configuration === 'string' ? configuration : JSON.stringify(configuration));
  const { promise, resolve } = Promise.withResolvers<{ ok: boolean; output: string }>();
  const flags = ['--mode', 'validate', '--config-path', path, '--disable-hot-restart', '--log-level', 'warning'];
  execFile(envoyBinary, flags, { maxBuffer: 16 << 20, timeout: 60_000 }, (error, stdout, stderr) => {
    resolve({ ok: error === null, output: stdout + stderr + (error?.code === 'ENOENT' ? error.message : '') });
  });
  try {
    return await promise;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
