import { chmodSync, existsSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CallError, callNexd } from './client.ts';
import type { Methods } from './request.ts';
import { ControlServer } from './server.ts';

const methods: Methods = new Map<string, (argument: string) => string | Promise<string>>([
  ['NexdCtl.Version', () => 'dev'],
  ['NexdCtl.Echo', text => text],
  ['NexdCtl.Slow', text => sleep(100, text)],
  ['NexdCtl.Fail', () => Promise.reject(new Error('port already in use by another proxy rule'))],
  ['NexdCtl.Big', () => 'x'.repeat(3_000_000)],
]);

let directory: string;
let path: string;
let server: ControlServer | undefined;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'nexd-control-'));
  path = join(directory, 'sub', 'nexd.sock');
  server = await ControlServer.listen(path, methods);
});
afterEach(async () => {
  await server?.close();
  rmSync(directory, { recursive: true });
});

/** Send bytes, optionally end our half, and give all that comes until the other side closes or `enough`. */
function exchange(bytes: string | Buffer, options: { end?: boolean; enough?: RegExp } = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    let text = '';
    socket.on('data', chunk => {
      text += chunk;
      if (options.enough?.test(text)) socket.destroy();
    });
    socket.on('error', error =>
      (error as NodeJS.ErrnoException).code === 'EPIPE' || (error as NodeJS.ErrnoException).code === 'ECONNRESET'
        ? undefined
        : reject(error),
    );
    socket.on('close', () => resolve(text));
    socket.write(bytes);
    if (options.end) socket.end();
  });
}

// Left: what Go's client sends; right: what the real nexd answers, to the byte.
describe('the wire', () => {
  test.each([
    ['{"method":"NexdCtl.Version","params":[""],"id":0}\n', '{"id":0,"result":"dev","error":null}\n'],
    [
      '{"method":"NexdCtl.Echo","params":["tcp:81:127.0.0.1:9000"],"id":7}',
      '{"id":7,"result":"tcp:81:127.0.0.1:9000","error":null}\n',
    ],
    [
      '{"method":"NexdCtl.Fail","params":[""],"id":0}\n',
      '{"id":0,"result":null,"error":"port already in use by another proxy rule"}\n',
    ],
    [
      '{"method":"NexdCtl.NoSuch","params":[""],"id":0}\n',
      '{"id":0,"result":null,"error":"rpc: can\'t find method NexdCtl.NoSuch"}\n',
    ],
    [
      '{"method":"Other.Version","params":[""],"id":0}\n',
      '{"id":0,"result":null,"error":"rpc: can\'t find service Other.Version"}\n',
    ],
    [
      '{"method":"Version","params":[""],"id":0}\n',
      '{"id":0,"result":null,"error":"rpc: service/method request ill-formed: Version"}\n',
    ],
    ['{"params":[""],"id":0}\n', '{"id":0,"result":null,"error":"rpc: service/method request ill-formed: "}\n'],
    ['{"method":"NexdCtl.Echo","id":0}\n', '{"id":0,"result":null,"error":"jsonrpc: request body missing params"}\n'],
    [
      '{"method":"NexdCtl.Echo","params":[1],"id":0}\n',
      '{"id":0,"result":null,"error":"json: cannot unmarshal number into Go value of type string"}\n',
    ],
    ['{"method":"NexdCtl.Echo","params":[],"id":0}\n', '{"id":0,"result":"","error":null}\n'],
    ['{"method":"NexdCtl.Echo","params":["a"]}\n', '{"id":null,"result":"a","error":null}\n'],
    [
      '{"method":"NexdCtl.Echo","params":["a"],"id":"x"}{"method":"NexdCtl.Echo","params":["b"],"id":[2]}',
      '{"id":"x","result":"a","error":null}\n{"id":[2],"result":"b","error":null}\n',
    ],
  ])('%s', async (request, answer) => {
    expect(await exchange(request, { end: true })).toBe(answer);
  });

  test('answers in order, also when the first takes longer, and before the end is passed on', async () => {
    const request = (method: string, id: number) => `{"method":"NexdCtl.${method}","params":["${id}"],"id":${id}}\n`;
    expect(await exchange(request('Slow', 1) + request('Echo', 2), { end: true })).toMatch(/^{"id":1.*\n{"id":2.*\n$/);
  });

  test('a request in pieces', async () => {
    const socket = connect(path);
    for (const byte of '{"method":"NexdCtl.Echo","params":["ä"],"id":0}') {
      socket.write(byte);
      await sleep(1);
    }
    const answer = await new Promise(resolve => socket.once('data', chunk => resolve(String(chunk))));
    expect(answer).toBe('{"id":0,"result":"ä","error":null}\n');
    socket.destroy();
  });
});

describe('hostile clients are cut off and the next is served', () => {
  const served = () => callNexd(path, 'Version', '', 3000);
  test.each([
    ['text', 'GET / HTTP/1.1\r\n\r\n'],
    ['binary', Buffer.from([0, 255, 254, 1, 2])],
    ['a list', '[{"method":"NexdCtl.Version"}]'],
    ['broken JSON', '{"method" "x"}'],
    ['a method that is no text', '{"method":1,"params":[""],"id":0}'],
    ['an endless string', `{"a":"${'x'.repeat(200_000)}`],
    ['an endless nesting', '{"a":'.repeat(50_000)],
    ['invalid UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31])],
  ])('%s', async (_, bytes) => {
    expect(await exchange(bytes, { end: true })).toBe('');
    expect(await served()).toBe('dev');
  });

  test('half a request, then nothing', async () => {
    const sockets: Socket[] = [];
    for (let i = 0; i < 20; i++) {
      const socket = connect(path);
      socket.on('error', () => {});
      socket.write('{"method":"NexdCtl.Ver');
      sockets.push(socket);
    }
    expect(await served()).toBe('dev');
    for (const socket of sockets) socket.destroy();
  });

  test('one that asks for much and reads nothing', async () => {
    const socket = connect(path);
    socket.on('error', () => {});
    socket.pause();
    const request = '{"method":"NexdCtl.Big","params":[""],"id":0}\n';
    for (let i = 0; i < 1000; i++) socket.write(request);
    await sleep(200);
    // One answer waits in our buffers and one in the kernel's, not a thousand.
    expect(process.memoryUsage().rss).toBeLessThan(1_000_000_000);
    expect(await served()).toBe('dev');
    socket.destroy();
  });

  test('many at once: some are refused, none waits, and afterwards all is well', async () => {
    const results = await Promise.allSettled(Array.from({ length: 300 }, () => served()));
    expect(results.filter(result => result.status === 'fulfilled').length).toBeGreaterThanOrEqual(64);
    expect(await served()).toBe('dev');
  });
});

describe('the socket', () => {
  test('is for its owner only, and gone afterwards', async () => {
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(join(directory, 'sub')).mode & 0o777).toBe(0o700);
    await server!.close();
    server = undefined;
    expect(existsSync(path)).toBe(false);
  });

  test('a live one is not taken', async () => {
    await expect(ControlServer.listen(path, methods)).rejects.toThrow('existing nexd service already running');
    expect(await callNexd(path, 'Version')).toBe('dev');
  });

  test('a stale one is', async () => {
    const stale = join(directory, 'stale.sock');
    const other = createServer();
    await new Promise<void>(resolve => other.listen(stale, resolve));
    // As after a kill -9: the name stays, nobody listens.
    const kept = join(directory, 'kept.sock');
    const { linkSync } = await import('node:fs');
    linkSync(stale, kept);
    await new Promise<void>(resolve => other.close(() => resolve()));
    expect(existsSync(kept)).toBe(true);
    const second = await ControlServer.listen(kept, methods);
    expect(await callNexd(kept, 'Version')).toBe('dev');
    await second.close();
  });

  test('neither is anything else', async () => {
    const file = join(directory, 'file');
    writeFileSync(file, 'mine');
    await expect(ControlServer.listen(file, methods)).rejects.toThrow(
      `--unix-socket: ${file} exists and is not a socket`,
    );
    symlinkSync(path, join(directory, 'link'));
    await expect(ControlServer.listen(join(directory, 'link'), methods)).rejects.toThrow('exists and is not a socket');
    const long = join(directory, 'x'.repeat(108));
    await expect(ControlServer.listen(long, methods)).rejects.toThrow(
      /^--unix-socket: a unix socket's path has at most 107 bytes/,
    );
    await expect(ControlServer.listen(join(file, 'x.sock'), methods)).rejects.toThrow(
      /cannot be made: not a directory/,
    );
    chmodSync(directory, 0o700);
  });
});

describe('the client', () => {
  test('tells an error of the method, and what cannot be reached', async () => {
    await expect(callNexd(path, 'Fail')).rejects.toThrow(CallError);
    await expect(callNexd(path, 'Fail')).rejects.toThrow(
      'Failed to execute method (Fail): port already in use by another proxy rule',
    );
    await expect(callNexd(join(directory, 'none'), 'Version')).rejects.toThrow(
      `is nexd running?: failed to connect to nexd at '${directory}/none': no such file or directory`,
    );
    expect((await callNexd(path, 'Big')).length).toBe(3_000_000);
  });

  test('a daemon that hangs up, talks nonsense, or says nothing', async () => {
    for (const [behave, message] of [
      [(socket: Socket) => socket.destroy(), 'Failed to execute method (Version): '],
      [(socket: Socket) => socket.write('nonsense'), 'the answer is not JSON'],
      [() => {}, 'no answer within 0.2 s'],
    ] as const) {
      const odd = createServer(socket => {
        socket.on('error', () => {});
        socket.once('data', () => behave(socket));
      });
      await new Promise<void>(resolve => odd.listen(join(directory, 'odd'), resolve));
      await expect(callNexd(join(directory, 'odd'), 'Version', '', 200)).rejects.toThrow(message);
      await new Promise<void>(resolve => odd.close(() => resolve()));
    }
  });
});
