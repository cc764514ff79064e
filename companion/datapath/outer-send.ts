import { IOVEC_BYTES, IPPROTO_UDP, MMSGHDR_BYTES, MSG_DONTWAIT, MSG_NOSIGNAL, UDP_SEGMENT } from './constants.ts';
import type { Counters } from './counters.ts';
import { EAGAIN, EINTR, EINVAL, EIO, EMSGSIZE, ENOBUFS, EOPNOTSUPP } from './errno.ts';
import { type LinearMemory, type Pointer, writeU64 } from './memory.ts';
import { writeSocketAddress } from './socket-address.ts';
import { errnoName, type SystemCalls } from './system-calls.ts';

/** Specification (udp(7), UDP_MAX_SEGMENTS before Linux 6.9): most datagrams in one segmented send. */
export const MAX_SEGMENTS = 64;
/** Specification: most bytes in one send, that is the largest UDP datagram over IPv4. */
export const MAX_SEND_BYTES = 65_507;

/** Implementation: how long a destination that refused segmentation (its route's MTU, its device) gets datagrams one by one. */
const GSO_RETRY_US = 60_000_000;
const FLAGS = MSG_DONTWAIT | MSG_NOSIGNAL;

/** What one destination taught about sending to it. Make a new one when its endpoint changes. */
export interface SendPath {
  /** µs; until then, no segmentation. */
  gsoRefusedUntil: number;
}

/**
 * The send side of a UDP socket. A send that the socket does not take now is held, not dropped: `blocked` then stays true, and the
 * bytes given must stay unchanged, until `flush` has got rid of them.
 */
export class OuterSender {
  /** Some send is held: send nothing more. */
  blocked = false;
  /** Whose socket is full, when `blocked`. */
  blockedDescriptor = -1;
  readonly #sys: SystemCalls;
  readonly #memory: LinearMemory;
  readonly #counters: Counters;
  readonly #name: Pointer;
  readonly #control: Pointer;
  readonly #iovecs: Pointer;
  readonly #headers: Pointer;
  readonly #gsoSends: number;
  readonly #singles: number;
  readonly #held: number;
  #at = 0;
  #left = 0;
  #segment = 0;
  #path: SendPath = { gsoRefusedUntil: 0 };

  constructor(sys: SystemCalls, memory: LinearMemory, counters: Counters) {
    this.#sys = sys;
    this.#memory = memory;
    this.#counters = counters;
    this.#gsoSends = counters.slot('outer_sends_segmented');
    this.#singles = counters.slot('outer_sends_single');
    this.#held = counters.slot('outer_sends_held');
    this.#name = memory.reserve(32);
    this.#control = memory.reserve(32);
    this.#iovecs = memory.reserve(MAX_SEGMENTS * IOVEC_BYTES);
    this.#headers = memory.reserve(MAX_SEGMENTS * MMSGHDR_BYTES);
    for (let i = 0; i < MAX_SEGMENTS; i++) {
      const header = this.#headers + i * MMSGHDR_BYTES;
      writeU64(memory, header, memory.base + this.#name);
      writeU64(memory, header + 16, memory.base + this.#iovecs + i * IOVEC_BYTES);
      writeU64(memory, header + 24, 1);
    }
    // struct cmsghdr { size_t len; int level; int type; } and the size as u16.
    writeU64(memory, this.#control, 18);
    memory.view.setInt32(this.#control + 8, IPPROTO_UDP, true);
    memory.view.setInt32(this.#control + 12, UDP_SEGMENT, true);
  }

  /**
   * Sends `bytes` at `at` to `endpoint` (18 bytes), cut every `segment` bytes. Datagrams that the kernel refuses for good are
   * dropped and counted by reason, as the network would. Not to be called while `blocked`.
   */
  send(
    fd: number,
    endpoint: Pointer,
    scope: number,
    at: Pointer,
    bytes: number,
    segment: number,
    path: SendPath,
    now: number,
  ): void {
    const { u32 } = this.#memory;
    const nameLength = writeSocketAddress(this.#memory, this.#name, endpoint, scope);
    const messages = Math.min(Math.ceil(bytes / segment), MAX_SEGMENTS);
    for (let i = 0; i < messages; i++) u32[(this.#headers + i * MMSGHDR_BYTES + 8) >>> 2] = nameLength;
    this.#at = at;
    this.#left = bytes;
    this.#segment = segment;
    this.#path = path;
    this.#go(fd, now);
  }

  /** Tries again what is held. */
  flush(now: number): void {
    if (this.blocked) this.#go(this.blockedDescriptor, now);
  }

  #go(fd: number, now: number): void {
    this.blocked = false;
    while (this.#left > 0) {
      const segmented = this.#left > this.#segment && now >= this.#path.gsoRefusedUntil;
      const result = segmented ? this.#sendSegmented(fd) : this.#sendSingly(fd);
      if (result > 0) {
        this.#at += result;
        this.#left -= result;
      } else if (result === -EAGAIN || result === -ENOBUFS) {
        this.blocked = true;
        this.blockedDescriptor = fd;
        this.#counters.add(this.#held);
        return;
      } else if (
        segmented &&
        (result === -EIO || result === -EINVAL || result === -EOPNOTSUPP || result === -EMSGSIZE)
      ) {
        // EIO: the device has no checksum offload; EINVAL: a segment passes the route's MTU, or the kernel is before 4.18.
        this.#path.gsoRefusedUntil = now + GSO_RETRY_US;
        this.#counters.count('outer_gso_refused');
      } else if (result !== -EINTR) {
        this.#counters.count(`outer_send_failed_${errnoName(result).toLowerCase()}`);
        const lost = segmented ? this.#left : Math.min(this.#segment, this.#left);
        this.#at += lost;
        this.#left -= lost;
      }
    }
  }

  /** One sendmsg with the segment size in a control message: all of it or nothing. -> bytes or -errno. */
  #sendSegmented(fd: number): number {
    const memory = this.#memory;
    const limit = Math.min(MAX_SEGMENTS, Math.floor(MAX_SEND_BYTES / this.#segment)) * this.#segment;
    const bytes = Math.min(this.#left, limit);
    writeU64(memory, this.#iovecs, memory.base + this.#at);
    memory.u32[(this.#iovecs + 8) >>> 2] = bytes;
    memory.view.setUint16(this.#control + 16, this.#segment, true);
    const header = this.#headers;
    writeU64(memory, header + 32, memory.base + this.#control);
    writeU64(memory, header + 40, 24);
    const result = this.#sys.sendmsg(fd, memory.base + header, FLAGS);
    writeU64(memory, header + 40, 0);
    if (result > 0) this.#counters.add(this.#gsoSends);
    return result;
  }

  /** A message for each datagram, up to 64. -> bytes of those that left, or -errno of the first. */
  #sendSingly(fd: number): number {
    const memory = this.#memory;
    let count = 0;
    for (let offset = 0; offset < this.#left && count < MAX_SEGMENTS; offset += this.#segment, count++) {
      const iovec = this.#iovecs + count * IOVEC_BYTES;
      writeU64(memory, iovec, memory.base + this.#at + offset);
      memory.u32[(iovec + 8) >>> 2] = Math.min(this.#segment, this.#left - offset);
    }
    const sent =
      count === 1
        ? this.#sys.sendmsg(fd, memory.base + this.#headers, FLAGS)
        : this.#sys.sendmmsg(fd, memory.base + this.#headers, count, FLAGS);
    if (sent < 0) return sent;
    const messages = count === 1 ? 1 : sent;
    this.#counters.add(this.#singles, messages);
    return Math.min(messages * this.#segment, this.#left);
  }
}
