/**
 * One type of resource on one stream: what the client wants, what it holds, and the response it has not answered yet.
 *
 * All sending follows from one rule: the difference between the snapshot and what the client holds, computed when the
 * client has answered the previous response. So at most one response is under way, changes that come meanwhile merge,
 * and a client that does not read is sent nothing.
 *
 * | event                     | idle                                  | response under way                        |
 * |---------------------------|---------------------------------------|-------------------------------------------|
 * | subscription changes      | the difference grows                  | the difference grows                      |
 * | response taken            | -> under way                          | (not offered)                             |
 * | ACK                       | ignored                               | -> idle; the client holds what it was sent |
 * | NACK                      | ignored                               | -> idle; what was sent is in doubt and parked |
 * | the type changes          | parked resources are offered again    | the same, once idle                       |
 */
import type { Resource } from '../resources/resource.ts';
import { blamed } from './blame.ts';
import type { Difference, Progress, Response, TypeRequest, Variant, Verdict } from './messages.ts';
import { isFullState, isKeptByClient } from './order.ts';
import { type Snapshot, type TypeSnapshot, typeOf } from './snapshot.ts';
import { Subscription, type SubscriptionChange } from './subscription.ts';

interface UnderWay {
  readonly response: Response;
  readonly versions: ReadonlyMap<string, string>;
  /** What the response takes away: told in delta, implied by absence in the state of the world. */
  readonly removals: ReadonlySet<string>;
  /** The state of the type that it tells of. */
  readonly type: TypeSnapshot;
}

/** The version of a resource of which it is not known whether the client applied it. Equal to no hash. */
const doubtful: Pick<Resource, 'version'> = { version: '' };
/** A parked removal. */
const removal = '-';

const nothingOwed: Difference = { additions: [], removals: [], absent: [], answer: false };

export interface TypeSessionOptions {
  readonly typeUrl: string;
  readonly variant: Variant;
  /**
   * The client is an Envoy, which gives up a response of endpoints or extension configurations at the first bad resource
   * without saying which of the others it took. After such a NACK each is offered alone.
   */
  readonly isEnvoy: boolean;
  /** Names that earlier streams of this node left in doubt: perhaps held, though the client will not list them. */
  readonly inDoubt?: Iterable<string>;
}

export class TypeSession {
  readonly typeUrl: string;
  readonly #variant: Variant;
  readonly #isEnvoy: boolean;
  readonly #fullState: boolean;
  readonly #subscription = new Subscription();
  /** What the client holds, or may hold. */
  readonly #held = new Map<string, Pick<Resource, 'version'> | Resource>();
  /** Names to answer whatever is held. */
  readonly #asked = new Set<string>();
  /** What was NACKed: not offered again in this version until the type changes. */
  readonly #parked = new Map<string, string>();
  /** To be offered alone, to learn which of them a NACK was about. */
  readonly #suspects = new Set<string>();
  /** In a NACKed response and not ACKed since: Envoy may have applied them without recording that it holds them. */
  readonly #unrecorded = new Set<string>();
  readonly #rejected = new Map<string, string>();
  #owesAnswer = false;
  #underWay: UnderWay | undefined;
  #lastNonce = '';
  /** The state of the type at which nothing is owed; saves computing the difference. */
  #settled: TypeSnapshot | undefined;
  /** The state of the type that `#parked` speaks of. */
  #parkedIn: TypeSnapshot | undefined;

  /** @param first the first request for the type on the stream: its nonce, version and error speak of another stream. */
  constructor(options: TypeSessionOptions, first: TypeRequest) {
    this.typeUrl = options.typeUrl;
    this.#variant = options.variant;
    this.#isEnvoy = options.isEnvoy;
    this.#fullState = options.variant === 'sotw' && isFullState(options.typeUrl);
    const isDelta = options.variant === 'delta';
    this.#apply(
      isDelta
        ? this.#subscription.change(first.subscribe, first.unsubscribe)
        : this.#subscription.replace(first.subscribe),
    );
    if (!isDelta) return;
    for (const [name, version] of Object.entries(first.held)) {
      if (!this.#subscription.wants(name)) continue;
      this.#held.set(name, { version });
      // It says that it holds the name, so it need not be told what it knows already.
      this.#asked.delete(name);
    }
    // The client is initialised, so it does not wait for an answer that says nothing.
    if (this.#held.size > 0) this.#owesAnswer = false;
    for (const name of options.inDoubt ?? []) {
      this.#unrecorded.add(name);
      if (this.#subscription.wants(name) && !this.#held.has(name)) this.#held.set(name, doubtful);
    }
  }

  /** A request after the first. @returns the verdict on the response under way, if this is one. */
  request(request: TypeRequest): Verdict | undefined {
    const stale = request.nonce !== this.#lastNonce;
    // State of the world: a request that answers an older response was sent in ignorance of the newer one, which the client
    // will answer with all it wants (xDS protocol, "ACK and resource type instance version").
    if (this.#variant === 'sotw' && stale) return undefined;
    const verdict = stale ? undefined : this.#answered(request.error);
    // Delta: subscriptions are changes, lost for ever if a stale nonce made us skip them.
    this.#apply(
      this.#variant === 'sotw'
        ? this.#subscription.replace(request.subscribe)
        : this.#subscription.change(request.subscribe, request.unsubscribe),
    );
    return verdict;
  }

  /** What separates the client from the snapshot once it has accepted the response under way, if one is. */
  difference(snapshot: Snapshot): Difference {
    const type = typeOf(snapshot, this.typeUrl);
    if (this.#settled === type) return nothingOwed;
    if (this.#parkedIn !== type) {
      this.#parked.clear();
      this.#parkedIn = type;
      for (const name of this.#rejected.keys()) if (!type.resources.has(name)) this.#rejected.delete(name);
    }
    const found = this.#compare(type);
    const isNothing = found.additions.length + found.removals.length + found.absent.length === 0 && !found.answer;
    if (isNothing && !this.#underWay) {
      // What is left was asked for and is absent, which this variant cannot say of this type; once created, it is an addition.
      this.#asked.clear();
      this.#settled = type;
    }
    return found;
  }

  /**
   * Takes the response that tells the client what is owed.
   * @param withRemovals whether it may take away what is held and gone; if not, that stays owed.
   * @returns undefined when nothing may be said.
   */
  take(snapshot: Snapshot, nonce: string, withRemovals: boolean): Response | undefined {
    if (this.#underWay) return undefined;
    const owed = this.difference(snapshot);
    const alone = this.#nextSuspect(owed);
    const additions = alone ? [alone] : owed.additions;
    const removals = withRemovals && !alone ? owed.removals : [];
    if (!alone && additions.length + removals.length + owed.absent.length === 0 && !owed.answer) return undefined;
    const type = typeOf(snapshot, this.typeUrl);
    const isDelta = this.#variant === 'delta';
    const response: Response = {
      typeUrl: this.typeUrl,
      nonce,
      version: type.version,
      resources: this.#fullState ? this.#everything(snapshot, withRemovals ? [] : owed.removals) : additions,
      removed: isDelta && !alone ? [...removals, ...owed.absent] : [],
    };
    this.#underWay = {
      response,
      versions: new Map(response.resources.map(resource => [resource.name, resource.version])),
      removals: new Set(alone ? [] : [...removals, ...owed.absent]),
      type,
    };
    this.#lastNonce = nonce;
    this.#settled = undefined;
    if (alone) {
      this.#asked.delete(alone.name);
    } else {
      this.#asked.clear();
      this.#owesAnswer = false;
    }
    return response;
  }

  /** Owes `name` again though it did not change, if it is wanted. */
  ask(name: string): void {
    if (!this.#subscription.wants(name)) return;
    this.#asked.add(name);
    this.#settled = undefined;
  }

  /** Offers what was NACKed once more. */
  unpark(): void {
    this.#parkedIn = undefined;
    this.#settled = undefined;
  }

  get isUnderWay(): boolean {
    return this.#underWay !== undefined;
  }

  /** How far the client is with one resource of the snapshot. */
  progressOf({ name, version }: Resource): Progress {
    if (this.#rejected.has(name)) return 'refused';
    if (this.#held.get(name)?.version === version) return 'accepted';
    if (this.#underWay?.versions.get(name) === version) return 'sent';
    return 'owed';
  }

  /** Whether it has asked for `name`. */
  wants(name: string): boolean {
    return this.#subscription.wants(name);
  }

  /** Whether the client has accepted all that the snapshot holds for it. */
  isSynced(snapshot: Snapshot): boolean {
    if (this.#underWay || this.#rejected.size > 0) return false;
    const { additions, removals } = this.difference(snapshot);
    return additions.length + removals.length === 0;
  }

  /** Resources that the client has accepted. */
  get acked(): number {
    let count = 0;
    for (const { version } of this.#held.values()) if (version !== doubtful.version) count++;
    return count;
  }

  /** Resources sent and not known to be refused, the response under way included. */
  get sent(): number {
    const names = new Set<string>();
    for (const [name, { version }] of this.#held) if (version !== doubtful.version) names.add(name);
    for (const { name } of this.#underWay?.response.resources ?? []) names.add(name);
    return names.size;
  }

  /** Names that the client has refused in their newest version, with its words. */
  get rejected(): ReadonlyMap<string, string> {
    return this.#rejected;
  }

  /** Names to hand to the node's next stream as `inDoubt`. */
  get unrecorded(): ReadonlySet<string> {
    return this.#unrecorded;
  }

  #apply(change: SubscriptionChange): void {
    for (const name of change.ask) this.#asked.add(name);
    if (change.wildcardStarted) this.#owesAnswer = true;
    if (change.narrowed) this.#forgetUnwanted();
    if (change.ask.length > 0 || change.wildcardStarted) this.#settled = undefined;
  }

  #forgetUnwanted(): void {
    for (const names of [this.#held, this.#asked, this.#parked, this.#suspects, this.#rejected, this.#unrecorded]) {
      for (const name of names.keys()) if (!this.#subscription.wants(name)) names.delete(name);
    }
    if (!this.#subscription.wildcard) this.#owesAnswer = false;
  }

  #compare(type: TypeSnapshot): Difference {
    const additions: Resource[] = [];
    const absent: string[] = [];
    const consider = (resource: Resource): void => {
      const { name, version } = resource;
      const known = (this.#underWay?.versions.get(name) ?? this.#held.get(name)?.version) === version;
      const parked = this.#parked.get(name) === version;
      if (this.#asked.has(name) || !(known || parked)) additions.push(resource);
    };
    if (this.#subscription.wildcard) {
      for (const resource of type.resources.values()) consider(resource);
    } else {
      for (const name of this.#subscription.names) {
        const resource = type.resources.get(name);
        if (resource) consider(resource);
      }
    }
    const sayAbsence = this.#variant === 'delta' || this.#fullState;
    for (const name of this.#asked) if (sayAbsence && !type.resources.has(name)) absent.push(name);
    return { additions, removals: this.#gone(type), absent, answer: this.#owesAnswer };
  }

  /** Held names that are no more, as far as that can be said in this variant and type. */
  #gone(type: TypeSnapshot): string[] {
    const removals: string[] = [];
    for (const name of this.#held.keys()) {
      if (type.resources.has(name) || this.#asked.has(name)) continue;
      if (this.#parked.get(name) === removal || this.#underWay?.removals.has(name)) continue;
      if (this.#variant === 'sotw' && !this.#fullState) {
        // Cannot be said: the client keeps it. Forgotten here, so that a new one of that name is sent whatever its version.
        this.#held.delete(name);
      } else if (!isKeptByClient(this.typeUrl)) {
        removals.push(name);
      }
    }
    return removals;
  }

  /** A response of full state. @param kept names that are gone but may not be taken away yet. */
  #everything(snapshot: Snapshot, kept: readonly string[]): Resource[] {
    const { resources } = typeOf(snapshot, this.typeUrl);
    const wanted = [...resources.values()].filter(resource => this.#subscription.wants(resource.name));
    for (const name of kept) {
      const resource = this.#held.get(name);
      if (resource && 'any' in resource) wanted.push(resource);
    }
    return wanted;
  }

  #nextSuspect(owed: Difference): Resource | undefined {
    for (const name of this.#suspects) {
      const resource = owed.additions.find(addition => addition.name === name);
      if (resource) return resource;
    }
    this.#suspects.clear();
    return undefined;
  }

  #answered(error: string | undefined): Verdict | undefined {
    if (!this.#underWay) return undefined;
    const { response, removals, type } = this.#underWay;
    this.#underWay = undefined;
    this.#settled = undefined;
    const offered = response.resources.map(resource => resource.name);
    const { typeUrl, nonce } = response;
    if (error === undefined) {
      this.#accept(response.resources, removals);
      return { typeUrl, nonce, offered, rejected: [] };
    }
    for (const name of [...offered, ...removals]) if (this.#subscription.wants(name)) this.#unrecorded.add(name);
    // If the type has changed since, what is parked now is offered again at once.
    this.#parkedIn = type;
    const rejected = this.#refuse(response.resources, removals, error);
    return { typeUrl, nonce, error, offered, rejected };
  }

  #accept(resources: readonly Resource[], removals: ReadonlySet<string>): void {
    for (const resource of resources) {
      const { name } = resource;
      this.#suspects.delete(name);
      this.#unrecorded.delete(name);
      this.#rejected.delete(name);
      if (this.#subscription.wants(name)) this.#held.set(name, resource);
    }
    for (const name of removals) {
      this.#held.delete(name);
      this.#unrecorded.delete(name);
      this.#rejected.delete(name);
    }
  }

  /** @returns the names that are to blame. */
  #refuse(resources: readonly Resource[], removals: ReadonlySet<string>, error: string): string[] {
    const offered = resources.map(resource => resource.name);
    const named = blamed(error, offered);
    const appliesInPart = this.#isEnvoy && isFullState(this.typeUrl) && named.length > 0;
    if (appliesInPart) {
      // What Envoy does not blame is in force; what it does, it has in the version before or not at all.
      this.#hold(resources.filter(resource => !named.includes(resource.name)));
      for (const name of removals) this.#held.delete(name);
      this.#park(resources.filter(resource => named.includes(resource.name)));
      this.#blame(named, error);
      return named;
    }
    for (const name of removals) {
      this.#held.set(name, doubtful);
      this.#parked.set(name, removal);
    }
    if (this.#isEnvoy && resources.length > 1 && !isFullState(this.typeUrl)) {
      for (const name of offered) {
        this.#suspects.add(name);
        if (this.#subscription.wants(name)) this.#held.set(name, doubtful);
      }
      return [];
    }
    for (const name of offered) this.#suspects.delete(name);
    this.#park(resources);
    const culprits = named.length > 0 ? named : offered;
    this.#blame(culprits, error);
    return culprits;
  }

  /** Of a name that is no longer wanted, the refusal is of no interest. */
  #blame(names: readonly string[], error: string): void {
    for (const name of names) if (this.#subscription.wants(name)) this.#rejected.set(name, error);
  }

  #hold(resources: readonly Resource[]): void {
    for (const resource of resources) {
      this.#rejected.delete(resource.name);
      if (this.#subscription.wants(resource.name)) this.#held.set(resource.name, resource);
    }
  }

  #park(resources: readonly Resource[]): void {
    for (const { name, version } of resources) {
      if (!this.#subscription.wants(name)) continue;
      this.#held.set(name, doubtful);
      this.#parked.set(name, version);
    }
  }
}
