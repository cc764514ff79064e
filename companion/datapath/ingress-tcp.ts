import { OPEN_POLICY, permits } from '../../rules/index.ts';
import { EventBits } from '../netstack/index.ts';
import { EPOLLERR, EPOLLHUP, EPOLLOUT } from './constants.ts';
import { type Destinations, RoundRobin } from './destinations.ts';
import { EAGAIN, EMFILE, ENFILE } from './errno.ts';
import { emitProxyHeader, formatSocketAddress, type SocketAddress } from './proxy-protocol.ts';
import type { ProxyKeyConfig } from './relay-context.ts';
import type { ConnectionOwner, RelayIo } from './relay-io.ts';
import { STREAM_EVENTS, Stream } from './stream.ts';
import { errnoName } from './system-calls.ts';

// Implementation

/** One local service may take so long to answer, all together so long. */
const CONNECT_TIMEOUT_US = 5_000_000;
const CONNECT_TOTAL_US = 10_000_000;
/** Envoy's backlog is full: asked again after so long, for CONNECT_TIMEOUT_US. */
const BACKLOG_RETRY_US = 5_000;

/**
 * Ingress TCP: peers' connections to a port of ours in the tunnel. A SYN is answered only when the connection to Envoy, or to the local
 * service, stands; else the peer gets RST, as if the service itself were down.
 */
export class IngressTcp {
  /** Replaced as the rule changes; connections that stand are not touched. */
  key: ProxyKeyConfig;
  readonly #io: RelayIo;
  readonly #destinations: Destinations;
  readonly #listener: number;
  readonly #turn = new RoundRobin();
  readonly #waiting = new Set<IngressConnection>();

  /** `listener`: the stack's deferred listener for the key's port. */
  constructor(io: RelayIo, listener: number, key: ProxyKeyConfig, destinations: Destinations) {
    this.#io = io;
    this.#listener = listener;
    this.key = key;
    this.#destinations = destinations;
  }

  /** Stops listening, and refuses the SYNs not answered yet. Streams live on. */
  close(): void {
    this.#io.stack.unlisten(this.#listener);
    for (const connection of this.#waiting) connection.refuse('rule-removed');
  }

  onSyn(connection: number): void {
    const { ctx, stack } = this.#io;
    const peer = stack.remote(connection);
    if (ctx.config.mode === 'envoy') {
      this.#begin(connection, peer, [`${ctx.config.runtimeDirectory}/ingress/tcp/${this.key.port}.sock`]);
      return;
    }
    if (!permits(this.key.policy ?? OPEN_POLICY, peer.address)) {
      ctx.counters.count('ingress_tcp_denied');
      this.told('denied', peer, {});
      this.#io.reject(connection);
      return;
    }
    const turn = this.#turn.next(this.key.destinations);
    this.#begin(
      connection,
      peer,
      turn.flatMap(one => this.#destinations.endpoints(one)),
    );
  }

  #begin(connection: number, peer: SocketAddress, targets: readonly (string | SocketAddress)[]): void {
    const waiting = new IngressConnection(this.#io, this, connection, peer, targets);
    this.#waiting.add(waiting);
    waiting.start();
  }

  settled(connection: IngressConnection): void {
    this.#waiting.delete(connection);
  }

  told(outcome: string, peer: SocketAddress, more: Record<string, string | number>): void {
    const level = outcome === 'connected' ? 'debug' : 'info';
    this.#io.ctx.log(level, 'ingress connection', {
      outcome,
      key: this.key.name,
      source: formatSocketAddress(peer),
      ...more,
    });
  }
}

/** A SYN that waits for its local side. A target is a path (Envoy's listener) or an address (a local service). */
class IngressConnection implements ConnectionOwner {
  readonly #io: RelayIo;
  readonly #owner: IngressTcp;
  readonly #connection: number;
  readonly #peer: SocketAddress;
  readonly #targets: readonly (string | SocketAddress)[];
  readonly #began: number;
  #next = 0;
  #fd = -1;
  #timer = 0;
  #stream: Stream | undefined;
  #failure = 'no-destination';

  constructor(
    io: RelayIo,
    owner: IngressTcp,
    connection: number,
    peer: SocketAddress,
    targets: readonly (string | SocketAddress)[],
  ) {
    this.#io = io;
    this.#owner = owner;
    this.#connection = connection;
    this.#peer = peer;
    this.#targets = targets;
    this.#began = io.ctx.reactor.now;
    io.owners.set(connection, this);
  }

  start(): void {
    const { ctx, sockets } = this.#io;
    for (;;) {
      const target = this.#targets[this.#next];
      if (target === undefined || ctx.reactor.now - this.#began >= CONNECT_TOTAL_US) {
        this.refuse(this.#failure);
        return;
      }
      this.#next++;
      const opened = typeof target === 'string' ? sockets.connectUnix(target) : sockets.connectTcp(target);
      if (!opened.ok) {
        this.#failure = errnoName(opened.errno);
        if (opened.errno === EMFILE || opened.errno === ENFILE) ctx.counters.count('fd_exhausted');
        if (
          typeof target === 'string' &&
          opened.errno === EAGAIN &&
          ctx.reactor.now - this.#began < CONNECT_TIMEOUT_US
        ) {
          this.#next--;
          this.#timer = ctx.reactor.setTimer(ctx.reactor.now + BACKLOG_RETRY_US, () => this.start());
          return;
        }
        continue;
      }
      this.#fd = opened.fd;
      // EPOLLOUT tells that a TCP connect has ended; the stream takes it off again.
      const events = typeof target === 'string' ? STREAM_EVENTS : STREAM_EVENTS | EPOLLOUT;
      ctx.reactor.add(opened.fd, events, ready => this.#onEvents(ready));
      if (typeof target === 'string') this.#onUnixConnected(target);
      else this.#timer = ctx.reactor.setTimer(ctx.reactor.now + CONNECT_TIMEOUT_US, () => this.#failed('ETIMEDOUT'));
      return;
    }
  }

  /** The peer takes its SYN back, or the stack gives up on it. */
  onStack(events: number): void {
    if (!(events & (EventBits.RESET | EventBits.ERROR | EventBits.CLOSED))) return;
    this.#io.ctx.counters.count('ingress_tcp_gone_while_connecting');
    this.#owner.told('gone', this.#peer, {});
    this.#dropSocket();
    this.#io.abort(this.#connection);
    this.#owner.settled(this);
  }

  refuse(failure: string): void {
    this.#io.ctx.counters.count(`ingress_tcp_refused_${failure.toLowerCase().replaceAll(/[- ]/g, '_')}`);
    this.#owner.told(failure, this.#peer, { tried: this.#next });
    this.#dropSocket();
    this.#io.owners.delete(this.#connection);
    this.#io.reject(this.#connection);
    this.#owner.settled(this);
  }

  #onEvents(events: number): void {
    if (this.#stream !== undefined) {
      this.#stream.onSocket(events);
      return;
    }
    if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) return;
    const error = this.#io.sockets.pendingError(this.#fd);
    if (error === 0) this.#connected('tcp', events);
    else this.#failed(errnoName(error));
  }

  #onUnixConnected(path: string): void {
    const { stack, sys, memory, headerBuffer, ctx } = this.#io;
    const publicKey = ctx.peerOf(this.#peer.address)?.publicKeyBase64;
    const header = emitProxyHeader(this.#peer, stack.local(this.#connection), {
      key: this.#owner.key.name,
      ...(publicKey === undefined ? {} : { peerPublicKey: publicKey }),
    });
    memory.u8.set(header, headerBuffer);
    const written = sys.write(this.#fd, memory.base + headerBuffer, header.length);
    if (written === header.length) this.#connected('unix', 0);
    else {
      ctx.log('warn', 'Envoy did not take the PROXY header', { path, result: written });
      this.#failed('header');
    }
  }

  #connected(kind: 'unix' | 'tcp', events: number): void {
    const { ctx, stack } = this.#io;
    ctx.reactor.clearTimer(this.#timer);
    this.#owner.settled(this);
    ctx.counters.count('ingress_tcp_connected');
    this.#owner.told('connected', this.#peer, { tried: this.#next });
    stack.accept(this.#connection);
    ctx.reactor.pump();
    this.#stream = new Stream(this.#io, {
      fd: this.#fd,
      connection: this.#connection,
      kind,
      headerFirst: kind === 'unix',
      watchesOut: kind === 'tcp',
      onEnd: end => ctx.counters.count(`ingress_tcp_ended_${end.replaceAll('-', '_')}`),
    });
    this.#stream.onSocket(events);
  }

  #failed(failure: string): void {
    this.#failure = failure;
    this.#dropSocket();
    this.start();
  }

  #dropSocket(): void {
    this.#io.ctx.reactor.clearTimer(this.#timer);
    if (this.#fd < 0) return;
    this.#io.ctx.reactor.remove(this.#fd);
    this.#io.sockets.close(this.#fd);
    this.#fd = -1;
  }
}
