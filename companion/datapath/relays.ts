import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { EventBits } from '../netstack/index.ts';
import { Destinations } from './destinations.ts';
import { EnvoyListener } from './envoy-listener.ts';
import type { IngressTcp } from './ingress-tcp.ts';
import { type KeyRelay, type KeyRelayParts, openKeyRelay } from './key-relays.ts';
import type { ProxyKeyConfig, ProxyKeyReport, RelayContext } from './relay-context.ts';
import { RelayIo } from './relay-io.ts';
import { UdpIo } from './udp-io.ts';

// Implementation

/** A key that could not be opened (its port is another's) is tried again so often, as Nexodus does. */
const RETRY_US = 1_000_000;
const TCP_IDLE_SECONDS = 3600;

interface Entry {
  key: ProxyKeyConfig;
  /** The key as text: equal text, nothing to do. */
  text: string;
  relay: KeyRelay;
  report: ProxyKeyReport;
}

/**
 * All that lies between the sockets of this machine and the TCP/IP stack. Everything runs on the thread of the reactor; the owner of that
 * thread calls
 *
 *     onStackEvent   for each connection that `stack.nextEvent` tells of
 *     onUdp, onUdpError   when `stack.input` or `nextLocal` answered 1, 2
 *     afterInput     at the end of a batch of input
 *     afterPoll      after each round of poll, seal and send
 */
export class Relays {
  readonly #ctx: RelayContext;
  readonly #io: RelayIo;
  readonly #udp: UdpIo;
  readonly #destinations: Destinations;
  readonly #parts: KeyRelayParts;
  readonly #envoy: EnvoyListener | undefined;
  readonly #keys = new Map<string, Entry>();
  readonly #ingress = new Map<number, IngressTcp>();
  #retryTimer = 0;
  #idleTimer = 0;

  /** Throws Error when companion.sock cannot be listened on (mode `envoy`). */
  constructor(ctx: RelayContext) {
    this.#ctx = ctx;
    this.#io = new RelayIo(ctx);
    this.#udp = new UdpIo(this.#io);
    this.#destinations = new Destinations(
      host => ctx.resolve?.(host),
      () => ctx.reactor.now,
    );
    this.#parts = {
      io: this.#io,
      udp: this.#udp,
      destinations: this.#destinations,
      ingress: this.#ingress,
      random: () => randomBytes(4).readInt32LE(),
    };
    if (ctx.config.mode === 'envoy') this.#envoy = this.#listenForEnvoy();
    else this.#watchIdle();
  }

  /** Streams joined now, both directions. */
  get connections(): number {
    return this.#io.streams.size;
  }

  /**
   * Makes these the keys. A key that is the same, or changes only its destinations, policy or times, keeps its listener and its
   * connections; a key that goes stops listening at once, and its streams live until their ends close them. Reports in the order of `keys`.
   */
  setProxyKeys(keys: readonly ProxyKeyConfig[]): ProxyKeyReport[] {
    const wanted = new Set(keys.map(key => key.name));
    // First those that go: their ports may be wanted.
    for (const [name, entry] of this.#keys) {
      if (wanted.has(name)) continue;
      this.#keys.delete(name);
      entry.relay.close();
      this.#ctx.log('info', 'proxy key removed', { key: name });
    }
    this.#destinations.keep(
      keys.filter(key => this.#resolvesHere(key)).flatMap(key => key.destinations.map(one => one.host)),
    );
    for (const key of keys) this.#set(key);
    this.#retryLater();
    return keys.map(key => this.#keys.get(key.name)!.report);
  }

  /** The answer to `ctx.resolve`; no addresses: it failed. */
  resolved(host: string, addresses: readonly Uint8Array[]): void {
    this.#destinations.resolved(host, addresses);
  }

  onStackEvent(connection: number, events: number): void {
    const owner = this.#io.owners.get(connection);
    if (owner !== undefined) owner.onStack(events);
    else if (events & (EventBits.RESET | EventBits.ERROR | EventBits.CLOSED)) this.#io.stack.close(connection);
    else if (events & EventBits.SYN) this.#onSyn(connection);
  }

  onUdp(): void {
    this.#udp.onTunnelDatagram();
  }

  onUdpError(): void {
    this.#udp.onTunnelError();
  }

  afterInput(): void {
    this.#udp.sender.flush();
  }

  afterPoll(): void {
    this.#udp.sender.flush();
    this.#udp.intake.afterPoll();
  }

  /** Stops listening, takes companion.sock away and resets every stream. */
  close(): void {
    const { reactor } = this.#ctx;
    reactor.clearTimer(this.#retryTimer);
    reactor.clearTimer(this.#idleTimer);
    if (this.#envoy !== undefined) {
      this.#envoy.close();
      rmSync(this.#envoyPath, { force: true });
    }
    for (const { relay } of this.#keys.values()) relay.close();
    this.#keys.clear();
    for (const stream of [...this.#io.streams]) stream.reset('closing');
    this.#io.abortDoomed();
  }

  get #envoyPath(): string {
    return `${this.#ctx.config.runtimeDirectory}/companion.sock`;
  }

  #listenForEnvoy(): EnvoyListener {
    const opened = this.#io.sockets.listenUnix(this.#envoyPath);
    if (!opened.ok) throw new Error(opened.error);
    const egress = () => [...this.#keys.values()].map(({ key }) => key).filter(isEgressTcp);
    const rules = {
      key: (name: string) => {
        const key = this.#keys.get(name)?.key;
        return key !== undefined && isEgressTcp(key) ? key : undefined;
      },
      everyDestination: () => egress().flatMap(key => key.destinations),
    };
    return new EnvoyListener(this.#io, opened.fd, rules, this.#destinations);
  }

  #set(key: ProxyKeyConfig): void {
    const text = JSON.stringify(key);
    const known = this.#keys.get(key.name);
    if (known !== undefined && known.text === text && known.report.ok) return;
    const relay = known?.relay ?? openKeyRelay(this.#parts, key);
    const report = relay.update(key);
    this.#keys.set(key.name, { key, text, relay, report });
    if (report.ok) this.#ctx.log('info', 'proxy key ready', { key: key.name });
    else if (known?.report.error !== report.error)
      this.#ctx.log('warn', 'proxy key failed', { key: key.name, error: report.error ?? '' });
  }

  /** In mode `envoy` the destinations of ingress are Envoy's to resolve. */
  #resolvesHere({ direction }: ProxyKeyConfig): boolean {
    return direction === 'egress' || this.#ctx.config.mode === 'none';
  }

  #retryLater(): void {
    const { reactor } = this.#ctx;
    const failed = () => [...this.#keys.values()].filter(entry => !entry.report.ok);
    if (this.#retryTimer !== 0 || failed().length === 0) return;
    this.#retryTimer = reactor.setTimer(reactor.now + RETRY_US, () => {
      this.#retryTimer = 0;
      for (const { key } of failed()) {
        this.#set(key);
        const { report } = this.#keys.get(key.name)!;
        if (report.ok) reactor.post({ type: 'key-report', report });
      }
      this.#retryLater();
    });
  }

  #onSyn(connection: number): void {
    const { stack } = this.#ctx;
    const ingress = this.#ingress.get(stack.local(connection).port);
    if (ingress !== undefined) ingress.onSyn(connection);
    else this.#io.reject(connection);
  }

  /** Without Envoy nobody else would end a stream that both ends have forgotten. */
  #watchIdle(): void {
    const { reactor, config } = this.#ctx;
    const idleUs = (config.tcpIdleSeconds ?? TCP_IDLE_SECONDS) * 1_000_000;
    if (idleUs <= 0) return;
    this.#idleTimer = reactor.setTimer(reactor.now + idleUs / 4, () => {
      for (const stream of [...this.#io.streams]) if (reactor.now - stream.lastActive >= idleUs) stream.reset('idle');
      this.#watchIdle();
    });
  }
}

function isEgressTcp({ direction, protocol }: ProxyKeyConfig): boolean {
  return direction === 'egress' && protocol === 'tcp';
}
