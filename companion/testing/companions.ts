import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { x25519 } from '@noble/curves/ed25519.js';
import { Companion, type CompanionConfig, type CompanionLog } from '../index.ts';

/** A key pair; the private key clamped (RFC 7748 §5). */
export function keyPair(): { privateKey: Uint8Array; publicKey: Uint8Array } {
  const privateKey = new Uint8Array(randomBytes(32));
  privateKey[0]! &= 248;
  privateKey[31] = (privateKey[31]! & 127) | 64;
  return { privateKey, publicKey: x25519.getPublicKey(privateKey) };
}

/** Keeps lines, so that a test can look at them. */
export function memoryLog(): CompanionLog & { lines: { level: string; message: string; fields: object }[] } {
  const lines: { level: string; message: string; fields: object }[] = [];
  const at = (level: string) => (fields: object, message: string) => {
    lines.push({ level, message, fields });
    if (process.env['SHOW_LOG'] !== undefined) console.log(level, message, JSON.stringify(fields));
  };
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** What a test has opened; `close` undoes it, last first. */
export class Scope {
  readonly #undo: (() => unknown)[] = [];

  defer(undo: () => unknown): void {
    this.#undo.push(undo);
  }

  directory(): string {
    const path = mkdtempSync(join(tmpdir(), 'companion-'));
    this.defer(() => rmSync(path, { recursive: true, force: true }));
    return path;
  }

  async companion(
    config: Partial<CompanionConfig> & Pick<CompanionConfig, 'privateKey' | 'addresses'>,
    log = memoryLog(),
  ) {
    const companion = await Companion.start(
      {
        listenPort: 0,
        mtu: 1420,
        peers: [],
        mode: 'none',
        bind: '127.0.0.1',
        runtimeDirectory: this.directory(),
        ...config,
      },
      log,
    );
    this.defer(() => companion.close());
    return { companion, log };
  }

  /** A TCP server on 127.0.0.1 and its port. */
  async server(onConnection: (socket: Socket) => void): Promise<number> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, socket => {
      socket.on('error', () => {});
      onConnection(socket);
    });
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    this.defer(() => server.close());
    return portOf(server);
  }

  async close(): Promise<void> {
    for (const undo of this.#undo.splice(0).reverse()) await undo();
  }
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const port = portOf(server);
  await new Promise(resolve => server.close(resolve));
  return port;
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not a TCP server');
  return address.port;
}
