/**
 * How much there is in each column of pixels: what is drawn from afar, where one would lie on the other.
 *
 * Theory of operation. What meets a column has begun before its end, less what has ended before it. So two ascending lists answer for
 * every zoom, exactly, in as many steps as there are columns, however much there is in one.
 */

import { below } from "./interval-index.ts";

/** Closed intervals, or points, of which only the number matters. */
export class Density {
  readonly #starts: Float64Array;
  readonly #ends: Float64Array;

  constructor(starts: Float64Array, ends: Float64Array = starts) {
    this.#starts = starts.slice().sort();
    this.#ends = ends === starts ? this.#starts : ends.slice().sort();
  }

  get size(): number {
    return this.#starts.length;
  }

  /** How many meet each column [from + i × step, from + (i + 1) × step); `counts` is written over. */
  count(from: number, step: number, counts: Uint32Array): void {
    for (let i = 0; i < counts.length; i += 1) {
      const begun = below(this.#starts, from + (i + 1) * step, false);
      counts[i] = begun - below(this.#ends, from + i * step, false);
    }
  }
}

/** From 0 for nothing to `levels` for as much as `most`, or more; one is never nothing. */
export function levelOf(count: number, most: number, levels: number): number {
  if (count === 0) return 0;
  return Math.max(1, Math.min(levels, Math.ceil((levels * Math.log1p(count)) / Math.log1p(most))));
}
