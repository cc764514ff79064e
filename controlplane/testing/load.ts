/**
 * Many nodes at one control plane: `node controlplane/testing/load.ts [nodes] [rules] [edits]`.
 *
 * The clients are delta streams in a process of their own, one connection each, over a unix socket. Prints one line of
 * JSON: milliseconds until the last of all nodes had everything, until the last had one changed rule, the 50th and 99th
 * percentile for one rule of one node, and the control plane's resident memory before and after a series of edits.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { typeUrls } from '../../envoy/api/index.ts';
import { ControlPlane, type Resource } from '../index.ts';
import { RawClient } from './client.ts';
import { silent } from './plane.ts';
import { cluster } from './resources.ts';

/** What a client process reports: a node has received resources. */
interface Received {
  node: number;
  resources: number;
}

/** Child: opens `count` streams and reports each response. */
async function runClients(socketPath: string, count: number): Promise<void> {
  for (let node = 0; node < count; node++) {
    // The queue of a listening unix socket holds 511 connections; one more is refused.
    if (node % 250 === 249) await new Promise(resolve => setTimeout(resolve, 100));
    const stream = new RawClient(`unix:${socketPath}`).delta();
    stream.send({ node: { id: `node-${node}`, userAgentName: 'envoy' }, typeUrl: typeUrls.cluster });
    stream.onResponse(response => {
      process.send!({ node, resources: response.resources.length } satisfies Received);
      stream.send({ typeUrl: response.typeUrl, responseNonce: response.nonce });
    });
  }
}

function percentile(sorted: readonly number[], part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
}

/** With `node --expose-gc` the heap is what is in use, else what may be garbage too. */
function megabytes(): { rss: number; heap: number } {
  globalThis.gc?.();
  const { rss, heapUsed } = process.memoryUsage();
  return { rss: Math.round(rss / 2 ** 20), heap: Math.round(heapUsed / 2 ** 20) };
}

async function measure(nodes: number, rules: number, edits: number): Promise<object> {
  const folder = await mkdtemp(join(tmpdir(), 'load-'));
  const socketPath = join(folder, 'xds.sock');
  const plane = await ControlPlane.start({ socketPath, log: silent });
  const rule = (node: number, i: number, edition: number): Resource => cluster(`egress/tcp/${node}-${i}`, edition);
  const state = Array.from({ length: nodes }, (_, node) => Array.from({ length: rules }, (_, i) => rule(node, i, 1)));
  const publish = (node: number): void => plane.publish(`node-${node}`, state[node]!);
  for (let node = 0; node < nodes; node++) publish(node);

  let received = 0;
  let wake = (): void => {};
  const until = async (total: number): Promise<void> => {
    while (received < total) {
      await new Promise<void>(resolve => {
        wake = resolve;
      });
    }
  };
  const child = fork(fileURLToPath(import.meta.url), ['clients', socketPath, String(nodes)]);
  child.on('message', (message: Received) => {
    received += message.resources;
    wake();
  });
  await once(plane, 'connected');
  let start = performance.now();
  await until(nodes * rules);
  const firstSync = performance.now() - start;

  start = performance.now();
  for (let node = 0; node < nodes; node++) {
    state[node]![0] = rule(node, 0, 2);
    publish(node);
  }
  await until(nodes * rules + nodes);
  const oneRuleOnAll = performance.now() - start;

  const times: number[] = [];
  let edition = 3;
  const edit = async (): Promise<void> => {
    const node = edition % nodes;
    const began = performance.now();
    const expected = received + 1;
    state[node]![1] = rule(node, 1, edition++);
    publish(node);
    await until(expected);
    times.push(performance.now() - began);
  };
  for (let i = 0; i < 1000; i++) await edit();
  const memoryBefore = megabytes();
  for (let i = 0; i < edits; i++) await edit();
  const memoryAfter = megabytes();
  const sorted = times.slice(0, 1000).sort((a, b) => a - b);
  child.kill();
  await once(child, 'exit');
  await plane.close();
  await rm(folder, { recursive: true, force: true });
  const round = (ms: number): number => Math.round(ms * 10) / 10;
  return {
    nodes,
    rules,
    firstSyncMs: round(firstSync),
    oneRuleOnAllNodesMs: round(oneRuleOnAll),
    oneRuleMs: { p50: round(percentile(sorted, 0.5)), p99: round(percentile(sorted, 0.99)) },
    memoryMb: { before: memoryBefore, afterEdits: memoryAfter, edits },
  };
}

const [first, second, third] = process.argv.slice(2);
if (first === 'clients') {
  await runClients(second!, Number(third));
} else {
  const result = await measure(Number(first ?? 500), Number(second ?? 100), Number(third ?? 10_000));
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
