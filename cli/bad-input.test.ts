/** Everything that `nexd proxy` must refuse: exit code 1, one line that names field and reason, nothing left behind. */

import { createSocket } from 'node:dgram';
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer as createTcp } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type RunOptions, run, Sandbox } from './testing/run.ts';

const key = (fill: number) => Buffer.alloc(32, fill).toString('base64');
const PRIVATE = key(0x5a);
const GOOD = `[Interface]\nPrivateKey = ${PRIVATE}\nAddress = 10.99.0.1/24\n\n[Peer]\nPublicKey = ${key(2)}\nAllowedIPs = 10.99.0.0/24\n`;

const box = new Sandbox();
let config: string;
const tcp = createTcp();
const udp = createSocket('udp4');
let busy: { tcp: number; udp: number };

beforeAll(async () => {
  config = box.file('wg0.conf', GOOD);
  await new Promise<void>(resolve => tcp.listen(0, '127.0.0.1', resolve));
  await new Promise<void>(resolve => udp.bind(0, '127.0.0.1', resolve));
  busy = { tcp: (tcp.address() as AddressInfo).port, udp: udp.address().port };
});
afterAll(() => {
  tcp.close();
  udp.close();
  box.remove();
});

let count = 0;

/** The one line that a refused start tells; everything else about the refusal is checked here. */
async function refusal(
  args: readonly string[],
  options: RunOptions = {},
  place: { state?: string; socket?: string; runtime?: string } = {},
): Promise<string> {
  const id = `t${++count}`;
  const socket = place.socket ?? box.join(`${id}.sock`);
  const runtime = place.runtime ?? box.join(`${id}-run`);
  const had = existsSync(runtime) ? readdirSync(runtime) : undefined;
  const all = [
    'proxy',
    '--unix-socket',
    socket,
    '--state-dir',
    place.state ?? box.join(id),
    '--runtime-dir',
    runtime,
    '--envoy',
    'none',
    ...args,
  ];
  const { code, signal, stdout, stderr } = await run('nexd', all, options);
  expect({ code, signal, stdout }, stderr).toEqual({ code: 1, signal: null, stdout: '' });
  const lines = stderr
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as { level: string; msg: string });
  const fatal = lines.filter(line => line.level === 'fatal');
  expect(fatal, stderr).toHaveLength(1);
  expect(lines.at(-1)).toBe(fatal[0]);
  expect(stderr).not.toContain(PRIVATE.slice(4, 40));
  if (place.socket === undefined) expect(existsSync(socket), 'the control socket is left').toBe(false);
  expect(existsSync(runtime) ? readdirSync(runtime) : undefined, 'the runtime directory is left').toEqual(had);
  return fatal[0]!.msg;
}

// integration-tests of Nexodus, TestProxyInvalidConfig: the 13 that are still invalid.
describe.concurrent("Nexodus' own list", () => {
  test.each([
    ['--ingress', 'tcp:90000:127.0.0.1:8080', 'invalid port (90000): out of range 0-65535'],
    ['--egress', 'tcp:90000:100.100.0.1:8080', 'invalid port (90000): out of range 0-65535'],
    ['--ingress', 'udp:90000:127.0.0.1:4242', 'invalid port (90000): out of range 0-65535'],
    ['--egress', 'udp:0:100.10j0.0.1:4242', 'invalid port (0): out of range 0-65535'],
    ['--ingress', 'tcp:8080:127.0.0.1:90000', 'invalid port (90000): out of range 0-65535'],
    ['--egress', 'tcp:8080:100.100.0.1:0', 'invalid port (0): out of range 0-65535'],
    ['--ingress', 'udp:4242:127.0.0.1:90000', 'invalid port (90000): out of range 0-65535'],
    ['--egress', 'udp:4242:100.100.0.1:0', 'invalid port (0): out of range 0-65535'],
    ['--ingress', 'tcpa:8080:127.0.0.1:80', 'invalid protocol (tcpa)'],
    ['--egress', 'tcpa:8080:100.100.0.1:80', 'invalid protocol (tcpa)'],
    ['--ingress', 'tcp:8080', 'invalid proxy rule format, must specify 4 colon-separated values (tcp:8080)'],
    ['--egress', 'tcp:8080', 'invalid proxy rule format, must specify 4 colon-separated values (tcp:8080)'],
    ['--egress', 'tcp:8080::80', 'invalid destination host:port (:80): host cannot be empty'],
  ])('%s %s', async (flag, rule, reason) => {
    expect(await refusal(['--config', config, flag, rule])).toBe(
      `Failed to add ${flag.slice(2)} proxy rule (${rule}): ${reason}`,
    );
  });
});

describe.concurrent('rules', () => {
  test.each([
    [
      ['--egress', 'tcp:abc:10.0.0.1:80'],
      'Failed to add egress proxy rule (tcp:abc:10.0.0.1:80): invalid port (abc): strconv.Atoi: parsing "abc": invalid syntax',
    ],
    [
      ['--egress', 'tcp:80:200::1:80'],
      'Failed to add egress proxy rule (tcp:80:200::1:80): invalid destination host:port (200::1:80): address 200::1:80: too many colons in address',
    ],
    [
      ['--egress', 'tcp:80:[::1:80'],
      "Failed to add egress proxy rule (tcp:80:[::1:80): invalid destination host:port ([::1:80): address [::1:80: missing ']' in address",
    ],
    [
      ['--egress', 'tcp:8181:10.0.0.1:80,tcp:8181:10.0.0.1:80'],
      'Failed to add egress proxy rule (tcp:8181:10.0.0.1:80): port already in use by another proxy rule',
    ],
    [
      ['--ingress', 'tcp:80:a:80', '--ingress', 'TCP:080:a:80'],
      'Failed to add ingress proxy rule (TCP:080:a:80): port already in use by another proxy rule',
    ],
    [
      ['--egress', ''],
      'Failed to add egress proxy rule (): invalid proxy rule format, must specify 4 colon-separated values ()',
    ],
    [
      ['--egress', 'tcp:80:10.0.0.1:80,'],
      'Failed to add egress proxy rule (): invalid proxy rule format, must specify 4 colon-separated values ()',
    ],
    [
      ['--egress', 'tcp:8181:db.example:80'],
      'Failed to add egress proxy rule (tcp:8181:db.example:80): invalid destination host (db.example): an egress destination must be an IP address',
    ],
    [['--egress', 'tcp:8181:100.10j0.0.1:80'], 'invalid destination host (100.10j0.0.1)'],
    [['--ingress', 'tcp:80:a b:80'], 'host has a character that no address or name has'],
  ])('%j', async (args, message) => {
    expect(await refusal(['--config', config, ...args])).toContain(message);
  });
});

describe.concurrent('flags', () => {
  test.each([
    [['--nonsense'], 'flag provided but not defined: -nonsense'],
    [['--egress'], 'flag needs an argument: -egress'],
    [
      [],
      'no WireGuard configuration: name one with --config FILE (joining a Nexodus network with --service-url is not supported yet)',
    ],
    [['--service-url', 'https://try.nexodus.io'], 'no WireGuard configuration: name one with --config FILE'],
    [
      ['--service-url', 'http://x'],
      "invalid '--service-url=http://x' flag provided. error: 'https://' URL scheme is required",
    ],
    [['--service-url', 'x'], "invalid '--service-url=x' flag provided. error: 'https://' URL scheme is required"],
    [
      ['--service-url', 'https://a', 'https://b'],
      'please remove the service URL positional argument, it was configured via the --service-url flag',
    ],
    [
      ['https://a', 'https://b'],
      'nexd only takes one positional argument, the service URL. Additional arguments ignored: [https://b]',
    ],
    [['http://a'], "invalid '--service-url=http://a' flag provided. error: 'https://' URL scheme is required"],
    [['--reg-key', 'RK:a', '--vpc-id', 'x'], 'the --reg-key and --vpc-id flags are mutually exclusive'],
    [
      ['--reg-key', 'RK:a', '--security-group-id', 'x'],
      'the --reg-key and --security-group-id flags are mutually exclusive',
    ],
    [
      ['--reg-key', 'https://a#RK:a', '--service-url', 'https://b'],
      'the --reg-key and --service-url flags are mutually exclusive',
    ],
    [['--vpc-id', 'xy'], 'invalid flag --vpc-id: invalid UUID length: 2'],
    [['--security-group-id', 'g'.repeat(36)], 'invalid flag --security-group-id: invalid UUID format'],
    [
      ['--request-ip', '1.2.3'],
      'the IP address passed in --request-ip 1.2.3 is not valid: 1.2.3 is not a valid v4 or v6 IP',
    ],
    [['--request-ip', '::1'], '--request-ip only supports IPv4 addresses'],
    [
      ['--local-endpoint-ip', 'x'],
      'the IP address passed in --local-endpoint-ip x is not valid: x is not a valid v4 or v6 IP',
    ],
    [['--stun-server', 'a:1'], 'at least two stun servers are required'],
    [['--stun-server', 'a:1,b'], '--stun-server b: is not host:port'],
    [['--listen-port', 'abc'], 'invalid value "abc" for flag -listen-port: it is not a number'],
    [['--listen-port', '65536'], 'invalid value "65536" for flag -listen-port: it is not from 0 to 65535'],
    [['--udp-idle', '0'], 'invalid value "0" for flag -udp-idle: it is not from 1 to 86400'],
    [['--log-level', 'loud'], 'invalid value "loud" for flag -log-level: it is not one of debug, info, warn, error'],
    [['--bind', 'localhost'], 'invalid value "localhost" for flag -bind: it is not an IP address'],
    [['--envoy', 'sometimes'], 'invalid value "sometimes" for flag -envoy: it is not auto, external, none or a path'],
    [['--interface-name', 'a/b'], 'invalid value "a/b" for flag -interface-name'],
    [['--interface-name', 'a'.repeat(16)], 'for flag -interface-name: it is not 1 to 15 letters'],
    [['--allow', 'egress:tcp:80'], 'invalid value "egress:tcp:80" for flag -allow: it is not KEY=PREFIX[,PREFIX]'],
    [['--allow', 'tcp:80=10.0.0.0/8'], 'tcp:80 is not a key such as egress:tcp:5432'],
    [
      ['--allow', 'egress:tcp:80=10.0.0.0/33'],
      'policy of egress/tcp/80: invalid allow prefix (10.0.0.0/33): not an address or CIDR',
    ],
    [['--deny', 'ingress/udp/53='], 'policy of ingress/udp/53: invalid deny prefix (): not an address or CIDR'],
  ])('%j', async (args, message) => {
    expect(await refusal(args)).toContain(message);
  });

  test.each([
    [{ NEXD_SERVICE_URL: 'ftp://x' }, "'https://' URL scheme is required"],
    [{ NEXD_LISTEN_PORT: '-1' }, 'invalid value "-1" for flag -listen-port: it is not a number'],
    [{ NEXD_VPC_ID: 'xy' }, 'invalid flag --vpc-id: invalid UUID length: 2'],
    [{ NEXAPI_SECURITY_GROUP_ID: 'xy' }, 'invalid flag --security-group-id: invalid UUID length: 2'],
    [
      { NEXD_RELAY_ONLY: 'maybe' },
      'could not parse "maybe" as bool value from environment variable "NEXD_RELAY_ONLY" for flag relay-only',
    ],
    [{ NEXD_CONFIG: '/nonexistent' }, '/nonexistent: cannot be read: there is no such file'],
  ])('environment %j', async (env, message) => {
    expect(await refusal([], { env: env as unknown as Record<string, string> })).toContain(message);
  });

  test.each([
    [['--bogus'], 'flag provided but not defined: -bogus'],
    [['--ingress', 'tcp:1:a:1', 'proxy'], 'flag provided but not defined: -ingress'],
    [['prxy'], 'unknown command prxy: see nexd --help'],
    [[], 'the agent mode (with a network interface) is not part of this nexd'],
    [['relay'], 'relay mode is not part of this nexd'],
    [['router', '--advertise-cidr', '10.0.0.0/8'], 'router mode is not part of this nexd'],
  ])('nexd %j', async (args, message) => {
    const { code, stdout, stderr } = await run('nexd', args);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
    expect((JSON.parse(stderr) as { msg: string }).msg).toContain(message);
  });
});

describe.concurrent('configuration files', () => {
  const edited = (from: string | RegExp, to: string) => GOOD.replace(from, to);
  test.each([
    ['empty', '', ':1: [Interface]: is missing'],
    ['no key', edited(/PrivateKey.*/, ''), ':1: [Interface] PrivateKey: is missing'],
    ['short key', edited(PRIVATE, PRIVATE.slice(0, 43)), ':2: [Interface] PrivateKey: is not a WireGuard key'],
    ['hex key', edited(PRIVATE, '5a'.repeat(32)), ':2: [Interface] PrivateKey: is not a WireGuard key'],
    [
      'two keys on a line',
      edited(PRIVATE, `${PRIVATE} ${PRIVATE}`),
      ':2: [Interface] PrivateKey: is not a WireGuard key',
    ],
    ['the key as the field', edited('PrivateKey = ', ''), ":2: line: is not 'Field = Value'"],
    ['no address', edited(/Address.*/, ''), ':1: [Interface] Address: is missing'],
    [
      'bad address',
      edited('10.99.0.1/24', '10.99.0.256/24'),
      ":3: [Interface] Address: '10.99.0.256/24' is not an IP address or CIDR",
    ],
    [
      'bad port',
      edited('[Peer]', 'ListenPort = 99999\n[Peer]'),
      ":5: [Interface] ListenPort: '99999' is not a number from 0 to 65535",
    ],
    ['unknown field', edited('Address', 'Adress'), ':3: [Interface] Adress: is not a field of this section'],
    ['bad peer key', edited(key(2), 'x'), ':6: [Peer] PublicKey: is not a WireGuard key'],
    [
      'bad prefix',
      edited('10.99.0.0/24', '10.99.0.0/64'),
      ":7: [Peer] AllowedIPs: '10.99.0.0/64' is not an IP address or CIDR",
    ],
    [
      'bad endpoint name',
      `${GOOD}Endpoint = -vpn.example:1\n`,
      "[Peer] Endpoint: '-vpn.example:1' has a host that is neither an address nor a name",
    ],
    ['endpoint without brackets', `${GOOD}Endpoint = fd00::1:51820\n`, '[Peer] Endpoint: '],
    [
      'keepalive',
      `${GOOD}PersistentKeepalive = 70000\n`,
      "[Peer] PersistentKeepalive: '70000' is neither 'off' nor a number of seconds",
    ],
    [
      'a peer twice',
      GOOD + GOOD.slice(GOOD.indexOf('[Peer]')),
      '[Peer] PublicKey: is the same as that of the peer on line 5',
    ],
    ['not text at all', '\0\x01\x02\xff', "line: is not 'Field = Value'"],
    ['several', '[Interface]\nMTU = 1\nListenPort = x\n', ':2: [Interface] MTU: '],
  ])('%s', async (name, text, message) => {
    const file = box.file(`${name.replaceAll(' ', '-')}.conf`, text);
    const told = await refusal(['--config', file]);
    expect(told).toContain(message);
    expect(told.startsWith(file)).toBe(true);
  });

  test('a folder, a missing file', async () => {
    expect(await refusal(['--config', box.path])).toBe(`${box.path}: cannot be read: it is a directory`);
    expect(await refusal(['--config', box.join('none')])).toBe(
      `${box.path}/none: cannot be read: there is no such file`,
    );
  });
});

describe('the machine', () => {
  const egress = (port: number, protocol = 'tcp') => [
    '--config',
    config,
    '--egress',
    `${protocol}:${port}:10.99.0.2:80`,
  ];

  test('a port in use', async () => {
    expect(await refusal(egress(busy.tcp))).toBe(
      `Failed to add egress proxy rule (tcp:${busy.tcp}:10.99.0.2:80): port ${busy.tcp}/tcp is already in use on this machine`,
    );
    expect(await refusal(egress(busy.udp, 'udp'))).toContain(`port ${busy.udp}/udp is already in use on this machine`);
  });

  test('an address that is not ours to listen on', async () => {
    expect(await refusal([...egress(8181), '--bind', '192.0.2.1'])).toContain(
      'port 8181/tcp cannot be listened on at 192.0.2.1: address is not one of this machine',
    );
  });

  test.skipIf(process.geteuid?.() !== 0)(
    'without privileges: a privileged port, an unreadable file, a directory of others',
    async () => {
      const theirs = box.file('theirs.conf', GOOD);
      chownSync(theirs, 65534, 65534);
      const home = box.join('nobody');
      mkdirSync(home, { mode: 0o700 });
      chownSync(home, 65534, 65534);
      chmodSync(box.path, 0o755);
      const options: RunOptions = { uid: 65534, env: { HOME: home, XDG_RUNTIME_DIR: home } };
      const place = { socket: `${home}/n.sock`, state: `${home}/state`, runtime: `${home}/run` };
      expect(await refusal(['--config', theirs, '--egress', 'tcp:80:10.99.0.2:80'], options, place)).toBe(
        'Failed to add egress proxy rule (tcp:80:10.99.0.2:80): port 80/tcp is privileged (below 1024): permission denied',
      );
      expect(await refusal(['--config', theirs, '--egress', 'udp:53:10.99.0.2:53'], options, place)).toContain(
        'port 53/udp is privileged',
      );
      expect(existsSync(place.socket)).toBe(false);
      expect(await refusal(['--config', config], options, place)).toBe(`${config}: cannot be read: permission denied`);
      const mine = box.join('mine');
      mkdirSync(mine, { mode: 0o700 });
      expect(await refusal(['--config', theirs], options, { ...place, state: `${mine}/x` })).toBe(
        `--state-dir ${mine}/x: cannot be made: permission denied`,
      );
      const foreign = box.join('foreign');
      mkdirSync(foreign, { mode: 0o755 });
      expect(await refusal(['--config', theirs], options, { ...place, runtime: foreign })).toContain(
        'it belongs to another user (uid 0)',
      );
    },
  );

  test('a runtime directory that others can enter, a link, a file, a path too long', async () => {
    const open = box.join('open');
    mkdirSync(open, { mode: 0o755 });
    const good = ['--config', config];
    expect(await refusal(good, {}, { runtime: open })).toBe(
      `--runtime-dir ${open}: other users may enter it (mode 755, must be 700)`,
    );
    const link = box.join('link');
    mkdirSync(box.join('target'), { mode: 0o700 });
    symlinkSync(box.join('target'), link);
    expect(await refusal(good, {}, { runtime: link })).toBe(`--runtime-dir ${link}: it is a symbolic link`);
    const long = box.join('l'.repeat(90));
    expect(await refusal(good, {}, { runtime: long })).toContain(
      `--runtime-dir ${long}: too long: a unix socket's path has at most 107 bytes`,
    );
    const file = box.file('plain', '');
    const { stderr } = await run('nexd', [
      'proxy',
      '--envoy',
      'none',
      ...good,
      '--runtime-dir',
      file,
      '--unix-socket',
      box.join('p.sock'),
      '--state-dir',
      box.join('p'),
    ]);
    expect(stderr).toContain('it is not a directory');
  });

  test('a control socket that is a file, or too long', async () => {
    const file = box.file('not-a-socket', 'mine');
    expect(await refusal(['--config', config], {}, { socket: file })).toBe(
      `--unix-socket: ${file} exists and is not a socket`,
    );
    expect(await refusal(['--config', config], {}, { socket: box.join('s'.repeat(100)) })).toContain(
      "--unix-socket: a unix socket's path has at most 107 bytes",
    );
  });

  test('a state directory that is a file', async () => {
    const file = box.file('state-file', '');
    expect(await refusal(['--config', config], {}, { state: file })).toBe(
      `--state-dir ${file}: cannot be made: not a directory`,
    );
  });

  test('an Envoy that is not there, is none, or is not executable', async () => {
    expect(await refusal(['--config', config, '--envoy', '/nonexistent/envoy'])).toMatch(
      /^--envoy \/nonexistent\/envoy: /,
    );
    writeFileSync(box.join('not-envoy'), '#!/bin/sh\necho hello\n', { mode: 0o700 });
    expect(await refusal(['--config', config, '--envoy', box.join('not-envoy')])).toMatch(/^--envoy .*not-envoy: /);
    const plain = box.file('plain-envoy', '', 0o600);
    expect(await refusal(['--config', config, '--envoy', plain])).toMatch(/^--envoy .*plain-envoy: /);
    expect(
      await refusal(['--config', config, '--envoy', 'auto'], { env: { ENVOY_BIN: '/nonexistent/envoy' } }),
    ).toMatch(/^--envoy auto: ENVOY_BIN: /);
  });
});
