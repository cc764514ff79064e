/**
 * Random publishes, subscriptions, ACKs and NACKs, with responses delayed on the wire: whatever happens, the client ends
 * with what it asked for, and never is there more than one response under way for a type.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { makeResource, type Resource } from '../resources/resource.ts';
import type { Response, TypeRequest, Variant } from './messages.ts';
import { isFullState, isKeptByClient, xdsTypes } from './order.ts';
import { Session } from './session.ts';
import { type Snapshot, takeSnapshot, typeOf } from './snapshot.ts';

const types = [xdsTypes.cluster, xdsTypes.endpoint, xdsTypes.listener, xdsTypes.extension, 'type.googleapis.com/x.Y'];
const names = ['a', 'b', 'c', 'd'];

function makeResources(choice: readonly (readonly number[])[]): Resource[] {
  return types.flatMap((typeUrl, t) =>
    names.flatMap((name, n) => {
      const edition = choice[t]?.[n] ?? 0;
      return edition === 0 ? [] : [makeResource(typeUrl, name, Uint8Array.of(t, n, edition))];
    }),
  );
}

/** A client as an independent party would write it: it knows the protocol from its side only. */
class Client {
  /** By type and name, the version in force. */
  readonly view = new Map<string, Map<string, string>>();
  readonly wanted = new Map<string, Set<string>>();
  readonly #nonces = new Map<string, string>();
  readonly #session: Session;
  readonly #variant: Variant;
  readonly #isEnvoy: boolean;
  readonly wire: Response[] = [];

  constructor(session: Session, variant: Variant, isEnvoy: boolean) {
    this.#session = session;
    this.#variant = variant;
    this.#isEnvoy = isEnvoy;
  }

  /** Lets the server write. @returns whether it had something to say. */
  pull(): boolean {
    const response = this.#session.next();
    if (!response) return false;
    const underWay = this.wire.filter(other => other.typeUrl === response.typeUrl);
    expect(underWay, 'one response at a time').toEqual([]);
    const listed = response.resources.map(r => r.name);
    expect(new Set(listed).size, 'T18: each name once').toBe(listed.length);
    for (const name of listed) expect(this.#wants(response.typeUrl, name), `${name} was asked for`).toBe(true);
    this.wire.push(response);
    return true;
  }

  /** Takes the oldest response of the wire. @param refuse applies those of this bit mask only, and NACKs. */
  answer(refuse: number | undefined): void {
    const response = this.wire.shift();
    if (!response) return;
    const { typeUrl, nonce } = response;
    this.#nonces.set(typeUrl, nonce);
    const view = this.#viewOf(typeUrl);
    const isApplied = (i: number): boolean => refuse === undefined || ((refuse >> (i % 4)) & 1) === 1;
    const bad = response.resources.filter((_, i) => !isApplied(i)).map(resource => resource.name);
    // Envoy's listener and cluster managers go through the whole response and name what they refuse.
    const thorough = refuse === undefined || (this.#isEnvoy && isFullState(typeUrl) && bad.length > 0);
    if (this.#variant === 'sotw' && isFullState(typeUrl) && thorough) {
      const listed = response.resources.map(resource => resource.name);
      for (const name of view.keys()) if (!listed.includes(name)) view.delete(name);
    }
    for (const { name, version } of response.resources) {
      if (!bad.includes(name) && this.#wants(typeUrl, name)) view.set(name, version);
    }
    response.removed.forEach((name, i) => {
      if (thorough || isApplied(i)) view.delete(name);
    });
    const error = thorough ? `Error adding/updating: ${bad.map(name => `${name}: no`).join(', ')}` : 'no';
    this.#send(typeUrl, { nonce, subscribe: [...this.#names(typeUrl)], ...(refuse !== undefined && { error }) });
  }

  /** @param mask over names; bit 4 is the wildcard. */
  subscribe(typeUrl: string, mask: number): void {
    const before = this.wanted.get(typeUrl);
    const after = new Set([...names, '*'].filter((_, i) => ((mask >> i) & 1) === 1));
    // An empty list at first would mean the wildcard.
    if (!before && after.size === 0) return;
    this.wanted.set(typeUrl, after);
    const view = this.#viewOf(typeUrl);
    for (const name of view.keys()) if (!this.#wants(typeUrl, name)) view.delete(name);
    const nonce = this.#nonces.get(typeUrl) ?? '';
    if (this.#variant === 'sotw') {
      this.#send(typeUrl, { nonce, subscribe: [...after] });
      return;
    }
    const subscribe = [...after].filter(name => !before?.has(name));
    const unsubscribe = [...(before ?? [])].filter(name => !after.has(name));
    this.#session.request(typeUrl, { nonce: '', subscribe, unsubscribe, held: {} });
  }

  #names(typeUrl: string): Set<string> {
    return this.wanted.get(typeUrl) ?? new Set();
  }

  #wants(typeUrl: string, name: string): boolean {
    return this.#names(typeUrl).has(name) || this.#names(typeUrl).has('*');
  }

  #viewOf(typeUrl: string): Map<string, string> {
    let view = this.view.get(typeUrl);
    if (!view) {
      view = new Map();
      this.view.set(typeUrl, view);
    }
    return view;
  }

  #send(typeUrl: string, request: Pick<TypeRequest, 'nonce' | 'subscribe' | 'error'>): void {
    const subscribe = this.#variant === 'sotw' ? request.subscribe : [];
    this.#session.request(typeUrl, { ...request, subscribe, unsubscribe: [], held: {} });
  }

  /** What it should hold of `typeUrl`, given what it asked for. */
  expected(snapshot: Snapshot, typeUrl: string): Map<string, string> {
    const all = [...typeOf(snapshot, typeUrl).resources.values()];
    return new Map(all.filter(r => this.#wants(typeUrl, r.name)).map(r => [r.name, r.version]));
  }
}

const editions = fc.array(fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 4, maxLength: 4 }), {
  minLength: types.length,
  maxLength: types.length,
});
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('publish' as const), editions }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('subscribe' as const),
      type: fc.nat(types.length - 1),
      mask: fc.nat(31),
    }),
  },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('pull' as const) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('ack' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('nack' as const), applied: fc.nat(15) }) },
);

describe.each(['delta', 'sotw'] as const)('%s', variant => {
  test.each([true, false])('the client converges (isEnvoy: %s)', isEnvoy => {
    const property = fc.property(fc.array(step, { maxLength: 60 }), editions, (steps, last) => {
      const session = new Session({ variant, isEnvoy });
      const client = new Client(session, variant, isEnvoy);
      let snapshot = takeSnapshot([], new Map());
      const publish = (choice: readonly (readonly number[])[]): void => {
        const endpointsOf = new Map(names.map(name => [name, name]));
        snapshot = takeSnapshot(makeResources(choice), endpointsOf, snapshot);
        session.publish(snapshot);
      };
      for (const action of steps) {
        if (action.do === 'publish') publish(action.editions);
        else if (action.do === 'subscribe') client.subscribe(types[action.type]!, action.mask);
        else if (action.do === 'pull') client.pull();
        else client.answer(action.do === 'nack' ? action.applied : undefined);
      }
      publish(last);
      // What was refused stays refused until something changes; here somebody asks for another try.
      session.unpark();
      const settle = (): number => {
        let responses = 0;
        for (; responses < 200; responses++) {
          const wrote = client.pull();
          if (!wrote && client.wire.length === 0) return responses;
          if (!wrote) client.answer(undefined);
        }
        throw new Error('never comes to rest');
      };
      settle();
      for (const typeUrl of client.wanted.keys()) {
        const view = client.view.get(typeUrl) ?? new Map();
        const expected = client.expected(snapshot, typeUrl);
        // Where removal cannot be said, what is gone may linger.
        const lingers = isKeptByClient(typeUrl) || (variant === 'sotw' && !isFullState(typeUrl));
        const seen = lingers ? new Map([...view].filter(([name]) => expected.has(name))) : view;
        expect(Object.fromEntries(seen), typeUrl).toEqual(Object.fromEntries(expected));
        expect(session.types.get(typeUrl)!.isSynced(snapshot), `${typeUrl} is synced`).toBe(true);
      }
      publish(last);
      expect(settle(), 'T17: nothing changed, nothing is said').toBe(0);
    });
    fc.assert(property, { numRuns: 3000 });
  });
});
