/**
 * Which of many intervals a range meets: arrows of a diagram, of which a window shows a few.
 *
 * Theory of operation. In the order of their beginnings, those that begin too late are at the end. Over the others stands a tree in which
 * each node knows the greatest end below it; where that is too early nothing is looked at. A long arrow costs nobody else anything.
 */

/** Closed intervals, called by their numbers. */
export class IntervalIndex {
  /** The numbers in the order of the beginnings. */
  readonly #order: Int32Array;
  readonly #starts: Float64Array;
  readonly #sortedEnds: Float64Array;
  /** An implicit tree: of node n the nodes below are 2n and 2n + 1. */
  readonly #greatest: Float64Array;
  readonly #leaves: number;

  constructor(starts: Float64Array, ends: Float64Array) {
    const at = (i: number): number => starts[i] as number;
    this.#order = Int32Array.from(starts.keys()).sort((a, b) => at(a) - at(b));
    this.#starts = Float64Array.from(this.#order, at);
    this.#sortedEnds = ends.slice().sort();
    this.#leaves = 1;
    while (this.#leaves < starts.length) this.#leaves *= 2;
    this.#greatest = new Float64Array(2 * this.#leaves).fill(Number.NEGATIVE_INFINITY);
    for (const [i, interval] of this.#order.entries())
      this.#greatest[this.#leaves + i] = ends[interval] as number;
    for (let node = this.#leaves - 1; node > 0; node -= 1)
      this.#greatest[node] = Math.max(
        this.#greatest[2 * node] as number,
        this.#greatest[2 * node + 1] as number,
      );
  }

  /** How many a range meets. */
  count(from: number, to: number): number {
    return below(this.#starts, to, true) - below(this.#sortedEnds, from, false);
  }

  /** Those that a range meets, in the order of their beginnings. */
  forEach(from: number, to: number, take: (interval: number) => void): void {
    const end = below(this.#starts, to, true);
    const visit = (node: number, first: number, size: number): void => {
      if (first >= end || (this.#greatest[node] as number) < from) return;
      if (size === 1) {
        take(this.#order[first] as number);
        return;
      }
      visit(2 * node, first, size / 2);
      visit(2 * node + 1, first + size / 2, size / 2);
    };
    if (end > 0) visit(1, 0, this.#leaves);
  }
}

/** How many of some ascending numbers are less than that, or no more than that. */
export function below(ascending: Float64Array, value: number, isIncluded: boolean): number {
  let [low, high] = [0, ascending.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const one = ascending[middle] as number;
    if (isIncluded ? one <= value : one < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
