import type { Netstack, Pointer } from './netstack.ts';

/** Copies between byte arrays and the stack's buffers, for tests and tools. The data path hands the iovecs to the kernel instead. */

/**
 * Queues as much of `data` as there is room for.
 * @param iov room for `maxIov` iovecs in the stack's memory; its base must be 0
 * @returns bytes queued
 */
export function writeSome(stack: Netstack, conn: number, data: Uint8Array, iov: Pointer, maxIov: number): number {
  let total = 0;
  while (total < data.length) {
    const spans = stack.sendReserve(conn, iov, maxIov);
    let written = 0;
    for (let i = 0; i < spans && total + written < data.length; i++) {
      const at = stack.u32[(iov >>> 2) + i * 4]!;
      const part = data.subarray(total + written, total + written + stack.u32[(iov >>> 2) + i * 4 + 2]!);
      stack.u8.set(part, at);
      written += part.length;
    }
    if (written === 0) break;
    stack.sendCommit(conn, written);
    total += written;
  }
  return total;
}

/** Takes at most `max` readable bytes. */
export function readAll(stack: Netstack, conn: number, max: number, iov: Pointer, maxIov: number): Uint8Array {
  const result = new Uint8Array(Math.min(max, stack.recvAvailable(conn)));
  let total = 0;
  while (total < result.length) {
    const spans = stack.recvPeek(conn, iov, maxIov);
    let read = 0;
    for (let i = 0; i < spans && total + read < result.length; i++) {
      const at = stack.u32[(iov >>> 2) + i * 4]!;
      const length = Math.min(stack.u32[(iov >>> 2) + i * 4 + 2]!, result.length - total - read);
      result.set(stack.u8.subarray(at, at + length), total + read);
      read += length;
    }
    if (read === 0) throw new Error('bytes are readable, but there are no spans');
    stack.recvConsume(conn, read);
    total += read;
  }
  return result;
}
