import {
  CMSGHDR_BYTES,
  IOVEC_BYTES,
  IPPROTO_UDP,
  MMSGHDR_BYTES,
  MSG_DONTWAIT,
  MSG_TRUNC,
  SOCKADDR_IN6_BYTES,
  UDP_GRO,
} from './constants.ts';
import { type LinearMemory, type Pointer, writeU64 } from './memory.ts';
import { ENDPOINT_BYTES, readSocketAddress } from './socket-address.ts';
import type { SystemCalls } from './system-calls.ts';

// Specification (udp(7)): what GRO merged is one message of up to 65,535 bytes.
const MESSAGE_BYTES = 65_536;
/** Before and behind each message: AEAD reads and restores up to 64 bytes on either side of a ciphertext. */
const MARGIN = 64;
const CONTROL_BYTES = 64;
const NAME_BYTES = 32;

/** Offsets in struct mmsghdr. */
const NAME_LENGTH = 8;
const CONTROL_LENGTH = 40;
const FLAGS = 48;
const MESSAGE_LENGTH = 56;

/**
 * The receive side of a UDP socket, a batch at a time. A message holds one datagram, or several of one flow that the kernel merged
 * (UDP_GRO), all of `segment` bytes but the last.
 */
export class OuterReceiver {
  readonly batch: number;
  readonly #sys: SystemCalls;
  readonly #memory: LinearMemory;
  readonly #buffers: Pointer;
  readonly #headers: Pointer;
  readonly #names: Pointer;
  readonly #controls: Pointer;
  readonly #endpoints: Pointer;
  #used: number;

  /** Reserves 64 KiB for each message of a batch. */
  constructor(sys: SystemCalls, memory: LinearMemory, batch: number) {
    this.batch = batch;
    this.#sys = sys;
    this.#memory = memory;
    this.#buffers = memory.reserve(batch * (MESSAGE_BYTES + 2 * MARGIN));
    this.#headers = memory.reserve(batch * MMSGHDR_BYTES);
    const iovecs = memory.reserve(batch * IOVEC_BYTES);
    this.#names = memory.reserve(batch * NAME_BYTES);
    this.#controls = memory.reserve(batch * CONTROL_BYTES);
    this.#endpoints = memory.reserve(batch * 32);
    this.#used = batch;
    for (let i = 0; i < batch; i++) {
      const header = this.#headers + i * MMSGHDR_BYTES;
      const iovec = iovecs + i * IOVEC_BYTES;
      writeU64(memory, iovec, memory.base + this.buffer(i));
      writeU64(memory, iovec + 8, MESSAGE_BYTES);
      writeU64(memory, header, memory.base + this.#names + i * NAME_BYTES);
      writeU64(memory, header + 16, memory.base + iovec);
      writeU64(memory, header + 24, 1);
      writeU64(memory, header + 32, memory.base + this.#controls + i * CONTROL_BYTES);
    }
  }

  /** Messages of this batch, 1 to `batch`; or -errno (-EAGAIN: none). The last batch is gone. */
  receive(fd: number): number {
    const { u32, base } = this.#memory;
    for (let i = 0; i < this.#used; i++) {
      const header = (this.#headers + i * MMSGHDR_BYTES) >>> 2;
      u32[header + (NAME_LENGTH >>> 2)] = SOCKADDR_IN6_BYTES;
      // The kernel writes back how much it used: without the capacity, the next message has no room for its segment size.
      u32[header + (CONTROL_LENGTH >>> 2)] = CONTROL_BYTES;
    }
    const count = this.#sys.recvmmsg(fd, base + this.#headers, this.batch, MSG_DONTWAIT);
    this.#used = Math.max(count, 0);
    return count;
  }

  buffer(i: number): Pointer {
    return this.#buffers + i * (MESSAGE_BYTES + 2 * MARGIN) + MARGIN;
  }

  /** Bytes of message `i`; 0 for one that is not all there. */
  length(i: number): number {
    const header = (this.#headers + i * MMSGHDR_BYTES) >>> 2;
    const { u32 } = this.#memory;
    return (u32[header + (FLAGS >>> 2)]! & MSG_TRUNC) === 0 ? u32[header + (MESSAGE_LENGTH >>> 2)]! : 0;
  }

  /** Bytes of each datagram in message `i` but the last; equal to `length` when there is one. Never 0 for a message with bytes. */
  segment(i: number): number {
    const { u32, view } = this.#memory;
    const control = this.#controls + i * CONTROL_BYTES;
    const used = u32[(this.#headers + i * MMSGHDR_BYTES + CONTROL_LENGTH) >>> 2]!;
    if (
      used >= CMSGHDR_BYTES + 4 &&
      u32[(control + 8) >>> 2] === IPPROTO_UDP &&
      u32[(control + 12) >>> 2] === UDP_GRO
    ) {
      const size = view.getInt32(control + CMSGHDR_BYTES, true);
      if (size > 0) return size;
    }
    return this.length(i);
  }

  /** The 18 bytes of the endpoint that message `i` came from, good until the next batch. */
  source(i: number): Pointer {
    const endpoint = this.#endpoints + i * 32;
    if (!readSocketAddress(this.#memory, this.#names + i * NAME_BYTES, endpoint))
      this.#memory.u8.fill(0, endpoint, endpoint + ENDPOINT_BYTES);
    return endpoint;
  }

  /** Interface index of message `i`'s source if that is a link-local IPv6 address; else 0. */
  scope(i: number): number {
    const name = this.#names + i * NAME_BYTES;
    const { view } = this.#memory;
    const length = view.getUint32(this.#headers + i * MMSGHDR_BYTES + NAME_LENGTH, true);
    return length === SOCKADDR_IN6_BYTES ? view.getUint32(name + 24, true) : 0;
  }
}
