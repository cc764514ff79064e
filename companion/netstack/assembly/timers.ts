import { Tcb } from './tcp/tcb';
import { carve } from './memory';

/**
 * Which connection wakes next: a 4-ary heap on `Tcb.wakeAt`, exact to the µs. Moving a timer later costs nothing: `wakeAt` may be too
 * early, then the connection wakes, finds nothing due and sleeps on.
 */

let heap: usize = 0;
let size: u32 = 0;

export function carveTimers(capacity: u32): void {
  heap = carve((<usize>capacity + 1) << 2);
}

export function timerCount(): u32 {
  return size;
}

/** The first to wake, or null. */
export function firstTimer(): Tcb {
  return size === 0 ? changetype<Tcb>(0) : at(1);
}

// @ts-ignore: decorator
@inline
function at(index: u32): Tcb {
  return changetype<Tcb>(<usize>load<u32>(heap + (<usize>index << 2)));
}

// @ts-ignore: decorator
@inline
function place(index: u32, t: Tcb): void {
  store<u32>(heap + (<usize>index << 2), <u32>changetype<usize>(t));
  t.heapIndex = index;
}

function up(index: u32, t: Tcb): void {
  while (index > 1) {
    const parent = (index + 2) >>> 2;
    const other = at(parent);
    if (other.wakeAt <= t.wakeAt) break;
    place(index, other);
    index = parent;
  }
  place(index, t);
}

function down(index: u32, t: Tcb): void {
  while (true) {
    const first = (index << 2) - 2;
    if (first > size) break;
    let least = first;
    const last = min<u32>(first + 3, size);
    for (let i = first + 1; i <= last; i++) if (at(i).wakeAt < at(least).wakeAt) least = i;
    const other = at(least);
    if (other.wakeAt >= t.wakeAt) break;
    place(index, other);
    index = least;
  }
  place(index, t);
}

/** Makes sure that the connection wakes at `when` or earlier. */
export function wakeBy(t: Tcb, when: f64): void {
  if (t.heapIndex === 0) {
    if (when === Infinity) return;
    t.wakeAt = when;
    up(++size, t);
  } else if (when < t.wakeAt) {
    t.wakeAt = when;
    up(t.heapIndex, t);
  }
}

/** Sets the time to wake exactly; Infinity = sleep for good. */
export function wakeAt(t: Tcb, when: f64): void {
  if (when === Infinity) {
    cancel(t);
  } else if (t.heapIndex === 0 || when < t.wakeAt) {
    wakeBy(t, when);
  } else {
    t.wakeAt = when;
    down(t.heapIndex, t);
  }
}

export function cancel(t: Tcb): void {
  const index = t.heapIndex;
  if (index === 0) return;
  t.heapIndex = 0;
  const last = at(size--);
  if (last === t) return;
  if (index > 1 && at((index + 2) >>> 2).wakeAt > last.wakeAt) up(index, last);
  else down(index, last);
}
