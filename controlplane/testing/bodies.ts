/** What the resources in a state-of-the-world response call themselves. */
import { fromBinary } from '@bufbuild/protobuf';
import {
  ClusterLoadAssignmentSchema,
  ClusterSchema,
  type DiscoveryResponse,
  ListenerSchema,
  TypedExtensionConfigSchema,
  typeUrls,
} from '../../envoy/api/index.ts';

/** Sorted. */
export function namesIn(response: DiscoveryResponse): string[] {
  return response.resources
    .map(({ typeUrl, value }) => {
      switch (typeUrl) {
        case typeUrls.cluster:
          return fromBinary(ClusterSchema, value).name;
        case typeUrls.endpoint:
          return fromBinary(ClusterLoadAssignmentSchema, value).clusterName;
        case typeUrls.listener:
          return fromBinary(ListenerSchema, value).name;
        case typeUrls.extension:
          return fromBinary(TypedExtensionConfigSchema, value).name;
        default:
          throw new Error(`unexpected type ${typeUrl}`);
      }
    })
    .sort();
}
