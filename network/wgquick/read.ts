/** A WireGuard configuration file from disk. */

import { readFileSync, statSync } from 'node:fs';
import { parseWgQuick, type WgQuickResult } from './parse.ts';

/** A full table of 130,000 allowed IPs is 6 MB. */
const MAX_BYTES = 32 * 1024 * 1024;

const REASONS: Record<string, string> = {
  ENOENT: 'there is no such file',
  EACCES: 'permission denied',
  ENOTDIR: 'a part of the path is not a directory',
  EISDIR: 'it is a directory',
  ELOOP: 'too many symbolic links',
};

/** Read and parse. A file that others may read is used, with a warning: it holds the private key. */
export function readWgQuick(path: string): WgQuickResult {
  const fail = (reason: string): WgQuickResult => ({ ok: false, errors: [`${path}: ${reason}`], warnings: [] });
  let text: string;
  let mode: number;
  try {
    const stat = statSync(path);
    if (stat.isDirectory()) return fail('cannot be read: it is a directory');
    if (stat.size > MAX_BYTES) return fail(`is larger than ${MAX_BYTES} bytes`);
    mode = stat.mode;
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const { code = 'unknown error' } = error as NodeJS.ErrnoException;
    return fail(`cannot be read: ${REASONS[code] ?? code}`);
  }
  const result = parseWgQuick(text, path);
  if ((mode & 0o077) !== 0)
    result.warnings.unshift(`${path}: other users may read or write it (mode ${(mode & 0o777).toString(8)})`);
  return result;
}
