import { MessageChannel } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import { AF_UNIX, EFD_NONBLOCK, EPOLLET, EPOLLIN, EPOLLOUT, SOCK_NONBLOCK, SOCK_STREAM } from './constants.ts';
import { newLinearMemory } from './native-memory.ts';
import { EpollReactor } from './reactor.ts';
import { errnoName, nativeAddress, systemCalls } from './system-calls.ts';

const sys = systemCalls();
const memory = newLinearMemory(1 << 20);
const scratch = memory.reserve(64);
const at = memory.base + scratch;
const descriptors: number[] = [];
const reactors: EpollReactor[] = [];
afterEach(() => {
  for (const fd of descriptors.splice(0)) sys.close(fd);
  for (const reactor of reactors.splice(0)) reactor.close();
});

function reactorOf(o: Partial<ConstructorParameters<typeof EpollReactor>[0]> = {}): EpollReactor {
  const reactor = new EpollReactor({ sys, memory, ...o });
  reactors.push(reactor);
  return reactor;
}

function event(): number {
  const fd = sys.eventfd(0, EFD_NONBLOCK);
  descriptors.push(fd);
  return fd;
}

function raise(fd: number): void {
  memory.u32[scratch >>> 2] = 1;
  memory.u32[(scratch >>> 2) + 1] = 0;
  expect(sys.write(fd, at, 8)).toBe(8);
}

describe('systemCalls', () => {
  it('answers -errno', () => {
    expect(errnoName(sys.read(-1, at, 8))).toBe('EBADF');
    expect(errnoName(sys.socket(AF_UNIX, 99, 0))).toMatch(/^E/);
    expect(sys.read(event(), at, 8)).toBe(-11);
  });

  it('reads and writes at numeric addresses', () => {
    const bytes = new Uint8Array(8);
    const fd = event();
    raise(fd);
    expect(sys.read(fd, nativeAddress(bytes), 8)).toBe(8);
    expect(bytes[0]).toBe(1);
  });
});

describe('EpollReactor', () => {
  it('repeats level-triggered events and tells an edge once', () => {
    const reactor = reactorOf();
    const [level, edge] = [event(), event()];
    const seen: string[] = [];
    reactor.add(level, EPOLLIN, () => seen.push('level'));
    reactor.add(edge, EPOLLIN | EPOLLET, () => seen.push('edge'));
    raise(level);
    raise(edge);
    for (let i = 0; i < 3; i++) reactor.turn(0);
    expect(seen.sort()).toEqual(['edge', 'level', 'level', 'level']);
    reactor.modify(level, 0);
    raise(edge);
    reactor.turn(0);
    expect(seen.sort()).toEqual(['edge', 'edge', 'level', 'level', 'level']);
    reactor.modify(level, EPOLLOUT);
    reactor.turn(0);
    expect(seen.length).toBe(6);
  });

  it('forgets the events of a removed descriptor, also when its number lives again in the same turn', () => {
    const reactor = reactorOf();
    const [a, b] = [event(), event()];
    const seen: string[] = [];
    for (const [fd, other] of [
      [a, b],
      [b, a],
    ] as const)
      reactor.add(fd, EPOLLIN, () => {
        seen.push('first');
        reactor.remove(other);
        sys.close(other);
        expect(event()).toBe(other);
        reactor.add(other, EPOLLIN, () => seen.push('stale'));
      });
    raise(a);
    raise(b);
    reactor.turn(0);
    expect(seen).toEqual(['first']);
  });

  it('fires timers in order, not early, and none that was cleared', () => {
    const reactor = reactorOf();
    const start = reactor.now;
    const fired: [string, number][] = [];
    const set = (name: string, ms: number) =>
      reactor.setTimer(start + ms * 1000, () => fired.push([name, reactor.now - start]));
    set('c', 6);
    set('a', 2);
    const cleared = set('b', 4);
    reactor.clearTimer(cleared);
    reactor.setTimer(start + 8000, () => reactor.stop());
    reactor.run(() => Number.POSITIVE_INFINITY);
    expect(fired.map(([name]) => name)).toEqual(['a', 'c']);
    expect(fired[0]![1]).toBeGreaterThanOrEqual(2000);
    expect(fired[1]![1]).toBeGreaterThanOrEqual(6000);
  });

  it('wakes up by the kick of another thread and hands over its messages', () => {
    const { port1, port2 } = new MessageChannel();
    const got: unknown[] = [];
    const reactor = reactorOf({ port: port2, onMessage: message => got.push(message) });
    port1.postMessage({ a: 1 });
    port1.postMessage({ b: 2 });
    raise(reactor.kickDescriptor);
    reactor.turn(Number.POSITIVE_INFINITY);
    expect(got).toEqual([{ a: 1 }, { b: 2 }]);
    port1.close();
  });

  it('tells end of stream and hang-up without being asked', () => {
    const reactor = reactorOf();
    const fd = sys.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    descriptors.push(fd);
    const seen: number[] = [];
    reactor.add(fd, 0, events => seen.push(events));
    reactor.turn(0);
    expect(seen.length).toBe(1);
    expect(seen[0]! & 0x10).toBe(0x10);
  });
});
