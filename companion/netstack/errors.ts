/** Negative results of the stack's calls, and why a connection failed. */

/** `listen`/`udpBind`: the port is taken. */
export const ERROR_IN_USE = -1;
/** `connect`/`udpSend`: no own address of that family, or the destination cannot be one. */
export const ERROR_NO_ROUTE = -2;
/** `connect`/`udpBind`: no free local port towards that destination. */
export const ERROR_NO_PORT = -3;
/** A pool (connections, pages, listeners) is at its limit. */
export const ERROR_NO_MEMORY = -4;
/** An argument is outside its range, or the handle is stale. */
export const ERROR_INVALID = -5;

/**
 * Why a connection came to `RESET` or `ERROR`:
 * refused = RST answered our SYN; reset = RST later; timeout = the peer answered nothing within the user timeout (SYN included);
 * unreachable = ICMP said so while connecting; aborted = the stack itself gave up (memory, orphan limits).
 */
export type ConnectionError = 'none' | 'refused' | 'reset' | 'timeout' | 'unreachable' | 'aborted';

/** In the order of the numbers the Wasm core uses. */
export const CONNECTION_ERRORS: readonly ConnectionError[] = [
  'none',
  'refused',
  'reset',
  'timeout',
  'unreachable',
  'aborted',
];
