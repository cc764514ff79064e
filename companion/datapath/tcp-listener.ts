import { OPEN_POLICY, permits } from '../../rules/index.ts';
import { Acceptor } from './acceptor.ts';
import { EPOLLERR } from './constants.ts';
import { type Destinations, RoundRobin } from './destinations.ts';
import { Dial, type DialResult } from './dial.ts';
import { formatSocketAddress, type SocketAddress } from './proxy-protocol.ts';
import type { ProxyKeyConfig } from './relay-context.ts';
import type { RelayIo } from './relay-io.ts';
import { STREAM_EVENTS, Stream } from './stream.ts';

/**
 * Egress TCP without Envoy: the companion's own listener. A client that the policy does not let in, or for which no destination
 * answers, is reset without a byte.
 */
export class TcpListener {
  /** Replaced as the rule changes; connections that stand are not touched. */
  key: ProxyKeyConfig;
  readonly #io: RelayIo;
  readonly #destinations: Destinations;
  readonly #acceptor: Acceptor;
  readonly #turn = new RoundRobin();
  readonly #dials = new Map<number, Dial>();

  /** `fd` listens. */
  constructor(io: RelayIo, fd: number, key: ProxyKeyConfig, destinations: Destinations) {
    this.#io = io;
    this.key = key;
    this.#destinations = destinations;
    this.#acceptor = new Acceptor(io, fd, key.name, accepted => this.#onConnection(accepted));
  }

  /** Stops listening, and resets those that still wait for a destination. Streams live on. */
  close(): void {
    this.#acceptor.close();
    for (const [fd, dial] of this.#dials) {
      dial.cancel();
      this.#drop(fd);
    }
  }

  #onConnection(fd: number): void {
    const { ctx, sockets } = this.#io;
    const source = sockets.peerName(fd);
    if (source === undefined) {
      sockets.close(fd);
      return;
    }
    if (!permits(this.key.policy ?? OPEN_POLICY, source.address)) {
      ctx.counters.count('egress_tcp_denied');
      this.#told('denied', source, {});
      sockets.reset(fd);
      return;
    }
    sockets.tuneTcp(fd);
    // Destination by destination, and each name's addresses in their order.
    const turn = this.#turn.next(this.key.destinations);
    const candidates = turn.flatMap(one => this.#destinations.endpoints(one));
    let stream: Stream | undefined;
    let before = 0;
    const dial = new Dial(this.#io, candidates, result => {
      stream = this.#onDial(fd, source, result);
      stream?.onSocket(before);
    });
    this.#dials.set(fd, dial);
    ctx.reactor.add(fd, STREAM_EVENTS, events => {
      if (stream !== undefined) {
        stream.onSocket(events);
        return;
      }
      before |= events;
      if (events & EPOLLERR) {
        ctx.counters.count('egress_tcp_gone_while_dialling');
        this.#told('gone', source, {});
        dial.cancel();
        this.#drop(fd);
      }
    });
    dial.start();
  }

  #onDial(fd: number, source: SocketAddress, result: DialResult): Stream | undefined {
    const { counters } = this.#io.ctx;
    if (!result.ok) {
      counters.count(`egress_tcp_dial_failed_${result.failure.replaceAll('-', '_')}`);
      this.#told(result.failure, source, { tried: result.tried, last: result.last });
      this.#drop(fd);
      return undefined;
    }
    this.#dials.delete(fd);
    counters.count('egress_tcp_connected');
    if (result.tried > 1) counters.count('egress_tcp_dial_fell_back');
    this.#told('connected', source, { to: formatSocketAddress(result.to) });
    return new Stream(this.#io, {
      fd,
      connection: result.connection,
      kind: 'tcp',
      onEnd: end => counters.count(`egress_tcp_ended_${end.replaceAll('-', '_')}`),
    });
  }

  #told(outcome: string, source: SocketAddress, more: Record<string, string | number>): void {
    const level = outcome === 'connected' ? 'debug' : 'info';
    this.#io.ctx.log(level, 'egress connection', {
      outcome,
      key: this.key.name,
      source: formatSocketAddress(source),
      ...more,
    });
  }

  #drop(fd: number): void {
    this.#dials.delete(fd);
    this.#io.ctx.reactor.remove(fd);
    this.#io.sockets.reset(fd);
  }
}
