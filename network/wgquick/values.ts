/** The values of single fields: text to value, or the reason why not. Sources: wg(8) and wg-quick(8). */

import { networkOf, parseAddress, parseEndpoint, parsePrefix, splitZone } from '../../rules/index.ts';
import { show } from './lines.ts';

export type Value<T> = { ok: true; value: T } | { ok: false; reason: string };

const bad = (reason: string): { ok: false; reason: string } => ({ ok: false, reason });

/** 32 bytes in base64, exactly as wg takes it: 44 characters, no stray bits in the last. The text is in no message. */
export function parseKey(text: string): Value<Uint8Array> {
  if (text === '') return bad('is empty');
  if (!/^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/.test(text)) {
    return bad(`is not a WireGuard key (44 characters of base64, here ${text.length})`);
  }
  return { ok: true, value: Uint8Array.from(Buffer.from(text, 'base64')) };
}

/** A decimal number from `min` to `max`. */
export function parseNumber(text: string, min: number, max: number): Value<number> {
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max)) return bad(`${show(text)} is not a number from ${min} to ${max}`);
  return { ok: true, value };
}

/** Seconds 0..65535, or `off`; 0 means off. */
export function parseKeepalive(text: string): Value<number> {
  if (text.toLowerCase() === 'off') return { ok: true, value: 0 };
  const seconds = parseNumber(text, 0, 65535);
  return seconds.ok ? seconds : bad(`${show(text)} is neither 'off' nor a number of seconds from 0 to 65535`);
}

/** Comma-separated items, blanks around them ignored. */
export function splitList(text: string): string[] {
  return text === '' ? [] : text.split(',').map(item => item.trim());
}

/** Our own address with its prefix length; host bits are kept. */
export function parseInterfaceAddress(text: string): Value<string> {
  const prefix = parsePrefix(text);
  return prefix === undefined ? bad(`${show(text)} is not an IP address or CIDR`) : { ok: true, value: prefix.text };
}

/** A peer's prefix; host bits are cleared, as WireGuard does. */
export function parseAllowedIp(text: string): Value<string> {
  const prefix = parsePrefix(text);
  if (prefix === undefined) return bad(`${show(text)} is not an IP address or CIDR`);
  return { ok: true, value: networkOf(prefix).text };
}

/** `HOST:PORT`, HOST an address (IPv6 in brackets) or a name. */
export function parsePeerEndpoint(text: string): Value<{ host: string; port: number }> {
  const endpoint = parseEndpoint(text);
  if (endpoint === undefined) {
    if (parseAddress(text) !== undefined) return bad(`${show(text)} has no port (IPv6 needs brackets: [ADDRESS]:PORT)`);
    const port = /^(?:.*\]|[^:]*):(\d+)$/.exec(text)?.[1];
    if (port !== undefined && !(Number(port) >= 1 && Number(port) <= 65535)) {
      return bad(`${show(text)} has a port that is not 1 to 65535`);
    }
    return bad(`${show(text)} is not HOST:PORT or [IPV6]:PORT`);
  }
  const { host } = endpoint;
  if (parseAddress(splitZone(host).address) !== undefined) {
    const { address, zone } = splitZone(host);
    if (zone !== undefined && (!address.includes(':') || !/^[\w.-]{1,64}$/.test(zone))) {
      return bad(`${show(text)} has an invalid zone`);
    }
    return { ok: true, value: endpoint };
  }
  // All digits and dots: an address with a mistake in it, not a name.
  if (/^[\d.]+$/.test(host)) return bad(`${show(text)} has a host that is not an IPv4 address`);
  if (
    host.length > 253 ||
    !host
      .replace(/\.$/, '')
      .split('.')
      .every(label => /^(?!-)[\p{L}\p{M}\p{N}_-]{1,63}(?<!-)$/u.test(label))
  ) {
    return bad(`${show(text)} has a host that is neither an address nor a name`);
  }
  return { ok: true, value: endpoint };
}
