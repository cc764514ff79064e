import { type Core, instantiate } from './core.ts';
import { COUNTER_NAMES } from './counters.ts';
import { CONNECTION_ERRORS, type ConnectionError } from './errors.ts';
import { UdpArrival } from './udp-arrival.ts';

/** A byte offset in the stack's linear memory. */
export type Pointer = number;

/** What `Netstack.create` takes. */
export interface NetstackOptions {
  /** Largest IP packet towards the tunnel, bytes, 576..65535 (1280 or more for IPv6 to work). */
  mtu: number;
  /** 32 random bytes: keys of ISNs, ports, hash tables and SYN cookies. Equal seeds and calls give equal packets. */
  seed: Uint8Array;
  /** Clock at start, µs, monotonic. */
  now: number;
  /** Linear memory, bytes; fixed for life. Default 256 MiB of address space; pages are touched only when used. Least 16 MiB. */
  memoryBytes?: number;
  /** Longest retransmission timeout, ms (RFC 6298 2.5). Default 60,000. */
  rtoMax?: number;
  /** Longest wait for an acknowledgement before the connection fails, ms (RFC 5482). Default 300,000. */
  userTimeout?: number;
  /** Longest wait for the answer to a SYN, ms. Default 20,000. */
  connectTimeout?: number;
  /** Idle time before keepalive probes, ms (RFC 9293 3.8.4); 0 = none. Default 7,200,000. */
  keepalive?: number;
}

/** Address and port of one end. IPv4 is `::ffff:a.b.c.d`. */
export interface Endpoint {
  address: Uint8Array;
  port: number;
}

/**
 * A TCP/IP stack over linear memory: packets in, packets out, time as an argument. It owns no clock, no socket and no randomness; the
 * same calls with the same seed give the same packets. Not safe for several threads.
 *
 * Turn of the owner: `setNow`, `input` per packet, events by `nextEvent` and reads/writes, `poll` until 0, `advance`.
 *
 * Handles of connections are positive 31-bit integers with a generation: a stale one is ignored (0, false or nothing).
 */
export class Netstack {
  /** The memory that `u8`, `u32` and `view` look at. It never grows, so views stay good. */
  readonly memory: WebAssembly.Memory;
  readonly u8: Uint8Array;
  readonly u32: Uint32Array;
  readonly view: DataView;
  /** The datagram that `input` or `nextLocal` just told of by 1 or 2. Good until the next call of either. */
  readonly udp: UdpArrival;
  readonly #core: Core;
  readonly #scratch: Pointer;

  private constructor(memory: WebAssembly.Memory, core: Core) {
    this.memory = memory;
    this.u8 = new Uint8Array(memory.buffer);
    this.u32 = new Uint32Array(memory.buffer);
    this.view = new DataView(memory.buffer);
    this.#core = core;
    this.#scratch = core.scratch();
    this.udp = new UdpArrival(this.u32, core.udpArrival());
  }

  /**
   * Compiles `build/netstack.wasm` (once per process) and lays out its memory.
   * @throws RangeError when an option is outside its range.
   */
  static create(options: NetstackOptions): Netstack {
    const { memory, core } = instantiate(options);
    return new Netstack(memory, core);
  }

  /** @param base native address of byte 0 of `memory`; iovecs carry base + offset. Default 0. */
  setBase(base: number): void {
    this.#core.setBase(base);
  }

  /**
   * Memory for the caller's own use, for life, 64-byte aligned.
   * @throws RangeError when no more than the page pool's least size would remain.
   */
  reserve(bytes: number): Pointer {
    const pointer = this.#core.reserve(bytes);
    if (pointer === 0) throw new RangeError(`cannot reserve ${bytes} bytes of stack memory`);
    return pointer;
  }

  /** @returns false when all 64 places are taken. Adding an address twice is no error. */
  addAddress(address16: Uint8Array): boolean {
    return this.#core.addAddress(this.#put(address16)) !== 0;
  }

  /** Connections from that address are dropped without a word. */
  removeAddress(address16: Uint8Array): void {
    this.#core.removeAddress(this.#put(address16));
  }

  /** @param mtu 576..65535; connections standing take it at their next segment. */
  setMtu(mtu: number): void {
    if (!(mtu >= 576 && mtu <= 65_535)) throw new RangeError(`mtu ${mtu} is outside 576..65535`);
    this.#core.setMtu(mtu);
  }

  /** @param microseconds monotonic; an earlier time than the last is taken as the last. */
  setNow(microseconds: number): void {
    this.#core.setNow(microseconds);
  }

  /**
   * Takes one IP packet; it is not changed or kept. Any bytes are safe.
   * @returns 0 consumed; 1 a UDP datagram for a bound port, see `udp`; 2 an ICMP error for a bound port's datagram, see `udp`.
   */
  input(packet: Pointer, length: number): number {
    return this.#core.input(packet, length);
  }

  /** @returns like `input`, for datagrams that the stack sent to itself; 0 = no more. Ask after `poll`. */
  nextLocal(): number {
    return this.#core.nextLocal();
  }

  /**
   * Writes up to `max` IP packets, each at `slots + i * stride`, and their lengths as u32 at `lengths`. A slot needs `mtu` bytes.
   * @returns how many; 0 = nothing may be sent now.
   */
  poll(slots: Pointer, stride: number, max: number, lengths: Pointer): number {
    return this.#core.poll(slots, stride, max, lengths);
  }

  /** Fires the timers due. @returns the next deadline in µs, Infinity if none; `now` if `poll` has something to send. */
  advance(): number {
    return this.#core.advance();
  }

  /**
   * Listens on all own addresses of both families.
   * @returns a listener's handle > 0, or an error code < 0.
   */
  listen(port: number, options: { deferred: boolean }): number {
    return this.#core.listen(port, options.deferred);
  }

  /** Connections already made stay. */
  unlisten(handle: number): void {
    this.#core.unlisten(handle);
  }

  /** Sends a SYN. @returns a handle > 0 (then `CONNECTED` or `ERROR`), or an error code < 0. */
  connect(address16: Uint8Array, port: number): number {
    return this.#core.connect(this.#put(address16), port);
  }

  /** Answers a deferred SYN by SYN-ACK; `CONNECTED` follows. */
  accept(conn: number): void {
    this.#core.accept(conn);
  }

  /** Answers a deferred SYN by RST and releases the handle. */
  reject(conn: number): void {
    this.#core.reject(conn);
  }

  remote(conn: number): Endpoint {
    return this.#endpoint(this.#core.remote(conn, this.#scratch));
  }

  local(conn: number): Endpoint {
    return this.#endpoint(this.#core.local(conn, this.#scratch));
  }

  /**
   * Free space of the send buffer as `struct iovec[]` {u64 base, u64 length} at `iov`. Bytes written there count from `sendCommit` on; a
   * second call before it gives the same space.
   * @returns how many iovecs; 0 = full (then `WRITABLE` follows) or not writable.
   */
  sendReserve(conn: number, iov: Pointer, maxIov: number): number {
    return this.#core.sendReserve(conn, iov, maxIov);
  }

  /** Queues the first `bytes` of the space last reserved, at most all of it. */
  sendCommit(conn: number, bytes: number): void {
    this.#core.sendCommit(conn, bytes);
  }

  /** @returns bytes that may be reserved now. */
  sendRoom(conn: number): number {
    return this.#core.sendRoom(conn);
  }

  /** @returns bytes queued and not yet acknowledged. */
  sendQueued(conn: number): number {
    return this.#core.sendQueued(conn);
  }

  /** Readable bytes as iovecs at `iov`, from the oldest. @returns how many iovecs. */
  recvPeek(conn: number, iov: Pointer, maxIov: number): number {
    return this.#core.recvPeek(conn, iov, maxIov);
  }

  /** Releases the oldest `bytes` (at most all readable); the window opens by as much. */
  recvConsume(conn: number, bytes: number): void {
    this.#core.recvConsume(conn, bytes);
  }

  /** @returns bytes readable now. */
  recvAvailable(conn: number): number {
    return this.#core.recvAvailable(conn);
  }

  /** @returns whether the peer's FIN has arrived in order (bytes before it may still be unread). */
  recvEnded(conn: number): boolean {
    return this.#core.recvEnded(conn) !== 0;
  }

  /** FIN after what is queued; receiving goes on. */
  shutdown(conn: number): void {
    this.#core.shutdown(conn);
  }

  /** Releases the handle. Unread bytes: RST (RFC 9293 3.6). Otherwise FIN after what is queued, and the orphan finishes by itself. */
  close(conn: number): void {
    this.#core.close(conn);
  }

  /** RST, and releases the handle. */
  abort(conn: number): void {
    this.#core.abort(conn);
  }

  /** @returns the next connection with events, which are then in `eventBits`; 0 = none. */
  nextEvent(): number {
    return this.#core.nextEvent();
  }

  /** Bits of `event-bits.ts` for the connection that `nextEvent` last returned. */
  get eventBits(): number {
    return this.#core.eventBits();
  }

  errorOf(conn: number): ConnectionError {
    return CONNECTION_ERRORS[this.#core.errorOf(conn)] ?? 'none';
  }

  /** @param port 0 = an ephemeral one. @returns the port, or an error code < 0. */
  udpBind(port: number): number {
    return this.#core.udpBind(port);
  }

  udpUnbind(port: number): void {
    this.#core.udpUnbind(port);
  }

  /**
   * Queues a datagram (a copy), fragmented when polled if it passes the MTU.
   * @param length 0..65,507
   * @returns false = the queue is full, try again after `poll`. A datagram without a route, or too long, is dropped, counted, and true.
   */
  udpSend(
    sourcePort: number,
    destination16: Pointer,
    destinationPort: number,
    payload: Pointer,
    length: number,
  ): boolean {
    return this.#core.udpSend(sourcePort, destination16, destinationPort, payload, length) !== 0;
  }

  /** Counters since creation, and gauges (`connections`, `pagesUsed`, ...). */
  stats(): Record<string, number> {
    const counters = new Float64Array(this.memory.buffer, this.#core.counterTable(), COUNTER_NAMES.length);
    const result: Record<string, number> = {};
    COUNTER_NAMES.forEach((name, i) => {
      result[name] = counters[i]!;
    });
    return result;
  }

  /**
   * What the stack knows of one connection, for tests and status: state by its RFC 9293 name, sequence numbers, windows in bytes, times in µs.
   * @returns undefined for a stale handle.
   */
  inspect(conn: number): Record<string, number> | undefined {
    const count = this.#core.inspect(conn, this.#scratch);
    if (count === 0) return undefined;
    const values = new Float64Array(this.memory.buffer, this.#scratch, count);
    const result: Record<string, number> = {};
    INSPECTED.forEach((name, i) => {
      result[name] = values[i]!;
    });
    return result;
  }

  /** Handles of all connections, those included that finish by themselves after `close`: for `inspect` and nothing else. */
  connections(): number[] {
    const handles: number[] = [];
    for (let place = 0; place < this.#core.places(); place++) {
      const handle = this.#core.handleAt(place);
      if (handle !== 0) handles.push(handle);
    }
    return handles;
  }

  /** For tests of the wrap at 2^32: every later connection starts its sequence numbers at `isn`. */
  pinIsn(isn: number): void {
    this.#core.pinIsn(isn);
  }

  #put(address16: Uint8Array): Pointer {
    if (address16.length !== 16) throw new RangeError('an address has 16 bytes');
    this.u8.set(address16, this.#scratch);
    return this.#scratch;
  }

  #endpoint(port: number): Endpoint {
    return { address: this.u8.slice(this.#scratch, this.#scratch + 16), port };
  }
}

/** Fields of `inspect`, in the core's order. */
const INSPECTED = [
  'state',
  'sndUna',
  'sndNxt',
  'sndWnd',
  'rcvNxt',
  'rcvAdvertised',
  'cwnd',
  'ssthresh',
  'srtt',
  'rto',
  'mss',
  'inFlight',
  'sndBuffer',
  'rcvBuffer',
  'retransmits',
  'recovery',
  'reorderWindow',
  'timerAt',
  'sndQueued',
  'rcvQueued',
  'outOfOrder',
  'lost',
  'sacked',
] as const;
