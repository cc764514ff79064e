import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parseAddress } from '../../rules/index.ts';
import { emitProxyHeader } from './proxy-protocol.ts';
import { proxyKey, Testbed } from './relay-testbed.ts';
import { connectEnvoy, type End, Server, until } from './relay-testends.ts';

let testbed: Testbed;
let server: Server;

const KEY = 'egress/tcp/5432';

async function open(near: ConstructorParameters<typeof Testbed>[0] = {}): Promise<void> {
  testbed = new Testbed({ mode: 'envoy', ...near });
  testbed.far.set(proxyKey('ingress/tcp/80', [`127.0.0.1:${server.port}`]));
  testbed.near.set(proxyKey(KEY, ['10.0.0.2:80', '10.0.0.2:81']));
}

beforeEach(async () => {
  server = await Server.tcp(end => end.write('hello'));
});

afterEach(async () => {
  server.close();
  await testbed.close();
});

const call = (header: Parameters<typeof connectEnvoy>[1]) =>
  connectEnvoy(`${testbed.near.runtimeDirectory}/companion.sock`, header);
const count = (name: string) => testbed.near.counters.get(name);

/** Closed without a byte; by a reset whenever the client had sent something. */
async function refused(end: End, counter: string): Promise<void> {
  await until(() => end.closed || end.ended, counter);
  expect(end.received).toBe(0);
  expect(count(counter)).toBe(1);
}

describe('the header decides', () => {
  test.each([
    ['no destination', { key: KEY }, 'no_destination'],
    ['the literal -', { key: KEY, destination: '-' }, 'no_destination'],
    ['no port', { key: KEY, destination: '10.0.0.2' }, 'bad_destination'],
    ['no key', { destination: '10.0.0.2:80' }, 'no_key'],
    ['a key of no rule', { key: 'egress/tcp/1', destination: '10.0.0.2:80' }, 'unknown_key'],
    ['the name of something every object has', { key: 'constructor', destination: '10.0.0.2:80' }, 'unknown_key'],
    ['a destination of no rule', { key: KEY, destination: '10.0.0.2:22' }, 'not_allowed'],
    ['a destination of another rule', { key: KEY, destination: '10.0.0.2:8080' }, 'not_allowed'],
  ])('%s: refused', async (_, header, reason) => {
    await open();
    testbed.near.set(proxyKey(KEY, ['10.0.0.2:80']), proxyKey('egress/tcp/8080', ['10.0.0.2:8080']));
    const end = await call(header);
    await refused(end, `envoy_header_refused_${reason}`);
    expect(end.error).toBe('ECONNRESET');
    expect(testbed.near.logs.find(log => log.fields['outcome'] === reason)?.level).toBe('warn');
  });

  test('an ingress key of the same protocol opens nothing', async () => {
    await open();
    testbed.near.set(proxyKey('ingress/tcp/81', ['10.0.0.2:80']));
    await refused(
      await call({ key: 'ingress/tcp/81', destination: '10.0.0.2:80' }),
      'envoy_header_refused_unknown_key',
    );
  });

  test('text instead of a header: refused at once', async () => {
    await open();
    await refused(await call(Buffer.from('GET / HTTP/1.1\r\n')), 'envoy_header_refused_malformed_signature');
  });

  test('a LOCAL header (a health check): refused', async () => {
    await open();
    const local = Buffer.from('0d0a0d0a000d0a515549540a20000000', 'hex');
    await refused(await call(local), 'envoy_header_refused_local');
  });

  test('half a header, then the end: refused at once', async () => {
    await open();
    const end = await call(Buffer.from('0d0a0d0a000d0a5155', 'hex'));
    end.end();
    await refused(end, 'envoy_header_refused_truncated');
  });

  test('no header at all: refused after five seconds, not before', async () => {
    await open();
    const began = performance.now();
    const [silent, half] = await Promise.all([call(Buffer.alloc(0)), call(Buffer.from('0d0a0d0a', 'hex'))]);
    await until(() => silent.ended && half.closed, 'late', 8000);
    expect(performance.now() - began).toBeGreaterThan(4900);
    expect(half.error).toBe('ECONNRESET');
    expect(count('envoy_header_refused_late')).toBe(2);
  });

  test('a header byte by byte is a header', async () => {
    await open();
    const from = { address: parseAddress('::1')!, port: 1 };
    const header = emitProxyHeader(from, from, { key: KEY, destination: '10.0.0.2:80' });
    const end = await call(header.subarray(0, 1));
    for (const byte of header.subarray(1)) {
      end.write(Uint8Array.of(byte));
      await new Promise(resolve => setImmediate(resolve));
    }
    await until(() => end.data.toString() === 'hello');
  });

  test('data in one piece with the header arrives', async () => {
    await open();
    const from = { address: parseAddress('10.1.1.1')!, port: 1 };
    const header = emitProxyHeader(from, from, { key: KEY, destination: '10.0.0.2:80' });
    await call(Buffer.concat([header, Buffer.from('early')]));
    const accepted = await server.accepted(0);
    await until(() => accepted.data.toString() === 'early');
  });

  test('a cluster without keys is served if the operator marked one, for destinations of rules', async () => {
    await open({ allowUnkeyed: true });
    const end = await call({ destination: '10.0.0.2:80' });
    await until(() => end.data.toString() === 'hello');
    await refused(await call({ destination: '10.0.0.2:22' }), 'envoy_header_refused_not_allowed');
  });

  test('the idle close of such a cluster is an end, not a reset', async () => {
    await open({ allowUnkeyed: true });
    const end = await call({ destination: '10.0.0.2:80' });
    await until(() => end.received === 5);
    end.write('last words');
    await until(() => end.socket.writableLength === 0);
    end.socket.destroy();
    const accepted = await server.accepted(0);
    await until(() => accepted.ended || accepted.closed);
    expect(accepted.error).toBeUndefined();
    expect(accepted.data.toString()).toBe('last words');
  });
});

describe('the dial', () => {
  test('nobody listens: reset without a byte, counted, logged', async () => {
    await open();
    testbed.near.set(proxyKey(KEY, ['10.0.0.2:81']));
    const end = await call({ key: KEY, destination: '10.0.0.2:81', connectionId: '99' });
    await refused(end, 'egress_tcp_dial_failed_refused');
    expect(end.error).toBe('ECONNRESET');
    expect(testbed.near.logs.find(log => log.message === 'egress connection')).toMatchObject({
      level: 'info',
      fields: {
        outcome: 'refused',
        key: KEY,
        source: '192.0.2.1:4242',
        destination: '10.0.0.2:81',
        connection_id: '99',
      },
    });
  });

  test('the second destination answers where the first does not', async () => {
    await open();
    const end = await call({ key: KEY, destination: '10.0.0.2:81' });
    await until(() => end.data.toString() === 'hello');
    expect(count('egress_tcp_dial_fell_back')).toBe(1);
  });

  test('no peer has the destination: told at once, without a packet', async () => {
    await open();
    testbed.near.set(proxyKey(KEY, ['192.0.2.7:80']));
    const began = performance.now();
    await refused(await call({ key: KEY, destination: '192.0.2.7:80' }), 'egress_tcp_dial_failed_no_route');
    expect(performance.now() - began).toBeLessThan(1000);
  });

  test('nobody answers: over after five seconds each', async () => {
    await open();
    testbed.lose = () => true;
    const began = performance.now();
    const end = await call({ key: KEY, destination: '10.0.0.2:80' });
    await until(() => end.closed, 'given up', 15_000);
    expect(performance.now() - began).toBeGreaterThan(9_500);
    expect(performance.now() - began).toBeLessThan(11_500);
    expect(count('egress_tcp_dial_failed_timeout')).toBe(1);
  });

  test('who leaves while it is dialled costs nothing more', async () => {
    await open();
    testbed.lose = () => true;
    const end = await call({ key: KEY, destination: '10.0.0.2:80' });
    await until(() => count('envoy_connections') === 1);
    end.socket.destroy();
    await until(() => count('egress_tcp_gone_while_dialling') === 1);
    expect(testbed.near.stack.stats()['connections']).toBe(0);
  });

  test('a name as destination is dialled by its addresses', async () => {
    await open({ names: { 'db.example': ['10.0.0.2'] } });
    testbed.near.set(proxyKey(KEY, ['db.example:80']));
    await new Promise(resolve => setTimeout(resolve, 20));
    for (const destination of ['db.example:80', '10.0.0.2:80']) {
      const end = await call({ key: KEY, destination });
      await until(() => end.data.toString() === 'hello', destination);
    }
  });
});

test('two companions do not share a directory', async () => {
  await open();
  const { runtimeDirectory } = testbed.near;
  expect(() => new Testbed({ mode: 'envoy', runtimeDirectory })).toThrow('another process listens');
});
