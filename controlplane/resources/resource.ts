/** One xDS resource as it goes over the wire; see https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol. */

import { createHash } from 'node:crypto';

/** Immutable once made. */
export interface Resource {
  /** `type.googleapis.com/envoy.config.listener.v3.Listener` and so on. */
  readonly typeUrl: string;
  /** The name in its own type: a proxy key (`egress/tcp/5432`) or `policy/egress/tcp/5432`. */
  readonly name: string;
  /** Content hash: equal bytes have equal versions, whoever built them and whenever. */
  readonly version: string;
  /** The serialized message, the `value` of its `google.protobuf.Any`. */
  readonly any: Uint8Array;
}

/** @returns 16 hex digits of the SHA-256 of type and bytes. */
export function contentVersion(typeUrl: string, any: Uint8Array): string {
  return createHash('sha256').update(typeUrl).update('\0').update(any).digest('hex').slice(0, 16);
}

export function makeResource(typeUrl: string, name: string, any: Uint8Array): Resource {
  return { typeUrl, name, version: contentVersion(typeUrl, any), any };
}
