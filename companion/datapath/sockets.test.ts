import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, test } from 'vitest';
import { formatAddress, parseAddress } from '../../rules/index.ts';
import { newLinearMemory } from './native-memory.ts';
import { type Opened, Sockets } from './sockets.ts';
import { systemCalls } from './system-calls.ts';

const sockets = new Sockets(systemCalls(), newLinearMemory(65_536));
const directory = mkdtempSync(join(tmpdir(), 'sockets-'));
const open: number[] = [];
const kept = (opened: Opened): number => {
  if (!opened.ok) throw new Error(opened.error);
  open.push(opened.fd);
  return opened.fd;
};

afterEach(() => {
  for (const fd of open.splice(0)) sockets.close(fd);
});
afterAll(() => rmSync(directory, { recursive: true }));

test('a unix listener has mode 0600 and answers', () => {
  const path = join(directory, 'a.sock');
  kept(sockets.listenUnix(path));
  expect(statSync(path).mode & 0o777).toBe(0o600);
  kept(sockets.connectUnix(path));
});

test('a unix listener replaces the socket of a dead process, and neither a living one nor a file', () => {
  const path = join(directory, 'b.sock');
  sockets.close(kept(sockets.listenUnix(path)));
  open.pop();
  kept(sockets.listenUnix(path));
  expect(sockets.listenUnix(path)).toMatchObject({
    ok: false,
    error: expect.stringContaining('another process listens'),
  });
  const file = join(directory, 'file');
  writeFileSync(file, 'precious');
  expect(sockets.listenUnix(file).ok).toBe(false);
  expect(statSync(file).size).toBe(8);
});

test('a path of 108 bytes is refused by name', () => {
  const path = `/${'p'.repeat(107)}`;
  expect(sockets.listenUnix(path)).toMatchObject({ ok: false, error: expect.stringContaining('at most 107 bytes') });
  expect(sockets.connectUnix(path)).toMatchObject({ ok: false, error: expect.stringContaining('at most 107 bytes') });
});

test('a port in use is told with its number', () => {
  const port = sockets.localPort(kept(sockets.listenTcp('127.0.0.1', 0)));
  expect(port).toBeGreaterThan(0);
  const again = sockets.listenTcp('127.0.0.1', port);
  expect(again).toMatchObject({
    ok: false,
    error: `tcp 127.0.0.1:${port}: the port is in use by another process (EADDRINUSE)`,
  });
  expect(sockets.listenTcp('nowhere', 1)).toMatchObject({
    ok: false,
    error: expect.stringContaining('not an address'),
  });
  expect(sockets.listenTcp('192.0.2.77', 0)).toMatchObject({
    ok: false,
    error: expect.stringContaining('no such address'),
  });
});

test('every address means both families, and the remote end of IPv4 is told as IPv4', async () => {
  const fd = kept(sockets.listenTcp('::', 0));
  for (const host of ['127.0.0.1', '::1']) {
    const client = net.connect({ host, port: sockets.localPort(fd) });
    await new Promise(resolve => client.once('connect', resolve));
    const accepted = systemCalls().accept4(fd, 0, 0, 0);
    open.push(accepted);
    const peer = sockets.peerName(accepted)!;
    expect(formatAddress(peer.address)).toBe(host);
    expect(peer.port).toBe(client.localPort);
    client.destroy();
  }
});

test('reset() shows as ECONNRESET, close() as the end', async () => {
  const fd = kept(sockets.listenTcp('127.0.0.1', 0));
  const endings: string[] = [];
  for (const how of ['close', 'reset'] as const) {
    const client = net.connect({ host: '127.0.0.1', port: sockets.localPort(fd) });
    await new Promise(resolve => client.once('connect', resolve));
    const ended = new Promise<string>(resolve => {
      client.once('end', () => resolve('end'));
      client.once('error', error => resolve((error as NodeJS.ErrnoException).code!));
    });
    client.resume();
    sockets[how](systemCalls().accept4(fd, 0, 0, 0));
    endings.push(await ended);
  }
  expect(endings).toEqual(['end', 'ECONNRESET']);
});

test('a refused connect is an error of the socket', async () => {
  const port = sockets.localPort(kept(sockets.listenTcp('127.0.0.1', 0)));
  sockets.close(open.pop()!);
  const opened = sockets.connectTcp({ address: parseAddress('127.0.0.1')!, port });
  // Loopback answers within the call or right after.
  if (!opened.ok) expect(opened.error).toContain('ECONNREFUSED');
  else {
    open.push(opened.fd);
    await new Promise(resolve => setTimeout(resolve, 20));
    expect(sockets.pendingError(opened.fd)).toBe(111);
  }
});
