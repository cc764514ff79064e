/**
 * Which resources of one type a client has asked for on one stream: the naming rules of xDS, and nothing else.
 *
 * Sections cited are those of https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol:
 * "How the client specifies what resources to return" (here: *Naming*) and
 * "Subscribing to Resources" / "Unsubscribing From Resources" of the incremental variant (here: *Incremental*).
 *
 * | asked so far            | state                          |
 * |-------------------------|--------------------------------|
 * | nothing but empty lists | wildcard (legacy), no names    |
 * | `*`, perhaps names      | wildcard, names                |
 * | names only              | names                          |
 * | unsubscribed from all   | neither; empty lists change nothing any more |
 */

const wildcardName = '*';

/** What a request changed, as far as it obliges the server to answer. */
export interface SubscriptionChange {
  /** Names that must be answered even if the client is known to hold them. */
  readonly ask: readonly string[];
  /** The wildcard came on: whatever it covers is owed, and be it an empty answer. */
  readonly wildcardStarted: boolean;
  /** Something is no longer wanted; see `wants`. */
  readonly narrowed: boolean;
}

export class Subscription {
  #names = new Set<string>();
  #wildcard = false;
  /** Whether a name, `*` included, was ever subscribed to: ends the legacy meaning of an empty list. */
  #explicit = false;

  get wildcard(): boolean {
    return this.#wildcard;
  }

  /** The names asked for one by one. */
  get names(): ReadonlySet<string> {
    return this.#names;
  }

  wants(name: string): boolean {
    return this.#wildcard || this.#names.has(name);
  }

  /** State of the world: a request lists all that is wanted (DiscoveryRequest.resource_names). */
  replace(resourceNames: readonly string[]): SubscriptionChange {
    // Naming: an empty list means `*` as long as no request on this stream for this type has named anything.
    if (resourceNames.length === 0 && !this.#explicit) {
      const wildcardStarted = !this.#wildcard;
      this.#wildcard = true;
      return { ask: [], wildcardStarted, narrowed: false };
    }
    // Naming: from then on an empty list is what it says, an unsubscription from everything.
    this.#explicit = true;
    const before = this.#names;
    const hadWildcard = this.#wildcard;
    this.#names = new Set(resourceNames);
    this.#wildcard = this.#names.delete(wildcardName);
    const ask = [...this.#names].filter(name => !before.has(name));
    const dropped = [...before].some(name => !this.#names.has(name));
    return {
      // Naming: a name new in the list is owed even if its version is the one the client last acknowledged.
      ask,
      wildcardStarted: this.#wildcard && !hadWildcard,
      narrowed: dropped || (hadWildcard && !this.#wildcard),
    };
  }

  /** Incremental: a request lists what changes (DeltaDiscoveryRequest.resource_names_subscribe, _unsubscribe). */
  change(subscribe: readonly string[], unsubscribe: readonly string[]): SubscriptionChange {
    const hadWildcard = this.#wildcard;
    const ask = new Set<string>();
    let narrowed = false;
    // Naming: as long as no request has subscribed to a name, the client has subscribed to `*`. A later name adds to it.
    if (subscribe.length === 0 && !this.#explicit) this.#wildcard = true;
    for (const name of subscribe) {
      this.#explicit = true;
      if (name === wildcardName) {
        this.#wildcard = true;
      } else {
        this.#names.add(name);
        // Incremental: a name that is subscribed to is owed even if it was sent before: the client may have dropped it since.
        ask.add(name);
      }
    }
    for (const name of unsubscribe) {
      if (name === wildcardName) {
        // Unsubscribing from `*` ends the legacy wildcard too, which is no different from an asked one (Naming, example).
        this.#explicit = true;
        narrowed ||= this.#wildcard;
        this.#wildcard = false;
      } else if (this.#names.delete(name)) {
        narrowed = true;
        ask.delete(name);
        // Incremental: while the wildcard stays, the client cannot know whether it still covers the name, and must be told.
        if (this.#wildcard) ask.add(name);
      }
    }
    if (!this.#wildcard) {
      for (const name of ask) if (!this.#names.has(name)) ask.delete(name);
    }
    return { ask: [...ask], wildcardStarted: this.#wildcard && !hadWildcard, narrowed };
  }
}
