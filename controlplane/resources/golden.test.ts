/**
 * `testdata/NAME.in.yaml` -> `testdata/NAME.out.yaml`. `UPDATE=1` writes the outputs anew and removes those without an input.
 * Each output is also given to Envoy: as it is, and as the static configuration of the same rules.
 */

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromBinary, type JsonObject } from '@bufbuild/protobuf';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import {
  ClusterLoadAssignmentSchema,
  ClusterSchema,
  ListenerSchema,
  TypedExtensionConfigSchema,
  typeUrl,
} from '../../envoy/api/index.ts';
import { bootstrap } from '../../envoy/bootstrap.ts';
import { validate } from '../../envoy/testing/validate.ts';
import { compileFilter } from '../../extension/testing/build.ts';
import { type ProxyRule, parseRule, proxyKeys } from '../../rules/index.ts';
import { buildResources } from './build.ts';
import type { ResourceInput, ResourceKey, UdpPort } from './input.ts';
import { renderStatic, toEnvoyJson } from './render.ts';
import type { Resource } from './resource.ts';

interface Scenario {
  rules: { egress?: string[]; ingress?: string[] };
  keys?: Record<string, Partial<ResourceKey>>;
  bind?: string;
  ipv6?: boolean;
  tcpKeepalive?: boolean;
  accessLog?: string;
  ingressDirectory?: string;
  inlineFilter?: boolean;
  udpPorts?: Record<string, UdpPort[]>;
  ingressUdpPorts?: Record<string, number>;
  unhealthy?: Record<string, string[]>;
}

const testdata = new URL('testdata/', import.meta.url);
const names = (suffix: string) =>
  readdirSync(testdata).flatMap(name => (name.endsWith(suffix) ? [name.slice(0, -suffix.length)] : []));
const update = process.env['UPDATE'] === '1';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'nexodus-golden-'));
  mkdirSync(join(folder, 'ingress', 'tcp'), { recursive: true });
  compileFilter('assembly/index.ts', join(folder, 'filter.wasm'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function rule(direction: 'egress' | 'ingress', text: string): ProxyRule {
  const result = parseRule(direction, text);
  if (!result.ok) throw new Error(result.error);
  return result.rule;
}

/** @param directory stands for the runtime folder. */
function inputOf(scenario: Scenario, directory: string, filterBytes: Uint8Array): ResourceInput {
  const { rules, keys = {}, udpPorts = {}, ingressUdpPorts = {}, unhealthy = {} } = scenario;
  const egress = (rules.egress ?? []).map(text => rule('egress', text));
  const ingress = (rules.ingress ?? []).map(text => rule('ingress', text));
  return {
    keys: proxyKeys([...egress, ...ingress]).map(key => ({ ...key, ...keys[key.name] })),
    bind: scenario.bind ?? '',
    ...(scenario.ipv6 === undefined ? {} : { ipv6: scenario.ipv6 }),
    ...(scenario.tcpKeepalive === undefined ? {} : { tcpKeepalive: scenario.tcpKeepalive }),
    ...(scenario.accessLog === undefined ? {} : { accessLog: scenario.accessLog }),
    ...(scenario.inlineFilter === true ? { filterBytes } : {}),
    paths: {
      companionSocket: `${directory}/companion.sock`,
      ingressDirectory: scenario.ingressDirectory ?? `${directory}/ingress`,
      filterWasm: `${directory}/filter.wasm`,
    },
    udpPorts: new Map(Object.entries(udpPorts)),
    ingressUdpPorts: new Map(Object.entries(ingressUdpPorts)),
    unhealthy: new Map(Object.entries(unhealthy).map(([name, hosts]) => [name, new Set(hosts)])),
  };
}

const schemas = new Map(
  [ClusterSchema, ClusterLoadAssignmentSchema, ListenerSchema, TypedExtensionConfigSchema].map(s => [typeUrl(s), s]),
);

function readable({ typeUrl: url, name, version, any }: Resource) {
  const schema = schemas.get(url)!;
  return { type: url, name, version, value: toEnvoyJson(schema, fromBinary(schema, any)) };
}

test.each(names('.in.yaml'))('%s', async name => {
  const scenario = parse(readFileSync(new URL(`${name}.in.yaml`, testdata), 'utf8')) as Scenario;
  const result = buildResources(inputOf(scenario, '/run/nexodus', new TextEncoder().encode('\0asm')));
  const out = stringify(result.ok ? { resources: result.resources.map(readable) } : { errors: result.errors }, {
    aliasDuplicateObjects: false,
    lineWidth: 0,
  });
  const path = new URL(`${name}.out.yaml`, testdata);
  if (update) writeFileSync(path, out);
  expect(out).toBe(readFileSync(path, 'utf8'));
  if (!result.ok) return;

  const input = inputOf(scenario, folder, readFileSync(join(folder, 'filter.wasm')));
  const base = bootstrap({
    ...{ nodeId: 'golden', xdsSocket: join(folder, 'xds.sock'), adminSocket: join(folder, 'admin.sock') },
  }) as JsonObject;
  const fixed = await validate({ ...base, dynamic_resources: {}, static_resources: renderStatic(input) });
  expect(fixed.output).toContain('OK');

  // The same bytes that go over xDS, of listeners and clusters.
  const live = buildResources(input);
  if (!live.ok) throw new Error('unreachable');
  const values = (url: string) => live.resources.map(readable).flatMap(one => (one.type === url ? [one.value] : []));
  const xds = (base['static_resources'] as { clusters: object[] }).clusters;
  const dynamic = await validate({
    ...base,
    static_resources: {
      clusters: [...xds, ...values(typeUrl(ClusterSchema))],
      listeners: values(typeUrl(ListenerSchema)),
    },
  });
  expect(dynamic.output).toContain('OK');
});

test('no output is stale', () => {
  const inputs = new Set(names('.in.yaml'));
  const stale = names('.out.yaml').filter(name => !inputs.has(name));
  if (update) for (const name of stale) rmSync(new URL(`${name}.out.yaml`, testdata));
  else expect(stale).toEqual([]);
});
