// What the filter remembers per context id. Envoy numbers root contexts (one per plugin configuration and VM) and stream
// contexts (one per connection) from one sequence. Several configurations share a VM, so nothing may be kept "per VM" but
// the counters, which are the same for all of them by name.

import { defineCounter } from './abi/host';
import { LogLimit } from './log-limit';
import { Policy } from './policy';

/** A policy in force, with its counters. */
export class Rule {
  /** The value of filter state `wasm.nexodus.key`, encoded once. */
  readonly keyBytes: ArrayBuffer;
  readonly denials: LogLimit = new LogLimit();

  constructor(
    readonly policy: Policy,
    readonly allowed: i32,
    readonly denied: i32,
  ) {
    this.keyBytes = String.UTF8.encode(policy.key);
  }
}

const roots = new Map<u32, Rule>();
const connections = new Map<u32, Rule>();
/** Envoy makes a new metric id for each definition and never frees one, so a name is defined once however often it is configured. */
const counters = new Map<string, i32>();

function counter(name: string): i32 {
  if (!counters.has(name)) counters.set(name, defineCounter(name));
  return counters.get(name);
}

/** Puts a policy in force for the connections of a root context. */
export function configure(root: u32, policy: Policy): void {
  const prefix = 'nexodus.' + policy.key;
  roots.set(root, new Rule(policy, counter(prefix + '.allowed'), counter(prefix + '.denied')));
}

/** A root context whose configuration was refused has no rule, and so its connections have none either. */
export function connect(connection: u32, root: u32): void {
  if (roots.has(root)) connections.set(connection, roots.get(root));
}

/** The rule of a connection, null if its root was never configured. */
export function ruleOf(connection: u32): Rule | null {
  return connections.has(connection) ? connections.get(connection) : null;
}

/** Forgets a context of either kind. */
export function forget(context: u32): void {
  if (!connections.delete(context)) roots.delete(context);
}
