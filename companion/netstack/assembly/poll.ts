import { LOOPBACK_BUDGET } from './constants';
import { datagramsWaiting, pollDatagrams } from './datagrams';
import { beginPoll, filled, full } from './out';
import { acksWaiting, pollAcks } from './tcp/ackpolicy';
import { firstReady, ready, readyFirst, unready } from './tcp/lists';
import { releaseReservation } from './tcp/sendqueue';
import { none } from './tcp/tcb';
import { transmit } from './tcp/output';

/**
 * Fills the caller's slots: connections take turns of a quantum each (deficit round robin with segments as the unit), and share the slots
 * with datagrams. Pull only: what does not fit stays where it is, nothing is ever dropped here.
 * @returns packets written
 */
export function poll(slots: usize, stride: usize, max: i32, lengths: usize): i32 {
  releaseReservation();
  beginPoll(slots, stride, max, lengths, LOOPBACK_BUDGET);
  pollAcks();
  pollDatagrams((max + 1) >>> 1);
  while (!full()) {
    const t = firstReady();
    if (none(t)) break;
    unready(t);
    if (!transmit(t)) continue;
    // Who was stopped by the last slot goes on first next time, or it would get only what others leave.
    if (full()) readyFirst(t);
    else ready(t);
  }
  pollDatagrams(max);
  return filled;
}

/** Whether poll would be visited in vain. */
export function idle(): bool {
  return none(firstReady()) && !datagramsWaiting() && !acksWaiting();
}
