/**
 * A WireGuard configuration file in wg-quick's format, for a device without an interface.
 *
 * Fields that wg(8) knows are checked and taken. Fields that tell wg-quick what to do to the machine (DNS, Table,
 * PreUp, ...) have no meaning here: they are named in a warning. Everything else is an error, and all errors of a
 * file are reported at once. Single-valued fields may stand once only: wg lets the last one win in silence.
 */

import { x25519 } from '@noble/curves/ed25519.js';
import { isIPv4Prefix, parsePrefix } from '../../rules/index.ts';
import { type Line, type Problem, type Section, splitSections } from './lines.ts';
import {
  parseAllowedIp,
  parseInterfaceAddress,
  parseKeepalive,
  parseKey,
  parseNumber,
  parsePeerEndpoint,
  splitList,
  type Value,
} from './values.ts';

export interface WgQuickPeer {
  /** 32 bytes */
  publicKey: Uint8Array;
  /** 32 bytes */
  presharedKey?: Uint8Array;
  /** Host is an address without brackets, or a name. */
  endpoint?: { host: string; port: number };
  /** Canonical CIDR texts, host bits cleared. */
  allowedIps: string[];
  /** Seconds, 1..65535; absent = off. */
  persistentKeepalive?: number;
}

export interface WgQuickConfig {
  /** 32 bytes, not clamped. */
  privateKey: Uint8Array;
  /** Canonical CIDR texts, host bits kept; at least one. */
  addresses: string[];
  /** UDP port, 0..65535; 0 = any free one. */
  listenPort: number;
  /** Bytes of an inner packet; absent = the default of the data path. */
  mtu?: number;
  peers: WgQuickPeer[];
}

/** Each warning and error is one line: `FILE:LINE: [Section] Field: reason`. */
export type WgQuickResult =
  | { ok: true; config: WgQuickConfig; warnings: string[] }
  | { ok: false; errors: string[]; warnings: string[] };

/** What each field of wg-quick would have done, for the warning. */
const NOT_HONOURED: Record<string, string> = {
  dns: 'the resolver of this machine is left alone',
  table: 'no route of this machine is changed',
  fwmark: 'packets are not marked without a network interface',
  saveconfig: 'this file is never written to',
  preup: 'commands are not run',
  postup: 'commands are not run',
  predown: 'commands are not run',
  postdown: 'commands are not run',
};

/** IPv6 asks for 1280 at least (RFC 8200 §5), IPv4 hosts for 576 (RFC 791 §3.1). */
const MIN_MTU = { ipv4: 576, ipv6: 1280 };

class Reader {
  readonly errors: Problem[] = [];
  readonly warnings: Problem[] = [];
  private readonly section: Section['name'];
  private readonly seen = new Map<string, number>();

  constructor(section: Section['name']) {
    this.section = section;
  }

  name(field: string): string {
    return `[${this.section}] ${field}`;
  }

  error(line: number, field: string, reason: string): void {
    this.errors.push({ line, field: this.name(field), reason });
  }

  warn(line: number, field: string, reason: string): void {
    this.warnings.push({ line, field: this.name(field), reason });
  }

  /** The value, or undefined with the error noted. */
  take<T>(line: Line, value: Value<T>): T | undefined {
    if (value.ok) return value.value;
    this.error(line.number, line.field, value.reason);
    return undefined;
  }

  /** Each item of a comma-separated value. */
  takeList<T>(line: Line, parse: (text: string) => Value<T>): T[] {
    return splitList(line.value).flatMap(item => this.take(line, parse(item)) ?? []);
  }

  /** False, with the error noted, when a single-valued field stands twice. */
  once(line: Line): boolean {
    const first = this.seen.get(line.field.toLowerCase());
    if (first !== undefined) {
      this.error(line.number, line.field, `is given twice (first on line ${first})`);
      return false;
    }
    this.seen.set(line.field.toLowerCase(), line.number);
    return true;
  }
}

function readInterface(section: Section, into: Partial<WgQuickConfig>, reader: Reader): void {
  let mtuLine: number | undefined;
  let keyGiven = false;
  let addressGiven = false;
  const addresses: string[] = [];
  for (const line of section.lines) {
    const field = line.field.toLowerCase();
    const ignored = NOT_HONOURED[field];
    if (ignored !== undefined) {
      reader.warn(line.number, line.field, `not honoured in userspace: ${ignored}`);
    } else if (field === 'address') {
      addressGiven = true;
      addresses.push(...reader.takeList(line, parseInterfaceAddress).filter(text => !addresses.includes(text)));
    } else if (field === 'privatekey') {
      keyGiven = true;
      if (!reader.once(line)) continue;
      const key = reader.take(line, parseKey(line.value));
      if (key?.every(byte => byte === 0)) reader.error(line.number, line.field, 'is all zero: no key');
      else if (key !== undefined) into.privateKey = key;
    } else if (field === 'listenport') {
      if (!reader.once(line)) continue;
      const port = reader.take(line, parseNumber(line.value, 0, 65535));
      if (port !== undefined) into.listenPort = port;
    } else if (field === 'mtu') {
      if (!reader.once(line)) continue;
      mtuLine = line.number;
      const mtu = reader.take(line, parseNumber(line.value, MIN_MTU.ipv4, 65535));
      if (mtu !== undefined) into.mtu = mtu;
    } else {
      reader.error(line.number, line.field, 'is not a field of this section');
    }
  }
  into.addresses = addresses;
  if (!keyGiven) reader.error(section.line, 'PrivateKey', 'is missing');
  if (!addressGiven) reader.error(section.line, 'Address', 'is missing');
  else if (addresses.length === 0 && reader.errors.length === 0) reader.error(section.line, 'Address', 'is empty');
  const hasV6 = addresses.some(text => !isIPv4Prefix(parsePrefix(text)!));
  if (into.mtu !== undefined && hasV6 && into.mtu < MIN_MTU.ipv6) {
    reader.error(mtuLine!, 'MTU', `${into.mtu} is less than the ${MIN_MTU.ipv6} that an IPv6 address needs`);
  }
}

function readPeer(section: Section, reader: Reader): WgQuickPeer | undefined {
  const peer: Partial<WgQuickPeer> & { allowedIps: string[] } = { allowedIps: [] };
  let keyGiven = false;
  for (const line of section.lines) {
    const field = line.field.toLowerCase();
    if (field === 'allowedips') {
      peer.allowedIps.push(...reader.takeList(line, parseAllowedIp).filter(text => !peer.allowedIps.includes(text)));
      continue;
    }
    if (!['publickey', 'presharedkey', 'endpoint', 'persistentkeepalive'].includes(field)) {
      reader.error(line.number, line.field, 'is not a field of this section');
      continue;
    }
    keyGiven ||= field === 'publickey';
    if (!reader.once(line)) continue;
    if (field === 'publickey') {
      const key = reader.take(line, parseKey(line.value));
      if (key !== undefined) peer.publicKey = key;
    } else if (field === 'presharedkey') {
      const key = reader.take(line, parseKey(line.value));
      // All zero is the protocol's "none" (whitepaper §5.2).
      if (key?.some(byte => byte !== 0)) peer.presharedKey = key;
    } else if (field === 'endpoint') {
      const endpoint = reader.take(line, parsePeerEndpoint(line.value));
      if (endpoint !== undefined) peer.endpoint = endpoint;
    } else {
      const seconds = reader.take(line, parseKeepalive(line.value));
      if (seconds) peer.persistentKeepalive = seconds;
    }
  }
  if (!keyGiven) reader.error(section.line, 'PublicKey', 'is missing');
  if (peer.publicKey === undefined) return undefined;
  if (peer.allowedIps.length === 0) {
    reader.warn(section.line, 'AllowedIPs', 'is missing: no packet can go to or come from this peer');
  }
  return { ...peer, publicKey: peer.publicKey };
}

/** Keys and prefixes that two peers cannot both have. */
function checkPeers(peers: { peer: WgQuickPeer; line: number; reader: Reader }[], own: Uint8Array | undefined): void {
  const ownPublic = own && Buffer.from(x25519.getPublicKey(own)).toString('base64');
  const keys = new Map<string, number>();
  const prefixes = new Map<string, number>();
  for (const { peer, line, reader } of peers) {
    const key = Buffer.from(peer.publicKey).toString('base64');
    const first = keys.get(key);
    if (first !== undefined) reader.error(line, 'PublicKey', `is the same as that of the peer on line ${first}`);
    if (key === ownPublic) reader.error(line, 'PublicKey', "is this interface's own key");
    keys.set(key, first ?? line);
    for (const prefix of peer.allowedIps) {
      const holder = prefixes.get(prefix);
      if (holder !== undefined && holder !== line) {
        reader.warn(line, 'AllowedIPs', `${prefix} is taken over from the peer on line ${holder}`);
      }
      prefixes.set(prefix, line);
    }
  }
}

/** Parse a whole file. `file` is its name in the messages. */
export function parseWgQuick(text: string, file: string): WgQuickResult {
  const { sections, problems } = splitSections(text);
  const config: Partial<WgQuickConfig> = {};
  const readers: Reader[] = [];
  const peers: { peer: WgQuickPeer; line: number; reader: Reader }[] = [];
  let interfaceLine: number | undefined;
  for (const section of sections) {
    const reader = new Reader(section.name);
    readers.push(reader);
    if (section.name === 'Peer') {
      const peer = readPeer(section, reader);
      if (peer !== undefined) peers.push({ peer, line: section.line, reader });
    } else if (interfaceLine !== undefined) {
      problems.push({
        line: section.line,
        field: '[Interface]',
        reason: `is given twice (first on line ${interfaceLine})`,
      });
    } else {
      interfaceLine = section.line;
      readInterface(section, config, reader);
    }
  }
  if (interfaceLine === undefined) problems.push({ line: 1, field: '[Interface]', reason: 'is missing' });
  checkPeers(peers, config.privateKey);

  const print = (list: Problem[]) =>
    list.sort((a, b) => a.line - b.line).map(({ line, field, reason }) => `${file}:${line}: ${field}: ${reason}`);
  const warnings = print(readers.flatMap(reader => reader.warnings));
  const errors = print([...problems, ...readers.flatMap(reader => reader.errors)]);
  if (errors.length > 0) return { ok: false, errors, warnings };
  return {
    ok: true,
    config: {
      privateKey: config.privateKey!,
      addresses: config.addresses!,
      listenPort: config.listenPort ?? 0,
      ...(config.mtu !== undefined && { mtu: config.mtu }),
      peers: peers.map(({ peer }) => peer),
    },
    warnings,
  };
}
