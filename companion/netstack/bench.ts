/**
 * What the stack alone costs per packet, one core, both directions apart: two stacks hand each other batches through memory copies that
 * are timed too (and told apart).
 *
 *   node companion/netstack/bench.ts [--connections 1] [--megabytes 512] [--batch 64]
 */
import { parseArgs } from 'node:util';
import * as EventBits from './event-bits.ts';
import type { Netstack } from './netstack.ts';
import { Host } from './testing/host.ts';

const { values } = parseArgs({
  options: {
    connections: { type: 'string', default: '1' },
    megabytes: { type: 'string', default: '512' },
    batch: { type: 'string', default: '64' },
  },
});
const connections = Number(values.connections);
const total = Number(values.megabytes) * 1e6;
const batch = Number(values.batch);
const STRIDE = 1536;

class End {
  readonly stack: Netstack;
  readonly slots: number;
  readonly lengths: number;
  readonly arrivals: number;
  readonly iov: number;
  input = 0;
  poll = 0;
  packets = 0;

  constructor(address: string) {
    this.stack = new Host([address], { memoryBytes: 256 << 20 }).stack;
    this.slots = this.stack.reserve(batch * STRIDE);
    this.arrivals = this.stack.reserve(batch * STRIDE);
    this.lengths = this.stack.reserve(batch * 4);
    this.iov = this.stack.reserve(64 * 16);
  }
}

const a = new End('10.0.0.1');
const b = new End('10.0.0.2');
const address = Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 2]);
let now = 0;

/** Everything that `from` may send arrives at `to`. */
function carry(from: End, to: End): number {
  let moved = 0;
  while (true) {
    const t0 = performance.now();
    const count = from.stack.poll(from.slots, STRIDE, batch, from.lengths);
    const t1 = performance.now();
    from.poll += t1 - t0;
    if (count === 0) return moved;
    to.stack.u8.set(from.stack.u8.subarray(from.slots, from.slots + count * STRIDE), to.arrivals);
    const t2 = performance.now();
    for (let i = 0; i < count; i++) to.stack.input(to.arrivals + i * STRIDE, from.stack.u32[(from.lengths >>> 2) + i]!);
    to.input += performance.now() - t2;
    from.packets += count;
    moved += count;
  }
}

function turn(): number {
  now += 50;
  a.stack.setNow(now);
  b.stack.setNow(now);
  a.stack.advance();
  b.stack.advance();
  return carry(a, b) + carry(b, a);
}

b.stack.listen(80, { deferred: false });
const senders: number[] = [];
for (let i = 0; i < connections; i++) senders.push(a.stack.connect(address, 80));
while (turn() > 0);
const receivers: number[] = [];
for (let conn = b.stack.nextEvent(); conn !== 0; conn = b.stack.nextEvent())
  if (b.stack.eventBits & EventBits.ACCEPT) receivers.push(conn);
while (a.stack.nextEvent() !== 0);

function transfer(bytes: number): number {
  let got = 0;
  const start = performance.now();
  while (got < bytes) {
    for (const conn of senders) {
      const spans = a.stack.sendReserve(conn, a.iov, 64);
      let room = 0;
      for (let i = 0; i < spans; i++) room += a.stack.u32[(a.iov >>> 2) + i * 4 + 2]!;
      a.stack.sendCommit(conn, room);
    }
    turn();
    for (const conn of receivers) {
      const available = b.stack.recvAvailable(conn);
      b.stack.recvConsume(conn, available);
      got += available;
    }
    while (a.stack.nextEvent() !== 0);
    while (b.stack.nextEvent() !== 0);
  }
  return performance.now() - start;
}

transfer(total / 4);
for (const end of [a, b]) {
  end.input = 0;
  end.poll = 0;
  end.packets = 0;
}
const took = transfer(total);
const line = (name: string, ms: number, packets: number) =>
  console.log(`${name.padEnd(28)} ${((ms * 1e6) / packets).toFixed(1).padStart(8)} ns/packet`);
console.log(
  `${connections} connections, ${(total / 1e6).toFixed(0)} MB, batches of ${batch}: ${((total * 8) / took / 1e6).toFixed(2)} Gbit/s with both ends on this core`,
);
console.log(`${a.packets} data packets, ${b.packets} acknowledgments`);
line('poll, data segments', a.poll, a.packets);
line('input, data segments', b.input, a.packets);
line('poll, acknowledgments', b.poll, b.packets);
line('input, acknowledgments', a.input, b.packets);
const retransmits = a.stack.stats()['tcpRetransmits'];
if (retransmits !== 0) console.log(`retransmits ${retransmits}`);
