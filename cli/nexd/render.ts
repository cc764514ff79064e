/** `nexd render`: the rules as a static Envoy configuration, to read, to check with envoy --mode validate, or to run. */

import { join, resolve } from 'node:path';
import { stringify } from 'yaml';
import { keyError, renderStatic } from '../../controlplane/resources/index.ts';
import { filterPath } from '../../extension/index.ts';
import { parseAddress, proxyKeys } from '../../rules/index.ts';
import { Failure } from '../failure.ts';
import { hasIPv6 } from '../proxy/bind-probe.ts';
import { RuleBook } from '../proxy/rule-book.ts';
import type { ProxyFlags } from './options.ts';
import { parsePolicies } from './proxy-settings.ts';

export type RenderFlags = Pick<ProxyFlags, 'egress' | 'ingress' | 'allow' | 'deny' | 'bind' | 'runtimeDir'>;

/** YAML of a whole bootstrap. Throws Failure. */
export function renderConfiguration(flags: RenderFlags): string {
  const rules = RuleBook.fromFlags(flags.egress, flags.ingress);
  if (!rules.ok) throw new Failure(rules.error);
  if (flags.bind !== '' && parseAddress(flags.bind) === undefined) {
    throw new Failure(`invalid value "${flags.bind}" for flag -bind: it is not an IP address`);
  }
  const policies = parsePolicies(flags.allow, flags.deny);
  const directory = resolve(flags.runtimeDir ?? '/run/nexd');
  const keys = proxyKeys(rules.book.rules()).map(key => {
    const policy = policies.get(key.name);
    return { ...key, ...(policy !== undefined && { policy }) };
  });
  const udp = keys.find(key => key.protocol === 'udp');
  // Their loopback ports are chosen by a running companion, and told over xDS.
  if (udp !== undefined)
    throw new Failure(`${udp.name}: UDP rules have no static configuration, run nexd proxy --envoy external`);
  const input = {
    keys,
    bind: flags.bind,
    ipv6: hasIPv6(),
    paths: {
      companionSocket: join(directory, 'companion.sock'),
      ingressDirectory: join(directory, 'ingress'),
      filterWasm: filterPath,
    },
    udpPorts: new Map(),
    ingressUdpPorts: new Map(),
  };
  for (const key of keys) {
    const error = keyError(key, input);
    if (error !== undefined) throw new Failure(`${key.name}: ${error}`);
  }
  const configuration = {
    node: { id: 'nexd', cluster: 'nexodus' },
    admin: { address: { pipe: { path: join(directory, 'admin.sock'), mode: 0o600 } } },
    static_resources: renderStatic(input),
  };
  return stringify(configuration, { lineWidth: 0, aliasDuplicateObjects: false });
}
