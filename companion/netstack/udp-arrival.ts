/** A datagram, or the ICMP error about one, as `Netstack.input` last told of it. Reads straight from the stack's memory. */
export class UdpArrival {
  readonly #u32: Uint32Array;
  readonly #at: number;

  /** @param at byte offset of six u32: source, sourcePort, localPort, payload, length, destination. */
  constructor(u32: Uint32Array, at: number) {
    this.#u32 = u32;
    this.#at = at >>> 2;
  }

  /** Pointer to 16 bytes: who sent it. For an ICMP error: whom our datagram was for. */
  get source(): number {
    return this.#u32[this.#at]!;
  }

  get sourcePort(): number {
    return this.#u32[this.#at + 1]!;
  }

  get localPort(): number {
    return this.#u32[this.#at + 2]!;
  }

  /** Pointer to the payload; for an ICMP error to what it quotes of ours. */
  get payload(): number {
    return this.#u32[this.#at + 3]!;
  }

  /** Bytes at `payload`, 0..65,527. */
  get length(): number {
    return this.#u32[this.#at + 4]!;
  }

  /** Pointer to 16 bytes: the own address it was for. */
  get destination(): number {
    return this.#u32[this.#at + 5]!;
  }
}
