// The plugin configuration of one proxy key: {"key":"egress/tcp/5432","allow":["10.0.0.0/8"],"deny":[]}.

import { Address, Prefix } from './address';
import { JsonReader } from './json';

/** Longest key, in characters. A TLV could carry more; a name a person reads need not. */
const MAX_KEY = 128;

export class Policy {
  key: string = '';
  private allow: Prefix[] = [];
  private deny: Prefix[] = [];

  /** Deny wins; a non-empty allow list must match; with neither, everyone may. */
  permits(source: Address): bool {
    if (contains(this.deny, source)) return false;
    return this.allow.length == 0 || contains(this.allow, source);
  }

  /**
   * Reads a configuration. Each of the three fields is required, once, and no other is known: a policy that is misspelt
   * must not come out as one that allows everybody.
   * @param error one text, the field and the reason, is pushed if the result is null
   */
  static parse(text: string, error: string[]): Policy | null {
    const reader = new JsonReader(text);
    const policy = new Policy();
    const seen = new Set<string>();
    reader.expect(0x7b /* { */);
    let more = !reader.accept(0x7d /* } */);
    while (more && reader.ok) {
      const field = reader.string();
      reader.expect(0x3a /* : */);
      if (!reader.ok) break;
      if (seen.has(field)) reader.fail('given twice');
      seen.add(field);
      if (field == 'key') policy.key = readKey(reader);
      else if (field == 'allow') policy.allow = readPrefixes(reader);
      else if (field == 'deny') policy.deny = readPrefixes(reader);
      else reader.fail('unknown field');
      if (!reader.ok) {
        error.push('"' + field + '": ' + reader.error);
        return null;
      }
      more = !reader.accept(0x7d);
      if (more) reader.expect(0x2c /* , */);
    }
    reader.end();
    if (!reader.ok) {
      error.push('not the expected JSON object: ' + reader.error);
      return null;
    }
    const required: string[] = ['key', 'allow', 'deny'];
    for (let i = 0; i < required.length; i++) {
      if (!seen.has(required[i])) {
        error.push('"' + required[i] + '": missing');
        return null;
      }
    }
    return policy;
  }
}

function contains(prefixes: Prefix[], address: Address): bool {
  for (let i = 0; i < prefixes.length; i++) {
    if (unchecked(prefixes[i]).contains(address)) return true;
  }
  return false;
}

/** Letters, digits and `._/-`: the key becomes part of a metric's name, and `-` alone is how Envoy prints an absent value. */
function readKey(reader: JsonReader): string {
  const key = reader.string();
  if (!reader.ok) return '';
  if (key.length == 0 || key.length > MAX_KEY || key == '-')
    reader.fail('must have 1 to 128 characters and not be "-"');
  for (let i = 0; i < key.length; i++) {
    const unit: u32 = key.charCodeAt(i);
    const letterOrDigit = unit - 0x30 < 10 || (unit | 0x20) - 0x61 < 26;
    if (!letterOrDigit && unit != 0x2e && unit != 0x5f && unit != 0x2f && unit != 0x2d) {
      reader.fail('only letters, digits and ._/- are allowed');
      break;
    }
  }
  return key;
}

function readPrefixes(reader: JsonReader): Prefix[] {
  const texts = reader.strings();
  const prefixes: Prefix[] = [];
  for (let i = 0; i < texts.length && reader.ok; i++) {
    const prefix = Prefix.parse(texts[i]);
    if (prefix) prefixes.push(prefix);
    else reader.fail('"' + texts[i] + '" is not a CIDR');
  }
  return prefixes;
}
