import { describe, expect, test } from 'vitest';
import { prefix } from './testing/packets.ts';
import { SeededRandom } from './testing/random.ts';
import { errnoReply, getReply, parseSet, UapiParser, type UapiRequest } from './uapi.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const parse = (text: string): UapiRequest[] => new UapiParser().push(bytes(text));
const KEY = '11'.repeat(32);
const PEER = '22'.repeat(32);

describe('a set', () => {
  test('with everything in it', () => {
    const [request] = parse(
      `set=1\nprivate_key=${KEY}\nlisten_port=51820\nfwmark=0\nreplace_peers=true\n` +
        `public_key=${PEER}\nupdate_only=true\npreshared_key=${KEY}\nendpoint=192.0.2.1:1234\n` +
        'persistent_keepalive_interval=25\nreplace_allowed_ips=true\nallowed_ip=10.0.0.0/8\nallowed_ip=-fd00::/64\n' +
        `protocol_version=1\npublic_key=${KEY}\nremove=true\nendpoint=[2001:db8::1]:443\n\n`,
    );
    if (request?.type !== 'set') throw new Error(JSON.stringify(request));
    const { set } = request;
    const clamped = new Uint8Array(32).fill(0x11);
    clamped[0] = 0x10;
    clamped[31] = 0x51;
    expect(set.privateKey).toEqual(clamped);
    expect([set.listenPort, set.replacePeers]).toEqual([51_820, true]);
    expect(set.peers[0]).toEqual({
      publicKey: new Uint8Array(32).fill(0x22),
      updateOnly: true,
      remove: false,
      presharedKey: new Uint8Array(32).fill(0x11),
      endpoint: { host: '192.0.2.1', port: 1234 },
      persistentKeepalive: 25,
      replaceAllowedIps: true,
      allowedIps: [
        { prefix: prefix('10.0.0.0/8'), remove: false },
        { prefix: prefix('fd00::/64'), remove: true },
      ],
    });
    expect(set.peers[1]).toMatchObject({ remove: true, endpoint: { host: '2001:db8::1', port: 443 } });
  });

  test('a zero key clears', () => {
    const parsed = parseSet([`private_key=${'00'.repeat(32)}`]);
    expect(parsed.ok && parsed.set.privateKey).toBe('clear');
  });

  test('an empty one is fine', () => {
    expect(parse('set=1\n\n')).toEqual([{ type: 'set', set: { replacePeers: false, peers: [] } }]);
  });

  test.each([
    ['nonsense=1', -22],
    ['listen_port=99999', -22],
    ['listen_port=-1', -22],
    ['listen_port=+1', -22],
    ['listen_port=', -22],
    ['private_key=12', -22],
    [`private_key=${'zz'.repeat(32)}`, -22],
    ['fwmark=x', -22],
    ['fwmark=7', -95],
    ['replace_peers=false', -22],
    ['no equals sign', -71],
    ['public_key=', -22],
    [`public_key=${PEER}\nendpoint=example.com:1`, -22],
    [`public_key=${PEER}\nendpoint=192.0.2.1`, -22],
    [`public_key=${PEER}\nendpoint=192.0.2.1:0`, -22],
    [`public_key=${PEER}\nallowed_ip=10.0.0.0/33`, -22],
    [`public_key=${PEER}\nallowed_ip=10.0.0.1`, -22],
    [`public_key=${PEER}\nallowed_ip=-`, -22],
    [`public_key=${PEER}\npersistent_keepalive_interval=65536`, -22],
    [`public_key=${PEER}\nprotocol_version=2`, -22],
    [`public_key=${PEER}\nremove=yes`, -22],
    [`public_key=${PEER}\nlisten_port=1`, -22],
    [`public_key=${PEER}\npreshared_key=1`, -22],
  ])('%s is refused by %i, and nothing of the set is done', (lines, errno) => {
    expect(parse(`set=1\nlisten_port=7\n${lines}\n\n`)).toEqual([{ type: 'error', errno }]);
  });

  test('after a refused one the connection goes on', () => {
    expect(parse('set=1\nbad\nlisten_port=1\n\nget=1\n\n').map(r => r.type)).toEqual(['error', 'get']);
  });
});

describe('a connection', () => {
  test('get, with nothing in it', () => {
    expect(parse('get=1\n\n')).toEqual([{ type: 'get' }]);
    expect(parse('get=1\nx=y\n\n')).toEqual([{ type: 'error', errno: -22 }]);
  });

  test('an unknown operation is hung up on, and nothing after it is heard', () => {
    const parser = new UapiParser();
    expect(parser.push(bytes('put=1\n\nget=1\n\n'))).toEqual([{ type: 'close' }]);
    expect(parser.push(bytes('get=1\n\n'))).toEqual([]);
  });

  test('pipelined operations, cut anywhere', () => {
    const random = new SeededRandom(Date.now() >>> 0);
    const text = `get=1\n\nset=1\nlisten_port=5\n\nset=1\npublic_key=${PEER}\nallowed_ip=::/0\n\nget=1\n\n`;
    const whole = parse(text);
    expect(whole.map(r => r.type)).toEqual(['get', 'set', 'set', 'get']);
    for (let round = 0; round < 50; round++) {
      const parser = new UapiParser();
      const requests: UapiRequest[] = [];
      for (let at = 0; at < text.length; ) {
        const end = at + 1 + random.below(20);
        requests.push(...parser.push(bytes(text.slice(at, end))));
        at = end;
      }
      expect(requests).toEqual(whole);
      expect(parser.midOperation).toBe(false);
    }
  });

  test('one that never finishes is seen to be in the middle', () => {
    const parser = new UapiParser();
    expect(parser.midOperation).toBe(false);
    parser.push(bytes('set=1\nlisten_'));
    expect(parser.midOperation).toBe(true);
  });

  test('a line of 64 KiB is an I/O error, with or without its end', () => {
    const long = 'x'.repeat(65_536);
    for (const text of [`set=1\n${long}\n\n`, `set=1\n${long}`]) {
      expect(parse(text)).toEqual([{ type: 'error', errno: -5 }, { type: 'close' }]);
    }
    expect(parse(`set=1\n${'x'.repeat(65_535)}\n\n`)).toEqual([{ type: 'error', errno: -71 }]);
  });

  test('130,561 allowed IPs in one set', () => {
    const lines = Array.from(
      { length: 130_561 },
      (_, i) => `allowed_ip=10.${i >>> 16}.${(i >>> 8) & 255}.${i & 255}/32`,
    );
    const [request] = parse(`set=1\npublic_key=${PEER}\n${lines.join('\n')}\n\n`);
    expect(request?.type === 'set' && request.set.peers[0]!.allowedIps.length).toBe(130_561);
  });
});

test('what a get answers', () => {
  const text = getReply({
    privateKey: new Uint8Array(32).fill(0x11),
    listenPort: 51_820,
    peers: [
      {
        publicKey: new Uint8Array(32).fill(0x22),
        endpoint: { host: '2001:db8::1', port: 7 },
        lastHandshake: 1_700_000_000_250,
        txBytes: 2 ** 40,
        rxBytes: 5,
        persistentKeepalive: 25,
        allowedIps: [prefix('10.0.0.0/8'), prefix('fd00::/64')],
      },
      { publicKey: new Uint8Array(32).fill(0x33), txBytes: 0, rxBytes: 0, persistentKeepalive: 0, allowedIps: [] },
    ],
  });
  expect(text.split('\n')).toEqual([
    `private_key=${KEY}`,
    'listen_port=51820',
    `public_key=${PEER}`,
    `preshared_key=${'00'.repeat(32)}`,
    'protocol_version=1',
    'endpoint=[2001:db8::1]:7',
    'last_handshake_time_sec=1700000000',
    'last_handshake_time_nsec=250000000',
    'tx_bytes=1099511627776',
    'rx_bytes=5',
    'persistent_keepalive_interval=25',
    'allowed_ip=10.0.0.0/8',
    'allowed_ip=fd00::/64',
    `public_key=${'33'.repeat(32)}`,
    `preshared_key=${'00'.repeat(32)}`,
    'protocol_version=1',
    'last_handshake_time_sec=0',
    'last_handshake_time_nsec=0',
    'tx_bytes=0',
    'rx_bytes=0',
    'persistent_keepalive_interval=0',
    'errno=0',
    '',
    '',
  ]);
  expect(getReply({ listenPort: 0, peers: [] })).toBe('errno=0\n\n');
  expect(errnoReply(-98)).toBe('errno=-98\n\n');
});
