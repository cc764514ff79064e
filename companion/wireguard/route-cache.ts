/** The last lookup in the allowed-ips table: traffic comes in runs of one address. */
import type { PeerId } from './actions.ts';

export class RouteCache {
  peer: PeerId = -1;
  #w0 = 0;
  #w1 = 0;
  #w2 = 0;
  #w3 = 0;
  #generation = -1;

  /** Whether `peer` answers for this address; `generation` is the table's. */
  hit(w0: number, w1: number, w2: number, w3: number, generation: number): boolean {
    return this.#w3 === w3 && this.#w2 === w2 && this.#w1 === w1 && this.#w0 === w0 && this.#generation === generation;
  }

  store(w0: number, w1: number, w2: number, w3: number, generation: number, peer: PeerId): PeerId {
    this.#w0 = w0;
    this.#w1 = w1;
    this.#w2 = w2;
    this.#w3 = w3;
    this.#generation = generation;
    this.peer = peer;
    return peer;
  }

  clear(): void {
    this.#generation = -1;
  }
}
