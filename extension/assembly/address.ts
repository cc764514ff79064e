// IP addresses and prefixes as 16 bytes in two words, read from ASCII. The same meaning as rules/address.ts and
// rules/policy.ts, which the tests compare this with.

/** Network order in two words: `high` holds bytes 0..7. IPv4 is `::ffff:a.b.c.d` (RFC 4291 §2.5.5.2). */
export class Address {
  high: u64 = 0;
  low: u64 = 0;

  isIPv4(): bool {
    return this.high == 0 && this.low >>> 32 == 0xffff;
  }
}

function parseIPv4(at: usize, end: usize, out: Address): bool {
  let value: u32 = 0;
  for (let part = 0; part < 4; part++) {
    if (part > 0 && (at >= end || load<u8>(at++) != 0x2e) /* . */) return false;
    const start = at;
    let octet: u32 = 0;
    while (at < end) {
      const digit: u32 = <u32>load<u8>(at) - 0x30;
      if (digit > 9) break;
      octet = octet * 10 + digit;
      at++;
      if (at - start > 3) return false;
    }
    const length = at - start;
    if (length == 0 || octet > 255 || (length > 1 && load<u8>(start) == 0x30)) return false;
    value = (value << 8) | octet;
  }
  out.high = 0;
  out.low = 0xffff_0000_0000 | <u64>value;
  return at == end;
}

function hexDigit(byte: u32): i32 {
  if (byte - 0x30 < 10) return byte - 0x30;
  const letter = (byte | 0x20) - 0x61;
  return letter < 6 ? letter + 10 : -1;
}

/** Eight 16-bit groups of an address that is being read. */
const groups = new StaticArray<u16>(8);
const embedded = new Address();

function parseIPv6(at: usize, end: usize, out: Address): bool {
  let count = 0;
  let gap = -1;
  if (end - at >= 2 && load<u8>(at) == 0x3a && load<u8>(at, 1) == 0x3a) {
    gap = 0;
    at += 2;
  }
  while (at < end) {
    const start = at;
    let group: u32 = 0;
    while (at < end) {
      const digit = hexDigit(load<u8>(at));
      if (digit < 0) break;
      group = (group << 4) | digit;
      at++;
      if (at - start > 4) return false;
    }
    if (at < end && load<u8>(at) == 0x2e /* . */) {
      if (count > 6 || !parseIPv4(start, end, embedded)) return false;
      groups[count++] = <u16>(embedded.low >>> 16);
      groups[count++] = <u16>embedded.low;
      at = end;
      break;
    }
    if (at == start || count == 8) return false;
    groups[count++] = <u16>group;
    if (at == end) break;
    if (load<u8>(at++) != 0x3a /* : */) return false;
    if (at < end && load<u8>(at) == 0x3a) {
      if (gap >= 0) return false;
      gap = count;
      at++;
    } else if (at == end) {
      return false;
    }
  }
  if (gap < 0 ? count != 8 : count > 7) return false;
  const missing = 8 - count;
  out.high = 0;
  out.low = 0;
  for (let i = 0; i < 8; i++) {
    let group: u64 = 0;
    if (gap < 0 || i < gap) group = groups[i];
    else if (i >= gap + missing) group = groups[i - missing];
    if (i < 4) out.high = (out.high << 16) | group;
    else out.low = (out.low << 16) | group;
  }
  return true;
}

function find(at: usize, end: usize, byte: u32): usize {
  while (at < end && load<u8>(at) != byte) at++;
  return at;
}

/** Reads `[at, end)` as an address without brackets, zone or port. @returns false, `out` undefined, if it is none. */
export function parseAddress(at: usize, end: usize, out: Address): bool {
  return find(at, end, 0x3a) < end ? parseIPv6(at, end, out) : parseIPv4(at, end, out);
}

/**
 * Reads what Envoy's property `source.address` holds: `1.2.3.4:80` or `[2001:db8::1]:80`, with `%zone` behind a link-local
 * address. The zone names an interface of this machine: no prefix can speak of it, so it is left out.
 */
export function parseSource(at: usize, end: usize, out: Address): bool {
  if (at < end && load<u8>(at) == 0x5b /* [ */) {
    const close = find(at, end, 0x5d /* ] */);
    if (close == end) return false;
    const zone = find(at + 1, close, 0x25 /* % */);
    return parseIPv6(at + 1, zone, out);
  }
  const colon = find(at, end, 0x3a);
  return colon < end && parseIPv4(at, colon, out);
}

/** An address range in CIDR form. */
export class Prefix {
  private high: u64 = 0;
  private low: u64 = 0;
  private highMask: u64 = 0;
  private lowMask: u64 = 0;
  private ipv4: bool = false;

  /** `10.0.0.0/8`, `2001:db8::/32`, or an address alone. @returns null if the text is neither. */
  static parse(text: string): Prefix | null {
    const bytes = String.UTF8.encode(text);
    const start = changetype<usize>(bytes);
    const end = start + bytes.byteLength;
    const slash = find(start, end, 0x2f /* / */);
    const address = new Address();
    if (!parseAddress(start, slash, address)) return null;
    const bits: u32 = find(start, slash, 0x3a) < slash ? 128 : 32;
    let length: u32 = bits;
    if (slash < end) {
      const digits = end - slash - 1;
      if (digits == 0 || digits > 3 || (digits > 1 && load<u8>(slash, 1) == 0x30)) return null;
      length = 0;
      for (let at = slash + 1; at < end; at++) {
        const digit: u32 = <u32>load<u8>(at) - 0x30;
        if (digit > 9) return null;
        length = length * 10 + digit;
      }
      if (length > bits) return null;
    }
    length += 128 - bits;
    const prefix = new Prefix();
    // A shift by 64 is a shift by 0 in WebAssembly, hence the cases.
    prefix.highMask = length == 0 ? 0 : length >= 64 ? u64.MAX_VALUE : ~(u64.MAX_VALUE >>> length);
    prefix.lowMask = length <= 64 ? 0 : length == 128 ? u64.MAX_VALUE : ~(u64.MAX_VALUE >>> (length - 64));
    prefix.ipv4 = length >= 96 && address.isIPv4();
    prefix.high = address.high & prefix.highMask;
    prefix.low = address.low & prefix.lowMask;
    return prefix;
  }

  /** Whether the address is in the range. The families are apart: `::/0` holds no IPv4 address. */
  contains(address: Address): bool {
    return (
      (address.high & this.highMask) == this.high &&
      (address.low & this.lowMask) == this.low &&
      address.isIPv4() == this.ipv4
    );
  }
}
