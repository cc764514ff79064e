/**
 * Replace a file so that after a crash or power cut at any instant either the old or the new text is there, whole.
 * The one before is kept beside it as `<file>.previous`.
 */

import * as fs from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** The calls used, so that a test can fail each of them. */
export type FileSystem = Pick<
  typeof fs,
  'openSync' | 'writeSync' | 'fsyncSync' | 'closeSync' | 'linkSync' | 'renameSync' | 'rmSync' | 'readdirSync'
>;

export const previousOf = (path: string): string => `${path}.previous`;

const temporaryPrefix = (path: string): string => `${basename(path)}.tmp-`;

function writeAll(path: string, text: string, sys: FileSystem): void {
  const fd = sys.openSync(path, 'wx', 0o600);
  try {
    const bytes = Buffer.from(text);
    for (let done = 0; done < bytes.length; ) done += sys.writeSync(fd, bytes, done);
    sys.fsyncSync(fd);
  } finally {
    sys.closeSync(fd);
  }
}

/** The entry itself must reach the disk too: fsync of a file does not promise its name. */
function syncDirectory(path: string, sys: FileSystem): void {
  const fd = sys.openSync(path, 'r');
  try {
    sys.fsyncSync(fd);
  } finally {
    sys.closeSync(fd);
  }
}

function keepPrevious(path: string, sys: FileSystem): void {
  sys.rmSync(previousOf(path), { force: true });
  try {
    sys.linkSync(path, previousOf(path));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // First write, or a file system without hard links.
    if (code !== 'ENOENT' && code !== 'EPERM' && code !== 'ENOTSUP' && code !== 'EOPNOTSUPP') throw error;
  }
}

/** Write `text` to `path`, mode 0600. Throws the failed call's error; the old file is then untouched. */
export function writeFileAtomic(path: string, text: string, sys: FileSystem = fs): void {
  const temporary = join(dirname(path), `${temporaryPrefix(path)}${process.pid}`);
  sys.rmSync(temporary, { force: true });
  try {
    writeAll(temporary, text, sys);
    keepPrevious(path, sys);
    sys.renameSync(temporary, path);
  } catch (error) {
    try {
      sys.rmSync(temporary, { force: true });
    } catch {
      // The first error is the one to tell.
    }
    throw error;
  }
  syncDirectory(dirname(path), sys);
}

/** Remove what a writer that died half-way has left. */
export function removeTemporaries(path: string, sys: FileSystem = fs): void {
  for (const name of sys.readdirSync(dirname(path))) {
    if (name.startsWith(temporaryPrefix(path))) sys.rmSync(join(dirname(path), name), { force: true });
  }
}
