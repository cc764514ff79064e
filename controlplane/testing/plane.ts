/** A control plane on a socket of its own, for one test. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ControlPlane, type ControlPlaneOptions, type Log } from '../index.ts';
import { RawClient } from './client.ts';

export const silent: Log = { debug: () => {}, info: () => {}, warn: () => {} };

export interface TestPlane extends AsyncDisposable {
  plane: ControlPlane;
  socketPath: string;
  client: RawClient;
  /** Another client, on a connection of its own. */
  connect(): RawClient;
}

export async function startPlane(options: Partial<ControlPlaneOptions> = {}): Promise<TestPlane> {
  const folder = await mkdtemp(join(tmpdir(), 'xds-'));
  const socketPath = join(folder, 'xds.sock');
  const plane = await ControlPlane.start({ socketPath, log: silent, ...options });
  const clients: RawClient[] = [];
  const connect = (): RawClient => {
    const client = new RawClient(`unix:${socketPath}`);
    clients.push(client);
    return client;
  };
  return {
    plane,
    socketPath,
    client: connect(),
    connect,
    [Symbol.asyncDispose]: async () => {
      for (const client of clients) client.close();
      await plane.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
