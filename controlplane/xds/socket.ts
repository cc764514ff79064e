/** A unix socket that only its owner can open, from the first moment on. */
import { chmod, lstat, mkdtemp, rename, rm, rmdir, stat } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';

/** sockaddr_un.sun_path holds 108 bytes, the last of them zero (unix(7)). */
export const maxSocketPath = 107;

/** What can be wrong with a socket's path; its message is for a person. */
export class SocketError extends Error {}

/**
 * Has `bind` make a socket in a folder of mode 0700, gives it mode 0600 and moves it to `path`: at no moment can another
 * user connect, and `path` never names half a socket.
 * A socket left by a process that is no more is replaced.
 * @param bind listens at the path it is given.
 * @throws SocketError when the path is too long, taken, or in a folder that others may write to.
 */
export async function bindPrivately(path: string, bind: (temporary: string) => Promise<void>): Promise<void> {
  await checkFolder(path);
  if (await isServed(path)) throw new SocketError(`${path}: another process is listening there`);
  const folder = await mkdtemp(`${dirname(path)}/.`);
  const temporary = join(folder, 's');
  try {
    if (Buffer.byteLength(temporary) > maxSocketPath || Buffer.byteLength(path) > maxSocketPath) {
      throw new SocketError(`${path}: too long for a unix socket, which allows ${maxSocketPath} bytes`);
    }
    await bind(temporary);
    await chmod(temporary, 0o600);
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
    await rmdir(folder);
  }
}

async function checkFolder(path: string): Promise<void> {
  const folder = dirname(path);
  const { mode } = await stat(folder).catch(() => {
    throw new SocketError(`${path}: its folder does not exist`);
  });
  const sticky = (mode & 0o1000) !== 0;
  if ((mode & 0o022) !== 0 && !sticky) {
    throw new SocketError(`${folder}: others may write to it (mode ${(mode & 0o777).toString(8)}); it should be 0700`);
  }
}

async function isServed(path: string): Promise<boolean> {
  const found = await lstat(path).catch(() => undefined);
  if (!found) return false;
  if (!found.isSocket()) throw new SocketError(`${path}: exists and is no socket`);
  return new Promise(resolve => {
    const probe = connect(path);
    probe.on('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.on('error', () => resolve(false));
  });
}
