import { networkOf, parseAddress, parsePrefix } from '../rules/index.ts';
import type { CompanionLog, PeerConfig } from './config.ts';
import type { ToWorker } from './datapath/messages.ts';
import { EndpointResolver, endpointBytes, type Lookup } from './endpoint-resolver.ts';
import type { Handshaker, PeerId, Prefix } from './wireguard/index.ts';

interface Entry {
  readonly id: PeerId;
  readonly name: string;
  config: PeerConfig;
  resolver: EndpointResolver | undefined;
}

/**
 * The peers as configured. Tells both halves of the engine what changed, and no more than that: a peer that stays as it is keeps its
 * session, its timers and the endpoint that it roamed to.
 */
export class PeerTable implements Iterable<{ readonly id: PeerId; readonly config: PeerConfig }> {
  readonly #handshaker: Handshaker;
  readonly #send: (message: ToWorker) => void;
  readonly #lookup: Lookup;
  readonly #log: CompanionLog;
  readonly #byName = new Map<string, Entry>();
  readonly #byId: (Entry | undefined)[] = [];
  /** As last given to `set`, own key and all. */
  configured: PeerConfig[] = [];

  constructor(o: { handshaker: Handshaker; send: (message: ToWorker) => void; lookup: Lookup; log: CompanionLog }) {
    this.#handshaker = o.handshaker;
    this.#send = o.send;
    this.#lookup = o.lookup;
    this.#log = o.log;
  }

  *[Symbol.iterator](): Iterator<Entry> {
    for (const entry of this.#byId) if (entry !== undefined) yield entry;
  }

  /** The public key in base64, or undefined. */
  name(id: PeerId): string | undefined {
    return this.#byId[id]?.name;
  }

  /** Of the peer with this public key (base64). */
  idOf(name: string): PeerId | undefined {
    return this.#byName.get(name)?.id;
  }

  /**
   * Makes the peers be these, which were found well-formed. One with `ownKey` is left out, as WireGuard does. Those in `placed` (by
   * base64 key) go to their configured endpoint even if that is as it was: they may have roamed since.
   */
  set(peers: readonly PeerConfig[], ownKey: Uint8Array, placed: ReadonlySet<string> = new Set()): void {
    this.configured = [...peers];
    const wanted = new Map<string, PeerConfig>();
    const own = base64(ownKey);
    for (const peer of peers) {
      const name = base64(peer.publicKey);
      if (name === own) this.#log.info({ peer: name }, 'this peer is ourselves: left out');
      else wanted.set(name, peer);
    }
    // Removals first: an allowed IP that moves must not be taken from its new owner.
    for (const entry of [...this.#byName.values()]) if (!wanted.has(entry.name)) this.#remove(entry);
    for (const [name, config] of wanted) {
      const entry = this.#byName.get(name);
      if (entry === undefined) this.#add(name, config);
      else this.#update(entry, config, placed.has(name));
    }
  }

  /** Handshakes with the peer go unanswered: its name may mean another address by now. */
  failing(id: PeerId): void {
    this.#byId[id]?.resolver?.failing(performance.now());
  }

  close(): void {
    for (const { resolver } of this.#byName.values()) resolver?.close();
  }

  #add(name: string, config: PeerConfig): void {
    const free = this.#byId.indexOf(undefined);
    const id = free < 0 ? this.#byId.length : free;
    const entry: Entry = { id, name, config, resolver: undefined };
    this.#byName.set(name, entry);
    this.#byId[id] = entry;
    const { publicKey, presharedKey, persistentKeepalive } = config;
    this.#handshaker.addPeer(id, { publicKey, ...(presharedKey === undefined ? {} : { presharedKey }) });
    const endpoint = literalEndpoint(config);
    this.#send({
      type: 'peer-add',
      id,
      publicKeyBase64: name,
      peer: {
        publicKey,
        allowedIps: prefixes(config),
        ...(endpoint === undefined ? {} : { endpoint }),
        ...(persistentKeepalive === undefined ? {} : { persistentKeepalive }),
      },
    });
    this.#followName(entry);
  }

  #update(entry: Entry, config: PeerConfig, placed: boolean): void {
    const { id, config: old } = entry;
    entry.config = config;
    if (!sameBytes(old.presharedKey, config.presharedKey))
      this.#handshaker.updatePeer(id, { presharedKey: config.presharedKey ?? new Uint8Array(32) });
    const moved =
      placed || old.endpoint?.host !== config.endpoint?.host || old.endpoint?.port !== config.endpoint?.port;
    const endpoint = moved ? literalEndpoint(config) : undefined;
    const allowedIps = prefixes(config);
    const keepalive = config.persistentKeepalive ?? 0;
    const change = {
      ...(endpoint === undefined ? {} : { endpoint }),
      ...(keepalive === (old.persistentKeepalive ?? 0) ? {} : { persistentKeepalive: keepalive }),
      ...(old.allowedIps.join() === config.allowedIps.join() ? {} : { allowedIps }),
    };
    if (Object.keys(change).length > 0) this.#send({ type: 'peer-update', id, change });
    if (moved) this.#followName(entry);
  }

  #remove(entry: Entry): void {
    entry.resolver?.close();
    this.#byName.delete(entry.name);
    this.#byId[entry.id] = undefined;
    this.#handshaker.removePeer(entry.id);
    this.#send({ type: 'peer-remove', id: entry.id });
  }

  #followName(entry: Entry): void {
    entry.resolver?.close();
    entry.resolver = undefined;
    const target = entry.config.endpoint;
    if (target === undefined || parseAddress(target.host) !== undefined) return;
    entry.resolver = new EndpointResolver({
      target,
      lookup: this.#lookup,
      use: endpoint => this.#send({ type: 'peer-update', id: entry.id, change: { endpoint } }),
      failed: (error, retryMs) =>
        this.#log.warn(
          { peer: entry.name, host: target.host, reason: error.message, retryMs },
          'endpoint does not resolve',
        ),
    });
  }
}

function literalEndpoint({ endpoint }: PeerConfig): Uint8Array | undefined {
  const address = endpoint && parseAddress(endpoint.host);
  return address && endpointBytes(address, endpoint.port);
}

/** Their addresses share one buffer: with 100,000 of them, that is what crossing to the other thread costs. */
function prefixes({ allowedIps }: PeerConfig): Prefix[] {
  const addresses = new Uint8Array(16 * allowedIps.length);
  return allowedIps.map((text, i) => {
    const network = networkOf(parsePrefix(text)!);
    const address = addresses.subarray(16 * i, 16 * i + 16);
    address.set(network.address);
    return { address, length: network.length };
  });
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

/** An absent preshared key is one of zeros. */
function sameBytes(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  const none = new Uint8Array(32);
  return Buffer.compare(a ?? none, b ?? none) === 0;
}
