/**
 * Named counters. A name is given a slot once; counting is then one addition into a typed array.
 * Names are `noun_event_reason` in snake case; values are integers below 2^53.
 */
export class Counters {
  #values = new Float64Array(64);
  readonly #slots = new Map<string, number>();

  /** The slot of a name; the name shows in `snapshot()` from now on, with 0. */
  slot(name: string): number {
    let slot = this.#slots.get(name);
    if (slot === undefined) {
      slot = this.#slots.size;
      this.#slots.set(name, slot);
      if (slot === this.#values.length) {
        const grown = new Float64Array(2 * slot);
        grown.set(this.#values);
        this.#values = grown;
      }
    }
    return slot;
  }

  /** Counts by slot: for what happens per packet or per read. */
  add(slot: number, amount = 1): void {
    this.#values[slot]! += amount;
  }

  /** Counts by name: for what happens per connection. */
  count(name: string, amount = 1): void {
    this.#values[this.slot(name)]! += amount;
  }

  get(name: string): number {
    const slot = this.#slots.get(name);
    return slot === undefined ? 0 : this.#values[slot]!;
  }

  /** All names and values, sorted by name. */
  snapshot(): Record<string, number> {
    return Object.fromEntries(
      [...this.#slots].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, slot]) => [name, this.#values[slot]!]),
    );
  }
}
