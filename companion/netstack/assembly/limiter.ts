import { now } from './clock';
import { carve } from './memory';
import { ECHO_PER_SECOND, ICMP_PER_SECOND, RESET_PER_SECOND } from './constants';

/** Token buckets of one second's depth, for packets that answer packets of nobody's connection. */

export const LIMIT_ICMP: u32 = 0;
export const LIMIT_RESET: u32 = 1;
export const LIMIT_ECHO: u32 = 2;
export const LIMIT_CHALLENGE: u32 = 3;
const KINDS: u32 = 4;

let table: usize = 0;

export function carveLimiters(): void {
  table = carve(<usize>KINDS << 4);
  for (let i: u32 = 0; i < KINDS; i++) {
    store<f64>(table + (<usize>i << 4), perSecond(i));
    store<f64>(table + (<usize>i << 4), now, 8);
  }
}

function perSecond(kind: u32): f64 {
  if (kind === LIMIT_ICMP) return <f64>ICMP_PER_SECOND;
  if (kind === LIMIT_ECHO) return <f64>ECHO_PER_SECOND;
  return <f64>RESET_PER_SECOND;
}

/** @returns whether one more may go now */
export function allowed(kind: u32): bool {
  const at = table + (<usize>kind << 4);
  const rate = perSecond(kind);
  const tokens = min<f64>(rate, load<f64>(at) + ((now - load<f64>(at, 8)) * rate) / 1_000_000);
  store<f64>(at, now, 8);
  store<f64>(at, tokens < 1 ? tokens : tokens - 1);
  return tokens >= 1;
}
