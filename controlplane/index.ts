/** The control plane: what each node should have, over xDS, and what each node made of it. */
import { EventEmitter } from 'node:events';
import * as grpc from '@grpc/grpc-js';
import { checkConsistency } from './consistency.ts';
import { csdsDefinition, csdsService } from './csds.ts';
import { Interner } from './intern.ts';
import { NodeRecord, type NodeStatus } from './nodes.ts';
import type { Resource } from './resources/resource.ts';
import type { Verdict } from './xds/messages.ts';
import { type Endpoint, type ServerOptions, subjectsOf, XdsServer } from './xds/server.ts';
import type { NodeIdentity } from './xds/services.ts';
import { takeSnapshot } from './xds/snapshot.ts';
import type { Admission, DiscoveryStream } from './xds/stream.ts';

export type { NodeStatus, TypeStatus } from './nodes.ts';
export type { Resource } from './resources/resource.ts';
export { formatStatus } from './status-text.ts';
export type { Endpoint } from './xds/server.ts';
export { SocketError } from './xds/socket.ts';

/** As much of a pino logger as is used. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface ControlPlaneOptions extends ServerOptions {
  /** Unix socket to listen on, in a folder of mode 0700. */
  socketPath?: string;
  /** Further places to listen at. */
  endpoints?: readonly Endpoint[];
  log: Log;
  /** Clusters of every node's own bootstrap, which resources may refer to. */
  bootstrapClusters?: readonly string[];
  /** Names in the certificates of those who may ask over TLS for the status of all nodes. On a unix socket its owner may. */
  operators?: readonly string[];
}

/** Resources that cannot work together were not published; the node keeps what it has. */
export class InconsistentResources extends Error {
  readonly code = 'inconsistent_resources';
  readonly problems: readonly string[];

  constructor(nodeId: string, problems: readonly string[]) {
    super(`the resources for ${nodeId} contradict each other: ${problems.join('; ')}`);
    this.problems = problems;
  }
}

/** How a node took a response. */
export interface NodeVerdict {
  nodeId: string;
  typeUrl: string;
  /** Names in the response. */
  offered: readonly string[];
  /** Names that the node refuses. */
  rejected: readonly string[];
  /** Its words; absent in an 'ack'. */
  message?: string;
}

interface Events {
  /** A node accepted a response. */
  ack: [NodeVerdict];
  /** A node refused a response, in whole or in part. */
  nack: [NodeVerdict];
  /** A node's first stream came, or its last one went. */
  connected: [nodeId: string];
  disconnected: [nodeId: string];
}

export class ControlPlane extends EventEmitter<Events> {
  /** The TCP ports that it listens on, in the order of `endpoints`. */
  readonly ports: number[] = [];
  readonly #server: XdsServer;
  readonly #nodes = new Map<string, NodeRecord>();
  readonly #interner = new Interner();
  readonly #log: Log;
  readonly #bootstrapClusters: ReadonlySet<string>;

  private constructor(options: ControlPlaneOptions) {
    super();
    this.#log = options.log;
    this.#bootstrapClusters = new Set(options.bootstrapClusters);
    this.#server = new XdsServer(options, {
      opened: (stream, node, subjects) => this.#opened(stream, node, subjects),
      sent: (stream, response) => {
        this.#nodes.get(stream.node!.id)?.noteSent(response, Date.now());
        const { typeUrl, version, resources, removed } = response;
        this.#log.debug(
          { node: stream.node!.id, typeUrl, version, resources: resources.length, removed: removed.length },
          'xds response',
        );
      },
      answered: (stream, verdict) => this.#answered(stream, verdict),
      closed: stream => this.#closed(stream),
    });
    const operators = options.operators ?? [];
    const mayLook = (call: Pick<grpc.ServerUnaryCall<unknown, unknown>, 'getAuthContext'>): boolean =>
      subjectsOf(call)?.some(subject => operators.includes(subject)) ?? true;
    this.#server.addService(
      csdsDefinition,
      csdsService(() => this.#nodes.values(), mayLook),
    );
  }

  /** @throws SocketError, or the system's error, when it cannot listen. */
  static async start(options: ControlPlaneOptions): Promise<ControlPlane> {
    const plane = new ControlPlane(options);
    const endpoints = [
      ...(options.socketPath ? [{ socketPath: options.socketPath }] : []),
      ...(options.endpoints ?? []),
    ];
    for (const endpoint of endpoints) {
      const port = await plane.#server.listen(endpoint);
      if (port !== 0) plane.ports.push(port);
    }
    return plane;
  }

  /**
   * Makes `resources` all that the node should have. Until its first call for a node, the node is answered nothing and
   * keeps what it has; after `publish(id, [])` it has nothing.
   * @throws InconsistentResources if they contradict each other; nothing is published then.
   */
  publish(nodeId: string, resources: readonly Resource[]): void {
    const interned = resources.map(resource => this.#interner.intern(resource));
    const consistency = checkConsistency(interned, this.#bootstrapClusters);
    if (!consistency.ok) throw new InconsistentResources(nodeId, consistency.errors);
    const node = this.#node(nodeId);
    node.snapshot = takeSnapshot(interned, consistency.endpointsOf, node.snapshot);
    node.publishedAt = Date.now();
    for (const stream of node.streams) stream.publish(node.snapshot);
  }

  /** Forgets a node and ends its streams. It keeps what it has; when it reconnects it is answered nothing. */
  withdraw(nodeId: string): void {
    const node = this.#nodes.get(nodeId);
    if (!node) return;
    for (const stream of node.streams) stream.close(grpc.status.UNAVAILABLE, 'the node was withdrawn');
    this.#nodes.delete(nodeId);
  }

  /** Offers the node once more what it has refused: what was in the way, such as a taken port, may be gone. */
  retry(nodeId: string): void {
    for (const stream of this.#nodes.get(nodeId)?.streams ?? []) {
      stream.session?.unpark();
      stream.schedule();
    }
  }

  /** All nodes that are connected or that something was published for, by id. */
  status(): NodeStatus[] {
    return [...this.#nodes.values()].map(node => node.status()).sort((a, b) => (a.nodeId < b.nodeId ? -1 : 1));
  }

  async close(): Promise<void> {
    await this.#server.close();
  }

  #node(id: string): NodeRecord {
    let node = this.#nodes.get(id);
    if (!node) {
      node = new NodeRecord(id);
      this.#nodes.set(id, node);
    }
    return node;
  }

  #opened(stream: DiscoveryStream, identity: NodeIdentity, subjects: readonly string[] | undefined): Admission {
    // Over TLS a node speaks for itself only: another's resources are another's secrets.
    if (subjects && !subjects.includes(identity.id)) {
      this.#log.warn({ node: identity.id, subjects, peer: stream.peer }, 'certificate does not name the node');
      return { ok: false, code: grpc.status.PERMISSION_DENIED, error: 'the certificate does not name the node' };
    }
    const node = this.#node(identity.id);
    const first = node.streams.size === 0;
    node.streams.add(stream);
    if (first) {
      node.connectedAt = Date.now();
      this.#log.info({ node: identity.id, agent: identity.agent, published: !!node.snapshot }, 'node connected');
      this.emit('connected', identity.id);
    }
    return { ok: true, snapshot: node.snapshot, inDoubt: node.inDoubt };
  }

  #answered(stream: DiscoveryStream, verdict: Verdict): void {
    const nodeId = stream.node!.id;
    this.#nodes.get(nodeId)?.noteVerdict(verdict, Date.now());
    const { typeUrl, offered, rejected, error } = verdict;
    if (error === undefined) {
      this.emit('ack', { nodeId, typeUrl, offered, rejected });
      return;
    }
    this.#log.warn(
      { node: nodeId, typeUrl, rejected, offered: offered.length, reason: error },
      'node refused resources',
    );
    this.emit('nack', { nodeId, typeUrl, offered, rejected, message: error });
  }

  #closed(stream: DiscoveryStream): void {
    const nodeId = stream.node!.id;
    const node = this.#nodes.get(nodeId);
    if (!node?.streams.has(stream)) return;
    node.noteClosed(stream);
    if (node.streams.size > 0) return;
    this.#log.info({ node: nodeId }, 'node disconnected');
    if (!node.snapshot) this.#nodes.delete(nodeId);
    this.emit('disconnected', nodeId);
  }
}
