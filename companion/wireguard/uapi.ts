/**
 * WireGuard's cross-platform configuration protocol, as `wg` speaks it on a unix socket (wireguard.com/xplatform;
 * errors as wireguard-go answers them, seen by running it). Text in, requests out; state in, text out. No socket here.
 *
 * A connection carries any number of operations: `get=1` or `set=1`, lines of `key=value`, an empty line. Here a set
 * is all or nothing: it is parsed to its end first, and one bad line refuses the whole of it.
 */
import {
  formatAddress,
  formatEndpoint,
  isIPv4Prefix,
  parseAddress,
  parseEndpoint,
  parsePrefix,
} from '../../rules/index.ts';
import type { Prefix } from './allowed-ips.ts';
import { KEY_SIZE } from './constants.ts';
import { clamp, isZero } from './x25519.ts';

/** Negative errno values of the replies. */
export const ERRNO = { io: -5, invalid: -22, protocol: -71, unsupported: -95, portInUse: -98 } as const;

/** wireguard-go's bufio.Scanner takes no longer line either. */
const MAX_LINE = 65_536;

export interface UapiAllowedIp {
  readonly prefix: Prefix;
  /** `allowed_ip=-CIDR`: take it from the peer. */
  readonly remove: boolean;
}

export interface UapiPeerChange {
  readonly publicKey: Uint8Array;
  /** Ignore the section if the peer is not there. */
  readonly updateOnly: boolean;
  readonly remove: boolean;
  /** All zero: none. */
  readonly presharedKey?: Uint8Array;
  readonly endpoint?: { readonly host: string; readonly port: number };
  /** Seconds. */
  readonly persistentKeepalive?: number;
  readonly replaceAllowedIps: boolean;
  /** In their order. */
  readonly allowedIps: readonly UapiAllowedIp[];
}

/** What a set asks for; apply all of it or none of it. */
export interface UapiSet {
  /** Clamped; 'clear': no key from now on. */
  readonly privateKey?: Uint8Array | 'clear';
  /** 0: any port. */
  readonly listenPort?: number;
  readonly replacePeers: boolean;
  /** In their order; one peer may come twice. */
  readonly peers: readonly UapiPeerChange[];
}

export type UapiRequest =
  | { readonly type: 'get' }
  | { readonly type: 'set'; readonly set: UapiSet }
  /** Answer `errnoReply(errno)`. */
  | { readonly type: 'error'; readonly errno: number }
  /** Hang up without a word. Nothing follows. */
  | { readonly type: 'close' };

/** One per connection: bytes as they come, whole operations as they are complete. */
export class UapiParser {
  #pending = '';
  #operation: 'get' | 'set' | undefined;
  #lines: string[] = [];
  #closed = false;
  readonly #decoder = new TextDecoder();

  /** Whether the other side has begun an operation and not ended it (for an idle timeout). */
  get midOperation(): boolean {
    return this.#operation !== undefined || this.#pending !== '';
  }

  push(chunk: Uint8Array): UapiRequest[] {
    const requests: UapiRequest[] = [];
    if (this.#closed) return requests;
    const lines = (this.#pending + this.#decoder.decode(chunk, { stream: true })).split('\n');
    this.#pending = lines.pop()!;
    if (this.#pending.length >= MAX_LINE) lines.push(this.#pending);
    for (const line of lines) {
      const request = line.length >= MAX_LINE ? ({ type: 'error', errno: ERRNO.io } as const) : this.#line(line);
      if (request !== undefined) requests.push(request);
      if (line.length >= MAX_LINE) requests.push({ type: 'close' });
      if (requests.at(-1)?.type === 'close') {
        this.#closed = true;
        this.#pending = '';
        this.#lines = [];
        break;
      }
    }
    return requests;
  }

  #line(line: string): UapiRequest | undefined {
    if (this.#operation === undefined) {
      if (line === 'get=1') this.#operation = 'get';
      else if (line === 'set=1') this.#operation = 'set';
      else return { type: 'close' };
      return undefined;
    }
    if (line !== '') {
      this.#lines.push(line);
      return undefined;
    }
    const lines = this.#lines;
    const operation = this.#operation;
    this.#lines = [];
    this.#operation = undefined;
    if (operation === 'get') return lines.length === 0 ? { type: 'get' } : { type: 'error', errno: ERRNO.invalid };
    const parsed = parseSet(lines);
    return parsed.ok ? { type: 'set', set: parsed.set } : { type: 'error', errno: parsed.errno };
  }
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type Peer = Mutable<Omit<UapiPeerChange, 'allowedIps'>> & { allowedIps: UapiAllowedIp[] };

/** The lines between `set=1` and the empty line. */
export function parseSet(lines: readonly string[]): { ok: true; set: UapiSet } | { ok: false; errno: number } {
  const peers: Peer[] = [];
  const set: Mutable<UapiSet> = { replacePeers: false, peers };
  for (const line of lines) {
    const equals = line.indexOf('=');
    if (equals < 0) return { ok: false, errno: ERRNO.protocol };
    const key = line.slice(0, equals);
    const value = line.slice(equals + 1);
    const peer = peers.at(-1);
    if (key === 'public_key') {
      const publicKey = parseKey(value);
      if (publicKey === undefined) return { ok: false, errno: ERRNO.invalid };
      peers.push({ publicKey, updateOnly: false, remove: false, replaceAllowedIps: false, allowedIps: [] });
      continue;
    }
    const errno = peer === undefined ? deviceLine(set, key, value) : peerLine(peer, key, value);
    if (errno !== 0) return { ok: false, errno };
  }
  return { ok: true, set };
}

function deviceLine(set: Mutable<UapiSet>, key: string, value: string): number {
  switch (key) {
    case 'private_key': {
      const privateKey = parseKey(value);
      if (privateKey === undefined) return ERRNO.invalid;
      set.privateKey = isZero(privateKey) ? 'clear' : clamp(privateKey);
      privateKey.fill(0);
      return 0;
    }
    case 'listen_port': {
      const port = parseUint(value, 0xffff);
      if (port === undefined) return ERRNO.invalid;
      set.listenPort = port;
      return 0;
    }
    case 'fwmark': {
      // `wg syncconf` always sends 0; a mark needs a privilege that we do without
      const mark = parseUint(value, 0xffff_ffff);
      return mark === undefined ? ERRNO.invalid : mark === 0 ? 0 : ERRNO.unsupported;
    }
    case 'replace_peers':
      set.replacePeers = true;
      return value === 'true' ? 0 : ERRNO.invalid;
    default:
      return ERRNO.invalid;
  }
}

function peerLine(peer: Peer, key: string, value: string): number {
  switch (key) {
    case 'update_only':
      peer.updateOnly = true;
      return value === 'true' ? 0 : ERRNO.invalid;
    case 'remove':
      peer.remove = true;
      return value === 'true' ? 0 : ERRNO.invalid;
    case 'preshared_key': {
      const presharedKey = parseKey(value);
      if (presharedKey === undefined) return ERRNO.invalid;
      peer.presharedKey = presharedKey;
      return 0;
    }
    case 'endpoint': {
      // names are resolved by `wg`, before
      const endpoint = parseEndpoint(value);
      if (endpoint === undefined || parseAddress(endpoint.host) === undefined) return ERRNO.invalid;
      peer.endpoint = endpoint;
      return 0;
    }
    case 'persistent_keepalive_interval': {
      const seconds = parseUint(value, 0xffff);
      if (seconds === undefined) return ERRNO.invalid;
      peer.persistentKeepalive = seconds;
      return 0;
    }
    case 'replace_allowed_ips':
      // what this section added before is replaced as well
      peer.replaceAllowedIps = true;
      peer.allowedIps = [];
      return value === 'true' ? 0 : ERRNO.invalid;
    case 'allowed_ip': {
      const remove = value.startsWith('-');
      const prefix = parsePrefix(remove ? value.slice(1) : value);
      if (prefix === undefined || !value.includes('/')) return ERRNO.invalid;
      peer.allowedIps.push({ prefix, remove });
      return 0;
    }
    case 'protocol_version':
      return value === '1' ? 0 : ERRNO.invalid;
    default:
      return ERRNO.invalid;
  }
}

function parseKey(value: string): Uint8Array | undefined {
  if (!/^[0-9a-fA-F]{64}$/.test(value)) return undefined;
  const key = new Uint8Array(KEY_SIZE);
  for (let i = 0; i < KEY_SIZE; i++) key[i] = Number.parseInt(value.slice(2 * i, 2 * i + 2), 16);
  return key;
}

function parseUint(value: string, max: number): number | undefined {
  if (!/^\d{1,10}$/.test(value)) return undefined;
  const number = Number(value);
  return number <= max ? number : undefined;
}

export interface UapiPeerState {
  readonly publicKey: Uint8Array;
  readonly presharedKey?: Uint8Array;
  readonly endpoint?: { readonly host: string; readonly port: number };
  /** Unix milliseconds; absent: never. */
  readonly lastHandshake?: number;
  readonly txBytes: number;
  readonly rxBytes: number;
  readonly persistentKeepalive: number;
  readonly allowedIps: readonly Prefix[];
}

export interface UapiState {
  readonly privateKey?: Uint8Array;
  readonly listenPort: number;
  readonly peers: readonly UapiPeerState[];
}

/** The whole answer to a get. It holds the private key: it goes to the socket and nowhere else. */
export function getReply(state: UapiState): string {
  const lines: string[] = [];
  if (state.privateKey !== undefined) lines.push(`private_key=${hex(state.privateKey)}`);
  if (state.listenPort !== 0) lines.push(`listen_port=${state.listenPort}`);
  for (const peer of state.peers) {
    const seconds = Math.floor((peer.lastHandshake ?? 0) / 1000);
    const nanoseconds = Math.floor(((peer.lastHandshake ?? 0) - seconds * 1000) * 1e6);
    lines.push(`public_key=${hex(peer.publicKey)}`);
    lines.push(`preshared_key=${hex(peer.presharedKey ?? new Uint8Array(KEY_SIZE))}`);
    lines.push('protocol_version=1');
    if (peer.endpoint !== undefined) lines.push(`endpoint=${formatEndpoint(peer.endpoint.host, peer.endpoint.port)}`);
    lines.push(`last_handshake_time_sec=${seconds}`);
    lines.push(`last_handshake_time_nsec=${nanoseconds}`);
    lines.push(`tx_bytes=${peer.txBytes}`);
    lines.push(`rx_bytes=${peer.rxBytes}`);
    lines.push(`persistent_keepalive_interval=${peer.persistentKeepalive}`);
    for (const prefix of peer.allowedIps) lines.push(`allowed_ip=${prefixText(prefix)}`);
  }
  return lines.map(line => `${line}\n`).join('') + errnoReply(0);
}

/** The answer to a set (0: done) or to a request that failed. */
export function errnoReply(errno: number): string {
  return `errno=${errno}\n\n`;
}

function prefixText(prefix: Prefix): string {
  return `${formatAddress(prefix.address)}/${isIPv4Prefix(prefix) ? prefix.length - 96 : prefix.length}`;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}
