/** What goes into and comes out of a session: requests and responses of both variants, free of their encoding. */
import type { Resource } from '../resources/resource.ts';

export type Variant = 'sotw' | 'delta';

/** A DiscoveryRequest or DeltaDiscoveryRequest, without what concerns the stream as a whole. */
export interface TypeRequest {
  /** `response_nonce`, '' if absent. */
  readonly nonce: string;
  /** `error_detail.message`; its presence alone makes the request a NACK. */
  readonly error?: string;
  /** `resource_names` (state of the world) or `resource_names_subscribe` (delta). */
  readonly subscribe: readonly string[];
  /** `resource_names_unsubscribe` (delta). */
  readonly unsubscribe: readonly string[];
  /** `initial_resource_versions` (delta), by name. */
  readonly held: Readonly<Record<string, string>>;
}

/** A response to be written. */
export interface Response {
  readonly typeUrl: string;
  readonly nonce: string;
  /** `version_info` or `system_version_info`. */
  readonly version: string;
  readonly resources: readonly Resource[];
  /** `removed_resources`; always empty in the state-of-the-world variant. */
  readonly removed: readonly string[];
}

/** How a client took a response. */
export interface Verdict {
  readonly typeUrl: string;
  readonly nonce: string;
  /** Absent: accepted. */
  readonly error?: string;
  /** The names in the response. */
  readonly offered: readonly string[];
  /** Those that the error blames; empty after an ACK, and after a NACK that leads to each being offered alone. */
  readonly rejected: readonly string[];
}

export type Progress = 'owed' | 'sent' | 'accepted' | 'refused';

/** What is owed to the client at this moment. */
export interface Difference {
  /** New or changed, or asked for. */
  readonly additions: readonly Resource[];
  /** Held and gone. */
  readonly removals: readonly string[];
  /** Asked for and absent: to be said at once. */
  readonly absent: readonly string[];
  /** An answer is owed even if it is empty. */
  readonly answer: boolean;
}
