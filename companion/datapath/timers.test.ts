import { randomInt } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { type TimerId, TimerQueue } from './timers.ts';

describe('TimerQueue', () => {
  it('does what a sorted list does', () => {
    const queue = new TimerQueue();
    const twin = new Map<TimerId, number>();
    let now = 0;
    for (let step = 0; step < 20_000; step++) {
      const roll = randomInt(10);
      if (roll < 6) {
        const at = now + randomInt(1000);
        const id = queue.set(at, () => {
          expect(twin.get(id)).toBe(at);
          twin.delete(id);
        });
        twin.set(id, at);
      } else if (roll < 9) {
        const id = [...twin.keys()][randomInt(Math.max(1, twin.size))];
        if (id !== undefined) {
          queue.clear(id);
          twin.delete(id);
        }
      } else {
        now += randomInt(100);
        queue.fire(now);
        for (const at of twin.values()) expect(at).toBeGreaterThan(now);
      }
      expect(queue.deadline).toBe(Math.min(...twin.values(), Number.POSITIVE_INFINITY));
    }
  });

  it('leaves a timer that a timer sets, even if due, to the next call', () => {
    const queue = new TimerQueue();
    let rounds = 0;
    const again = () => {
      rounds++;
      queue.set(0, again);
    };
    queue.set(0, again);
    queue.fire(10);
    expect(rounds).toBe(1);
    queue.fire(10);
    expect(rounds).toBe(2);
  });

  it('ignores clearing what has fired', () => {
    const queue = new TimerQueue();
    const id = queue.set(1, () => {});
    queue.fire(1);
    queue.clear(id);
    queue.clear(999);
    expect(queue.deadline).toBe(Number.POSITIVE_INFINITY);
  });
});
