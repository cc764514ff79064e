import { FIONREAD } from './constants.ts';
import type { RelayIo } from './relay-io.ts';

// Implementation

/**
 * The other side may go on writing for so long, in pauses of less than `QUIET_US`, before it is reset all the same. The pause is one of
 * a process that waits for its turn on a busy machine with its buffer still full.
 */
const DRAIN_US = 1_000_000;
const QUIET_US = 50_000;
const LOOK_US = 1_000;

/**
 * Resets a unix stream whose queue the other side has filled: reads and drops what comes until it pauses, all but a byte, and then closes.
 * Envoy with bytes left to write meets EPIPE before it sees ECONNRESET, and would pass a FIN on where a RST is due. Takes `fd` over; it
 * must no longer be in the reactor.
 */
export function resetUnix(io: RelayIo, fd: number): void {
  const { reactor } = io.ctx;
  const began = reactor.now;
  let busy = reactor.now;
  const look = () => {
    if (dropQueued(io, fd)) busy = reactor.now;
    if (reactor.now - busy < QUIET_US && reactor.now - began < DRAIN_US) reactor.setTimer(reactor.now + LOOK_US, look);
    else io.sockets.close(fd);
  };
  if (queued(io, fd) > 1) look();
  else io.sockets.close(fd);
}

function queued({ sys, memory, scratch }: RelayIo, fd: number): number {
  return sys.ioctl(fd, FIONREAD, memory.base + scratch) < 0 ? 0 : memory.u32[scratch >>> 2]!;
}

/** -> whether there was anything but the last byte. */
function dropQueued(io: RelayIo, fd: number): boolean {
  let some = false;
  for (let bytes = queued(io, fd); bytes > 1; bytes = queued(io, fd)) {
    if (io.sys.recv(fd, io.memory.base + io.sink, Math.min(bytes - 1, io.sinkBytes), 0) <= 0) return some;
    some = true;
  }
  return some;
}
