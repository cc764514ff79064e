/** The socket of WireGuard's own configuration protocol, for `wg`: where, and what happens when it cannot be had. */

import { type Companion, type CompanionLog, UapiServer, WIREGUARD_DIRECTORY } from '../../companion/index.ts';
import { Failure, reasonOf } from '../failure.ts';
import type { ProxySettings } from '../nexd/proxy-settings.ts';

/**
 * Throws Failure when a directory was asked for and the socket cannot be there. Root's default is an offer: without it
 * there is a warning, and the traffic goes on.
 */
export async function openUapi(
  device: Companion,
  { uapiDirectory, interfaceName: name }: Pick<ProxySettings, 'uapiDirectory' | 'interfaceName'>,
  log: CompanionLog,
): Promise<UapiServer | undefined> {
  if (uapiDirectory === undefined && process.geteuid?.() !== 0) return undefined;
  const directory = uapiDirectory ?? WIREGUARD_DIRECTORY;
  try {
    const server = await UapiServer.open({ directory, name, device, log });
    log.debug({ path: server.path }, 'wg can be used');
    return server;
  } catch (error) {
    if (uapiDirectory !== undefined) throw new Failure(`--uapi-dir: ${reasonOf(error)}`);
    log.warn({ reason: reasonOf(error) }, `wg cannot be used with ${name}`);
    return undefined;
  }
}
