import { expect, test } from 'vitest';
import { pcapHeader, pcapRecord } from './pcap.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

test('a file as libpcap reads it', () => {
  expect(hex(pcapHeader())).toBe('d4c3b2a10200040000000000' + '00000000' + 'ffff0000' + '65000000');
  const record = pcapRecord(Uint8Array.of(0x45, 1, 2), 1_700_000_000_123.456);
  // 1700000000 = 0x6553f100; 123456 us = 0x1e240
  expect(hex(record)).toBe('00f15365' + '40e20100' + '03000000' + '03000000' + '450102');
});

test('a packet past the snapshot length keeps its true length', () => {
  const record = pcapRecord(new Uint8Array(70_000), 0);
  const view = new DataView(record.buffer);
  expect([view.getUint32(8, true), view.getUint32(12, true), record.length]).toEqual([65_535, 70_000, 65_551]);
});
