/**
 * Cryptokey routing at both ends of the tunnel (whitepaper §2): which peer an outgoing packet goes to, and which peer
 * an incoming one may come from. The table, with one remembered answer for each direction; per packet, no allocation.
 */
import type { PeerId } from './actions.ts';
import { AllowedIps } from './allowed-ips.ts';
import { dropCode } from './drops.ts';
import { isMartian4, isMartian6 } from './inner.ts';
import { RouteCache } from './route-cache.ts';

/** The answer for a source that no peer may use. */
export const MARTIAN = dropCode('inner-martian');

const V4_WORD = 0xffff;

export class CryptokeyRouting {
  readonly allowedIps = new AllowedIps();
  readonly #view: DataView;
  readonly #sources = new RouteCache();
  readonly #destinations = new RouteCache();
  /** Own inner addresses, four words each. */
  #own: Int32Array = new Int32Array(0);

  constructor(view: DataView) {
    this.#view = view;
  }

  setOwnAddresses(addresses: readonly Uint8Array[]): void {
    this.#own = new Int32Array(addresses.length * 4);
    addresses.forEach((address, i) => {
      const view = new DataView(address.buffer, address.byteOffset, 16);
      for (let word = 0; word < 4; word++) this.#own[4 * i + word] = view.getInt32(4 * word);
    });
    this.#sources.clear();
  }

  /** The peer that may send from the source of the packet (whole, by `innerLength`); -1: nobody; MARTIAN. */
  sourceOwner(packet: number): number {
    const view = this.#view;
    let w0 = 0;
    let w1 = 0;
    let w2 = V4_WORD;
    let w3: number;
    const v4 = view.getUint8(packet) >>> 4 === 4;
    if (v4) {
      w3 = view.getInt32(packet + 12);
    } else {
      w0 = view.getInt32(packet + 8);
      w1 = view.getInt32(packet + 12);
      w2 = view.getInt32(packet + 16);
      w3 = view.getInt32(packet + 20);
    }
    const { generation } = this.allowedIps;
    const cache = this.#sources;
    // v4-mapped IPv6 has the words of IPv4 and is never what was remembered for them
    if (cache.hit(w0, w1, w2, w3, generation) && (v4 || w2 !== V4_WORD || w1 !== 0 || w0 !== 0)) return cache.peer;
    if (v4 ? isMartian4(w3) : isMartian6(w0, w1, w2, w3)) return MARTIAN;
    const own = this.#own;
    for (let i = 0; i < own.length; i += 4) {
      if (own[i] === w0 && own[i + 1] === w1 && own[i + 2] === w2 && own[i + 3] === w3) return MARTIAN;
    }
    return cache.store(w0, w1, w2, w3, generation, this.allowedIps.lookup(w0, w1, w2, w3));
  }

  /** The peer for the destination of the packet (a whole IP header), or -1. */
  destinationPeer(packet: number): PeerId {
    const view = this.#view;
    const version = view.getUint8(packet) >>> 4;
    let w0 = 0;
    let w1 = 0;
    let w2 = V4_WORD;
    let w3: number;
    if (version === 4) {
      w3 = view.getInt32(packet + 16);
    } else if (version === 6) {
      w0 = view.getInt32(packet + 24);
      w1 = view.getInt32(packet + 28);
      w2 = view.getInt32(packet + 32);
      w3 = view.getInt32(packet + 36);
    } else return -1;
    const { generation } = this.allowedIps;
    const cache = this.#destinations;
    if (cache.hit(w0, w1, w2, w3, generation)) return cache.peer;
    return cache.store(w0, w1, w2, w3, generation, this.allowedIps.lookup(w0, w1, w2, w3));
  }
}
