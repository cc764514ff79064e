/**
 * The rules in force and where each came from. Immutable: a change makes a new book, which takes the place of the old
 * one only when everything behind it (data path, Envoy, disk) has taken it too.
 */

import { type Direction, formatRule, type ProxyRule, parseAddress, parseRule, sameRule } from '../../rules/index.ts';
import type { SetAsideRule, StoredRules } from '../state/index.ts';

interface Entry {
  rule: ProxyRule;
  /** Given on the command line: in force until removed or restarted without it. */
  flag: boolean;
  /** Added through the control socket: kept on disk. */
  stored: boolean;
}

export type BookResult = { ok: true; book: RuleBook; rule: ProxyRule } | { ok: false; error: string };

/**
 * Why an egress rule cannot work although it is well formed. The real nexd takes a name there, looks it up at 8.8.8.8
 * through the tunnel, and in practice lets every client wait ten seconds and then hangs up.
 */
function unusable(rule: ProxyRule): string | undefined {
  if (rule.direction === 'egress' && parseAddress(rule.destination.host) === undefined) {
    return `invalid destination host (${rule.destination.host}): an egress destination must be an IP address of the tunnel's network, names are not looked up through the tunnel`;
  }
  return undefined;
}

/** Parse a rule and refuse what could never work. */
export function parseUsableRule(direction: Direction, text: string): ReturnType<typeof parseRule> {
  const parsed = parseRule(direction, text);
  const problem = parsed.ok ? unusable(parsed.rule) : undefined;
  return problem === undefined ? parsed : { ok: false, error: problem };
}

export class RuleBook {
  private readonly entries: readonly Entry[];

  private constructor(entries: readonly Entry[]) {
    this.entries = entries;
  }

  static readonly empty = new RuleBook([]);

  /** The rules of the command line: egress first, as Nexodus takes them. Errors carry Nexodus' prefix. */
  static fromFlags(
    egress: readonly string[],
    ingress: readonly string[],
  ): { ok: true; book: RuleBook } | { ok: false; error: string } {
    let book = RuleBook.empty;
    const given = [
      ...egress.map(text => ['egress', text] as const),
      ...ingress.map(text => ['ingress', text] as const),
    ];
    for (const [direction, text] of given) {
      const added = book.add(direction, text, 'flag');
      if (!added.ok) return { ok: false, error: `Failed to add ${direction} proxy rule (${text}): ${added.error}` };
      book = added.book;
    }
    return { ok: true, book };
  }

  /** Join the stored rules; those that cannot be used are handed back. One that is also a flag is one rule. */
  withStored(rules: StoredRules): { book: RuleBook; setAside: SetAsideRule[] } {
    const entries = [...this.entries];
    const setAside: SetAsideRule[] = [];
    for (const direction of ['ingress', 'egress'] as const) {
      for (const text of rules[direction]) {
        const parsed = parseUsableRule(direction, text);
        if (!parsed.ok) {
          setAside.push({ direction, rule: text, reason: parsed.error });
          continue;
        }
        const at = entries.findIndex(entry => sameRule(entry.rule, parsed.rule));
        if (at < 0) entries.push({ rule: parsed.rule, flag: false, stored: true });
        else entries[at] = { ...entries[at]!, stored: true };
      }
    }
    return { book: new RuleBook(entries), setAside };
  }

  add(direction: Direction, text: string, origin: 'flag' | 'stored'): BookResult {
    const parsed = parseUsableRule(direction, text);
    if (!parsed.ok) return parsed;
    if (this.entries.some(entry => sameRule(entry.rule, parsed.rule))) {
      return { ok: false, error: 'port already in use by another proxy rule' };
    }
    const entry = { rule: parsed.rule, flag: origin === 'flag', stored: origin === 'stored' };
    return { ok: true, book: new RuleBook([...this.entries, entry]), rule: parsed.rule };
  }

  /** Whether the rule came from the command line is no matter: it is gone until the next start. */
  remove(direction: Direction, text: string): BookResult {
    const parsed = parseRule(direction, text);
    if (!parsed.ok) return parsed;
    const kept = this.entries.filter(entry => !sameRule(entry.rule, parsed.rule));
    if (kept.length === this.entries.length) {
      return { ok: false, error: `no matching ${direction} proxy rule found: ${formatRule(parsed.rule)}` };
    }
    return { ok: true, book: new RuleBook(kept), rule: parsed.rule };
  }

  rules(): ProxyRule[] {
    return this.entries.map(entry => entry.rule);
  }

  /** What belongs on disk. */
  stored(): StoredRules {
    const list = (direction: Direction) =>
      this.entries
        .filter(entry => entry.stored && entry.rule.direction === direction)
        .map(entry => formatRule(entry.rule));
    return { egress: list('egress'), ingress: list('ingress') };
  }
}
