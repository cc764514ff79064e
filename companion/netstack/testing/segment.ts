/** TCP segments in IP packets as plain objects, read and written without any code of the stack's: the slow twin of its wire format. */
export interface Segment {
  source: Uint8Array;
  destination: Uint8Array;
  sourcePort: number;
  destinationPort: number;
  seq: number;
  ack: number;
  /** Letters in this order: S = SYN, F = FIN, R = RST, A = ACK, P = PSH. */
  flags: string;
  window: number;
  mss?: number;
  scale?: number;
  sackPermitted?: boolean;
  stamp?: { value: number; echo: number };
  sacks?: [start: number, end: number][];
  data: Uint8Array;
}

const FLAGS: readonly [string, number][] = [
  ['S', 0x02],
  ['F', 0x01],
  ['R', 0x04],
  ['A', 0x10],
  ['P', 0x08],
];

export function isV4(address: Uint8Array): boolean {
  return address.subarray(0, 10).every(byte => byte === 0) && address[10] === 0xff && address[11] === 0xff;
}

/** RFC 1071, as it is written there. */
export function checksum(...parts: Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) {
    for (let i = 0; i < part.length; i += 2) sum += (part[i]! << 8) | (part[i + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function pseudoHeader(source: Uint8Array, destination: Uint8Array, protocol: number, length: number): Uint8Array {
  if (isV4(source)) {
    const header = new Uint8Array(12);
    header.set(source.subarray(12), 0);
    header.set(destination.subarray(12), 4);
    header[9] = protocol;
    new DataView(header.buffer).setUint16(10, length);
    return header;
  }
  const header = new Uint8Array(40);
  header.set(source, 0);
  header.set(destination, 16);
  new DataView(header.buffer).setUint32(32, length);
  header[39] = protocol;
  return header;
}

/** Puts an IP header before a payload of that protocol. */
export function ipPacket(
  source: Uint8Array,
  destination: Uint8Array,
  protocol: number,
  payload: Uint8Array,
): Uint8Array {
  const v4 = isV4(source);
  const header = v4 ? 20 : 40;
  const packet = new Uint8Array(header + payload.length);
  const view = new DataView(packet.buffer);
  if (v4) {
    packet[0] = 0x45;
    view.setUint16(2, packet.length);
    view.setUint16(6, 0x4000);
    packet[8] = 64;
    packet[9] = protocol;
    packet.set(source.subarray(12), 12);
    packet.set(destination.subarray(12), 16);
    view.setUint16(10, checksum(packet.subarray(0, 20)));
  } else {
    packet[0] = 0x60;
    view.setUint16(4, payload.length);
    packet[6] = protocol;
    packet[7] = 64;
    packet.set(source, 8);
    packet.set(destination, 24);
  }
  packet.set(payload, header);
  return packet;
}

function optionBytes(s: Segment): number[] {
  const options: number[] = [];
  const word = (x: number) => [(x >>> 24) & 255, (x >>> 16) & 255, (x >>> 8) & 255, x & 255];
  if (s.mss !== undefined) options.push(2, 4, s.mss >> 8, s.mss & 255);
  if (s.sackPermitted === true) options.push(4, 2);
  if (s.stamp !== undefined) options.push(1, 1, 8, 10, ...word(s.stamp.value), ...word(s.stamp.echo));
  if (s.scale !== undefined) options.push(3, 3, s.scale);
  if (s.sacks !== undefined && s.sacks.length > 0)
    options.push(5, 2 + 8 * s.sacks.length, ...s.sacks.flatMap(([a, b]) => [...word(a), ...word(b)]));
  while (options.length % 4 !== 0) options.push(1);
  return options;
}

export function writeSegment(s: Segment): Uint8Array {
  const options = optionBytes(s);
  const tcp = new Uint8Array(20 + options.length + s.data.length);
  const view = new DataView(tcp.buffer);
  view.setUint16(0, s.sourcePort);
  view.setUint16(2, s.destinationPort);
  view.setUint32(4, s.seq);
  view.setUint32(8, s.ack);
  tcp[12] = ((20 + options.length) / 4) << 4;
  for (const [name, bit] of FLAGS) if (s.flags.includes(name)) tcp[13]! |= bit;
  view.setUint16(14, s.window);
  tcp.set(options, 20);
  tcp.set(s.data, 20 + options.length);
  view.setUint16(16, checksum(pseudoHeader(s.source, s.destination, 6, tcp.length), tcp));
  return ipPacket(s.source, s.destination, 6, tcp);
}

/** @throws when a length or checksum of the packet is wrong, or it is no TCP */
export function readSegment(packet: Uint8Array): Segment {
  const { protocol, source, destination, payload: tcp } = readIp(packet);
  if (protocol !== 6) throw new Error(`protocol ${protocol} is not TCP`);
  const view = new DataView(tcp.buffer, tcp.byteOffset, tcp.length);
  if (checksum(pseudoHeader(source, destination, 6, tcp.length), tcp) !== 0) throw new Error('TCP checksum');
  const header = (tcp[12]! >> 4) * 4;
  const bits = tcp[13]!;
  const segment: Segment = {
    source,
    destination,
    sourcePort: view.getUint16(0),
    destinationPort: view.getUint16(2),
    seq: view.getUint32(4),
    ack: view.getUint32(8),
    flags: FLAGS.filter(([, bit]) => bits & bit)
      .map(([name]) => name)
      .join(''),
    window: view.getUint16(14),
    data: tcp.slice(header),
  };
  for (let i = 20; i < header; ) {
    const kind = tcp[i]!;
    if (kind === 0) break;
    if (kind === 1) {
      i++;
      continue;
    }
    const size = tcp[i + 1]!;
    if (size < 2 || i + size > header) throw new Error('TCP options');
    if (kind === 2) segment.mss = view.getUint16(i + 2);
    else if (kind === 3) segment.scale = tcp[i + 2]!;
    else if (kind === 4) segment.sackPermitted = true;
    else if (kind === 8) segment.stamp = { value: view.getUint32(i + 2), echo: view.getUint32(i + 6) };
    else if (kind === 5) {
      segment.sacks = [];
      for (let at = i + 2; at < i + size; at += 8) segment.sacks.push([view.getUint32(at), view.getUint32(at + 4)]);
    }
    i += size;
  }
  return segment;
}

/** @throws when a length or the IPv4 checksum is wrong */
export function readIp(packet: Uint8Array): {
  protocol: number;
  source: Uint8Array;
  destination: Uint8Array;
  payload: Uint8Array;
  fragment: number;
  id: number;
} {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  if (packet[0]! >> 4 === 4) {
    if (view.getUint16(2) !== packet.length) throw new Error('IPv4 length');
    if (checksum(packet.subarray(0, 20)) !== 0) throw new Error('IPv4 checksum');
    const mapped = (at: number) =>
      Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, ...packet.subarray(at, at + 4)]);
    return {
      protocol: packet[9]!,
      source: mapped(12),
      destination: mapped(16),
      payload: packet.subarray(20),
      fragment: view.getUint16(6),
      id: view.getUint16(4),
    };
  }
  if (packet[0]! >> 4 !== 6) throw new Error('IP version');
  if (view.getUint16(4) + 40 !== packet.length) throw new Error('IPv6 length');
  return {
    protocol: packet[6]!,
    source: packet.slice(8, 24),
    destination: packet.slice(24, 40),
    payload: packet.subarray(40),
    fragment: 0,
    id: 0,
  };
}
