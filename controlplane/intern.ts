/** One object per content: what many nodes share, or what one node keeps from publish to publish, is held once. */
import type { Resource } from './resources/resource.ts';

export class Interner {
  readonly #known = new Map<string, WeakRef<Resource>>();
  readonly #gone = new FinalizationRegistry<string>(key => {
    if (!this.#known.get(key)?.deref()) this.#known.delete(key);
  });

  /** @returns the resource of the same type, name and version that was seen first, or `resource` itself. */
  intern(resource: Resource): Resource {
    const key = `${resource.typeUrl}\0${resource.name}\0${resource.version}`;
    const known = this.#known.get(key)?.deref();
    if (known) return known;
    this.#known.set(key, new WeakRef(resource));
    this.#gone.register(resource, key);
    return resource;
  }

  /** How many contents are held. */
  get size(): number {
    return this.#known.size;
  }
}
