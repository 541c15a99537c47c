/**
 * A map that is copied on write part by part, and that grows part by part: the parts are maps of the language, split one at a time as in
 * linear hashing (Litwin 1980, "Linear Hashing: A New Tool for File and Table Addressing"). They are never merged, so that a scan that
 * goes on from a part sees everything that was there all the time.
 *
 * The order of what is in it follows from what was done to it alone: so all replicas agree on it.
 */

import { type Item, type ItemReader, PART } from "../items.ts";

/** Entries in a part, on the average, beyond which one is split. */
const PART_ENTRIES = 256;
/** But so many stay in one: it is in the order in which they came, and so is what Redis keeps of that size. */
const FIRST_PART_ENTRIES = 512;

interface Part<V> {
  readonly version: number;
  readonly entries: Map<string, V>;
}

/** See the head of the file. */
export class Table<V> {
  readonly version: number;
  readonly #parts: Part<V>[];
  #size: number;
  /** Bits of the hash that a part is chosen by, in parts that are split already one more. */
  #bits: number;

  constructor(version: number, parts?: Part<V>[], size: number = 0) {
    this.version = version;
    this.#parts = parts ?? [{ version, entries: new Map() }];
    this.#size = size;
    this.#bits = 31 - Math.clz32(this.#parts.length);
  }

  get size(): number {
    return this.#size;
  }

  get parts(): number {
    return this.#parts.length;
  }

  get(key: string): V | undefined {
    return this.#part(key).entries.get(key);
  }

  has(key: string): boolean {
    return this.#part(key).entries.has(key);
  }

  /** True if it is new. */
  set(key: string, value: V): boolean {
    const { entries } = this.#own(this.#index(key));
    const before = entries.size;
    entries.set(key, value);
    if (entries.size === before) return false;
    this.#size += 1;
    const { length } = this.#parts;
    if (this.#size > (length === 1 ? FIRST_PART_ENTRIES : PART_ENTRIES * length)) this.#split();
    return true;
  }

  /** True if it was there. */
  delete(key: string): boolean {
    const index = this.#index(key);
    if (!(this.#parts[index] as Part<V>).entries.has(key)) return false;
    this.#own(index).entries.delete(key);
    this.#size -= 1;
    return true;
  }

  /** The entries of one part, for a scan that goes on from part to part. */
  partEntries(index: number): ReadonlyMap<string, V> {
    return (this.#parts[index] as Part<V>).entries;
  }

  *keys(): IterableIterator<string> {
    for (const { entries } of this.#parts) yield* entries.keys();
  }

  *entries(): IterableIterator<[string, V]> {
    for (const { entries } of this.#parts) yield* entries;
  }

  /** All keys, in an array. */
  keyList(): string[] {
    const all: string[] = [];
    for (const { entries } of this.#parts) for (const key of entries.keys()) all.push(key);
    return all;
  }

  /**
   * The keys at these places of the order, which are ascending and may be there again. Whole parts are skipped, so that a few of many
   * cost little.
   */
  keysAt(places: ArrayLike<number>): string[] {
    const found: string[] = [];
    let next = 0;
    let at = 0;
    for (const { entries } of this.#parts) {
      const end = at + entries.size;
      if (next === places.length) break;
      if ((places[next] as number) >= end) {
        at = end;
        continue;
      }
      for (const key of entries.keys()) {
        for (; places[next] === at; next += 1) found.push(key);
        at += 1;
      }
    }
    return found;
  }

  /**
   * A key by chance, each with about the same chance.
   * @param below gives a whole number from 0, less than the given one
   */
  random(below: (limit: number) => number): string | undefined {
    return this.#size === 0 ? undefined : this.keysAt([below(this.#size)])[0];
  }

  clone(version: number): Table<V> {
    return new Table(version, [...this.#parts], this.#size);
  }

  /**
   * How many parts it has, and then its entries.
   * @param stored gives what is stored of a value; without it, only the keys are
   */
  *items(stored?: (value: V) => Item): Generator<Item> {
    yield this.#parts.length;
    let isFirst = true;
    for (const { entries } of this.#parts) {
      if (!isFirst) yield PART;
      isFirst = false;
      for (const [key, value] of entries) {
        yield key;
        if (stored) yield stored(value);
      }
    }
  }

  /** @param value reads what is stored of one, behind its key */
  static decode<V>(items: ItemReader, version: number, value: () => V): Table<V> {
    const table = Table.empty<V>(items.next() as number, version);
    for (let item = items.next(); item !== undefined; item = items.next())
      if (item !== PART) table.load(item as string, value());
    return table;
  }

  /** One without entries, in so many parts. */
  static empty<V>(parts: number, version: number): Table<V> {
    const empty = (): Part<V> => ({ version, entries: new Map() });
    return new Table(version, Array.from({ length: parts }, empty));
  }

  /** A new entry, for which no part is split. */
  load(key: string, value: V): void {
    (this.#parts[this.#index(key)] as Part<V>).entries.set(key, value);
    this.#size += 1;
  }

  #part(key: string): Part<V> {
    return this.#parts[this.#parts.length === 1 ? 0 : this.#index(key)] as Part<V>;
  }

  #index(key: string): number {
    if (this.#parts.length === 1) return 0;
    return indexOf(hashOf(key), this.#bits, this.#parts.length);
  }

  #own(index: number): Part<V> {
    const part = this.#parts[index] as Part<V>;
    if (part.version === this.version) return part;
    const own = { version: this.version, entries: new Map(part.entries) };
    this.#parts[index] = own;
    return own;
  }

  /** The next part in turn gives some of its entries to a new one. */
  #split(): void {
    const parts = this.#parts;
    const count = parts.length + 1;
    const bits = 31 - Math.clz32(count);
    const split = parts.length - 2 ** (31 - Math.clz32(parts.length));
    const stays = new Map<string, V>();
    const goes = new Map<string, V>();
    for (const [key, value] of (parts[split] as Part<V>).entries)
      (indexOf(hashOf(key), bits, count) === split ? stays : goes).set(key, value);
    parts[split] = { version: this.version, entries: stays };
    parts.push({ version: this.version, entries: goes });
    this.#bits = bits;
  }
}

function indexOf(hash: number, bits: number, count: number): number {
  const index = hash & ((2 << bits) - 1);
  return index < count ? index : hash & ((1 << bits) - 1);
}

/** FNV-1a, with its bits mixed once more: the lower ones choose. */
function hashOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i += 1) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  hash ^= hash >>> 15;
  return Math.imul(hash, 0x2c1b3c6d) >>> 12;
}
