/** "From the same stream as everything else" (ADS), so that the order of an update is ours to say. */

import { create } from '@bufbuild/protobuf';
import { ApiVersion, ConfigSourceSchema } from '../../envoy/api/index.ts';

/** @param fetchTimeoutSeconds how long what needs the resource waits for it; Envoy's default is 15. */
export function adsSource(fetchTimeoutSeconds?: number) {
  return create(ConfigSourceSchema, {
    configSourceSpecifier: { case: 'ads', value: {} },
    resourceApiVersion: ApiVersion.V3,
    ...(fetchTimeoutSeconds === undefined ? {} : { initialFetchTimeout: { seconds: BigInt(fetchTimeoutSeconds) } }),
  });
}
