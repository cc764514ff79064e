import { formatEndpoint, parseAddress } from '../../rules/index.ts';
import type { SocketAddress } from './proxy-protocol.ts';

// Implementation

/** An answer is asked for anew after so long; until the new one is there, the old one serves. */
const FRESH_US = 10_000_000;

/** A name or an address, and a port, as rules have them. */
export interface HostPort {
  host: string;
  port: number;
}

interface Name {
  addresses: readonly Uint8Array[];
  /** µs; when the addresses were asked for. */
  askedAt: number;
}

/**
 * Addresses of destinations. An address is itself; a name is looked up elsewhere (`ask`), without anybody waiting for it here: the first
 * look-up of a name is asked for when its rule comes, so the answer is there when the first connection is.
 */
export class Destinations {
  readonly #ask: (host: string) => void;
  readonly #now: () => number;
  readonly #names = new Map<string, Name>();

  constructor(ask: (host: string) => void, now: () => number) {
    this.#ask = ask;
    this.#now = now;
  }

  /** Names the hosts of all rules: others are forgotten, new names asked for. */
  keep(hosts: Iterable<string>): void {
    const wanted = new Set(hosts);
    for (const known of this.#names.keys()) if (!wanted.has(known)) this.#names.delete(known);
    for (const host of wanted) this.addresses(host);
  }

  /** The answer to `ask`; without addresses it failed, and what was known stays. */
  resolved(host: string, addresses: readonly Uint8Array[]): void {
    const name = this.#names.get(host);
    if (name !== undefined && addresses.length > 0) name.addresses = addresses;
  }

  /** Addresses of a host, none while a name is unknown. */
  addresses(host: string): readonly Uint8Array[] {
    const literal = parseAddress(host);
    if (literal !== undefined) return [literal];
    let name = this.#names.get(host);
    if (name === undefined || this.#now() - name.askedAt > FRESH_US) {
      name = { addresses: name?.addresses ?? [], askedAt: this.#now() };
      this.#names.set(host, name);
      this.#ask(host);
    }
    return name.addresses;
  }

  endpoints({ host, port }: HostPort): SocketAddress[] {
    return this.addresses(host).map(address => ({ address, port }));
  }

  /** Whether `wanted` (an address, or the very name) is one of the destinations. */
  includes(destinations: readonly HostPort[], wanted: HostPort): boolean {
    const address = parseAddress(wanted.host);
    return destinations.some(({ host, port }) => {
      if (port !== wanted.port) return false;
      if (address === undefined) return host === wanted.host;
      return this.addresses(host).some(known => equalBytes(known, address));
    });
  }

  /** Whether a destination has that very address and port. */
  holds(destinations: readonly HostPort[], { address, port }: SocketAddress): boolean {
    return destinations.some(
      one => one.port === port && this.addresses(one.host).some(known => equalBytes(known, address)),
    );
  }
}

/** Round robin as Nexodus has it: the second destination is the first to be used (1, 2, 0, 1, ...). */
export class RoundRobin {
  #count = 0;

  /** All of `items`, the one whose turn it is first. */
  next<T>(items: readonly T[]): T[] {
    if (items.length === 0) return [];
    this.#count = (this.#count + 1) % 0x4000_0000;
    const first = this.#count % items.length;
    return [...items.slice(first), ...items.slice(0, first)];
  }
}

export function sameDestination(a: HostPort, b: HostPort): boolean {
  return a.port === b.port && formatEndpoint(a.host, a.port) === formatEndpoint(b.host, b.port);
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
