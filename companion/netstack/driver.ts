import { formatAddress, parseAddress } from '../../rules/index.ts';
import * as EventBits from './event-bits.ts';
import { Netstack } from './netstack.ts';
import { readAll, writeSome } from './spans.ts';

/** An answer to one line of `drive.ts`. */
export type Answer =
  | { ok: false; error: string }
  | { ok: true; now: number; tx: string[]; events: DriverEvent[]; [extra: string]: unknown };

export interface DriverEvent {
  conn: number;
  type: 'syn' | 'accept' | 'connected' | 'readable' | 'writable' | 'eof' | 'reset' | 'error' | 'closed';
  /** On accept and syn: the peer, `address:port`. On error: why. */
  from?: string;
  reason?: string;
}

const TYPES: readonly [number, DriverEvent['type']][] = [
  [EventBits.SYN, 'syn'],
  [EventBits.ACCEPT, 'accept'],
  [EventBits.CONNECTED, 'connected'],
  [EventBits.READABLE, 'readable'],
  [EventBits.WRITABLE, 'writable'],
  [EventBits.EOF, 'eof'],
  [EventBits.RESET, 'reset'],
  [EventBits.ERROR, 'error'],
  [EventBits.CLOSED, 'closed'],
];

/** Packets polled at a time, and iovecs used at a time. */
const SLOTS = 64;
/** Packets one answer may hold, so that a stack that talks to itself cannot go on for ever. */
const MOST_PACKETS = 65_536;
/** Timers that one `advance` may fire. */
const MOST_TURNS = 1_000_000;

/** One stack and its clock. Operations and fields are those of the design's netstack driver; unknown fields are ignored. */
export class Driver {
  #stack: Netstack | undefined;
  #now = 0;
  #slots = 0;
  #stride = 0;
  #lengths = 0;
  #packet = 0;
  #iov = 0;

  /** @param line one JSON object. Never throws. */
  handle(line: string): Answer {
    try {
      const op = JSON.parse(line) as Record<string, unknown>;
      if (op === null || typeof op !== 'object' || Array.isArray(op)) throw new Error('not an object');
      return this.#run(op);
    } catch (error) {
      return { ok: false, error: error instanceof Error ? error.message : String(error) };
    }
  }

  #run(op: Record<string, unknown>): Answer {
    const name = text(op, 'op');
    if (name === 'init') return this.#init(op);
    const stack = this.#stack;
    if (stack === undefined) throw new Error('init first');
    const extra: Record<string, unknown> = {};
    switch (name) {
      case 'advance':
        this.#advance(stack, integer(op, 'us', 0, Number.MAX_SAFE_INTEGER), extra);
        return this.#answer(stack, extra);
      case 'rx':
        this.#receive(stack, Buffer.from(text(op, 'packet'), 'base64'), extra);
        return this.#answer(stack, extra);
      case 'listen': {
        const listener = stack.listen(integer(op, 'port', 1, 65_535), { deferred: op['deferred'] === true });
        if (listener < 0) throw new Error(`listen failed: ${listener}`);
        return this.#answer(stack, { listener });
      }
      case 'connect': {
        const to = endpoint(text(op, 'to'));
        const conn = stack.connect(to.address, to.port);
        if (conn < 0) throw new Error(`connect failed: ${conn}`);
        return this.#answer(stack, { conn });
      }
      case 'stats':
        return this.#answer(stack, { stats: stack.stats() });
    }
    const conn = integer(op, 'conn', 1, 0x7fff_ffff);
    if (stack.inspect(conn) === undefined) throw new Error('no such connection');
    switch (name) {
      case 'send': {
        const data = Buffer.from(text(op, 'data'), 'base64');
        return this.#answer(stack, { conn, sent: writeSome(stack, conn, data, this.#iov, SLOTS) });
      }
      case 'recv': {
        const data = readAll(stack, conn, integer(op, 'max', 0, 0x7fff_ffff), this.#iov, SLOTS);
        const eof = stack.recvEnded(conn) && stack.recvAvailable(conn) === 0;
        return this.#answer(stack, { conn, data: Buffer.from(data).toString('base64'), eof });
      }
      case 'shutdown':
        stack.shutdown(conn);
        break;
      case 'close':
        stack.close(conn);
        break;
      case 'abort':
        stack.abort(conn);
        break;
      case 'accept':
        stack.accept(conn);
        break;
      case 'reject':
        stack.reject(conn);
        break;
      case 'inspect':
        return this.#answer(stack, { conn, inspect: stack.inspect(conn) });
      default:
        throw new Error(`unknown op ${name}`);
    }
    return this.#answer(stack, { conn });
  }

  #init(op: Record<string, unknown>): Answer {
    const addresses = op['addresses'];
    if (!Array.isArray(addresses) || addresses.length === 0) throw new Error('addresses: a list of at least one');
    const seed = Buffer.alloc(32);
    Buffer.from(text(op, 'seed', ''), 'hex').copy(seed);
    const mtu = integer(op, 'mtu', 576, 65_535, 1420);
    this.#now = integer(op, 'now', 0, Number.MAX_SAFE_INTEGER, 0);
    const stack = Netstack.create({ mtu, seed, now: this.#now, memoryBytes: 64 << 20 });
    for (const entry of addresses) {
      const address = parseAddress(String(entry).split('/')[0]!);
      if (address === undefined) throw new Error(`not an address: ${String(entry)}`);
      stack.addAddress(address);
    }
    this.#stride = (mtu + 63) & ~63;
    this.#slots = stack.reserve(SLOTS * this.#stride);
    this.#lengths = stack.reserve(SLOTS * 4);
    this.#packet = stack.reserve(65_536);
    this.#iov = stack.reserve(SLOTS * 16);
    this.#stack = stack;
    return this.#answer(stack, {});
  }

  /** Time passes from deadline to deadline, so that what a timer sends is sent at its time. */
  #advance(stack: Netstack, us: number, extra: Record<string, unknown>): void {
    const end = this.#now + us;
    const tx: string[] = [];
    const events: DriverEvent[] = [];
    for (let turns = 0; turns < MOST_TURNS; turns++) {
      stack.advance();
      this.#poll(stack, tx);
      this.#events(stack, events);
      const due = stack.advance();
      if (due > end) break;
      this.#now = Math.max(due, this.#now);
      stack.setNow(this.#now);
    }
    this.#now = end;
    stack.setNow(end);
    stack.advance();
    extra['earlierTx'] = tx;
    extra['earlierEvents'] = events;
  }

  #receive(stack: Netstack, packet: Uint8Array, extra: Record<string, unknown>): void {
    if (packet.length > 65_536) throw new Error('packet too long');
    stack.u8.set(packet, this.#packet);
    const told = stack.input(this.#packet, packet.length);
    if (told !== 0)
      extra['udp'] = {
        error: told === 2,
        from: formatAddress(stack.u8.slice(stack.udp.source, stack.udp.source + 16)),
        port: stack.udp.sourcePort,
      };
  }

  #answer(stack: Netstack, extra: Record<string, unknown>): Answer {
    const { earlierTx, earlierEvents, ...rest } = extra as { earlierTx?: string[]; earlierEvents?: DriverEvent[] };
    const tx = earlierTx ?? [];
    const events = earlierEvents ?? [];
    this.#poll(stack, tx);
    this.#events(stack, events);
    return { ok: true, now: this.#now, tx, events, ...rest };
  }

  #poll(stack: Netstack, tx: string[]): void {
    while (tx.length < MOST_PACKETS) {
      const count = stack.poll(this.#slots, this.#stride, SLOTS, this.#lengths);
      if (count === 0) return;
      for (let i = 0; i < count; i++) {
        const at = this.#slots + i * this.#stride;
        const length = stack.u32[(this.#lengths >>> 2) + i]!;
        tx.push(Buffer.from(stack.u8.buffer, at, length).toString('base64'));
      }
    }
  }

  #events(stack: Netstack, events: DriverEvent[]): void {
    for (let conn = stack.nextEvent(); conn !== 0; conn = stack.nextEvent()) {
      const bits = stack.eventBits;
      for (const [bit, type] of TYPES) {
        if ((bits & bit) === 0) continue;
        const event: DriverEvent = { conn, type };
        if (type === 'accept' || type === 'syn') {
          const { address, port } = stack.remote(conn);
          event.from = formatEndpoint(formatAddress(address), port);
        }
        if (type === 'error') event.reason = stack.errorOf(conn);
        events.push(event);
      }
    }
  }
}

function text(op: Record<string, unknown>, field: string, fallback?: string): string {
  const value = op[field] ?? fallback;
  if (typeof value !== 'string') throw new Error(`${field}: text expected`);
  return value;
}

function integer(op: Record<string, unknown>, field: string, least: number, most: number, fallback?: number): number {
  const value = op[field] ?? fallback;
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most)
    throw new Error(`${field}: a whole number in ${least}..${most} expected`);
  return value;
}

function endpoint(value: string): { address: Uint8Array; port: number } {
  const colon = value.lastIndexOf(':');
  const address = parseAddress(value.slice(0, colon).replace(/^\[|\]$/g, ''));
  const port = Number(value.slice(colon + 1));
  if (colon < 0 || address === undefined || !Number.isInteger(port) || port < 1 || port > 65_535)
    throw new Error(`not an endpoint: ${value}`);
  return { address, port };
}

function formatEndpoint(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
