/** How every bench prints what it measured. */

/** One measured case. */
export interface Result {
  readonly bench: string;
  readonly case: string;
  /** The median over the rounds. */
  readonly value: number;
  readonly unit: string;
  /** The same measured in the same run without Tidemark: what is possible at most. Of a count, the most that a paper allows. */
  readonly limit?: number;
  /** `value / limit`. */
  readonly ratio?: number;
}

/** The middle of the values; of an even number, the lower one. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** The value below which that share of the values lies. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}

/** Three digits that count. */
const short = (value: number): number => Number(value.toPrecision(4));

export function printResult(result: Result, json: boolean): void {
  const { limit, ratio } = result;
  const line = {
    bench: result.bench,
    case: result.case,
    value: short(result.value),
    unit: result.unit,
    limit: limit === undefined ? null : short(limit),
    ratio: ratio === undefined ? null : short(ratio),
  };
  if (json) {
    console.log(JSON.stringify(line));
    return;
  }
  const beside =
    line.limit === null ? "" : `  limit ${line.limit.toLocaleString("en")}  ratio ${line.ratio}`;
  console.log(
    `${line.bench.padEnd(9)} ${line.case.padEnd(44)} ${line.value.toLocaleString("en").padStart(12)} ${line.unit.padEnd(22)}${beside}`,
  );
}
