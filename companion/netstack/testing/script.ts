import { expect } from 'vitest';
import * as EventBits from '../event-bits.ts';
import type { NetstackOptions } from '../netstack.ts';
import { bytesOf, Host } from './host.ts';
import { readSegment, type Segment, writeSegment } from './segment.ts';

/** A segment of a script: numbers are relative, 0 = the sender's own SYN, so data starts at 1. */
export interface Wanted {
  seq?: number;
  ack?: number;
  length?: number;
  window?: number;
  sacks?: [number, number][];
  mss?: number;
  scale?: number;
}

export interface Sent {
  seq?: number;
  ack?: number;
  data?: Uint8Array | string | number;
  window?: number;
  sacks?: [number, number][];
  mss?: number;
  scale?: number;
  sackPermitted?: boolean;
  /** Left out: the peer's clock and the last stamp seen, if stamps are in use. null: no option. */
  stamp?: { value?: number; echo?: number } | null;
}

export interface ScriptOptions extends Partial<NetstackOptions> {
  v6?: boolean;
  /** The peer's options. Defaults: MSS by the MTU, scale 7, SACK, stamps. null = left out. */
  mss?: number | null;
  scale?: number | null;
  sack?: boolean;
  stamps?: boolean;
  /** The peer's window field, unscaled bytes. Default 65,535 (with scale, 65,535 << scale is the real one). */
  window?: number;
  /** The peer's initial sequence number, and its clock in ms at time 0. */
  isn?: number;
  clock?: number;
  /** Pins the stack's initial sequence number. */
  stackIsn?: number;
  port?: number;
}

/**
 * A packet script in virtual time: the stack on one side, on the other a peer that is nothing but what the test says. Segments are
 * injected by `send`, expected by `expect` in the order they leave; `pass` lets time go by. Nothing takes time by itself.
 */
export class Script {
  readonly host: Host;
  readonly options: ScriptOptions;
  conn = 0;
  /** µs */
  now = 0;
  /** What left the stack and was not expected yet, with its time. */
  out: { at: number; segment: Segment }[] = [];
  /** Bits per connection since `takeEvents`. */
  readonly bits = new Map<number, number>();
  stackIsn = 0;
  readonly peerIsn: number;
  lastStamp = 0;
  readonly us: Uint8Array;
  readonly them: Uint8Array;
  peerPort: number;
  stackPort: number;

  constructor(options: ScriptOptions = {}) {
    this.options = options;
    const [us, them] = options.v6 === true ? ['fd00::1', 'fd00::2'] : ['10.0.0.1', '10.0.0.2'];
    this.us = bytesOf(us!);
    this.them = bytesOf(them!);
    this.peerIsn = options.isn ?? 1_000_000;
    this.peerPort = options.port ?? 40_000;
    this.stackPort = 80;
    const { mtu = 1420, seed, now, memoryBytes, rtoMax, userTimeout, connectTimeout, keepalive = 0 } = options;
    const given = { seed, now, memoryBytes, rtoMax, userTimeout, connectTimeout };
    this.host = new Host([us!], {
      mtu,
      keepalive,
      ...Object.fromEntries(Object.entries(given).filter(([, v]) => v !== undefined)),
    });
    if (options.stackIsn !== undefined) this.host.stack.pinIsn(options.stackIsn);
    this.now = options.now ?? 0;
  }

  /** A listener with a connection that the peer has opened. */
  static passive(options: ScriptOptions = {}): Script {
    const s = new Script(options);
    s.host.stack.listen(80, { deferred: false });
    s.synchronize();
    return s;
  }

  /** A connection that the stack has opened to the peer. */
  static active(options: ScriptOptions = {}): Script {
    const s = new Script(options);
    s.dial();
    s.send('SA', { seq: 0, ack: 1, ...s.synOptions() });
    s.expect('A', { seq: 1, ack: 1 });
    return s;
  }

  /** The stack connects; its SYN is taken. */
  dial(): Segment {
    this.peerPort = 80;
    this.conn = this.host.stack.connect(this.them, 80);
    expect(this.conn).toBeGreaterThan(0);
    this.collect();
    const syn = this.expect('S');
    this.stackPort = syn.sourcePort;
    return syn;
  }

  /** The peer opens a connection and finishes the handshake. */
  synchronize(): void {
    this.send('S', { seq: 0, ...this.synOptions() });
    this.expect('SA', { seq: 0, ack: 1 });
    this.send('A', { seq: 1, ack: 1 });
    this.conn = [...this.bits].find(([, bits]) => bits & (EventBits.ACCEPT | EventBits.CONNECTED))?.[0] ?? 0;
    expect(this.conn).toBeGreaterThan(0);
    // The ACK that tells the window that the SYN-ACK could not.
    this.drain();
  }

  synOptions(): Sent {
    const {
      mss = (this.options.mtu ?? 1420) - (this.options.v6 === true ? 60 : 40),
      scale = 7,
      sack = true,
    } = this.options;
    return {
      ...(mss !== null ? { mss } : {}),
      ...(scale !== null ? { scale } : {}),
      ...(sack ? { sackPermitted: true } : {}),
      window: Math.min(this.options.window ?? 65_535, 65_535),
    };
  }

  /** Builds a segment of the peer. */
  build(flags: string, sent: Sent = {}): Segment {
    const { seq = 0, ack, data = '', sacks, mss, scale, sackPermitted, stamp } = sent;
    const bytes =
      typeof data === 'number'
        ? new Uint8Array(data).map((_, i) => (seq + i) & 255)
        : typeof data === 'string'
          ? Buffer.from(data)
          : data;
    const stamps = (this.options.stamps ?? true) && stamp !== null;
    return {
      source: this.them,
      destination: this.us,
      sourcePort: this.peerPort,
      destinationPort: this.stackPort,
      seq: (this.peerIsn + seq) >>> 0,
      ack: flags.includes('A') ? (this.stackIsn + (ack ?? 1)) >>> 0 : (ack ?? 0),
      flags,
      window: sent.window ?? Math.min(this.options.window ?? 65_535, 65_535),
      data: bytes,
      ...(mss !== undefined ? { mss } : {}),
      ...(scale !== undefined ? { scale } : {}),
      ...(sackPermitted !== undefined ? { sackPermitted } : {}),
      ...(stamps
        ? {
            stamp: {
              value: stamp?.value ?? this.peerClock(),
              echo: stamp?.echo ?? (flags.includes('A') ? this.lastStamp : 0),
            },
          }
        : {}),
      ...(sacks !== undefined
        ? { sacks: sacks.map(([a, b]): [number, number] => [(this.stackIsn + a) >>> 0, (this.stackIsn + b) >>> 0]) }
        : {}),
    };
  }

  peerClock(): number {
    return ((this.options.clock ?? 5_000_000) + Math.floor(this.now / 1000)) >>> 0;
  }

  /** The peer's segment arrives. */
  send(flags: string, sent: Sent = {}): void {
    this.inject(writeSegment(this.build(flags, sent)));
  }

  /** Any packet arrives; then events are taken and the stack polled. */
  inject(packet: Uint8Array): number {
    const told = this.input(packet);
    this.collect();
    return told;
  }

  /** Any packet arrives within a batch: nothing is polled. */
  input(packet: Uint8Array): number {
    this.host.stack.setNow(this.now);
    return this.host.input(packet);
  }

  /** Takes what the stack sends, and its events. */
  collect(): void {
    for (const [conn, bits] of this.host.events()) this.bits.set(conn, (this.bits.get(conn) ?? 0) | bits);
    for (const packet of this.host.poll()) {
      const segment = readSegment(packet);
      if (segment.flags.includes('S')) this.stackIsn = segment.seq;
      if (segment.stamp !== undefined) this.lastStamp = segment.stamp.value;
      this.out.push({ at: this.now, segment });
    }
    for (const [conn, bits] of this.host.events()) this.bits.set(conn, (this.bits.get(conn) ?? 0) | bits);
  }

  /** Lets `us` go by; timers fire at their own time, and what they send is taken. */
  pass(us: number): void {
    const end = this.now + us;
    for (let turns = 0; turns < 1_000_000; turns++) {
      const due = this.host.stack.advance();
      this.collect();
      const next = Math.min(due, this.host.stack.advance());
      if (next > end) break;
      this.now = Math.max(this.now, next);
      this.host.stack.setNow(this.now);
    }
    this.now = end;
    this.host.stack.setNow(end);
    this.host.stack.advance();
    this.collect();
  }

  /** One late call, as after a suspended process: the clock jumps. */
  jump(us: number): void {
    this.now += us;
    this.host.stack.setNow(this.now);
    this.host.stack.advance();
    this.collect();
  }

  /** The next segment that left must be this one. @returns it, with its own numbers */
  expect(flags: string, wanted: Wanted = {}): Segment & { at: number } {
    const first = this.out.shift();
    if (first === undefined) throw new Error(`expected ${flags} ${JSON.stringify(wanted)}, nothing was sent`);
    const { segment } = first;
    const seen = this.relative(segment);
    // PSH is worth no test: it tells nothing that any stack acts upon.
    expect({
      flags: segment.flags.replace('P', ''),
      ...Object.fromEntries(Object.keys(wanted).map(key => [key, seen[key as keyof Wanted]])),
    }).toEqual({ flags, ...wanted });
    return { ...segment, at: first.at };
  }

  relative(segment: Segment): Wanted {
    return {
      seq: (segment.seq - this.stackIsn) >>> 0,
      ack: (segment.ack - this.peerIsn) >>> 0,
      length: segment.data.length,
      window: segment.window,
      ...(segment.sacks !== undefined
        ? {
            sacks: segment.sacks.map(([a, b]): [number, number] => [
              (a - this.peerIsn) >>> 0,
              (b - this.peerIsn) >>> 0,
            ]),
          }
        : {}),
      ...(segment.mss !== undefined ? { mss: segment.mss } : {}),
      ...(segment.scale !== undefined ? { scale: segment.scale } : {}),
    };
  }

  /** Nothing has left since the last expectation. */
  silent(): void {
    expect(this.out.map(({ segment }) => `${segment.flags} ${JSON.stringify(this.relative(segment))}`)).toEqual([]);
  }

  /** Forgets what has left. @returns it */
  drain(): Segment[] {
    const segments = this.out.map(({ segment }) => segment);
    this.out = [];
    return segments;
  }

  /** Bits of the connection since the last call. */
  takeEvents(conn = this.conn): number {
    const bits = this.bits.get(conn) ?? 0;
    this.bits.delete(conn);
    return bits;
  }

  /** The application writes; the stack is polled. @returns bytes queued */
  write(data: Uint8Array | string | number, conn = this.conn): number {
    const bytes =
      typeof data === 'number'
        ? new Uint8Array(data).map((_, i) => i & 255)
        : typeof data === 'string'
          ? Buffer.from(data)
          : data;
    const wrote = this.host.write(conn, bytes);
    this.collect();
    return wrote;
  }

  read(max?: number): Uint8Array {
    const data = this.host.read(this.conn, max);
    this.collect();
    return data;
  }

  /** One of the stack's calls, then a poll. */
  call(act: (stack: Host['stack'], conn: number) => void): void {
    act(this.host.stack, this.conn);
    this.collect();
  }

  get state(): number {
    return this.host.stack.inspect(this.conn)?.['state'] ?? 0;
  }

  get(field: string): number {
    return this.host.stack.inspect(this.conn)?.[field] ?? Number.NaN;
  }

  stat(name: string): number {
    return this.host.stack.stats()[name] ?? Number.NaN;
  }
}

/** Numbers of `inspect().state`. */
export const State = {
  closed: 0,
  deferred: 1,
  synSent: 2,
  synReceived: 3,
  established: 4,
  finWait1: 5,
  finWait2: 6,
  closing: 7,
  closeWait: 8,
  lastAck: 9,
  done: 10,
} as const;
