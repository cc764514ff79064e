import { parseEndpoint } from '../../rules/index.ts';
import { Acceptor } from './acceptor.ts';
import { EPOLLERR, EPOLLHUP, EPOLLRDHUP, MSG_PEEK } from './constants.ts';
import type { Destinations, HostPort } from './destinations.ts';
import { Dial, type DialResult } from './dial.ts';
import { EAGAIN } from './errno.ts';
import { formatSocketAddress, MAX_HEADER_BYTES, type ProxyHeader, parseProxyHeader } from './proxy-protocol.ts';
import type { TimerId } from './reactor.ts';
import type { ProxyKeyConfig } from './relay-context.ts';
import type { RelayIo } from './relay-io.ts';
import { STREAM_EVENTS, Stream } from './stream.ts';

// Implementation
const HEADER_TIMEOUT_US = 5_000_000;

/** What a connection from Envoy may reach: decided anew for each one, so that rules may change at any time. */
export interface EgressRules {
  /** The egress TCP key of that name. */
  key(name: string): ProxyKeyConfig | undefined;
  /** Every destination of any egress TCP key. */
  everyDestination(): HostPort[];
}

/**
 * `companion.sock`: streams from Envoy. Each begins with a PROXY v2 header that names a key and a destination; then the destination is
 * dialled in the tunnel and the two are joined. Whatever goes wrong before that ends in a reset without a byte.
 */
export class EnvoyListener {
  readonly #io: RelayIo;
  readonly #rules: EgressRules;
  readonly #destinations: Destinations;
  readonly #acceptor: Acceptor;
  readonly #waiting = new Set<EnvoyConnection>();

  /** `fd` listens on companion.sock. */
  constructor(io: RelayIo, fd: number, rules: EgressRules, destinations: Destinations) {
    this.#io = io;
    this.#rules = rules;
    this.#destinations = destinations;
    this.#acceptor = new Acceptor(io, fd, 'companion.sock', accepted => {
      const connection = new EnvoyConnection(io, accepted, this);
      this.#waiting.add(connection);
      connection.start();
    });
  }

  close(): void {
    this.#acceptor.close();
    for (const connection of this.#waiting) connection.abandon();
  }

  settled(connection: EnvoyConnection): void {
    this.#waiting.delete(connection);
  }

  /** What to dial for a header, the named destination first, then the key's others; or why nothing. */
  candidates({ tlv, command }: ProxyHeader): { ok: true; all: HostPort[] } | { ok: false; reason: string } {
    if (command === 'local') return { ok: false, reason: 'local' };
    if (tlv.destination === undefined) return { ok: false, reason: 'no_destination' };
    const wanted = parseEndpoint(tlv.destination);
    if (wanted === undefined) return { ok: false, reason: 'bad_destination' };
    if (tlv.key === undefined) {
      if (this.#io.ctx.config.allowUnkeyed !== true) return { ok: false, reason: 'no_key' };
      const allowed = this.#destinations.includes(this.#rules.everyDestination(), wanted);
      return allowed ? { ok: true, all: [wanted] } : { ok: false, reason: 'not_allowed' };
    }
    const key = this.#rules.key(tlv.key);
    if (key === undefined) return { ok: false, reason: 'unknown_key' };
    if (!this.#destinations.includes(key.destinations, wanted)) return { ok: false, reason: 'not_allowed' };
    return { ok: true, all: [wanted, ...key.destinations] };
  }

  /** Endpoints of the candidates, none twice. */
  endpoints(candidates: readonly HostPort[]): ReturnType<Destinations['endpoints']> {
    const byText = new Map(
      candidates.flatMap(one => this.#destinations.endpoints(one).map(to => [formatSocketAddress(to), to] as const)),
    );
    return [...byText.values()];
  }
}

/** One connection of Envoy's, from accept to the stream. */
class EnvoyConnection {
  readonly #io: RelayIo;
  readonly #fd: number;
  readonly #listener: EnvoyListener;
  #timer: TimerId = 0;
  /** EPOLL* bits so far, for the stream to know of. */
  #events = 0;
  #header: ProxyHeader | undefined;
  #dial: Dial | undefined;
  #stream: Stream | undefined;
  #closed = false;

  constructor(io: RelayIo, fd: number, listener: EnvoyListener) {
    this.#io = io;
    this.#fd = fd;
    this.#listener = listener;
  }

  start(): void {
    const { reactor, counters } = this.#io.ctx;
    counters.count('envoy_connections');
    this.#timer = reactor.setTimer(reactor.now + HEADER_TIMEOUT_US, () => this.#refuse('late'));
    reactor.add(this.#fd, STREAM_EVENTS, events => this.#onEvents(events));
    this.#readHeader();
  }

  /** Ends it by a reset, if it has not become a stream. */
  abandon(): void {
    this.#dial?.cancel();
    this.#close();
  }

  #onEvents(events: number): void {
    if (this.#stream !== undefined) {
      this.#stream.onSocket(events);
      return;
    }
    this.#events |= events;
    if (this.#dial === undefined) this.#readHeader();
    // It may have come and gone in one event. Not if the dial is over already, one way or the other.
    const dialling = this.#dial !== undefined && this.#stream === undefined && !this.#closed;
    if (dialling && this.#events & (EPOLLHUP | EPOLLERR)) {
      this.#io.ctx.counters.count('egress_tcp_gone_while_dialling');
      this.#told('gone', {});
      this.abandon();
    }
  }

  #readHeader(): void {
    const { sys, memory, headerBuffer } = this.#io;
    const got = sys.recv(this.#fd, memory.base + headerBuffer, MAX_HEADER_BYTES, MSG_PEEK);
    if (got === -EAGAIN) return;
    if (got <= 0) {
      this.#refuse('absent');
      return;
    }
    const result = parseProxyHeader(memory.u8.subarray(headerBuffer, headerBuffer + got));
    if (result.state === 'incomplete') {
      // Nothing more will come.
      if (this.#events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) this.#refuse('truncated');
      return;
    }
    if (result.state === 'invalid') {
      this.#refuse(`malformed_${result.defect.replaceAll('-', '_')}`);
      return;
    }
    // The header's last byte is the one that stays in the queue, see Stream.
    sys.recv(this.#fd, memory.base + headerBuffer, result.length - 1, 0);
    this.#io.ctx.reactor.clearTimer(this.#timer);
    this.#header = result.header;
    const candidates = this.#listener.candidates(result.header);
    if (!candidates.ok) {
      this.#refuse(candidates.reason);
      return;
    }
    this.#dial = new Dial(this.#io, this.#listener.endpoints(candidates.all), dialled => this.#onDial(dialled));
    this.#dial.start();
  }

  #onDial(result: DialResult): void {
    const { counters } = this.#io.ctx;
    if (!result.ok) {
      counters.count(`egress_tcp_dial_failed_${result.failure.replaceAll('-', '_')}`);
      this.#told(result.failure, { tried: result.tried, last: result.last });
      this.#close();
      return;
    }
    counters.count('egress_tcp_connected');
    if (result.tried > 1) counters.count('egress_tcp_dial_fell_back');
    this.#told('connected', { to: formatSocketAddress(result.to) });
    this.#listener.settled(this);
    this.#stream = new Stream(this.#io, {
      fd: this.#fd,
      connection: result.connection,
      kind: 'unix',
      kept: true,
      hangUp: this.#header?.tlv.key === undefined ? 'close' : 'reset',
      onEnd: end => counters.count(`egress_tcp_ended_${end.replaceAll('-', '_')}`),
    });
    this.#stream.onSocket(this.#events);
  }

  /** Before any dial: the header is missing, wrong, or asks for what no rule allows. */
  #refuse(reason: string): void {
    this.#io.ctx.counters.count(`envoy_header_refused_${reason}`);
    this.#told(reason, {}, 'warn');
    this.#close();
  }

  #told(outcome: string, more: Record<string, string | number>, level?: 'warn'): void {
    const { tlv, source } = this.#header ?? { tlv: {} };
    const chosen = outcome === 'connected' ? 'debug' : 'info';
    this.#io.ctx.log(level ?? chosen, 'egress connection', {
      outcome,
      key: tlv.key ?? '',
      source: source === undefined ? '' : formatSocketAddress(source),
      destination: tlv.destination ?? '',
      connection_id: tlv.connectionId ?? '',
      ...more,
    });
  }

  #close(): void {
    this.#closed = true;
    this.#io.ctx.reactor.clearTimer(this.#timer);
    this.#io.ctx.reactor.remove(this.#fd);
    this.#io.sockets.close(this.#fd);
    this.#listener.settled(this);
  }
}
