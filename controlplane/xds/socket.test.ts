import { chmod, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { bindPrivately, maxSocketPath } from './socket.ts';

let folder = '';
const servers: Server[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'socket-'));
});

afterEach(async () => {
  for (const server of servers.splice(0)) server.close();
  await rm(folder, { recursive: true, force: true });
});

/** A listener as grpc-js would make it; notes the mode of the folder that it is born in. */
const births: number[] = [];
async function bind(path: string): Promise<void> {
  const server = createServer();
  servers.push(server);
  await new Promise<void>((resolve, reject) => {
    server.on('error', reject);
    server.listen(path, resolve);
  });
  births.push((await stat(join(path, '..'))).mode & 0o777);
}

test('the socket is private from its first moment on, and nothing else is left behind', async () => {
  const path = join(folder, 'x.sock');
  await bindPrivately(path, bind);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(births.at(-1)).toBe(0o700);
  expect(await readdir(folder)).toEqual(['x.sock']);
});

test('a socket that nobody serves is replaced, one that is served is not', async () => {
  const path = join(folder, 'x.sock');
  await bindPrivately(path, bind);
  await expect(bindPrivately(path, bind)).rejects.toThrow('another process is listening');
  servers.pop()!.close();
  await bindPrivately(path, bind);
  expect((await stat(path)).isSocket()).toBe(true);
});

test('what is no socket is left alone', async () => {
  const path = join(folder, 'x.sock');
  await writeFile(path, 'precious');
  await expect(bindPrivately(path, bind)).rejects.toThrow('is no socket');
});

test('a path too long is refused with the reason', async () => {
  const path = join(folder, 'x'.repeat(maxSocketPath));
  await expect(bindPrivately(path, bind)).rejects.toThrow('too long for a unix socket, which allows 107 bytes');
  expect(await readdir(folder)).toEqual([]);
});

test('a folder that others may write to is refused', async () => {
  await chmod(folder, 0o777);
  await expect(bindPrivately(join(folder, 'x.sock'), bind)).rejects.toThrow('others may write to it (mode 777)');
});

test('a folder that is missing is named', async () => {
  await expect(bindPrivately(join(folder, 'no', 'x.sock'), bind)).rejects.toThrow('its folder does not exist');
});
