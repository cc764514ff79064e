/** One JSON line per finished connection or UDP session. */

import type { MessageInitShape } from '@bufbuild/protobuf';
import { type AccessLogSchema, FileAccessLogSchema, pack } from '../../envoy/api/index.ts';

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

/** `datagrams_received` and so on, of udp_proxy's session metadata. */
const UDP: Record<string, string> = Object.fromEntries(
  ['bytes_received', 'bytes_sent', 'datagrams_received', 'datagrams_sent'].map(field => [
    field,
    `%DYNAMIC_METADATA(udp.proxy.session:${field})%`,
  ]),
);

const INGRESS: Record<string, string> = { peer: '%DYNAMIC_METADATA(nexodus:peer_public_key)%' };

/** @param path undefined: no log. */
export function accessLog(
  path: string | undefined,
  key: { name: string; protocol: 'tcp' | 'udp'; direction: 'egress' | 'ingress' },
): MessageInitShape<typeof AccessLogSchema>[] {
  if (path === undefined) return [];
  const tcp = key.protocol === 'tcp';
  const operators = {
    key: key.name,
    ...COMMON,
    ...(tcp ? TCP : UDP),
    ...(tcp && key.direction === 'ingress' ? INGRESS : {}),
  };
  return [
    {
      name: 'envoy.access_loggers.file',
      configType: {
        case: 'typedConfig',
        value: pack(FileAccessLogSchema, {
          path,
          accessLogFormat: {
            case: 'logFormat',
            value: { format: { case: 'jsonFormat', value: operators } },
          },
        }),
      },
    },
  ];
}
