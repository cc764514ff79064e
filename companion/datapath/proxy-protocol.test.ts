import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatAddress, parseAddress } from '../../rules/index.ts';
import {
  emitProxyHeader,
  formatSocketAddress,
  MAX_HEADER_BYTES,
  type ProxyHeaderResult,
  parseProxyHeader,
  TLV,
} from './proxy-protocol.ts';

const at = (text: string, port: number) => ({ address: parseAddress(text)!, port });
const hex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));
const SIGNATURE = '0d0a0d0a000d0a515549540a';

/** The same header as read by a person with a hex dump: text in, text out, nothing shared with the parser. */
function slowTwin(
  bytes: Uint8Array,
): ProxyHeaderResult['state'] | { tlv: Record<string, string>; source: string; length: number } {
  const dump = Buffer.from(bytes).toString('hex');
  const shown = dump.slice(0, 24);
  if (shown !== SIGNATURE.slice(0, shown.length)) return 'invalid';
  const [versionCommand, family] = [dump.slice(24, 26), dump.slice(26, 28)];
  if (versionCommand !== '' && !['20', '21'].includes(versionCommand)) return 'invalid';
  if (family !== '' && !/^[0123][012]$/.test(family)) return 'invalid';
  if (dump.length < 32) return 'incomplete';
  const length = Number.parseInt(dump.slice(28, 32), 16);
  const block = { 0: 0, 1: 12, 2: 36, 3: 216 }[Number(family[0])]!;
  if (length + 16 > MAX_HEADER_BYTES || length < block) return 'invalid';
  if (bytes.length < length + 16) return 'incomplete';
  const body = dump.slice(32, 32 + 2 * length);
  let rest = body.slice(2 * block);
  const tlv: Record<string, string> = {};
  const seen: string[] = [];
  while (rest !== '') {
    const match = /^(..)(....)/.exec(rest);
    if (match === null) return 'invalid';
    const size = 2 * Number.parseInt(match[2]!, 16);
    if (rest.length < 6 + size) return 'invalid';
    const value = Buffer.from(rest.slice(6, 6 + size), 'hex').toString('latin1');
    const name = { e0: 'destination', e1: 'key', e2: 'peerPublicKey', e3: 'connectionId' }[match[1]!];
    rest = rest.slice(6 + size);
    if (name === undefined) continue;
    if (seen.includes(name) || !/^[!-~]{0,270}$/.test(value)) return 'invalid';
    seen.push(name);
    if (value !== '' && value !== '-') tlv[name] = value;
  }
  let source = 'none';
  if (versionCommand === '21' && family[0] === '1') source = body.slice(0, 8) + body.slice(16, 20);
  if (versionCommand === '21' && family[0] === '2') source = body.slice(0, 32) + body.slice(64, 68);
  return { tlv, source, length: length + 16 };
}

function told(result: ProxyHeaderResult): ReturnType<typeof slowTwin> {
  if (result.state !== 'complete') return result.state;
  const { source } = result.header;
  const address =
    source && Buffer.from(formatAddress(source.address).includes('.') ? source.address.subarray(12) : source.address);
  const port = source?.port.toString(16).padStart(4, '0');
  return {
    tlv: result.header.tlv,
    source: source === undefined ? 'none' : address!.toString('hex') + port,
    length: result.length,
  };
}

describe('emit and parse', () => {
  const header = emitProxyHeader(at('10.0.0.7', 40000), at('127.0.0.1', 5432), {
    destination: '100.100.0.2:5432',
    key: 'egress/tcp/5432',
    connectionId: '17',
  });

  test('the bytes of proxy-protocol.txt §2.2', () => {
    expect(
      Buffer.from(emitProxyHeader(at('10.0.0.7', 40000), at('127.0.0.1', 5432), { key: 'k' })).toString('hex'),
    ).toBe(`${SIGNATURE}2111` + '0010' + '0a000007' + '7f000001' + '9c40' + '1538' + 'e100016b');
  });

  test('what was emitted is read back', () => {
    const result = parseProxyHeader(header);
    expect(result).toEqual({
      state: 'complete',
      length: header.length,
      header: {
        command: 'proxy',
        source: at('10.0.0.7', 40000),
        destination: at('127.0.0.1', 5432),
        tlv: { destination: '100.100.0.2:5432', key: 'egress/tcp/5432', connectionId: '17' },
      },
    });
  });

  test('one IPv6 address makes both IPv6', () => {
    const bytes = emitProxyHeader(at('fd00::1', 1), at('127.0.0.1', 65535), { peerPublicKey: 'A'.repeat(44) });
    const result = parseProxyHeader(bytes);
    expect(bytes[13]).toBe(0x21);
    expect(result.state === 'complete' && formatSocketAddress(result.header.source!)).toBe('[fd00::1]:1');
    expect(result.state === 'complete' && formatSocketAddress(result.header.destination!)).toBe('127.0.0.1:65535');
  });

  test('every shorter piece asks for more, and data behind the header is left alone', () => {
    for (let length = 0; length < header.length; length++) {
      const result = parseProxyHeader(header.subarray(0, length));
      expect(result).toEqual({ state: 'incomplete', need: length < 16 ? 16 : header.length });
    }
    const more = Uint8Array.from([...header, ...header]);
    expect(parseProxyHeader(more)).toMatchObject({ state: 'complete', length: header.length });
  });

  test('a TLV that is no text of ours is refused before it is sent', () => {
    expect(() => emitProxyHeader(at('10.0.0.1', 1), at('10.0.0.2', 2), { key: 'a\nb' })).toThrow(RangeError);
    expect(() => emitProxyHeader(at('10.0.0.1', 1), at('10.0.0.2', 2), { key: 'a'.repeat(271) })).toThrow(RangeError);
  });
});

describe('hostile and odd input', () => {
  test.each([
    ['text of version 1', Buffer.from('PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n').toString('hex'), 'signature'],
    ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\n\r\n').toString('hex'), 'signature'],
    ['a wrong last byte of the signature', '0d0a0d0a000d0a515549540b', 'signature'],
    ['version 1 in the binary form', `${SIGNATURE}11`, 'version'],
    ['version 3', `${SIGNATURE}31`, 'version'],
    ['an unknown command', `${SIGNATURE}22`, 'command'],
    ['an unknown family', `${SIGNATURE}2141`, 'family'],
    ['an unknown transport', `${SIGNATURE}2113`, 'family'],
    ['more than we read', `${SIGNATURE}21110ff1`, 'too-long'],
    ['65535 bytes', `${SIGNATURE}2111ffff`, 'too-long'],
    ['a block too short for its family', `${SIGNATURE}2111000b${'00'.repeat(11)}`, 'address-block'],
    ['half a TLV head', `${SIGNATURE}2111000e${'00'.repeat(12)}e000`, 'tlv-length'],
    ['a TLV past the end', `${SIGNATURE}21110010${'00'.repeat(12)}e0000241`, 'tlv-length'],
    ['a TLV of ours twice', `${SIGNATURE}21110014${'00'.repeat(12)}e0000141e0000142`, 'tlv-twice'],
    ['a TLV twice, first absent', `${SIGNATURE}21110014${'00'.repeat(12)}e000012de0000142`, 'tlv-twice'],
    ['a control character', `${SIGNATURE}21110010${'00'.repeat(12)}e000010a`, 'tlv-text'],
    ['a byte above ASCII', `${SIGNATURE}21110010${'00'.repeat(12)}e10001c3`, 'tlv-text'],
  ])('%s', (_, text, defect) => {
    expect(parseProxyHeader(hex(text))).toEqual({ state: 'invalid', defect });
  });

  test('the literal - and the empty text are absent', () => {
    const result = parseProxyHeader(hex(`${SIGNATURE}21110013${'00'.repeat(12)}e000012de10000`));
    expect(result).toMatchObject({ state: 'complete', header: { tlv: {} } });
  });

  test('TLVs of others are passed over, whatever they hold', () => {
    const result = parseProxyHeader(hex(`${SIGNATURE}21110017${'00'.repeat(12)}ea0004ff00ff00e1000141`));
    expect(result).toMatchObject({ state: 'complete', header: { tlv: { key: 'A' } } });
  });

  test('LOCAL has no addresses', () => {
    const result = parseProxyHeader(hex(`${SIGNATURE}2011000c${'01'.repeat(12)}`));
    expect(result).toEqual({ state: 'complete', length: 28, header: { command: 'local', tlv: {} } });
  });

  test('a unix downstream has no addresses, but TLVs', () => {
    const result = parseProxyHeader(hex(`${SIGNATURE}213100dc${'01'.repeat(216)}e1000141`));
    expect(result).toEqual({ state: 'complete', length: 236, header: { command: 'proxy', tlv: { key: 'A' } } });
  });

  const tlv = fc.record({
    type: fc.constantFrom(...Object.values(TLV), 0x01, 0x04, 0xff),
    value: fc.oneof(fc.stringMatching(/^[!-~]{0,20}$/), fc.constant('-'), fc.string({ unit: 'binary', maxLength: 8 })),
  });

  test('agrees with the slow twin on headers, cut, patched and glued', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(0x20, 0x21, 0x21, 0x21),
        fc.constantFrom(0x00, 0x11, 0x11, 0x21, 0x31, 0x12),
        fc.array(tlv, { maxLength: 5 }),
        fc.array(fc.record({ at: fc.nat(60), to: fc.nat(255) }), { maxLength: 2 }),
        fc.integer({ min: -4, max: 4 }),
        fc.nat(400),
        (command, family, tlvs, patches, wrong, cut) => {
          const body = [...new Uint8Array([0, 12, 36, 216][family >> 4]!).fill(7)];
          for (const { type, value } of tlvs) {
            const bytes = Buffer.from(value, 'latin1');
            body.push(type, bytes.length >> 8, bytes.length & 0xff, ...bytes);
          }
          const length = Math.max(0, body.length + (patches.length === 0 ? 0 : wrong));
          const bytes = Uint8Array.from([
            ...hex(SIGNATURE),
            command,
            family,
            length >> 8,
            length & 0xff,
            ...body,
            1,
            2,
            3,
          ]);
          for (const { at, to } of patches) if (at < bytes.length) bytes[at] = to;
          const shown = bytes.subarray(0, Math.max(0, bytes.length - (cut > 300 ? cut - 300 : 0)));
          expect(told(parseProxyHeader(shown))).toEqual(slowTwin(shown));
        },
      ),
      { numRuns: 3000 },
    );
  });

  test('agrees with the slow twin on noise behind a right signature', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), noise => {
        const bytes = Uint8Array.from([...hex(SIGNATURE), ...noise]);
        expect(told(parseProxyHeader(bytes))).toEqual(slowTwin(bytes));
      }),
      { numRuns: 2000 },
    );
  });
});
