/** One discovery stream over gRPC: reads requests into a session, writes what the session has to say. */
import * as grpc from '@grpc/grpc-js';
import { encodeResponse } from './encode.ts';
import type { Response, Verdict } from './messages.ts';
import type { DiscoveryMessage, Method, NodeIdentity } from './services.ts';
import { Session } from './session.ts';
import type { Snapshot } from './snapshot.ts';

/** A stream asks for a handful of types; more than this is a mistake or an attack. */
const maxTypes = 64;

export type DiscoveryCall = grpc.ServerDuplexStream<DiscoveryMessage, Buffer>;

/** What the stream tells its server. */
export interface StreamEvents {
  /** The first request has come. @returns what the session starts with, or why the node is refused. */
  opened(stream: DiscoveryStream, node: NodeIdentity): Admission;
  sent(stream: DiscoveryStream, response: Response): void;
  answered(stream: DiscoveryStream, verdict: Verdict): void;
  closed(stream: DiscoveryStream): void;
}

export type Admission =
  | { ok: true; snapshot: Snapshot | undefined; inDoubt: ReadonlyMap<string, ReadonlySet<string>> }
  | { ok: false; code: grpc.status; error: string };

export class DiscoveryStream {
  readonly method: Method;
  readonly peer: string;
  node: NodeIdentity | undefined;
  /** Exists from the first request on. */
  session: Session | undefined;
  readonly #call: DiscoveryCall;
  readonly #events: StreamEvents;
  readonly #identifier: string;
  #scheduled = false;
  /** A response is with gRPC and not yet on its way: the client reads slower than we would write. */
  #writing = false;
  #closed = false;

  constructor(call: DiscoveryCall, method: Method, identifier: string, events: StreamEvents) {
    this.#call = call;
    this.method = method;
    this.peer = call.getPeer();
    this.#identifier = identifier;
    this.#events = events;
    call.on('data', message => this.#received(message));
    call.on('end', () => this.close());
    call.on('cancelled', () => this.#finished());
    call.on('error', () => this.#finished());
    call.on('close', () => this.#finished());
  }

  publish(snapshot: Snapshot): void {
    this.session?.publish(snapshot);
    this.schedule();
  }

  /** Writes what there is to write once the requests and publishes of this turn are all in, so that they merge. */
  schedule(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#write();
    });
  }

  /** Ends the stream in good order, or with an error. */
  close(code: grpc.status = grpc.status.OK, details = ''): void {
    if (this.#closed) return;
    if (code === grpc.status.OK) this.#call.end();
    else this.#call.emit('error', { code, details });
    this.#finished();
  }

  #finished(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#events.closed(this);
  }

  #received(message: DiscoveryMessage): void {
    if (this.#closed) return;
    if (!this.#identify(message.node)) return;
    const typeUrl = message.typeUrl || this.method.typeUrl;
    if (!typeUrl) {
      this.close(grpc.status.INVALID_ARGUMENT, 'type_url is required on an aggregated stream');
      return;
    }
    if (this.method.typeUrl && typeUrl !== this.method.typeUrl) {
      this.close(grpc.status.INVALID_ARGUMENT, `this stream serves ${this.method.typeUrl}, not ${typeUrl}`);
      return;
    }
    const session = this.session!;
    if (session.types.size >= maxTypes && !session.types.has(typeUrl)) {
      this.close(grpc.status.RESOURCE_EXHAUSTED, `more than ${maxTypes} resource types on one stream`);
      return;
    }
    const verdict = session.request(typeUrl, message.request);
    if (verdict) this.#events.answered(this, verdict);
    this.schedule();
  }

  /** Takes the node from the first request; later ones need not name it, but may not name another. */
  #identify(node: NodeIdentity | undefined): boolean {
    if (this.node) {
      if (!node || node.id === '' || node.id === this.node.id) return true;
      this.close(grpc.status.INVALID_ARGUMENT, 'node.id changed within the stream');
      return false;
    }
    if (!node || node.id === '') {
      this.close(grpc.status.INVALID_ARGUMENT, 'the first request must name its node');
      return false;
    }
    this.node = node;
    const admission = this.#events.opened(this, node);
    if (!admission.ok) {
      this.close(admission.code, admission.error);
      return false;
    }
    const { variant } = this.method;
    this.session = new Session({ variant, isEnvoy: node.agent === 'envoy', inDoubt: admission.inDoubt });
    if (admission.snapshot) this.session.publish(admission.snapshot);
    return true;
  }

  #write(): void {
    if (this.#closed || this.#writing) return;
    const response = this.session?.next();
    if (!response) return;
    this.#writing = true;
    this.#events.sent(this, response);
    this.#call.write(encodeResponse(response, this.method.variant, this.#identifier), (error?: Error | null) => {
      this.#writing = false;
      if (!error) this.#write();
    });
  }
}
