import { type MessagePort, receiveMessageOnPort, type Transferable } from 'node:worker_threads';
import {
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  EPOLL_DATA_OFFSET,
  EPOLL_EVENT_BYTES,
  EPOLLIN,
} from './constants.ts';
import { EINTR } from './errno.ts';
import type { LinearMemory } from './memory.ts';
import { errnoName, type SystemCalls } from './system-calls.ts';
import { type TimerId, TimerQueue } from './timers.ts';

export type { TimerId } from './timers.ts';

/**
 * Readiness and time for everything on the data path's thread. Handlers run to completion, one at a time, and never await: the
 * thread blocks in epoll_wait, so that no promise, libuv timer or stream on it would ever move.
 */
export interface Reactor {
  /** µs since an arbitrary start, monotonic, read once when the turn began. */
  readonly now: number;
  /** Calls `handler` with the ready EPOLL* bits. `events` may hold EPOLLET; EPOLLERR and EPOLLHUP always come. Throws on a bad fd. */
  add(fd: number, events: number, handler: (events: number) => void): void;
  modify(fd: number, events: number): void;
  /** Before the close() of `fd`. Events of this turn not delivered yet are forgotten, even if the number is used anew at once. */
  remove(fd: number): void;
  /** Calls `fn` once, in the first turn at or after `at` (µs on the clock of `now`; the kernel's wait is in ms, so up to 1 ms late). */
  setTimer(at: number, fn: () => void): TimerId;
  clearTimer(id: TimerId): void;
  /** Sends a message to the main thread. */
  post(message: object, transfer?: readonly Transferable[]): void;
  /** Asks that poll, seal and send run before the thread sleeps: the stack has, or may have, something to say. */
  pump(): void;
}

const EVENTS_PER_WAIT = 256;

export interface ReactorOptions {
  sys: SystemCalls;
  memory: LinearMemory;
  /** The main thread's end of `post`; also where messages come from after a kick. */
  port?: MessagePort;
  onMessage?: (message: unknown) => void;
  /** At the start of each turn, before any handler: for clocks that follow this one. */
  onWake?: (now: number) => void;
}

/** The Reactor on epoll. One instance per thread; `run` holds the thread until `stop`. */
export class EpollReactor implements Reactor {
  now: number;
  /** Set by `pump`, cleared by whoever does the work. */
  pumpWanted = false;
  readonly #sys: SystemCalls;
  readonly #memory: LinearMemory;
  readonly #port: MessagePort | undefined;
  readonly #epoll: number;
  readonly #kick: number;
  readonly #events: number;
  readonly #scratch: number;
  readonly #timers = new TimerQueue();
  // By descriptor: the kernel hands out the smallest free number, so the arrays stay dense.
  readonly #handlers: (((events: number) => void) | undefined)[] = [];
  readonly #generations: number[] = [];
  readonly #onWake: ((now: number) => void) | undefined;
  #stopped = false;

  /** Throws Error when the system has no epoll or eventfd. */
  constructor(o: ReactorOptions) {
    this.#sys = o.sys;
    this.#memory = o.memory;
    this.#port = o.port;
    this.#onWake = o.onWake;
    this.#events = o.memory.reserve(EVENTS_PER_WAIT * EPOLL_EVENT_BYTES);
    this.#scratch = o.memory.reserve(EPOLL_EVENT_BYTES);
    this.#epoll = check('epoll_create1', o.sys.epollCreate(EPOLL_CLOEXEC));
    this.#kick = check('eventfd', o.sys.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    this.now = clock();
    const { onMessage } = o;
    this.add(this.#kick, EPOLLIN, () => {
      this.#sys.read(this.#kick, this.#memory.base + this.#scratch, 8);
      if (this.#port === undefined || onMessage === undefined) return;
      for (let got = receiveMessageOnPort(this.#port); got !== undefined; got = receiveMessageOnPort(this.#port)) {
        onMessage(got.message);
        if (this.#stopped) return;
      }
    });
  }

  /** The eventfd that another thread writes 8 bytes (u64 1) to after it posted a message. */
  get kickDescriptor(): number {
    return this.#kick;
  }

  add(fd: number, events: number, handler: (events: number) => void): void {
    this.#generations[fd] = ((this.#generations[fd] ?? 0) + 1) >>> 0;
    check('epoll_ctl', this.#control(EPOLL_CTL_ADD, fd, events));
    this.#handlers[fd] = handler;
  }

  modify(fd: number, events: number): void {
    check('epoll_ctl', this.#control(EPOLL_CTL_MOD, fd, events));
  }

  remove(fd: number): void {
    if (this.#handlers[fd] === undefined) return;
    this.#handlers[fd] = undefined;
    this.#control(EPOLL_CTL_DEL, fd, 0);
  }

  setTimer(at: number, fn: () => void): TimerId {
    return this.#timers.set(at, fn);
  }

  clearTimer(id: TimerId): void {
    this.#timers.clear(id);
  }

  post(message: object, transfer: readonly Transferable[] = []): void {
    this.#port?.postMessage(message, transfer);
  }

  pump(): void {
    this.pumpWanted = true;
  }

  /** Ends `run` after the handler that calls it. */
  stop(): void {
    this.#stopped = true;
  }

  /**
   * Waits and dispatches until `stop`. `beforeSleep` runs once per turn, after the ready handlers and due timers, and answers the µs
   * time by which it must run again: `Infinity` for whenever something happens, anything at or before `now` for at once.
   */
  run(beforeSleep: () => number): void {
    while (!this.#stopped) {
      const deadline = Math.min(beforeSleep(), this.#timers.deadline);
      if (this.#stopped) return;
      this.turn(deadline);
    }
  }

  /** One wait, until `deadline` (µs) at the latest, with the handlers and timers that it makes due. */
  turn(deadline: number): void {
    // Rounded up: a wait that ends a fraction of a ms before the timer would spin until it is due.
    const wait =
      deadline === Number.POSITIVE_INFINITY
        ? -1
        : Math.min(Math.max(Math.ceil((deadline - clock()) / 1000), 0), 0x7fff_ffff);
    const count = this.#sys.epollWait(this.#epoll, this.#memory.base + this.#events, EVENTS_PER_WAIT, wait);
    this.now = clock();
    if (this.#onWake !== undefined) this.#onWake(this.now);
    if (count < 0 && count !== -EINTR) throw new Error(`epoll_wait: ${errnoName(count)}`);
    const { view } = this.#memory;
    for (let i = 0; i < count; i++) {
      const event = this.#events + i * EPOLL_EVENT_BYTES;
      const fd = view.getUint32(event + EPOLL_DATA_OFFSET, true);
      if (view.getUint32(event + EPOLL_DATA_OFFSET + 4, true) !== this.#generations[fd]) continue;
      const handler = this.#handlers[fd];
      if (handler !== undefined) handler(view.getUint32(event, true));
      if (this.#stopped) return;
    }
    this.#timers.fire(this.now);
  }

  /** Closes the epoll and event descriptors. Descriptors that others added stay theirs. */
  close(): void {
    this.#stopped = true;
    this.#sys.close(this.#kick);
    this.#sys.close(this.#epoll);
  }

  #control(operation: number, fd: number, events: number): number {
    const { view, base } = this.#memory;
    view.setUint32(this.#scratch, events, true);
    view.setUint32(this.#scratch + EPOLL_DATA_OFFSET, fd, true);
    view.setUint32(this.#scratch + EPOLL_DATA_OFFSET + 4, this.#generations[fd] ?? 0, true);
    return this.#sys.epollControl(this.#epoll, operation, fd, base + this.#scratch);
  }
}

function clock(): number {
  return Math.floor(performance.now() * 1000);
}

function check(call: string, result: number): number {
  if (result < 0) throw new Error(`${call}: ${errnoName(result)}`);
  return result;
}
