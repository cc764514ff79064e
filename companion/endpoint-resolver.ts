import { lookup as systemLookup } from 'node:dns/promises';
import { parseAddress } from '../rules/index.ts';

// Implementation: a name that does not resolve is asked for again after 1 s, then twice as long each time, at most a minute; a name
// whose addresses do not answer, at most every 5 s.
const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 60_000;
const LEAST_INTERVAL_MS = 5000;

export type Lookup = (host: string) => Promise<Uint8Array[]>;

/** All addresses of a name, 16 bytes each, in the system's order of preference. Rejects when there are none. */
export async function lookupAddresses(host: string): Promise<Uint8Array[]> {
  const found = await systemLookup(host, { all: true });
  return found.flatMap(({ address }) => parseAddress(address) ?? []);
}

export interface EndpointTarget {
  readonly host: string;
  readonly port: number;
}

/**
 * Keeps the endpoint of one peer that is known by name. WireGuard itself never looks twice; networks move, so a failing handshake
 * makes us ask again, and go on to the next address of the name when the answer is the same.
 */
export class EndpointResolver {
  readonly #target: EndpointTarget;
  readonly #lookup: Lookup;
  readonly #use: (endpoint: Uint8Array) => void;
  readonly #failed: (error: Error, retryMs: number) => void;
  #timer: NodeJS.Timeout | undefined;
  #retryMs = FIRST_RETRY_MS;
  #asking = false;
  #closed = false;
  #lastAsked = Number.NEGATIVE_INFINITY;
  #current: string | undefined;

  /** Asks at once. `use` gets 18 bytes each time that another endpoint shall be tried. */
  constructor(o: {
    target: EndpointTarget;
    lookup: Lookup;
    use: (endpoint: Uint8Array) => void;
    failed: (error: Error, retryMs: number) => void;
  }) {
    this.#target = o.target;
    this.#lookup = o.lookup;
    this.#use = o.use;
    this.#failed = o.failed;
    void this.#ask();
  }

  /** Handshakes to the present endpoint go unanswered. */
  failing(now: number): void {
    if (now - this.#lastAsked < LEAST_INTERVAL_MS) return;
    this.#lastAsked = now;
    if (this.#timer === undefined) void this.#ask();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  async #ask(): Promise<void> {
    if (this.#asking || this.#closed) return;
    this.#asking = true;
    this.#timer = undefined;
    try {
      const addresses = await this.#lookup(this.#target.host);
      if (this.#closed) return;
      if (addresses.length === 0) throw new Error(`${this.#target.host} has no address`);
      this.#retryMs = FIRST_RETRY_MS;
      const texts = addresses.map(address => Buffer.from(address).toString('hex'));
      const next = (texts.indexOf(this.#current ?? '') + 1) % addresses.length;
      this.#current = texts[next];
      this.#use(endpointBytes(addresses[next]!, this.#target.port));
    } catch (error) {
      if (this.#closed) return;
      const wait = this.#retryMs;
      this.#retryMs = Math.min(2 * wait, LAST_RETRY_MS);
      this.#failed(error instanceof Error ? error : new Error(String(error)), wait);
      this.#timer = setTimeout(() => void this.#ask(), wait);
    } finally {
      this.#asking = false;
    }
  }
}

/** 18 bytes: address, port big endian. */
export function endpointBytes(address: Uint8Array, port: number): Uint8Array {
  const endpoint = new Uint8Array(18);
  endpoint.set(address);
  endpoint[16] = port >> 8;
  endpoint[17] = port & 0xff;
  return endpoint;
}
