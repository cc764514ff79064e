/** The TCP/IP stack of the companion. See `netstack.ts` for how to drive it. */

export * from './errors.ts';
export * as EventBits from './event-bits.ts';
export { type Endpoint, Netstack, type NetstackOptions, type Pointer } from './netstack.ts';
export { UdpArrival } from './udp-arrival.ts';
