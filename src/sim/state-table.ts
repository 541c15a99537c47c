/**
 * The states of a search: rows of whole numbers of one width, each kept once and known by its number from 0 on. Flat arrays,
 * for a search has millions: a row of ten takes some 60 bytes with its place in the index and where it was reached from.
 */

const FIRST_ROWS = 1024;

/** See the head of the file. */
export class StateTable {
  readonly #width: number;
  #rows: Int32Array;
  /** Of each row: the one it was reached from, and in how many steps. */
  #parents: Int32Array = new Int32Array(FIRST_ROWS);
  #depths: Int32Array = new Int32Array(FIRST_ROWS);
  /** Open addressing: number of a row plus one, or 0. Twice as large as there are rows, or more. */
  #index: Int32Array = new Int32Array(FIRST_ROWS * 4);
  #size = 0;

  constructor(width: number) {
    this.#width = width;
    this.#rows = new Int32Array(FIRST_ROWS * width);
  }

  get size(): number {
    return this.#size;
  }

  /** Bytes that it takes. */
  get bytes(): number {
    return (this.#rows.length + 2 * this.#parents.length + this.#index.length) * 4;
  }

  /** Adds a row if it is not there. Gives its number, and, if it was there, minus that minus one. */
  add(row: Int32Array, parent: number): number {
    const at = this.#find(row);
    const known = (this.#index[at] as number) - 1;
    if (known >= 0) return -known - 1;
    const number = this.#size;
    if (number === this.#parents.length) {
      this.#grow();
      return this.add(row, parent);
    }
    this.#rows.set(row, number * this.#width);
    this.#parents[number] = parent;
    this.#depths[number] = parent < 0 ? 0 : this.depth(parent) + 1;
    this.#index[at] = number + 1;
    this.#size += 1;
    return number;
  }

  has(row: Int32Array): boolean {
    return this.#index[this.#find(row)] !== 0;
  }

  /** Where it is in the index, or would be. */
  #find(row: Int32Array): number {
    const width = this.#width;
    const mask = this.#index.length - 1;
    let at = hashOf(row) & mask;
    for (;;) {
      const known = (this.#index[at] as number) - 1;
      if (known < 0) return at;
      let same = true;
      for (let i = 0, from = known * width; i < width; i += 1)
        if (this.#rows[from + i] !== row[i]) {
          same = false;
          break;
        }
      if (same) return at;
      at = (at + 1) & mask;
    }
  }

  /** Copies a row. */
  read(number: number, into: Int32Array): void {
    const start = number * this.#width;
    for (let i = 0; i < this.#width; i += 1) into[i] = this.#rows[start + i] as number;
  }

  depth(number: number): number {
    return this.#depths[number] as number;
  }

  /** The rows that lead to that one: the first one, which comes from nowhere, is left out. */
  path(number: number): number[] {
    const rows: number[] = [];
    for (let at = number; (this.#parents[at] as number) >= 0; at = this.#parents[at] as number)
      rows.push(at);
    return rows.reverse();
  }

  #grow(): void {
    const more = (old: Int32Array): Int32Array => {
      const grown = new Int32Array(old.length * 2);
      grown.set(old);
      return grown;
    };
    this.#rows = more(this.#rows);
    this.#parents = more(this.#parents);
    this.#depths = more(this.#depths);
    const index = new Int32Array(this.#index.length * 2);
    const row = new Int32Array(this.#width);
    for (let number = 0; number < this.#size; number += 1) {
      this.read(number, row);
      let at = hashOf(row) & (index.length - 1);
      while (index[at] !== 0) at = (at + 1) & (index.length - 1);
      index[at] = number + 1;
    }
    this.#index = index;
  }
}

function hashOf(row: Int32Array): number {
  let h = row.length;
  for (let i = 0; i < row.length; i += 1) {
    h = Math.imul(h ^ (row[i] as number), 0x9e3779b1);
    h ^= h >>> 15;
  }
  h = Math.imul(h, 0x85ebca77);
  return h ^ (h >>> 13);
}
