import { now } from '../clock';
import { carve } from '../memory';
import { random32 } from '../random';
import { sipHash } from '../siphash';
import { findConnection } from './table';
import { endWaiting, findWaiting } from './timewait';
import { none } from './tcb';

/** Local ports of outgoing connections: RFC 6056 3.3.4, the double hash. A port serves as many destinations as there are. */

const FIRST: u32 = 32_768;
const RANGE: u32 = 65_536 - FIRST;
/** Counters, each shared by the destinations that hash to it. */
const COUNTERS: u32 = 1024;
const TAG_OFFSET: u64 = 4;
const TAG_COUNTER: u64 = 5;
/** A TIME-WAIT of this age may be reused if timestamps keep old segments out (RFC 6191), µs. */
const REUSE_AFTER: f64 = 1_000_000;

let counters: usize = 0;
/** The next sequence number of ours must be beyond that of the TIME-WAIT whose port was chosen. */
export let reused: bool = false;
export let reusedSequence: u32 = 0;

export function carvePorts(): void {
  counters = carve(<usize>COUNTERS << 2);
}

/** @returns a free local port towards that destination, 0 = all are taken */
export function choosePort(localHi: u64, localLo: u64, remoteHi: u64, remoteLo: u64, remotePort: u32): u32 {
  const offset = <u32>sipHash(localHi, localLo, remoteHi, remoteLo, remotePort, TAG_OFFSET);
  const counter = counters + (<usize>(<u32>sipHash(localHi, localLo, remoteHi, remoteLo, remotePort, TAG_COUNTER) % COUNTERS) << 2);
  const self = localLo === remoteLo && localHi === remoteHi;
  reused = false;
  for (let tries: u32 = 0; tries < RANGE; tries++) {
    // Steps of 1 to 8, lest the next port be told by the last.
    const next = load<u32>(counter) + (tries === 0 ? 1 + (random32() & 7) : 1);
    store<u32>(counter, next);
    const port = FIRST + ((offset + next) % RANGE);
    // A connection of a port to itself is none (RFC 9293 has it as simultaneous open with itself).
    if (self && port === remotePort) continue;
    if (!none(findConnection(localHi, localLo, remoteHi, remoteLo, port, remotePort))) continue;
    const w = findWaiting(localHi, localLo, remoteHi, remoteLo, port, remotePort);
    if (changetype<usize>(w) !== 0) {
      if (!w.stamps || now - w.since < REUSE_AFTER) continue;
      reused = true;
      reusedSequence = w.sndNxt;
      endWaiting(w);
    }
    return port;
  }
  return 0;
}
