// A seeded bad network: relays UDP between clients and one server, each direction through its own ImpairedLink, and can rebind like a NAT.
// Call startRelay inside a Host (host-worker.ts): its sockets belong to the namespace of the calling thread.
import dgram from 'node:dgram';
import { ImpairedLink, type Impairment } from './impairment.ts';

export interface Relay {
  readonly port: number;
  /** Gives every client a new source port towards the server, as a NAT that lost its state. */
  rebind(): Promise<void>;
  /** Replaces the impairments of both directions. */
  impair(seed: number, o: Impairment): void;
  readonly counts: { in: number; out: number };
  close(): void;
}

interface Direction {
  link: ImpairedLink;
  held: { behind: number; send: () => void }[];
  /** No datagram may leave before one that arrived earlier, unless it was chosen for reordering. */
  notBefore: number;
}

const bind = (socket: dgram.Socket, address: string): Promise<void> =>
  new Promise(resolve => socket.bind(0, address, resolve));

export async function startRelay(o: {
  listen: string;
  server: { address: string; port: number };
  seed: number;
  impairment: Impairment;
}): Promise<Relay> {
  const type = o.listen.includes(':') ? 'udp6' : 'udp4';
  const make = () => dgram.createSocket({ type, recvBufferSize: 8 << 20, sendBufferSize: 8 << 20 });
  const front = make();
  const clients = new Map<string, { address: string; port: number; back: dgram.Socket }>();
  const counts = { in: 0, out: 0 };
  const direction = (seed: number, impairment: Impairment): Direction => ({
    link: new ImpairedLink(seed, impairment),
    held: [],
    notBefore: 0,
  });
  let toServer = direction(o.seed, o.impairment);
  let toClient = direction(o.seed + 1, o.impairment);

  const carry = (way: Direction, message: Buffer, send: (message: Buffer) => void) => {
    counts.in++;
    for (const passage of way.link.pass(message.length)) {
      const copy = Buffer.from(message);
      if (passage.flipBit >= 0) copy[passage.flipBit >> 3]! ^= 1 << (passage.flipBit & 7);
      const deliver = () => {
        counts.out++;
        send(copy);
      };
      if (passage.behind > 0) {
        way.held.push({ behind: passage.behind, send: deliver });
        continue;
      }
      const now = performance.now();
      way.notBefore = Math.max(way.notBefore, now + passage.delayMs);
      if (way.notBefore <= now) deliver();
      else setTimeout(deliver, way.notBefore - now);
      for (const waiting of way.held) waiting.behind--;
      const due = way.held.filter(waiting => waiting.behind <= 0);
      way.held = way.held.filter(waiting => waiting.behind > 0);
      for (const waiting of due) setTimeout(waiting.send, Math.max(0, way.notBefore - now));
    }
  };

  const openBack = async (client: { address: string; port: number }): Promise<dgram.Socket> => {
    const back = make();
    back.on('message', message => carry(toClient, message, part => front.send(part, client.port, client.address)));
    back.on('error', () => {});
    await bind(back, type === 'udp6' ? '::' : '0.0.0.0');
    return back;
  };

  front.on('error', () => {});
  front.on('message', async (message, from) => {
    const key = `${from.address} ${from.port}`;
    let client = clients.get(key);
    if (client === undefined) {
      const back = await openBack(from);
      client = clients.get(key) ?? { address: from.address, port: from.port, back };
      clients.set(key, client);
    }
    const { back } = client;
    carry(toServer, message, part => back.send(part, o.server.port, o.server.address, () => {}));
  });
  await bind(front, o.listen);
  return {
    port: front.address().port,
    counts,
    async rebind() {
      for (const client of clients.values()) {
        const old = client.back;
        client.back = await openBack(client);
        old.close();
      }
    },
    impair(seed, impairment) {
      toServer = direction(seed, impairment);
      toClient = direction(seed + 1, impairment);
    },
    close() {
      front.close();
      for (const { back } of clients.values()) back.close();
    },
  };
}
