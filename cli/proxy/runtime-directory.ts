/**
 * The directory of the sockets between the parts: mode 0700, ours, not a symbolic link. Whoever can enter it is
 * trusted (Envoy's PROXY headers are believed), so a directory that someone else may have prepared is refused.
 */

import { accessSync, chmodSync, constants, lstatSync, mkdirSync, mkdtempSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { MAX_SOCKET_PATH } from '../control/socket-path.ts';
import { Failure, reasonOf } from '../failure.ts';

/** The longest name below it that a rule can ask for. */
const LONGEST_SOCKET = 'ingress/tcp/65535.sock';

export interface RuntimePaths {
  directory: string;
  companionSocket: string;
  xdsSocket: string;
  adminSocket: string;
  ingressDirectory: string;
  filterWasm: string;
  bootstrap: string;
}

export class RuntimeDirectory {
  readonly paths: RuntimePaths;
  private readonly made: boolean;

  private constructor(directory: string, made: boolean) {
    this.made = made;
    this.paths = {
      directory,
      companionSocket: join(directory, 'companion.sock'),
      xdsSocket: join(directory, 'xds.sock'),
      adminSocket: join(directory, 'admin.sock'),
      ingressDirectory: join(directory, 'ingress'),
      filterWasm: join(directory, 'filter.wasm'),
      bootstrap: join(directory, 'nexodus.yaml'),
    };
  }

  /**
   * Make or take the directory. `given`: the flag; `name`: of one made by default, unlike that of another instance.
   * Throws Failure: not ours, open to others, a link, a path too long for the sockets in it.
   */
  static prepare(given: string | undefined, name: string): RuntimeDirectory {
    if (given !== undefined) return RuntimeDirectory.take(resolve(given));
    for (const base of [process.env['XDG_RUNTIME_DIR'], '/run']) {
      if (base && isWritable(base)) return RuntimeDirectory.take(join(base, name));
    }
    // Under a folder that all may write to, a name that can be guessed can be taken first.
    try {
      return new RuntimeDirectory(checkLength(mkdtempSync(join(tmpdir(), `${name}-`))), true);
    } catch (error) {
      if (error instanceof Failure) throw error;
      throw new Failure(`--runtime-dir: none can be made under ${tmpdir()}: ${reasonOf(error)}`);
    }
  }

  private static take(directory: string): RuntimeDirectory {
    checkLength(directory);
    const refuse = (reason: string) => new Failure(`--runtime-dir ${directory}: ${reason}`);
    let made = true;
    try {
      mkdirSync(directory, { mode: 0o700 });
      chmodSync(directory, 0o700);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw refuse(`cannot be made: ${reasonOf(error)}`);
      made = false;
    }
    const stat = lstatSync(directory);
    if (stat.isSymbolicLink()) throw refuse('it is a symbolic link');
    if (!stat.isDirectory()) throw refuse('it is not a directory');
    if (stat.uid !== process.geteuid?.()) throw refuse(`it belongs to another user (uid ${stat.uid})`);
    if ((stat.mode & 0o077) !== 0) {
      throw refuse(`other users may enter it (mode ${(stat.mode & 0o777).toString(8)}, must be 700)`);
    }
    return new RuntimeDirectory(directory, made);
  }

  /**
   * Remove what we put there; the directory too when we made it. Files that are not ours stay. With `forEnvoy`, all that
   * an Envoy of someone else holds on to stays as well: its listeners live on, and it comes back to the next nexd.
   */
  remove(forEnvoy = false): void {
    const { directory, ingressDirectory, companionSocket, xdsSocket, ...envoys } = this.paths;
    for (const path of [companionSocket, xdsSocket]) rmSync(path, { force: true });
    if (forEnvoy) return;
    for (const path of Object.values(envoys)) rmSync(path, { force: true });
    rmSync(ingressDirectory, { recursive: true, force: true });
    if (!this.made) return;
    try {
      rmdirSync(directory);
    } catch {
      // Someone else's file is in it.
    }
  }
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK | constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function checkLength(directory: string): string {
  const length = Buffer.byteLength(join(directory, LONGEST_SOCKET));
  if (length > MAX_SOCKET_PATH) {
    throw new Failure(
      `--runtime-dir ${directory}: too long: a unix socket's path has at most ${MAX_SOCKET_PATH} bytes, ${LONGEST_SOCKET} in it would have ${length}`,
    );
  }
  return directory;
}
