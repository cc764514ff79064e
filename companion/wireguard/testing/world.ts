/**
 * A virtual clock, engines at outer addresses, and a seeded link between them that can drop, duplicate, reorder,
 * delay, corrupt and rebind. Every datagram is recorded. Nothing here waits: hours of WireGuard take milliseconds.
 */
import type { Now, PeerId } from '../actions.ts';
import { opensslX25519 } from '../x25519.ts';
import { Engine, type EngineOptions } from './engine.ts';
import { endpoint, endpointText, numberOf, prefix } from './packets.ts';
import { SeededRandom } from './random.ts';

/** What happens to one datagram: delays (ms) of the copies that arrive; none: it is lost. */
export type Fate = readonly number[];

export interface Datagram {
  readonly at: number;
  readonly from: string;
  readonly to: string;
  readonly bytes: Uint8Array;
}

export interface Node {
  readonly name: string;
  readonly engine: Engine;
  readonly privateKey: Uint8Array;
  readonly publicKey: Uint8Array;
  /** Present outer endpoint; `World.rebind` changes it. */
  at: Uint8Array;
  /** Difference of its wall clock from the world's, ms. */
  skew: number;
}

type NodeOptions = Partial<Omit<EngineOptions, 'send' | 'now' | 'random' | 'cross'>> & {
  /** Milliseconds between the node's two halves, as if they were on two threads. */
  readonly hop?: number;
};

const WALL = Date.UTC(2026, 6, 1);

export class World {
  readonly random: SeededRandom;
  now = 1_000_000;
  readonly datagrams: Datagram[] = [];
  /** Replace it to trouble the link; `at` is when the datagram left. */
  fate: (datagram: Datagram) => Fate = () => [10];
  /** Replace it to change bytes on the way. */
  mangle: (bytes: Uint8Array) => Uint8Array = bytes => bytes;
  readonly #nodes: Node[] = [];
  /** In the order of time; at one instant in the order of arrival. */
  readonly #queue: { at: number; run: () => void }[] = [];
  #ports = 51_000;

  constructor(seed = 1) {
    this.random = new SeededRandom(seed);
  }

  node(name: string, options: NodeOptions = {}): Node {
    const privateKey = options.privateKey ?? this.random.bytes(32);
    const { random } = this;
    const node: Node = {
      name,
      privateKey,
      publicKey: opensslX25519.publicKey(privateKey),
      at: endpoint(`192.0.2.${this.#nodes.length + 1}`, ++this.#ports),
      skew: 0,
      engine: new Engine({
        ...options,
        privateKey,
        random: random.bytes,
        now: this.now,
        send: (bytes, to) => this.transmit(node, bytes, to),
        ...(options.hop !== undefined && {
          cross: run => this.at(this.now + options.hop!, () => run(this.clock(node))),
        }),
      }),
    };
    this.#nodes.push(node);
    return node;
  }

  /** `at` learns of `peer`: by default at its present endpoint. */
  peer(
    at: Node,
    id: PeerId,
    peer: Node,
    allowedIps: readonly string[],
    options: { presharedKey?: Uint8Array; endpoint?: boolean; persistentKeepalive?: number } = {},
  ): void {
    const { presharedKey } = options;
    at.engine.handshaker.addPeer(id, { publicKey: peer.publicKey, ...(presharedKey && { presharedKey }) });
    at.engine.tunnel.addPeer(id, {
      publicKey: peer.publicKey,
      allowedIps: allowedIps.map(prefix),
      ...((options.endpoint ?? true) && { endpoint: peer.at }),
      ...(options.persistentKeepalive !== undefined && { persistentKeepalive: options.persistentKeepalive }),
    });
    at.engine.pump(this.clock(at));
  }

  clock(node: Node): Now {
    return { mono: this.now, wall: WALL + this.now + node.skew };
  }

  send(from: Node, ...packets: Uint8Array[]): boolean {
    return from.engine.sendPackets(packets, this.clock(from));
  }

  /** Puts a datagram on the link as if `from` had sent it. */
  transmit(from: Node, bytes: Uint8Array, to: Uint8Array): void {
    const source = Uint8Array.from(from.at);
    const datagram = { at: this.now, from: from.name, to: endpointText(to), bytes: Uint8Array.from(bytes) };
    this.datagrams.push(datagram);
    for (const delay of this.fate(datagram)) {
      this.at(this.now + delay, () => this.deliver(this.mangle(Uint8Array.from(bytes)), source, to));
    }
  }

  /** To whoever is at that endpoint when it arrives. */
  deliver(bytes: Uint8Array, source: Uint8Array, to: Uint8Array): number | undefined {
    const text = endpointText(to);
    const node = this.#nodes.find(n => endpointText(n.at) === text);
    return node?.engine.receive(bytes, source, this.clock(node));
  }

  /** Takes a node off the network: its process has ended. */
  remove(node: Node): void {
    this.#nodes.splice(this.#nodes.indexOf(node), 1);
  }

  /** Datagrams of `from` with `size` bytes, since the index `since` into `datagrams`. */
  sent(from: Node, size: number, since = 0): Datagram[] {
    return this.datagrams.slice(since).filter(d => d.from === from.name && d.bytes.length === size);
  }

  at(time: number, run: () => void): void {
    let [low, high] = [0, this.#queue.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#queue[middle]!.at <= time) low = middle + 1;
      else high = middle;
    }
    this.#queue.splice(low, 0, { at: time, run });
  }

  /** New source port (or address): what a NAT does when its entry has expired. */
  rebind(node: Node, to = endpoint('198.51.100.7', ++this.#ports)): void {
    node.at = to;
  }

  /** Runs everything that falls due in the next `ms`. */
  run(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      let next = this.#queue[0]?.at ?? Number.POSITIVE_INFINITY;
      for (const node of this.#nodes) next = Math.min(next, node.engine.tunnel.deadline);
      if (next > end) break;
      this.now = Math.max(this.now, next);
      while (this.#queue[0] !== undefined && this.#queue[0].at <= this.now) this.#queue.shift()!.run();
      for (const node of this.#nodes) {
        if (node.engine.tunnel.deadline <= this.now) node.engine.advance(this.clock(node));
      }
    }
    this.now = end;
    for (const node of this.#nodes) node.engine.advance(this.clock(node));
  }

  /** Sizes of the datagrams since `from` (an index into `datagrams`), as `a:148 b:92 ...`. */
  trace(from = 0): string {
    return this.datagrams
      .slice(from)
      .map(d => `${d.from}:${d.bytes.length}`)
      .join(' ');
  }
}

/** Numbers of the packets that came out at `node`, in their order. */
export function numbers(node: Node): number[] {
  return node.engine.delivered.map(({ packet }) => numberOf(packet));
}

/** Two nodes that know each other: a is 10.0.0.1 and fd00::1, b is 10.0.0.2 and fd00::2. Only a knows an endpoint. */
export function pair(
  options: { seed?: number; a?: NodeOptions; b?: NodeOptions; presharedKey?: Uint8Array; bothEndpoints?: boolean } = {},
): { world: World; a: Node; b: Node } {
  const world = new World(options.seed ?? 1);
  const a = world.node('a', options.a);
  const b = world.node('b', options.b);
  const psk = options.presharedKey && { presharedKey: options.presharedKey };
  world.peer(a, 0, b, ['10.0.0.2/32', 'fd00::2/128'], { ...psk });
  world.peer(b, 0, a, ['10.0.0.1/32', 'fd00::1/128'], { ...psk, endpoint: options.bothEndpoints ?? false });
  return { world, a, b };
}
