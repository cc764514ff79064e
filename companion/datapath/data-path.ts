import { randomBytes } from 'node:crypto';
import { Netstack } from '../netstack/index.ts';
import { Tunnel } from '../wireguard/index.ts';
import { selectAead } from './aead-tiers.ts';
import { ConnectionLog } from './connection-log.ts';
import { Counters } from './counters.ts';
import type { LinearMemory } from './memory.ts';
import {
  type FromWorker,
  POSTED,
  type ReceivedHandshake,
  TAKEN,
  type ToWorker,
  type WorkerPeerStatus,
  type WorkerStart,
} from './messages.ts';
import { OuterSocket } from './outer-socket.ts';
import { PacketRecorder } from './packet-recorder.ts';
import { Pump } from './pump.ts';
import { RandomPool } from './random-pool.ts';
import { EpollReactor } from './reactor.ts';
import { Relays } from './relays.ts';
import { nativeAddress, systemCalls } from './system-calls.ts';

/** Implementation: handshake messages that may wait for the main thread (as in wireguard-go). */
const HANDSHAKE_QUEUE = 1024;
/** Implementation: a peer that is gone without a word is noticed; the default of 2 h (RFC 9293 §3.8.4) is no help to a proxy. */
const TCP_KEEPALIVE_MS = 60_000;
/** Implementation: turns that closing takes for the resets of what is still open. */
const CLOSING_TURNS = 4;

export type DataPathOpened = { ok: true; dataPath: DataPath } | { ok: false; error: string };

interface Closer {
  close(): void;
}

/** Everything on the data path's thread: the stack, the tunnel, the sockets and the relays, around one reactor. */
export class DataPath {
  readonly #start: WorkerStart;
  readonly #stack: Netstack;
  readonly #tunnel: Tunnel;
  readonly #memory: LinearMemory;
  readonly #reactor: EpollReactor;
  readonly #socket: OuterSocket;
  readonly #pump: Pump;
  readonly #relays: Relays;
  readonly #counters = new Counters();
  readonly #opened: Closer[];
  #relaysClosed = false;
  readonly #peers = new Map<number, string>();
  readonly #handshakes: Int32Array;

  /** Opens the sockets and tells the main thread `ready`. An error is one for a person: the port in use, no permission. */
  static open(start: WorkerStart): DataPathOpened {
    const opened: Closer[] = [];
    try {
      return { ok: true, dataPath: new DataPath(start, opened) };
    } catch (error) {
      closeAll(opened);
      return { ok: false, error: error instanceof Error ? error.message : String(error) };
    }
  }

  /** Each descriptor that is opened goes to `opened`: the process lives on when this thread does not. */
  private constructor(start: WorkerStart, opened: Closer[]) {
    this.#opened = opened;
    this.#start = start;
    this.#handshakes = new Int32Array(start.handshakes);
    const sys = systemCalls();
    const now = Math.floor(performance.now() * 1000);
    this.#stack = Netstack.create({
      mtu: start.mtu,
      seed: new Uint8Array(randomBytes(32)),
      now,
      keepalive: TCP_KEEPALIVE_MS,
      ...(start.memoryBytes === undefined ? {} : { memoryBytes: start.memoryBytes }),
    });
    const stack = this.#stack;
    const base = nativeAddress(stack.u8);
    stack.setBase(base);
    const memory = {
      u8: stack.u8,
      u32: stack.u32,
      view: stack.view,
      base,
      wasm: stack.memory,
      reserve: (bytes: number) => stack.reserve(bytes),
    };
    this.#memory = memory;
    for (const address of start.addresses)
      if (!stack.addAddress(address))
        throw new Error(`more addresses than the stack has places for: ${start.addresses.length}`);

    const { aead, tier, skipped } = selectAead(memory);
    const random = new RandomPool();
    this.#tunnel = new Tunnel({
      memory,
      aead,
      random: n => random.take(n),
      now: now / 1000,
      mtu: start.mtu,
    });
    this.#tunnel.setAddresses(start.addresses);
    const recorder = start.pcap === undefined ? undefined : new PacketRecorder(start.pcap);
    if (recorder !== undefined) opened.push(recorder);

    this.#reactor = new EpollReactor({
      sys,
      memory,
      port: start.port,
      onMessage: message => this.#onMessage(message as ToWorker),
      onWake: time => this.#pump.wake(time),
    });
    opened.push(this.#reactor);
    const outer = OuterSocket.open({
      sys,
      memory,
      reactor: this.#reactor,
      counters: this.#counters,
      port: start.listenPort,
      onReadable: fd => this.#pump.receive(fd),
    });
    if (!outer.ok) throw new Error(outer.error);
    this.#socket = outer.socket;
    opened.push(this.#socket);
    const connections = new ConnectionLog(
      () => this.#reactor.now,
      count => this.#post({ type: 'log', level: 'info', message: `${count} more connections`, fields: {} }),
    );
    this.#relays = new Relays({
      reactor: this.#reactor,
      stack,
      memory,
      sys,
      config: start.relays,
      counters: this.#counters,
      log: (level, message, fields) => {
        const ordinary = message.endsWith(' connection') && level !== 'warn';
        if (!ordinary || connections.admits()) this.#post({ type: 'log', level, message, fields });
      },
      // The stack delivers what is sent to an address of its own.
      hasRoute: address =>
        this.#tunnel.routeAddress(address) >= 0 || start.addresses.some(own => Buffer.compare(own, address) === 0),
      peerOf: address => {
        const id = this.#tunnel.routeAddress(address);
        return id < 0 ? undefined : { id, publicKeyBase64: this.#peers.get(id) ?? '' };
      },
      resolve: host => this.#post({ type: 'resolve', host }),
    });
    opened.push({ close: () => this.#closeRelays() });
    this.#pump = new Pump({
      stack,
      tunnel: this.#tunnel,
      socket: this.#socket,
      reactor: this.#reactor,
      memory,
      counters: this.#counters,
      mtu: start.mtu,
      client: this.#relays,
      onHandshakes: received => this.#passHandshakes(received),
      onActions: actions => this.#post({ type: 'tunnel', actions }),
      onPacket: recorder && ((packet, length) => recorder.record(memory, packet, length)),
    });
    this.#post({
      type: 'ready',
      listenPort: this.#socket.port,
      aead: tier,
      skipped,
      kick: this.#reactor.kickDescriptor,
    });
  }

  /** Holds the thread until the main thread says `close`; then every descriptor is closed. */
  run(): void {
    try {
      this.#reactor.run(() => this.#pump.run());
      this.#closeRelays();
      for (let turn = 0; turn < CLOSING_TURNS; turn++) this.#pump.run();
    } finally {
      closeAll(this.#opened);
    }
  }

  #closeRelays(): void {
    if (this.#relaysClosed) return;
    this.#relaysClosed = true;
    this.#relays.close();
  }

  #onMessage(message: ToWorker): void {
    const tunnel = this.#tunnel;
    const nowMs = this.#reactor.now / 1000;
    switch (message.type) {
      case 'peer-add':
        this.#peers.set(message.id, message.publicKeyBase64);
        tunnel.addPeer(message.id, message.peer);
        break;
      case 'peer-update':
        if (message.change.endpoint !== undefined) this.#pump.forgetPath(message.id);
        tunnel.updatePeer(message.id, message.change);
        break;
      case 'peer-remove':
        this.#peers.delete(message.id);
        tunnel.removePeer(message.id);
        break;
      case 'expire-sessions':
        tunnel.expireSessions();
        break;
      case 'connect':
        tunnel.connect(message.peer);
        break;
      case 'session':
        tunnel.session(message, nowMs);
        break;
      case 'handshake-send':
        this.#sendHandshake(message);
        break;
      case 'resolved':
        this.#relays.resolved(message.host, message.addresses);
        break;
      case 'proxy-keys':
        this.#answer(message.request, () => ({
          type: 'proxy-keys',
          request: message.request,
          reports: this.#relays.setProxyKeys(message.keys),
        }));
        break;
      case 'listen-port':
        this.#answer(message.request, () => {
          const errno = this.#socket.rebind(message.port);
          return { type: 'listen-port', request: message.request, port: this.#socket.port, errno };
        });
        break;
      case 'status':
        this.#answer(message.request, () => this.#status(message.request));
        break;
      case 'close':
        this.#reactor.stop();
        return;
    }
    this.#pump.settle();
  }

  /** A request gets an answer also when carrying it out throws: one bad request must not end the data path. */
  #answer(request: number, carryOut: () => FromWorker): void {
    let answer: FromWorker;
    try {
      answer = carryOut();
    } catch (error) {
      answer = { type: 'failed', request, error: error instanceof Error ? error.message : String(error) };
    }
    this.#post(answer);
  }

  #sendHandshake({ peer, datagram, to }: ToWorker & { type: 'handshake-send' }): void {
    let endpoint = to;
    if (endpoint === undefined && peer !== undefined) {
      const at = this.#tunnel.endpoint(peer);
      if (at !== 0) endpoint = this.#memory.u8.slice(at, at + 18);
    }
    if (endpoint === undefined) {
      this.#counters.count('handshake_drop_no_endpoint');
      return;
    }
    this.#socket.sendDatagram(endpoint, datagram);
    if (peer !== undefined) this.#tunnel.handshakeSent(peer, datagram.length);
  }

  #passHandshakes(received: ReceivedHandshake[]): boolean {
    const waiting = (Atomics.load(this.#handshakes, POSTED) - Atomics.load(this.#handshakes, TAKEN)) | 0;
    if (waiting + received.length > HANDSHAKE_QUEUE) return false;
    Atomics.add(this.#handshakes, POSTED, received.length);
    this.#counters.count('handshakes_received', received.length);
    this.#post({ type: 'handshakes', received });
    return true;
  }

  #status(request: number): FromWorker {
    const peers: WorkerPeerStatus[] = [];
    for (const id of this.#peers.keys()) {
      const stats = this.#tunnel.stats(id);
      if (stats === undefined) continue;
      const at = this.#tunnel.endpoint(id);
      const { lastHandshake } = stats;
      peers.push({
        id,
        endpoint: at === 0 ? undefined : this.#memory.u8.slice(at, at + 18),
        latestHandshake: lastHandshake === undefined ? 0 : Math.floor((performance.timeOrigin + lastHandshake) / 1000),
        rx: stats.rxBytes,
        tx: stats.txBytes,
      });
    }
    const stack = this.#stack.stats();
    const counters = this.#counters.snapshot();
    for (const [name, value] of Object.entries(stack)) counters[`stack_${snakeCase(name)}`] = value;
    for (const [reason, value] of Object.entries(this.#tunnel.drops.toObject()))
      counters[`wireguard_drop_${reason.replaceAll('-', '_')}`] = value;
    return { type: 'status', request, peers, counters, connections: stack['connections'] ?? 0 };
  }

  #post(message: FromWorker): void {
    this.#start.port.postMessage(message);
  }
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`);
}

/** Last first. An error is not thrown on: what made us close is the one to tell of, and the others must close too. */
function closeAll(opened: Closer[]): void {
  for (const each of opened.splice(0).reverse()) {
    try {
      each.close();
    } catch {}
  }
}
