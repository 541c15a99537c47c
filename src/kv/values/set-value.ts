/** The value behind `SADD`: members, each once. */

import type { Item, ItemReader } from "../items.ts";
import { parseInteger } from "../numbers.ts";
import type { Aggregate } from "../value.ts";
import { Table } from "./table.ts";

/** Redis' `set-max-intset-entries`. */
const SMALL_ENTRIES = 512;
const ENTRY_BYTES = 48;

export class SetValue implements Aggregate {
  readonly type = "set";
  readonly members: Table<true>;
  #isNumbers: boolean;

  constructor(
    version: number,
    members: Table<true> = new Table(version),
    isNumbers: boolean = true,
  ) {
    this.members = members;
    this.#isNumbers = isNumbers;
  }

  get version(): number {
    return this.members.version;
  }

  get size(): number {
    return this.members.size;
  }

  get encoding(): string {
    return this.#isNumbers ? "intset" : "hashtable";
  }

  get memoryBytes(): number {
    return this.members.size * ENTRY_BYTES;
  }

  has(member: string): boolean {
    return this.members.has(member);
  }

  /** All members: in ascending order if all are numbers, as Redis gives them. */
  list(): string[] {
    const members = this.members.keyList();
    return this.#isNumbers ? inOrderOfNumbers(members) : members;
  }

  /** True if it is new. */
  add(member: string): boolean {
    const isNew = this.members.set(member, true);
    if (this.#isNumbers && isNew)
      this.#isNumbers = this.members.size <= SMALL_ENTRIES && parseInteger(member) !== undefined;
    return isNew;
  }

  /** True if it was there. */
  delete(member: string): boolean {
    return this.members.delete(member);
  }

  clone(version: number): SetValue {
    return new SetValue(version, this.members.clone(version), this.#isNumbers);
  }

  get elements(): number {
    return this.members.size;
  }

  *items(): Generator<Item> {
    yield Number(this.#isNumbers);
    yield* this.members.items();
  }

  static decode(items: ItemReader, version: number): SetValue {
    const isNumbers = items.next() === 1;
    return new SetValue(
      version,
      Table.decode(items, version, () => true),
      isNumbers,
    );
  }
}

function inOrderOfNumbers(members: readonly string[]): string[] {
  const numbers = members.map((text) => ({ text, value: parseInteger(text) as number | bigint }));
  return numbers
    .sort((a, b) => (a.value < b.value ? -1 : a.value > b.value ? 1 : 0))
    .map(({ text }) => text);
}
