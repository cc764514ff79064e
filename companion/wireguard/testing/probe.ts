/**
 * A peer made of a Handshaker and nothing else, that says whatever a test wants it to say: any counter, any inner
 * bytes, any message. It talks to one node without a link, so that each answer belongs to one question.
 */
import { chacha20poly1305 } from '@noble/ciphers/chacha.js';
import type { SessionAction } from '../actions.ts';
import { Handshaker } from '../handshaker.ts';
import { hash, mac } from '../kdf.ts';
import { opensslX25519 } from '../x25519.ts';
import { endpoint, endpointText, prefix } from './packets.ts';
import type { Node, World } from './world.ts';

export class Probe {
  readonly privateKey: Uint8Array;
  readonly publicKey: Uint8Array;
  readonly handshaker: Handshaker;
  at: Uint8Array;
  session: (SessionAction & { counter: bigint }) | undefined;
  /** What the target said to the probe's last question. */
  answers: Uint8Array[] = [];
  readonly #world: World;
  readonly #target: Node;
  readonly #id: number;

  /** Configured at `target` as peer `id` with `allowedIps`, unless that is empty: then it is a stranger. */
  constructor(
    world: World,
    target: Node,
    id: number,
    allowedIps: readonly string[],
    at = endpoint('203.0.113.1', 4000 + id),
  ) {
    this.#world = world;
    this.#target = target;
    this.#id = id;
    this.at = at;
    this.privateKey = world.random.bytes(32);
    this.publicKey = opensslX25519.publicKey(this.privateKey);
    this.handshaker = new Handshaker({ privateKey: this.privateKey, random: world.random.bytes });
    this.handshaker.addPeer(0, { publicKey: target.publicKey });
    if (allowedIps.length === 0) return;
    target.engine.handshaker.addPeer(id, { publicKey: this.publicKey });
    target.engine.tunnel.addPeer(id, { publicKey: this.publicKey, allowedIps: allowedIps.map(prefix) });
  }

  initiation(skew = 0): Uint8Array {
    const now = { mono: this.#world.now, wall: this.#world.clock(this.#target).wall + skew };
    for (const action of this.handshaker.initiate(0, now)) if (action.type === 'send') return action.datagram;
    throw new Error('no initiation');
  }

  /** Hands the datagram to the target as coming from the probe; collects what it sends back there. */
  ask(datagram: Uint8Array, from = this.at): Uint8Array[] {
    const since = this.#world.datagrams.length;
    this.#world.deliver(datagram, from, this.#target.at);
    const to = endpointText(from);
    this.answers = this.#world.datagrams
      .slice(since)
      .filter(d => d.to === to)
      .map(d => d.bytes);
    return this.answers;
  }

  /** A whole handshake, the confirming keepalive included. */
  handshake(): this {
    this.#world.now += 25; // past the flood limit of the handshake before
    const [response] = this.ask(this.initiation());
    if (response?.length !== 92) throw new Error(`answered by ${response?.length} bytes`);
    const now = this.#world.clock(this.#target);
    for (const action of this.handshaker.receive(response, this.#target.at, now)) {
      if (action.type === 'session') this.session = { ...action, counter: 0n };
    }
    this.ask(this.seal(new Uint8Array(0)));
    return this;
  }

  /** A transport message with any counter (default: the next one) and any content, not padded. */
  seal(inner: Uint8Array, counter = this.session!.counter++): Uint8Array {
    const datagram = new Uint8Array(16 + inner.length + 16);
    const view = new DataView(datagram.buffer);
    view.setUint32(0, 4, true);
    view.setUint32(4, this.session!.remoteIndex, true);
    view.setBigUint64(8, counter, true);
    const nonce = new Uint8Array(12);
    nonce.set(datagram.subarray(8, 16), 4);
    datagram.set(chacha20poly1305(this.session!.sendKey, nonce).encrypt(inner), 16);
    return datagram;
  }

  /** Sends one inner packet; how many came out at the target. */
  delivers(inner: Uint8Array, counter?: bigint): number {
    const before = this.#target.engine.delivered.length;
    this.ask(counter === undefined ? this.seal(inner) : this.seal(inner, counter));
    return this.#target.engine.delivered.length - before;
  }

  /** Where the target believes the probe to be. */
  get endpointAtTarget(): string {
    const { tunnel, memory } = this.#target.engine;
    const ptr = tunnel.endpoint(this.#id);
    return ptr === 0 ? 'none' : endpointText(memory.u8.slice(ptr, ptr + 18));
  }
}

/** Puts a right MAC1 on a handshake message for the owner of `publicKey`, after its content has been changed. */
export function signMac1(message: Uint8Array, publicKey: Uint8Array): Uint8Array {
  const key = hash(new TextEncoder().encode('mac1----'), publicKey);
  message.set(mac(key, message.subarray(0, message.length - 32)), message.length - 32);
  return message;
}
