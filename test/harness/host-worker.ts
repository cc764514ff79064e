// The inside of a Host (host.ts): enters its network namespace, then serves calls. Every server and client here is plain node:net or
// node:dgram on the kernel's stack, so what it sees is what any other program would see.
import { createHash, type Hash } from 'node:crypto';
import dgram from 'node:dgram';
import { closeSync, openSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';
import koffi from 'koffi';
import { parseAddress } from '../../rules/index.ts';
import type { Impairment } from './impairment.ts';
import { pattern } from './pattern.ts';
import { ping } from './ping.ts';
import { type Relay, startRelay } from './relay.ts';

const CLONE_NEWNET = 0x40000000;

function enterNamespace(name: string): void {
  const setns = koffi.load(null).func('setns', 'int', ['int', 'int']);
  const fd = openSync(`/var/run/netns/${name}`, 'r');
  if (setns(fd, CLONE_NEWNET) !== 0) throw new Error(`setns ${name}: errno ${koffi.errno()}`);
  closeSync(fd);
}

/** What a TCP server does with each connection. */
export type Service =
  | { kind: 'echo' }
  /** Speaks first, then echoes. */
  | { kind: 'greet'; text: string }
  /** Says its text and closes. */
  | { kind: 'name'; text: string }
  /** Reads to EOF, waits, answers with everything it read. */
  | { kind: 'answer-after-eof'; delayMs: number }
  /** Reads to EOF, answers with the SHA-256 in hex. */
  | { kind: 'digest' }
  /** Sends `bytes` of the pattern, then closes. */
  | { kind: 'source'; bytes: number; seed: number }
  /** Resets at the first byte. */
  | { kind: 'reset' }
  /** Accepts and stays silent; `ends` tells how each connection ended. */
  | { kind: 'silent' };

export type End = 'eof' | 'reset' | 'refused' | 'timeout' | 'open' | string;

export interface Exchange {
  /** How the connection ended for the client. */
  end: End;
  bytes: number;
  sha256: string;
  /** The first 4 KiB as text. */
  text: string;
  /** From connect to end. */
  ms: number;
  /** From connect to the first byte; -1 without one. */
  firstByteMs: number;
}

const servers = new Map<string, { close(): void; ends: End[]; open: Set<net.Socket> }>();
const held = new Map<number, net.Socket & { received?: string; ended?: End }>();
const relays: Relay[] = [];
let handles = 0;

function endOf(error: NodeJS.ErrnoException): End {
  if (error.code === 'ECONNRESET' || error.code === 'EPIPE') return 'reset';
  if (error.code === 'ECONNREFUSED') return 'refused';
  return error.code ?? error.message;
}

function serve(socket: net.Socket, service: Service): void {
  switch (service.kind) {
    case 'echo':
      socket.pipe(socket);
      break;
    case 'greet':
      socket.write(service.text);
      socket.pipe(socket);
      break;
    case 'name':
      socket.end(service.text);
      socket.resume();
      break;
    case 'answer-after-eof': {
      const parts: Buffer[] = [];
      socket.on('data', part => parts.push(part));
      socket.on('end', () => setTimeout(() => socket.end(Buffer.concat(parts)), service.delayMs));
      break;
    }
    case 'digest': {
      const hash = createHash('sha256');
      socket.on('data', part => hash.update(part));
      socket.on('end', () => socket.end(hash.digest('hex')));
      break;
    }
    case 'source':
      sendPattern(socket, service.bytes, service.seed, true);
      socket.resume();
      break;
    case 'reset':
      socket.once('data', () => socket.resetAndDestroy());
      break;
    case 'silent':
      socket.resume();
      break;
  }
}

function sendPattern(socket: net.Socket, bytes: number, seed: number, end: boolean): void {
  let sent = 0;
  const more = () => {
    while (sent < bytes) {
      const part = pattern(seed, sent, Math.min(65536, bytes - sent));
      sent += part.length;
      if (!socket.write(part)) {
        socket.once('drain', more);
        return;
      }
    }
    if (end) socket.end();
  };
  more();
}

/** The same at a steady pace: what a person's session looks like, not a transfer. */
function sendPaced(socket: net.Socket, bytes: number, seed: number, bytesPerSecond: number, end: boolean): void {
  const started = performance.now();
  let sent = 0;
  const timer = setInterval(() => {
    const due = Math.min(bytes, Math.floor(((performance.now() - started) / 1000) * bytesPerSecond));
    if (due > sent && socket.writable) socket.write(pattern(seed, sent, due - sent));
    sent = due;
    if (sent < bytes && !socket.destroyed) return;
    clearInterval(timer);
    if (end) socket.end();
  }, 20);
}

const methods = {
  async listen(o: { address: string; port: number; service: Service }): Promise<number> {
    const ends: End[] = [];
    const open = new Set<net.Socket>();
    const server = net.createServer({ allowHalfOpen: true }, socket => {
      open.add(socket);
      let end: End = 'open';
      socket.on('end', () => {
        if (end === 'open') end = 'eof';
        if (o.service.kind === 'silent') socket.end();
      });
      socket.on('error', error => {
        end = endOf(error);
      });
      socket.on('close', () => {
        open.delete(socket);
        ends.push(end);
      });
      serve(socket, o.service);
    });
    await new Promise<void>((resolve, reject) =>
      server.once('error', reject).listen({ host: o.address, port: o.port, backlog: 1024 }, resolve),
    );
    const port = (server.address() as net.AddressInfo).port;
    servers.set(`tcp ${o.address} ${port}`, { close: () => server.close(), ends, open });
    return port;
  },

  /** How the connections that a server had so far ended, oldest first; and how many are open. */
  async ends(address: string, port: number): Promise<{ ended: End[]; open: number }> {
    const server = servers.get(`tcp ${address} ${port}`)!;
    return { ended: [...server.ends], open: server.open.size };
  },

  async unlisten(address: string, port: number): Promise<void> {
    const server = servers.get(`tcp ${address} ${port}`);
    server?.close();
    for (const socket of server?.open ?? []) socket.destroy();
  },

  /** Connects, sends (`text`, or `bytes` of the pattern), shuts its side if `shutdown`, and reads until the end or the time limit. */
  exchange(o: {
    address: string;
    port: number;
    text?: string;
    bytes?: number;
    seed?: number;
    /** Send `bytes` at this pace; as fast as it goes otherwise. */
    bytesPerSecond?: number;
    shutdown?: boolean;
    /** Reset the connection after this many received bytes. */
    resetAfter?: number;
    /** Close after this many received bytes. */
    until?: number;
    timeoutMs?: number;
  }): Promise<Exchange> {
    return new Promise(resolve => {
      const started = performance.now();
      const hash: Hash = createHash('sha256');
      let bytes = 0;
      let head = '';
      let firstByteMs = -1;
      let done = false;
      const socket = net.connect({ host: o.address, port: o.port, allowHalfOpen: true });
      const finish = (end: End) => {
        if (done) return;
        done = true;
        clearTimeout(timer);
        socket.destroy();
        resolve({ end, bytes, sha256: hash.digest('hex'), text: head, ms: performance.now() - started, firstByteMs });
      };
      const timer = setTimeout(() => finish('timeout'), o.timeoutMs ?? 10_000);
      socket.on('error', error => finish(endOf(error)));
      socket.on('end', () => finish('eof'));
      socket.on('data', part => {
        if (firstByteMs < 0) firstByteMs = performance.now() - started;
        hash.update(part);
        if (head.length < 4096) head += part.subarray(0, 4096 - head.length).toString('latin1');
        bytes += part.length;
        if (o.resetAfter !== undefined && bytes >= o.resetAfter) {
          done = true;
          clearTimeout(timer);
          socket.resetAndDestroy();
          resolve({ end: 'reset', bytes, sha256: '', text: head, ms: performance.now() - started, firstByteMs });
        } else if (o.until !== undefined && bytes >= o.until) finish('open');
      });
      socket.on('connect', () => {
        if (o.text !== undefined) {
          if (o.shutdown === true) socket.end(o.text);
          else socket.write(o.text);
        } else if (o.bytes !== undefined && o.bytesPerSecond !== undefined)
          sendPaced(socket, o.bytes, o.seed ?? 1, o.bytesPerSecond, o.shutdown === true);
        else if (o.bytes !== undefined) sendPattern(socket, o.bytes, o.seed ?? 1, o.shutdown === true);
        else if (o.shutdown === true) socket.end();
      });
    });
  },

  /** `count` echo exchanges at once, each with its own bytes. @returns how many came back whole. */
  async manyEchoes(o: { address: string; port: number; count: number; bytes: number }): Promise<number> {
    const results = await Promise.all(
      Array.from({ length: o.count }, async (_, i) => {
        const result = await methods.exchange({ ...o, seed: i + 1, shutdown: true, timeoutMs: 60_000 });
        return (
          result.end === 'eof' &&
          result.sha256 ===
            createHash('sha256')
              .update(pattern(i + 1, 0, o.bytes))
              .digest('hex')
        );
      }),
    );
    return results.filter(Boolean).length;
  },

  /** Opens a connection and keeps it. @returns its handle. */
  hold(address: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const socket: net.Socket & { received?: string; ended?: End } = net.connect({
        host: address,
        port,
        allowHalfOpen: true,
      });
      const handle = ++handles;
      socket.received = '';
      socket.once('connect', () => {
        held.set(handle, socket);
        resolve(handle);
      });
      socket.on('data', part => {
        socket.received += part.toString('latin1');
      });
      socket.on('end', () => {
        socket.ended ??= 'eof';
      });
      socket.on('error', error => {
        socket.ended ??= endOf(error);
        reject(error);
      });
    });
  },

  /** Sends on a held connection and waits until the same text has come back. @returns true if so within the limit. */
  async ping(handle: number, text: string, timeoutMs = 5000): Promise<boolean> {
    const socket = held.get(handle)!;
    socket.received = '';
    socket.write(text);
    const until = performance.now() + timeoutMs;
    while (performance.now() < until) {
      if (socket.received === text) return true;
      if (socket.ended !== undefined) return false;
      await new Promise(resolve => setTimeout(resolve, 2));
    }
    return false;
  },

  async ended(handle: number): Promise<End> {
    return held.get(handle)!.ended ?? 'open';
  },

  async release(handle: number, how: 'close' | 'reset' = 'close'): Promise<void> {
    const socket = held.get(handle);
    held.delete(handle);
    if (how === 'reset') socket?.resetAndDestroy();
    else socket?.destroy();
  },

  /** UDP: answers each datagram with itself. */
  async listenUdp(address: string, port: number): Promise<number> {
    const socket = dgram.createSocket({ type: net.isIPv6(address) ? 'udp6' : 'udp4', recvBufferSize: 4 << 20 });
    socket.on('message', (message, from) => socket.send(message, from.port, from.address));
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.bind(port, address, resolve);
    });
    const bound = socket.address().port;
    servers.set(`udp ${address} ${bound}`, { close: () => socket.close(), ends: [], open: new Set() });
    return bound;
  },

  /** Sends `sizes` datagrams one after the other from one socket and waits for each answer. @returns the sizes that came back equal. */
  async exchangeUdp(o: {
    address: string;
    port: number;
    sizes: number[];
    seed: number;
    timeoutMs?: number;
  }): Promise<number[]> {
    const socket = dgram.createSocket({ type: net.isIPv6(o.address) ? 'udp6' : 'udp4', recvBufferSize: 4 << 20 });
    const equal: number[] = [];
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.connect(o.port, o.address, resolve);
    });
    socket.on('error', () => {});
    for (const size of o.sizes) {
      const sent = pattern(o.seed, 0, size);
      for (let attempt = 0; attempt < 2; attempt++) {
        const answer = await new Promise<Buffer | undefined>(resolve => {
          const timer = setTimeout(() => resolve(undefined), o.timeoutMs ?? 2000);
          socket.once('message', message => {
            clearTimeout(timer);
            resolve(message);
          });
          socket.send(sent);
        });
        socket.removeAllListeners('message');
        if (answer === undefined) continue;
        if (answer.equals(sent)) equal.push(size);
        break;
      }
    }
    socket.close();
    return equal;
  },

  /** One ICMP echo per size (bytes behind its header). @returns the sizes whose answer came in time and is equal. */
  async icmpEcho(o: { address: string; sizes: number[]; timeoutMs?: number }): Promise<number[]> {
    const bytes = parseAddress(o.address)!;
    const address = net.isIPv4(o.address) ? bytes.subarray(12) : bytes;
    return o.sizes.filter(size => {
      const data = pattern(size, 0, size);
      return ping(address, data, o.timeoutMs ?? 2000)?.equals(data) === true;
    });
  },

  /** Starts a relay (relay.ts) in this namespace. @returns its handle and port. */
  async relay(o: Parameters<typeof startRelay>[0]): Promise<{ relay: number; port: number }> {
    const relay = await startRelay(o);
    return { relay: relays.push(relay) - 1, port: relay.port };
  },

  rebind: (relay: number): Promise<void> => relays[relay]!.rebind(),

  async impair(relay: number, seed: number, o: Impairment): Promise<void> {
    relays[relay]!.impair(seed, o);
  },

  /** Datagrams that came to the relay, and that left it. */
  async relayed(relay: number): Promise<{ in: number; out: number }> {
    return { ...relays[relay]!.counts };
  },

  async listenHttp(address: string, port: number, body: string): Promise<number> {
    const server = http.createServer((_, response) => response.end(body));
    await new Promise<void>(resolve => server.listen(port, address, resolve));
    return (server.address() as net.AddressInfo).port;
  },
};

export type HostMethods = typeof methods;

const { namespace } = workerData as { namespace?: string };
if (namespace !== undefined) enterNamespace(namespace);
parentPort!.on('message', async (call: { id: number; name: keyof HostMethods; args: unknown[] }) => {
  try {
    const method = methods[call.name] as (...args: unknown[]) => unknown;
    parentPort!.postMessage({ id: call.id, value: await method(...call.args) });
  } catch (error) {
    parentPort!.postMessage({ id: call.id, error: (error as Error).message });
  }
});
parentPort!.postMessage({ id: -1 });
