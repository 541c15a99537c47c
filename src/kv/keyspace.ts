/**
 * All keys, of 16 databases: each in 16,384 slots, and a slot is a map of the language. So growth never moves millions of keys at once,
 * and a state is frozen, encoded and compared slot by slot.
 *
 * Assumptions. All that changes goes through `change`, `put`, `replace`, `delete` and `setDeadline`, with `nowMs` set to the time of the
 * replica: so every replica that is given the same does the same. Reads change nothing, whatever time they look at.
 *
 * Theory of operation. `freeze` raises the version and keeps the arrays of slots: 16,384 references for a database that is used. What is
 * older than that version is then shared with the frozen state, and whoever changes it copies it first: a slot here, values and
 * their parts by the rule of value.ts. The encoder goes through the slots in order; behind it nothing need be copied any more, which one
 * comparison tells (`#sharedFrom`). Without a frozen state that comparison is all that it costs.
 *
 * Expiry. A deadline is absolute. A key that is past it does not exist for anyone; `put` and the like remove it for good when they meet
 * it, and so does a sweep, which comes in order like any other change. Deadlines lie in a heap beside the slots, which is not a part of
 * the state: an entry that is out of date is dropped when it comes up.
 */

import { SLOTS, slotOf } from "./slot.ts";
import type { Aggregate, TypeName, Value } from "./value.ts";
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

/** Some slots, one behind the other, as they are stored: keys, each followed by its value and its deadline or null. */
export interface SlotImage {
  readonly db: number;
  /** The first one. */
  readonly slot: number;
  readonly keys: readonly unknown[];
}

/** Of so many keys a slice has about the size that is encoded, hashed and compared best. */
const SLICE_KEYS = 64;

/** A value as it is stored: a text, or what its class makes of it. */
type ValueImage = string | readonly [TypeName, unknown];

/** What is fixed by `freeze`. */
interface Frozen {
  /** The position that is encoded next. */
  at: number;
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
    for (let index = 0; index < SLOTS; index += 1) yield* this.slotKeys(index);
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
    if (slot !== undefined) {
      const isOwn = !this.#keyspace.isShared(this.position + index);
      if (isOwn || slot.version === this.#keyspace.version) return slot;
    } else if (this.slots.length === 0)
      this.slots = new Array<Slot | undefined>(SLOTS).fill(undefined);
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

  swap(one: number, other: number): void {
    const { databases } = this;
    const database = databases[one] as Database;
    databases[one] = databases[other] as Database;
    databases[other] = database;
  }

  /** Fixes what is there, to be had slot by slot. `release` must follow. */
  freeze(): FrozenKeys {
    const contents = this.databases
      .map(({ position, slots, size }, db) => ({
        ...{ db, position, slots: [...slots], span: slotsPerSlice(size) },
      }))
      .filter(({ slots }) => slots.length > 0)
      .sort((a, b) => a.position - b.position);
    const frozen: Frozen = { at: 0 };
    this.version += 1;
    this.#frozen.add(frozen);
    this.#share();
    let index = 0;
    const next = (): SlotImage | undefined => {
      for (; ; index += 1) {
        const content = contents[index];
        if (content === undefined) return undefined;
        const { db, position, slots, span } = content;
        let slot = Math.max(0, frozen.at - position);
        const keys: unknown[] = [];
        while (slot < SLOTS && keys.length === 0) {
          const first = slot;
          for (; slot < first + span; slot += 1) {
            const one = slots[slot];
            if (one !== undefined) encodeSlot(one, keys);
            slots[slot] = undefined;
          }
          if (keys.length === 0) continue;
          frozen.at = position + slot;
          this.#share();
          return { db, slot: first, keys };
        }
      }
    };
    const release = (): void => {
      this.#frozen.delete(frozen);
      this.#share();
    };
    return { next, release };
  }

  /** Takes what `freeze` gave, in place of all that is there. */
  restore(images: Iterable<SlotImage>): void {
    this.version += 1;
    for (const database of this.databases) database.clear();
    this.databases.sort((a, b) => a.position - b.position);
    for (const { db, keys } of images) {
      const database = this.databases[db] as Database;
      for (let i = 0; i < keys.length; i += 3)
        database.load(
          keys[i] as string,
          decodeValue(keys[i + 1] as ValueImage, this.version),
          keys[i + 2] as number | null,
        );
    }
  }

  #share(): void {
    this.#sharedFrom = Number.POSITIVE_INFINITY;
    for (const { at } of this.#frozen) this.#sharedFrom = Math.min(this.#sharedFrom, at);
  }
}

/** A fixed state of all keys. */
export interface FrozenKeys {
  /** The next slot that has keys; `undefined` after the last one. */
  next(): SlotImage | undefined;
  release(): void;
}

/** A power of two, so that it changes seldom, and slices with it. */
function slotsPerSlice(keys: number): number {
  const wanted = (SLICE_KEYS * SLOTS) / Math.max(1, keys);
  return 2 ** Math.floor(Math.log2(Math.min(SLOTS, Math.max(1, wanted))));
}

function encodeSlot(slot: Slot, keys: unknown[]): void {
  for (const [key, value] of slot)
    keys.push(key, encodeValue(value), slot.deadlines?.get(key) ?? null);
}

function encodeValue(value: Value): ValueImage {
  return typeof value === "string" ? value : [value.type, value.encode()];
}

function decodeValue(image: ValueImage, version: number): Value {
  if (typeof image === "string") return image;
  const [type, content] = image;
  switch (type) {
    case "string":
      return new ByteString(version, content as string);
    case "list":
      return List.decode(content, version);
    case "hash":
      return Hash.decode(content, version);
    case "set":
      return SetValue.decode(content, version);
    case "zset":
      return SortedSet.decode(content, version);
  }
}

/** Another value with the same content. */
export function copyOfValue(value: Value, version: number): Value {
  return typeof value === "string"
    ? value
    : (decodeValue(encodeValue(value), version) as Aggregate & Value);
}
