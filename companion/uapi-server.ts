import { chmodSync, lstatSync, mkdirSync, type Stats, unlinkSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type { CompanionLog } from './config.ts';
import {
  ERRNO,
  errnoReply,
  getReply,
  UapiParser,
  type UapiRequest,
  type UapiSet,
  type UapiState,
} from './wireguard/index.ts';

/** Where the real `wg` looks: compiled into it. */
export const WIREGUARD_DIRECTORY = '/var/run/wireguard';

/** Specification (unix(7)): sun_path has 108 bytes, the last of them zero. */
const LONGEST_PATH = 107;

// Implementation.
const IDLE_TIMEOUT_MS = 10_000;
const MOST_CLIENTS = 64;
/** Of one operation; 130,000 allowed IPs take 3 MB. */
const LONGEST_OPERATION = 64 << 20;

/** Who answers; the Companion, in the product. */
export interface UapiDevice {
  /** Holds keys: for the socket and nothing else. The server wipes the private key. */
  uapiState(): Promise<UapiState>;
  /** All or nothing. 0, or a negative errno. Its keys are wiped afterwards, so it must copy what it keeps. */
  uapiSet(set: UapiSet): Promise<number>;
}

export interface UapiServerOptions {
  /** Made if it is missing. Refused if it is a symbolic link or another user's; see `checkDirectory` for its mode. */
  readonly directory: string;
  /** Of the device, 1 to 15 characters without a slash: the socket is `NAME.sock`. */
  readonly name: string;
  readonly device: UapiDevice;
  readonly log: CompanionLog;
}

/**
 * The socket that `wg` speaks to. Whoever can open it may read the private key and change everything: its mode and its directory are
 * the only gate. Sets are carried out one after the other, whoever they come from.
 */
export class UapiServer {
  readonly path: string;
  readonly #server: Server;
  readonly #clients = new Set<Socket>();
  readonly #device: UapiDevice;
  readonly #log: CompanionLog;
  #sets: Promise<unknown> = Promise.resolve();

  private constructor(path: string, o: UapiServerOptions) {
    this.path = path;
    this.#device = o.device;
    this.#log = o.log;
    this.#server = createServer({ allowHalfOpen: true }, socket => this.#serve(socket));
    this.#server.maxConnections = MOST_CLIENTS;
  }

  /** Rejects with words for a person: the directory is open to others, another process serves this device, no permission. */
  static async open(o: UapiServerOptions): Promise<UapiServer> {
    const path = join(o.directory, `${o.name}.sock`);
    if (Buffer.byteLength(path) > LONGEST_PATH)
      throw new Error(
        `${path}: a unix socket's path has at most ${LONGEST_PATH} bytes, this one ${Buffer.byteLength(path)}`,
      );
    checkDirectory(o.directory);
    await removeStale(path, o.name);
    const server = new UapiServer(path, o);
    await server.#listen();
    return server;
  }

  async #listen(): Promise<void> {
    // The mode must be right from the first moment: between bind and chmod anyone could connect.
    const umask = process.umask(0o177);
    try {
      await new Promise<void>((resolve, reject) => {
        this.#server.once('error', reject);
        // Binds before it returns.
        this.#server.listen(this.path, resolve);
        process.umask(umask);
      });
    } catch (error) {
      throw new Error(`cannot listen on ${this.path}: ${reasonOf(error)}`);
    } finally {
      process.umask(umask);
    }
    this.#server.removeAllListeners('error');
    // Accepting may fail for want of descriptors; it goes on when there are some.
    this.#server.on('error', error => this.#log.warn({ reason: reasonOf(error) }, 'cannot take a client of the UAPI'));
    chmodSync(this.path, 0o600);
  }

  /** Removes the socket and hangs up on all clients. Never rejects. */
  close(): Promise<void> {
    return new Promise(resolve => {
      this.#server.close(() => resolve());
      for (const client of this.#clients) client.destroy();
    });
  }

  #serve(socket: Socket): void {
    const parser = new UapiParser();
    let queue = Promise.resolve();
    let waiting = 0;
    let operation = 0;
    this.#clients.add(socket);
    socket.on('close', () => this.#clients.delete(socket));
    socket.on('error', () => socket.destroy());
    // Also one that does not read its answer. A set under way is waited for.
    socket.setTimeout(IDLE_TIMEOUT_MS, () => {
      if (waiting === 0 || socket.writableLength > 0) socket.destroy();
    });
    socket.on('data', chunk => {
      const requests = parser.push(chunk);
      operation = requests.length > 0 ? 0 : operation + chunk.length;
      if (operation > LONGEST_OPERATION) {
        socket.destroy();
        return;
      }
      if (requests.length === 0) return;
      // A client gets its answers one at a time, and is read from again when it has them.
      waiting += requests.length;
      socket.pause();
      for (const request of requests) {
        queue = queue.then(async () => {
          await this.#carryOut(socket, request);
          if (--waiting === 0) socket.resume();
        });
      }
    });
    socket.on('end', () => void queue.then(() => socket.end()));
  }

  async #carryOut(socket: Socket, request: UapiRequest): Promise<void> {
    if (socket.destroyed || socket.writableEnded) {
      if (request.type === 'set') wipe(request.set);
      return;
    }
    if (request.type === 'close') {
      socket.end();
      return;
    }
    const answer = await this.#answer(request);
    if (socket.destroyed || socket.write(answer)) return;
    await new Promise<void>(resolve => {
      socket.once('drain', resolve);
      socket.once('close', resolve);
    });
  }

  async #answer(request: Exclude<UapiRequest, { type: 'close' }>): Promise<string> {
    try {
      if (request.type === 'error') return errnoReply(request.errno);
      if (request.type === 'set') return errnoReply(await this.#set(request.set));
      const state = await this.#device.uapiState();
      try {
        return getReply(state);
      } finally {
        state.privateKey?.fill(0);
      }
    } catch (error) {
      // The data path is gone. Nothing of a request is in such an error.
      this.#log.error({ reason: reasonOf(error) }, 'the UAPI cannot be answered');
      return errnoReply(ERRNO.io);
    }
  }

  /** One at a time: each is applied to what the one before has left. */
  #set(set: UapiSet): Promise<number> {
    const done = this.#sets.then(() => this.#device.uapiSet(set));
    this.#sets = done.catch(() => {}).then(() => wipe(set));
    return done;
  }
}

function wipe({ privateKey, peers }: UapiSet): void {
  if (privateKey instanceof Uint8Array) privateKey.fill(0);
  for (const { presharedKey } of peers) presharedKey?.fill(0);
}

/**
 * Makes the directory, or sees that no one else can put or swap a socket in it. One of our own has mode 0700. That of WireGuard is
 * shared by its implementations, which make it 0755: there, others may look, since each socket has a mode of its own.
 */
function checkDirectory(directory: string): void {
  const shared = directory === WIREGUARD_DIRECTORY;
  let stat: Stats;
  try {
    mkdirSync(directory, { mode: shared ? 0o755 : 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST')
      throw new Error(`${directory} cannot be made: ${reasonOf(error)}`);
  }
  try {
    stat = lstatSync(directory);
  } catch (error) {
    throw new Error(`${directory}: ${reasonOf(error)}`);
  }
  if (stat.isSymbolicLink()) throw new Error(`${directory} is a symbolic link`);
  if (!stat.isDirectory()) throw new Error(`${directory} is not a directory`);
  if (stat.uid !== process.geteuid?.()) throw new Error(`${directory} belongs to another user (uid ${stat.uid})`);
  const mode = (stat.mode & 0o777).toString(8);
  if (!shared && (stat.mode & 0o077) !== 0)
    throw new Error(`${directory} is open to other users (mode ${mode}, must be 700)`);
  if ((stat.mode & 0o022) !== 0) throw new Error(`${directory} is writable for other users (mode ${mode})`);
}

/** Rejects when someone listens on the path, or when it is something else than a socket. */
async function removeStale(path: string, name: string): Promise<void> {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isSocket()) throw new Error(`${path} is there and is not a socket`);
  const live = await new Promise<boolean>((resolve, reject) => {
    const probe = connect(path);
    probe.on('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') resolve(false);
      // A full backlog: someone listens.
      else if (error.code === 'EAGAIN') resolve(true);
      else reject(new Error(`${path} cannot be probed: ${reasonOf(error)}`));
    });
  });
  if (live)
    throw new Error(
      `${path}: another process serves a WireGuard device named ${name}; choose another name or directory`,
    );
  try {
    unlinkSync(path);
  } catch (error) {
    throw new Error(`${path} is left over and cannot be removed: ${reasonOf(error)}`);
  }
}

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? message ?? String(error);
}
