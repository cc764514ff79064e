/**
 * An I/O shell around the engine for the interop test: node:dgram, real time, JSON lines on stdin and stdout. The
 * inner host answers ICMP echo requests, sends UDP datagrams back, and reports echo replies.
 *
 *     {"privateKey":hex,"peer":{"publicKey":hex,"presharedKey"?:hex,"allowedIps":[..],"persistentKeepalive"?:s},
 *      "rekeyAfterTime"?:ms,"forceUnderLoad"?:true}                                            first line
 *     {"op":"endpoint","port":n}  {"op":"connect"}  {"op":"ping","from":ip,"to":ip,"n":n,"size"?:n}
 *     {"op":"presharedKey","key":hex}  {"op":"stats"}  {"op":"exit"}
 */
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { createInterface } from 'node:readline';
import type { Now } from '../actions.ts';
import { Engine } from './engine.ts';
import { address, endpoint, ipv4, prefix } from './packets.ts';

const print = (line: object): void => void process.stdout.write(JSON.stringify(line) + '\n');
const now = (): Now => ({ mono: performance.now(), wall: Date.now() });
const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'));

const socket = createSocket('udp4');
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const config = JSON.parse((await lines.next()).value as string);

const engine = new Engine({
  privateKey: hex(config.privateKey),
  random: n => Uint8Array.from(randomBytes(n)),
  now: now().mono,
  rekeyAfterTime: config.rekeyAfterTime,
  forceUnderLoad: config.forceUnderLoad,
  send: (datagram, to) => socket.send(datagram, (to[16]! << 8) | to[17]!, [...to.subarray(12, 16)].join('.')),
});
engine.handshaker.addPeer(0, {
  publicKey: hex(config.peer.publicKey),
  ...(config.peer.presharedKey && { presharedKey: hex(config.peer.presharedKey) }),
});
engine.tunnel.addPeer(0, {
  publicKey: hex(config.peer.publicKey),
  allowedIps: config.peer.allowedIps.map(prefix),
  persistentKeepalive: config.peer.persistentKeepalive ?? 0,
});

function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
  while (sum >>> 16) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function icmp(from: string, to: string, type: number, rest: Uint8Array): Uint8Array {
  const message = new Uint8Array(4 + rest.length);
  message[0] = type;
  message.set(rest, 4);
  new DataView(message.buffer).setUint16(2, checksum(message));
  const packet = ipv4(from, to, message);
  packet[9] = 1;
  new DataView(packet.buffer).setUint16(10, checksum(packet.subarray(0, 20)));
  return packet;
}

/** The datagram back to where it came from, without a UDP checksum (RFC 768: zero). */
function udpEcho(packet: Uint8Array): Uint8Array {
  const message = packet.slice(20);
  message.set(packet.subarray(22, 24), 0);
  message.set(packet.subarray(20, 22), 2);
  message.fill(0, 6, 8);
  const answer = ipv4(dotted(packet, 16), dotted(packet, 12), message);
  new DataView(answer.buffer).setUint16(10, checksum(answer.subarray(0, 20)));
  return answer;
}

const dotted = (packet: Uint8Array, at: number): string => [...packet.subarray(at, at + 4)].join('.');

let timer: NodeJS.Timeout | undefined;
function after(): void {
  for (const { packet } of engine.delivered.splice(0)) {
    if (packet[0]! >>> 4 !== 4) continue;
    if (packet[9] === 17) engine.sendPackets([udpEcho(packet)], now());
    if (packet[9] !== 1) continue;
    const [type, rest] = [packet[20], packet.subarray(24)];
    if (type === 8) engine.sendPackets([icmp(dotted(packet, 16), dotted(packet, 12), 0, rest)], now());
    if (type === 0) print({ type: 'echo-reply', from: dotted(packet, 12), n: (rest[2]! << 8) | rest[3]! });
  }
  for (const event of engine.events.splice(0)) {
    if (event.type === 'session') print({ type: 'session', initiator: event.initiator });
    else if (event.type === 'send') print({ type: 'send', kind: event.kind });
    else if (event.type === 'drop') print({ type: 'drop', reason: event.reason });
    else if (event.type === 'established') print(event);
  }
  clearTimeout(timer);
  const wait = engine.tunnel.deadline - performance.now();
  if (Number.isFinite(wait)) timer = setTimeout(tick, Math.max(0, Math.ceil(wait)));
}

function tick(): void {
  engine.advance(now());
  after();
}

socket.on('message', (datagram, from) => {
  engine.receive(datagram, endpoint(from.address, from.port), now());
  after();
});
await new Promise<void>(resolve => socket.bind(0, '127.0.0.1', resolve));
print({ type: 'listening', port: socket.address().port });

for await (const line of lines as AsyncIterable<string>) {
  const command = JSON.parse(line);
  switch (command.op) {
    case 'endpoint':
      engine.tunnel.updatePeer(0, { endpoint: endpoint('127.0.0.1', command.port) });
      break;
    case 'connect':
      engine.tunnel.advance(now().mono);
      engine.tunnel.connect(0);
      break;
    case 'presharedKey':
      engine.handshaker.updatePeer(0, { presharedKey: hex(command.key) });
      break;
    case 'ping': {
      const rest = new Uint8Array(4 + (command.size ?? 8));
      rest.set([0, 1, command.n >>> 8, command.n & 0xff]);
      address(command.to);
      engine.sendPackets([icmp(command.from, command.to, 8, rest)], now());
      break;
    }
    case 'stats':
      print({ type: 'stats', ...engine.tunnel.stats(0), drops: engine.tunnel.drops.toObject() });
      break;
    case 'exit':
      process.exit(0);
  }
  engine.pump(now());
  after();
}
process.exit(0);
