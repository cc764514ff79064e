import { describe, expect, test } from 'vitest';
import { Script, State } from '../testing/script.ts';

describe('trap-15 timestamps and PAWS, RFC 7323', () => {
  test('an older stamp is dropped and acknowledged', () => {
    const s = Script.passive();
    s.pass(10_000);
    s.send('A', { seq: 1, data: 'one' });
    s.drain();
    s.send('A', { seq: 4, data: 'old', stamp: { value: 4_000_000 } });
    s.expect('A', { ack: 4 });
    expect(s.stat('tcpPawsDrops')).toBe(1);
    expect(s.host.stack.recvAvailable(s.conn)).toBe(3);
  });

  test('the clock may wrap at 2^32', () => {
    const s = Script.passive({ clock: 2 ** 32 - 50 });
    let seq = 1;
    for (let i = 0; i < 20; i++) {
      s.send('A', { seq, data: 10 });
      seq += 10;
      s.pass(10_000);
    }
    expect(s.host.stack.recvAvailable(s.conn)).toBe(200);
    expect(s.stat('tcpPawsDrops')).toBe(0);
  });

  test('after 24 days of silence any stamp is good', () => {
    const s = Script.passive();
    s.pass(25 * 86_400_000_000);
    s.send('A', { seq: 1, data: 'back', stamp: { value: 4_000_000 } });
    expect(s.host.stack.recvAvailable(s.conn)).toBe(4);
  });

  test('a RST is exempt', () => {
    const s = Script.passive();
    s.send('R', { seq: 1, stamp: { value: 1 } });
    expect(s.host.stack.errorOf(s.conn)).toBe('reset');
  });

  test('the last ACK of the handshake may come without', () => {
    const s = new Script();
    s.host.stack.listen(80, { deferred: false });
    s.send('S', { seq: 0, ...s.synOptions() });
    s.expect('SA');
    s.send('A', { seq: 1, ack: 1, stamp: null });
    expect(s.stat('halfOpen')).toBe(0);
  });

  test('a segment out of order does not change the stamp that is echoed', () => {
    const s = Script.passive();
    const first = s.peerClock();
    s.pass(5000);
    s.send('A', { seq: 100, data: 'beyond', stamp: { value: first + 5 } });
    expect(s.expect('A').stamp!.echo).toBe(first);
    s.send('A', { seq: 1, data: new Uint8Array(99), stamp: { value: first + 4 } });
    expect(s.expect('A').stamp!.echo).toBe(first + 4);
  });

  test('without the option in the SYN there are none in ours', () => {
    const s = Script.passive({ stamps: false });
    expect(s.state).toBe(State.established);
    s.send('A', { seq: 1, data: 'x' });
    expect(s.expect('A').stamp).toBeUndefined();
    s.write(5000);
    expect(s.expect('A').data.length).toBe(1380);
  });
});

describe('trap-39 sequence numbers wrap', () => {
  test('in both directions within one transfer', () => {
    const s = Script.passive({ isn: 2 ** 32 - 2000, stackIsn: 2 ** 32 - 3000 });
    let seq = 1;
    for (let i = 0; i < 5; i++) {
      s.send('A', { seq, data: 1000 });
      seq += 1000;
    }
    expect(s.host.stack.recvAvailable(s.conn)).toBe(5000);
    s.drain();
    s.write(10_000);
    let acked = 1;
    for (const segment of s.drain()) acked = ((segment.seq - s.stackIsn) >>> 0) + segment.data.length;
    expect(acked).toBe(10_001);
    // A SACK across the wrap.
    s.send('A', { seq, ack: 1, sacks: [[1369, 10_001]] });
    s.send('A', { seq, ack: 10_001 });
    expect(s.get('inFlight')).toBe(0);
  });
});
