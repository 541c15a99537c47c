/** The value behind `ZADD`. */

import type { Aggregate } from "../value.ts";
import { Table, type TableImage } from "./table.ts";

export class SortedSet implements Aggregate {
  readonly type = "zset";
  readonly encoding = "skiplist";
  readonly version: number;
  readonly scores: Table<number>;

  constructor(version: number, scores: Table<number> = new Table(version)) {
    this.version = version;
    this.scores = scores;
  }

  get size(): number {
    return this.scores.size;
  }

  get memoryBytes(): number {
    return this.scores.size * 96;
  }

  clone(version: number): SortedSet {
    return new SortedSet(version, this.scores.clone(version));
  }

  encode(): unknown {
    return this.scores.encode();
  }

  static decode(image: unknown, version: number): SortedSet {
    return new SortedSet(version, Table.decode<number>(image as TableImage, version));
  }
}
