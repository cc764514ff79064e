import { E_REFUSED, E_UNREACHABLE } from '../events';
import { learnPathMtu } from '../ip/pathmtu';
import { MEANS_REFUSED, MEANS_TOO_BIG } from '../icmp';
import { refitSegments } from './blackhole';
import { fail } from './lifecycle';
import { isOutstanding } from './scoreboard';
import { findConnection } from './table';
import { has, F_FIN_ACKED, none, SYN_SENT, SYN_RECEIVED } from './tcb';

/**
 * ICMP errors about a segment of ours (RFC 5927): believed only if they quote a sequence number in flight. They end nothing but an
 * attempt to connect; a path MTU is taken down.
 */
export function icmpForTcp(
  localHi: u64, localLo: u64, remoteHi: u64, remoteLo: u64, localPort: u32, remotePort: u32, seq: u32, meaning: u32, mtu: u32,
): void {
  const t = findConnection(localHi, localLo, remoteHi, remoteLo, localPort, remotePort);
  if (none(t)) return;
  const opening = <u32>t.state === SYN_SENT || <u32>t.state === SYN_RECEIVED;
  if (opening ? seq !== t.iss : !isOutstanding(t, seq)) return;
  if (meaning === MEANS_TOO_BIG) {
    const value = learnPathMtu(remoteHi, remoteLo, mtu);
    if (value < <u32>t.pathMtu) {
      t.pathMtu = <u16>value;
      if (!opening && !has(t, F_FIN_ACKED)) refitSegments(t);
    }
    return;
  }
  if (<u32>t.state === SYN_SENT) fail(t, meaning === MEANS_REFUSED ? E_REFUSED : E_UNREACHABLE);
}
