/**
 * Cryptokey routing (whitepaper §2): one table for the whole device that answers, for an inner address, the peer with
 * the longest matching prefix. A prefix belongs to one peer at a time; inserting it for another moves it.
 *
 * A path-compressed binary trie for each family. Addresses are four 32-bit words, IPv4 as ::ffff:a.b.c.d with a prefix
 * length of 96 and more, so one walk serves both; the roots are apart because ::/0 must not match IPv4.
 */
import type { PeerId } from './actions.ts';

/** 16 bytes (IPv4 as ::ffff:a.b.c.d) and 0 to 128 (IPv4 length + 96), as `rules/address.ts` parses them. */
export interface Prefix {
  readonly address: Uint8Array;
  readonly length: number;
}

const V4_WORD = 0xffff;

/** Bits past `length` are zero. `peer` is -1 on a node that only joins two others. */
interface Node {
  readonly w0: number;
  readonly w1: number;
  readonly w2: number;
  readonly w3: number;
  readonly length: number;
  peer: PeerId;
  parent: Node | undefined;
  zero: Node | undefined;
  one: Node | undefined;
}

export class AllowedIps {
  #v4: Node | undefined;
  #v6: Node | undefined;
  readonly #byPeer = new Map<PeerId, Set<Node>>();
  /** Changes with every change of the table, so that a cache of lookups knows when it is stale. */
  generation = 0;

  insert(prefix: Prefix, peer: PeerId): void {
    this.generation++;
    const fresh = newNode(prefix);
    let parent: Node | undefined;
    let node = isV4(fresh) ? this.#v4 : this.#v6;
    while (node !== undefined && node.length <= fresh.length && commonBits(node, fresh) >= node.length) {
      if (node.length === fresh.length) {
        this.#own(node, peer);
        return;
      }
      parent = node;
      node = bitAt(fresh, node.length) ? node.one : node.zero;
    }
    this.#own(fresh, peer);
    if (node === undefined) {
      this.#attach(fresh, parent);
      return;
    }
    const common = Math.min(commonBits(node, fresh), node.length, fresh.length);
    if (common === fresh.length) {
      this.#attach(fresh, parent);
      this.#attach(node, fresh);
      return;
    }
    const join = truncate(fresh, common);
    this.#attach(join, parent);
    this.#attach(node, join);
    this.#attach(fresh, join);
  }

  /** Whether the prefix was the peer's; another's stays. */
  remove(prefix: Prefix, peer: PeerId): boolean {
    const wanted = newNode(prefix);
    let node = isV4(wanted) ? this.#v4 : this.#v6;
    while (node !== undefined && node.length < wanted.length && commonBits(node, wanted) >= node.length) {
      node = bitAt(wanted, node.length) ? node.one : node.zero;
    }
    const found = node?.length === wanted.length && commonBits(node, wanted) >= wanted.length && node.peer === peer;
    if (found && node !== undefined) this.#disown(node);
    return found;
  }

  removePeer(peer: PeerId): void {
    for (const node of [...(this.#byPeer.get(peer) ?? [])]) this.#disown(node);
  }

  /** The peer of the longest prefix that holds the address, or -1. Words are signed 32-bit, big-endian order. */
  lookup(w0: number, w1: number, w2: number, w3: number): PeerId {
    let found: PeerId = -1;
    let node = w0 === 0 && w1 === 0 && w2 === V4_WORD ? this.#v4 : this.#v6;
    while (node !== undefined) {
      // commonBits(), spelled out: this runs per packet
      const x0 = node.w0 ^ w0;
      const x1 = node.w1 ^ w1;
      const x2 = node.w2 ^ w2;
      let common: number;
      if (x0 !== 0) common = Math.clz32(x0);
      else if (x1 !== 0) common = 32 + Math.clz32(x1);
      else if (x2 !== 0) common = 64 + Math.clz32(x2);
      else common = 96 + Math.clz32(node.w3 ^ w3); // clz32(0) is 32: all of 128
      const length = node.length;
      if (common < length) break;
      if (node.peer >= 0) found = node.peer;
      if (length === 128) break;
      const word = length < 32 ? w0 : length < 64 ? w1 : length < 96 ? w2 : w3;
      node = (word >>> (31 - (length & 31))) & 1 ? node.one : node.zero;
    }
    return found;
  }

  /** All prefixes of a peer, shortest first. */
  prefixesOf(peer: PeerId): Prefix[] {
    const prefixes = [...(this.#byPeer.get(peer) ?? [])].map(toPrefix);
    return prefixes.sort((a, b) => a.length - b.length || Buffer.compare(a.address, b.address));
  }

  #own(node: Node, peer: PeerId): void {
    if (node.peer >= 0) this.#byPeer.get(node.peer)?.delete(node);
    node.peer = peer;
    const nodes = this.#byPeer.get(peer);
    if (nodes === undefined) this.#byPeer.set(peer, new Set([node]));
    else nodes.add(node);
  }

  #disown(node: Node): void {
    this.generation++;
    const nodes = this.#byPeer.get(node.peer);
    nodes?.delete(node);
    if (nodes?.size === 0) this.#byPeer.delete(node.peer);
    node.peer = -1;
    // a node without a peer earns its place only by joining two others
    for (let n: Node | undefined = node; n !== undefined && n.peer < 0 && !(n.zero && n.one); ) {
      const parent: Node | undefined = n.parent;
      const child = n.zero ?? n.one;
      if (child !== undefined) {
        this.#attach(child, parent);
        return;
      }
      this.#detach(n, parent);
      n = parent;
    }
  }

  /** Hangs `node` under `parent` (undefined: as the root) at the place that its bits say. */
  #attach(node: Node, parent: Node | undefined): void {
    node.parent = parent;
    if (parent === undefined) {
      if (isV4(node)) this.#v4 = node;
      else this.#v6 = node;
    } else if (bitAt(node, parent.length)) parent.one = node;
    else parent.zero = node;
  }

  #detach(node: Node, parent: Node | undefined): void {
    if (parent === undefined) {
      if (this.#v4 === node) this.#v4 = undefined;
      else this.#v6 = undefined;
    } else if (parent.one === node) parent.one = undefined;
    else parent.zero = undefined;
  }
}

/** Nobody's yet: `#own` enters the peer. */
function newNode({ address, length }: Prefix): Node {
  const view = new DataView(address.buffer, address.byteOffset, 16);
  return truncate({ w0: view.getInt32(0), w1: view.getInt32(4), w2: view.getInt32(8), w3: view.getInt32(12) }, length);
}

/** The first `length` bits of an address, as a node of nobody. */
function truncate(node: Pick<Node, 'w0' | 'w1' | 'w2' | 'w3'>, length: number): Node {
  return {
    w0: node.w0 & mask(length),
    w1: node.w1 & mask(length - 32),
    w2: node.w2 & mask(length - 64),
    w3: node.w3 & mask(length - 96),
    length,
    peer: -1,
    parent: undefined,
    zero: undefined,
    one: undefined,
  };
}

/** A word with its first `bits` bits set; `bits` may lie outside 0 to 32. */
function mask(bits: number): number {
  return bits <= 0 ? 0 : bits >= 32 ? -1 : -1 << (32 - bits);
}

function isV4(node: Node): boolean {
  return node.length >= 96 && node.w0 === 0 && node.w1 === 0 && node.w2 === V4_WORD;
}

function commonBits(a: Node, b: Node): number {
  if (a.w0 !== b.w0) return Math.clz32(a.w0 ^ b.w0);
  if (a.w1 !== b.w1) return 32 + Math.clz32(a.w1 ^ b.w1);
  if (a.w2 !== b.w2) return 64 + Math.clz32(a.w2 ^ b.w2);
  return 96 + Math.clz32(a.w3 ^ b.w3);
}

function bitAt(node: Node, index: number): boolean {
  const word = index < 32 ? node.w0 : index < 64 ? node.w1 : index < 96 ? node.w2 : node.w3;
  return ((word >>> (31 - (index & 31))) & 1) === 1;
}

function toPrefix(node: Node): Prefix {
  const address = new Uint8Array(16);
  const view = new DataView(address.buffer);
  view.setInt32(0, node.w0);
  view.setInt32(4, node.w1);
  view.setInt32(8, node.w2);
  view.setInt32(12, node.w3);
  return { address, length: node.length };
}
