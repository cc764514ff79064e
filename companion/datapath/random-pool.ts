import { randomFillSync } from 'node:crypto';

const POOL_BYTES = 4096;

/**
 * Random bytes in small numbers at little cost: drawn from the system's generator a page at a time. For jitter and the like, not for
 * keys: what was given out stays in the pool until it is drawn anew.
 */
export class RandomPool {
  readonly #pool = new Uint8Array(POOL_BYTES);
  #at = POOL_BYTES;

  /** 1 to 4096 bytes, good until the pool has been around once. */
  take(bytes: number): Uint8Array {
    if (this.#at + bytes > POOL_BYTES) {
      randomFillSync(this.#pool);
      this.#at = 0;
    }
    this.#at += bytes;
    return this.#pool.subarray(this.#at - bytes, this.#at);
  }
}
