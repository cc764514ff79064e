import { expect, test } from 'vitest';
import { AllowedIps, type Prefix } from './allowed-ips.ts';
import { address, prefix } from './testing/packets.ts';
import { SeededRandom } from './testing/random.ts';

function lookup(table: AllowedIps, bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return table.lookup(view.getInt32(0), view.getInt32(4), view.getInt32(8), view.getInt32(12));
}

function table(...entries: [string, number][]): AllowedIps {
  const made = new AllowedIps();
  for (const [text, peer] of entries) made.insert(prefix(text), peer);
  return made;
}

test('D-3: the longest prefix wins, device-wide', () => {
  const t = table(['10.0.0.0/8', 1], ['10.1.0.0/16', 2], ['10.1.2.3/32', 3], ['0.0.0.0/0', 4]);
  expect(lookup(t, address('10.9.9.9'))).toBe(1);
  expect(lookup(t, address('10.1.9.9'))).toBe(2);
  expect(lookup(t, address('10.1.2.3'))).toBe(3);
  expect(lookup(t, address('192.0.2.1'))).toBe(4);
  expect(lookup(t, address('::1'))).toBe(-1);
});

test('families are apart: neither default route takes the other', () => {
  const t = table(['::/0', 6]);
  expect(lookup(t, address('10.0.0.1'))).toBe(-1);
  expect(lookup(t, address('2001:db8::1'))).toBe(6);
  const u = table(['0.0.0.0/0', 4]);
  expect(lookup(u, address('2001:db8::1'))).toBe(-1);
  expect(lookup(u, address('255.255.255.255'))).toBe(4);
});

test('D-5: a prefix moves to the peer that claims it last', () => {
  const t = table(['10.0.0.0/24', 1], ['10.0.0.0/24', 2]);
  expect(lookup(t, address('10.0.0.1'))).toBe(2);
  expect(t.prefixesOf(1)).toEqual([]);
  expect(t.prefixesOf(2)).toHaveLength(1);
  expect(t.remove(prefix('10.0.0.0/24'), 1), 'not the owner').toBe(false);
  expect(t.remove(prefix('10.0.0.0/24'), 2)).toBe(true);
  expect(lookup(t, address('10.0.0.1'))).toBe(-1);
});

test('host bits of a prefix do not count', () => {
  const t = table(['10.1.2.3/8', 1], ['10.200.0.1/8', 2]);
  expect(lookup(t, address('10.1.2.3'))).toBe(2);
  expect(t.prefixesOf(2)).toEqual([prefix('10.0.0.0/8')].map(({ address, length }) => ({ address, length })));
});

const BITS = Array.from({ length: 256 }, (_, byte) => byte.toString(2).padStart(8, '0'));

/** The obvious way: a list, and every entry looked at. */
class NaiveTable {
  entries: { key: string; bits: string; v4: boolean; peer: number }[] = [];

  static bits({ address, length }: Prefix): { key: string; bits: string; v4: boolean } {
    const all = Array.from(address, byte => BITS[byte]).join('');
    const v4 = length >= 96 && all.startsWith('0'.repeat(80) + '1'.repeat(16));
    const bits = all.slice(0, length);
    return { key: bits, bits, v4 };
  }

  insert(p: Prefix, peer: number): void {
    const e = NaiveTable.bits(p);
    this.entries = this.entries.filter(x => x.key !== e.key);
    this.entries.push({ ...e, peer });
  }

  remove(p: Prefix, peer: number): boolean {
    const { key } = NaiveTable.bits(p);
    const before = this.entries.length;
    this.entries = this.entries.filter(x => x.key !== key || x.peer !== peer);
    return this.entries.length !== before;
  }

  lookup(bytes: Uint8Array): number {
    const host = NaiveTable.bits({ address: bytes, length: 128 });
    let best = { length: -1, peer: -1 };
    for (const { bits, v4, peer } of this.entries) {
      if (v4 === host.v4 && host.bits.startsWith(bits) && bits.length > best.length)
        best = { length: bits.length, peer };
    }
    return best.peer;
  }
}

test('D-5: agrees with a naive twin over 100,000 operations', () => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1e9);
  const random = new SeededRandom(seed);
  const where = `seed ${seed}`;
  const MAPPED = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
  // few distinct bits, so that prefixes nest, collide and share edges
  const bytes = (v4: boolean): Uint8Array => {
    const b = random.bytes(16).map(x => x & random.pick([0x00, 0x80, 0xc1, 0x03]));
    if (v4) b.set(MAPPED);
    return b;
  };
  for (let round = 0; round < 20; round++) {
    const fast = new AllowedIps();
    const naive = new NaiveTable();
    for (let i = 0; i < 5000; i++) {
      const v4 = random.chance(0.5);
      const p = { address: bytes(v4), length: v4 ? 96 + random.below(33) : random.below(129) };
      const peer = random.below(8);
      const dice = random.below(100);
      if (dice < 6) {
        fast.insert(p, peer);
        naive.insert(p, peer);
      } else if (dice < 9) {
        const old = random.chance(0.7) ? fast.prefixesOf(peer)[0] : undefined;
        const which = old ?? p;
        expect(fast.remove(which, peer), where).toBe(naive.remove(which, peer));
      } else if (dice === 9 && random.chance(0.1)) {
        fast.removePeer(peer);
        naive.entries = naive.entries.filter(e => e.peer !== peer);
      } else {
        const host = bytes(v4);
        const [a, b] = [lookup(fast, host), naive.lookup(host)];
        if (a !== b) throw new Error(`${where}, round ${round}, step ${i}: ${host} is ${a}, naive says ${b}`);
      }
    }
    const owned = [0, 1, 2, 3, 4, 5, 6, 7].flatMap(peer => fast.prefixesOf(peer)).length;
    expect(owned, where).toBe(naive.entries.length);
  }
});
