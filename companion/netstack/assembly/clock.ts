/**
 * The virtual clock: µs, monotonic, set by the owner before each batch. Inside it runs an hour ahead of the owner's, so that 0 never is a
 * time and may mean "not yet", and a time before the start can be told.
 */

const AHEAD: f64 = 3_600_000_000;

export let now: f64 = AHEAD;
/** The same in ms, modulo 2^32: the clock of timestamps, asked for several times per packet. */
export let nowMs: u32 = 0;

/** An earlier time than the last is taken as the last: a clock that jumps back must not fire or stop timers. */
export function setClock(us: f64): void {
  if (us + AHEAD > now) startClock(us);
}

export function startClock(us: f64): void {
  now = us + AHEAD;
  nowMs = toMs(now);
}

export function toMs(us: f64): u32 {
  return <u32>(<u64>(us / 1000));
}

/** An inner time as the owner knows it. */
export function toOwner(us: f64): f64 {
  return us - AHEAD;
}
