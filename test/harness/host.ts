// A host of the test network: a thread inside a network namespace that runs servers and clients on real kernel sockets.
import { Worker } from 'node:worker_threads';
import type { HostMethods } from './host-worker.ts';

type Call = {
  [Name in keyof HostMethods]: (
    ...args: Parameters<HostMethods[Name]>
  ) => Promise<Awaited<ReturnType<HostMethods[Name]>>>;
};

export type Host = Call & { stop(): Promise<void> };

/** @param namespace a name under /var/run/netns, or undefined for the test's own. */
export async function startHost(namespace?: string): Promise<Host> {
  const worker = new Worker(new URL('./host-worker.ts', import.meta.url), { workerData: { namespace } });
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  let id = 0;
  const ready = Promise.withResolvers<void>();
  worker.on('message', (message: { id: number; value?: unknown; error?: string }) => {
    if (message.id === -1) return ready.resolve();
    const call = waiting.get(message.id);
    waiting.delete(message.id);
    if (message.error !== undefined) call?.reject(new Error(message.error));
    else call?.resolve(message.value);
  });
  worker.on('error', error => {
    ready.reject(error);
    for (const call of waiting.values()) call.reject(error as Error);
  });
  await ready.promise;
  return new Proxy({} as Host, {
    get(_, name) {
      if (name === 'then') return undefined;
      if (name === 'stop') return () => worker.terminate();
      return (...args: unknown[]) =>
        new Promise((resolve, reject) => {
          waiting.set(id, { resolve, reject });
          worker.postMessage({ id: id++, name, args });
        });
    },
  });
}
