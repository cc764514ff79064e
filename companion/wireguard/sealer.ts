/**
 * Inner packets into transport messages (whitepaper §5.4.6): padding, counter, AEAD, header. Knows a session and the
 * memory; whether it may be used, and what follows from using it, is the Tunnel's business.
 */
import type { Aead } from './aead.ts';
import * as c from './constants.ts';
import type { Keypair } from './keypair.ts';
import type { MemoryView } from './memory.ts';
import { TRANSPORT } from './messages.ts';

const HEADROOM = 64;

export class Sealer {
  mtu: number;
  /** Of the last `batch`: the size of each datagram but the last, and how many packets were sealed. */
  segmentSize = 0;
  sealedPackets = 0;
  readonly #memory: MemoryView;
  readonly #aead: Aead;
  /** One packet with its headroom and padding, for what is sealed by itself. */
  readonly #scratch: number;

  constructor(memory: MemoryView, aead: Aead, mtu: number) {
    this.#memory = memory;
    this.#aead = aead;
    this.mtu = mtu;
    this.#scratch = memory.reserve(HEADROOM + 65_536 + c.PADDING_MULTIPLE) + HEADROOM;
  }

  /** See `Tunnel.sealBatch`; n > 0. */
  batch(keypair: Keypair, slots: number, stride: number, lengths: number, n: number, out: number): number {
    const { u32, u8 } = this.#memory;
    const lengthOf = lengths >>> 2;
    const first = this.#paddedLength(u32[lengthOf]!);
    const size = first + c.KEEPALIVE_SIZE;
    let count = 1;
    let last = first;
    while (count < n && last === first) {
      const padded = this.#paddedLength(u32[lengthOf + count]!);
      if (padded > first) break;
      last = padded;
      count++;
    }
    const { counter } = keypair;
    const counterLo = counter[0]!;
    const counterHi = counter[1]!;
    // last to first: the headroom of each datagram falls on the one before it, which is written after
    for (let i = count - 1; i >= 0; i--) {
      const packet = slots + i * stride;
      const padded = i === count - 1 ? last : first;
      for (let j = u32[lengthOf + i]!; j < padded; j++) u8[packet + j] = 0;
      const lo = (counterLo + i) >>> 0;
      this.#seal(keypair, out + i * size, packet, padded, lo, lo < counterLo ? counterHi + 1 : counterHi);
    }
    counter[0] = counterLo + count;
    if (counter[0]! < counterLo) counter[1] = counterHi + 1;
    this.segmentSize = size;
    this.sealedPackets = count;
    return (count - 1) * size + last + c.KEEPALIVE_SIZE;
  }

  /** One packet that does not lie in linear memory yet; empty: a keepalive. Answers the datagram's length. */
  one(keypair: Keypair, packet: Uint8Array, out: number): number {
    const { u8 } = this.#memory;
    const padded = packet.length === 0 ? 0 : this.#paddedLength(packet.length);
    u8.set(packet, this.#scratch);
    u8.fill(0, this.#scratch + packet.length, this.#scratch + padded);
    const { counter } = keypair;
    this.#seal(keypair, out, this.#scratch, padded, counter[0]!, counter[1]!);
    counter[0]!++;
    if (counter[0] === 0) counter[1]!++;
    return padded + c.KEEPALIVE_SIZE;
  }

  #seal(keypair: Keypair, out: number, packet: number, length: number, lo: number, hi: number): void {
    const { view } = this.#memory;
    this.#aead.seal(out + TRANSPORT.packet, packet, length, keypair.sendKey, lo, hi);
    view.setUint32(out, c.MESSAGE_TRANSPORT, true);
    view.setUint32(out + TRANSPORT.receiver, keypair.remoteIndex, true);
    view.setUint32(out + TRANSPORT.counter, lo, true);
    view.setUint32(out + TRANSPORT.counter + 4, hi, true);
  }

  /** To a multiple of 16, yet never past the MTU. */
  #paddedLength(length: number): number {
    const padded = (length + c.PADDING_MULTIPLE - 1) & -c.PADDING_MULTIPLE;
    return padded <= this.mtu ? padded : Math.max(length, this.mtu);
  }
}
