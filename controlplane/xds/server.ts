/** The xDS server: discovery streams of many nodes, on a unix socket or over TCP with mutual TLS. */
import { rm } from 'node:fs/promises';
import * as grpc from '@grpc/grpc-js';
import { definitionOf, methods, type NodeIdentity } from './services.ts';
import { bindPrivately } from './socket.ts';
import { type Admission, type DiscoveryCall, DiscoveryStream, type StreamEvents } from './stream.ts';

/** A reconnecting delta client names all it holds in one request: 60,000 names of 50 bytes with versions pass 4 MiB. */
const maxRequestBytes = 64 * 1024 * 1024;
/** A dead client is noticed after 30 + 10 s; Envoy answers HTTP/2 pings by itself. */
const keepaliveMs = 30_000;
const keepaliveTimeoutMs = 10_000;

export interface ServerOptions {
  /** Streams at a time; the next is refused with RESOURCE_EXHAUSTED, so that its client tries another replica. */
  maxStreams?: number;
  /** ControlPlane.identifier in each response. */
  identifier?: string;
  /** Milliseconds after which a connection is asked to reconnect (grpc-js adds jitter of 10 %). Default: never. */
  maxConnectionAgeMs?: number;
}

export interface ServerEvents extends Omit<StreamEvents, 'opened'> {
  /** @param subjects see `subjectsOf`. */
  opened(stream: DiscoveryStream, node: NodeIdentity, subjects: readonly string[] | undefined): Admission;
}

/** Where to listen. */
export type Endpoint =
  | { socketPath: string }
  /** PEM texts; clients must show a certificate that `ca` vouches for. */
  | { host: string; port: number; tls: { certificate: Buffer; key: Buffer; ca: Buffer } };

export class XdsServer {
  readonly #server: grpc.Server;
  readonly #streams = new Set<DiscoveryStream>();
  readonly #sockets: string[] = [];
  readonly #maxStreams: number;

  constructor(options: ServerOptions, events: ServerEvents) {
    this.#maxStreams = options.maxStreams ?? 10_000;
    this.#server = new grpc.Server({
      'grpc.max_receive_message_length': maxRequestBytes,
      'grpc.max_send_message_length': -1,
      'grpc.keepalive_time_ms': keepaliveMs,
      'grpc.keepalive_timeout_ms': keepaliveTimeoutMs,
      ...(options.maxConnectionAgeMs && {
        'grpc.max_connection_age_ms': options.maxConnectionAgeMs,
        'grpc.max_connection_age_grace_ms': 10_000,
      }),
    });
    for (const [path, method] of methods) {
      const name = path.slice(path.lastIndexOf('/') + 1);
      const open = (call: DiscoveryCall): void => {
        if (this.#streams.size >= this.#maxStreams) {
          call.emit('error', { code: grpc.status.RESOURCE_EXHAUSTED, details: 'too many streams' });
          return;
        }
        const stream = new DiscoveryStream(call, method, options.identifier ?? '', {
          ...events,
          opened: (opened, node) => events.opened(opened, node, subjectsOf(call)),
          sent: (on, response) => events.sent(on, response),
          answered: (on, verdict) => events.answered(on, verdict),
          closed: closed => {
            this.#streams.delete(closed);
            if (closed.node) events.closed(closed);
          },
        });
        this.#streams.add(stream);
      };
      const definition = definitionOf(path, method) as grpc.MethodDefinition<unknown, unknown>;
      this.#server.addService({ [name]: definition }, { [name]: open as grpc.UntypedHandleCall });
    }
  }

  get streams(): ReadonlySet<DiscoveryStream> {
    return this.#streams;
  }

  /** Further services on the same sockets (status, reflection). */
  addService(definition: grpc.ServiceDefinition, implementation: grpc.UntypedServiceImplementation): void {
    this.#server.addService(definition, implementation);
  }

  /** @returns the TCP port, 0 for a unix socket. @throws SocketError, or the system's error. */
  async listen(at: Endpoint): Promise<number> {
    if ('socketPath' in at) {
      const credentials = grpc.ServerCredentials.createInsecure();
      await bindPrivately(at.socketPath, async path => {
        await this.#bind(`unix:${path}`, credentials);
      });
      this.#sockets.push(at.socketPath);
      return 0;
    }
    const { certificate, key, ca } = at.tls;
    const pair = { cert_chain: certificate, private_key: key };
    const credentials = grpc.ServerCredentials.createSsl(ca, [pair], true);
    const host = at.host.includes(':') ? `[${at.host}]` : at.host;
    return this.#bind(`${host}:${at.port}`, credentials);
  }

  /** Ends all streams and stops listening. Clients keep what they have. */
  async close(): Promise<void> {
    for (const stream of this.#streams) stream.close(grpc.status.UNAVAILABLE, 'the control plane is shutting down');
    // Whatever does not end by itself is cut: a client that reads nothing would hold us for ever.
    await new Promise<void>(resolve => {
      const cut = setTimeout(() => this.#server.forceShutdown(), 500);
      this.#server.tryShutdown(() => {
        clearTimeout(cut);
        resolve();
      });
    });
    await Promise.all(this.#sockets.map(path => rm(path, { force: true })));
  }

  #bind(address: string, credentials: grpc.ServerCredentials): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(address, credentials, (error, port) => {
        if (error) reject(error);
        else resolve(port);
      });
    });
  }
}

/**
 * The names a client's certificate vouches for: DNS and URI subject alternative names, and the common name.
 * @returns undefined where there is no TLS.
 */
export function subjectsOf(call: Pick<DiscoveryCall, 'getAuthContext'>): readonly string[] | undefined {
  const { transportSecurityType, sslPeerCertificate: certificate } = call.getAuthContext();
  if (transportSecurityType === undefined) return undefined;
  if (!certificate?.subject) return [];
  const alternatives = (certificate.subjectaltname ?? '').split(', ').map(entry => entry.replace(/^(DNS|URI):/, ''));
  const common: string | string[] | undefined = certificate.subject.CN;
  return [...alternatives, ...(Array.isArray(common) ? common : [common ?? ''])].filter(name => name !== '');
}
