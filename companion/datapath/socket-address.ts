import { AF_INET, AF_INET6, AF_UNIX, SOCKADDR_IN_BYTES, SOCKADDR_IN6_BYTES, UNIX_PATH_MAX_BYTES } from './constants.ts';
import type { Pointer } from './memory.ts';

// Inside, every address has 16 bytes, IPv4 as ::ffff:a.b.c.d (RFC 4291 §2.5.5.2); an endpoint is such an address and a big-endian
// port: 18 bytes. The kernel's structures exist only here.

interface Views {
  readonly u8: Uint8Array;
  readonly view: DataView;
}

/** Bytes of an endpoint: address (16), port (2, big endian). */
export const ENDPOINT_BYTES = 18;

/** Whether the 16 bytes at `address` hold an IPv4-mapped address. */
export function isMapped({ view }: Views, address: Pointer): boolean {
  return (
    view.getUint32(address, true) === 0 &&
    view.getUint32(address + 4, true) === 0 &&
    view.getUint32(address + 8) === 0xffff
  );
}

/**
 * Writes a sockaddr_in or sockaddr_in6 (28 bytes of room) for the endpoint (18 bytes) at `endpoint`, and answers its length.
 * An IPv4-mapped address becomes a sockaddr_in. `scope` is the interface index for link-local IPv6.
 */
export function writeSocketAddress(memory: Views, sockaddr: Pointer, endpoint: Pointer, scope = 0): number {
  const { u8, view } = memory;
  if (isMapped(memory, endpoint)) {
    view.setUint16(sockaddr, AF_INET, true);
    view.setUint16(sockaddr + 2, view.getUint16(endpoint + 16), false);
    view.setUint32(sockaddr + 4, view.getUint32(endpoint + 12), false);
    view.setUint32(sockaddr + 8, 0);
    view.setUint32(sockaddr + 12, 0);
    return SOCKADDR_IN_BYTES;
  }
  view.setUint16(sockaddr, AF_INET6, true);
  view.setUint16(sockaddr + 2, view.getUint16(endpoint + 16), false);
  view.setUint32(sockaddr + 4, 0);
  u8.copyWithin(sockaddr + 8, endpoint, endpoint + 16);
  view.setUint32(sockaddr + 24, scope, true);
  return SOCKADDR_IN6_BYTES;
}

/** Writes the 18 bytes of the endpoint in a sockaddr_in or sockaddr_in6. False for another family: nothing is written then. */
export function readSocketAddress({ u8, view }: Views, sockaddr: Pointer, endpoint: Pointer): boolean {
  const family = view.getUint16(sockaddr, true);
  if (family === AF_INET) {
    view.setUint32(endpoint, 0);
    view.setUint32(endpoint + 4, 0);
    view.setUint32(endpoint + 8, 0xffff);
    view.setUint32(endpoint + 12, view.getUint32(sockaddr + 4));
  } else if (family === AF_INET6) {
    u8.copyWithin(endpoint, sockaddr + 8, sockaddr + 24);
  } else return false;
  view.setUint16(endpoint + 16, view.getUint16(sockaddr + 2));
  return true;
}

/** Writes the sockaddr_un of a path (110 bytes of room), and answers its length; 0 when the path has over 107 bytes or is empty. */
export function writeUnixAddress({ u8, view }: Views, sockaddr: Pointer, path: string): number {
  const bytes = Buffer.from(path);
  if (bytes.length === 0 || bytes.length > UNIX_PATH_MAX_BYTES || bytes.includes(0)) return 0;
  view.setUint16(sockaddr, AF_UNIX, true);
  u8.set(bytes, sockaddr + 2);
  u8[sockaddr + 2 + bytes.length] = 0;
  return 2 + bytes.length + 1;
}
