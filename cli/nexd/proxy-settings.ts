/** Flags of `nexd proxy` to checked settings. Nothing here touches the machine but the reading of --config. */

import { resolve } from 'node:path';
import { readWgQuick, type WgQuickConfig } from '../../network/wgquick/index.ts';
import { type Policy, parseAddress, parsePolicy, parseProxyKeyName } from '../../rules/index.ts';
import { Failure } from '../failure.ts';
import { LEVELS, type Level } from '../log.ts';
import { RuleBook } from '../proxy/rule-book.ts';
import type { GlobalFlags, ProxyFlags } from './options.ts';

export type EnvoyChoice = { kind: 'auto' | 'external' | 'none' } | { kind: 'path'; path: string };

export interface ProxySettings {
  wireguard: WgQuickConfig;
  /** Of the WireGuard device, for status and logs. */
  interfaceName: string;
  /** The rules of the command line. */
  book: RuleBook;
  envoy: EnvoyChoice;
  /** Egress listen address, '' for all. */
  bind: string;
  /** By proxy key, `egress/tcp/5432`. */
  policies: ReadonlyMap<string, Policy>;
  udpIdleSeconds?: number;
  stateDirectory: string;
  unixSocket: string;
  /** undefined: one is made. */
  runtimeDirectory?: string;
  /** Where the socket for `wg` is asked for; undefined: root has it where wg looks if that can be, others have none. */
  uapiDirectory?: string;
  /** Lines for the log once there is one. */
  warnings: string[];
}

/** An integer flag; Go's words for one that is not. */
function integer(flag: string, text: string, min: number, max: number): number {
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isNaN(value)) throw new Failure(`invalid value "${text}" for flag -${flag}: it is not a number`);
  if (value < min || value > max)
    throw new Failure(`invalid value "${text}" for flag -${flag}: it is not from ${min} to ${max}`);
  return value;
}

export function parseLogLevel(text: string): Level {
  const level = LEVELS.find(known => known === text);
  if (level === undefined)
    throw new Failure(`invalid value "${text}" for flag -log-level: it is not one of ${LEVELS.join(', ')}`);
  return level;
}

function parseEnvoyChoice(text: string): EnvoyChoice {
  if (text === 'auto' || text === 'external' || text === 'none') return { kind: text };
  // A bare word is a typing error of the three more often than a file in the working folder.
  if (!text.includes('/')) {
    throw new Failure(
      `invalid value "${text}" for flag -envoy: it is not auto, external, none or a path (with a '/' in it)`,
    );
  }
  return { kind: 'path', path: text };
}

/** `--allow KEY=CIDR[,CIDR]` and `--deny`, gathered by key. */
export function parsePolicies(allow: readonly string[], deny: readonly string[]): Map<string, Policy> {
  const texts = new Map<string, { allow: string[]; deny: string[] }>();
  for (const [flag, values] of [
    ['allow', allow],
    ['deny', deny],
  ] as const) {
    for (const value of values) {
      const at = value.indexOf('=');
      if (at < 0)
        throw new Failure(
          `invalid value "${value}" for flag -${flag}: it is not KEY=PREFIX[,PREFIX], as in egress:tcp:5432=10.0.0.0/8`,
        );
      const name = parseProxyKeyName(value.slice(0, at));
      if (name === undefined) {
        throw new Failure(
          `invalid value "${value}" for flag -${flag}: ${value.slice(0, at)} is not a key such as egress:tcp:5432`,
        );
      }
      const entry = texts.get(name) ?? { allow: [], deny: [] };
      texts.set(name, entry);
      entry[flag].push(
        ...value
          .slice(at + 1)
          .split(',')
          .map(item => item.trim()),
      );
    }
  }
  const policies = new Map<string, Policy>();
  for (const [name, entry] of texts) {
    const parsed = parsePolicy(entry);
    if (!parsed.ok) throw new Failure(`policy of ${name}: ${parsed.error}`);
    policies.set(name, parsed.policy);
  }
  return policies;
}

function interfaceNameOf({ interfaceName: name }: ProxyFlags): string {
  // The kernel's limit, which wg keeps too: IFNAMSIZ is 16 with its zero.
  if (!/^[\w=+.-]{1,15}$/.test(name) || name === '.' || name === '..') {
    throw new Failure(`invalid value "${name}" for flag -interface-name: it is not 1 to 15 letters, digits or _=+.-`);
  }
  return name;
}

/** Check everything that can be checked without starting. Throws Failure. */
export function checkProxyFlags(global: GlobalFlags, flags: ProxyFlags): ProxySettings {
  const listenPort = global.listenPort === undefined ? undefined : integer('listen-port', global.listenPort, 0, 65535);
  const udpIdleSeconds = flags.udpIdle === undefined ? undefined : integer('udp-idle', flags.udpIdle, 1, 86400);
  const envoy = parseEnvoyChoice(flags.envoy);
  if (flags.bind !== '' && parseAddress(flags.bind) === undefined) {
    throw new Failure(`invalid value "${flags.bind}" for flag -bind: it is not an IP address`);
  }
  const policies = parsePolicies(flags.allow, flags.deny);
  const rules = RuleBook.fromFlags(flags.egress, flags.ingress);
  if (!rules.ok) throw new Failure(rules.error);
  const interfaceName = interfaceNameOf(flags);
  if (flags.config === undefined) {
    throw new Failure(
      'no WireGuard configuration: name one with --config FILE (joining a Nexodus network with --service-url is not supported yet)',
    );
  }
  const parsed = readWgQuick(flags.config);
  if (!parsed.ok) throw new Failure(parsed.errors.join('\n'));
  return {
    wireguard: { ...parsed.config, ...(listenPort !== undefined && { listenPort }) },
    interfaceName,
    book: rules.book,
    envoy,
    bind: flags.bind,
    policies,
    ...(udpIdleSeconds !== undefined && { udpIdleSeconds }),
    stateDirectory: global.stateDir,
    unixSocket: global.unixSocket,
    ...(flags.runtimeDir !== undefined && { runtimeDirectory: flags.runtimeDir }),
    ...(flags.uapiDir !== undefined && { uapiDirectory: resolve(flags.uapiDir) }),
    warnings: parsed.warnings,
  };
}
