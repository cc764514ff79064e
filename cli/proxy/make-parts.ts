/** The real parts: companion and Envoy's side. */

import { Companion, type CompanionLog } from '../../companion/index.ts';
import { Failure, reasonOf } from '../failure.ts';
import type { Logger } from '../log.ts';
import { CompanionFront } from './companion-front.ts';
import { ConnectionLog } from './connection-log.ts';
import type { FrontMaker, PartMakers, StartContext } from './daemon.ts';
import type { DataPath } from './parts.ts';

/** WireGuard's habit: 1500 of Ethernet less the outer IPv6, UDP and WireGuard headers. */
const DEFAULT_MTU = 1420;

function companionLog(logger: Logger): CompanionLog {
  const at = (level: 'debug' | 'info' | 'warn' | 'error') => (fields: object, message: string) =>
    logger.log(level, message, fields as Record<string, unknown>);
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

async function startDataPath({ settings, paths, logger, publicKey, state, fatal }: StartContext): Promise<DataPath> {
  const { privateKey, addresses, listenPort, mtu = DEFAULT_MTU, peers } = settings.wireguard;
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
      companionLog(logger),
    );
  } catch (error) {
    throw new Failure(`the data path cannot start: ${reasonOf(error)}`);
  }
  const connections = new ConnectionLog(logger.log);
  companion.on('connection', report => connections.add(report));
  companion.on('fatal', error => fatal(`the data path has failed: ${reasonOf(error)}`));
  return companion;
}

async function findFront(): Promise<FrontMaker> {
  return async () => new CompanionFront();
}

export const partMakers: PartMakers = { findFront, startDataPath };
