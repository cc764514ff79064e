/** Proxy keys to Envoy resources: pure functions. */

export { type BuildResult, buildResources, keyError } from './build.ts';
export { TLV_CONNECTION_ID, TLV_DESTINATION, TLV_KEY, TLV_PEER_PUBLIC_KEY } from './constants.ts';
export type { ResourceError, ResourceInput, ResourceKey, UdpPort } from './input.ts';
export { policyJson, policyName } from './policy.ts';
export { renderStatic, toEnvoyJson } from './render.ts';
export { contentVersion, makeResource, type Resource } from './resource.ts';
export { ingressSocketPath } from './tcp.ts';
export { tunnelTransportSocket } from './tunnel.ts';
