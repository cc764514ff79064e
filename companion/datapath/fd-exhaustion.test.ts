import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { expect, test } from 'vitest';
import { connectTcp, freePort, Server, until } from './relay-testends.ts';

/** A process of few descriptors with both nodes in it; lines in are ignored but the last: stdin's end ends it. */
const SCRIPT = `
  const { Testbed, proxyKey } = await import(process.argv[1]);
  const [port, service] = process.argv.slice(2);
  const testbed = new Testbed();
  testbed.far.set(proxyKey('ingress/tcp/80', ['127.0.0.1:' + service]));
  testbed.near.set(proxyKey('egress/tcp/' + port, ['10.0.0.2:80']));
  const { near, far } = testbed;
  const report = () =>
    console.log(
      JSON.stringify({
        exhausted: near.counters.get('fd_exhausted') + far.counters.get('fd_exhausted'),
        open: near.relays.connections + far.relays.connections,
      }),
    );
  setInterval(report, 50);
  report();
  process.stdin.resume().on('end', () => process.exit(0));
`;

test('without descriptors new connections wait or are refused, the others go on, and it recovers', async () => {
  const server = await Server.tcp(end => end.socket.on('data', chunk => end.write(chunk)));
  const port = await freePort();
  const testbed = new URL('./relay-testbed.ts', import.meta.url).href;
  const args = ['-n', '96', process.execPath, testbed, `${port}`, `${server.port}`];
  const child = spawn(
    'bash',
    ['-c', 'ulimit "$1" "$2"; exec "$3" --input-type=module -e "$SCRIPT" "$4" "$5" "$6"', 'bash', ...args],
    { env: { ...process.env, SCRIPT }, stdio: ['pipe', 'pipe', 'inherit'] },
  );
  let counters: Record<string, number> = {};
  createInterface(child.stdout).on('line', line => {
    counters = JSON.parse(line) as typeof counters;
  });
  try {
    await until(() => 'open' in counters, 'the child runs');
    const clients = await Promise.all(Array.from({ length: 200 }, () => connectTcp(port)));
    for (const client of clients) client.write('x');
    await until(() => (counters['exhausted'] ?? 0) > 0, 'exhausted');
    await new Promise(resolve => setTimeout(resolve, 500));
    const served = clients.filter(client => client.received === 1);
    expect(served.length).toBeGreaterThan(0);
    expect(served.length).toBeLessThan(96);
    served[0]!.write('y');
    await until(() => served[0]!.received === 2, 'the others go on');

    for (const client of clients) client.reset();
    await until(() => counters['open'] === 0, 'all gone');
    const began = performance.now();
    const late = await connectTcp(port);
    late.write('z');
    await until(() => late.received === 1, 'a new connection is served');
    expect(performance.now() - began).toBeLessThan(1000);
    expect(child.exitCode).toBe(null);
  } finally {
    child.stdin.end();
    if (child.exitCode === null) await once(child, 'exit');
    server.close();
  }
});
