/** The value behind `HSET`: fields, each with a text. */

import type { Item, ItemReader } from "../items.ts";
import type { Aggregate } from "../value.ts";
import { Table } from "./table.ts";

/** Redis' `hash-max-listpack-entries` and `-value`. */
const [SMALL_ENTRIES, SMALL_BYTES] = [512, 64];
const ENTRY_BYTES = 64;

export class Hash implements Aggregate {
  readonly type = "hash";
  readonly fields: Table<string>;
  /** Once large, always large: as in Redis. */
  #isLarge: boolean;

  constructor(
    version: number,
    fields: Table<string> = new Table(version),
    isLarge: boolean = false,
  ) {
    this.fields = fields;
    this.#isLarge = isLarge;
  }

  get version(): number {
    return this.fields.version;
  }

  get encoding(): string {
    return this.#isLarge ? "hashtable" : "listpack";
  }

  get memoryBytes(): number {
    return this.fields.size * ENTRY_BYTES;
  }

  /** True if the field is new. */
  set(field: string, value: string): boolean {
    const isNew = this.fields.set(field, value);
    this.#isLarge ||=
      field.length > SMALL_BYTES || value.length > SMALL_BYTES || this.fields.size > SMALL_ENTRIES;
    return isNew;
  }

  clone(version: number): Hash {
    return new Hash(version, this.fields.clone(version), this.#isLarge);
  }

  get elements(): number {
    return this.fields.size;
  }

  *items(): Generator<Item> {
    yield Number(this.#isLarge);
    yield* this.fields.items((value) => value);
  }

  static decode(items: ItemReader, version: number): Hash {
    const isLarge = items.next() === 1;
    const fields = Table.decode(items, version, () => items.next() as string);
    return new Hash(version, fields, isLarge);
  }
}
