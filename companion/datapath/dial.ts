import { ERROR_NO_ROUTE, EventBits } from '../netstack/index.ts';
import { formatSocketAddress, type SocketAddress } from './proxy-protocol.ts';
import type { TimerId } from './reactor.ts';
import type { ConnectionOwner, RelayIo } from './relay-io.ts';

// Implementation

/** One destination may take so long, all together so long. */
const DIAL_TIMEOUT_US = 5_000_000;
const DIAL_TOTAL_US = 10_000_000;

/** Why no destination could be reached: what the last one tried met. */
export type DialFailure = 'no-destination' | 'no-route' | 'refused' | 'unreachable' | 'timeout' | 'no-memory' | 'reset';

export type DialResult =
  | { ok: true; connection: number; to: SocketAddress; tried: number }
  | { ok: false; failure: DialFailure; tried: number; last: string };

/**
 * Connects, in the tunnel, to the first of several destinations that answers. One without a peer behind it is passed over at once.
 * `done` is called once, at the earliest within `start`, and not after `cancel`.
 */
export class Dial implements ConnectionOwner {
  readonly #io: RelayIo;
  readonly #candidates: readonly SocketAddress[];
  readonly #done: (result: DialResult) => void;
  readonly #deadline: number;
  #next = 0;
  #connection = 0;
  #timer: TimerId = 0;
  #failure: DialFailure = 'no-destination';

  constructor(io: RelayIo, candidates: readonly SocketAddress[], done: (result: DialResult) => void) {
    this.#io = io;
    this.#candidates = candidates;
    this.#done = done;
    this.#deadline = io.ctx.reactor.now + DIAL_TOTAL_US;
  }

  start(): void {
    const { ctx, stack, owners } = this.#io;
    for (;;) {
      const to = this.#candidates[this.#next];
      if (to === undefined || ctx.reactor.now >= this.#deadline) {
        this.#done({ ok: false, failure: this.#failure, tried: this.#next, last: this.#last() });
        return;
      }
      this.#next++;
      if (!ctx.hasRoute(to.address)) {
        this.#failure = 'no-route';
        continue;
      }
      const connection = stack.connect(to.address, to.port);
      if (connection <= 0) {
        this.#failure = connection === ERROR_NO_ROUTE ? 'no-route' : 'no-memory';
        continue;
      }
      this.#connection = connection;
      owners.set(connection, this);
      const until = Math.min(ctx.reactor.now + DIAL_TIMEOUT_US, this.#deadline);
      this.#timer = ctx.reactor.setTimer(until, () => this.#failed('timeout'));
      ctx.reactor.pump();
      return;
    }
  }

  onStack(events: number): void {
    const { stack } = this.#io;
    if (events & (EventBits.RESET | EventBits.ERROR)) {
      const error = stack.errorOf(this.#connection);
      const known = error === 'refused' || error === 'unreachable' || error === 'timeout' || error === 'reset';
      this.#failed(known ? error : 'no-memory');
    } else if (events & EventBits.CONNECTED) {
      const connection = this.#connection;
      this.#io.ctx.reactor.clearTimer(this.#timer);
      this.#io.owners.delete(connection);
      this.#connection = 0;
      this.#done({ ok: true, connection, to: this.#candidates[this.#next - 1]!, tried: this.#next });
      // The stream that took it over has not seen what came together with the last step of the handshake.
      this.#io.owners.get(connection)?.onStack(events & ~EventBits.CONNECTED);
    }
  }

  cancel(): void {
    this.#giveUp();
    this.#next = this.#candidates.length;
  }

  #failed(failure: DialFailure): void {
    this.#giveUp();
    this.#failure = failure;
    this.start();
  }

  #giveUp(): void {
    if (this.#connection === 0) return;
    this.#io.ctx.reactor.clearTimer(this.#timer);
    this.#io.abort(this.#connection);
    this.#connection = 0;
  }

  #last(): string {
    const last = this.#candidates[this.#next - 1];
    return last === undefined ? '' : formatSocketAddress(last);
  }
}
