/** Rows as aligned columns, as nexctl prints lists. */

/** `rows` with the same number of cells as `header`. The last column is not padded. */
export function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...all.map(row => row[column]!.length)));
  const print = (row: readonly string[]) =>
    row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i]!))).join('   ');
  return all.map(row => `${print(row)}\n`).join('');
}
