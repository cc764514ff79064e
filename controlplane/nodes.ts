/** What the control plane knows of each node: what it should have, its streams, and what it made of them. */

import type { Response, Verdict } from './xds/messages.ts';
import { compareTypes } from './xds/order.ts';
import type { NodeIdentity } from './xds/services.ts';
import { type Snapshot, typeOf } from './xds/snapshot.ts';
import type { DiscoveryStream } from './xds/stream.ts';
import type { TypeSession } from './xds/type-session.ts';

/** One type of resource at one node. */
export interface TypeStatus {
  typeUrl: string;
  /** Resources that the node was sent, whether or not it has answered. */
  sent: number;
  /** Resources that it has accepted. */
  acked: number;
  /** Version of the published set of this type. */
  version: string;
  /** The node has all of that version. */
  synced: boolean;
  /** Milliseconds (Unix) of the last response sent, and of the last answer. */
  sentAt?: number;
  answeredAt?: number;
  /** The last refusal, as long as something is refused. */
  rejected?: { message: string; resources: string[]; at: number };
}

export interface NodeStatus {
  nodeId: string;
  connected: boolean;
  /** Of the newest stream. */
  cluster?: string;
  agent?: string;
  connectedAt?: number;
  /** Milliseconds (Unix) of the last publish; absent if nothing was ever published. */
  publishedAt?: number;
  types: TypeStatus[];
  /** What the node refuses, by resource, in its words. */
  rejectedResources: { typeUrl: string; name: string; message: string }[];
}

interface Times {
  sentAt?: number;
  answeredAt?: number;
  nackedAt?: number;
}

export class NodeRecord {
  readonly id: string;
  snapshot: Snapshot | undefined;
  publishedAt: number | undefined;
  connectedAt: number | undefined;
  /** Newest last: what several streams say of one type, the newest knows best. */
  readonly streams = new Set<DiscoveryStream>();
  /** By type, what past streams left in doubt; handed to the next stream, which settles it. */
  readonly inDoubt = new Map<string, Set<string>>();
  readonly #times = new Map<string, Times>();

  constructor(id: string) {
    this.id = id;
  }

  noteSent(response: Response, at: number): void {
    this.#timesOf(response.typeUrl).sentAt = at;
  }

  noteVerdict(verdict: Verdict, at: number): void {
    const times = this.#timesOf(verdict.typeUrl);
    times.answeredAt = at;
    if (verdict.error !== undefined) times.nackedAt = at;
  }

  /** Keeps what `stream` leaves in doubt: an Envoy may hold resources of a response it refused without saying so later. */
  noteClosed(stream: DiscoveryStream): void {
    this.streams.delete(stream);
    for (const [typeUrl, session] of stream.session?.types ?? []) {
      if (session.unrecorded.size > 0) this.inDoubt.set(typeUrl, new Set(session.unrecorded));
      else this.inDoubt.delete(typeUrl);
    }
  }

  /** Who it says it is, on its newest stream. */
  get identity(): NodeIdentity | undefined {
    return [...this.streams].at(-1)?.node;
  }

  /** By type, the newest stream that serves it. */
  sessions(): Map<string, TypeSession> {
    const sessions = new Map<string, TypeSession>();
    for (const stream of this.streams) {
      for (const [typeUrl, session] of stream.session?.types ?? []) sessions.set(typeUrl, session);
    }
    return sessions;
  }

  status(): NodeStatus {
    const { identity } = this;
    const sessions = this.sessions();
    const sorted = [...sessions].sort(([a], [b]) => compareTypes(a, b));
    return {
      nodeId: this.id,
      connected: this.streams.size > 0,
      ...(identity && { cluster: identity.cluster, agent: identity.agent }),
      ...(identity && this.connectedAt !== undefined && { connectedAt: this.connectedAt }),
      ...(this.publishedAt !== undefined && { publishedAt: this.publishedAt }),
      types: sorted.map(([typeUrl, session]) => this.#typeStatus(typeUrl, session)),
      rejectedResources: sorted.flatMap(([typeUrl, session]) =>
        [...session.rejected].map(([name, message]) => ({ typeUrl, name, message })),
      ),
    };
  }

  #typeStatus(typeUrl: string, session: TypeSession): TypeStatus {
    const { nackedAt, ...times } = this.#timesOf(typeUrl);
    const message = [...session.rejected.values()].at(-1);
    return {
      typeUrl,
      sent: session.sent,
      acked: session.acked,
      version: this.snapshot ? typeOf(this.snapshot, typeUrl).version : '',
      synced: this.snapshot !== undefined && session.isSynced(this.snapshot),
      ...times,
      ...(message !== undefined && {
        rejected: { message, resources: [...session.rejected.keys()], at: nackedAt ?? 0 },
      }),
    };
  }

  #timesOf(typeUrl: string): Times {
    let times = this.#times.get(typeUrl);
    if (!times) {
      times = {};
      this.#times.set(typeUrl, times);
    }
    return times;
  }
}
