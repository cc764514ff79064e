import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { UdpFlowTable } from './udp-flow-table.ts';

const buffer = new ArrayBuffer(64);
const views = { u8: new Uint8Array(buffer), view: new DataView(buffer) };
const AT = 8;

function put(host: number): number {
  views.u8.fill(0, AT, AT + 16);
  views.view.setUint32(AT + (host % 4) * 4, host + 1);
  return AT;
}

/** The same table as a list that is searched from the front and sorted by when each was active. */
class SlowTable {
  flows: { key: string; slot: number; active: number }[] = [];
  find(key: string): number {
    return this.flows.find(flow => flow.key === key)?.slot ?? -1;
  }
  touch(slot: number, now: number): void {
    const flow = this.flows.find(one => one.slot === slot)!;
    flow.active = now;
    this.flows = [...this.flows.filter(one => one !== flow), flow];
  }
  remove(slot: number): void {
    this.flows = this.flows.filter(flow => flow.slot !== slot);
  }
}

describe('UdpFlowTable', () => {
  test('agrees with a plain list over random flows, touches and removals', () => {
    const step = fc.record({
      what: fc.constantFrom('see', 'see', 'see', 'remove', 'remove-oldest'),
      host: fc.nat(11),
      port: fc.nat(5),
    });
    fc.assert(
      fc.property(
        fc.integer(),
        fc.integer({ min: 1, max: 40 }),
        fc.array(step, { maxLength: 120 }),
        (seed, capacity, steps) => {
          const table = new UdpFlowTable(capacity, seed);
          const slow = new SlowTable();
          let now = 0;
          for (const { what, host, port } of steps) {
            now++;
            const key = `${host} ${port}`;
            const slot = table.find(views, put(host), port);
            expect(slot).toBe(slow.find(key));
            if (what === 'see' && slot >= 0) {
              table.touch(slot, now);
              slow.touch(slot, now);
            } else if (what === 'see') {
              const made = table.insert(views, put(host), port, now);
              expect(made === -1).toBe(slow.flows.length === capacity);
              expect(slow.flows.map(flow => flow.slot)).not.toContain(made);
              if (made >= 0) slow.flows.push({ key, slot: made, active: now });
            } else if (what === 'remove' && slot >= 0) {
              table.remove(slot);
              slow.remove(slot);
            } else if (what === 'remove-oldest' && table.oldest >= 0) {
              expect(table.oldest).toBe(slow.flows[0]!.slot);
              slow.remove(table.oldest);
              table.remove(table.oldest);
            }
            expect([...table.slots()]).toEqual(slow.flows.map(flow => flow.slot));
            expect(table.size).toBe(slow.flows.length);
            for (const flow of slow.flows) expect(table.lastActive(flow.slot)).toBe(flow.active);
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  test('gives back the address and port it was given', () => {
    const table = new UdpFlowTable(4096, 1);
    const slots = Array.from({ length: 300 }, (_, host) => table.insert(views, put(host), 1000 + host, 0));
    table.readAddress(slots[257]!, views, 40);
    expect(views.u8.slice(40, 56)).toEqual(views.u8.slice(put(257), AT + 16));
    expect(table.port(slots[257]!)).toBe(1257);
  });

  test('a port of another host is another flow', () => {
    const table = new UdpFlowTable(4, 0);
    const slot = table.insert(views, put(1), 53, 0);
    expect(table.find(views, put(1), 54)).toBe(-1);
    expect(table.find(views, put(2), 53)).toBe(-1);
    expect(table.find(views, put(1), 53)).toBe(slot);
  });
});
