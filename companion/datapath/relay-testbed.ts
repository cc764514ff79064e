import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseAddress, parsePrefix, prefixContains } from '../../rules/index.ts';
import { Netstack } from '../netstack/index.ts';
import { Counters } from './counters.ts';
import type { LinearMemory, Pointer } from './memory.ts';
import { EpollReactor } from './reactor.ts';
import type { ProxyKeyConfig, ProxyKeyReport, RelayConfig, RelayContext } from './relay-context.ts';
import { Relays } from './relays.ts';
import { nativeAddress, systemCalls } from './system-calls.ts';

/**
 * Two nodes for the tests of the relays: each has the real stack, the real reactor and real sockets; in place of WireGuard their packets
 * are copied from one memory to the other. All runs on the test's own thread, a turn at a time, between the turns of Node's event loop,
 * where the test's clients and servers live.
 */

const MTU = 1420;
const STRIDE = 1536;
const SLOTS = 64;

export const PEER_KEY = `${'p'.repeat(43)}=`;

export interface NodeOptions extends Partial<RelayConfig> {
  /** Names and their addresses, for `resolve`. */
  names?: Record<string, string[]>;
  memoryBytes?: number;
}

export class TestNode {
  readonly stack: Netstack;
  readonly reactor: EpollReactor;
  readonly relays: Relays;
  readonly counters = new Counters();
  readonly runtimeDirectory: string;
  readonly logs: { level: string; message: string; fields: Record<string, string | number> }[] = [];
  readonly slots: Pointer;
  readonly lengths: Pointer;
  readonly incoming: Pointer;
  readonly #owned: boolean;

  constructor(address4: string, address6: string, o: NodeOptions) {
    this.stack = Netstack.create({
      mtu: MTU,
      seed: new Uint8Array(32).fill(address4.length + address4.charCodeAt(address4.length - 1)),
      now: Math.floor(performance.now() * 1000),
      memoryBytes: o.memoryBytes ?? 64 << 20,
    });
    const base = nativeAddress(this.stack.u8);
    this.stack.setBase(base);
    const { stack } = this;
    const memory: LinearMemory = {
      u8: stack.u8,
      u32: stack.u32,
      view: stack.view,
      base,
      reserve: bytes => stack.reserve(bytes),
    };
    stack.addAddress(parseAddress(address4)!);
    stack.addAddress(parseAddress(address6)!);
    this.slots = memory.reserve(SLOTS * STRIDE + 64) + 64;
    this.lengths = memory.reserve(SLOTS * 4);
    this.incoming = memory.reserve(STRIDE);
    const sys = systemCalls();
    this.reactor = new EpollReactor({ sys, memory });
    this.runtimeDirectory = o.runtimeDirectory ?? mkdtempSync(join(tmpdir(), 'relays-'));
    this.#owned = o.runtimeDirectory === undefined;
    const routes = ['10.0.0.0/24', 'fd00::/64'].map(text => parsePrefix(text)!);
    const ctx: RelayContext = {
      reactor: this.reactor,
      stack,
      memory,
      sys,
      config: { mode: 'none', bind: '127.0.0.1', runtimeDirectory: this.runtimeDirectory, ...o },
      counters: this.counters,
      log: (level, message, fields) => this.logs.push({ level, message, fields }),
      hasRoute: address => routes.some(prefix => prefixContains(prefix, address)),
      peerOf: address =>
        routes.some(prefix => prefixContains(prefix, address)) ? { id: 1, publicKeyBase64: PEER_KEY } : undefined,
      resolve: host => {
        const addresses = (o.names?.[host] ?? []).map(text => parseAddress(text)!);
        setImmediate(() => this.relays.resolved(host, addresses));
      },
    };
    this.relays = new Relays(ctx);
  }

  set(...keys: ProxyKeyConfig[]): ProxyKeyReport[] {
    return this.relays.setProxyKeys(keys);
  }

  /** The stack's events, after `input`. */
  dispatch(): void {
    for (let conn = this.stack.nextEvent(); conn !== 0; conn = this.stack.nextEvent())
      this.relays.onStackEvent(conn, this.stack.eventBits);
    this.relays.afterInput();
  }

  take(result: number): void {
    if (result === 1) this.relays.onUdp();
    else if (result === 2) this.relays.onUdpError();
  }

  close(): void {
    this.relays.close();
    this.reactor.close();
    if (this.#owned) rmSync(this.runtimeDirectory, { recursive: true, force: true });
  }
}

export class Testbed {
  readonly near: TestNode;
  readonly far: TestNode;
  /** Whether a packet is lost. */
  lose: (packet: Uint8Array) => boolean = () => false;
  /** Set to an array: packets to the near node wait in it until `release`. */
  held: Uint8Array[] | undefined;
  #stopped = false;
  readonly #ended: Promise<void>;

  /** Runs from the start until `close`. */
  constructor(near: NodeOptions = {}, far: NodeOptions = {}) {
    this.near = new TestNode('10.0.0.1', 'fd00::1', near);
    this.far = new TestNode('10.0.0.2', 'fd00::2', far);
    this.#ended = this.#run();
  }

  async close(): Promise<void> {
    this.#stopped = true;
    await this.#ended;
    this.near.close();
    this.far.close();
  }

  async #run(): Promise<void> {
    let quiet = 0;
    while (!this.#stopped) {
      quiet = this.turn() ? 0 : quiet + 1;
      await new Promise<void>(resolve => (quiet < 20 ? setImmediate(resolve) : setTimeout(resolve, 1)));
    }
  }

  /** Hands over what was held as one batch. */
  release(): void {
    const packets = this.held ?? [];
    this.held = undefined;
    for (const packet of packets) {
      this.near.stack.u8.set(packet, this.near.incoming);
      this.near.take(this.near.stack.input(this.near.incoming, packet.length));
    }
    this.near.dispatch();
  }

  /** One turn of both nodes. -> whether packets moved. */
  turn(): boolean {
    let moved = false;
    for (const node of [this.near, this.far]) {
      node.reactor.turn(0);
      node.reactor.pumpWanted = false;
      node.stack.setNow(node.reactor.now);
      node.stack.advance();
      node.dispatch();
    }
    for (const [from, to] of [
      [this.near, this.far],
      [this.far, this.near],
    ] as const) {
      for (;;) {
        const count = from.stack.poll(from.slots, STRIDE, SLOTS, from.lengths);
        for (let i = 0; i < count; i++) this.#carry(from, to, i);
        for (let got = from.stack.nextLocal(); got !== 0; got = from.stack.nextLocal()) from.take(got);
        from.dispatch();
        from.relays.afterPoll();
        to.dispatch();
        if (count === 0) break;
        moved = true;
      }
    }
    return moved;
  }

  #carry(from: TestNode, to: TestNode, i: number): void {
    const length = from.stack.u32[(from.lengths >>> 2) + i]!;
    const packet = from.stack.u8.subarray(from.slots + i * STRIDE, from.slots + i * STRIDE + length);
    if (this.lose(packet)) return;
    if (this.held !== undefined && to === this.near) {
      this.held.push(packet.slice());
      return;
    }
    to.stack.u8.set(packet, to.incoming);
    to.take(to.stack.input(to.incoming, length));
  }
}

/** A proxy key as rules would make it. */
export function proxyKey(name: string, destinations: string[], more: Partial<ProxyKeyConfig> = {}): ProxyKeyConfig {
  const [direction, protocol, port] = name.split('/');
  return {
    name,
    direction: direction as ProxyKeyConfig['direction'],
    protocol: protocol as ProxyKeyConfig['protocol'],
    port: Number(port),
    destinations: destinations.map(text => {
      const at = text.lastIndexOf(':');
      return { host: text.slice(0, at).replaceAll(/[[\]]/g, ''), port: Number(text.slice(at + 1)) };
    }),
    ...more,
  };
}
