/** Inner packets for tests: valid headers around a payload, no checksums (nothing in the engine looks at them). */
import { formatAddress, parseAddress, parsePrefix } from '../../../rules/index.ts';
import type { Prefix } from '../allowed-ips.ts';
import { ENDPOINT_SIZE } from '../constants.ts';

export function address(text: string): Uint8Array {
  const bytes = parseAddress(text);
  if (bytes === undefined) throw new Error(`no address: ${text}`);
  return bytes;
}

export function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  if (parsed === undefined) throw new Error(`no prefix: ${text}`);
  return parsed;
}

/** An outer endpoint as 18 bytes. */
export function endpoint(host: string, port: number): Uint8Array {
  const bytes = new Uint8Array(ENDPOINT_SIZE);
  bytes.set(address(host));
  new DataView(bytes.buffer).setUint16(16, port);
  return bytes;
}

export function endpointText(bytes: Uint8Array): string {
  return `${formatAddress(bytes.subarray(0, 16))}|${(bytes[16]! << 8) | bytes[17]!}`;
}

export function ipv4(source: string, destination: string, payload: Uint8Array): Uint8Array {
  const packet = new Uint8Array(20 + payload.length);
  packet[0] = 0x45;
  new DataView(packet.buffer).setUint16(2, packet.length);
  packet[8] = 64;
  packet[9] = 17;
  packet.set(address(source).subarray(12), 12);
  packet.set(address(destination).subarray(12), 16);
  packet.set(payload, 20);
  return packet;
}

export function ipv6(source: string, destination: string, payload: Uint8Array): Uint8Array {
  const packet = new Uint8Array(40 + payload.length);
  packet[0] = 0x60;
  new DataView(packet.buffer).setUint16(4, payload.length);
  packet[6] = 17;
  packet[7] = 64;
  packet.set(address(source), 8);
  packet.set(address(destination), 24);
  packet.set(payload, 40);
  return packet;
}

/** A packet with a number in it, to see what arrives and in which order. */
export function numbered(source: string, destination: string, n: number, size = 4): Uint8Array {
  const payload = new Uint8Array(Math.max(4, size));
  new DataView(payload.buffer).setUint32(0, n);
  return source.includes(':') ? ipv6(source, destination, payload) : ipv4(source, destination, payload);
}

export function numberOf(packet: Uint8Array): number {
  const at = packet[0]! >>> 4 === 4 ? 20 : 40;
  return new DataView(packet.buffer, packet.byteOffset).getUint32(at);
}
