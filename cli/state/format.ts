/**
 * The text of state.json: Nexodus' fields, and ours under `nexodus-envoy`. Fields that neither knows are kept as they
 * are, so that a real nexd's login and keys survive in a directory that both have used.
 */

export interface StoredRules {
  egress: string[];
  ingress: string[];
}

export interface SetAsideRule {
  direction: 'egress' | 'ingress';
  rule: string;
  reason: string;
}

export interface State {
  rules: StoredRules;
  /** Stored rules that do not parse: kept, not used. */
  setAside: SetAsideRule[];
  /** Greatest TAI64N stamp sent (whitepaper §5.1), 12 bytes in hex, by own public key in base64. */
  stamps: Record<string, string>;
  /** Everything else in the file. */
  rest: Record<string, unknown>;
}

export const OWN_FIELD = 'nexodus-envoy';
const RULES_FIELD = 'proxy-rules-config';

export const emptyState = (): State => ({ rules: { egress: [], ingress: [] }, setAside: [], stamps: {}, rest: {} });

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** An absent or null list is empty (Go writes an empty list as null). */
function stringList(value: unknown): string[] | undefined {
  if (value === undefined || value === null) return [];
  return Array.isArray(value) && value.every(item => typeof item === 'string') ? value : undefined;
}

function parseStamps(value: unknown): Record<string, string> {
  if (!isObject(value)) return {};
  const entries = Object.entries(value).filter(
    ([, stamp]) => typeof stamp === 'string' && /^[0-9a-f]{24}$/.test(stamp),
  );
  return Object.fromEntries(entries) as Record<string, string>;
}

function parseSetAside(value: unknown): SetAsideRule[] {
  if (!Array.isArray(value)) return [];
  return value.filter(
    (item): item is SetAsideRule =>
      isObject(item) &&
      (item['direction'] === 'egress' || item['direction'] === 'ingress') &&
      typeof item['rule'] === 'string' &&
      typeof item['reason'] === 'string',
  );
}

/** Parse the file's text; the error says what is wrong, without its content. */
export function parseState(text: string): { ok: true; state: State } | { ok: false; error: string } {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { ok: false, error: text.trim() === '' ? 'it is empty' : 'it is not JSON' };
  }
  if (!isObject(json)) return { ok: false, error: 'it is not a JSON object' };
  const { [RULES_FIELD]: rulesField, [OWN_FIELD]: ownField, ...rest } = json;
  const rules = rulesField ?? {};
  if (!isObject(rules)) return { ok: false, error: `${RULES_FIELD} is not an object` };
  const egress = stringList(rules['egress']);
  const ingress = stringList(rules['ingress']);
  if (egress === undefined) return { ok: false, error: `${RULES_FIELD}.egress is not a list of texts` };
  if (ingress === undefined) return { ok: false, error: `${RULES_FIELD}.ingress is not a list of texts` };
  const own = isObject(ownField) ? ownField : {};
  return {
    ok: true,
    state: {
      rules: { egress, ingress },
      setAside: parseSetAside(own['set-aside-rules']),
      stamps: parseStamps(own['tai64n']),
      rest,
    },
  };
}

/** Two-space JSON; empty lists as null, as Go writes them. */
export function formatState(state: State): string {
  const list = (items: string[]) => (items.length === 0 ? null : items);
  const own = {
    ...(state.setAside.length > 0 && { 'set-aside-rules': state.setAside }),
    ...(Object.keys(state.stamps).length > 0 && { tai64n: state.stamps }),
  };
  const json = {
    'public-key': '',
    'private-key': '',
    ...state.rest,
    [RULES_FIELD]: { egress: list(state.rules.egress), ingress: list(state.rules.ingress) },
    port: state.rest['port'] ?? 0,
    ...(Object.keys(own).length > 0 && { [OWN_FIELD]: own }),
  };
  return `${JSON.stringify(json, null, 2)}\n`;
}
