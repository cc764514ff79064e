import { randomBytes } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { x25519 } from '@noble/curves/ed25519.js';
import { formatAddress, formatEndpoint, networkOf, parsePrefix } from '../rules/index.ts';
import { configError, peersError } from './check-config.ts';
import type {
  CompanionConfig,
  CompanionEvents,
  CompanionLog,
  CompanionStatus,
  PeerConfig,
  ProxyKeyConfig,
  ProxyKeyReport,
} from './config.ts';
import { type FromWorker, POSTED, type ReceivedHandshake, TAKEN, type WorkerPeerStatus } from './datapath/messages.ts';
import { lookupAddresses } from './endpoint-resolver.ts';
import { PeerTable } from './peer-table.ts';
import { changedPeers } from './uapi-device.ts';
import {
  ERRNO,
  type HandshakeAction,
  Handshaker,
  type Now,
  type TransportAction,
  type UapiSet,
  type UapiState,
} from './wireguard/index.ts';
import { WorkerLink } from './worker-link.ts';

/**
 * A WireGuard node in this process. Here, on the main thread: handshakes, names of endpoints, configuration, logs. On a thread of its
 * own (`datapath/`): packets, connections, and the sockets of both.
 */
export class Companion extends EventEmitter<CompanionEvents> {
  readonly #config: Omit<CompanionConfig, 'privateKey'>;
  readonly #log: CompanionLog;
  readonly #handshaker: Handshaker;
  readonly #peers: PeerTable;
  readonly #taken: Int32Array;
  #link!: WorkerLink;
  #ready!: FromWorker & { type: 'ready' };
  #listenPort = 0;
  #publicKey: Uint8Array;
  #work: Promise<void> = Promise.resolve();
  #closed: Promise<void> | undefined;

  /**
   * Opens the sockets, starts the data path and takes in the peers. Rejects with words for a person: what of the configuration is
   * wrong, or what the system refused.
   */
  static async start(config: CompanionConfig, log: CompanionLog): Promise<Companion> {
    const wrong = configError(config);
    if (wrong !== undefined) throw new Error(wrong);
    const lastStamp = await config.loadStamp?.();
    const companion = new Companion(config, log, lastStamp);
    await companion.#open();
    return companion;
  }

  private constructor(config: CompanionConfig, log: CompanionLog, lastStamp: Uint8Array | undefined) {
    super();
    // The handshaker has its own copy of the key, and wipes it: no other may stay.
    const { privateKey, ...rest } = config;
    this.#config = rest;
    this.#log = log;
    this.#publicKey = x25519.getPublicKey(privateKey);
    this.#handshaker = new Handshaker({
      privateKey,
      random: n => new Uint8Array(randomBytes(n)),
      ...(lastStamp === undefined ? {} : { lastStamp }),
    });
    this.#taken = new Int32Array(new SharedArrayBuffer(8));
    this.#peers = new PeerTable({
      handshaker: this.#handshaker,
      send: message => this.#link.send(message),
      lookup: lookupAddresses,
      log,
    });
  }

  async #open(): Promise<void> {
    const { addresses, listenPort, mtu, memoryBytes, mode, bind, runtimeDirectory, pcap } = this.#config;
    const { allowUnkeyed, udpFlowsPerRule, tcpIdleSeconds } = this.#config;
    const { link, ready } = await WorkerLink.start(
      {
        addresses: addresses.map(text => parsePrefix(text)!.address),
        listenPort,
        mtu,
        ...(memoryBytes === undefined ? {} : { memoryBytes }),
        ...(pcap === undefined ? {} : { pcap }),
        relays: {
          mode,
          bind,
          runtimeDirectory,
          ...(allowUnkeyed === undefined ? {} : { allowUnkeyed }),
          ...(udpFlowsPerRule === undefined ? {} : { udpFlowsPerRule }),
          ...(tcpIdleSeconds === undefined ? {} : { tcpIdleSeconds }),
        },
        handshakes: this.#taken.buffer as SharedArrayBuffer,
      },
      message => this.#onMessage(message),
      error => this.#onGone(error),
    );
    this.#link = link;
    this.#ready = ready;
    this.#listenPort = ready.listenPort;
    for (const { tier, reason } of ready.skipped) this.#log.warn({ tier, reason }, 'a faster cipher is not available');
    this.#log.info(
      { listenPort: ready.listenPort, aead: ready.aead, publicKey: base64(this.#publicKey) },
      'WireGuard is listening',
    );
    this.#peers.set(this.#config.peers, this.#publicKey);
    // A peer that still has the session of an earlier run would talk into it for 15 s (whitepaper §6.5) before it called us.
    for (const { id, config } of this.#peers)
      if (config.endpoint !== undefined) this.#link.send({ type: 'connect', peer: id });
  }

  /** Replaces all keys; those that stay, and their connections, are not disturbed. One report per key. */
  async setProxyKeys(keys: ProxyKeyConfig[]): Promise<ProxyKeyReport[]> {
    return (await this.#link.request<'proxy-keys'>({ type: 'proxy-keys', keys })).reports;
  }

  /** Replaces all peers; the sessions of those that stay are not disturbed. Rejects, changing nothing, when one is malformed. */
  async setPeers(peers: PeerConfig[]): Promise<void> {
    const wrong = peersError(peers);
    if (wrong !== undefined) throw new Error(wrong);
    this.#peers.set(peers, this.#publicKey);
  }

  /** Takes another key: present sessions end, handshakes with the new one follow by themselves. 32 bytes. */
  async setPrivateKey(key: Uint8Array): Promise<void> {
    if (key.length !== 32) throw new Error(`the private key has ${key.length} bytes, not 32`);
    this.#takePrivateKey(key);
    this.#peers.set(this.#peers.configured, this.#publicKey);
  }

  #takePrivateKey(key: Uint8Array | undefined): void {
    this.#publicKey = key === undefined ? new Uint8Array(32) : x25519.getPublicKey(key);
    this.#handshaker.setPrivateKey(key);
    this.#link.send({ type: 'expire-sessions' });
  }

  /** For the UAPI: what is in force, keys and all. The private key is a copy, clamped, for the caller to wipe. */
  async uapiState(): Promise<UapiState> {
    const byId = await this.#livePeers();
    const privateKey = this.#handshaker.copyPrivateKey();
    return {
      ...(privateKey === undefined ? {} : { privateKey }),
      listenPort: this.#listenPort,
      peers: [...this.#peers].map(({ id, config }) => {
        const live = byId.get(id);
        const endpoint = live?.endpoint && endpointParts(live.endpoint);
        return {
          publicKey: config.publicKey,
          ...(config.presharedKey === undefined ? {} : { presharedKey: config.presharedKey }),
          ...(endpoint === undefined ? {} : { endpoint }),
          lastHandshake: (live?.latestHandshake ?? 0) * 1000,
          txBytes: live?.tx ?? 0,
          rxBytes: live?.rx ?? 0,
          persistentKeepalive: config.persistentKeepalive ?? 0,
          allowedIps: config.allowedIps.map(text => networkOf(parsePrefix(text)!)),
        };
      }),
    };
  }

  async #livePeers(): Promise<Map<number, WorkerPeerStatus>> {
    const { peers } = await this.#link.request<'status'>({ type: 'status' });
    return new Map(peers.map(peer => [peer.id, peer]));
  }

  /**
   * For the UAPI: all of it or nothing. -> 0, or a negative errno: -EADDRINUSE or -EACCES for a listen port that cannot be had, -EINVAL
   * for what our own checks refuse. Nothing is written to a file. Copies the keys.
   */
  async uapiSet(set: UapiSet): Promise<number> {
    const live = await this.#livePeers();
    const { peers, placed } = changedPeers(this.#peers.configured, set, name => {
      const id = this.#peers.idOf(name);
      const endpoint = id === undefined ? undefined : live.get(id)?.endpoint;
      return endpoint && endpointParts(endpoint);
    });
    if (peersError(peers) !== undefined) return ERRNO.invalid;
    // The one step that can fail comes first.
    if (set.listenPort !== undefined) {
      const { port, errno } = await this.#link.request<'listen-port'>({ type: 'listen-port', port: set.listenPort });
      if (errno !== 0) return errno;
      if (port !== this.#listenPort) this.#log.info({ listenPort: port }, 'WireGuard listens on another port');
      this.#listenPort = port;
    }
    if (set.privateKey !== undefined) {
      const key = set.privateKey === 'clear' ? undefined : set.privateKey;
      const present = this.#handshaker.copyPrivateKey();
      if (Buffer.compare(key ?? new Uint8Array(), present ?? new Uint8Array()) !== 0) {
        this.#takePrivateKey(key);
        this.#log.info({ publicKey: key && base64(this.#publicKey) }, 'the private key was changed');
      }
      present?.fill(0);
    }
    this.#peers.set(peers, this.#publicKey, placed);
    return 0;
  }

  /** Rejects when the data path is gone. */
  async status(): Promise<CompanionStatus> {
    const answer = await this.#link.request<'status'>({ type: 'status' });
    const byId = new Map(answer.peers.map(peer => [peer.id, peer]));
    const counters = { ...answer.counters };
    // The two halves of the engine count different reasons, or the same one at different messages: their sum is what was dropped.
    for (const [reason, value] of Object.entries(this.#handshaker.drops.toObject())) {
      const name = `wireguard_drop_${reason.replaceAll('-', '_')}`;
      counters[name] = (counters[name] ?? 0) + value;
    }
    return {
      publicKey: base64(this.#publicKey),
      listenPort: this.#listenPort,
      aead: this.#ready.aead,
      peers: [...this.#peers].map(({ id, config }) => {
        const live = byId.get(id);
        return {
          publicKey: base64(config.publicKey),
          endpoint: live?.endpoint && endpointText(live.endpoint),
          allowedIps: config.allowedIps.map(text => networkOf(parsePrefix(text)!).text),
          latestHandshake: live?.latestHandshake ?? 0,
          rx: live?.rx ?? 0,
          tx: live?.tx ?? 0,
          persistentKeepalive: config.persistentKeepalive ?? 0,
        };
      }),
      counters,
      connections: answer.connections,
    };
  }

  /** Resets what is open, closes every socket, ends the thread. May be called again; never rejects. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#peers.close();
    await this.#link.close();
    await this.#work;
    this.#handshaker.setPrivateKey(undefined);
  }

  #onMessage(message: FromWorker): void {
    switch (message.type) {
      case 'handshakes':
        for (const received of message.received) this.#receiveHandshake(received);
        break;
      case 'tunnel':
        for (const action of message.actions) this.#onTransportAction(action);
        break;
      case 'resolve':
        void this.#resolve(message.host);
        break;
      case 'log':
        this.#log[message.level](message.fields, message.message);
        break;
      case 'key-report':
        this.emit('key-report', message.report);
        break;
    }
  }

  #onGone(error: Error): void {
    this.#peers.close();
    this.#log.error({ err: error }, 'the data path has failed');
    // An 'error'-like event that nobody listens for must not vanish: the log line above is the least.
    this.emit('fatal', error);
  }

  #receiveHandshake({ datagram, source }: ReceivedHandshake): void {
    const taken = Atomics.add(this.#taken, TAKEN, 1) + 1;
    const queued = (Atomics.load(this.#taken, POSTED) - taken) | 0;
    this.#perform(this.#handshaker.receive(datagram, source, now(), queued));
  }

  #onTransportAction(action: TransportAction): void {
    const peer = 'peer' in action ? this.#peers.name(action.peer) : undefined;
    switch (action.type) {
      case 'initiate':
        this.#perform(this.#handshaker.initiate(action.peer, now()));
        break;
      case 'release':
        this.#handshaker.release(action.localIndex);
        break;
      case 'forget':
        this.#handshaker.forget(action.peer);
        break;
      case 'established':
        this.#log.debug({ peer, initiator: action.initiator }, 'session established');
        break;
      case 'roamed':
        this.#log.debug({ peer, endpoint: endpointText(action.endpoint) }, 'peer moved');
        break;
      case 'failing':
        this.#peers.failing(action.peer);
        if (action.gaveUp) this.#log.warn({ peer, attempts: action.attempts }, 'peer does not answer handshakes');
        else this.#log.debug({ peer, attempts: action.attempts }, 'peer has not answered a handshake');
        break;
    }
  }

  /** Carries actions out in order, those of one call after those of the call before, also while a stamp is being saved. */
  #perform(actions: HandshakeAction[]): void {
    if (actions.length === 0) return;
    this.#work = this.#work.then(() => this.#performNow(actions));
  }

  async #performNow(actions: HandshakeAction[]): Promise<void> {
    for (const action of actions) {
      switch (action.type) {
        case 'stamp':
          try {
            await this.#config.saveStamp?.(action.stamp);
          } catch (error) {
            this.#log.error({ err: error }, 'cannot save the handshake timestamp; the handshake is not sent');
            return;
          }
          break;
        case 'send':
          this.#link.send({
            type: 'handshake-send',
            datagram: action.datagram,
            ...(action.peer === undefined ? {} : { peer: action.peer }),
            ...(action.to === undefined ? {} : { to: action.to }),
          });
          break;
        case 'session':
          // Moved, not copied: the keys are gone from this thread then.
          this.#link.send(action, [action.sendKey.buffer as ArrayBuffer, action.receiveKey.buffer as ArrayBuffer]);
          break;
        case 'drop':
          this.#log.debug(
            { reason: action.reason, peer: action.peer && this.#peers.name(action.peer) },
            'handshake dropped',
          );
          break;
      }
    }
  }

  async #resolve(host: string): Promise<void> {
    let addresses: Uint8Array[] = [];
    try {
      addresses = await lookupAddresses(host);
    } catch (error) {
      this.#log.warn(
        { host, reason: error instanceof Error ? error.message : String(error) },
        'a destination does not resolve',
      );
    }
    this.#link.send({ type: 'resolved', host, addresses });
  }
}

function now(): Now {
  return { mono: performance.now(), wall: Date.now() };
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

/** `address:port` of 18 bytes. */
function endpointText(endpoint: Uint8Array): string {
  const { host, port } = endpointParts(endpoint);
  return formatEndpoint(host, port);
}

function endpointParts(endpoint: Uint8Array): { host: string; port: number } {
  return { host: formatAddress(endpoint.subarray(0, 16)), port: (endpoint[16]! << 8) | endpoint[17]! };
}
