/** One JSON line per finished connection or UDP session. */

import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  type AccessLogSchema,
  FileAccessLogSchema,
  pack,
  StdoutAccessLogSchema,
  SubstitutionFormatStringSchema,
} from '../../envoy/api/index.ts';
import type { ProxyKey } from '../../rules/index.ts';

/**
 * Means Envoy's own stream. Not opened as a file: a parent that is a Node process gives its child a socket there, and Linux
 * opens no socket by its name in /proc.
 */
const STANDARD_OUTPUT = '/dev/stdout';

const COMMON: Record<string, string> = {
  time: '%START_TIME%',
  milliseconds: '%DURATION%',
  source: '%DOWNSTREAM_REMOTE_ADDRESS%',
  destination: '%UPSTREAM_HOST%',
};

const TCP: Record<string, string> = {
  connection: '%CONNECTION_ID%',
  received: '%BYTES_RECEIVED%',
  sent: '%BYTES_SENT%',
  flags: '%RESPONSE_FLAGS%',
  closed: '%CONNECTION_TERMINATION_DETAILS%',
};

const INGRESS_TCP: Record<string, string> = { ...TCP, peer: '%DYNAMIC_METADATA(nexodus:peer_public_key)%' };

/** Fields of udp_proxy's session metadata. */
const UDP: Record<string, string> = Object.fromEntries(
  ['bytes_received', 'bytes_sent', 'datagrams_received', 'datagrams_sent'].map(field => [
    field,
    `%DYNAMIC_METADATA(udp.proxy.session:${field})%`,
  ]),
);

/** @param path of the file, '/dev/stdout', or undefined for no log. */
export function accessLog(
  path: string | undefined,
  key: Pick<ProxyKey, 'name' | 'protocol' | 'direction'>,
): MessageInitShape<typeof AccessLogSchema>[] {
  if (path === undefined) return [];
  const rest = key.protocol === 'udp' ? UDP : key.direction === 'ingress' ? INGRESS_TCP : TCP;
  const value = create(SubstitutionFormatStringSchema, {
    format: { case: 'jsonFormat', value: { key: key.name, ...COMMON, ...rest } },
  });
  if (path === STANDARD_OUTPUT) {
    const typedConfig = pack(StdoutAccessLogSchema, { accessLogFormat: { case: 'logFormat', value } });
    return [{ name: 'envoy.access_loggers.stdout', configType: { case: 'typedConfig', value: typedConfig } }];
  }
  const typedConfig = pack(FileAccessLogSchema, { path, accessLogFormat: { case: 'logFormat', value } });
  return [{ name: 'envoy.access_loggers.file', configType: { case: 'typedConfig', value: typedConfig } }];
}
