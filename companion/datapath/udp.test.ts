import { randomBytes } from 'node:crypto';
import dgram from 'node:dgram';
import { afterEach, describe, expect, test } from 'vitest';
import { type NodeOptions, proxyKey, Testbed } from './relay-testbed.ts';
import { freePort, until } from './relay-testends.ts';

/** A UDP socket of an application: what came, and from where. */
class Datagrams {
  readonly socket: dgram.Socket;
  readonly received: { data: Buffer; port: number; address: string }[] = [];
  error: string | undefined;

  private constructor(socket: dgram.Socket) {
    this.socket = socket;
    socket.on('message', (data, from) => this.received.push({ data, port: from.port, address: from.address }));
    socket.on('error', error => {
      this.error = (error as NodeJS.ErrnoException).code ?? error.message;
    });
  }

  static async open(address = '127.0.0.1', answer?: (data: Buffer) => Buffer): Promise<Datagrams> {
    const made = new Datagrams(
      dgram.createSocket({ type: address.includes(':') ? 'udp6' : 'udp4', recvBufferSize: 4 << 20 }),
    );
    if (answer !== undefined)
      made.socket.on('message', (data, from) => made.socket.send(answer(data), from.port, from.address));
    await new Promise<void>(resolve => made.socket.bind(0, address, resolve));
    opened.push(made);
    return made;
  }

  get port(): number {
    return this.socket.address().port;
  }

  send(data: string | Uint8Array, port: number, address = '127.0.0.1'): void {
    this.socket.send(data, port, address);
  }

  get texts(): string[] {
    return this.received.map(({ data }) => data.toString());
  }
}

const opened: Datagrams[] = [];
let testbed: Testbed;

afterEach(async () => {
  for (const one of opened.splice(0)) one.socket.close();
  await testbed.close();
});

const echo = () => Datagrams.open('127.0.0.1', data => data);

/** Client -> near:port -> tunnel -> far:53 -> service. */
async function open(
  service: Datagrams,
  near: NodeOptions = {},
  more: Parameters<typeof proxyKey>[2] = {},
): Promise<number> {
  testbed = new Testbed(near);
  testbed.far.set(proxyKey('ingress/udp/53', [`127.0.0.1:${service.port}`], more));
  const port = await freePort();
  const [report] = testbed.near.set(proxyKey(`egress/udp/${port}`, ['10.0.0.2:53'], more));
  expect(report).toMatchObject({ ok: true });
  return report!.udpPorts?.[0]?.port ?? port;
}

const count = (name: string) => testbed.near.counters.get(name);

describe.each(['none', 'envoy'] as const)('egress, mode %s', mode => {
  test('datagrams of 0 to 65507 bytes, both ways', async () => {
    const service = await echo();
    const port = await open(service, { mode });
    const client = await Datagrams.open();
    for (const size of [1, 0, 1200, 1392, 1393, 1472, 9000, 65_507]) {
      const data = randomBytes(size);
      const before = client.received.length;
      client.send(data, port);
      await until(() => client.received.length > before, `${size} bytes come back`);
      expect(client.received.at(-1)!.data.equals(data)).toBe(true);
      expect(client.received.at(-1)!.port).toBe(port);
    }
    // One flow all along.
    expect(new Set(service.received.map(one => one.port)).size).toBe(1);
    expect(count('egress_udp_flows')).toBe(1);
  });

  test('two clients do not mix', async () => {
    const port = await open(await echo(), { mode });
    const clients = await Promise.all([Datagrams.open(), Datagrams.open(), Datagrams.open()]);
    for (let i = 0; i < 20; i++) for (const [who, client] of clients.entries()) client.send(`${who} ${i}`, port);
    await until(() => clients.every(client => client.received.length === 20));
    for (const [who, client] of clients.entries())
      expect(client.texts).toEqual(Array.from({ length: 20 }, (_, i) => `${who} ${i}`));
    expect(count('egress_udp_flows')).toBe(3);
  });

  test('answers in bursts, of equal and unequal sizes, keep their order and bounds', async () => {
    const service = await Datagrams.open();
    const port = await open(service, { mode });
    const client = await Datagrams.open();
    client.send('go', port);
    await until(() => service.received.length === 1);
    const sizes = Array.from({ length: 300 }, (_, i) =>
      i % 7 === 6 ? 500 : i % 50 === 49 ? 0 : i % 90 === 89 ? 4000 : 1000,
    );
    const sent = sizes.map(size => randomBytes(size));
    for (let i = 0; i < sent.length; i++) {
      service.send(sent[i]!, service.received[0]!.port);
      if (i % 60 === 59) await new Promise(resolve => setTimeout(resolve, 5));
    }
    await until(() => client.received.length === sent.length, 'all answers');
    for (const [i, data] of sent.entries()) expect(client.received[i]!.data.equals(data)).toBe(true);
  });

  test('an idle flow ends; the next datagram is a new one', async () => {
    const service = await echo();
    const port = await open(service, { mode }, { udpIdleSeconds: 0.3 });
    const client = await Datagrams.open();
    for (let i = 0; i < 4; i++) {
      client.send('x', port);
      await until(() => client.received.length === i + 1);
      await new Promise(resolve => setTimeout(resolve, 150));
    }
    expect(count('egress_udp_flows')).toBe(1);
    await until(() => count('egress_udp_flow_ended_idle') === 1);
    await until(() => testbed.far.counters.get('ingress_udp_flow_ended_idle') === 1);
    client.send('y', port);
    await until(() => client.received.length === 5);
    expect(count('egress_udp_flows')).toBe(2);
    expect(new Set(service.received.map(one => one.port)).size).toBe(2);
  });

  test('a flow lives as long as one direction does', async () => {
    const service = await Datagrams.open();
    const port = await open(service, { mode }, { udpIdleSeconds: 0.3 });
    const client = await Datagrams.open();
    const every100ms = async (send: () => void) => {
      for (let i = 0; i < 6; i++) {
        send();
        await new Promise(resolve => setTimeout(resolve, 100));
      }
    };
    await every100ms(() => client.send('question', port));
    expect(new Set(service.received.map(one => one.port)).size).toBe(1);
    await every100ms(() => service.send('answer', service.received[0]!.port));
    expect(client.received.length).toBe(6);
    expect(count('egress_udp_flows')).toBe(1);
  });

  test('the longest idle flow makes room', async () => {
    const service = await echo();
    const port = await open(service, { mode, udpFlowsPerRule: 2 });
    const [a, b, c] = [await Datagrams.open(), await Datagrams.open(), await Datagrams.open()];
    const ask = async (client: Datagrams, text: string) => {
      client.send(text, port);
      await until(() => client.texts.includes(text));
    };
    await ask(a, 'a1');
    await ask(b, 'b1');
    await ask(a, 'a2');
    await ask(c, 'c1');
    expect(count('egress_udp_flow_evicted')).toBe(1);
    await ask(a, 'a3');
    expect(count('egress_udp_flows')).toBe(3);
    await ask(b, 'b2');
    expect(count('egress_udp_flows')).toBe(4);
    // An answer for a flow that is gone reaches nobody.
    const [first] = service.received.filter(one => one.data.toString() === 'c1');
    await ask(a, 'a4');
    await until(() => count('egress_udp_flow_evicted') >= 2);
    service.send('stray', first!.port);
    await new Promise(resolve => setTimeout(resolve, 30));
    expect([...a.texts, ...b.texts]).not.toContain('stray');
  });

  test('no peer has the destination: dropped and counted', async () => {
    const port = await open(await echo(), { mode });
    const key = [...testbed.near.logs].find(log => log.message === 'proxy key ready')!.fields['key'] as string;
    const [report] = testbed.near.set(proxyKey(key, ['192.0.2.9:53']));
    const client = await Datagrams.open();
    client.send('lost', report!.udpPorts?.[0]?.port ?? port);
    await until(() => count('egress_udp_no_route') === 1);
    expect(count('egress_udp_flows')).toBe(0);
  });
});

describe('egress', () => {
  test('a flow per client over several destinations, beginning with the second', async () => {
    const services = [await echo(), await echo()];
    testbed = new Testbed();
    testbed.far.set(...services.map((service, i) => proxyKey(`ingress/udp/${53 + i}`, [`127.0.0.1:${service.port}`])));
    const port = await freePort();
    testbed.near.set(proxyKey(`egress/udp/${port}`, ['10.0.0.2:53', '10.0.0.2:54']));
    for (let i = 0; i < 4; i++) {
      const client = await Datagrams.open();
      for (const text of ['1', '2']) {
        client.send(text, port);
        await until(() => client.texts.includes(text));
      }
    }
    expect(services.map(service => new Set(service.received.map(one => one.port)).size)).toEqual([2, 2]);
  });

  test('with Envoy each destination has a loopback port of its own, which edits leave alone', async () => {
    testbed = new Testbed({ mode: 'envoy' });
    const set = (...to: string[]) => testbed.near.set(proxyKey('egress/udp/53', to))[0]!.udpPorts!;
    const [first, second] = set('10.0.0.2:53', '10.0.0.2:54');
    expect(first!.destination).toEqual({ host: '10.0.0.2', port: 53 });
    expect(first!.port).not.toBe(second!.port);
    const edited = set('10.0.0.2:54', '10.0.0.2:55');
    expect(edited.map(one => one.destination.port)).toEqual([54, 55]);
    expect(edited[0]!.port).toBe(second!.port);
  });

  test('policy by the client’s address', async () => {
    const service = await echo();
    const port = await open(service);
    const key = testbed.near.logs.find(log => log.message === 'proxy key ready')!.fields['key'] as string;
    testbed.near.set(proxyKey(key, ['10.0.0.2:53'], { policy: { allow: [], deny: ['127.0.0.0/8'] } }));
    const client = await Datagrams.open();
    client.send('no', port);
    await until(() => count('egress_udp_denied') === 1);
    expect(service.received).toEqual([]);
    testbed.near.set(proxyKey(key, ['10.0.0.2:53'], { policy: { allow: ['127.0.0.1/32'], deny: [] } }));
    client.send('yes', port);
    await until(() => client.texts.includes('yes'));
    testbed.near.set(proxyKey(key, ['10.0.0.2:53'], { policy: { allow: ['10.0.0.0/8'], deny: [] } }));
    expect(count('egress_udp_flow_ended_denied')).toBe(1);
  });

  test('bound to every address, answers come from the one that was asked', async () => {
    const port = await open(await echo(), { bind: '::' });
    const v4 = await Datagrams.open('127.0.0.1');
    const v6 = await Datagrams.open('::1');
    for (const [client, address] of [
      [v4, '127.0.0.1'],
      [v4, '127.0.0.77'],
      [v6, '::1'],
    ] as const) {
      const before = client.received.length;
      client.send('x', port, address);
      await until(() => client.received.length > before, address);
      expect(client.received.at(-1)).toMatchObject({ port, address });
      // The flow remembers where its first datagram was sent to: a new one for the next address.
      testbed.near.set();
      testbed.near.set(proxyKey(`egress/udp/${port}`, ['10.0.0.2:53']));
    }
  });

  test('nobody at the destination: ICMP ends the flow', async () => {
    const port = await open(await echo());
    testbed.far.set();
    const client = await Datagrams.open();
    client.send('anyone?', port);
    await until(() => count('egress_udp_flow_ended_refused') === 1);
  });

  test('an answer from elsewhere is nobody’s', async () => {
    const service = await Datagrams.open();
    const port = await open(service);
    const client = await Datagrams.open();
    client.send('question', port);
    await until(() => service.received.length === 1);
    testbed.held = [];
    service.send('answer', service.received[0]!.port);
    await until(() => testbed.held!.length === 1);
    const [packet] = testbed.held;
    const forged = packet!.slice();
    // From 10.0.0.130, in an IPv4 packet without options; no UDP checksum (RFC 768).
    forged[15] = 130;
    forged.set([0, 0], 26);
    forged.set([0, 0], 10);
    let sum = 0;
    for (let i = 0; i < 20; i += 2) sum += (forged[i]! << 8) | forged[i + 1]!;
    sum = (sum & 0xffff) + (sum >> 16);
    forged.set([(~sum >> 8) & 0xff, ~sum & 0xff], 10);
    testbed.held = [forged, packet!];
    testbed.release();
    await until(() => client.received.length > 0);
    expect(client.texts).toEqual(['answer']);
    expect(count('egress_udp_wrong_source')).toBe(1);
  });

  test('a flood is bounded and the flow lives on', async () => {
    const service = await echo();
    const port = await open(service);
    const client = await Datagrams.open();
    const data = randomBytes(1200);
    for (let i = 0; i < 20_000; i++) client.send(data, port);
    await until(() => service.received.length > 1000, 'some arrive');
    await new Promise(resolve => setTimeout(resolve, 300));
    client.send('still there?', port);
    await until(() => client.texts.includes('still there?'));
    expect(count('egress_udp_flows')).toBe(1);
  });
});

describe('ingress', () => {
  test('with Envoy: its loopback listener, and the policy is ours', async () => {
    const envoy = await Datagrams.open('127.0.0.1', data => data);
    testbed = new Testbed({}, { mode: 'envoy' });
    const key = (more: Parameters<typeof proxyKey>[2]) => proxyKey('ingress/udp/53', ['127.0.0.1:1'], more);
    expect(testbed.far.set(key({}))[0]).toMatchObject({ ok: false });
    expect(testbed.far.set(key({ ingressUdpPort: envoy.port }))[0]).toMatchObject({ ok: true });
    const port = await freePort();
    testbed.near.set(proxyKey(`egress/udp/${port}`, ['10.0.0.2:53']));
    const client = await Datagrams.open();
    client.send('ping', port);
    await until(() => client.texts.includes('ping'));
    testbed.far.set(key({ ingressUdpPort: envoy.port, policy: { allow: ['10.7.0.0/16'], deny: [] } }));
    client.send('denied', port);
    await until(() => testbed.far.counters.get('ingress_udp_denied') === 1);
    expect(testbed.far.counters.get('ingress_udp_flow_ended_denied')).toBe(1);
    expect(envoy.texts).toEqual(['ping']);
  });

  test('the local service refuses: the flow ends', async () => {
    const service = await echo();
    const port = await open(service);
    const dead = await freePort();
    testbed.far.set(proxyKey('ingress/udp/53', [`127.0.0.1:${dead}`]));
    const client = await Datagrams.open();
    client.send('x', port);
    await until(() => testbed.far.counters.get('ingress_udp_flow_ended_refused') === 1);
    testbed.far.set(proxyKey('ingress/udp/53', [`127.0.0.1:${service.port}`]));
    client.send('y', port);
    await until(() => client.texts.includes('y'));
  });

  test('each peer port has a socket of its own; the longest idle one makes room', async () => {
    const service = await echo();
    testbed = new Testbed({}, { udpFlowsPerRule: 2 });
    testbed.far.set(proxyKey('ingress/udp/53', [`127.0.0.1:${service.port}`]));
    const port = await freePort();
    testbed.near.set(proxyKey(`egress/udp/${port}`, ['10.0.0.2:53']));
    for (let i = 0; i < 5; i++) {
      const client = await Datagrams.open();
      client.send(`${i}`, port);
      await until(() => client.texts.includes(`${i}`));
    }
    expect(new Set(service.received.map(one => one.port)).size).toBe(5);
    expect(testbed.far.counters.get('ingress_udp_flow_ended_evicted')).toBe(3);
  });

  test('the port is free again when the rule is gone', async () => {
    testbed = new Testbed();
    for (let i = 0; i < 3; i++) {
      expect(testbed.far.set(proxyKey('ingress/udp/53', ['127.0.0.1:9']))[0]).toMatchObject({ ok: true });
      testbed.far.set();
    }
  });
});
