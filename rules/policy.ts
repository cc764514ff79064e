/**
 * Who may use a proxy key: prefixes of the client (egress) or of the peer (ingress).
 * Deny wins; a non-empty allow list must match; with neither, everyone may.
 */

import { networkOf, parseAddress, parsePrefix, prefixContains } from './address.ts';

export interface Policy {
  /** Canonical CIDR texts, host bits cleared. */
  allow: string[];
  deny: string[];
}

export type PolicyResult = { ok: true; policy: Policy } | { ok: false; error: string };

export const OPEN_POLICY: Policy = Object.freeze({ allow: [], deny: [] });

/** Make a policy of CIDR texts (an address alone is a single host); duplicates are dropped, order is kept. */
export function parsePolicy(texts: { allow?: readonly string[]; deny?: readonly string[] }): PolicyResult {
  const policy: Policy = { allow: [], deny: [] };
  for (const list of ['allow', 'deny'] as const) {
    for (const text of texts[list] ?? []) {
      const prefix = parsePrefix(text);
      if (prefix === undefined) return { ok: false, error: `invalid ${list} prefix (${text}): not an address or CIDR` };
      const canonical = networkOf(prefix).text;
      if (!policy[list].includes(canonical)) policy[list].push(canonical);
    }
  }
  return { ok: true, policy };
}

/** Whether the address may pass. An address or prefix that does not parse closes the door. */
export function permits(policy: Policy, address: string | Uint8Array): boolean {
  const bytes = typeof address === 'string' ? parseAddress(address) : address;
  if (bytes === undefined) return false;
  const matches = (text: string, unreadable: boolean): boolean => {
    const prefix = parsePrefix(text);
    return prefix === undefined ? unreadable : prefixContains(prefix, bytes);
  };
  if (policy.deny.some(text => matches(text, true))) return false;
  return policy.allow.length === 0 || policy.allow.some(text => matches(text, false));
}
