import { describe, expect, test } from 'vitest';
import { bytesOf, Host } from '../testing/host.ts';
import { Random } from '../testing/random.ts';
import { checksum, ipPacket, isV4, readIp } from '../testing/segment.ts';

const PAIRS = [
  ['10.0.0.1', '10.0.0.2'],
  ['fd00::1', 'fd00::2'],
] as const;

function transport(source: string, destination: string, protocol: number, payload: Uint8Array, at: number): Uint8Array {
  const from = bytesOf(source);
  const to = bytesOf(destination);
  const pseudo = new Uint8Array(isV4(from) ? 12 : 40);
  const view = new DataView(pseudo.buffer);
  if (isV4(from)) {
    pseudo.set(from.subarray(12), 0);
    pseudo.set(to.subarray(12), 4);
    pseudo[9] = protocol;
    view.setUint16(10, payload.length);
  } else {
    pseudo.set(from, 0);
    pseudo.set(to, 16);
    view.setUint32(32, payload.length);
    pseudo[39] = protocol;
  }
  const sum = protocol === 1 ? checksum(payload) : checksum(pseudo, payload);
  new DataView(payload.buffer).setUint16(at, sum === 0 && protocol === 17 ? 0xffff : sum);
  return ipPacket(from, to, protocol, payload);
}

function udp(source: string, destination: string, sourcePort: number, port: number, data: Uint8Array): Uint8Array {
  const datagram = new Uint8Array(8 + data.length);
  const view = new DataView(datagram.buffer);
  view.setUint16(0, sourcePort);
  view.setUint16(2, port);
  view.setUint16(4, datagram.length);
  datagram.set(data, 8);
  return transport(source, destination, 17, datagram, 6);
}

function echo(source: string, destination: string, data: Uint8Array): Uint8Array {
  const v4 = isV4(bytesOf(source));
  const icmp = new Uint8Array(8 + data.length);
  icmp[0] = v4 ? 8 : 128;
  icmp.set([0x12, 0x34, 0, 7], 4);
  icmp.set(data, 8);
  return transport(source, destination, v4 ? 1 : 58, icmp, 2);
}

describe.each(PAIRS)('UDP %s', (us, them) => {
  test.each([0, 1, 2, 1371, 1372, 1373, 1392, 1400, 2000, 9000, 65_507])(
    '%i bytes arrive at another stack, fragmented if need be',
    length => {
      const a = new Host([us]);
      const b = new Host([them]);
      a.stack.udpBind(1000);
      b.stack.udpBind(53);
      const data = new Random(length).bytes(length);
      expect(a.udpSend(1000, them, 53, data)).toBe(true);
      const packets = a.poll();
      for (const packet of packets) expect(packet.length).toBeLessThanOrEqual(1420);
      // Any order does.
      const told = packets.reverse().map(packet => b.input(packet));
      expect(told.pop()).toBe(1);
      expect(told.every(x => x === 0)).toBe(true);
      expect(b.udp()).toEqual({ source: bytesOf(us), sourcePort: 1000, localPort: 53, payload: data });
      expect(a.stack.stats()['pagesUsed']).toBe(0);
    },
  );

  test('checksums: wrong dropped; absent only in IPv4', () => {
    const b = new Host([them]);
    b.stack.udpBind(53);
    const packet = udp(us, them, 9, 53, Uint8Array.of(1, 2, 3));
    expect(b.input(packet)).toBe(1);
    const at = isV4(bytesOf(us)) ? 26 : 46;
    const none = packet.slice();
    none[at] = 0;
    none[at + 1] = 0;
    expect(b.input(none)).toBe(isV4(bytesOf(us)) ? 1 : 0);
    packet[at]! ^= 1;
    expect(b.input(packet)).toBe(0);
  });

  test('a sum of 0 is sent as 0xffff', () => {
    const a = new Host([us]);
    const seen = new Set<number>();
    for (let i = 0; i < 65_536; i++) {
      a.udpSend(1000, them, 53, Uint8Array.of(i >> 8, i & 255));
      for (const packet of a.poll()) seen.add(new DataView(readIp(packet).payload.slice().buffer).getUint16(6));
    }
    expect(seen.has(0)).toBe(false);
    expect(seen.has(0xffff)).toBe(true);
  });

  test('a closed port is answered by port unreachable, limited, and not for a multicast source', () => {
    const b = new Host([them]);
    const packet = udp(us, them, 9, 54, new Uint8Array(600));
    b.input(packet);
    const [answer] = b.poll();
    const ip = readIp(answer!);
    expect([ip.payload[0], ip.payload[1]]).toEqual(isV4(bytesOf(us)) ? [3, 3] : [1, 4]);
    expect(Buffer.compare(ip.payload.subarray(8, 40), packet.subarray(0, 32))).toBe(0);
    for (let i = 0; i < 1000; i++) b.input(packet);
    expect(b.poll().length).toBeLessThan(110);
    // The error comes back to the application that sent the datagram.
    const a = new Host([us]);
    a.stack.udpBind(9);
    expect(a.input(answer!)).toBe(2);
    expect(a.udp()).toMatchObject({ source: bytesOf(them), sourcePort: 54, localPort: 9 });
    b.input(udp(isV4(bytesOf(us)) ? '224.0.0.1' : 'ff02::1', them, 9, 54, new Uint8Array(1)));
    expect(b.poll()).toEqual([]);
  });

  test('to itself it loops back', () => {
    const a = new Host([us]);
    a.stack.udpBind(7);
    a.udpSend(8, us, 7, new Uint8Array(3000).fill(5));
    expect(a.poll()).toEqual([]);
    expect(a.stack.nextLocal()).toBe(1);
    expect(a.udp().payload.length).toBe(3000);
    expect(a.stack.nextLocal()).toBe(0);
    expect(a.stack.stats()['pagesUsed']).toBe(0);
  });

  test('trap-26 echo: the same bytes back, also fragmented', () => {
    const b = new Host([them]);
    for (const length of [0, 1, 56, 1372, 1380]) {
      const data = new Random(length).bytes(length);
      const request = echo(us, them, data);
      b.input(request);
      for (const packet of b.poll()) {
        const reply = readIp(packet);
        expect(reply.destination).toEqual(bytesOf(us));
        if (packet.length <= 1420 && reply.payload.length === 8 + length) {
          expect(reply.payload[0]).toBe(isV4(bytesOf(us)) ? 0 : 129);
          expect(Buffer.compare(reply.payload.subarray(4), readIp(request).payload.subarray(4))).toBe(0);
        }
      }
    }
    expect(b.stack.stats()['icmpEchoReplies']).toBe(5);
    for (let i = 0; i < 3000; i++) b.input(echo(us, them, new Uint8Array(10)));
    expect(b.poll().length).toBeLessThanOrEqual(1024);
  });
});

describe('UDP queue', () => {
  test('full = false, and room again after poll; a datagram too long or without route is dropped, counted, true', () => {
    const a = new Host(['10.0.0.1']);
    let sent = 0;
    while (a.udpSend(1, '10.0.0.2', 2, new Uint8Array(1000))) sent++;
    expect(sent).toBe(1024);
    expect(a.poll().length).toBe(1024);
    expect(a.udpSend(1, '10.0.0.2', 2, new Uint8Array(1000))).toBe(true);
    expect(a.udpSend(1, 'fd00::2', 2, new Uint8Array(10))).toBe(true);
    expect(a.udpSend(1, '10.0.0.2', 2, new Uint8Array(65_508))).toBe(true);
    expect(a.stack.stats()['udpDropped']).toBe(2);
  });

  test('ports: bound once, ephemeral ones on demand', () => {
    const a = new Host(['10.0.0.1']);
    expect(a.stack.udpBind(53)).toBe(53);
    expect(a.stack.udpBind(53)).toBe(-1);
    a.stack.udpUnbind(53);
    expect(a.stack.udpBind(53)).toBe(53);
    const port = a.stack.udpBind(0);
    expect(port).toBeGreaterThanOrEqual(32_768);
  });
});

describe('fragments', () => {
  const split = (packet: Uint8Array, sizes: number[]): Uint8Array[] => {
    const payload = packet.subarray(20);
    let at = 0;
    return sizes.map((size, i) => {
      const part = packet.slice(0, 20 + size);
      part.set(payload.subarray(at, at + size), 20);
      const view = new DataView(part.buffer);
      view.setUint16(2, part.length);
      view.setUint16(4, 77);
      view.setUint16(6, (at >> 3) | (i < sizes.length - 1 ? 0x2000 : 0));
      view.setUint16(10, 0);
      view.setUint16(10, checksum(part.subarray(0, 20)));
      at += size;
      return part;
    });
  };
  const make = () => udp('10.0.0.2', '10.0.0.1', 5, 53, new Random(1).bytes(100));

  test('a repeated fragment does no harm, an overlapping one ends the datagram (RFC 5722)', () => {
    const a = new Host(['10.0.0.1']);
    a.stack.udpBind(53);
    const [first, second, third] = split(make(), [40, 40, 28]);
    expect([first!, first!, third!, third!, second!].map(x => a.input(x))).toEqual([0, 0, 0, 0, 1]);
    const [wide] = split(make(), [48, 60]);
    expect([first!, wide!, second!, third!].map(x => a.input(x))).toEqual([0, 0, 0, 0]);
    expect(a.stack.stats()['reassemblyFailed']).toBe(1);
  });

  test('an unfinished datagram is forgotten after 30 s, and there are at most 32', () => {
    const a = new Host(['10.0.0.1']);
    a.stack.udpBind(53);
    const [first, second, third] = split(make(), [40, 40, 28]);
    a.input(first!);
    a.input(second!);
    a.stack.setNow(31_000_000);
    expect(a.input(third!)).toBe(0);
    for (let id = 100; id < 200; id++) {
      const part = first!.slice();
      const view = new DataView(part.buffer);
      view.setUint16(4, id);
      view.setUint16(10, 0);
      view.setUint16(10, checksum(part.subarray(0, 20)));
      a.input(part);
    }
    expect(a.stack.stats()['reassemblyFailed']).toBeGreaterThanOrEqual(68);
  });
});
