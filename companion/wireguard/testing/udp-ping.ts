/** `udp-ping.ts ADDRESS COUNT INTERVAL_MS SIZE`: numbered datagrams to port 7; prints how many came back. */
import { createSocket } from 'node:dgram';
import { setTimeout as sleep } from 'node:timers/promises';

const [address, count, interval, size] = process.argv.slice(2) as [string, string, string, string];
const seen = new Set<number>();
const socket = createSocket('udp4');
socket.on('message', message => seen.add(message.readUInt32BE()));
socket.on('error', () => undefined);
for (let n = 0; n < Number(count); n++) {
  const datagram = Buffer.alloc(Math.max(4, Number(size)));
  datagram.writeUInt32BE(n);
  socket.send(datagram, 7, address, () => undefined);
  await sleep(Number(interval));
}
for (let wait = 0; wait < 150 && seen.size < Number(count); wait++) await sleep(10);
console.log(seen.size);
process.exit(0);
