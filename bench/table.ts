// The figures as a Markdown table: pure.
import type { Metric } from './metrics.ts';
import { figure, noiseOf, type Sample } from './statistics.ts';

/** Three significant digits, thousands apart from 10,000 on. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  if (size >= 10_000) return Math.round(value).toLocaleString('en-US');
  if (size >= 100) return value.toFixed(0);
  if (size >= 10) return value.toFixed(1);
  return value.toFixed(2);
}

export function markdownTable(
  samples: readonly Sample[],
  metrics: readonly Metric[],
  systems: readonly string[],
  yardstick: string,
): string {
  const measured = metrics.filter(metric => samples.some(({ values }) => metric.id in values));
  const header = ['', ...systems, 'noise'];
  const rows = measured.map(metric => {
    const better = metric.better === undefined ? '' : metric.better === 'more' ? ' ↑' : ' ↓';
    const cells = systems.map(system => {
      const its = figure(samples, metric.id, system, yardstick);
      if (its === undefined) return '–';
      const ratio = its.ratio === undefined || system === yardstick ? '' : ` (${its.ratio.toFixed(2)}×)`;
      return `${formatNumber(its.value)}${ratio}`;
    });
    const noise = noiseOf(samples, metric.id);
    return [`${metric.label}, ${metric.unit}${better}`, ...cells, noise === undefined ? '' : noise.toFixed(2)];
  });
  const all = [header, ...rows];
  const widths = header.map((_, column) => Math.max(3, ...all.map(row => row[column]!.length)));
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!))).join(' | ')} |`;
  const rule = `|${widths.map((width, column) => (column === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`;
  return [line(header), rule, ...rows.map(line)].join('\n');
}
