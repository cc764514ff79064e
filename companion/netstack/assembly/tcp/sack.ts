import { count, TCP_DSACK_IN } from '../counters';
import { now } from '../clock';
import { rackDsack, rackReordering, rackUpdate } from './rack';
import { markSacked, mergeSacked, R_EVER_RETRANS, R_LOST, R_SACKED, Rec, split } from './scoreboard';
import { after, before, F_SACK, has, Tcb } from './tcb';

/** Takes in the SACK blocks of an ACK (RFC 2018 5, RFC 2883). */

/** Results: bytes newly sacked; RTT of the newest of them that was sent once, µs (negative = none); whether a D-SACK was among them. */
export let newlySacked: u32 = 0;
export let sackRtt: f64 = -1;
export let sawDsack: bool = false;

/** @param ack the segment's acknowledgment number @param at first block, in network order @param blocks how many, 0..4 */
export function takeSacks(t: Tcb, ack: u32, at: usize, blocks: u32, hasEcho: bool, echo: u32): void {
  newlySacked = 0;
  sackRtt = -1;
  sawDsack = false;
  if (blocks === 0 || !has(t, F_SACK)) return;
  for (let i: u32 = 0; i < blocks; i++) {
    const start = bswap<u32>(load<u32>(at + (<usize>i << 3)));
    const end = bswap<u32>(load<u32>(at + (<usize>i << 3), 4));
    if (!before(start, end) || after(end, t.sndNxt)) continue;
    if (i === 0 && isDsack(ack, start, end, at, blocks)) {
      takeDsack(t, start, end);
      continue;
    }
    // Nothing at or below sndUna can be news; a block that starts there would be a cumulative ACK.
    if (!after(start, ack) || !after(start, t.sndUna)) continue;
    takeBlock(t, start, end, hasEcho, echo);
  }
}

/** RFC 2883 4: the first block lies below the cumulative ACK, or inside the second block. */
function isDsack(ack: u32, start: u32, end: u32, at: usize, blocks: u32): bool {
  if (!after(end, ack)) return true;
  if (blocks < 2) return false;
  const nextStart = bswap<u32>(load<u32>(at, 8));
  const nextEnd = bswap<u32>(load<u32>(at, 12));
  return !before(start, nextStart) && !after(end, nextEnd);
}

function takeDsack(t: Tcb, start: u32, end: u32): void {
  // Of a flow far behind, or made up: more than a window below sndUna is no report about what we sent.
  if (t.sndUna - end > t.maxSndWnd && before(end, t.sndUna)) return;
  count(TCP_DSACK_IN);
  sawDsack = true;
  rackDsack(t);
  if (t.undoMarker !== t.sndNxt && !before(start, t.undoMarker) && t.undoRetrans > 0) {
    t.undoRetrans -= <i32>max<u32>(1, (end - start + <u32>t.mss - 1) / <u32>t.mss);
    if (t.undoRetrans < 0) t.undoRetrans = 0;
  }
}

function takeBlock(t: Tcb, start: u32, end: u32, hasEcho: bool, echo: u32): void {
  let at = t.recHead;
  while (at !== 0) {
    let rec = changetype<Rec>(at);
    if (!after(rec.end, start)) {
      at = rec.next;
      continue;
    }
    if (!before(rec.seq, end)) break;
    if (rec.flags & R_SACKED) {
      at = rec.next;
      continue;
    }
    if (before(rec.seq, start)) {
      rec = split(t, rec, start);
      if (changetype<usize>(rec) === 0) return;
    }
    if (after(rec.end, end) && changetype<usize>(split(t, rec, end)) === 0) return;
    newlySacked += rec.end - rec.seq;
    if ((rec.flags & (R_EVER_RETRANS | R_LOST)) === 0) sackRtt = now - rec.xmitAt;
    rackUpdate(t, rec, hasEcho, echo);
    rackReordering(t, rec);
    markSacked(t, rec);
    rec = mergeSacked(t, rec);
    at = rec.next;
  }
}
