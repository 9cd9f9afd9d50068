/** Sample statistics and tables, for the benchmarks. */

/** The value that a share of the samples does not exceed (nearest rank): 0.5 is the median. NaN without samples. */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const rank = Math.max(1, Math.ceil(share * sorted.length));
  return sorted[rank - 1] ?? Number.NaN;
}

/** With an even number of samples, between the middle two. */
export function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (index: number) => sorted[index] ?? Number.NaN;
  return (at(Math.floor((sorted.length - 1) / 2)) + at(Math.floor(sorted.length / 2))) / 2;
}

/** `p50 1.23, p99 4.56, max 7.89`, in the samples' own unit. */
export function spread(samples: readonly number[], digits = 2): string {
  const show = (share: number) => quantile(samples, share).toFixed(digits);
  return `p50 ${show(0.5)}, p99 ${show(0.99)}, max ${show(1)}`;
}

export type Row = readonly [what: string, figure: string, note?: string];

/** Prints rows in columns below a heading. */
export function printTable(heading: string, rows: readonly Row[]): void {
  const widths = [0, 1].map((column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  console.log(`\n${heading}`);
  for (const [what, figure, note = ''] of rows) {
    console.log(`  ${what.padEnd(widths[0] ?? 0)}  ${figure.padEnd(widths[1] ?? 0)}  ${note}`.trimEnd());
  }
}
