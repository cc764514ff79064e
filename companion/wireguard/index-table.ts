/**
 * Local index to session, looked up once per transport message. Open addressing over typed arrays: a Map would box
 * every index past 2^31 on each lookup. The indices are random already, so they are their own hash.
 */
export class IndexTable<T> {
  #keys = new Uint32Array(16);
  #values: (T | undefined)[] = new Array(16).fill(undefined);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(index: number): T | undefined {
    const keys = this.#keys;
    const mask = keys.length - 1;
    let slot = index & mask;
    for (;;) {
      const value = this.#values[slot];
      if (value === undefined || keys[slot] === index) return value;
      slot = (slot + 1) & mask;
    }
  }

  set(index: number, value: T): void {
    if ((this.#size + 1) * 2 > this.#keys.length) this.#grow();
    const mask = this.#keys.length - 1;
    let slot = index & mask;
    while (this.#values[slot] !== undefined && this.#keys[slot] !== index) slot = (slot + 1) & mask;
    if (this.#values[slot] === undefined) this.#size++;
    this.#keys[slot] = index;
    this.#values[slot] = value;
  }

  delete(index: number): void {
    const mask = this.#keys.length - 1;
    let slot = index & mask;
    while (this.#keys[slot] !== index || this.#values[slot] === undefined) {
      if (this.#values[slot] === undefined) return;
      slot = (slot + 1) & mask;
    }
    this.#values[slot] = undefined;
    this.#size--;
    // close the gap: whoever was pushed past it would not be found any more
    for (let next = (slot + 1) & mask; this.#values[next] !== undefined; next = (next + 1) & mask) {
      const value = this.#values[next]!;
      this.#values[next] = undefined;
      this.#size--;
      this.set(this.#keys[next]!, value);
    }
  }

  #grow(): void {
    const keys = this.#keys;
    const values = this.#values;
    this.#keys = new Uint32Array(keys.length * 2);
    this.#values = new Array(keys.length * 2).fill(undefined);
    this.#size = 0;
    values.forEach((value, i) => {
      if (value !== undefined) this.set(keys[i]!, value);
    });
  }
}
