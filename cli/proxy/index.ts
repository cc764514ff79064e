/** `nexd proxy`: the parts put together. */

import type { Logger } from '../log.ts';
import type { ProxySettings } from '../nexd/proxy-settings.ts';
import { ProxyDaemon } from './daemon.ts';
import { partMakers } from './make-parts.ts';

/** All must be gone this long after a signal (ms); what has not ended by then is left to the kernel. */
const STOP_WITHIN = 9000;

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const;

/** Run until a signal. Throws Failure. */
export async function runProxy(settings: ProxySettings, logger: Logger): Promise<void> {
  const stop = new AbortController();
  const daemon = new ProxyDaemon(settings, logger, partMakers, line => process.stdout.write(`${line}\n`));
  const kill = () => {
    daemon.abandon();
    // Not process.exit: it waits for threads, and a thread that hangs may be why we are here.
    process.kill(process.pid, 'SIGKILL');
  };
  const onSignal = (signal: NodeJS.Signals) => {
    // A second signal while stopping: the person means it.
    if (stop.signal.aborted) kill();
    logger.log('info', `${signal}: stopping`);
    stop.abort();
  };
  const stopping = () => {
    setTimeout(() => {
      logger.log('error', `not all parts have ended within ${STOP_WITHIN / 1000} s`);
      kill();
    }, STOP_WITHIN).unref();
  };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  // A terminal that closes, or a reader of our output that has gone, is no reason to end.
  process.stdout.on('error', () => {});
  await daemon.run(stop.signal, stopping);
}
