/**
 * A value as it is stored: what it consists of, one item behind the other, so that one of a million elements can be cut wherever it is
 * long enough, and is never encoded at once.
 *
 * Items are texts and numbers, by the rules of each type, and two more that mean the same everywhere: `PART` and `JOIN`.
 */

export type Item = string | number | typeof PART | typeof JOIN;

/** Stands between the parts that a value is copied on write by: who cuts there has a change of one part leave the others as they are. */
export const PART = true;
/** Stands between two pieces of one text. */
export const JOIN = null;

/** A longer text is cut into pieces of this size. */
export const PIECE_LENGTH: number = 16 * 1024;

/** Gives the items of some runs, one behind the other, with their texts whole again. */
export class ItemReader {
  readonly #runs: readonly (readonly Item[])[];
  #run: readonly Item[];
  #nextRun = 1;
  #at: number;

  /** @param at where they begin in the first run */
  constructor(runs: readonly (readonly Item[])[], at: number = 0) {
    this.#runs = runs;
    this.#run = runs[0] ?? [];
    this.#at = at;
  }

  /** `undefined` behind the last one. */
  next(): Item | undefined {
    const item = this.#peek();
    this.#at += 1;
    if (typeof item !== "string" || this.#peek() !== JOIN) return item;
    const pieces = [item];
    while (this.#peek() === JOIN) {
      this.#at += 1;
      pieces.push(this.#peek() as string);
      this.#at += 1;
    }
    return pieces.join("");
  }

  #peek(): Item | undefined {
    while (this.#at >= this.#run.length) {
      const run = this.#runs[this.#nextRun];
      if (run === undefined) return undefined;
      this.#run = run;
      this.#nextRun += 1;
      this.#at = 0;
    }
    return this.#run[this.#at];
  }
}
