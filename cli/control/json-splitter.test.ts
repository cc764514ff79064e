import fc from 'fast-check';
import { expect, test } from 'vitest';
import { JsonSplitter } from './json-splitter.ts';

const feed = (chunks: Iterable<string | Buffer>, limit = 1000) => {
  const splitter = new JsonSplitter(limit);
  const out: string[] = [];
  for (const chunk of chunks) {
    const complete = splitter.push(Buffer.from(chunk as string));
    if (complete === undefined) return undefined;
    out.push(...complete);
  }
  return { out, partial: splitter.partial };
};

test('any sequence of objects, cut anywhere, comes back', () => {
  const objects = fc.array(
    fc.dictionary(fc.string(), fc.jsonValue()).map(object => JSON.stringify(object)),
    { maxLength: 5 },
  );
  const blank = fc.constantFrom('', ' ', '\n', '\r\n', '\t ');
  fc.assert(
    fc.property(objects, blank, fc.array(fc.nat(200), { maxLength: 8 }), (texts, between, cuts) => {
      const bytes = Buffer.from(texts.map(text => text + between).join(''));
      const at = [0, ...cuts.map(cut => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
      const chunks = at.slice(1).map((end, i) => bytes.subarray(at[i], end));
      expect(feed(chunks, 100_000)).toEqual({ out: texts, partial: false });
    }),
  );
});

test.each([['x'], ['[]'], ['1'], ['"a"'], ['{}x'], ['{}]'], ['\0'], ['\xff\xfe']])('%j is no object', text => {
  expect(feed([text])).toBeUndefined();
});

test('braces in strings and escapes do not count', () => {
  const text = '{"a":"}\\"}{","b":["[",{}],"c":"\\\\"}';
  expect(feed([text])).toEqual({ out: [text], partial: false });
  expect(feed([...text])).toEqual({ out: [text], partial: false });
});

test('the limit holds for one object, whole or in parts', () => {
  const object = (length: number) => `{"a":"${'x'.repeat(length - 8)}"}`;
  expect(feed([object(100)], 100)?.out).toHaveLength(1);
  expect(feed([object(101)], 100)).toBeUndefined();
  expect(feed(object(101), 100)).toBeUndefined();
  expect(feed([object(100).repeat(50)], 100)?.out).toHaveLength(50);
  expect(feed(Array(12).fill('{"a":[[[['), 100)).toBeUndefined();
});
