import { expect, test } from 'vitest';
import { within } from './within.ts';

test('the value, the error, or the limit', async () => {
  expect(await within(1000, 'it', Promise.resolve(1))).toBe(1);
  await expect(within(1000, 'it', Promise.reject(new Error('no')))).rejects.toThrow('no');
  await expect(within(20, 'the data path', new Promise(() => {}))).rejects.toThrow(
    'the data path does not answer within 0.02 s',
  );
});
