/**
 * One discovery stream: its types, and the order in which they are served. Pure: requests and snapshots go in, responses
 * are taken out by `next()` when the transport has room.
 */
import type { Resource } from '../resources/resource.ts';
import type { Response, TypeRequest, Variant, Verdict } from './messages.ts';
import { beforeAdditionsOf, beforeRemovalsOf, compareTypes, xdsTypes } from './order.ts';
import type { Snapshot } from './snapshot.ts';
import { TypeSession } from './type-session.ts';

export interface SessionOptions {
  readonly variant: Variant;
  /** See `TypeSessionOptions.isEnvoy`. */
  readonly isEnvoy: boolean;
  /** By type, the names that earlier streams of this node left in doubt. */
  readonly inDoubt?: ReadonlyMap<string, ReadonlySet<string>>;
}

export class Session {
  readonly #options: SessionOptions;
  /** In the order in which they are served. */
  readonly #types = new Map<string, TypeSession>();
  #snapshot: Snapshot | undefined;
  #nonce = 0;

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  get types(): ReadonlyMap<string, TypeSession> {
    return this.#types;
  }

  request(typeUrl: string, request: TypeRequest): Verdict | undefined {
    const type = this.#types.get(typeUrl);
    if (type) return type.request(request);
    const { variant, isEnvoy, inDoubt } = this.#options;
    const names = inDoubt?.get(typeUrl) ?? [];
    this.#types.set(typeUrl, new TypeSession({ typeUrl, variant, isEnvoy, inDoubt: names }, request));
    const sorted = [...this.#types].sort(([a], [b]) => compareTypes(a, b));
    this.#types.clear();
    for (const [url, session] of sorted) this.#types.set(url, session);
    return undefined;
  }

  /** What the node should have from now on. Until the first call nothing is answered: nothing is not the same as empty. */
  publish(snapshot: Snapshot): void {
    this.#snapshot = snapshot;
  }

  /** Offers once more what the client has refused. */
  unpark(): void {
    for (const type of this.#types.values()) type.unpark();
  }

  /** The response to write now. @returns undefined when there is none until something happens. */
  next(): Response | undefined {
    const snapshot = this.#snapshot;
    if (!snapshot) return undefined;
    for (const type of this.#types.values()) {
      if (type.isUnderWay) continue;
      const { additions, removals, absent, answer } = type.difference(snapshot);
      const mayAdd = additions.length === 0 || this.#passed(beforeAdditionsOf(type.typeUrl), snapshot, false);
      if (!mayAdd) continue;
      const mayRemove = removals.length > 0 && this.#passed(beforeRemovalsOf(type.typeUrl), snapshot, true);
      if (additions.length + absent.length === 0 && !answer && !mayRemove) continue;
      const response = type.take(snapshot, String(this.#nonce + 1), mayRemove);
      if (!response) continue;
      this.#nonce++;
      if (type.typeUrl === xdsTypes.cluster) this.#endpointsFollow(additions, snapshot);
      return response;
    }
    return undefined;
  }

  /** Whether the client has been told everything new about `types` and, if so asked, everything about their removals. */
  #passed(types: readonly string[], snapshot: Snapshot, removalsToo: boolean): boolean {
    return types.every(typeUrl => {
      const type = this.#types.get(typeUrl);
      if (!type) return true;
      // Envoy's ACK of clusters says that they are warm, that of listeners that none uses the old clusters any more.
      if (this.#options.isEnvoy && type.isUnderWay) return false;
      const { additions, removals } = type.difference(snapshot);
      return additions.length === 0 && !(removalsToo && removals.length > 0);
    });
  }

  /**
   * A cluster that is sent anew stays warming until its endpoints come anew, which Envoy does not ask for again
   * (xDS protocol, "Resource warming").
   */
  #endpointsFollow(clusters: readonly Resource[], snapshot: Snapshot): void {
    const endpoints = this.#types.get(xdsTypes.endpoint);
    for (const { name } of clusters) {
      const load = snapshot.endpointsOf.get(name);
      if (load !== undefined) endpoints?.ask(load);
    }
  }
}
