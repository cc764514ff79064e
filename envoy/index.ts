/** What the rest of the product uses of Envoy: the bootstrap and the launcher. Its API types are `envoy/api/index.ts`. */

export { type BootstrapOptions, bootstrap, bootstrapYaml } from './bootstrap.ts';
export * from './launcher/index.ts';
