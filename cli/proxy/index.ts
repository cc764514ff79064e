/** `nexd proxy`: the parts put together. */

import type { Logger } from '../log.ts';
import type { ProxySettings } from '../nexd/proxy-settings.ts';
import { ProxyDaemon } from './daemon.ts';
import { partMakers } from './make-parts.ts';

/** All must be gone this long after a signal (ms); what has not ended by then is left to the kernel. */
const STOP_WITHIN = 9_500;

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const;

/** Run until a signal. Throws Failure. */
export async function runProxy(settings: ProxySettings, logger: Logger): Promise<void> {
  const stop = new AbortController();
  const onSignal = (signal: NodeJS.Signals) => {
    // A second signal while stopping: the person means it.
    if (stop.signal.aborted) process.exit(130);
    logger.log('info', `${signal}: stopping`);
    stop.abort();
    setTimeout(() => {
      logger.log('error', `not all parts have ended within ${STOP_WITHIN / 1000} s`);
      process.exit(1);
    }, STOP_WITHIN).unref();
  };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  try {
    const daemon = new ProxyDaemon(settings, logger, partMakers, line => process.stdout.write(`${line}\n`));
    await daemon.run(stop.signal);
  } finally {
    for (const signal of SIGNALS) process.off(signal, onSignal);
  }
}
