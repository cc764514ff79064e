import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import net from 'node:net';
import { dirname } from 'node:path';
import { parseAddress } from '../../rules/index.ts';
import { emitProxyHeader, type ProxyHeader, parseProxyHeader } from './proxy-protocol.ts';
import { type NodeOptions, proxyKey, Testbed } from './relay-testbed.ts';

/** One end of a stream as an application has it: what came, and how it ended. */
export class End {
  readonly socket: net.Socket;
  readonly chunks: Buffer[] = [];
  received = 0;
  ended = false;
  closed = false;
  /** `ECONNRESET` and the like. */
  error: string | undefined;

  constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on('data', chunk => {
      this.chunks.push(chunk);
      this.received += chunk.length;
    });
    socket.on('end', () => {
      this.ended = true;
    });
    socket.on('error', error => {
      this.error = (error as NodeJS.ErrnoException).code ?? error.message;
    });
    socket.on('close', () => {
      this.closed = true;
    });
  }

  get data(): Buffer {
    return Buffer.concat(this.chunks);
  }

  get digest(): string {
    return digest(this.data);
  }

  write(data: string | Uint8Array): this {
    this.socket.write(data);
    return this;
  }

  /** FIN; reading goes on. */
  end(): this {
    this.socket.end();
    return this;
  }

  /** RST over TCP; over a unix socket the close of both directions at once. */
  reset(): this {
    if (this.socket.remoteFamily === undefined) this.socket.destroy();
    else this.socket.resetAndDestroy();
    return this;
  }
}

export const digest = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');

/** Waits until the condition holds; throws with what it was about after `ms`. */
export async function until(condition: () => boolean, about = condition.toString(), ms = 10_000): Promise<void> {
  const deadline = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not within ${ms} ms: ${about}`);
    await new Promise(resolve => setTimeout(resolve, 1));
  }
}

/** A listening server that keeps the ends it accepted. */
export class Server {
  readonly server: net.Server;
  readonly ends: End[] = [];
  /** The PROXY headers, of a server that expects them. */
  readonly headers: ProxyHeader[] = [];

  private constructor(server: net.Server) {
    this.server = server;
  }

  static async tcp(onEnd: (end: End) => void = () => {}): Promise<Server> {
    return await Server.#listen({ port: 0, host: '127.0.0.1' }, false, onEnd);
  }

  /** As Envoy's pipe listener: each stream begins with a PROXY header. */
  static async envoy(path: string, onEnd: (end: End) => void = () => {}): Promise<Server> {
    await mkdir(dirname(path), { recursive: true });
    rmSync(path, { force: true });
    return await Server.#listen({ path }, true, onEnd);
  }

  static async #listen(where: net.ListenOptions, proxied: boolean, onEnd: (end: End) => void): Promise<Server> {
    const made: Server = new Server(
      net.createServer({ allowHalfOpen: true, noDelay: true }, socket => {
        if (!proxied) made.#add(socket, onEnd);
        else
          socket.once('readable', () => {
            const bytes = socket.read() as Buffer;
            const result = parseProxyHeader(bytes);
            if (result.state !== 'complete') throw new Error(`header ${result.state}`);
            made.headers.push(result.header);
            if (bytes.length > result.length) socket.unshift(bytes.subarray(result.length));
            made.#add(socket, onEnd);
          });
      }),
    );
    await new Promise<void>(resolve => made.server.listen(where, resolve));
    return made;
  }

  get port(): number {
    return (this.server.address() as net.AddressInfo).port;
  }

  /** The connection that was accepted as number `index`. */
  async accepted(index = this.ends.length): Promise<End> {
    await until(() => this.ends.length > index, `connection ${index} accepted`);
    return this.ends[index]!;
  }

  close(): void {
    this.server.close();
    for (const end of this.ends) end.socket.destroy();
  }

  #add(socket: net.Socket, onEnd: (end: End) => void): void {
    const end = new End(socket);
    this.ends.push(end);
    onEnd(end);
  }
}

/** A port of 127.0.0.1 that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise(resolve => server.close(resolve));
  return port;
}

export async function connectTcp(port: number): Promise<End> {
  const end = new End(net.connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true }));
  await until(() => !end.socket.connecting || end.error !== undefined, 'connect');
  return end;
}

/** As Envoy connects: a stream to companion.sock that begins with a PROXY header, or with whatever is given. */
export async function connectEnvoy(path: string, header: ProxyHeader['tlv'] | Uint8Array): Promise<End> {
  const end = new End(net.connect({ path, allowHalfOpen: true }));
  await until(() => !end.socket.connecting || end.error !== undefined, 'connect');
  const source = { address: parseAddress('192.0.2.1')!, port: 4242 };
  const bytes =
    header instanceof Uint8Array
      ? header
      : emitProxyHeader(source, { address: parseAddress('127.0.0.1')!, port: 80 }, header);
  if (bytes.length > 0) end.write(bytes);
  return end;
}

/** Near and far node with one way from a client to a server. */
export interface Way {
  name: string;
  client: 'tcp' | 'unix';
  server: 'tcp' | 'unix';
}

/** Every combination of listeners that a stream may pass. */
export const WAYS: Way[] = [
  { name: 'listener -> local service', client: 'tcp', server: 'tcp' },
  { name: 'Envoy -> local service', client: 'unix', server: 'tcp' },
  { name: 'listener -> Envoy', client: 'tcp', server: 'unix' },
];

export class Route {
  readonly testbed: Testbed;
  readonly server: Server;
  readonly connect: () => Promise<End>;

  private constructor(testbed: Testbed, server: Server, connect: () => Promise<End>) {
    this.testbed = testbed;
    this.server = server;
    this.connect = connect;
  }

  static async open(way: Way, onEnd: (end: End) => void = () => {}, near: NodeOptions = {}): Promise<Route> {
    const testbed = new Testbed(
      { mode: way.client === 'unix' ? 'envoy' : 'none', ...near },
      { mode: way.server === 'unix' ? 'envoy' : 'none' },
    );
    const server =
      way.server === 'unix'
        ? await Server.envoy(`${testbed.far.runtimeDirectory}/ingress/tcp/80.sock`, onEnd)
        : await Server.tcp(onEnd);
    const local = way.server === 'unix' ? '127.0.0.1:1' : `127.0.0.1:${server.port}`;
    const port = await freePort();
    const key = `egress/tcp/${port}`;
    const reports = [
      ...testbed.far.set(proxyKey('ingress/tcp/80', [local])),
      ...testbed.near.set(proxyKey(key, ['10.0.0.2:80'])),
    ];
    for (const report of reports) if (!report.ok) throw new Error(report.error);
    const connect =
      way.client === 'tcp'
        ? () => connectTcp(port)
        : () =>
            connectEnvoy(`${testbed.near.runtimeDirectory}/companion.sock`, {
              destination: '10.0.0.2:80',
              key,
              connectionId: '7',
            });
    return new Route(testbed, server, connect);
  }

  async close(): Promise<void> {
    this.server.close();
    await this.testbed.close();
  }
}
