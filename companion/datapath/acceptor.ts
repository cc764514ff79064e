import { EPOLLIN, SOCK_CLOEXEC, SOCK_NONBLOCK } from './constants.ts';
import { EMFILE, ENFILE, ENOBUFS, ENOMEM } from './errno.ts';
import type { RelayIo } from './relay-io.ts';

// Implementation

/** Connections taken in one turn; the rest wait in the kernel's backlog. */
const ACCEPTS_PER_TURN = 64;
/** Pause when the process or the system is out of descriptors: the backlog waits, others go on. */
const EXHAUSTED_PAUSE_US = 200_000;
const EXHAUSTED = [-EMFILE, -ENFILE, -ENOBUFS, -ENOMEM];

/** Takes connections from a listening socket, and survives having no descriptors left. Owns the descriptor. */
export class Acceptor {
  readonly #io: RelayIo;
  readonly #fd: number;
  readonly #onConnection: (fd: number) => void;
  readonly #name: string;
  #timer = 0;

  /** `onConnection` is given a non-blocking descriptor, which is its own from then on. */
  constructor(io: RelayIo, fd: number, name: string, onConnection: (fd: number) => void) {
    this.#io = io;
    this.#fd = fd;
    this.#name = name;
    this.#onConnection = onConnection;
    io.ctx.reactor.add(fd, EPOLLIN, () => this.#accept());
  }

  close(): void {
    this.#io.ctx.reactor.clearTimer(this.#timer);
    this.#io.ctx.reactor.remove(this.#fd);
    this.#io.sockets.close(this.#fd);
  }

  #accept(): void {
    const { sys, ctx } = this.#io;
    for (let i = 0; i < ACCEPTS_PER_TURN; i++) {
      const fd = sys.accept4(this.#fd, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd >= 0) {
        this.#onConnection(fd);
        continue;
      }
      if (!EXHAUSTED.includes(fd)) return;
      // The listener stays readable: watching it on would spin.
      ctx.counters.count('fd_exhausted');
      ctx.log('warn', 'out of file descriptors: new connections wait', { listener: this.#name });
      ctx.reactor.modify(this.#fd, 0);
      this.#timer = ctx.reactor.setTimer(ctx.reactor.now + EXHAUSTED_PAUSE_US, () =>
        ctx.reactor.modify(this.#fd, EPOLLIN),
      );
      return;
    }
  }
}
