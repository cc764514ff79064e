/** Proxy keys to Envoy resources: a pure function. */

export type { ResourceError, ResourceInput, ResourceKey, UdpPort } from './input.ts';
export { contentVersion, makeResource, type Resource } from './resource.ts';
