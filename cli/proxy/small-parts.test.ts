import { createSocket } from 'node:dgram';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { makeDirectory } from '../make-directory.ts';
import { probeListener } from './bind-probe.ts';
import { Closers } from './closers.ts';
import { describeKey } from './describe.ts';
import { listeningPorts, parseListening } from './listening.ts';
import { RuntimeDirectory } from './runtime-directory.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'nexd-parts-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe('the runtime directory', () => {
  test('is made with mode 0700 whatever the umask, and removed with what is ours', () => {
    const umask = process.umask(0o077);
    const path = join(directory, 'run');
    const runtime = RuntimeDirectory.prepare(path, 'nexd');
    process.umask(umask);
    expect(statSync(path).mode & 0o777).toBe(0o700);
    mkdirSync(join(runtime.paths.ingressDirectory, 'tcp'), { recursive: true });
    writeFileSync(runtime.paths.filterWasm, '');
    runtime.remove();
    expect(existsSync(path)).toBe(false);
  });

  test('one that was there stays, and so does what is not ours', () => {
    const given = join(directory, 'given');
    mkdirSync(given, { mode: 0o700 });
    const runtime = RuntimeDirectory.prepare(given, 'nexd');
    writeFileSync(runtime.paths.bootstrap, '');
    writeFileSync(join(given, 'theirs'), '');
    runtime.remove();
    expect(existsSync(runtime.paths.bootstrap)).toBe(false);
    expect(existsSync(join(given, 'theirs'))).toBe(true);
  });

  test('without a flag: under XDG_RUNTIME_DIR when that can be written to', () => {
    const before = process.env['XDG_RUNTIME_DIR'];
    process.env['XDG_RUNTIME_DIR'] = directory;
    const runtime = RuntimeDirectory.prepare(undefined, 'nexd-test');
    expect(runtime.paths.directory).toBe(join(directory, 'nexd-test'));
    // What a killed daemon left is taken over, unless it is a trap.
    expect(RuntimeDirectory.prepare(undefined, 'nexd-test').paths.directory).toBe(runtime.paths.directory);
    chmodSync(runtime.paths.directory, 0o750);
    expect(() => RuntimeDirectory.prepare(undefined, 'nexd-test')).toThrow('other users may enter it (mode 750');
    rmSync(runtime.paths.directory, { recursive: true });
    symlinkSync(directory, runtime.paths.directory);
    expect(() => RuntimeDirectory.prepare(undefined, 'nexd-test')).toThrow('it is a symbolic link');
    if (before === undefined) delete process.env['XDG_RUNTIME_DIR'];
    else process.env['XDG_RUNTIME_DIR'] = before;
  });

  test('107 bytes are the limit for the longest socket in it', () => {
    const room = 107 - '/ingress/tcp/65535.sock'.length - directory.length - 1;
    RuntimeDirectory.prepare(join(directory, 'x'.repeat(room)), 'nexd').remove();
    expect(() => RuntimeDirectory.prepare(join(directory, 'x'.repeat(room + 1)), 'nexd')).toThrow('too long');
  });
});

describe('the bind probe', () => {
  test.each(['', '127.0.0.1', '::1'])('at %j: a port in use is told, a free one is left free', async bind => {
    const server = createServer();
    await new Promise<void>(resolve => server.listen(0, bind === '' ? '::' : bind, resolve));
    const { port } = server.address() as AddressInfo;
    expect(await probeListener({ protocol: 'tcp', port }, bind)).toBe(
      `port ${port}/tcp is already in use on this machine`,
    );
    await new Promise(resolve => server.close(resolve));
    expect(await probeListener({ protocol: 'tcp', port }, bind)).toBeUndefined();
    expect(await probeListener({ protocol: 'tcp', port }, bind)).toBeUndefined();
  });

  test('all addresses: also when only one of them is taken, of either family, TCP or UDP', async () => {
    const server = createServer();
    await new Promise<void>(resolve => server.listen(0, '::1', resolve));
    const { port } = server.address() as AddressInfo;
    expect(await probeListener({ protocol: 'tcp', port }, '')).toContain('already in use');
    expect(await probeListener({ protocol: 'tcp', port }, '127.0.0.1')).toBeUndefined();
    server.close();
    const socket = createSocket('udp4');
    await new Promise<void>(resolve => socket.bind(0, '127.0.0.1', resolve));
    expect(await probeListener({ protocol: 'udp', port: socket.address().port }, '')).toContain(
      '/udp is already in use',
    );
    socket.close();
  });
});

describe('who listens', () => {
  test('the tables of the kernel', () => {
    const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:0050 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 30 10 -1
   2: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 3 1
`;
    expect([...parseListening(table, 'tcp')]).toEqual([8080, 22]);
    expect([...parseListening(table, 'udp')]).toEqual([]);
  });

  test('for real', async () => {
    const server = createServer();
    await new Promise<void>(resolve => server.listen(0, '::1', resolve));
    const { port } = server.address() as AddressInfo;
    expect(listeningPorts('tcp')!.has(port)).toBe(true);
    await new Promise(resolve => server.close(resolve));
    expect(listeningPorts('tcp')!.has(port)).toBe(false);
    const socket = createSocket('udp6');
    await new Promise<void>(resolve => socket.bind(0, '::1', resolve));
    expect(listeningPorts('udp')!.has(socket.address().port)).toBe(true);
    socket.close();
  });
});

test('what is listened on, in words', () => {
  const destinations = [
    { host: '200::2', port: 5432 },
    { host: '10.0.0.2', port: 5432 },
  ];
  expect(
    describeKey({ name: 'egress/tcp/5432', direction: 'egress', protocol: 'tcp', port: 5432, destinations }, '', []),
  ).toBe(
    'egress/tcp/5432: listening on port 5432 of all addresses, to [200::2]:5432, 10.0.0.2:5432 through the tunnel',
  );
  expect(
    describeKey(
      { name: 'egress/udp/53', direction: 'egress', protocol: 'udp', port: 53, destinations: [destinations[1]!] },
      '::1',
      [],
    ),
  ).toBe('egress/udp/53: listening on [::1]:53, to 10.0.0.2:5432 through the tunnel');
  const local = [{ host: 'localhost', port: 8080 }];
  expect(
    describeKey(
      { name: 'ingress/tcp/443', direction: 'ingress', protocol: 'tcp', port: 443, destinations: local },
      '',
      ['10.0.0.1', '200::1'],
    ),
  ).toBe('ingress/tcp/443: listening on 10.0.0.1:443 and [200::1]:443 in the tunnel, to localhost:8080');
});

test('parts end in reverse order; one that fails or hangs does not keep the others up', async () => {
  const order: string[] = [];
  const told: string[] = [];
  const closers = new Closers((_, message) => told.push(message), 50);
  closers.add('first', () => void order.push('first'));
  closers.add('second', () => Promise.reject(new Error('broken')));
  closers.add('third', () => new Promise(() => {}));
  closers.add('fourth', () => void order.push('fourth'));
  await closers.close();
  expect(order).toEqual(['fourth', 'first']);
  expect(told).toEqual(['third does not end', 'second did not end cleanly: broken']);
  await closers.close();
  expect(order).toHaveLength(2);
});

test('what is left to do when waiting is over', () => {
  const order: string[] = [];
  const closers = new Closers(() => {}, 50);
  closers.add(
    'a',
    () => {},
    () => order.push('a'),
  );
  closers.add('b', () => {});
  closers.add(
    'c',
    () => {},
    () => order.push('c'),
  );
  closers.abandon();
  expect(order).toEqual(['c', 'a']);
});

test('making a directory: with what is missing above it, mode 0700; not for ever', () => {
  makeDirectory(join(directory, 'a', 'b'));
  expect(statSync(join(directory, 'a')).mode & 0o777).toBe(0o700);
  makeDirectory(join(directory, 'a', 'b'));
  writeFileSync(join(directory, 'file'), '');
  expect(() => makeDirectory(join(directory, 'file'))).toThrow('not a directory');
  expect(() => makeDirectory(join(directory, 'file', 'x'))).toThrow();
  // Node's recursive mkdir never returns here.
  expect(() => makeDirectory('/proc/nexd/x')).toThrow();
});
