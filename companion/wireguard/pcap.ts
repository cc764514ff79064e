/**
 * Writes inner packets as a pcap file (libpcap's classic format, microseconds, link type RAW: each record is an IP
 * packet), so that an operator can read with Wireshark what the tunnel carries. Bytes only; whoever calls stores them.
 */

const MAGIC_MICROSECONDS = 0xa1b2c3d4;
const LINKTYPE_RAW = 101;
const SNAPLEN = 65_535;

/** The 24 bytes that begin the file. */
export function pcapHeader(): Uint8Array {
  const header = new Uint8Array(24);
  const view = new DataView(header.buffer);
  view.setUint32(0, MAGIC_MICROSECONDS, true);
  view.setUint16(4, 2, true); // version 2.4
  view.setUint16(6, 4, true);
  view.setUint32(16, SNAPLEN, true);
  view.setUint32(20, LINKTYPE_RAW, true);
  return header;
}

/** One record: 16 bytes, then the packet. `wall`: Unix milliseconds, fractions count. */
export function pcapRecord(packet: Uint8Array, wall: number): Uint8Array {
  const captured = Math.min(packet.length, SNAPLEN);
  const record = new Uint8Array(16 + captured);
  const view = new DataView(record.buffer);
  const micros = Math.round(wall * 1000);
  view.setUint32(0, Math.floor(micros / 1e6), true);
  view.setUint32(4, micros % 1e6, true);
  view.setUint32(8, captured, true);
  view.setUint32(12, packet.length, true);
  record.set(packet.subarray(0, captured), 16);
  return record;
}
