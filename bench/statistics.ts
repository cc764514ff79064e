// From samples to figures: pure.

/** One measurement of one system in one round. */
export interface Sample {
  readonly round: number;
  readonly system: string;
  readonly values: Readonly<Record<string, number>>;
  /** Cores used by others meanwhile. */
  readonly noise?: number;
}

/** @returns the middle value, or the mean of the two middle ones; NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[middle]!;
  return (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export interface Figure {
  /** Median over the rounds. */
  readonly value: number;
  /** Median of the rounds' own ratios to the yardstick: what drifts from round to round falls out of it. */
  readonly ratio?: number;
}

/** @returns undefined where the system has no sample of that metric. */
export function figure(
  samples: readonly Sample[],
  metric: string,
  system: string,
  yardstick: string,
): Figure | undefined {
  const byRound = (name: string) =>
    new Map(
      samples
        .filter(sample => sample.system === name && metric in sample.values)
        .map(sample => [sample.round, sample.values[metric]!]),
    );
  const own = byRound(system);
  if (own.size === 0) return undefined;
  const its = byRound(yardstick);
  const ratios = [...own].flatMap(([round, value]) => {
    const against = its.get(round);
    return against === undefined || against === 0 ? [] : [value / against];
  });
  return { value: median([...own.values()]), ...(ratios.length > 0 && { ratio: median(ratios) }) };
}

/** @returns the median noise of the samples that hold the metric, or undefined where none was measured. */
export function noiseOf(samples: readonly Sample[], metric: string): number | undefined {
  const noises = samples.flatMap(({ values, noise }) => (metric in values && noise !== undefined ? [noise] : []));
  return noises.length === 0 ? undefined : median(noises);
}
