import { OPEN_POLICY, type Policy, type Prefix, parsePrefix, prefixContains } from '../../rules/index.ts';

/**
 * A policy with its prefixes read once, for where a decision falls per datagram. Means what `permits` of rules/ means: deny wins, a
 * non-empty allow list must match, a prefix that cannot be read closes the door.
 */
export class Gate {
  readonly #allow: Prefix[] = [];
  readonly #deny: Prefix[] = [];
  readonly #open: boolean;
  #shut = false;

  constructor(policy: Policy = OPEN_POLICY) {
    this.#open = policy.allow.length === 0;
    for (const text of policy.allow) {
      const prefix = parsePrefix(text);
      if (prefix !== undefined) this.#allow.push(prefix);
    }
    for (const text of policy.deny) {
      const prefix = parsePrefix(text);
      if (prefix === undefined) this.#shut = true;
      else this.#deny.push(prefix);
    }
  }

  /** `address`: 16 bytes. */
  permits(address: Uint8Array): boolean {
    if (this.#shut || this.#deny.some(prefix => prefixContains(prefix, address))) return false;
    return this.#open || this.#allow.some(prefix => prefixContains(prefix, address));
  }
}
