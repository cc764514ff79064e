/**
 * The parts of Go's standard library whose accepted inputs and error texts show through in Nexodus' messages:
 * strconv.Atoi, strconv.Quote and net.SplitHostPort. People grep for these texts, so they are kept to the letter.
 */

export type Parsed<T> = { ok: true; value: T } | { ok: false; error: string };

const INT64_MAX = 2n ** 63n - 1n;
const ESCAPES: Record<string, string> = {
  '\x07': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '\\': '\\\\',
  '"': '\\"',
};

/** A string in double quotes with everything that does not print escaped. */
export function goQuote(text: string): string {
  const body = Array.from(text, char => {
    const known = ESCAPES[char];
    if (known !== undefined) return known;
    const code = char.codePointAt(0)!;
    if (code < 0x20 || code === 0x7f) return `\\x${code.toString(16).padStart(2, '0')}`;
    if (!/[\p{L}\p{M}\p{N}\p{P}\p{S} ]/u.test(char)) {
      return code > 0xffff ? `\\U${code.toString(16).padStart(8, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
    }
    return char;
  });
  return `"${body.join('')}"`;
}

/** Decimal with an optional sign and any number of leading zeros (`080` and `+80` are 80), within 64 bits. */
export function goAtoi(text: string): Parsed<number> {
  const fail = (reason: string): Parsed<number> => ({
    ok: false,
    error: `strconv.Atoi: parsing ${goQuote(text)}: ${reason}`,
  });
  if (!/^[+-]?[0-9]+$/.test(text)) return fail('invalid syntax');
  const value = BigInt(text.replace(/^\+/, ''));
  if (value > INT64_MAX || value < -INT64_MAX - 1n) return fail('value out of range');
  return { ok: true, value: Number(value) };
}

/** `host:port`, `[host]:port`; brackets are needed when the host has a colon, and are taken off. The port is text. */
export function goSplitHostPort(text: string): Parsed<{ host: string; port: string }> {
  const fail = (reason: string): Parsed<{ host: string; port: string }> => ({
    ok: false,
    error: `address ${text}: ${reason}`,
  });
  const colon = text.lastIndexOf(':');
  if (colon < 0) return fail('missing port in address');
  let host = text.slice(0, colon);
  // Where a stray bracket would be looked for: after the opening one, after the closing one.
  let openFrom = 0;
  let closeFrom = 0;
  if (text.startsWith('[')) {
    const close = text.indexOf(']');
    if (close < 0) return fail("missing ']' in address");
    if (close + 1 === text.length) return fail('missing port in address');
    if (close + 1 !== colon)
      return fail(text[close + 1] === ':' ? 'too many colons in address' : 'missing port in address');
    host = text.slice(1, close);
    openFrom = 1;
    closeFrom = close + 1;
  } else if (host.includes(':')) {
    return fail('too many colons in address');
  }
  if (text.includes('[', openFrom)) return fail("unexpected '[' in address");
  if (text.includes(']', closeFrom)) return fail("unexpected ']' in address");
  return { ok: true, value: { host, port: text.slice(colon + 1) } };
}
