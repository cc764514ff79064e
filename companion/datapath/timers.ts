/** Names a timer that is set; never 0, never used twice. */
export type TimerId = number;

interface Timer {
  readonly at: number;
  readonly id: TimerId;
  fn: (() => void) | undefined;
}

/** Timers by due time: a binary heap; a cleared timer stays in it, empty, until its time, or until such make up over half of it. */
export class TimerQueue {
  #heap: Timer[] = [];
  readonly #byId = new Map<TimerId, Timer>();
  #lastId = 0;

  /** When the earliest timer is due; `Infinity` if none is set. */
  get deadline(): number {
    this.#dropCleared();
    return this.#heap[0]?.at ?? Number.POSITIVE_INFINITY;
  }

  set(at: number, fn: () => void): TimerId {
    const timer: Timer = { at, id: ++this.#lastId, fn };
    this.#byId.set(timer.id, timer);
    this.#heap.push(timer);
    this.#up(this.#heap.length - 1);
    return timer.id;
  }

  /** Does nothing for a timer that has fired or was cleared. */
  clear(id: TimerId): void {
    const timer = this.#byId.get(id);
    if (timer === undefined) return;
    timer.fn = undefined;
    this.#byId.delete(id);
    if (this.#heap.length > 64 && this.#byId.size * 2 < this.#heap.length) this.#rebuild();
  }

  /** Runs what is due at `now`, earliest first. A timer set meanwhile runs in a later call, even if it is due: no endless turn. */
  fire(now: number): void {
    const last = this.#lastId;
    const later: Timer[] = [];
    for (let first = this.#heap[0]; first !== undefined && first.at <= now; first = this.#heap[0]) {
      this.#pop();
      if (first.fn === undefined) continue;
      if (first.id > last) {
        later.push(first);
        continue;
      }
      this.#byId.delete(first.id);
      first.fn();
    }
    for (const timer of later) {
      this.#heap.push(timer);
      this.#up(this.#heap.length - 1);
    }
  }

  #dropCleared(): void {
    while (this.#heap.length > 0 && this.#heap[0]?.fn === undefined) this.#pop();
  }

  #rebuild(): void {
    this.#heap = this.#heap.filter(timer => timer.fn !== undefined).sort((a, b) => a.at - b.at);
  }

  #pop(): void {
    const last = this.#heap.pop();
    if (last === undefined || this.#heap.length === 0) return;
    this.#heap[0] = last;
    this.#down(0);
  }

  #up(start: number): void {
    const heap = this.#heap;
    const timer = heap[start]!;
    let i = start;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (heap[parent]!.at <= timer.at) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = timer;
  }

  #down(start: number): void {
    const heap = this.#heap;
    const timer = heap[start]!;
    let i = start;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1]!.at < heap[child]!.at) child++;
      if (heap[child]!.at >= timer.at) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = timer;
  }
}
