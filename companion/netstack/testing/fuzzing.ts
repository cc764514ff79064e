import * as EventBits from '../event-bits.ts';
import { bytesOf, Host } from './host.ts';
import { Random } from './random.ts';
import { checksum, ipPacket, isV4, readIp, readSegment, type Segment, writeSegment } from './segment.ts';

const OURS = ['10.0.0.1', 'fd00::1'] as const;
const THEIRS = ['10.0.0.2', 'fd00::2'] as const;

/**
 * Throws mutated packets of every kind at a stack that has listeners, connections in all states and bound UDP ports, and lets its
 * applications act at random meanwhile. Nothing may trap or hang, what it sends must be well formed, and in the end, when everything is
 * closed and time has passed, all memory must be back.
 * @throws with what broke
 */
export function fuzz(seed: number, packets: number): { sent: number; received: number } {
  const r = new Random(seed);
  const host = new Host([...OURS], { memoryBytes: 24 << 20, keepalive: r.chance(0.5) ? 0 : 1000, userTimeout: 60_000 });
  const { stack } = host;
  stack.listen(80, { deferred: false });
  stack.listen(81, { deferred: true });
  stack.udpBind(53);
  let now = 0;
  let sent = 0;
  const conns: number[] = [];
  const seen: Uint8Array[] = [];
  for (let i = 0; i < packets; i++) {
    const action = r.integer(0, 99);
    if (action < 5) {
      now += r.logarithmic(1, 10_000_000);
      stack.setNow(now);
      stack.advance();
    } else if (action < 8) {
      const conn = stack.connect(bytesOf(r.pick(THEIRS)), r.integer(1, 3));
      if (conn > 0) conns.push(conn);
    } else if (action < 15 && conns.length > 0) {
      act(host, r, r.pick(conns));
    } else {
      const packet = r.chance(0.5) && seen.length > 0 ? reply(r, r.pick(seen)) : invent(r);
      host.input(r.chance(0.3) ? mutate(r, packet) : packet);
    }
    for (const [conn, bits] of host.events()) {
      if (bits & EventBits.SYN && r.chance(0.7)) stack.accept(conn);
      if (!conns.includes(conn)) conns.push(conn);
    }
    for (const packet of host.poll(200)) {
      sent++;
      const ip = readIp(packet);
      if (ip.protocol === 6) {
        readSegment(packet);
        seen.push(packet);
        if (seen.length > 50) seen.shift();
      }
    }
    if (conns.length > 300) stack.abort(conns.shift()!);
  }
  for (const conn of conns) stack.close(conn);
  for (const [conn] of host.events()) stack.close(conn);
  for (let i = 0; i < 400; i++) {
    now += 1_000_000;
    stack.setNow(now);
    stack.advance();
    host.poll();
    for (const [conn] of host.events()) stack.close(conn);
  }
  const stats = stack.stats();
  for (const gauge of [
    'connections',
    'timeWaits',
    'recordsUsed',
    'halfOpen',
    'timers',
    'datagramsQueued',
    'pagesUsed',
  ] as const)
    if (stats[gauge] !== 0)
      throw new Error(
        `${gauge} = ${stats[gauge]} at the end ${JSON.stringify(stack.connections().map(conn => stack.inspect(conn)))}`,
      );
  return { sent, received: stats['packetsIn']! };
}

/** One call of the application's. */
function act(host: Host, r: Random, conn: number): void {
  const { stack } = host;
  switch (r.integer(0, 7)) {
    case 0:
    case 1:
    case 2:
      host.write(conn, new Uint8Array(r.logarithmic(1, 20_000)));
      break;
    case 3:
    case 4:
      host.read(conn, r.logarithmic(1, 100_000));
      break;
    case 5:
      stack.shutdown(conn);
      break;
    case 6:
      stack.close(conn);
      break;
    default:
      if (r.chance(0.3)) stack.abort(conn);
  }
}

/** A segment that answers one of the stack's, with numbers near the right ones. */
function reply(r: Random, packet: Uint8Array): Uint8Array {
  const s = readSegment(packet);
  const near = () => (r.chance(0.6) ? 0 : r.chance(0.5) ? r.integer(-3, 3) : r.integer(-100_000, 100_000));
  const length = s.data.length + (s.flags.includes('S') ? 1 : 0) + (s.flags.includes('F') ? 1 : 0);
  const answer: Segment = {
    source: s.destination,
    destination: s.source,
    sourcePort: s.destinationPort,
    destinationPort: s.sourcePort,
    seq: (s.ack + near()) >>> 0,
    ack: (s.seq + length + near()) >>> 0,
    flags: r.pick(['A', 'A', 'A', 'A', 'A', 'SA', 'S', 'FA', 'R', 'RA', '', 'SFRAP', 'AP']),
    window: r.pick([0, 1, 100, 5000, 65_535]),
    data: r.chance(0.4) ? r.bytes(r.pick([1, 2, 100, 1300])) : new Uint8Array(),
    ...(r.chance(0.7) ? { stamp: { value: Math.floor(r.next() * 2 ** 32), echo: s.stamp?.value ?? 0 } } : {}),
    ...(r.chance(0.3)
      ? {
          sacks: Array.from({ length: r.integer(1, 3) }, (): [number, number] => [
            (s.seq + r.integer(-2000, 5000)) >>> 0,
            (s.seq + r.integer(-2000, 9000)) >>> 0,
          ]),
        }
      : {}),
  };
  if (s.flags.includes('S') && r.chance(0.7)) {
    answer.flags = s.flags.includes('A') ? 'A' : 'SA';
    answer.ack = (s.seq + 1) >>> 0;
    if (s.flags.includes('A')) answer.seq = s.ack;
    if (s.stamp !== undefined) answer.stamp = { value: 1, echo: s.stamp.value };
    if (answer.flags === 'SA')
      Object.assign(answer, { mss: r.pick([1, 100, 536, 1380, 65_535]), scale: r.integer(0, 20), sackPermitted: true });
  }
  return writeSegment(answer);
}

/** A packet of nobody's: SYNs, UDP, ICMP, fragments, noise. */
function invent(r: Random): Uint8Array {
  const v6 = r.chance(0.5);
  const source = bytesOf(THEIRS[v6 ? 1 : 0]);
  const destination = bytesOf(OURS[v6 ? 1 : 0]);
  switch (r.integer(0, 6)) {
    case 0:
    case 1:
      return writeSegment({
        source,
        destination,
        sourcePort: r.integer(1, 200),
        destinationPort: r.pick([80, 81, 82]),
        seq: Math.floor(r.next() * 2 ** 32),
        ack: Math.floor(r.next() * 2 ** 32),
        flags: r.pick(['S', 'S', 'S', 'A', 'R', 'SA', 'F']),
        window: r.integer(0, 65_535),
        data: r.bytes(r.pick([0, 0, 0, 10])),
        mss: r.pick([0, 1, 536, 1380]),
        scale: r.integer(0, 255),
        sackPermitted: true,
        ...(r.chance(0.7) ? { stamp: { value: r.integer(0, 1000), echo: 0 } } : {}),
      });
    case 2: {
      const udp = new Uint8Array(8 + r.integer(0, 600));
      const view = new DataView(udp.buffer);
      view.setUint16(0, r.integer(1, 65_535));
      view.setUint16(2, r.pick([53, 54]));
      view.setUint16(4, r.chance(0.8) ? udp.length : r.integer(0, 65_535));
      return ipPacket(source, destination, 17, udp);
    }
    case 3: {
      const icmp = new Uint8Array(8 + r.integer(0, 600));
      icmp.set(r.bytes(icmp.length));
      icmp[0] = v6 ? r.pick([1, 2, 3, 4, 128, 129, 135]) : r.pick([0, 3, 8, 11, 12]);
      icmp[1] = r.integer(0, 5);
      if (icmp.length > 80) icmp.set(ipPacket(destination, source, r.pick([6, 17]), r.bytes(20)), 8);
      new DataView(icmp.buffer).setUint16(2, 0);
      if (!v6) new DataView(icmp.buffer).setUint16(2, checksum(icmp));
      return ipPacket(source, destination, v6 ? 58 : 1, icmp);
    }
    case 4:
      return fragment(r, source, destination);
    case 5:
      return ipPacket(source, destination, r.integer(0, 255), r.bytes(r.integer(0, 100)));
    default:
      return r.bytes(r.integer(1, 200));
  }
}

function fragment(r: Random, source: Uint8Array, destination: Uint8Array): Uint8Array {
  const offset = r.pick([0, 8, 16, 800, 1600, 65_528]);
  const more = r.chance(0.6);
  const data = r.bytes(r.pick([8, 16, 800, 13]));
  if (!isV4(source)) {
    const payload = new Uint8Array(8 + data.length);
    payload[0] = r.pick([6, 17, 58, 44, 60]);
    new DataView(payload.buffer).setUint16(2, offset | (more ? 1 : 0));
    new DataView(payload.buffer).setUint32(4, r.integer(0, 5));
    payload.set(data, 8);
    return ipPacket(source, destination, r.pick([44, 44, 44, 0, 43, 60]), payload);
  }
  const packet = ipPacket(source, destination, r.pick([6, 17, 1]), data);
  const view = new DataView(packet.buffer);
  view.setUint16(4, r.integer(0, 5));
  view.setUint16(6, (offset >>> 3) | (more ? 0x2000 : 0));
  view.setUint16(10, 0);
  view.setUint16(10, checksum(packet.subarray(0, 20)));
  return packet;
}

/** Damages a packet; half of the time checksums are put right again so that the damage gets further in. */
function mutate(r: Random, packet: Uint8Array): Uint8Array {
  let result = packet.slice();
  for (let i = r.integer(1, 4); i > 0; i--)
    result[r.integer(0, result.length - 1)]! = r.pick([0, 1, 127, 128, 255, r.integer(0, 255)]);
  if (r.chance(0.2)) result = result.slice(0, r.integer(0, result.length));
  if (result.length >= 40 && r.chance(0.7)) repair(result);
  return result;
}

function repair(packet: Uint8Array): void {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  if (packet[0]! >> 4 === 4) {
    packet[0] = 0x45;
    view.setUint16(2, packet.length);
    view.setUint16(10, 0);
    view.setUint16(10, checksum(packet.subarray(0, 20)));
  } else {
    packet[0] = 0x60;
    view.setUint16(4, packet.length - 40);
  }
  const { protocol, source, destination, payload } = readIp(packet);
  if (protocol !== 6 || payload.length < 20) return;
  const at = payload.byteOffset - packet.byteOffset;
  view.setUint16(at + 16, 0);
  const pseudo = isV4(source) ? new Uint8Array(12) : new Uint8Array(40);
  const head = new DataView(pseudo.buffer);
  if (isV4(source)) {
    pseudo.set(source.subarray(12), 0);
    pseudo.set(destination.subarray(12), 4);
    pseudo[9] = 6;
    head.setUint16(10, payload.length);
  } else {
    pseudo.set(source, 0);
    pseudo.set(destination, 16);
    head.setUint32(32, payload.length);
    pseudo[39] = 6;
  }
  view.setUint16(at + 16, checksum(pseudo, payload));
}
