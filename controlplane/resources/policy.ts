/** The filter in a listener, and the policy resource that configures it (ECDS). */

import type { MessageInitShape } from '@bufbuild/protobuf';
import { create } from '@bufbuild/protobuf';
import { StringValueSchema } from '@bufbuild/protobuf/wkt';
import {
  type AsyncDataSourceSchema,
  FailurePolicy,
  type FilterSchema,
  pack,
  type TypedExtensionConfig,
  TypedExtensionConfigSchema,
  typeUrl,
  WasmNetworkFilterSchema,
} from '../../envoy/api/index.ts';
import { OPEN_POLICY } from '../../rules/index.ts';
import { adsSource } from './config-source.ts';
import { POLICY_TIMEOUT_SECONDS, VM_ID } from './constants.ts';
import type { ResourceInput, ResourceKey } from './input.ts';

/** `policy/egress/tcp/5432`, the filter's name in the listener and the name of the ECDS resource. */
export function policyName(key: string): string {
  return `policy/${key}`;
}

/** The network filter by reference: an edit of the policy reaches new connections and leaves the listener alone. */
export function policyFilter(key: string): MessageInitShape<typeof FilterSchema> {
  return {
    name: policyName(key),
    configType: {
      case: 'configDiscovery',
      value: {
        configSource: adsSource(POLICY_TIMEOUT_SECONDS),
        typeUrls: [typeUrl(WasmNetworkFilterSchema)],
      },
    },
  };
}

/** The filter's own configuration, as extension/assembly/policy.ts reads it. */
export function policyJson({ name, policy = OPEN_POLICY }: Pick<ResourceKey, 'name' | 'policy'>): string {
  return JSON.stringify({ key: name, allow: policy.allow, deny: policy.deny });
}

function code({
  paths,
  filterBytes,
}: Pick<ResourceInput, 'paths' | 'filterBytes'>): MessageInitShape<typeof AsyncDataSourceSchema> {
  const value =
    filterBytes === undefined
      ? { specifier: { case: 'filename' as const, value: paths.filterWasm } }
      : { specifier: { case: 'inlineBytes' as const, value: filterBytes } };
  return { specifier: { case: 'local', value } };
}

/** The ECDS resource. */
export function policyResource(
  key: ResourceKey,
  input: Pick<ResourceInput, 'paths' | 'filterBytes'>,
): TypedExtensionConfig {
  return create(TypedExtensionConfigSchema, {
    name: policyName(key.name),
    typedConfig: pack(WasmNetworkFilterSchema, {
      config: {
        name: key.name,
        // Contexts are found by root id within the shared VM.
        rootId: key.name,
        vm: { case: 'vmConfig', value: { vmId: VM_ID, runtime: 'envoy.wasm.runtime.v8', code: code(input) } },
        configuration: pack(StringValueSchema, { value: policyJson(key) }),
        // A trap closes that connection and those until the VM is new again; it never lets one pass.
        failurePolicy: FailurePolicy.FAIL_RELOAD,
      },
    }),
  });
}
