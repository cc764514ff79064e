/** Compiles an AssemblyScript entry with the flags of the product's `filter` target, so that a test never meets a stale build. */

import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/**
 * @param entry below `extension/`, such as `assembly/index.ts`
 * @param outFile absolute path of the Wasm to write
 */
export function compileFilter(entry: string, outFile: string): void {
  execFileSync(
    process.execPath,
    [
      `${root}/node_modules/assemblyscript/bin/asc.js`,
      `extension/${entry}`,
      ...['--config', 'asconfig.json', '--target', 'filter', '--outFile', outFile],
    ],
    { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] },
  );
}
