/**
 * IP addresses, prefixes and endpoints as text and as 16 bytes.
 *
 * Every address is 16 bytes in network order; IPv4 is held as `::ffff:a.b.c.d` (RFC 4291 §2.5.5.2), so one comparison
 * serves both families. Text is accepted as Go's netip accepts it: no leading zeros in a dotted quad, no zone
 * (a zone has no place in 16 bytes: the callers that allow one split it off, see `splitZone`).
 */

export interface Prefix {
  /** 16 bytes as written, host bits kept. */
  address: Uint8Array;
  /** 0..128, counted on the 16 bytes: an IPv4 /8 is 104. */
  length: number;
  /** Canonical text with the family's own length, `10.1.2.3/8` (host bits as written). */
  text: string;
}

export interface Endpoint {
  /** Address or name, without brackets. */
  host: string;
  port: number;
}

const MAPPED = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/** Whether the 16 bytes hold an IPv4 address. */
export function isIPv4(address: Uint8Array): boolean {
  return MAPPED.every((byte, i) => address[i] === byte);
}

function parseIPv4(text: string): number[] | undefined {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every(part => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255))
    return undefined;
  return parts.map(Number);
}

function parseGroups(text: string): number[] | undefined {
  if (text === '') return [];
  const groups = text.split(':');
  const words: number[] = [];
  for (const [i, group] of groups.entries()) {
    if (i === groups.length - 1 && group.includes('.')) {
      const v4 = parseIPv4(group);
      if (v4 === undefined) return undefined;
      words.push((v4[0]! << 8) | v4[1]!, (v4[2]! << 8) | v4[3]!);
    } else if (/^[0-9a-fA-F]{1,4}$/.test(group)) {
      words.push(Number.parseInt(group, 16));
    } else {
      return undefined;
    }
  }
  return words;
}

/** 16 bytes of an IPv4 or IPv6 address (RFC 4291 §2.2), or undefined. */
export function parseAddress(text: string): Uint8Array | undefined {
  if (!text.includes(':')) {
    const v4 = parseIPv4(text);
    return v4 && Uint8Array.from([...MAPPED, ...v4]);
  }
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  // The dotted quad is the tail of the whole address: before `::` it would be in the middle.
  if (halves.length === 2 && halves[0]!.includes('.')) return undefined;
  const head = parseGroups(halves[0]!);
  const tail = halves.length === 2 ? parseGroups(halves[1]!) : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const words = [...head, ...new Array<number>(missing).fill(0), ...tail];
  return Uint8Array.from(words.flatMap(word => [word >> 8, word & 0xff]));
}

/** `fe80::1%eth0` -> address text and zone; the zone is undefined when there is none. */
export function splitZone(text: string): { address: string; zone?: string } {
  const at = text.indexOf('%');
  return at < 0 ? { address: text } : { address: text.slice(0, at), zone: text.slice(at + 1) };
}

/** Canonical text: dotted quad for IPv4, RFC 5952 for IPv6. */
export function formatAddress(address: Uint8Array): string {
  if (isIPv4(address)) return `${address[12]}.${address[13]}.${address[14]}.${address[15]}`;
  return formatIPv6(address);
}

function formatIPv6(address: Uint8Array): string {
  const words: number[] = [];
  for (let i = 0; i < 16; i += 2) words.push((address[i]! << 8) | address[i + 1]!);
  let best = { at: 8, length: 1 };
  for (let at = 0; at < 8; at++) {
    let length = 0;
    while (at + length < 8 && words[at + length] === 0) length++;
    if (length > best.length) best = { at, length };
  }
  const hex = (part: number[]) => part.map(word => word.toString(16)).join(':');
  if (best.at === 8) return hex(words);
  return `${hex(words.slice(0, best.at))}::${hex(words.slice(best.at + best.length))}`;
}

/** Whether a prefix covers IPv4 addresses. `::/0` does not: as in WireGuard and Envoy, the families are apart. */
export function isIPv4Prefix(prefix: Pick<Prefix, 'address' | 'length'>): boolean {
  return prefix.length >= 96 && isIPv4(prefix.address);
}

function prefixOf(address: Uint8Array, length: number): Prefix {
  const text =
    length >= 96 && isIPv4(address) ? `${formatAddress(address)}/${length - 96}` : `${formatIPv6(address)}/${length}`;
  return { address, length, text };
}

/** `ADDRESS` (a single host) or `ADDRESS/LENGTH`; undefined when it is neither. Host bits are kept. */
export function parsePrefix(text: string): Prefix | undefined {
  const slash = text.indexOf('/');
  const addressText = slash < 0 ? text : text.slice(0, slash);
  const address = parseAddress(addressText);
  if (address === undefined) return undefined;
  const bits = addressText.includes(':') ? 128 : 32;
  if (slash < 0) return prefixOf(address, 128);
  const lengthText = text.slice(slash + 1);
  if (!/^(0|[1-9]\d{0,2})$/.test(lengthText) || Number(lengthText) > bits) return undefined;
  return prefixOf(address, Number(lengthText) + (128 - bits));
}

/** The same prefix with its host bits cleared: `10.1.2.3/8` -> `10.0.0.0/8`. */
export function networkOf(prefix: Prefix): Prefix {
  const address = prefix.address.map((byte, i) => {
    const kept = Math.min(8, Math.max(0, prefix.length - i * 8));
    return byte & (0xff << (8 - kept)) & 0xff;
  });
  return prefixOf(address, prefix.length);
}

/** Whether the first `length` bits agree, within one family. */
export function prefixContains(prefix: Pick<Prefix, 'address' | 'length'>, address: Uint8Array): boolean {
  if (isIPv4Prefix(prefix) !== isIPv4(address)) return false;
  const whole = prefix.length >> 3;
  for (let i = 0; i < whole; i++) if (prefix.address[i] !== address[i]) return false;
  const rest = prefix.length & 7;
  return rest === 0 || (prefix.address[whole]! ^ address[whole]!) >> (8 - rest) === 0;
}

/** `HOST:PORT`, with brackets around a host that contains a colon. */
export function formatEndpoint(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** `HOST:PORT` or `[V6]:PORT`, port 1..65535 in plain decimal, host not empty. Undefined when it is not that. */
export function parseEndpoint(text: string): Endpoint | undefined {
  const match = /^(?:\[([^[\]]+)\]|([^[\]:]+)):([1-9]\d{0,4})$/.exec(text);
  if (match === null) return undefined;
  const host = match[1] ?? match[2]!;
  const port = Number(match[3]);
  if (port > 65535 || (match[1] !== undefined && parseAddress(splitZone(host).address) === undefined)) return undefined;
  return { host, port };
}
