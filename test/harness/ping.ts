// An ICMP echo client on the kernel's raw sockets, since not every machine has ping(8). Blocks its thread; needs root.
import koffi from 'koffi';

const SOCK_RAW = 3;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const FAMILY = {
  v4: { number: 2, protocol: 1, request: 8, reply: 0 },
  v6: { number: 10, protocol: 58, request: 128, reply: 129 },
};

const libc = koffi.load(null);
const socket = libc.func('int socket(int, int, int)');
const connect = libc.func('int connect(int, const uint8_t *, uint32_t)');
const setsockopt = libc.func('int setsockopt(int, int, int, const uint8_t *, uint32_t)');
const send = libc.func('intptr_t send(int, const uint8_t *, size_t, int)');
const recv = libc.func('intptr_t recv(int, _Out_ uint8_t *, size_t, int)');
const close = libc.func('int close(int)');

/** struct sockaddr_in or sockaddr_in6, port 0. `address`: 4 or 16 bytes. */
function socketAddress(family: number, address: Uint8Array): Buffer {
  const isV4 = address.length === 4;
  const bytes = Buffer.alloc(isV4 ? 16 : 28);
  bytes.writeUInt16LE(family, 0);
  bytes.set(address, isV4 ? 4 : 8);
  return bytes;
}

/** RFC 1071. */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/**
 * One echo request with `data` behind its header; waits for the answer with the same identifier and sequence number.
 * @returns what came back, or undefined when nothing did in time. @throws when there is no socket or no way to `address`.
 */
export function ping(address: Uint8Array, data: Uint8Array, timeoutMs: number): Buffer | undefined {
  const family = address.length === 4 ? FAMILY.v4 : FAMILY.v6;
  const request = Buffer.alloc(8 + data.length);
  request[0] = family.request;
  const identifier = Math.floor(Math.random() * 65_536);
  request.writeUInt16BE(identifier, 4);
  request.writeUInt16BE(1, 6);
  request.set(data, 8);
  // Over IPv6 the kernel writes it: it covers addresses that are the kernel's to choose (RFC 3542 §3.1).
  if (family === FAMILY.v4) request.writeUInt16BE(checksum(request), 2);
  const fd = socket(family.number, SOCK_RAW, family.protocol);
  if (fd < 0) throw new Error(`raw socket: errno ${koffi.errno()}`);
  try {
    const name = socketAddress(family.number, address);
    if (connect(fd, name, name.length) < 0) throw new Error(`connect: errno ${koffi.errno()}`);
    const patience = Buffer.alloc(16);
    patience.writeBigInt64LE(BigInt(Math.floor(timeoutMs / 1000)), 0);
    patience.writeBigInt64LE(BigInt((timeoutMs % 1000) * 1000), 8);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, patience, 16);
    if (send(fd, request, request.length, 0) < 0) throw new Error(`send: errno ${koffi.errno()}`);
    const buffer = Buffer.alloc(65_536);
    for (const until = performance.now() + timeoutMs; performance.now() < until; ) {
      const length = recv(fd, buffer, buffer.length, 0);
      if (length < 0) return undefined;
      // A raw IPv4 socket shows the IP header too.
      const at = family === FAMILY.v4 ? (buffer[0]! & 15) * 4 : 0;
      if (buffer[at] !== family.reply || buffer.readUInt16BE(at + 4) !== identifier) continue;
      return Buffer.from(buffer.subarray(at + 8, length));
    }
    return undefined;
  } finally {
    close(fd);
  }
}
