import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { parseAddress } from '../rules/index.ts';
import { EndpointResolver, lookupAddresses } from './endpoint-resolver.ts';

const ONE = parseAddress('192.0.2.1')!;
const TWO = parseAddress('2001:db8::2')!;

describe('EndpointResolver', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  function resolver(answers: (Uint8Array[] | Error)[]) {
    const used: string[] = [];
    const retries: number[] = [];
    let asked = 0;
    const made = new EndpointResolver({
      target: { host: 'gateway.example', port: 51820 },
      lookup: async host => {
        expect(host).toBe('gateway.example');
        const answer = answers[Math.min(asked++, answers.length - 1)]!;
        if (answer instanceof Error) throw answer;
        return answer;
      },
      use: endpoint => used.push(Buffer.from(endpoint).toString('hex')),
      failed: (_, retryMs) => retries.push(retryMs),
    });
    return { made, used, retries, asked: () => asked };
  }
  const ms = (n: number) => vi.advanceTimersByTimeAsync(n);
  const hex = (address: Uint8Array) => Buffer.from(address).toString('hex') + 'ca6c';

  it('uses the first address, then the next ones while handshakes fail', async () => {
    const { made, used } = resolver([[ONE, TWO]]);
    await ms(0);
    made.failing(10_000);
    await ms(0);
    made.failing(20_000);
    await ms(0);
    expect(used).toEqual([ONE, TWO, ONE].map(hex));
  });

  it('follows a name that means another address now', async () => {
    const { made, used } = resolver([[ONE], [TWO]]);
    await ms(0);
    made.failing(10_000);
    await ms(0);
    expect(used).toEqual([ONE, TWO].map(hex));
  });

  it('asks at most every 5 s for failing handshakes', async () => {
    const { made, asked } = resolver([[ONE]]);
    await ms(0);
    for (const now of [10_000, 11_000, 14_999, 15_000]) {
      made.failing(now);
      await ms(0);
    }
    expect(asked()).toBe(3);
  });

  it('asks again after 1, 2, 4, ... 60 s for a name that does not resolve, and not after close', async () => {
    const { made, used, retries, asked } = resolver([...new Array<Error>(8).fill(new Error('ENOTFOUND')), [ONE]]);
    await ms(63_000);
    expect(retries).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 60_000]);
    await ms(120_000);
    expect(used).toEqual([hex(ONE)]);
    expect(retries.at(-1)).toBe(60_000);
    made.close();
    made.failing(1e9);
    await ms(1e6);
    expect(asked()).toBe(9);
  });

  it('gets addresses from the system', async () => {
    vi.useRealTimers();
    const found = (await lookupAddresses('localhost')).map(address => Buffer.from(address).toString('hex'));
    expect([
      Buffer.from(parseAddress('127.0.0.1')!).toString('hex'),
      Buffer.from(parseAddress('::1')!).toString('hex'),
    ]).toEqual(expect.arrayContaining(found));
    expect(found.length).toBeGreaterThan(0);
    await expect(lookupAddresses('no-such-host.invalid')).rejects.toThrow();
  });
});
