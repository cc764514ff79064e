import { describe, expect, test } from 'vitest';
import { Script } from '../testing/script.ts';
import { checksum, ipPacket } from '../testing/segment.ts';

/** ICMPv4 fragmentation needed, or ICMPv6 packet too big, about a segment of the stack's. */
function tooBig(s: Script, mtu: number, seq: number): Uint8Array {
  const v6 = s.options.v6 === true;
  const quote = new Uint8Array(20);
  const view = new DataView(quote.buffer);
  view.setUint16(0, s.stackPort);
  view.setUint16(2, s.peerPort);
  view.setUint32(4, (s.stackIsn + seq) >>> 0);
  const quoted = ipPacket(s.us, s.them, 6, quote);
  const icmp = new Uint8Array(8 + quoted.length);
  icmp.set(quoted, 8);
  const head = new DataView(icmp.buffer);
  if (v6) {
    icmp[0] = 2;
    head.setUint32(4, mtu);
    const pseudo = new Uint8Array(40);
    pseudo.set(s.them, 0);
    pseudo.set(s.us, 16);
    new DataView(pseudo.buffer).setUint32(32, icmp.length);
    pseudo[39] = 58;
    head.setUint16(2, checksum(pseudo, icmp));
  } else {
    icmp[0] = 3;
    icmp[1] = 4;
    head.setUint16(6, mtu);
    head.setUint16(2, checksum(icmp));
  }
  return ipPacket(s.them, s.us, v6 ? 58 : 1, icmp);
}

describe('trap-23 MSS', () => {
  test.each([
    [1420, false, 1380],
    [1420, true, 1360],
    [1280, true, 1220],
    [9000, false, 8960],
  ])('MTU %i, IPv6 %s: the SYN offers %i', (mtu, v6, mss) => {
    const s = new Script({ mtu, v6 });
    expect(s.dial().mss).toBe(mss);
  });

  test.each([
    [{ mss: null }, 536 - 12],
    [{ mss: null, v6: true }, 1220 - 12],
    [{ mss: 1000 }, 1000 - 12],
    [{ mss: 65_535 }, 1380 - 12],
    [{ mss: 1 }, 48 - 12],
    [{ mss: 1000, stamps: false }, 1000],
  ])('peer says %o: segments of %i', (options, length) => {
    const s = Script.passive(options);
    s.write(3000);
    s.expect('A', { seq: 1, length });
  });
});

describe('trap-24 path MTU', () => {
  test.each([
    [false, 1300, 1300 - 52],
    [true, 1300, 1300 - 72],
    [false, 68, 552 - 52],
    [true, 600, 1280 - 72],
  ])('IPv6 %s: ICMP says %i, segments of %i follow at once, cwnd stays', (v6, mtu, length) => {
    const s = Script.passive({ v6 });
    s.write(4000);
    const cwnd = s.get('cwnd');
    s.drain();
    s.inject(tooBig(s, mtu, 1));
    s.expect('A', { seq: 1, length });
    expect(s.get('cwnd')).toBe(cwnd);
  });

  test('only if it quotes what is in flight', () => {
    const s = Script.passive();
    s.write(4000);
    s.drain();
    s.inject(tooBig(s, 1000, 50_000));
    s.inject(tooBig(s, 1000, -1));
    s.silent();
    expect(s.get('mss')).toBe(1368);
  });

  test('a black hole: after two RTOs of full segments smaller ones are tried', () => {
    const s = Script.passive();
    s.write(5000);
    s.drain();
    s.pass(2_000_000);
    expect(s.get('mss')).toBe(1280 - 52);
    s.send('A', { seq: 1, ack: 1 });
    const sizes = s.drain().map(x => x.data.length);
    expect(Math.min(...sizes)).toBeLessThanOrEqual(1228);
    expect(s.stat('tcpBlackHoles')).toBe(1);
  });

  test('setMtu takes hold at the next segment', () => {
    const s = Script.passive();
    s.host.stack.setMtu(1300);
    s.write(2000);
    s.expect('A', { seq: 1, length: 1248 });
  });
});

describe('trap-25 ICMP unreachable, RFC 5927', () => {
  const unreachable = (s: Script, code: number, seq: number): Uint8Array => {
    const packet = tooBig(s, 0, seq);
    packet[21] = code;
    packet[22] = 0;
    packet[23] = 0;
    new DataView(packet.buffer).setUint16(22, checksum(packet.subarray(20)));
    return packet;
  };

  test('while connecting it ends the attempt', () => {
    const s = new Script();
    s.dial();
    s.inject(unreachable(s, 1, 5));
    expect(s.get('state')).toBe(2);
    s.inject(unreachable(s, 1, 0));
    expect(s.host.stack.errorOf(s.conn)).toBe('unreachable');
    const t = new Script();
    t.dial();
    t.inject(unreachable(t, 3, 0));
    expect(t.host.stack.errorOf(t.conn)).toBe('refused');
  });

  test('of a standing connection it ends nothing', () => {
    const s = Script.passive();
    s.write(100);
    s.drain();
    for (let code = 0; code < 16; code++) if (code !== 4) s.inject(unreachable(s, code, 1));
    expect(s.get('state')).toBe(4);
  });
});
