/**
 * Our stack against the kernel's TCP over a TUN, inside a network namespace of its own; `tests/linux.test.ts` starts it there.
 *
 *   ip netns exec NAME node companion/netstack/testing/linux-peer.ts SCENARIO [LOSS] [BYTES] [CONTROL]
 *
 * CONTROL is the kernel's congestion control, set on each of its sockets (a namespace may not make it the default).
 *
 * Prints one line of JSON and exits 0, or 1 with the error.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import net from 'node:net';
import koffi from 'koffi';
import * as EventBits from '../event-bits.ts';
import { Host } from './host.ts';
import { Random } from './random.ts';

const TUNSETIFF = 0x400454ca;
const IFF_TUN = 1;
const IFF_NO_PI = 0x1000;
const OURS = '10.77.0.1';
const KERNEL = '10.77.0.2';
const OURS_V6 = 'fd77::1';
const KERNEL_V6 = 'fd77::2';

const libc = koffi.load('libc.so.6');
const ioctl = libc.func('int ioctl(int fd, unsigned long request, void *argument)');
const read = libc.func('long read(int fd, void *buffer, unsigned long length)');
const write = libc.func('long write(int fd, void *buffer, unsigned long length)');
const setsockopt = libc.func('int setsockopt(int fd, int level, int name, void *value, unsigned int length)');
const fcntl = libc.func('int fcntl(int fd, int command, int argument)');

/** The TUN, the stack and the loop between them. */
class Bridge {
  readonly host = new Host([OURS, OURS_V6], { mtu: 1420 });
  readonly #fd: number;
  readonly #buffer = Buffer.alloc(65_536);
  readonly #random = new Random(7);
  readonly #loss: number;
  readonly #pending: Uint8Array[] = [];
  #handlers = new Map<number, (bits: number) => void>();
  #running = true;
  onAccept: (conn: number) => void = () => {};

  constructor(loss: number) {
    this.#loss = loss;
    this.#fd = openSync('/dev/net/tun', 'r+');
    const request = Buffer.alloc(40);
    request.write('ntun0');
    request.writeUInt16LE(IFF_TUN | IFF_NO_PI, 16);
    if (ioctl(this.#fd, TUNSETIFF, request) !== 0) throw new Error('TUNSETIFF');
    fcntl(this.#fd, 4, 0o4000);
    for (const args of [
      ['addr', 'add', `${KERNEL}/24`, 'dev', 'ntun0'],
      ['addr', 'add', `${KERNEL_V6}/64`, 'dev', 'ntun0', 'nodad'],
      ['link', 'set', 'ntun0', 'mtu', '1420', 'up'],
      ['link', 'set', 'lo', 'up'],
    ])
      execFileSync('ip', args);
    this.#loop();
  }

  handle(conn: number, handler: (bits: number) => void): void {
    this.#handlers.set(conn, handler);
  }

  stop(): void {
    this.#running = false;
  }

  #loop(): void {
    if (!this.#running) {
      closeSync(this.#fd);
      return;
    }
    const { host } = this;
    host.stack.setNow(performance.now() * 1000);
    for (let i = 0; i < 256; i++) {
      const length = Number(read(this.#fd, this.#buffer, this.#buffer.length));
      if (length <= 0) break;
      if (!this.#random.chance(this.#loss)) host.input(this.#buffer.subarray(0, length));
    }
    host.stack.advance();
    for (const [conn, bits] of host.events()) {
      if (bits & EventBits.ACCEPT) this.onAccept(conn);
      this.#handlers.get(conn)?.(bits);
    }
    // The kernel's queue may be full: then packets wait here, and the stack is not polled.
    if (this.#pending.length === 0) this.#pending.push(...host.poll(256));
    while (this.#pending.length > 0) {
      const packet = this.#pending[0]!;
      if (!this.#random.chance(this.#loss) && Number(write(this.#fd, Buffer.from(packet), packet.length)) < 0) break;
      this.#pending.shift();
    }
    setImmediate(() => this.#loop());
  }
}

/** Sets the kernel's congestion control for a socket or server of node's. */
function control<T extends net.Socket | net.Server>(socket: T): T {
  const fd = (socket as unknown as { _handle?: { fd?: number } })._handle?.fd;
  if (fd === undefined || fd < 0 || setsockopt(fd, 6, 13, Buffer.from(congestion), congestion.length) !== 0)
    throw new Error(`cannot set ${congestion}`);
  return socket;
}

function sha(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

/** Sends all of `data`, then FIN. */
function pour(bridge: Bridge, conn: number, data: Uint8Array): (bits: number) => void {
  let sent = 0;
  const push = () => {
    if (sent === data.length) return;
    sent += bridge.host.write(conn, data.subarray(sent));
    if (sent === data.length) bridge.host.stack.shutdown(conn);
  };
  push();
  return bits => {
    if (bits & EventBits.WRITABLE) push();
  };
}

/** Reads to the end. */
function drain(bridge: Bridge, conn: number, done: (data: Buffer) => void): (bits: number) => void {
  const parts: Uint8Array[] = [];
  return bits => {
    if (bits & EventBits.READABLE) parts.push(bridge.host.read(conn));
    if (bits & EventBits.EOF) done(Buffer.concat(parts));
  };
}

const DATA = new Random(99).bytes(64_000);
const payload = (bytes: number): Buffer =>
  Buffer.concat(Array.from({ length: Math.ceil(bytes / DATA.length) }, () => DATA)).subarray(0, bytes);

/** Kernel connects to us; bytes go both ways at once. */
function echoBulk(bridge: Bridge, address: string, bytes: number): Promise<object> {
  const data = payload(bytes);
  return new Promise((resolve, reject) => {
    bridge.host.stack.listen(80, { deferred: false });
    const start = performance.now();
    let here: string | undefined;
    bridge.onAccept = conn => {
      const out = pour(bridge, conn, data);
      const into = drain(bridge, conn, all => {
        here = sha(all);
      });
      bridge.handle(conn, bits => {
        out(bits);
        into(bits);
        if (bits & (EventBits.RESET | EventBits.ERROR))
          reject(new Error(`our side: ${bridge.host.stack.errorOf(conn)}`));
      });
      into(EventBits.READABLE);
    };
    const socket = net.connect({ host: address, port: 80, allowHalfOpen: true });
    const parts: Buffer[] = [];
    socket.on('data', part => parts.push(part));
    socket.on('error', reject);
    socket.on('connect', () => control(socket).end(data));
    socket.on('end', () => {
      const there = sha(Buffer.concat(parts));
      const wait = () => {
        if (here === undefined) {
          setTimeout(wait, 5);
          return;
        }
        const seconds = (performance.now() - start) / 1000;
        if (here !== sha(data) || there !== sha(data)) reject(new Error('bytes differ'));
        else resolve({ megabitsEachWay: Math.round((bytes * 8) / seconds / 1e6) });
      };
      wait();
    });
  });
}

/** We connect to the kernel, one way at a time. */
function oneWay(bridge: Bridge, upload: boolean, bytes: number): Promise<object> {
  const data = payload(bytes);
  return new Promise((resolve, reject) => {
    const server = net.createServer({ allowHalfOpen: true }, socket => {
      socket.on('error', reject);
      if (upload) {
        const parts: Buffer[] = [];
        socket.on('data', part => parts.push(part));
        socket.on('end', () => {
          socket.end();
          finish(Buffer.concat(parts));
        });
      } else {
        socket.resume();
        socket.end(data);
      }
    });
    const start = performance.now();
    const finish = (all: Buffer) => {
      const seconds = (performance.now() - start) / 1000;
      server.close();
      if (sha(all) !== sha(data)) reject(new Error('bytes differ'));
      else resolve({ megabits: Math.round((bytes * 8) / seconds / 1e6) });
    };
    server.listen(81, () => {
      control(server);
      const conn = bridge.host.connect(KERNEL, 81);
      const into = drain(bridge, conn, all => {
        if (!upload) {
          bridge.host.stack.shutdown(conn);
          finish(all);
        }
      });
      let out: (bits: number) => void = () => {};
      bridge.handle(conn, bits => {
        if (bits & EventBits.CONNECTED && upload) out = pour(bridge, conn, data);
        out(bits);
        into(bits);
        if (bits & (EventBits.RESET | EventBits.ERROR))
          reject(new Error(`our side: ${bridge.host.stack.errorOf(conn)}`));
      });
    });
  });
}

/** Many short connections from the kernel, half of them of IPv6; each sends a line and gets it back. */
async function many(bridge: Bridge, count: number): Promise<object> {
  bridge.host.stack.listen(80, { deferred: false });
  bridge.onAccept = conn => {
    const serve = (bits: number) => {
      if (bits & EventBits.READABLE) bridge.host.write(conn, bridge.host.read(conn));
      if (bits & EventBits.EOF) bridge.host.stack.close(conn);
    };
    bridge.handle(conn, serve);
    serve(EventBits.READABLE);
    if (bridge.host.stack.recvEnded(conn)) serve(EventBits.EOF);
  };
  const one = (i: number) =>
    new Promise<void>((resolve, reject) => {
      const socket = net.connect({ host: i % 2 ? OURS_V6 : OURS, port: 80, allowHalfOpen: true });
      let got = '';
      socket.on('data', part => {
        got += String(part);
      });
      socket.on('error', reject);
      socket.on('end', () => (got === `line ${i}` ? resolve() : reject(new Error(`got ${got}`))));
      socket.end(`line ${i}`);
    });
  await Promise.all(Array.from({ length: count }, (_, i) => one(i)));
  return { count };
}

/** Refusal, reset both ways, a reader that stops for a while. */
async function manners(bridge: Bridge): Promise<object> {
  const refused = await new Promise<string>(resolve => {
    const conn = bridge.host.connect(KERNEL, 9);
    bridge.handle(conn, () => resolve(bridge.host.stack.errorOf(conn)));
  });
  const refusedByUs = await new Promise<string>(resolve => {
    net.connect({ host: OURS, port: 9 }).on('error', error => resolve((error as NodeJS.ErrnoException).code ?? ''));
  });
  bridge.host.stack.listen(80, { deferred: false });
  const resetByUs = await new Promise<string>(resolve => {
    bridge.onAccept = conn => bridge.host.stack.abort(conn);
    net.connect({ host: OURS, port: 80 }).on('error', error => resolve((error as NodeJS.ErrnoException).code ?? ''));
  });
  const resetByThem = await new Promise<string>(resolve => {
    bridge.onAccept = conn =>
      bridge.handle(conn, bits => bits & EventBits.RESET && resolve(bridge.host.stack.errorOf(conn)));
    const socket = net.connect({ host: OURS, port: 80 }, () => socket.resetAndDestroy());
  });
  // The kernel's application does not read for a second: zero window, probes, then all of it.
  const data = payload(8_000_000);
  const slow = await new Promise<boolean>((resolve, reject) => {
    bridge.onAccept = conn => bridge.handle(conn, pour(bridge, conn, data));
    const socket = net.connect({ host: OURS, port: 80 });
    const parts: Buffer[] = [];
    socket.on('error', reject);
    socket.pause();
    setTimeout(() => {
      socket.on('data', part => parts.push(part));
      socket.on('end', () => resolve(sha(Buffer.concat(parts)) === sha(data)));
      socket.resume();
    }, 1000);
  });
  return { refused, refusedByUs, resetByUs, resetByThem, slow };
}

const [scenario = 'bulk', loss = '0', size = '20000000', congestion = 'cubic'] = process.argv.slice(2);
const bridge = new Bridge(Number(loss));
const bytes = Number(size);
const run = {
  bulk: () => echoBulk(bridge, OURS, bytes),
  bulk6: () => echoBulk(bridge, OURS_V6, bytes),
  upload: () => oneWay(bridge, true, bytes),
  download: () => oneWay(bridge, false, bytes),
  many: () => many(bridge, 500),
  manners: () => manners(bridge),
}[scenario];
if (run === undefined) throw new Error(`no scenario ${scenario}`);
const guard = setTimeout(() => {
  console.log(
    JSON.stringify({
      error: 'took too long',
      connections: bridge.host.stack.connections().map(conn => bridge.host.stack.inspect(conn)),
    }),
  );
  process.exit(1);
}, 50_000);
try {
  const result = await run();
  const stats = bridge.host.stack.stats();
  console.log(
    JSON.stringify({
      ...result,
      retransmits: stats['tcpRetransmits'],
      timeouts: stats['tcpTimeouts'],
      undos: stats['tcpUndos'],
      recoveries: stats['tcpRecoveries'],
      paws: stats['tcpPawsDrops'],
    }),
  );
} catch (error) {
  console.log(JSON.stringify({ error: String(error) }));
  process.exitCode = 1;
}
clearTimeout(guard);
bridge.stop();
setTimeout(() => process.exit(), 200);
