import { readFileSync } from 'node:fs';
import type { NetstackOptions } from './netstack.ts';

/** The exports of `assembly/index.ts`. Pointers are byte offsets; a bool comes out as 0 or 1. */
export interface Core {
  init(
    memoryBytes: number,
    mtu: number,
    now: number,
    rtoMax: number,
    userTimeout: number,
    connectTimeout: number,
    keepalive: number,
  ): void;
  seedAt(): number;
  scratch(): number;
  udpArrival(): number;
  counterTable(): number;
  setBase(base: number): void;
  reserve(bytes: number): number;
  addAddress(address: number): number;
  removeAddress(address: number): void;
  setMtu(mtu: number): void;
  setNow(us: number): void;
  input(packet: number, length: number): number;
  nextLocal(): number;
  poll(slots: number, stride: number, max: number, lengths: number): number;
  advance(): number;
  listen(port: number, deferred: boolean): number;
  unlisten(handle: number): void;
  connect(address: number, port: number): number;
  accept(conn: number): void;
  reject(conn: number): void;
  remote(conn: number, to: number): number;
  local(conn: number, to: number): number;
  sendReserve(conn: number, iov: number, maxIov: number): number;
  sendCommit(conn: number, bytes: number): void;
  sendRoom(conn: number): number;
  sendQueued(conn: number): number;
  recvPeek(conn: number, iov: number, maxIov: number): number;
  recvConsume(conn: number, bytes: number): void;
  recvAvailable(conn: number): number;
  recvEnded(conn: number): number;
  shutdown(conn: number): void;
  close(conn: number): void;
  abort(conn: number): void;
  nextEvent(): number;
  eventBits(): number;
  errorOf(conn: number): number;
  udpBind(port: number): number;
  udpUnbind(port: number): void;
  udpSend(sourcePort: number, destination: number, destinationPort: number, payload: number, length: number): number;
  places(): number;
  handleAt(place: number): number;
  inspect(conn: number, to: number): number;
  sum(p: number, length: number): bigint;
  copySum(dst: number, src: number, length: number): bigint;
  fold(sum: bigint): number;
  pinIsn(isn: number): void;
  sipHashOf(a: bigint, b: bigint, c: bigint, d: bigint, e: bigint, tag: bigint): bigint;
}

const WASM_PAGE = 65_536;
const LEAST_MEMORY = 16 << 20;
const DEFAULT_MEMORY = 256 << 20;

let compiled: WebAssembly.Module | undefined;

/** @throws RangeError for an option outside its range. */
export function instantiate(options: NetstackOptions): { memory: WebAssembly.Memory; core: Core } {
  const bytes = options.memoryBytes ?? DEFAULT_MEMORY;
  if (options.seed.length !== 32) throw new RangeError('the seed has 32 bytes');
  if (!(options.mtu >= 576 && options.mtu <= 65_535)) throw new RangeError(`mtu ${options.mtu} is outside 576..65535`);
  if (!(bytes >= LEAST_MEMORY && bytes <= 2 ** 31))
    throw new RangeError(`memoryBytes ${bytes} is outside 16 MiB..2 GiB`);
  compiled ??= new WebAssembly.Module(readFileSync(new URL('../../build/netstack.wasm', import.meta.url)));
  const { exports } = new WebAssembly.Instance(compiled, {
    env: {
      abort: () => {
        throw new Error('the stack broke an assertion');
      },
    },
  });
  const core = exports as unknown as Core;
  const memory = exports['memory'] as WebAssembly.Memory;
  // Grown once, before any view or native address of it exists, so that both hold for life.
  memory.grow(Math.ceil(bytes / WASM_PAGE) - memory.buffer.byteLength / WASM_PAGE);
  new Uint8Array(memory.buffer).set(options.seed, core.seedAt());
  core.init(
    memory.buffer.byteLength,
    options.mtu,
    options.now,
    (options.rtoMax ?? 60_000) * 1000,
    (options.userTimeout ?? 300_000) * 1000,
    (options.connectTimeout ?? 20_000) * 1000,
    (options.keepalive ?? 7_200_000) * 1000,
  );
  return { memory, core };
}
