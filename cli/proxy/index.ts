/** `nexd proxy`: the parts put together. */

import { readFileSync } from 'node:fs';
import { Failure } from '../failure.ts';
import type { Logger } from '../log.ts';
import type { ProxySettings } from '../nexd/proxy-settings.ts';
import { ProxyDaemon } from './daemon.ts';
import { partMakers } from './make-parts.ts';

/** All must be gone this long after a signal (ms); what has not ended by then is left to the kernel. */
const STOP_WITHIN = 9000;

/**
 * A second signal this long after the first (ms) is a person who means it. One that comes sooner is the same Ctrl-C on
 * another way: the terminal, npm and timeout(1) each send it.
 */
const IMPATIENCE = 1500;

/** SIGHUP too, when the terminal goes, unless whoever started us (nohup) has it ignored: a handler would undo that. */
function endingSignals(): NodeJS.Signals[] {
  const signals: NodeJS.Signals[] = ['SIGTERM', 'SIGINT', 'SIGQUIT'];
  try {
    const ignored = /^SigIgn:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
    if ((BigInt(`0x${ignored}`) & 1n) === 0n) signals.push('SIGHUP');
  } catch {
    // No /proc: leave SIGHUP as it is.
  }
  return signals;
}

/** Run until a signal. Throws Failure. */
export async function runProxy(settings: ProxySettings, logger: Logger): Promise<void> {
  const stop = new AbortController();
  const daemon = new ProxyDaemon(settings, logger, partMakers, line => process.stdout.write(`${line}\n`));
  const kill = () => {
    daemon.abandon();
    // Not process.exit: it waits for threads, and a thread that hangs may be why we are here.
    process.kill(process.pid, 'SIGKILL');
  };
  let stoppedAt = 0;
  let crash: Error | undefined;
  const onSignal = (signal: NodeJS.Signals) => {
    if (!stop.signal.aborted) {
      stoppedAt = performance.now();
      logger.log('info', `${signal}: stopping`);
      stop.abort();
    } else if (performance.now() - stoppedAt > IMPATIENCE) {
      kill();
    }
  };
  const stopping = () => {
    setTimeout(() => {
      logger.log('error', `not all parts have ended within ${STOP_WITHIN / 1000} s`);
      kill();
    }, STOP_WITHIN).unref();
  };
  for (const signal of endingSignals()) process.on(signal, onSignal);
  process.on('uncaughtException', error => {
    logger.log('error', `internal error: ${error.message}`, { stack: error.stack });
    crash ??= error;
    stop.abort();
  });
  // A terminal that closes, or a reader of our output that has gone, is no reason to end.
  process.stdout.on('error', () => {});
  await daemon.run(stop.signal, stopping);
  // Narrowed to undefined where the compiler looks: it is set by an event.
  const crashed = crash as Error | undefined;
  if (crashed !== undefined) throw new Failure(`internal error: ${crashed.message}`);
}
