import { parseAddress } from '../../../rules/index.ts';
import { Netstack, type NetstackOptions } from '../netstack.ts';
import { readAll, writeSome } from '../spans.ts';

const SLOTS = 64;

/** One stack with the buffers that a test needs around it. */
export class Host {
  readonly stack: Netstack;
  readonly #slots: number;
  readonly #stride: number;
  readonly #lengths: number;
  readonly #packet: number;
  readonly #iov: number;
  readonly #scratch: number;

  constructor(addresses: readonly string[], options: Partial<NetstackOptions> & { seedByte?: number } = {}) {
    const { seedByte = 1, ...rest } = options;
    const mtu = rest.mtu ?? 1420;
    this.stack = Netstack.create({
      mtu,
      seed: new Uint8Array(32).fill(seedByte),
      now: 0,
      memoryBytes: 32 << 20,
      ...rest,
    });
    for (const address of addresses) this.stack.addAddress(bytesOf(address));
    this.#stride = 64 + ((Math.max(mtu, 1500) + 63) & ~63);
    this.#slots = this.stack.reserve(SLOTS * this.#stride);
    this.#lengths = this.stack.reserve(SLOTS * 4);
    this.#packet = this.stack.reserve(65_600);
    this.#iov = this.stack.reserve(SLOTS * 16);
    this.#scratch = this.stack.reserve(65_600);
  }

  /** Takes one packet in. @returns what `Netstack.input` returned */
  input(packet: Uint8Array): number {
    this.stack.u8.set(packet, this.#packet);
    return this.stack.input(this.#packet, packet.length);
  }

  /** Copies of the packets that the stack wants to send, at most `most`. */
  poll(most = Number.POSITIVE_INFINITY): Uint8Array[] {
    const packets: Uint8Array[] = [];
    while (packets.length < most) {
      const count = this.stack.poll(this.#slots, this.#stride, Math.min(SLOTS, most - packets.length), this.#lengths);
      if (count === 0) break;
      for (let i = 0; i < count; i++) {
        const at = this.#slots + i * this.#stride;
        packets.push(this.stack.u8.slice(at, at + this.stack.u32[(this.#lengths >>> 2) + i]!));
      }
    }
    return packets;
  }

  /** Events since the last call, as [connection, bits]. */
  events(): [conn: number, bits: number][] {
    const events: [number, number][] = [];
    for (let conn = this.stack.nextEvent(); conn !== 0; conn = this.stack.nextEvent())
      events.push([conn, this.stack.eventBits]);
    return events;
  }

  connect(address: string, port: number): number {
    return this.stack.connect(bytesOf(address), port);
  }

  /** @returns bytes queued */
  write(conn: number, data: Uint8Array): number {
    return writeSome(this.stack, conn, data, this.#iov, SLOTS);
  }

  read(conn: number, max = 0x7fff_ffff): Uint8Array {
    return readAll(this.stack, conn, max, this.#iov, SLOTS);
  }

  udpSend(sourcePort: number, to: string, port: number, payload: Uint8Array): boolean {
    this.stack.u8.set(bytesOf(to), this.#scratch);
    this.stack.u8.set(payload, this.#scratch + 16);
    return this.stack.udpSend(sourcePort, this.#scratch, port, this.#scratch + 16, payload.length);
  }

  /** The datagram that `input` or `nextLocal` just told of. */
  udp(): { source: Uint8Array; sourcePort: number; localPort: number; payload: Uint8Array } {
    const { source, sourcePort, localPort, payload, length } = this.stack.udp;
    return {
      source: this.stack.u8.slice(source, source + 16),
      sourcePort,
      localPort,
      payload: this.stack.u8.slice(payload, payload + length),
    };
  }
}

/** @throws for a text that is no address */
export function bytesOf(address: string): Uint8Array {
  const bytes = parseAddress(address);
  if (bytes === undefined) throw new Error(`not an address: ${address}`);
  return bytes;
}
