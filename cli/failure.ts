/** An error whose message is meant for the person at the keyboard: one line that names the field and the reason. */
export class Failure extends Error {
  override name = 'Failure';
}

const ERRNO: Record<string, string> = {
  EACCES: 'permission denied',
  EADDRINUSE: 'address already in use',
  EADDRNOTAVAIL: 'address is not one of this machine',
  ECONNREFUSED: 'connection refused',
  EEXIST: 'it exists already',
  EISDIR: 'it is a directory',
  ELOOP: 'too many symbolic links',
  EMFILE: 'too many open files',
  ENAMETOOLONG: 'name too long',
  ENOENT: 'no such file or directory',
  ENOSPC: 'no space left on device',
  ENOTDIR: 'not a directory',
  EPERM: 'operation not permitted',
  EROFS: 'read-only file system',
};

/** The words for a failed system call, without path or stack. */
export function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code !== undefined) return ERRNO[code] ?? code;
  return message ?? String(error);
}

/** Any text as one line, so that one failure is one line in a log. */
export function oneLine(text: string): string {
  return text
    .trim()
    .replace(/\s*[\r\n]+\s*/g, '; ')
    .replace(/[\x00-\x1f\x7f]/g, '?');
}
