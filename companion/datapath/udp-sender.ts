import {
  CMSGHDR_BYTES,
  IOVEC_BYTES,
  IPPROTO_IPV6,
  IPPROTO_UDP,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  MSGHDR_BYTES,
  SOCKADDR_IN6_BYTES,
  UDP_SEGMENT,
} from './constants.ts';
import { EAGAIN, EINVAL, EIO, EMSGSIZE, ENOBUFS, EOPNOTSUPP } from './errno.ts';
import { type Pointer, writeU64 } from './memory.ts';
import type { RelayIo } from './relay-io.ts';
import { IN6_PKTINFO_BYTES, IPV6_PKTINFO } from './udp-intake.ts';

// Specification: udp(7). A GSO send is one IP packet's worth at most, in at most 64 segments (UDP_MAX_SEGMENTS).
const MAX_BYTES = 65_507;
const MAX_SEGMENTS = 64;

// Implementation

/** Flows that collect at a time; one more makes the longest waiting one go out. */
const COLLECTORS = 8;
/** Larger ones are sent alone: the kernel does not fragment segments, and this fits IPv6 over Ethernet. */
const MAX_SEGMENT = 1432;
const SEGMENT_CONTROL_BYTES = 24;
const PACKET_INFO_CONTROL_BYTES = 40;

/** Where datagrams go: a socket, and a flow of it by its slot. */
export interface DatagramTarget {
  readonly fd: number;
  /** Writes the sockaddr of the flow's client (28 bytes of room), and answers its length; 0 for a connected socket. */
  writeName(slot: number, at: Pointer): number;
  /** Writes the struct in6_pktinfo (20 bytes) with the address to send from; false: the kernel chooses. */
  writePacketInfo(slot: number, at: Pointer): boolean;
  /** `errno` of a send, such as ECONNREFUSED. The datagrams are lost. */
  onSendError(slot: number, errno: number): void;
}

interface Collector {
  target: DatagramTarget | undefined;
  slot: number;
  readonly buffer: Pointer;
  /** Bytes of each datagram but the last. */
  segment: number;
  count: number;
  bytes: number;
  /** The last one was shorter, so that none may follow. */
  full: boolean;
}

/**
 * Sends datagrams in runs: those of one flow that have the same length leave by one sendmsg, which the kernel cuts (UDP_SEGMENT).
 * On loopback that is four times as many per second as one by one. They wait for `flush`, at the end of the batch that they came in.
 */
export class UdpSender {
  readonly #io: RelayIo;
  readonly #collectors: Collector[] = [];
  readonly #message: Pointer;
  readonly #iovec: Pointer;
  readonly #name: Pointer;
  readonly #control: Pointer;
  readonly #dropped: number;
  #segments = true;
  #waiting = 0;
  #turn = 0;

  constructor(io: RelayIo) {
    this.#io = io;
    const { memory, ctx } = io;
    for (let i = 0; i < COLLECTORS; i++) {
      const buffer = memory.reserve(65_536);
      this.#collectors.push({ target: undefined, slot: 0, buffer, segment: 0, count: 0, bytes: 0, full: false });
    }
    this.#message = memory.reserve(MSGHDR_BYTES);
    this.#iovec = memory.reserve(IOVEC_BYTES);
    this.#name = memory.reserve(SOCKADDR_IN6_BYTES);
    this.#control = memory.reserve(SEGMENT_CONTROL_BYTES + PACKET_INFO_CONTROL_BYTES);
    writeU64(memory, this.#message + 16, memory.base + this.#iovec);
    writeU64(memory, this.#message + 24, 1);
    this.#dropped = ctx.counters.slot('udp_send_buffer_full');
  }

  /** Takes a copy of the datagram. Those of one flow leave in the order they came in. */
  send(target: DatagramTarget, slot: number, payload: Pointer, length: number): void {
    let collector = this.#find(target, slot);
    if (collector !== undefined && !fits(collector, length)) {
      this.#flush(collector);
      collector = undefined;
    }
    if (length === 0 || length > MAX_SEGMENT || !this.#segments) {
      this.#transmit(target, slot, payload, length, 0);
      return;
    }
    collector ??= this.#begin(target, slot, length);
    this.#io.memory.u8.copyWithin(collector.buffer + collector.bytes, payload, payload + length);
    collector.bytes += length;
    collector.count++;
    collector.full = length < collector.segment || collector.count === MAX_SEGMENTS;
  }

  /** Sends what waits. */
  flush(): void {
    if (this.#waiting === 0) return;
    for (const collector of this.#collectors) if (collector.target !== undefined) this.#flush(collector);
  }

  /** Before the socket is closed. */
  forget(target: DatagramTarget): void {
    for (const collector of this.#collectors) if (collector.target === target) this.#flush(collector);
  }

  /** Before a slot of `target` is used anew. */
  flushFlow(target: DatagramTarget, slot: number): void {
    const collector = this.#find(target, slot);
    if (collector !== undefined) this.#flush(collector);
  }

  #find(target: DatagramTarget, slot: number): Collector | undefined {
    if (this.#waiting === 0) return undefined;
    for (const collector of this.#collectors)
      if (collector.slot === slot && collector.target === target) return collector;
    return undefined;
  }

  #begin(target: DatagramTarget, slot: number, length: number): Collector {
    let free = this.#waiting < COLLECTORS ? this.#collectors.find(one => one.target === undefined) : undefined;
    if (free === undefined) {
      free = this.#collectors[this.#turn++ % COLLECTORS]!;
      this.#flush(free);
    }
    this.#waiting++;
    free.target = target;
    free.slot = slot;
    free.segment = length;
    free.count = 0;
    free.bytes = 0;
    return free;
  }

  #flush(collector: Collector): void {
    const { target, slot, buffer, bytes, count, segment } = collector;
    if (target === undefined) return;
    // Free first: an error handler may close the flow.
    collector.target = undefined;
    this.#waiting--;
    if (count === 1) {
      this.#transmit(target, slot, buffer, bytes, 0);
      return;
    }
    const result = this.#transmit(target, slot, buffer, bytes, segment);
    if (![-EIO, -EINVAL, -EMSGSIZE, -EOPNOTSUPP].includes(result)) return;
    // A device or path that cannot: EIO without checksum offload, EMSGSIZE and EINVAL for a path with a smaller MTU.
    if (result === -EIO || result === -EOPNOTSUPP) this.#segments = false;
    for (let at = 0; at < bytes; at += segment)
      this.#transmit(target, slot, buffer + at, Math.min(segment, bytes - at), 0);
  }

  /** `segment`: into datagrams of so many bytes; 0: as one. */
  #transmit(target: DatagramTarget, slot: number, payload: Pointer, length: number, segment: number): number {
    const { sys, memory, ctx } = this.#io;
    const { u32, view, base } = memory;
    const nameLength = target.writeName(slot, this.#name);
    const message = this.#message;
    writeU64(memory, message, nameLength === 0 ? 0 : base + this.#name);
    view.setUint32(message + 8, nameLength, true);
    writeU64(memory, this.#iovec, base + payload);
    writeU64(memory, this.#iovec + 8, length);

    let control = 0;
    if (segment > 0) {
      writeU64(memory, this.#control, CMSGHDR_BYTES + 2);
      u32[(this.#control + 8) >>> 2] = IPPROTO_UDP;
      u32[(this.#control + 12) >>> 2] = UDP_SEGMENT;
      view.setUint16(this.#control + CMSGHDR_BYTES, segment, true);
      control = SEGMENT_CONTROL_BYTES;
    }
    const info = this.#control + control;
    if (target.writePacketInfo(slot, info + CMSGHDR_BYTES)) {
      writeU64(memory, info, CMSGHDR_BYTES + IN6_PKTINFO_BYTES);
      u32[(info + 8) >>> 2] = IPPROTO_IPV6;
      u32[(info + 12) >>> 2] = IPV6_PKTINFO;
      control += PACKET_INFO_CONTROL_BYTES;
    }
    writeU64(memory, message + 32, control === 0 ? 0 : base + this.#control);
    writeU64(memory, message + 40, control);

    const result = sys.sendmsg(target.fd, base + message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (result >= 0) return result;
    if (result === -EAGAIN || result === -ENOBUFS) ctx.counters.add(this.#dropped);
    else if (segment === 0) target.onSendError(slot, -result);
    else if (![-EIO, -EINVAL, -EMSGSIZE, -EOPNOTSUPP].includes(result)) target.onSendError(slot, -result);
    return result;
  }
}

function fits(collector: Collector, length: number): boolean {
  return length > 0 && length <= collector.segment && !collector.full && collector.bytes + length <= MAX_BYTES;
}
