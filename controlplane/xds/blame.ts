/**
 * Which resources a NACK blames. Envoy's listener and cluster managers apply what is good in a response and report the
 * rest as `Error adding/updating listener(s) NAME: reason` (one line or comma-separated item per name).
 */

/** What may stand in a resource name of ours, so that `egress/tcp/54` is not found inside `egress/tcp/5432`. */
const nameCharacter = /[\w/.-]/;

/** @returns those of `names` that stand in `message` as whole words, in the order of `names`. */
export function blamed(message: string, names: Iterable<string>): string[] {
  const found: string[] = [];
  for (const name of names) {
    if (name !== '' && standsIn(message, name)) found.push(name);
  }
  return found;
}

function standsIn(message: string, name: string): boolean {
  for (let at = message.indexOf(name); at >= 0; at = message.indexOf(name, at + 1)) {
    const before = message[at - 1] ?? ' ';
    const after = message[at + name.length] ?? ' ';
    // A full stop may end a sentence.
    const ends =
      !nameCharacter.test(after) || (after === '.' && !nameCharacter.test(message[at + name.length + 1] ?? ' '));
    if (!nameCharacter.test(before) && ends) return true;
  }
  return false;
}
