import { count, LOOPBACK, PACKETS_OUT } from './counters';

/** The caller's packet slots during one poll. */

export let slots: usize = 0;
export let stride: usize = 0;
export let capacity: i32 = 0;
export let filled: i32 = 0;
let lengths: usize = 0;
/** Looped-back packets that this poll may still hand over. */
export let loopsLeft: i32 = 0;

export function beginPoll(at: usize, step: usize, max: i32, lengthsAt: usize, loops: i32): void {
  slots = at;
  stride = step;
  capacity = max;
  lengths = lengthsAt;
  filled = 0;
  loopsLeft = loops;
}

// @ts-ignore: decorator
@inline
export function full(): bool {
  return filled >= capacity || loopsLeft <= 0;
}

/** Where the next packet goes; only if not full. */
// @ts-ignore: decorator
@inline
export function slot(): usize {
  return slots + <usize>filled * stride;
}

/** The packet in `slot()` is complete. */
// @ts-ignore: decorator
@inline
export function push(length: u32): void {
  store<u32>(lengths + (<usize>filled << 2), length);
  filled++;
  count(PACKETS_OUT);
}

/** The packet in `slot()` was handed to ourselves instead. */
export function looped(): void {
  loopsLeft--;
  count(LOOPBACK);
}
