import type { Reactor, TimerId } from './reactor.ts';
import type { UdpFlowTable } from './udp-flow-table.ts';

/** Ends the flows of a table that have been idle for long enough, with one timer: for the one idle the longest. */
export class UdpFlowExpiry {
  readonly #reactor: Reactor;
  readonly #table: UdpFlowTable;
  readonly #end: (slot: number) => void;
  #idleUs: number;
  #timer: TimerId = 0;

  /** `end` must take the slot out of the table. */
  constructor(reactor: Reactor, table: UdpFlowTable, idleUs: number, end: (slot: number) => void) {
    this.#reactor = reactor;
    this.#table = table;
    this.#idleUs = idleUs;
    this.#end = end;
  }

  /** Also for the flows that stand. */
  setIdle(idleUs: number): void {
    if (idleUs === this.#idleUs) return;
    this.#idleUs = idleUs;
    this.stop();
    this.arm();
  }

  /** After a flow was put into the table. A flow that is active meanwhile costs nothing: the timer finds out when it is due. */
  arm(): void {
    const { oldest } = this.#table;
    if (this.#timer !== 0 || oldest < 0) return;
    this.#timer = this.#reactor.setTimer(this.#table.lastActive(oldest) + this.#idleUs, () => {
      this.#timer = 0;
      for (let slot = this.#table.oldest; slot >= 0; slot = this.#table.oldest) {
        if (this.#reactor.now - this.#table.lastActive(slot) < this.#idleUs) break;
        this.#end(slot);
      }
      this.arm();
    });
  }

  stop(): void {
    this.#reactor.clearTimer(this.#timer);
    this.#timer = 0;
  }
}
