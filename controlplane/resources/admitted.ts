/** A policy as the plain list of prefixes that it admits. */

import { networkOf, type Policy, type Prefix, parsePrefix, prefixContains } from '../../rules/index.ts';

const EVERYBODY = ['0.0.0.0/0', '::/0'];

/** The first address, and the one that differs from it in the bit `length`: the two halves of the prefix. */
function halves(prefix: Prefix): [Prefix, Prefix] {
  const { length } = prefix;
  const upper = prefix.address.slice();
  upper[length >> 3]! |= 0x80 >> (length & 7);
  return [networkOf({ ...prefix, length: length + 1 }), networkOf({ ...prefix, address: upper, length: length + 1 })];
}

function holds(outer: Prefix, inner: Prefix): boolean {
  return outer.length <= inner.length && prefixContains(outer, inner.address);
}

/** `from` without `hole`: at most one prefix per bit that the hole is narrower. */
function subtract(from: Prefix, hole: Prefix): Prefix[] {
  if (holds(hole, from)) return [];
  if (!holds(from, hole)) return [from];
  const kept: Prefix[] = [];
  let rest = from;
  while (rest.length < hole.length) {
    const [lower, upper] = halves(rest);
    const inLower = holds(lower, hole);
    kept.push(inLower ? upper : lower);
    rest = inLower ? lower : upper;
  }
  return kept;
}

/**
 * The prefixes, none within another, that hold exactly the addresses which the policy permits; [] if it permits none.
 * Envoy's IPMatcher takes the longest prefix that matches, so a list with denials among them would mean something else than
 * "deny wins".
 * @throws Error if a text of the policy is no prefix
 */
export function admittedPrefixes(policy: Policy): Prefix[] {
  const parse = (text: string): Prefix => {
    const prefix = parsePrefix(text);
    if (prefix === undefined) throw new Error(`not a CIDR: ${text}`);
    return networkOf(prefix);
  };
  const denied = policy.deny.map(parse);
  const wanted = (policy.allow.length === 0 ? EVERYBODY : policy.allow).map(parse);
  const apart = wanted.filter((one, i) => {
    return !wanted.some((other, j) => i !== j && holds(other, one) && (other.length < one.length || j < i));
  });
  return denied.reduce((kept, hole) => kept.flatMap(prefix => subtract(prefix, hole)), apart);
}
