import { fold, pseudoSum, sum, swap16, swap32 } from '../checksum';
import { now } from '../clock';
import { ACK, CHALLENGE_PER_SECOND, FIN, FIN_WAIT_2_TIMEOUT, PAWS_IDLE, PROTOCOL_TCP, RST, RTO_AFTER_SYN_LOSS, SYN } from '../constants';
import {
  count, TCP_CHALLENGE_ACKS, TCP_CHECKSUM, TCP_MALFORMED, TCP_OUT_OF_WINDOW, TCP_PAWS_DROPS, TCP_RESETS_IN, TCP_SEGMENTS_IN,
} from '../counters';
import { ACCEPT, CLOSED as CLOSED_EVENT, CONNECTED, E_REFUSED, E_RESET, E_ABORTED } from '../events';
import { destinationHi, destinationLo, sourceHi, sourceLo, v6 } from '../packet';
import { acknowledge } from './ack';
import { takeData, takeFin } from './data';
import { abortConnection, destroy, enterTimeWait, establish, fail, finish } from './lifecycle';
import { raise, ready } from './lists';
import { listenerOf, listenInput, takeSynOptions } from './listen';
import { hasStamp, parseOptions, sackAt, sackBlocks, stampEcho, stampValue } from './options';
import { resetStranger } from './reset';
import { sampleRtt } from './rtt';
import { echoedRtt, stampNow } from './stamps';
import { findConnection } from './table';
import {
  after, before, CLOSE_WAIT, CLOSING, ESTABLISHED, F_ACK_NOW, F_DEFERRED, F_FIN_ACKED, F_FIN_WANTED, F_ORPHAN,
  F_PASSIVE, F_SEND_SYN, F_SYN_RESENT, F_TS, FIN_WAIT_1, FIN_WAIT_2, has, LAST_ACK, none, set, SYN_RECEIVED, SYN_SENT, Tcb,
} from './tcb';
import { heard, rearm } from './timing';
import { endWaiting, findWaiting, waitingInput } from './timewait';
import { measureReceiver, receiveWindow } from './window';

/** Segment arrival, RFC 9293 3.10.7, with RFC 5961 and RFC 7323. */

/** The segment: sequence and acknowledgment number, unscaled window, control bits, payload. */
let seq: u32 = 0;
let ack: u32 = 0;
let window: u32 = 0;
let flags: u32 = 0;
let data: usize = 0;
let dataLength: u32 = 0;

/** @param at TCP header @param length of header and payload, as the IP layer has it */
export function tcpInput(at: usize, length: u32): void {
  count(TCP_SEGMENTS_IN);
  if (length < 20) {
    count(TCP_MALFORMED);
    return;
  }
  const header = (<u32>load<u8>(at, 12) >>> 4) << 2;
  if (header < 20 || header > length) {
    count(TCP_MALFORMED);
    return;
  }
  if (fold(sum(at, length) + pseudoSum(v6, sourceHi, sourceLo, destinationHi, destinationLo, PROTOCOL_TCP, length)) !== 0xffff) {
    count(TCP_CHECKSUM);
    return;
  }
  const remotePort = swap16(load<u16>(at));
  const localPort = swap16(load<u16>(at, 2));
  if (remotePort === 0 || localPort === 0) {
    count(TCP_MALFORMED);
    return;
  }
  seq = swap32(load<u32>(at, 4));
  ack = swap32(load<u32>(at, 8));
  flags = load<u8>(at, 13);
  window = swap16(load<u16>(at, 14));
  data = at + header;
  dataLength = length - header;
  parseOptions(at + 20, header - 20);

  const t = findConnection(destinationHi, destinationLo, sourceHi, sourceLo, localPort, remotePort);
  if (none(t)) {
    strangerArrives(localPort, remotePort);
    return;
  }
  const state = <u32>t.state;
  if (state >= SYN_RECEIVED) synchronizedArrives(t);
  else if (state === SYN_SENT) synSentArrives(t);
  else deferredArrives(t);
}

/** Length in sequence space. */
// @ts-ignore: decorator
@inline
function segmentLength(): u32 {
  return dataLength + ((flags & SYN) >>> 1) + (flags & FIN);
}

/** CLOSED, LISTEN and TIME-WAIT: no connection has that flow. */
function strangerArrives(localPort: u32, remotePort: u32): void {
  let hasLeast = false;
  let least: u32 = 0;
  const w = findWaiting(destinationHi, destinationLo, sourceHi, sourceLo, localPort, remotePort);
  const listener = listenerOf(localPort);
  if (changetype<usize>(w) !== 0) {
    if (!waitingInput(w, seq, flags, segmentLength(), hasStamp, stampValue) || listener === 0) return;
    hasLeast = true;
    least = w.sndNxt;
    endWaiting(w);
  }
  if (listener !== 0) listenInput(listener, data, segmentLength(), localPort, remotePort, seq, ack, flags, window, hasLeast, least);
  else resetStranger(destinationHi, destinationLo, sourceHi, sourceLo, localPort, remotePort, seq, ack, flags, segmentLength());
}

/** A SYN that waits for accept(): only the peer's reset matters; it gives up by itself otherwise. */
function deferredArrives(t: Tcb): void {
  if (flags & RST && seq === t.rcvNxt) {
    count(TCP_RESETS_IN);
    fail(t, E_RESET);
  }
}

/** RFC 9293 3.10.7.3. */
function synSentArrives(t: Tcb): void {
  const hasAck = (flags & ACK) !== 0;
  if (hasAck && (!after(ack, t.iss) || after(ack, t.sndNxt))) {
    if (flags & RST) return;
    resetStranger(destinationHi, destinationLo, sourceHi, sourceLo, t.localPort, t.remotePort, seq, ack, flags, segmentLength());
    // The peer still has an old connection of this name: the RST ends it, so the SYN is worth sending again now.
    set(t, F_SEND_SYN | F_SYN_RESENT);
    ready(t);
    return;
  }
  if (flags & RST) {
    if (!hasAck) return;
    count(TCP_RESETS_IN);
    fail(t, E_REFUSED);
    return;
  }
  if ((flags & SYN) === 0) return;
  // A stamp that we never sent is of another connection (RFC 7323 5.4 has no such test; Linux does).
  if (hasAck && hasStamp && stampEcho !== 0 && <i32>(stampNow(t) - stampEcho) < 0) return;
  const buffer = min<u32>(t.rcvBuffer, 0xffff);
  takeSynOptions(t, seq);
  t.rcvAdvertised = t.rcvNxt + buffer;
  t.sndWnd = window;
  t.maxSndWnd = window;
  t.sndWl1 = seq;
  t.sndWl2 = ack;
  if (!hasAck) {
    // Simultaneous open.
    t.state = <u8>SYN_RECEIVED;
    set(t, F_SEND_SYN);
    ready(t);
    rearm(t);
    return;
  }
  const sentAt = t.lastSent;
  establish(t);
  if (!has(t, F_SYN_RESENT)) sampleRtt(t, now - sentAt);
  else if (has(t, F_TS) && stampEcho !== 0 && echoedRtt(t, stampEcho) >= 0) sampleRtt(t, echoedRtt(t, stampEcho));
  else t.rto = RTO_AFTER_SYN_LOSS;
  t.lastSent = 0;
  set(t, F_ACK_NOW);
  ready(t);
  raise(t, CONNECTED);
  afterHandshake(t);
  if (dataLength > 0 || flags & FIN) {
    seq++;
    takeText(t);
  }
  if (<u32>t.state !== 0) rearm(t);
}

/** What the application did before the handshake was over takes effect. */
function afterHandshake(t: Tcb): void {
  if (has(t, F_FIN_WANTED)) t.state = <u8>FIN_WAIT_1;
}

/** Answers something unacceptable by where we stand, at most so often (RFC 5961 7). */
function challenge(t: Tcb): void {
  if (now - t.challengeAt >= 1_000_000) {
    t.challengeAt = now;
    t.challenges = 0;
  }
  if (t.challenges >= CHALLENGE_PER_SECOND) return;
  t.challenges++;
  count(TCP_CHALLENGE_ACKS);
  set(t, F_ACK_NOW);
  ready(t);
}

/** RFC 9293 3.10.7.4: SYN-RECEIVED and beyond. */
function synchronizedArrives(t: Tcb): void {
  const opening = <u32>t.state === SYN_RECEIVED;
  if (!acceptable(t, opening)) return;
  if (flags & RST) {
    resetArrives(t, opening);
    return;
  }
  if (flags & SYN) {
    if (opening && seq === t.irs && (flags & ACK) === 0) {
      set(t, F_SEND_SYN);
      ready(t);
    } else if (opening && seq === t.irs && ack === t.iss + 1) {
      // Simultaneous open: the peer's SYN-ACK.
      seq++;
      flags &= ~SYN;
      acknowledgeOpening(t);
    } else {
      challenge(t);
    }
    return;
  }
  if ((flags & ACK) === 0) return;
  if (opening) {
    acknowledgeOpening(t);
    return;
  }
  if (hasStamp && has(t, F_TS)) takeStamp(t);
  if (!takeAck(t)) return;
  takeText(t);
  if (<u32>t.state !== 0) rearm(t);
}

/** Timestamps and sequence number: RFC 7323 5.3, RFC 9293 3.10.7.4 first. */
function acceptable(t: Tcb, opening: bool): bool {
  if (has(t, F_TS) && (flags & RST) === 0) {
    if (!hasStamp) {
      // RFC 7323 3.2: a segment without is dropped, but old stacks leave it out of the handshake's last ACK.
      if (!opening) {
        count(TCP_PAWS_DROPS);
        return false;
      }
    } else if (<i32>(stampValue - t.tsRecent) < 0 && now - t.tsRecentAt < PAWS_IDLE) {
      count(TCP_PAWS_DROPS);
      if (flags & SYN && opening) return false;
      if (dataLength > 0) {
        set(t, F_ACK_NOW);
        ready(t);
      } else {
        challenge(t);
      }
      return false;
    }
  }
  const open = receiveWindow(t);
  const length = segmentLength();
  const end = seq + length;
  // A SYN repeated, or the peer's SYN-ACK of a simultaneous open.
  if (flags & SYN && opening && seq === t.irs) return true;
  if (open === 0) {
    // ACKs and RSTs still count at a closed window; so does the ACK of a probe, whose data is then left.
    if (seq === t.rcvNxt || (length === 0 && !before(seq, t.lastAckSent) && !after(seq, t.rcvNxt))) return true;
  } else if (length === 0) {
    // Older than rcvNxt but not than what was acknowledged: a bare ACK that was overtaken on the way.
    if (!before(seq, t.lastAckSent) && !after(seq, t.rcvAdvertised)) return true;
  } else if (before(seq, t.rcvNxt + open) && after(end, t.rcvNxt)) {
    return true;
  }
  count(TCP_OUT_OF_WINDOW);
  if (flags & RST) return false;
  if (length > 0 && !after(end, t.rcvNxt)) {
    // A retransmission of what is here, or a probe: the peer needs our ACK, and to know that it was needless (RFC 2883).
    takeData(t, seq, data, dataLength);
    return false;
  }
  if (length > 0) {
    set(t, F_ACK_NOW);
    ready(t);
  } else if (seq === t.rcvNxt - 1) {
    // A keepalive.
    heard(t);
    set(t, F_ACK_NOW);
    ready(t);
  } else {
    challenge(t);
  }
  return false;
}

/** RFC 5961 3.2. */
function resetArrives(t: Tcb, opening: bool): void {
  if (seq !== t.rcvNxt) {
    challenge(t);
    return;
  }
  count(TCP_RESETS_IN);
  if (opening && has(t, F_PASSIVE) && !has(t, F_DEFERRED)) {
    // Back to LISTEN: nobody knew of it.
    destroy(t);
    return;
  }
  fail(t, opening && !has(t, F_PASSIVE) ? E_REFUSED : E_RESET);
}

/** The ACK of our SYN ends SYN-RECEIVED. */
function acknowledgeOpening(t: Tcb): void {
  if (ack !== t.iss + 1) {
    resetStranger(destinationHi, destinationLo, sourceHi, sourceLo, t.localPort, t.remotePort, seq, ack, flags, segmentLength());
    return;
  }
  const sentAt = t.lastSent;
  establish(t);
  if (!has(t, F_SYN_RESENT) && sentAt !== 0) sampleRtt(t, now - sentAt);
  else t.rto = RTO_AFTER_SYN_LOSS;
  t.lastSent = 0;
  t.sndWnd = window << t.sndShift;
  t.maxSndWnd = max<u32>(t.maxSndWnd, t.sndWnd);
  t.sndWl1 = seq;
  t.sndWl2 = ack;
  // The window of our SYN-ACK was at most 64 KiB: tell the real one soon.
  set(t, F_ACK_NOW);
  ready(t);
  if (has(t, F_DEFERRED) || !has(t, F_PASSIVE)) raise(t, CONNECTED);
  else raise(t, ACCEPT);
  afterHandshake(t);
  if (hasStamp && has(t, F_TS)) takeStamp(t);
  takeText(t);
  if (<u32>t.state !== 0) rearm(t);
}

/** RFC 7323 4.3: only of a segment at the left edge. */
// @ts-ignore: decorator
@inline
function takeStamp(t: Tcb): void {
  if (!after(seq, t.lastAckSent) && <i32>(stampValue - t.tsRecent) >= 0) {
    t.tsRecent = stampValue;
    t.tsRecentAt = now;
  } else if (now - t.tsRecentAt >= PAWS_IDLE) {
    t.tsRecent = stampValue;
    t.tsRecentAt = now;
  }
}

/** @returns false = the segment goes no further */
function takeAck(t: Tcb): bool {
  if (after(ack, t.sndNxt)) {
    // Of what was never sent (RFC 5961 5).
    challenge(t);
    return false;
  }
  if (before(ack, t.sndUna)) {
    if (t.sndUna - ack > max<u32>(t.maxSndWnd, 0xffff)) {
      challenge(t);
      return false;
    }
    // An old one: its data may be good, its acknowledgment says nothing new.
    heard(t);
    return true;
  }
  heard(t);
  const bare = dataLength === 0 && (flags & FIN) === 0;
  acknowledge(t, seq, ack, window << t.sndShift, sackAt, sackBlocks, hasStamp, stampEcho, bare);
  if (t.unansweredSince !== 0 && t.sndWnd === 0) t.unansweredSince = now;
  if (has(t, F_FIN_ACKED)) return finAcknowledged(t);
  return true;
}

/** Our FIN has arrived. @returns false = the connection is over */
function finAcknowledged(t: Tcb): bool {
  const state = <u32>t.state;
  if (state === FIN_WAIT_1) {
    t.state = <u8>FIN_WAIT_2;
    if (has(t, F_ORPHAN)) t.stateAt = now + FIN_WAIT_2_TIMEOUT;
  } else if (state === CLOSING) {
    enterTimeWait(t);
    return false;
  } else if (state === LAST_ACK) {
    finish(t, CLOSED_EVENT);
    return false;
  }
  return true;
}

/** Payload and FIN, RFC 9293 3.10.7.4 seventh and eighth. */
function takeText(t: Tcb): void {
  const state = <u32>t.state;
  if (state !== ESTABLISHED && state !== FIN_WAIT_1 && state !== FIN_WAIT_2) {
    if (flags & FIN || dataLength > 0) {
      // After the peer's FIN there is only its repetition to acknowledge.
      set(t, F_ACK_NOW);
      ready(t);
    }
    return;
  }
  if (dataLength > 0) {
    if (has(t, F_ORPHAN) && after(seq + dataLength, t.rcvNxt)) {
      // Nobody will read it: the peer must know that it is lost (RFC 9293 3.6.1).
      abortConnection(t, E_ABORTED);
      return;
    }
    measureReceiver(t, hasStamp && has(t, F_TS) && stampEcho !== 0 ? echoedRtt(t, stampEcho) : -1);
    takeData(t, seq, data, dataLength);
  }
  if (flags & FIN || t.rcvNxt === t.rcvFinSeq) takeFin(t, flags & FIN ? true : false, seq + dataLength);
}

/** After FIN was taken in order; the state goes on. @returns nothing more to do with `t` if it ended */
export function finReceived(t: Tcb): void {
  const state = <u32>t.state;
  if (state === ESTABLISHED) t.state = <u8>CLOSE_WAIT;
  else if (state === FIN_WAIT_1) t.state = <u8>(has(t, F_FIN_ACKED) ? FIN_WAIT_2 : CLOSING);
  if (state === FIN_WAIT_2 || <u32>t.state === FIN_WAIT_2) enterTimeWait(t);
}
