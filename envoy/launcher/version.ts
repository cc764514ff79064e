/** Which Envoy a binary is. */

import { execFile } from 'node:child_process';

/** The release that everything here was tested with, and that is fetched when there is none. */
export const ENVOY_VERSION = '1.40.0';

export type VersionResult = { ok: true; version: string } | { ok: false; error: string };

/** Takes `1.40.0` out of `envoy  version: <hash>/1.40.0/Clean/RELEASE/BoringSSL`. */
export function parseVersion(text: string): string | undefined {
  return /version: [0-9a-f]+\/(\d+\.\d+\.\d+)[^/]*\//.exec(text)?.[1];
}

/** Whether a version is at least `minimum`; both `x.y.z`. */
export function atLeast(version: string, minimum: string): boolean {
  const [a, b] = [version, minimum].map(text => text.split('.').map(Number));
  for (let i = 0; i < 3; i++) if (a![i] !== b![i]) return a![i]! > b![i]!;
  return true;
}

/** Runs `binary --version`. Refuses what is no Envoy, and an Envoy older than the tested one. */
export function checkVersion(binary: string): Promise<VersionResult> {
  const { promise, resolve } = Promise.withResolvers<VersionResult>();
  execFile(binary, ['--version'], { timeout: 10_000 }, (error, stdout) => {
    const refuse = (reason: string) => resolve({ ok: false, error: `${binary}: ${reason}` });
    if (error !== null) {
      const { code } = error;
      if (String(code) === 'ENOENT') return refuse('no such file');
      if (String(code) === 'EACCES') return refuse('not an executable file');
      return refuse(error.killed ? 'no answer to --version in 10 s' : 'not an Envoy binary for this machine');
    }
    const version = parseVersion(stdout);
    if (version === undefined) return refuse('not an Envoy binary');
    if (!atLeast(version, ENVOY_VERSION)) return refuse(`Envoy ${version} is older than ${ENVOY_VERSION}`);
    resolve({ ok: true, version });
  });
  return promise;
}
