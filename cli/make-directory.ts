/**
 * `mkdir -p` with mode 0700. Node's own recursive mkdir never returns where mkdir fails with ENOENT although the parent
 * is there, as in /proc.
 */

import { mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/** Make the directory and what is missing above it. Throws the failed call's error. */
export function makeDirectory(path: string): void {
  const missing: string[] = [];
  for (let at = resolve(path); statSync(at, { throwIfNoEntry: false }) === undefined; at = dirname(at))
    missing.push(at);
  for (const directory of missing.reverse()) mkdirSync(directory, { mode: 0o700 });
  if (!statSync(path).isDirectory()) throw Object.assign(new Error('not a directory'), { code: 'ENOTDIR' });
}
