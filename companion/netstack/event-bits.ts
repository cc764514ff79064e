/**
 * What can happen to a connection, as bits of `Netstack.eventBits`. Bits of one connection coalesce until `nextEvent()` takes them.
 */

/** A SYN reached a deferred listener: answer with `accept(conn)` or `reject(conn)`; the peer hears nothing until then. */
export const SYN = 1;
/** A connection of a listener that is not deferred has finished its handshake; the handle is new to the application. */
export const ACCEPT = 2;
/** The handshake has finished, of a `connect()` or of a deferred SYN that was accepted. */
export const CONNECTED = 4;
/** Bytes arrived in order. Told again for each further arrival, not for bytes left unread. */
export const READABLE = 8;
/** There is room again after `sendReserve`, `sendRoom` or `sendCommit` met a full buffer. */
export const WRITABLE = 16;
/** The peer's FIN arrived in order: after the bytes still readable there is no more. The other direction goes on. */
export const EOF = 32;
/** The peer reset the connection. Only `close()` is left to do. */
export const RESET = 64;
/** The connection failed, see `errorOf()`. Only `close()` is left to do. */
export const ERROR = 128;
/** Both directions ended well and all was acknowledged. Bytes may still be readable; `close()` releases the handle. */
export const CLOSED = 256;
