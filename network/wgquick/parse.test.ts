import { x25519 } from '@noble/curves/ed25519.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseWgQuick } from './parse.ts';

const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64');
const key = (fill: number) => new Uint8Array(32).fill(fill);
const PRIVATE = base64(key(1));
const PUBLIC = base64(key(2));
const PSK = base64(key(3));

const INTERFACE = `[Interface]\nPrivateKey = ${PRIVATE}\nAddress = 10.0.0.1/24\n`;
const PEER = `[Peer]\nPublicKey = ${PUBLIC}\nAllowedIPs = 10.0.0.2/32\n`;

test('a whole file', () => {
  const text = `\ufeff# head
[interface]   # ours
  privatekey=${PRIVATE}
ADDRESS = 10.9.0.1/24 , 200::1/64
Address = 10.9.0.1/24, 10.8.0.1
ListenPort = 51820
MTU = 1420

[PEER]
PublicKey = ${PUBLIC}   # far
PresharedKey = ${PSK}
AllowedIPs = 10.9.0.0/16, 200::5/64
AllowedIPs = 0.0.0.0/0
Endpoint = vpn.example.org:51820
PersistentKeepalive = 25

[Peer]
PublicKey = ${base64(key(4))}
AllowedIPs = ::/0
Endpoint = [2001:db8::1]:4500
PersistentKeepalive = off
`;
  for (const file of [text, text.replaceAll('\n', '\r\n')]) {
    expect(parseWgQuick(file, 'wg0.conf')).toEqual({
      ok: true,
      warnings: [],
      config: {
        privateKey: key(1),
        addresses: ['10.9.0.1/24', '200::1/64', '10.8.0.1/32'],
        listenPort: 51820,
        mtu: 1420,
        peers: [
          {
            publicKey: key(2),
            presharedKey: key(3),
            allowedIps: ['10.9.0.0/16', '200::/64', '0.0.0.0/0'],
            endpoint: { host: 'vpn.example.org', port: 51820 },
            persistentKeepalive: 25,
          },
          { publicKey: key(4), allowedIps: ['::/0'], endpoint: { host: '2001:db8::1', port: 4500 } },
        ],
      },
    });
  }
});

test('the least that is needed; a zero preshared key is none', () => {
  const parsed = parseWgQuick(`${INTERFACE}${PEER}PresharedKey = ${base64(key(0))}\n`, 'f');
  expect(parsed).toMatchObject({ ok: true, config: { listenPort: 0, peers: [{ allowedIps: ['10.0.0.2/32'] }] } });
  expect(parsed.ok && 'presharedKey' in parsed.config.peers[0]!).toBe(false);
});

test('what wg-quick does to the machine is named in a warning', () => {
  const fields = [
    'DNS = 1.1.1.1',
    'Table = off',
    'FwMark = 0x1',
    'SaveConfig = true',
    'PreUp = a',
    'PostUp = b',
    'PreDown = c',
    'PostDown = iptables -D x; y',
  ];
  const parsed = parseWgQuick(`${INTERFACE}${fields.join('\n')}\n${PEER}`, 'wg0.conf');
  expect(parsed.ok).toBe(true);
  expect(parsed.warnings).toHaveLength(fields.length);
  for (const [i, field] of fields.entries()) {
    expect(parsed.warnings[i]).toMatch(
      new RegExp(`^wg0.conf:${4 + i}: \\[Interface\\] ${field.split(' ')[0]}: not honoured in userspace: `),
    );
  }
});

test('a prefix of two peers goes to the later one, with a warning', () => {
  const other = PEER.replace(PUBLIC, base64(key(5)));
  expect(parseWgQuick(INTERFACE + PEER + other, 'f').warnings).toEqual([
    'f:7: [Peer] AllowedIPs: 10.0.0.2/32 is taken over from the peer on line 4',
  ]);
});

describe('errors name file, line, field and reason', () => {
  const longName = `${'a'.repeat(64)}.example`;
  test.each([
    ['', 'f:1: [Interface]: is missing'],
    [PEER, 'f:1: [Interface]: is missing'],
    ['[Interface]\n', 'f:1: [Interface] PrivateKey: is missing', 'f:1: [Interface] Address: is missing'],
    [`[Interface]\nPrivateKey = ${PRIVATE}\nAddress =\n`, 'f:1: [Interface] Address: is empty'],
    [INTERFACE + INTERFACE, 'f:4: [Interface]: is given twice (first on line 1)'],
    [`${INTERFACE}[Pear]\nPublicKey = x\n`, "f:4: section: '[Pear]' is not [Interface] or [Peer]"],
    [`${INTERFACE}[Peer\n`, "f:4: section: '[Peer' is not [Interface] or [Peer]"],
    [`Address = 10.0.0.1\n${INTERFACE}`, 'f:1: Address: stands before any [Interface] or [Peer]'],
    [`${INTERFACE}nonsense\n`, "f:4: line: is not 'Field = Value'"],
    [`${INTERFACE}Adress = 10.0.0.1\n`, 'f:4: [Interface] Adress: is not a field of this section'],
    [`${INTERFACE}AllowedIPs = 10.0.0.1\n`, 'f:4: [Interface] AllowedIPs: is not a field of this section'],
    [`${INTERFACE}${PEER}ListenPort = 1\n`, 'f:7: [Peer] ListenPort: is not a field of this section'],
    [`${INTERFACE}ListenPort = 65536\n`, "f:4: [Interface] ListenPort: '65536' is not a number from 0 to 65535"],
    [`${INTERFACE}ListenPort = -1\n`, "f:4: [Interface] ListenPort: '-1' is not a number from 0 to 65535"],
    [`${INTERFACE}ListenPort = \n`, "f:4: [Interface] ListenPort: '' is not a number from 0 to 65535"],
    [`${INTERFACE}ListenPort = 1\nListenPort = 2\n`, 'f:5: [Interface] ListenPort: is given twice (first on line 4)'],
    [`${INTERFACE}MTU = 500\n`, "f:4: [Interface] MTU: '500' is not a number from 576 to 65535"],
    [
      `${INTERFACE}Address = ::1/128\nMTU = 1279\n`,
      'f:5: [Interface] MTU: 1279 is less than the 1280 that an IPv6 address needs',
    ],
    [`${INTERFACE}Address = 10.0.0/8\n`, "f:4: [Interface] Address: '10.0.0/8' is not an IP address or CIDR"],
    [`${INTERFACE}Address = 10.0.0.1/24,\n`, "f:4: [Interface] Address: '' is not an IP address or CIDR"],
    [`${INTERFACE}PrivateKey = ${PSK}\n`, 'f:4: [Interface] PrivateKey: is given twice (first on line 2)'],
    [INTERFACE.replace(PRIVATE, ''), 'f:2: [Interface] PrivateKey: is empty'],
    [INTERFACE.replace(PRIVATE, base64(key(0))), 'f:2: [Interface] PrivateKey: is all zero: no key'],
    [
      INTERFACE.replace(PRIVATE, PRIVATE.slice(1)),
      'f:2: [Interface] PrivateKey: is not a WireGuard key (44 characters of base64, here 43)',
    ],
    [
      INTERFACE.replace(PRIVATE, PRIVATE.replace('E=', 'F=')),
      'f:2: [Interface] PrivateKey: is not a WireGuard key (44 characters of base64, here 44)',
    ],
    [`${INTERFACE}[Peer]\nAllowedIPs = 10.0.0.2\n`, 'f:4: [Peer] PublicKey: is missing'],
    [
      `${INTERFACE}${PEER}PresharedKey = short\n`,
      'f:7: [Peer] PresharedKey: is not a WireGuard key (44 characters of base64, here 5)',
    ],
    [
      `${INTERFACE}${PEER}AllowedIPs = 10.0.0.0/33\n`,
      "f:7: [Peer] AllowedIPs: '10.0.0.0/33' is not an IP address or CIDR",
    ],
    [
      `${INTERFACE}${PEER}PersistentKeepalive = 65536\n`,
      "f:7: [Peer] PersistentKeepalive: '65536' is neither 'off' nor a number of seconds from 0 to 65535",
    ],
    [
      `${INTERFACE}${PEER}PersistentKeepalive = on\n`,
      "f:7: [Peer] PersistentKeepalive: 'on' is neither 'off' nor a number of seconds from 0 to 65535",
    ],
    [
      `${INTERFACE}${PEER}Endpoint = 1.2.3.4\n`,
      "f:7: [Peer] Endpoint: '1.2.3.4' has no port (IPv6 needs brackets: [ADDRESS]:PORT)",
    ],
    [
      `${INTERFACE}${PEER}Endpoint = 2001:db8::1:5182\n`,
      "f:7: [Peer] Endpoint: '2001:db8::1:5182' has no port (IPv6 needs brackets: [ADDRESS]:PORT)",
    ],
    [
      `${INTERFACE}${PEER}Endpoint = 1.2.3.4:0\n`,
      "f:7: [Peer] Endpoint: '1.2.3.4:0' has a port that is not 1 to 65535",
    ],
    [
      `${INTERFACE}${PEER}Endpoint = 1.2.3.4:99999\n`,
      "f:7: [Peer] Endpoint: '1.2.3.4:99999' has a port that is not 1 to 65535",
    ],
    [
      `${INTERFACE}${PEER}Endpoint = 1.2.3:51820\n`,
      "f:7: [Peer] Endpoint: '1.2.3:51820' has a host that is not an IPv4 address",
    ],
    [
      `${INTERFACE}${PEER}Endpoint = vpn_.-x:51820\n`,
      "f:7: [Peer] Endpoint: 'vpn_.-x:51820' has a host that is neither an address nor a name",
    ],
    [
      `${INTERFACE}${PEER}Endpoint = ${longName}:1\n`,
      'f:7: [Peer] Endpoint: (a value too much like a key to be shown) has a host that is neither an address nor a name',
    ],
    [
      `${INTERFACE}${PEER}Endpoint = vpn.example:wg\n`,
      "f:7: [Peer] Endpoint: 'vpn.example:wg' is not HOST:PORT or [IPV6]:PORT",
    ],
    [`${INTERFACE}${PEER}${PEER}`, 'f:7: [Peer] PublicKey: is the same as that of the peer on line 4'],
    [
      `${INTERFACE}${PEER.replace(PUBLIC, base64(x25519.getPublicKey(key(1))))}`,
      "f:4: [Peer] PublicKey: is this interface's own key",
    ],
  ])('%j', (text, ...errors) => {
    expect(parseWgQuick(text, 'f')).toMatchObject({ ok: false, errors });
  });

  test('all of a file at once, in order of lines', () => {
    const parsed = parseWgQuick(`[Interface]\nMTU = x\nListenPort = y\n[Peer]\nEndpoint = z\n`, 'f');
    expect(!parsed.ok && parsed.errors.map(error => error.split(':')[1])).toEqual(['1', '1', '2', '3', '4', '5']);
  });
});

test('no message holds a key, wherever it stands and however it is mangled', () => {
  const lines = [
    ...INTERFACE.split('\n'),
    ...PEER.split('\n'),
    `PresharedKey = ${PSK}`,
    'Endpoint = a.example:1',
    'DNS = 1.1.1.1',
    '[',
    'x',
  ];
  const secrets = [PRIVATE, PSK];
  const mangled = fc
    .constantFrom(...secrets)
    .chain(secret =>
      fc.constantFrom(
        secret,
        `${secret}x`,
        secret.slice(2),
        ` ${secret} =`,
        `PrivateKey ${secret}`,
        `MTU = ${secret}`,
        `Address = 1.1.1.1, ${secret}`,
        `Endpoint = ${secret}:1`,
        `[${secret}]`,
        `${secret} = 1`,
        `ListenPort = "${secret}"`,
        `PersistentKeepalive=${secret}`,
        `AllowedIPs = ${secret}/8`,
        `PostUp = wg set %i private-key ${secret}`,
        `PublicKey = ${secret}\\`,
        `DNS = ${secret}`,
      ),
    );
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.constantFrom(...lines), mangled), { maxLength: 15 }), some => {
      const parsed = parseWgQuick(some.join('\n'), 'f');
      const text = [...(parsed.ok ? [] : parsed.errors), ...parsed.warnings].join('\n');
      for (const secret of secrets) expect(text).not.toContain(secret.slice(4, 40));
    }),
    { numRuns: 2000 },
  );
});

test('any text is parsed or refused, never thrown at', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), text => {
      const parsed = parseWgQuick(text, 'f');
      expect(parsed.ok || parsed.errors.length > 0).toBe(true);
    }),
  );
});
