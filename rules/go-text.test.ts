import { expect, test } from 'vitest';
import { goAtoi, goQuote, goSplitHostPort } from './go-text.ts';

test.each([
  ['80', 80],
  ['080', 80],
  ['+80', 80],
  ['-1', -1],
  ['0', 0],
  ['-0', 0],
  ['00000000000000000000080', 80],
])('Atoi(%j) is %d', (text, value) => {
  const parsed = goAtoi(text);
  expect(parsed.ok && parsed.value + 0).toBe(value);
});

test.each([
  ['', 'strconv.Atoi: parsing "": invalid syntax'],
  ['abc', 'strconv.Atoi: parsing "abc": invalid syntax'],
  ['8_0', 'strconv.Atoi: parsing "8_0": invalid syntax'],
  ['0x50', 'strconv.Atoi: parsing "0x50": invalid syntax'],
  ['+', 'strconv.Atoi: parsing "+": invalid syntax'],
  [' 80', 'strconv.Atoi: parsing " 80": invalid syntax'],
  ['٨', 'strconv.Atoi: parsing "٨": invalid syntax'],
  ['99999999999999999999', 'strconv.Atoi: parsing "99999999999999999999": value out of range'],
  ['-9223372036854775809', 'strconv.Atoi: parsing "-9223372036854775809": value out of range'],
])('Atoi(%j) fails', (text, error) => {
  expect(goAtoi(text)).toEqual({ ok: false, error });
});

test.each([
  ['a"b\\c', '"a\\"b\\\\c"'],
  ['\x00\n\x7f', '"\\x00\\n\\x7f"'],
  ['é€', '"é€"'],
  ['\u200b\u2028', '"\\u200b\\u2028"'],
  ['\u{e0001}', '"\\U000e0001"'],
])('Quote(%j)', (text, quoted) => {
  expect(goQuote(text)).toBe(quoted);
});

test.each([
  ['127.0.0.1:80', '127.0.0.1', '80'],
  [':80', '', '80'],
  ['host:', 'host', ''],
  ['[::1]:80', '::1', '80'],
  ['[::1%lo]:http', '::1%lo', 'http'],
  ['[]:80', '', '80'],
  ['[host]:80', 'host', '80'],
])('SplitHostPort(%j)', (text, host, port) => {
  expect(goSplitHostPort(text)).toEqual({ ok: true, value: { host, port } });
});

test.each([
  ['host', 'missing port in address'],
  ['[::1]', 'missing port in address'],
  ['[::1]80', 'missing port in address'],
  ['[::1]:80:90', 'too many colons in address'],
  ['200::1:80', 'too many colons in address'],
  ['[::1:80', "missing ']' in address"],
  ['a[b:80', "unexpected '[' in address"],
  ['a]b:80', "unexpected ']' in address"],
  ['[a[b]:80', "unexpected '[' in address"],
  ['[::1]:8]', "unexpected ']' in address"],
])('SplitHostPort(%j) fails', (text, reason) => {
  expect(goSplitHostPort(text)).toEqual({ ok: false, error: `address ${text}: ${reason}` });
});
