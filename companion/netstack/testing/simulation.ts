import * as EventBits from '../event-bits.ts';
import { Host } from './host.ts';
import { Link, type LinkOptions } from './link.ts';
import { Random } from './random.ts';
import { StreamChecker } from './stream-checker.ts';

/** What one seed makes: two stacks, a path, and what the applications on them do. */
export interface Scenario {
  seed: number;
  mtu: [number, number];
  v6: boolean;
  wrap: boolean;
  deferred: boolean;
  there: LinkOptions;
  back: LinkOptions;
  /** Bytes that each side sends. */
  bytes: [number, number];
  /** Bytes per write, and bytes per read with the pause after it in µs (0 = all at once). */
  write: [number, number];
  read: [number, number];
  pause: [number, number];
  /** How a side ends: FIN when done; or a close() at once when done, without waiting for the other. */
  ending: ['shutdown' | 'close', 'shutdown' | 'close'];
  /** µs from start at which side 0 aborts; Infinity = never. */
  abortAt: number;
  /** The link swallows everything for a while. */
  outage: [from: number, to: number];
}

export interface Outcome {
  seed: number;
  ok: boolean;
  error?: string;
  /** Virtual µs that the transfer took. */
  took: number;
  packets: number;
  retransmits: number;
}

/** Longest virtual time that a scenario may take, µs. */
const LIMIT = 3_600_000_000;
const PORT = 4242;

export function makeScenario(seed: number): Scenario {
  const r = new Random(seed);
  const kind = r.integer(0, 9);
  const rate = r.chance(0.3) ? Number.POSITIVE_INFINITY : r.logarithmic(0.1 * 100, 100 * 100) / 100;
  const delay = r.logarithmic(20, 150_000);
  const harsh = kind === 9;
  const link = (): LinkOptions => ({
    delay,
    jitter: r.chance(0.3) ? r.integer(0, delay) : 0,
    loss: kind < 3 ? 0 : harsh ? r.next() * 0.4 : r.next() * 0.05,
    duplicate: r.chance(0.3) ? r.next() * 0.05 : 0,
    corrupt: r.chance(0.3) ? r.next() * 0.03 : 0,
    reorder: r.chance(0.4) ? r.next() * 0.3 : 0,
    reorderBy: r.integer(0, delay * 2),
    rate,
    queue: rate === Number.POSITIVE_INFINITY ? rate : Math.max(3000, rate * delay * 2 * r.next() * 2),
  });
  const size = () => (r.chance(0.1) ? 0 : r.logarithmic(1, harsh ? 30_000 : 600_000));
  const slow = r.chance(0.25);
  return {
    seed,
    mtu: [r.pick([1280, 1420, 1420, 1420, 1500, 9000]), r.pick([1280, 1420, 1420, 1420, 1500, 9000])],
    v6: r.chance(0.4),
    wrap: r.chance(0.25),
    deferred: r.chance(0.3),
    there: link(),
    back: link(),
    bytes: [size(), size()],
    write: [r.logarithmic(1, 100_000), r.logarithmic(1000, 100_000)],
    read: [
      slow ? r.logarithmic(100, 20_000) : Number.POSITIVE_INFINITY,
      slow && r.chance(0.5) ? r.logarithmic(100, 20_000) : Number.POSITIVE_INFINITY,
    ],
    pause: [slow ? r.integer(100, 20_000) : 0, slow ? r.integer(100, 20_000) : 0],
    ending: [r.pick(['shutdown', 'close']), r.pick(['shutdown', 'close'])],
    abortAt: r.chance(0.05) ? r.integer(0, delay * 20) : Number.POSITIVE_INFINITY,
    outage: r.chance(0.1) ? [r.integer(0, delay * 10), r.integer(delay * 10, 30_000_000)] : [0, 0],
  };
}

/** Whether the path is so bad, or the application so rude, that a connection may be given up. */
function hopeless(s: Scenario): boolean {
  return s.there.loss > 0.1 || s.back.loss > 0.1 || s.outage[1] > 0 || Number.isFinite(s.abortAt);
}

/** One end of the transfer: an application that writes so many bytes of a known pattern and checks what it reads. */
class Side {
  readonly host: Host;
  readonly index: 0 | 1;
  conn = 0;
  /** The handshake is over. */
  open = false;
  sent = 0;
  received = 0;
  ended = false;
  finished = false;
  closed = false;
  reset = false;
  nextRead = 0;
  readonly #scenario: Scenario;

  constructor(index: 0 | 1, scenario: Scenario) {
    this.index = index;
    this.#scenario = scenario;
    const own = scenario.v6 ? ['fd00::1', 'fd00::2'] : ['10.0.0.1', '10.0.0.2'];
    this.host = new Host([own[index]!], {
      mtu: scenario.mtu[index]!,
      seedByte: 1 + ((scenario.seed * 2 + index) & 0x7f),
      memoryBytes: 16 << 20,
      keepalive: 0,
    });
    if (scenario.wrap) this.host.stack.pinIsn(0xffff_ff00 - index * 0x1000);
  }

  /** Takes events, writes, reads, ends. */
  run(now: number): void {
    const { host } = this;
    const s = this.#scenario;
    for (const [conn, bits] of host.events()) {
      if (bits & EventBits.SYN) host.stack.accept(conn);
      if (bits & (EventBits.ACCEPT | EventBits.CONNECTED)) {
        this.conn = conn;
        this.open = true;
      }
      if (bits & (EventBits.RESET | EventBits.ERROR)) {
        this.reset = true;
        host.stack.close(conn);
        this.closed = true;
      }
    }
    if (!this.open || this.closed) return;
    if (now >= s.abortAt && this.index === 0) {
      host.stack.abort(this.conn);
      this.closed = true;
      return;
    }
    const total = s.bytes[this.index]!;
    while (this.sent < total) {
      const piece = pattern(this.index, this.sent, Math.min(s.write[this.index]!, total - this.sent));
      const wrote = host.write(this.conn, piece);
      this.sent += wrote;
      if (wrote < piece.length) break;
    }
    if (now >= this.nextRead && host.stack.recvAvailable(this.conn) > 0) {
      const data = host.read(this.conn, s.read[this.index]!);
      const expected = pattern(1 - this.index, this.received, data.length);
      if (Buffer.compare(data, expected) !== 0)
        throw new Error(`side ${this.index}: bytes differ after ${this.received}`);
      this.received += data.length;
      if (this.received > s.bytes[1 - this.index]!) throw new Error(`side ${this.index}: more bytes than were sent`);
      this.nextRead = now + s.pause[this.index]!;
    }
    this.ended = host.stack.recvEnded(this.conn) && host.stack.recvAvailable(this.conn) === 0;
    if (this.ended && this.received !== s.bytes[1 - this.index]!)
      throw new Error(`side ${this.index}: EOF after ${this.received} bytes`);
    if (this.sent === total && !this.finished) {
      this.finished = true;
      host.stack.shutdown(this.conn);
    }
    // Closing with data still to come would be a reset by rule; both endings wait for it, one of them for the ACKs as well.
    if (this.finished && this.ended && (s.ending[this.index] === 'close' || host.stack.sendQueued(this.conn) === 0)) {
      host.stack.close(this.conn);
      this.closed = true;
    }
  }

  /** When the application wants to run again by itself. */
  wake(now: number): number {
    return this.open && !this.closed && this.nextRead > now && this.host.stack.recvAvailable(this.conn) > 0
      ? this.nextRead
      : Number.POSITIVE_INFINITY;
  }
}

/** The byte at `offset` of the stream of that side, in a run of `length`. */
export function pattern(side: number, offset: number, length: number): Uint8Array {
  const result = new Uint8Array(length);
  for (let i = 0; i < length; i++) {
    const at = offset + i;
    result[i] = (at * 31 + (at >>> 8) * 17 + (at >>> 16) * 13 + side * 101) & 255;
  }
  return result;
}

/** Runs a scenario to its end and checks the invariants of `StreamChecker` on the way, unless only speed is asked for. Never throws. */
export function simulate(scenario: Scenario, trace?: (line: string) => void, check = true): Outcome {
  const outcome: Outcome = { seed: scenario.seed, ok: false, took: 0, packets: 0, retransmits: 0 };
  let now = 0;
  try {
    const sides = [new Side(0, scenario), new Side(1, scenario)] as const;
    const random = new Random(scenario.seed ^ 0x5eed);
    const links = [new Link(scenario.there, random), new Link(scenario.back, random)] as const;
    const checker = new StreamChecker();
    sides[1].host.stack.listen(PORT, { deferred: scenario.deferred });
    const conn = sides[0].host.connect(scenario.v6 ? 'fd00::2' : '10.0.0.2', PORT);
    if (conn < 0) throw new Error(`connect: ${conn}`);
    sides[0].conn = conn;
    let idle = 0;
    while (true) {
      for (const side of sides) side.host.stack.setNow(now);
      for (const side of sides) {
        const link = links[1 - side.index]!;
        for (let packet = link.take(now); packet !== undefined; packet = link.take(now)) side.host.input(packet);
      }
      let busy = false;
      let deadline = Math.min(links[0].next, links[1].next);
      for (const side of sides) {
        side.host.stack.advance();
        side.run(now);
        for (const packet of side.host.poll()) {
          outcome.packets++;
          busy = true;
          trace?.(checker.describe(side.index, packet, now));
          if (check) checker.sent(side.index, packet);
          const dark = now >= scenario.outage[0] && now < scenario.outage[1];
          if (!dark) links[side.index]!.send(packet, now);
        }
        checker.connection(side.index, side.conn === 0 ? undefined : side.host.stack.inspect(side.conn));
        deadline = Math.min(deadline, side.host.stack.advance(), side.wake(now), links[side.index]!.next);
      }
      idle = busy ? 0 : idle + 1;
      const over =
        sides.every(side => side.closed || (side.reset && !side.open)) ||
        (sides[0].closed && !sides[1].open && sides[1].conn === 0);
      if (
        over &&
        sides.every(side => side.host.stack.stats()['connections'] === 0 && side.host.stack.stats()['timeWaits'] === 0)
      )
        break;
      if (deadline === Number.POSITIVE_INFINITY) {
        // Without keepalive a side that missed the other's reset waits for ever, and is right to.
        if (over || hopeless(scenario)) return { ...outcome, ok: true, took: now };
        throw new Error('nothing will ever happen again');
      }
      if (now > LIMIT) throw new Error('did not finish');
      if (idle > 100_000) throw new Error('turns without a packet');
      now = Math.max(now, deadline);
    }
    for (const side of sides) {
      const stats = side.host.stack.stats();
      outcome.retransmits += stats['tcpRetransmits']!;
      const lasting = hopeless(scenario) && (sides[0].reset || sides[1].reset || Number.isFinite(scenario.abortAt));
      if (side.reset && !hopeless(scenario)) throw new Error(`side ${side.index} was reset`);
      if (!lasting && side.received !== scenario.bytes[1 - side.index])
        throw new Error(`side ${side.index} received ${side.received}`);
      for (const gauge of [
        'connections',
        'pagesUsed',
        'recordsUsed',
        'datagramsQueued',
        'timers',
        'halfOpen',
        'timeWaits',
      ] as const)
        if (stats[gauge] !== 0) throw new Error(`side ${side.index}: ${gauge} = ${stats[gauge]} at the end`);
    }
    outcome.ok = true;
  } catch (error) {
    outcome.error =
      error instanceof Error ? (trace === undefined ? error.message : (error.stack ?? error.message)) : String(error);
  }
  outcome.took = now;
  return outcome;
}
