/** A real Envoy for a test: in a folder of its own, supervised as in the product, gone when the test is. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EnvoyAdmin } from '../launcher/admin.ts';
import { findEnvoy } from '../launcher/find.ts';
import { EnvoySupervisor } from '../launcher/supervisor.ts';

export interface TestEnvoy {
  admin: EnvoyAdmin;
  supervisor: EnvoySupervisor;
  /** `component: message` of each line so far. */
  log: string[];
  folder: string;
  stop(): Promise<void>;
}

export interface RunOptions {
  concurrency?: number;
  /** By default a fresh folder, removed at the end. Its path is short enough for sockets. */
  folder?: string;
}

export function testFolder(): string {
  return mkdtempSync(join(tmpdir(), 'nx-'));
}

/** Starts Envoy with a bootstrap without `admin` and waits until it is live. */
export async function runEnvoy(configuration: object, options: RunOptions = {}): Promise<TestEnvoy> {
  const { concurrency = 1, folder = testFolder() } = options;
  const found = await findEnvoy({ fetch: false });
  if (!found.ok) throw new Error(found.error);
  const adminSocket = join(folder, 'admin.sock');
  const configPath = join(folder, 'envoy.json');
  const admin = { address: { pipe: { path: adminSocket, mode: 0o600 } } };
  writeFileSync(configPath, JSON.stringify({ admin, ...configuration }));
  const log: string[] = [];
  const supervisor = new EnvoySupervisor({
    ...{ binary: found.path, configPath, adminSocket, concurrency, drainSeconds: 1 },
    log: (_level, message, fields = {}) => log.push(`${fields['component'] ?? ''}: ${message}`),
  });
  const stop = async () => {
    await supervisor.stop();
    if (options.folder === undefined) rmSync(folder, { recursive: true });
  };
  supervisor.start();
  try {
    await supervisor.untilReady(AbortSignal.timeout(20_000));
  } catch (error) {
    await stop();
    throw new Error(`${(error as Error).message}\n${log.join('\n')}`);
  }
  return { admin: new EnvoyAdmin(adminSocket), supervisor, log, folder, stop };
}
