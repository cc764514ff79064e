/**
 * The version that nexd and nexctl tell. nexctl refuses a daemon of another version, so an environment variable can
 * set it: a real Nexodus nexctl works against this nexd when the two are made to agree.
 */

import { readFileSync } from 'node:fs';

function packageVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

export const VERSION_VARIABLE = 'NEXD_VERSION';

export function version(): string {
  return process.env[VERSION_VARIABLE] || packageVersion();
}
