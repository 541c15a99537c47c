/**
 * All keys, of 16 databases: each in 16,384 slots, and a slot is a map of the language. So growth never moves millions of keys at once,
 * and a state is frozen, encoded and compared slot by slot.
 *
 * Assumptions. All that changes goes through `change`, `put`, `replace`, `delete` and `setDeadline`, with `nowMs` set to the time of the
 * replica: so every replica that is given the same does the same. Reads change nothing, whatever time they look at.
 *
 * Theory of operation. `freeze` raises the version, and copies nothing. What is older than that version is then shared with the frozen
 * state, and whoever changes it copies it first: a slot here, values and their parts by the rule of value.ts; a slot that is replaced by
 * its copy is kept for the frozen state. The encoder goes through the slots in order; behind it nothing need be copied any more, which one
 * comparison tells (`#sharedFrom`). Without a frozen state that comparison is all that it costs. A value with many elements is encoded
 * in many slices; until the last of them its slot is not behind the encoder.
 *
 * Expiry. A deadline is absolute. A key that is past it does not exist for anyone; `put` and the like remove it for good when they meet
 * it, and so does a sweep, which comes in order like any other change. Deadlines lie in a heap beside the slots, which is not a part of
 * the state: an entry that is out of date is dropped when it comes up.
 */

import { type Item, ItemReader, JOIN, PART, PIECE_LENGTH } from "./items.ts";
import { SLOTS, slotOf } from "./slot.ts";
import type { TypeName, Value } from "./value.ts";
import { ByteString } from "./values/byte-string.ts";
import { Hash } from "./values/hash.ts";
import { List } from "./values/list.ts";
import { SetValue } from "./values/set-value.ts";
import { SortedSet } from "./values/sorted-set.ts";

export const DATABASES = 16;

/** A map, and not an object with one: on the way to a value, each step is a miss of the processor's cache. */
class Slot extends Map<string, Value> {
  readonly version: number;
  /** Of keys that are to expire. */
  deadlines: Map<string, number> | undefined;

  constructor(version: number, from?: Slot) {
    super(from);
    this.version = version;
    this.deadlines = from?.deadlines && new Map(from.deadlines);
  }
}

type Slots = (Slot | undefined)[];

/** A slice of what is stored. */
export type KeysImage = SlotImage | RestImage;

/** Keys of some slots, one behind the other, each followed by its value and its deadline or null. The last value may go on. */
interface SlotImage {
  readonly db: number;
  /** The first one. */
  readonly slot: number;
  readonly keys: readonly unknown[];
}

/** How the last value of the slice before goes on. */
interface RestImage {
  readonly db: number;
  readonly slot: number;
  readonly rest: readonly Item[];
}

/** Of so many keys a slice has about the size that is encoded, hashed and compared best. */
const SLICE_KEYS = 64;
/** A slice ends once it weighs so much: its texts, by their length, and what it takes to encode any item. */
const SLICE_WEIGHT = 32 * 1024;
const ITEM_WEIGHT = 32;
/** A value of more elements than this, or a string of more pieces, has slices of its own … */
const ALONE_ELEMENTS = 1024;
const ALONE_PIECES = 4;
/** … that also end with a part, if they weigh so much: a whole chunk of a list does. */
const PART_WEIGHT = 64 * ITEM_WEIGHT;

/** A value as it is stored: a short text, or the items that its class makes of it. */
type ValueImage = string | readonly [TypeName | "text", ...Item[]];

/** What is fixed by `freeze`. */
interface Frozen {
  /** The position that is encoded next. */
  at: number;
  readonly contents: readonly Content[];
}

/** A database as it was frozen. */
interface Content {
  readonly db: number;
  readonly position: number;
  readonly size: number;
  /** Those that the database had; it may go on to use them. */
  readonly slots: Slots;
  /** Of slots that were replaced since then, what was there. */
  readonly replaced: Map<number, Slot | undefined>;
}

/** The keys of one database. */
export class Database {
  readonly #keyspace: Keyspace;
  /** Where its first slot is among all. Stays with the content when databases are swapped. */
  readonly position: number;
  slots: Slots = [];
  /** Keys, with those that are past their deadline and not removed yet. */
  size: number = 0;
  /** Keys with a deadline. */
  deadlines: number = 0;

  constructor(keyspace: Keyspace, position: number) {
    this.#keyspace = keyspace;
    this.position = position;
  }

  /** A value to look at. */
  get(key: string): Value | undefined {
    const slot = this.slots[slotOf(key)];
    if (slot === undefined) return undefined;
    if (this.deadlines > 0 && this.#isPast(slot, key)) return undefined;
    return slot.get(key);
  }

  has(key: string): boolean {
    return this.get(key) !== undefined;
  }

  /** A value to be changed in place; what comes of it need not be put. A text is as `get` gives it. */
  change(key: string): Value | undefined {
    const index = slotOf(key);
    const shared = this.slots[index];
    if (shared === undefined) return undefined;
    if (this.deadlines > 0 && this.#isPast(shared, key)) {
      this.#remove(index, key);
      return undefined;
    }
    const value = shared.get(key);
    if (value === undefined || typeof value === "string") return value;
    const { version } = this.#keyspace;
    if (value.version === version || !this.#keyspace.isShared(this.position + index)) return value;
    const clone = value.clone(version);
    this.#own(index).set(key, clone);
    return clone;
  }

  /** The key has another value, and the deadline that it had. */
  put(key: string, value: Value): void {
    const index = slotOf(key);
    const slot = this.#own(index);
    if (this.deadlines > 0 && this.#isPast(slot, key)) this.#forgetDeadline(slot, key);
    const before = slot.size;
    slot.set(key, value);
    if (slot.size !== before) this.size += 1;
  }

  /** The key has another value, and no deadline. */
  replace(key: string, value: Value): void {
    const index = slotOf(key);
    const slot = this.#own(index);
    if (this.deadlines > 0) this.#forgetDeadline(slot, key);
    const before = slot.size;
    slot.set(key, value);
    if (slot.size !== before) this.size += 1;
  }

  /** True if it was there, and not past its deadline. */
  delete(key: string): boolean {
    const index = slotOf(key);
    const slot = this.slots[index];
    if (slot === undefined || !slot.has(key)) return false;
    const isPast = slot.deadlines !== undefined && this.#isPast(slot, key);
    this.#remove(index, key);
    return !isPast;
  }

  /** Removes a key that is past its deadline. True if it was. */
  expire(key: string): boolean {
    const index = slotOf(key);
    const slot = this.slots[index];
    if (slot?.deadlines === undefined || !this.#isPast(slot, key)) return false;
    this.#remove(index, key);
    return true;
  }

  /** When a key expires, in milliseconds since 1970. */
  deadline(key: string): number | undefined {
    return this.slots[slotOf(key)]?.deadlines?.get(key);
  }

  /** Of a key that is there. */
  setDeadline(key: string, atMs: number | undefined): void {
    const slot = this.#own(slotOf(key));
    if (atMs === undefined) {
      this.#forgetDeadline(slot, key);
      return;
    }
    slot.deadlines ??= new Map();
    if (!slot.deadlines.has(key)) this.deadlines += 1;
    slot.deadlines.set(key, atMs);
    this.#keyspace.deadlineSet(this, key, atMs);
  }

  /** All keys that are there, slot by slot. */
  *keys(): IterableIterator<string> {
    for (let index = 0; index < this.slots.length; index += 1)
      if (this.slots[index] !== undefined) yield* this.slotKeys(index);
  }

  /** The keys of one slot that are there. */
  slotKeys(index: number): readonly string[] {
    const slot = this.slots[index];
    if (slot === undefined) return [];
    const keys = [...slot.keys()];
    return slot.deadlines === undefined ? keys : keys.filter((key) => !this.#isPast(slot, key));
  }

  *allDeadlines(): IterableIterator<readonly [key: string, atMs: number]> {
    if (this.deadlines === 0) return;
    for (const slot of this.slots) if (slot?.deadlines !== undefined) yield* slot.deadlines;
  }

  clear(): void {
    this.slots = [];
    this.size = 0;
    this.deadlines = 0;
  }

  /** As it was when it was frozen; nobody hears of it. */
  load(key: string, value: Value, deadline: number | null): void {
    const slot = this.#own(slotOf(key));
    slot.set(key, value);
    this.size += 1;
    if (deadline === null) return;
    slot.deadlines ??= new Map();
    slot.deadlines.set(key, deadline);
    this.deadlines += 1;
  }

  #isPast({ deadlines }: Slot, key: string): boolean {
    const deadline = deadlines?.get(key);
    return deadline !== undefined && deadline < this.#keyspace.nowMs;
  }

  #own(index: number): Slot {
    const slot = this.slots[index];
    const position = this.position + index;
    const isShared = this.#keyspace.isShared(position);
    if (slot !== undefined) {
      if (!isShared || slot.version === this.#keyspace.version) return slot;
    } else if (this.slots.length === 0)
      this.slots = new Array<Slot | undefined>(SLOTS).fill(undefined);
    if (isShared) this.#keyspace.keep(this.slots, index, position);
    const own = new Slot(this.#keyspace.version, slot);
    this.slots[index] = own;
    return own;
  }

  #remove(index: number, key: string): void {
    const slot = this.#own(index);
    if (this.deadlines > 0) this.#forgetDeadline(slot, key);
    slot.delete(key);
    this.size -= 1;
    if (slot.size === 0) this.slots[index] = undefined;
  }

  #forgetDeadline(slot: Slot, key: string): void {
    if (!slot.deadlines?.delete(key)) return;
    this.deadlines -= 1;
    if (slot.deadlines.size === 0) slot.deadlines = undefined;
  }
}

/** See the head of the file. */
export class Keyspace {
  /** By number. */
  readonly databases: Database[];
  /** What is past is past from here. Set before each command. */
  nowMs: number = 0;
  /** Raised by each frozen state. New values are made with it. */
  version: number = 1;
  /** Of keys of database 0: those that are not in the total order, so nothing in it changes them. */
  isApart: ((key: string) => boolean) | undefined;
  readonly #frozen = new Set<Frozen>();
  /** Slots from here on are shared with a frozen state, if they are older than the version. */
  #sharedFrom = Number.POSITIVE_INFINITY;
  /** Hears of every deadline that is set, but not of restored ones. */
  deadlineSet: (database: Database, key: string, atMs: number) => void = () => {};

  constructor() {
    this.databases = Array.from(
      { length: DATABASES },
      (_, number) => new Database(this, number * SLOTS),
    );
  }

  /** True if somebody needs what is there as it is. */
  isShared(position: number): boolean {
    return position >= this.#sharedFrom;
  }

  /** A slot is about to be replaced. */
  keep(slots: Slots, index: number, position: number): void {
    for (const { at, contents } of this.#frozen) {
      const content = contents.find((one) => one.slots === slots);
      if (content && position >= at && !content.replaced.has(index))
        content.replaced.set(index, slots[index]);
    }
  }

  swap(one: number, other: number): void {
    const { databases } = this;
    const database = databases[one] as Database;
    databases[one] = databases[other] as Database;
    databases[other] = database;
  }

  /** Fixes what is there, to be had in slices. `release` must follow. */
  freeze(): FrozenKeys {
    const contents = this.databases
      .map(({ position, slots, size }, db) => ({ db, position, size, slots, replaced: new Map() }))
      .filter(({ slots }) => slots.length > 0)
      .sort((a, b) => a.position - b.position);
    const frozen: Frozen = { at: 0, contents };
    this.version += 1;
    this.#frozen.add(frozen);
    this.#share();
    const slices = this.#slices(frozen);
    const release = (): void => {
      this.#frozen.delete(frozen);
      this.#share();
    };
    return { next: () => slices.next().value ?? undefined, release };
  }

  *#slices(frozen: Frozen): Generator<KeysImage, void> {
    for (const { db, position, size, slots, replaced } of frozen.contents) {
      const span = slotsPerSlice(size);
      for (let first = 0; first < SLOTS; first += span) {
        const slicer = new Slicer(db, first);
        for (let slot = first; slot < first + span; slot += 1) {
          const keys = replaced.has(slot) ? replaced.get(slot) : slots[slot];
          if (keys !== undefined) yield* slicer.add(keys);
        }
        for (let slot = first; slot < first + span && replaced.size > 0; slot += 1)
          replaced.delete(slot);
        frozen.at = position + first + span;
        this.#share();
        const last = slicer.take();
        if (last) yield last;
      }
    }
  }

  /** Takes what `freeze` gave, in place of all that is there. */
  restore(images: Iterable<KeysImage>): void {
    this.version += 1;
    for (const database of this.databases) database.clear();
    this.databases.sort((a, b) => a.position - b.position);
    const reader = new SliceReader(this.version, (db, key, value, deadline) =>
      this.databases[db]?.load(key, value, deadline),
    );
    for (const image of images) reader.read(image);
    reader.end();
  }

  #share(): void {
    this.#sharedFrom = Number.POSITIVE_INFINITY;
    for (const { at } of this.#frozen) this.#sharedFrom = Math.min(this.#sharedFrom, at);
  }
}

/** Makes keys of slices again. The last key of a slice is whole once it is known that the next slice does not go on with it. */
export class SliceReader {
  readonly #version: number;
  readonly #take: (db: number, key: string, value: Value, deadline: number | null) => void;
  #open: { readonly runs: (readonly Item[])[]; readonly take: () => void } | undefined;

  /** @param take has each key, its value being of that version */
  constructor(
    version: number,
    take: (db: number, key: string, value: Value, deadline: number | null) => void,
  ) {
    this.#version = version;
    this.#take = take;
  }

  read(image: KeysImage): void {
    if ("rest" in image) {
      this.#open?.runs.push(image.rest);
      return;
    }
    this.end();
    const { db, keys } = image;
    for (let i = 0; i < keys.length; i += 3) {
      const key = keys[i] as string;
      const value = keys[i + 1] as ValueImage;
      const deadline = keys[i + 2] as number | null;
      if (typeof value === "string") {
        this.#take(db, key, value, deadline);
        continue;
      }
      const runs: (readonly Item[])[] = [value];
      const take = (): void => {
        const whole = decodeValue(value[0], new ItemReader(runs, 1), this.#version);
        this.#take(db, key, whole, deadline);
      };
      this.#open = { runs, take };
      if (i + 3 < keys.length) this.end();
    }
  }

  /** Behind the last slice. */
  end(): void {
    const open = this.#open;
    this.#open = undefined;
    open?.take();
  }
}

/** A fixed state of all keys. */
export interface FrozenKeys {
  /** The next slice; `undefined` after the last one. */
  next(): KeysImage | undefined;
  release(): void;
}

/** A power of two, so that it changes seldom, and slices with it. */
function slotsPerSlice(keys: number): number {
  const wanted = (SLICE_KEYS * SLOTS) / Math.max(1, keys);
  return 2 ** Math.floor(Math.log2(Math.min(SLOTS, Math.max(1, wanted))));
}

/**
 * Cuts the keys of some slots into slices, each of which is soon encoded: between two keys, and within a value that is too large. Where it
 * cuts follows from what is in these slots alone, and a large value has slices of its own: so a change leaves most of them as they were.
 */
class Slicer {
  readonly #db: number;
  readonly #slot: number;
  #keys: unknown[] = [];
  /** Of a value that goes on from the slice before. */
  #rest: Item[] | undefined;
  /** Of the value that is being cut. */
  #items: Item[] | undefined;
  #weight = 0;

  constructor(db: number, slot: number) {
    this.#db = db;
    this.#slot = slot;
  }

  /** Gives all slices but the last. */
  *add(slot: Slot): Generator<KeysImage> {
    for (const [key, value] of slot) {
      const deadline = slot.deadlines?.get(key) ?? null;
      if (typeof value === "string" && value.length <= PIECE_LENGTH) {
        this.#keys.push(key, value, deadline);
        this.#weight += 3 * ITEM_WEIGHT + key.length + value.length;
      } else yield* this.#addLarge(key, value, deadline);
      if (this.#isFull) yield* this.#cut();
    }
  }

  /** What is there since the last slice. */
  take(): KeysImage | undefined {
    const [db, slot, keys, rest] = [this.#db, this.#slot, this.#keys, this.#rest];
    this.#keys = [];
    this.#rest = this.#items && [];
    this.#items = this.#rest;
    this.#weight = 0;
    if (rest) return rest.length > 0 ? { db, slot, rest } : undefined;
    return keys.length > 0 ? { db, slot, keys } : undefined;
  }

  get #isFull(): boolean {
    return this.#weight >= SLICE_WEIGHT;
  }

  *#cut(): Generator<KeysImage> {
    const slice = this.take();
    if (slice) yield slice;
  }

  *#addLarge(key: string, value: Value, deadline: number | null): Generator<KeysImage> {
    const isText = typeof value === "string";
    const isAlone = hasOwnSlices(value);
    if (isAlone) yield* this.#cut();
    const image: [TypeName | "text", ...Item[]] = [isText ? "text" : value.type];
    this.#keys.push(key, image, deadline);
    this.#items = image as Item[];
    this.#weight += 3 * ITEM_WEIGHT + key.length;
    for (const item of isText ? [value] : value.items()) {
      if (typeof item === "string" && item.length > PIECE_LENGTH) {
        for (let at = 0; at < item.length; at += PIECE_LENGTH) {
          if (at > 0) this.#push(JOIN);
          this.#push(item.slice(at, at + PIECE_LENGTH));
          if (this.#isFull) yield* this.#cut();
        }
        continue;
      }
      if (item === PART && isAlone && this.#weight >= PART_WEIGHT) yield* this.#cut();
      this.#push(item);
      if (this.#isFull) yield* this.#cut();
    }
    this.#items = undefined;
    if (isAlone || this.#rest) yield* this.#cut();
  }

  #push(item: Item): void {
    this.#items?.push(item);
    this.#weight += typeof item === "string" ? ITEM_WEIGHT + item.length : ITEM_WEIGHT;
  }
}

function hasOwnSlices(value: Value): boolean {
  if (typeof value === "string") return value.length > ALONE_PIECES * PIECE_LENGTH;
  return value.elements > (value.type === "string" ? ALONE_PIECES : ALONE_ELEMENTS);
}

function decodeValue(type: TypeName | "text", items: ItemReader, version: number): Value {
  switch (type) {
    case "text":
      return items.next() as string;
    case "string":
      return ByteString.decode(items, version);
    case "list":
      return List.decode(items, version);
    case "hash":
      return Hash.decode(items, version);
    case "set":
      return SetValue.decode(items, version);
    case "zset":
      return SortedSet.decode(items, version);
  }
}

/** Another value with the same content. */
export function copyOfValue(value: Value, version: number): Value {
  return typeof value === "string"
    ? value
    : decodeValue(value.type, new ItemReader([[...value.items()]]), version);
}
