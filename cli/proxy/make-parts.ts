/** The real parts: companion and Envoy's side. */

import { Companion, type CompanionLog, type UapiServer } from '../../companion/index.ts';
import { findEnvoy } from '../../envoy/index.ts';
import { Failure, reasonOf } from '../failure.ts';
import type { Logger } from '../log.ts';
import type { ProxySettings } from '../nexd/proxy-settings.ts';
import { CompanionFront } from './companion-front.ts';
import type { FrontMaker, PartMakers, StartContext } from './daemon.ts';
import type { DataPath } from './parts.ts';
import { openUapi } from './uapi.ts';

/** WireGuard's habit: 1500 of Ethernet less the outer IPv6, UDP and WireGuard headers. */
const DEFAULT_MTU = 1420;

function companionLog(logger: Logger): CompanionLog {
  const at = (level: 'debug' | 'info' | 'warn' | 'error') => (fields: object, message: string) => {
    // What went well comes as `debug`; here it is what a person looks for first.
    const shown = level === 'debug' && message.endsWith(' connection') ? 'info' : level;
    logger.log(shown, message, { ...fields });
  };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

async function startDataPath({ settings, paths, logger, publicKey, state, fatal }: StartContext): Promise<DataPath> {
  const { privateKey, addresses, listenPort, mtu = DEFAULT_MTU, peers } = settings.wireguard;
  const log = companionLog(logger);
  let companion: Companion;
  try {
    companion = await Companion.start(
      {
        privateKey,
        addresses,
        listenPort,
        mtu,
        peers,
        mode: settings.envoy.kind === 'none' ? 'none' : 'envoy',
        bind: settings.bind,
        runtimeDirectory: paths.directory,
        loadStamp: () => state.stamp(publicKey),
        saveStamp: stamp => state.saveStamp(publicKey, stamp),
        // As with Envoy, and as in Nexodus: a quiet connection is not a dead one.
        tcpIdleSeconds: 0,
      },
      log,
    );
  } catch (error) {
    throw new Failure(`the data path cannot start: ${reasonOf(error)}`);
  }
  // The companion has its own copy, and wipes it.
  privateKey.fill(0);
  companion.on('key-report', ({ name, ok, error }) => {
    if (ok) logger.log('info', `${name}: open`);
    else logger.log('error', `${name}: ${error ?? 'cannot be opened'}`);
  });
  companion.on('fatal', error => fatal(`the data path has failed: ${reasonOf(error)}`));
  let uapi: UapiServer | undefined;
  try {
    uapi = await openUapi(companion, settings, log);
  } catch (error) {
    await companion.close();
    throw error;
  }
  return {
    setProxyKeys: keys => companion.setProxyKeys(keys),
    status: () => companion.status(),
    async close() {
      await uapi?.close();
      await companion.close();
    },
  };
}

/** Envoy's binary, before anything starts: a fetch may take a minute, and may fail. */
async function findFront(settings: ProxySettings, logger: Logger, signal: AbortSignal): Promise<FrontMaker> {
  const { envoy } = settings;
  if (envoy.kind === 'none') return async () => new CompanionFront();
  // Only here: Envoy's API types and gRPC cost half a second and tens of megabytes, which `none` need not pay.
  const { EnvoyFront } = await import('./envoy-front.ts');
  if (envoy.kind === 'external') return context => EnvoyFront.open(context, { kind: 'external' });
  const found = await findEnvoy({
    ...(envoy.kind === 'path' && { path: envoy.path }),
    progress: message => logger.log('info', message),
    signal,
  });
  if (!found.ok) throw new Failure(`--envoy ${envoy.kind === 'path' ? envoy.path : 'auto'}: ${found.error}`);
  logger.log('debug', `using Envoy ${found.version} at ${found.path} (${found.source})`);
  return context => EnvoyFront.open(context, { kind: 'child', path: found.path, version: found.version });
}

export const partMakers: PartMakers = { findFront, startDataPath };
