/** Small network helpers for tests against a real Envoy. */

import { once } from 'node:events';
import {
  connect,
  createServer,
  type IpcSocketConnectOpts,
  type NetConnectOpts,
  type Server,
  type Socket,
  type TcpSocketConnectOpts,
} from 'node:net';

/** A free TCP port of the loopback interface. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

export interface TestServer {
  server: Server;
  port: number;
  /** Everything that was accepted. */
  sockets: Socket[];
  close(): Promise<void>;
}

/** A server on 127.0.0.1 or a unix socket's path. */
export async function serve(
  handler: (socket: Socket) => void,
  where: string | number = 0,
  host = '127.0.0.1',
): Promise<TestServer> {
  const sockets: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, socket => {
    sockets.push(socket);
    socket.on('error', () => {});
    handler(socket);
  });
  if (typeof where === 'string') server.listen(where);
  else server.listen(where, host);
  await once(server, 'listening');
  const address = server.address();
  return {
    server,
    sockets,
    port: typeof address === 'object' && address !== null ? address.port : 0,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/**
 * Sends `text` and collects what comes back until the end or a reset.
 * @param halfClose whether to end the sending side at once
 * @param hangUp whether the first answer is enough
 */
export async function talk(
  to: TcpSocketConnectOpts | IpcSocketConnectOpts,
  text: string | Uint8Array,
  halfClose = true,
  hangUp = false,
): Promise<{ data: string; error?: string }> {
  const socket = connect({ ...to, allowHalfOpen: true } as NetConnectOpts);
  const parts: Buffer[] = [];
  let error: string | undefined;
  socket.on('data', part => {
    parts.push(part);
    if (hangUp) socket.destroy();
  });
  socket.on('end', () => socket.destroy());
  socket.on('error', (e: NodeJS.ErrnoException) => {
    error = e.code ?? e.message;
  });
  socket.setTimeout(10_000, () => socket.destroy(new Error('timeout')));
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.on('close', () => resolve());
  if (halfClose) socket.end(text);
  else socket.write(text);
  await promise;
  const data = Buffer.concat(parts).toString('latin1');
  return error === undefined ? { data } : { data, error };
}

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');

/** A PROXY protocol v2 header (proxy-protocol.txt §2.2), addresses of 4 or 16 bytes. */
export function proxyHeader(
  source: { address: Uint8Array; port: number },
  destination: { address: Uint8Array; port: number },
  tlvs: readonly [number, string][] = [],
): Buffer {
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(source.port, 0);
  ports.writeUInt16BE(destination.port, 2);
  const encoded = tlvs.map(([type, text]) => {
    const value = Buffer.from(text);
    return Buffer.concat([Buffer.from([type, value.length >> 8, value.length & 255]), value]);
  });
  const body = Buffer.concat([source.address, destination.address, ports, ...encoded]);
  const family = source.address.length === 4 ? 0x11 : 0x21;
  return Buffer.concat([SIGNATURE, Buffer.from([0x21, family, body.length >> 8, body.length & 255]), body]);
}

export interface ParsedHeader {
  source: string;
  destination: string;
  tlvs: Map<number, string>;
  rest: Buffer;
}

/** Reads a PROXY v2 header of TCP over IPv4 or IPv6; undefined while it is incomplete. @throws Error if it is none. */
export function parseProxyHeader(bytes: Buffer): ParsedHeader | undefined {
  if (bytes.length < 16) return undefined;
  if (!bytes.subarray(0, 12).equals(SIGNATURE))
    throw new Error(`no PROXY v2 header: ${bytes.subarray(0, 16).toString('hex')}`);
  const end = 16 + bytes.readUInt16BE(14);
  if (bytes.length < end) return undefined;
  const size = bytes[13] === 0x11 ? 4 : 16;
  const text = (at: number) => {
    const part = bytes.subarray(at, at + size);
    return size === 4 ? part.join('.') : part.toString('hex');
  };
  let at = 16 + 2 * size;
  const source = `${text(16)}:${bytes.readUInt16BE(at)}`;
  const destination = `${text(16 + size)}:${bytes.readUInt16BE(at + 2)}`;
  const tlvs = new Map<number, string>();
  for (at += 4; at < end; ) {
    const length = bytes.readUInt16BE(at + 1);
    tlvs.set(bytes[at]!, bytes.subarray(at + 3, at + 3 + length).toString());
    at += 3 + length;
  }
  return { source, destination, tlvs, rest: bytes.subarray(end) };
}
