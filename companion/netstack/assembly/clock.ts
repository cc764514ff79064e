/** The virtual clock: µs, monotonic, set by the owner before each batch. */

export let now: f64 = 0;

/** An earlier time than the last is taken as the last: a clock that jumps back must not fire or stop timers. */
export function setClock(us: f64): void {
  if (us > now) now = us;
}

export function startClock(us: f64): void {
  now = us;
}
