// Grouped horizontal bars as SVG, readable on light and dark pages: pure. Each group has its own scale, since units differ.
import { formatNumber } from './table.ts';

export interface Bar {
  readonly label: string;
  readonly value: number;
}
export interface Group {
  readonly label: string;
  readonly unit: string;
  /** In the same order in each group: the place decides the colour. */
  readonly bars: readonly Bar[];
}

/** Okabe and Ito's palette, which colour-blind readers tell apart. */
const COLOURS = ['#0072b2', '#56b4e9', '#999999', '#e69f00', '#009e73', '#cc79a7'];

const WIDTH = 760;
const LEFT = 110;
const BAR = 16;
const GAP = 4;
const HEADING = 26;
const BETWEEN = 12;
const TITLE = 34;
/** Room for the number behind the longest bar. */
const RIGHT = 110;

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
const escaped = (text: string) => text.replace(/[&<>"]/g, character => ENTITIES[character]!);

/** @returns a whole SVG document. Bars that are no number are left out, and their names with them. */
export function barChart(title: string, groups: readonly Group[]): string {
  const parts: string[] = [];
  const text = (x: number, y: number, content: string, attributes = '') =>
    parts.push(`<text x="${x}" y="${y}"${attributes}>${escaped(content)}</text>`);
  text(8, 22, title, ' class="title"');
  let y = TITLE;
  for (const group of groups) {
    const most = Math.max(...group.bars.map(bar => bar.value).filter(Number.isFinite), Number.MIN_VALUE);
    text(8, y + 16, `${group.label}, ${group.unit}`, ' class="group"');
    y += HEADING;
    group.bars.forEach((bar, place) => {
      if (!Number.isFinite(bar.value)) return;
      const width = Math.max(1, Math.round(((WIDTH - LEFT - RIGHT) * Math.max(0, bar.value)) / most));
      text(LEFT - 8, y + 12, bar.label, ' text-anchor="end"');
      parts.push(
        `<rect x="${LEFT}" y="${y}" width="${width}" height="${BAR}" fill="${COLOURS[place % COLOURS.length]}"/>`,
      );
      text(LEFT + width + 6, y + 12, formatNumber(bar.value));
      y += BAR + GAP;
    });
    y += BETWEEN;
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${y}" viewBox="0 0 ${WIDTH} ${y}" role="img" aria-label="${escaped(title)}">`,
    '<style>text{font:12px sans-serif;fill:#1f2328}.title{font-size:15px;font-weight:bold}.group{font-weight:bold}' +
      '@media(prefers-color-scheme:dark){text{fill:#e6edf3}}</style>',
    ...parts,
    '</svg>',
    '',
  ].join('\n');
}
