import { randomBytes } from 'node:crypto';
import { afterEach, describe, expect, test } from 'vitest';
import { digest, type End, Route, until, WAYS, type Way } from './relay-testends.ts';

let route: Route;

afterEach(async () => {
  await route.close();
});

async function pair(way: Way, onEnd?: (end: End) => void): Promise<{ client: End; server: End }> {
  route = await Route.open(way, onEnd);
  const client = await route.connect();
  return { client, server: await route.server.accepted(0) };
}

/** Nothing is left of any connection, on either node. */
async function gone(): Promise<void> {
  const { near, far } = route.testbed;
  await until(() => near.relays.connections === 0 && far.relays.connections === 0, 'all streams gone');
}

describe.each(WAYS)('$name', way => {
  test('echo of a megabyte, byte for byte', async () => {
    const { client } = await pair(way, end => end.socket.on('data', chunk => end.write(chunk)));
    const data = randomBytes(1 << 20);
    for (let at = 0; at < data.length; ) {
      const size = 1 + ((at * 7919) % 50_000);
      client.write(data.subarray(at, at + size));
      at += size;
    }
    await until(() => client.received === data.length);
    expect(client.digest).toBe(digest(data));
  });

  test('single bytes are not late', async () => {
    const { client } = await pair(way, end => end.socket.on('data', chunk => end.write(chunk)));
    for (let i = 0; i < 50; i++) {
      client.write(Uint8Array.of(i));
      await until(() => client.received === i + 1, `byte ${i}`);
    }
    expect([...client.data]).toEqual(Array.from({ length: 50 }, (_, i) => i));
  });

  test('the server speaks first', async () => {
    const { client, server } = await pair(way, end => end.write('220 hello\r\n'));
    await until(() => client.data.toString() === '220 hello\r\n');
    client.write('EHLO');
    await until(() => server.data.toString() === 'EHLO');
  });

  test('the client half-closes and gets its answer', async () => {
    const { client, server } = await pair(way);
    const question = randomBytes(100_000);
    const answer = randomBytes(300_000);
    client.write(question).end();
    await until(() => server.ended);
    expect(server.digest).toBe(digest(question));
    server.write(answer).end();
    await until(() => client.ended);
    expect(client.digest).toBe(digest(answer));
    expect([client.error, server.error]).toEqual([undefined, undefined]);
    await gone();
  });

  test('a half-close without a byte passes', async () => {
    const { client, server } = await pair(way);
    client.end();
    await until(() => server.ended);
    server.write('late').end();
    await until(() => client.ended);
    expect(client.data.toString()).toBe('late');
    await gone();
  });

  test('the server closes first and still hears the client', async () => {
    const { client, server } = await pair(way);
    server.write('bye').end();
    await until(() => client.ended);
    expect(client.data.toString()).toBe('bye');
    client.write('one more thing');
    await until(() => server.data.toString() === 'one more thing');
    client.end();
    await until(() => server.ended);
    await gone();
  });

  test('a reset of the client reaches the server', async () => {
    // Over a unix socket a reset needs a byte that the other side has sent (see Stream), so the server greets.
    const { client, server } = await pair(way, end => end.write('hello'));
    await until(() => client.received === 5);
    client.reset();
    await until(() => server.closed || server.ended);
    // A unix server that had not sent anything would see an end here.
    expect(server.error).toBe('ECONNRESET');
    await gone();
  });

  test('a reset of the server reaches the client', async () => {
    const { client, server } = await pair(way);
    client.write('x');
    await until(() => server.received === 1);
    server.reset();
    await until(() => client.closed || client.ended);
    expect(client.error).toBe('ECONNRESET');
    await gone();
  });

  test('a reset of the server before any byte reaches the client', async () => {
    const { client, server } = await pair(way);
    server.reset();
    await until(() => client.closed || client.ended);
    expect(client.error).toBe('ECONNRESET');
    await gone();
  });

  test('what the server said before its reset arrives', async () => {
    const { client, server } = await pair(way);
    const answer = randomBytes(20_000);
    server.write(answer);
    await until(() => server.socket.writableLength === 0);
    server.reset();
    await until(() => client.closed || client.ended);
    expect(client.digest).toBe(digest(answer));
    expect(client.error).toBe('ECONNRESET');
  });

  test('a reader that does not read holds the writer, with bounded memory', async () => {
    const { client, server } = await pair(way);
    server.socket.pause();
    const chunk = randomBytes(1 << 20);
    const sent: Buffer[] = [];
    let taken = 0;
    // Until nothing has been taken for a while.
    for (let idle = 0; idle < 30; ) {
      if (client.socket.writableLength === 0) {
        client.write(chunk);
        sent.push(chunk);
      }
      const now = client.socket.bytesWritten - client.socket.writableLength;
      idle = now === taken ? idle + 1 : 0;
      taken = now;
      await new Promise(resolve => setTimeout(resolve, 10));
      expect(taken).toBeLessThan(40 << 20);
    }
    server.socket.resume();
    client.end();
    await until(() => server.ended);
    expect(server.digest).toBe(digest(Buffer.concat(sent)));
  });

  test('200 connections at once do not mix', async () => {
    route = await Route.open(way, end => end.socket.on('data', chunk => end.write(chunk)));
    const clients = await Promise.all(Array.from({ length: 200 }, () => route.connect()));
    const data = clients.map(() => randomBytes(3000));
    for (const [i, client] of clients.entries()) client.write(data[i]!);
    await until(() => clients.every(client => client.received === 3000));
    for (const [i, client] of clients.entries()) expect(client.digest).toBe(digest(data[i]!));
    for (const client of clients) client.end();
    for (const end of route.server.ends) end.end();
    await gone();
  });
});

/** Numbers in 0..1 from a seed, the same ones each time. */
function sequence(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 0x1_0000_0000;
  };
}

test.each(WAYS)('60 random orders of writing and ending, $name', async way => {
  const seed = randomBytes(4).readUInt32LE();
  const random = sequence(seed);
  route = await Route.open(way);
  try {
    for (let run = 0; run < 60; run++) {
      const client = await route.connect();
      const server = await route.server.accepted(run);
      const ends = [client, server];
      const sent: Buffer[][] = [[], []];
      const open = [true, true];
      while (open[0] || open[1]) {
        const who = random() < 0.5 ? 0 : 1;
        if (!open[who]) continue;
        if (random() < 0.3) {
          ends[who]!.end();
          open[who] = false;
        } else {
          const data = randomBytes(Math.floor(random() ** 4 * 200_000));
          ends[who]!.write(data);
          sent[who]!.push(data);
        }
        if (random() < 0.3) await new Promise(resolve => setTimeout(resolve, random() * 3));
      }
      await until(() => client.ended && server.ended, `both ends of run ${run}`);
      expect(server.digest).toBe(digest(Buffer.concat(sent[0]!)));
      expect(client.digest).toBe(digest(Buffer.concat(sent[1]!)));
    }
    await gone();
  } catch (error) {
    console.error(`seed ${seed}`);
    throw error;
  }
});
