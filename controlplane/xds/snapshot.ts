/** Everything that one node should have, at one moment. Immutable. */
import { createHash } from 'node:crypto';
import type { Resource } from '../resources/resource.ts';

/** The resources of one type. Two of one content are one object from snapshot to snapshot (see `takeSnapshot`). */
export interface TypeSnapshot {
  /** Hash of all names and versions: equal for equal content, on whatever replica and after whatever restart. */
  readonly version: string;
  /** By name, in the order of names. */
  readonly resources: ReadonlyMap<string, Resource>;
}

export interface Snapshot {
  readonly types: ReadonlyMap<string, TypeSnapshot>;
  /** Cluster name to the name of the ClusterLoadAssignment it takes over EDS. */
  readonly endpointsOf: ReadonlyMap<string, string>;
}

/** The version of a set of resources. @param resources in the order of names. */
export function versionOf(resources: Iterable<Resource>): string {
  const hash = createHash('sha256');
  for (const { name, version } of resources) hash.update(`${name}\0${version}\n`);
  return hash.digest('hex').slice(0, 16);
}

const nothing: TypeSnapshot = { version: versionOf([]), resources: new Map() };

/** The resources of `typeUrl`; of a type nobody published, none. */
export function typeOf(snapshot: Snapshot, typeUrl: string): TypeSnapshot {
  return snapshot.types.get(typeUrl) ?? nothing;
}

/**
 * @param resources in any order, names unique per type.
 * @param previous a type whose content did not change keeps its object, so "did it change" is one comparison.
 */
export function takeSnapshot(
  resources: Iterable<Resource>,
  endpointsOf: ReadonlyMap<string, string>,
  previous?: Snapshot,
): Snapshot {
  const byType = new Map<string, Resource[]>();
  for (const resource of resources) {
    const list = byType.get(resource.typeUrl);
    if (list) list.push(resource);
    else byType.set(resource.typeUrl, [resource]);
  }
  const types = new Map<string, TypeSnapshot>();
  for (const [typeUrl, list] of byType) {
    list.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
    const version = versionOf(list);
    const before = previous?.types.get(typeUrl);
    const unchanged = before?.version === version ? before : undefined;
    types.set(typeUrl, unchanged ?? { version, resources: new Map(list.map(r => [r.name, r])) });
  }
  return { types, endpointsOf };
}
