import { readIp, readSegment } from './segment.ts';

interface Direction {
  isn: number | undefined;
  /** Right edge that the other side has advertised to this one, as far as its packets went out at all. */
  edge: number | undefined;
  scale: number;
  peerSynced: boolean;
  highest: number;
  lastAck: number | undefined;
}

const after = (a: number, b: number): boolean => ((a - b) | 0) > 0;

/**
 * Invariants that any TCP must keep, checked on each packet as it leaves and on each connection after each turn:
 * checksums and lengths hold; nothing is sent beyond the edge that the other side has advertised but a window probe; an advertised edge
 * never retreats; acknowledgment numbers never go back; snd_una <= snd_nxt; something unacknowledged has a live timer.
 */
export class StreamChecker {
  readonly #sides: [Direction, Direction] = [blank(), blank()];

  /** @throws when an invariant breaks */
  sent(side: 0 | 1, packet: Uint8Array): void {
    if (readIp(packet).protocol !== 6) return;
    const s = readSegment(packet);
    const mine = this.#sides[side];
    const other = this.#sides[1 - side]!;
    if (s.flags.includes('R')) return;
    const length = s.data.length + (s.flags.includes('S') ? 1 : 0) + (s.flags.includes('F') ? 1 : 0);
    if (s.flags.includes('S')) {
      if (mine.isn !== s.seq) {
        mine.isn = s.seq;
        mine.highest = s.seq + 1;
      }
      mine.scale = s.scale ?? 0;
    }
    if (s.flags.includes('A')) {
      if (mine.lastAck !== undefined && after(mine.lastAck, s.ack))
        throw new Error(`side ${side}: ack went back from ${mine.lastAck} to ${s.ack}`);
      mine.lastAck = s.ack;
      const shift = s.flags.includes('S') ? 0 : mine.scale;
      const edge = (s.ack + s.window * 2 ** shift) >>> 0;
      if (other.edge !== undefined && after(other.edge, edge))
        throw new Error(`side ${side}: advertised edge went back by ${(other.edge - edge) | 0}`);
      other.edge = edge;
    }
    const end = (s.seq + length) >>> 0;
    if (mine.edge !== undefined && !s.flags.includes('S') && after(end, mine.edge) && length > 1)
      throw new Error(`side ${side}: sent ${(end - mine.edge) | 0} beyond the window`);
    if (after(end, mine.highest)) mine.highest = end;
  }

  /** @param state what `Netstack.inspect` tells, if the connection is there */
  connection(side: 0 | 1, state: Record<string, number> | undefined): void {
    if (state === undefined) return;
    const una = state['sndUna']!;
    const nxt = state['sndNxt']!;
    if (after(una, nxt)) throw new Error(`side ${side}: snd_una ${una} beyond snd_nxt ${nxt}`);
    const live = state['state']! >= 3 && state['state']! <= 9;
    if (live && una !== nxt && !Number.isFinite(state['timerAt']!))
      throw new Error(`side ${side}: bytes in flight and no timer`);
    if (live && state['sndQueued']! > 0 && !Number.isFinite(state['timerAt']!))
      throw new Error(`side ${side}: bytes queued and no timer`);
    if (state['inFlight']! > (nxt - una) >>> 0 && state['inFlight']! > 2 * ((nxt - una) >>> 0))
      throw new Error(`side ${side}: in flight ${state['inFlight']}`);
    if (state['sacked']! + state['lost']! > (nxt - una) >>> 0)
      throw new Error(`side ${side}: sacked and lost beyond what is out`);
  }

  /** One line about a packet, for traces. */
  describe(side: 0 | 1, packet: Uint8Array, now: number): string {
    try {
      const s = readSegment(packet);
      const mine = this.#sides[side];
      const other = this.#sides[1 - side]!;
      const seq = (s.seq - (mine.isn ?? s.seq)) >>> 0;
      const ack = s.flags.includes('A') ? (s.ack - (other.isn ?? 0)) >>> 0 : 0;
      const sacks = s.sacks
        ?.map(([a, b]) => `${(a - (other.isn ?? 0)) >>> 0}-${(b - (other.isn ?? 0)) >>> 0}`)
        .join(',');
      return `${(now / 1000).toFixed(3)} ${side === 0 ? '>' : '      <'} ${s.flags} ${seq}:${seq + s.data.length}(${s.data.length}) ack ${ack} win ${s.window}${sacks ? ` sack ${sacks}` : ''}`;
    } catch (error) {
      return `${(now / 1000).toFixed(3)} ${side} ${String(error)}`;
    }
  }
}

function blank(): Direction {
  return { isn: undefined, edge: undefined, scale: 0, peerSynced: false, highest: 0, lastAck: undefined };
}
