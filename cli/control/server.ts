/**
 * The control socket: JSON-RPC 1.0 on a unix stream socket of mode 0600, as the real nexctl speaks it.
 *
 * Whoever can open it may do everything; still, no client can harm the daemon: requests are short, answered one at a
 * time per connection, silent connections end, and their number is bounded.
 */

import { chmodSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { Failure, reasonOf } from '../failure.ts';
import { makeDirectory } from '../make-directory.ts';
import { JsonSplitter } from './json-splitter.ts';
import { answerRequest, type Methods } from './request.ts';
import { checkSocketPath, claimSocketPath } from './socket-path.ts';

/** A rule is under 300 bytes; the rest is room for methods to come. */
const MAX_REQUEST = 64 * 1024;
const MAX_CONNECTIONS = 64;
/** Without a byte in either direction (ms). Adding a rule may take seconds, so a call under way does not count. */
const IDLE_TIMEOUT = 30_000;

export class ControlServer {
  private readonly server: Server;
  private readonly connections = new Set<Socket>();

  private constructor(server: Server) {
    this.server = server;
  }

  /** Listen on `path`. Throws Failure: a live daemon there, a path too long, no permission. */
  static async listen(path: string, methods: Methods): Promise<ControlServer> {
    const field = '--unix-socket';
    checkSocketPath(path, field);
    try {
      makeDirectory(dirname(path));
    } catch (error) {
      throw new Failure(`${field}: ${dirname(path)} cannot be made: ${reasonOf(error)}`);
    }
    await claimSocketPath(path, field);
    const server = createServer({ allowHalfOpen: true });
    const control = new ControlServer(server);
    server.maxConnections = MAX_CONNECTIONS;
    server.on('connection', socket => control.serve(socket, methods));
    // The mode must be right from the first moment: between bind and chmod anyone could connect.
    const umask = process.umask(0o177);
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(path, resolve);
        process.umask(umask);
      });
    } catch (error) {
      throw new Failure(`${field}: cannot listen on ${path}: ${reasonOf(error)}`);
    } finally {
      process.umask(umask);
    }
    chmodSync(path, 0o600);
    // Errors of accepting (no more descriptors) leave the server listening.
    server.on('error', () => {});
    return control;
  }

  private serve(socket: Socket, methods: Methods): void {
    const splitter = new JsonSplitter(MAX_REQUEST);
    let queue = Promise.resolve();
    let waiting = 0;
    let calling = false;
    this.connections.add(socket);
    socket.on('close', () => this.connections.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.setTimeout(IDLE_TIMEOUT, () => {
      if (!calling) socket.destroy();
    });
    const answer = async (text: string): Promise<void> => {
      calling = true;
      const line = socket.destroyed ? undefined : await answerRequest(text, methods);
      calling = false;
      if (--waiting === 0) socket.resume();
      if (line === undefined) socket.destroy();
      // A client that does not read its answers stops being read from until it does.
      else if (!socket.destroyed && !socket.write(line)) await new Promise<void>(done => onceDrained(socket, done));
    };
    socket.on('data', chunk => {
      const requests = splitter.push(chunk);
      if (requests === undefined) {
        socket.destroy();
        return;
      }
      waiting += requests.length;
      if (waiting > 0) socket.pause();
      for (const text of requests) queue = queue.then(() => answer(text));
    });
    socket.on('end', () => {
      queue.then(() => socket.end());
    });
  }

  /** Stop listening, end the connections, remove the socket. */
  close(): Promise<void> {
    return new Promise(resolve => {
      this.server.close(() => resolve());
      for (const socket of this.connections) socket.destroy();
    });
  }
}

function onceDrained(socket: Socket, done: () => void): void {
  socket.once('drain', done);
  socket.once('close', done);
}
