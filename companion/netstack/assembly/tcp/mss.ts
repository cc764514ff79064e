import { DEFAULT_MSS_V4, DEFAULT_MSS_V6 } from '../constants';
import { mtu } from '../settings';
import { F_TS, F_V6, has, Tcb } from './tcb';

/** Segment sizes, RFC 9293 3.7.1 and RFC 6691. */

const HEADERS_V4: u32 = 40;
const HEADERS_V6: u32 = 60;
const TIMESTAMP_OPTION: u32 = 12;
/** A peer's MSS below this is taken as this: smaller ones only serve to make us send many packets (as Linux). */
const LEAST_MSS: u32 = 48;

// @ts-ignore: decorator
@inline
export function headersOf(v6: bool): u32 {
  return v6 ? HEADERS_V6 : HEADERS_V4;
}

/** What our SYN says: what we take, by the interface's MTU, options not taken off (RFC 6691). */
export function offeredMss(v6: bool): u32 {
  return mtu - headersOf(v6);
}

/** @param option 0 = the peer's SYN had none */
export function acceptMss(option: u32, v6: bool): u32 {
  if (option === 0) return v6 ? DEFAULT_MSS_V6 : DEFAULT_MSS_V4;
  return max(option, LEAST_MSS);
}

/** Payload of a full segment now. */
export function effectiveMss(t: Tcb): u16 {
  const v6 = has(t, F_V6);
  const path = min<u32>(t.pathMtu, mtu) - headersOf(v6);
  const whole = min<u32>(t.peerMss, path);
  return <u16>(has(t, F_TS) ? whole - TIMESTAMP_OPTION : whole);
}
