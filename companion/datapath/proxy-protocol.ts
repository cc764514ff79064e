/**
 * The PROXY protocol, version 2 (proxy-protocol.txt §2.2), as Envoy and the companion speak it to each other. Pure.
 *
 *     0        12       13       14      16
 *     +--------+--------+--------+-------+-----------------+------------+
 *     | signature       | ver|cmd| fam|pr| length | address block | TLVs |
 *     +--------+--------+--------+-------+-----------------+------------+
 *
 * Version 1 (text) is refused: it carries no TLVs. So is a header with a TLV given twice, for which of the two counts
 * would be a guess about where a connection may go.
 */

import { formatAddress, isIPv4 } from '../../rules/index.ts';

// Specification (proxy-protocol.txt §2.2)

const SIGNATURE = Uint8Array.of(0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a);
const VERSION = 0x20;
const COMMAND_LOCAL = 0x0;
const COMMAND_PROXY = 0x1;
const PREFIX_BYTES = 16;
/** Bytes of the address block by address family: unspecified, IPv4, IPv6, unix. */
const ADDRESS_BLOCK_BYTES = [0, 12, 36, 216] as const;
const FAMILY_INET = 1;
const FAMILY_INET6 = 2;
const TRANSPORT_STREAM = 1;

/** The TLVs of ours, from the range for custom use (proxy-protocol.txt §2.2.8). */
export const TLV = {
  /** `ip:port` in the tunnel, of the endpoint that Envoy chose. */
  destination: 0xe0,
  /** `egress/tcp/5432` */
  key: 0xe1,
  /** The peer's public key in base64. */
  peerPublicKey: 0xe2,
  /** Envoy's connection id. */
  connectionId: 0xe3,
} as const;

// Implementation

/** Other TLVs may pass through Envoy beside ours (AWS's, TLS's), but not without end. */
export const MAX_HEADER_BYTES = 4096;
/** A name of 253 characters, brackets, colon and port fit. */
const MAX_TEXT_BYTES = 270;
/** What Envoy writes for a format string without a value. */
const ABSENT = '-';

export interface SocketAddress {
  /** 16 bytes, IPv4 as `::ffff:a.b.c.d`. */
  address: Uint8Array;
  port: number;
}

export interface ProxyHeader {
  /** `local`: the sender itself speaks (a health check of Envoy's), without addresses. */
  command: 'proxy' | 'local';
  /** Absent for `local` and where Envoy's downstream has no IP address. */
  source?: SocketAddress;
  destination?: SocketAddress;
  /** Texts of our TLVs: printable ASCII without spaces, never empty, never `-`. */
  tlv: { destination?: string; key?: string; peerPublicKey?: string; connectionId?: string };
}

export type ProxyHeaderDefect =
  | 'signature'
  | 'version'
  | 'command'
  | 'family'
  | 'too-long'
  | 'address-block'
  | 'tlv-length'
  | 'tlv-text'
  | 'tlv-twice';

export type ProxyHeaderResult =
  /** `length`: bytes that the header takes; data follows. */
  | { state: 'complete'; header: ProxyHeader; length: number }
  /** So far right; a header is not complete with fewer than `need` bytes in all. */
  | { state: 'incomplete'; need: number }
  | { state: 'invalid'; defect: ProxyHeaderDefect };

type TlvName = keyof typeof TLV;
const TLV_NAMES = new Map<number, TlvName>(Object.entries(TLV).map(([name, type]) => [type, name as TlvName]));

const invalid = (defect: ProxyHeaderDefect): ProxyHeaderResult => ({ state: 'invalid', defect });

/**
 * Reads a header from the first bytes of a stream. A defect is told as soon as the bytes so far show it, so nobody waits
 * for the rest of what cannot become a header. Never reads past `bytes`, never throws.
 */
export function parseProxyHeader(bytes: Uint8Array): ProxyHeaderResult {
  const known = Math.min(bytes.length, SIGNATURE.length);
  for (let i = 0; i < known; i++) if (bytes[i] !== SIGNATURE[i]) return invalid('signature');
  if (bytes.length > 12) {
    if ((bytes[12]! & 0xf0) !== VERSION) return invalid('version');
    if ((bytes[12]! & 0x0f) > COMMAND_PROXY) return invalid('command');
  }
  const family = (bytes[13] ?? 0) >> 4;
  if (family >= ADDRESS_BLOCK_BYTES.length || ((bytes[13] ?? 0) & 0x0f) > 2) return invalid('family');
  if (bytes.length < PREFIX_BYTES) return { state: 'incomplete', need: PREFIX_BYTES };

  const length = PREFIX_BYTES + ((bytes[14]! << 8) | bytes[15]!);
  if (length > MAX_HEADER_BYTES) return invalid('too-long');
  const tlvsAt = PREFIX_BYTES + ADDRESS_BLOCK_BYTES[family]!;
  if (tlvsAt > length) return invalid('address-block');
  if (bytes.length < length) return { state: 'incomplete', need: length };

  const local = (bytes[12]! & 0x0f) === COMMAND_LOCAL;
  const header: ProxyHeader = { command: local ? 'local' : 'proxy', tlv: {} };
  // "the receiver must ... discard the protocol block including the family which is ignored" for LOCAL: no addresses,
  // but its length still says where the TLVs are.
  if (!local) readAddresses(bytes, family, header);
  const defect = readTlvs(bytes.subarray(tlvsAt, length), header);
  return defect === undefined ? { state: 'complete', header, length } : invalid(defect);
}

function readAddresses(bytes: Uint8Array, family: number, header: ProxyHeader): void {
  if (family !== FAMILY_INET && family !== FAMILY_INET6) return;
  const size = family === FAMILY_INET ? 4 : 16;
  const portsAt = PREFIX_BYTES + 2 * size;
  const read = (which: 0 | 1): SocketAddress => {
    const at = PREFIX_BYTES + which * size;
    const address = new Uint8Array(16);
    if (family === FAMILY_INET) address.fill(0xff, 10, 12);
    address.set(bytes.subarray(at, at + size), 16 - size);
    return { address, port: (bytes[portsAt + 2 * which]! << 8) | bytes[portsAt + 2 * which + 1]! };
  };
  header.source = read(0);
  header.destination = read(1);
}

function readTlvs(bytes: Uint8Array, header: ProxyHeader): ProxyHeaderDefect | undefined {
  const seen = new Set<TlvName>();
  let at = 0;
  while (at < bytes.length) {
    if (at + 3 > bytes.length) return 'tlv-length';
    const length = (bytes[at + 1]! << 8) | bytes[at + 2]!;
    const end = at + 3 + length;
    if (end > bytes.length) return 'tlv-length';
    const name = TLV_NAMES.get(bytes[at]!);
    if (name !== undefined) {
      if (seen.has(name)) return 'tlv-twice';
      seen.add(name);
      const text = readText(bytes.subarray(at + 3, end));
      if (text === undefined) return 'tlv-text';
      if (text !== '' && text !== ABSENT) header.tlv[name] = text;
    }
    at = end;
  }
  return undefined;
}

/** These texts are looked up and written to logs: nothing but visible ASCII. */
function readText(bytes: Uint8Array): string | undefined {
  if (bytes.length > MAX_TEXT_BYTES) return undefined;
  for (const byte of bytes) if (byte < 0x21 || byte > 0x7e) return undefined;
  return String.fromCharCode(...bytes);
}

/**
 * A PROXY header for a stream between two addresses. IPv4 only if both are; else both as IPv6, IPv4 mapped.
 * Throws RangeError when the TLVs pass `MAX_HEADER_BYTES` or hold more than visible ASCII: those are ours, not a stranger's.
 */
export function emitProxyHeader(
  source: SocketAddress,
  destination: SocketAddress,
  tlv: ProxyHeader['tlv'],
): Uint8Array {
  const family = isIPv4(source.address) && isIPv4(destination.address) ? FAMILY_INET : FAMILY_INET6;
  const size = family === FAMILY_INET ? 4 : 16;
  const bytes: number[] = [...SIGNATURE, VERSION | COMMAND_PROXY, (family << 4) | TRANSPORT_STREAM, 0, 0];
  bytes.push(...source.address.subarray(16 - size), ...destination.address.subarray(16 - size));
  bytes.push(source.port >> 8, source.port & 0xff, destination.port >> 8, destination.port & 0xff);
  for (const [type, name] of TLV_NAMES) {
    const text = tlv[name];
    if (text === undefined) continue;
    const value = new TextEncoder().encode(text);
    if (readText(value) === undefined)
      throw new RangeError(`PROXY TLV ${name} is not visible ASCII of at most ${MAX_TEXT_BYTES}`);
    bytes.push(type, value.length >> 8, value.length & 0xff, ...value);
  }
  if (bytes.length > MAX_HEADER_BYTES) throw new RangeError(`PROXY header of ${bytes.length} bytes`);
  bytes[14] = (bytes.length - PREFIX_BYTES) >> 8;
  bytes[15] = (bytes.length - PREFIX_BYTES) & 0xff;
  return Uint8Array.from(bytes);
}

/** `10.0.0.1:80`, `[fd00::1]:80`; for logs. */
export function formatSocketAddress({ address, port }: SocketAddress): string {
  const text = formatAddress(address);
  return isIPv4(address) ? `${text}:${port}` : `[${text}]:${port}`;
}
