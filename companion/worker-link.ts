import { MessageChannel, type MessagePort, type Transferable, Worker } from 'node:worker_threads';
import type { LinearMemory } from './datapath/memory.ts';
import type { FromWorker, ToWorker, WorkerStart } from './datapath/messages.ts';
import { newLinearMemory } from './datapath/native-memory.ts';
import { type SystemCalls, systemCalls } from './datapath/system-calls.ts';

/** Implementation: how long the data path may take to send its resets before it is ended by force. */
const CLOSE_TIMEOUT_MS = 3000;

type Request = { type: 'proxy-keys' | 'status' | 'listen-port' };
type Answer<T extends Request['type']> = FromWorker & { type: T };

/**
 * The main thread's end of the data path: its thread, the messages both ways, and the kick that wakes a thread asleep in epoll_wait,
 * where no message would reach it.
 */
export class WorkerLink {
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #sys: SystemCalls;
  /** Holds, at 64, the u64 that a kick writes. Kept as an object, since its address is good only while it lives. */
  readonly #one: LinearMemory;
  #kick = -1;
  #lastRequest = 0;
  readonly #requests = new Map<number, { resolve(answer: FromWorker): void; reject(error: Error): void }>();
  #closing = false;
  #gone: Error | undefined;
  /** The process ends without `close`: Node waits for its threads, and one in epoll_wait would let it wait for ever. */
  readonly #onExit = (): void => this.send({ type: 'close' });
  readonly #exited: Promise<void>;

  private constructor(
    start: Omit<WorkerStart, 'port'>,
    onMessage: (message: FromWorker) => void,
    onGone: (error: Error) => void,
  ) {
    this.#sys = systemCalls();
    this.#one = newLinearMemory(65_536);
    this.#one.view.setUint32(this.#one.reserve(8), 1, true);
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    // With `.js` where the sources were compiled: Node does not strip types below node_modules.
    const entry = new URL(
      `./datapath/worker${import.meta.url.slice(import.meta.url.lastIndexOf('.'))}`,
      import.meta.url,
    );
    this.#worker = new Worker(entry, {
      workerData: { ...start, port: port2 } satisfies WorkerStart,
      transferList: [port2],
      name: 'data path',
    });
    process.on('exit', this.#onExit);
    let failure: Error | undefined;
    this.#worker.on('error', error => {
      failure = error instanceof Error ? error : new Error(String(error));
    });
    this.#exited = new Promise(resolve => {
      this.#worker.on('exit', code => {
        this.#gone = failure ?? new Error(`the data path ended (exit code ${code})`);
        this.#kick = -1;
        process.off('exit', this.#onExit);
        port1.close();
        for (const { reject } of this.#requests.values()) reject(this.#gone);
        this.#requests.clear();
        if (!this.#closing) onGone(this.#gone);
        resolve();
      });
    });
    port1.on('message', (message: FromWorker) => {
      if (message.type === 'ready') this.#kick = message.kick;
      if (!('request' in message)) return onMessage(message);
      const request = this.#requests.get(message.request);
      this.#requests.delete(message.request);
      if (message.type === 'failed') request?.reject(new Error(message.error));
      else request?.resolve(message);
    });
  }

  /**
   * Starts the thread; resolves when its sockets are open. Rejects with what kept it from that, in words for a person.
   * `onGone` is told, once, when it ends without having been asked to.
   */
  static async start(
    start: Omit<WorkerStart, 'port'>,
    onMessage: (message: FromWorker) => void,
    onGone: (error: Error) => void,
  ): Promise<{ link: WorkerLink; ready: FromWorker & { type: 'ready' } }> {
    return await new Promise((resolve, reject) => {
      let settled = false;
      const fail = (error: Error): void => {
        if (settled) onGone(error);
        else reject(error);
        settled = true;
      };
      const link = new WorkerLink(
        start,
        message => {
          if (message.type === 'refused') return fail(new Error(message.error));
          if (message.type !== 'ready') return onMessage(message);
          settled = true;
          resolve({ link, ready: message });
        },
        fail,
      );
    });
  }

  send(message: ToWorker, transfer: readonly Transferable[] = []): void {
    if (this.#gone !== undefined) return;
    this.#port.postMessage(message, transfer as Transferable[]);
    // The counter of the eventfd cannot overflow: the worker empties it each time it wakes up.
    if (this.#kick >= 0) this.#sys.write(this.#kick, this.#one.base + 64, 8);
  }

  async request<T extends Request['type']>(
    message: DistributiveOmit<ToWorker & { type: T }, 'request'>,
  ): Promise<Answer<T>> {
    if (this.#gone !== undefined) throw this.#gone;
    const request = ++this.#lastRequest;
    return await new Promise<Answer<T>>((resolve, reject) => {
      this.#requests.set(request, { resolve: answer => resolve(answer as Answer<T>), reject });
      this.send({ ...message, request } as unknown as ToWorker);
    });
  }

  /** Ends the thread; its descriptors are closed when this resolves. */
  async close(): Promise<void> {
    this.#closing = true;
    this.send({ type: 'close' });
    const timer = setTimeout(() => void this.#worker.terminate(), CLOSE_TIMEOUT_MS);
    await this.#exited;
    clearTimeout(timer);
  }
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;
