/**
 * The layer below the fields: sections, `Field = Value`, `#` comments. Knows no field.
 *
 * A line may hold a key in a wrong place, so no message here or above repeats text that could be one (`show`).
 */

export interface Line {
  /** 1-based. */
  number: number;
  /** As written. */
  field: string;
  /** Trimmed, comment removed; may be empty. */
  value: string;
}

export interface Section {
  name: 'Interface' | 'Peer';
  line: number;
  lines: Line[];
}

export interface Problem {
  line: number;
  /** Field name, or what stands in its place. */
  field: string;
  reason: string;
}

/** A value for a message: quoted, shortened, and withheld when a base64 or hex key could be in it. */
export function show(value: string): string {
  if (/[A-Za-z0-9+/_-]{32,}/.test(value)) return '(a value too much like a key to be shown)';
  const short = value.length > 60 ? `${value.slice(0, 57)}...` : value;
  return `'${short.replace(/[^\x20-\x7e]/g, '?')}'`;
}

/** Split a file into its sections. Every problem is collected: one run names all the mistakes. */
export function splitSections(text: string): { sections: Section[]; problems: Problem[] } {
  const sections: Section[] = [];
  const problems: Problem[] = [];
  let current: Section | undefined;
  let skipping = false;
  for (const [i, raw] of text
    .replace(/^\ufeff/, '')
    .split(/\r?\n/)
    .entries()) {
    const number = i + 1;
    const content = raw.replace(/#.*$/s, '').trim();
    if (content === '') continue;
    if (content.startsWith('[')) {
      const name = /^\[\s*(interface|peer)\s*\]$/i.exec(content)?.[1]?.toLowerCase();
      skipping = name === undefined;
      if (name === undefined) {
        problems.push({ line: number, field: 'section', reason: `${show(content)} is not [Interface] or [Peer]` });
      } else {
        current = { name: name === 'peer' ? 'Peer' : 'Interface', line: number, lines: [] };
        sections.push(current);
      }
      continue;
    }
    // One unknown section is one mistake, not one for each of its lines.
    if (skipping) continue;
    const match = /^([A-Za-z][A-Za-z0-9-]{0,30})\s*=(.*)$/s.exec(content);
    if (match === null || content.includes('\0')) {
      problems.push({ line: number, field: 'line', reason: "is not 'Field = Value'" });
    } else if (current === undefined) {
      problems.push({ line: number, field: match[1]!, reason: 'stands before any [Interface] or [Peer]' });
    } else {
      current.lines.push({ number, field: match[1]!, value: match[2]!.trim() });
    }
  }
  return { sections, problems };
}
