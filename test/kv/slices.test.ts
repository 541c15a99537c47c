/** What is stored of keys, in slices: none takes long to encode, however large a value is, and together they are what was frozen. */

import { describe, expect, test, vi } from "vitest";
import { Random } from "../../src/index.ts";
import { type Item, ItemReader, JOIN, PIECE_LENGTH } from "../../src/kv/items.ts";
import { type KeysImage, Keyspace } from "../../src/kv/keyspace.ts";
import { slotOf } from "../../src/kv/slot.ts";
import type { Value } from "../../src/kv/value.ts";
import { ByteString } from "../../src/kv/values/byte-string.ts";
import { Hash } from "../../src/kv/values/hash.ts";
import { List } from "../../src/kv/values/list.ts";
import { SetValue } from "../../src/kv/values/set-value.ts";
import { SortedSet } from "../../src/kv/values/sorted-set.ts";
import type { Table } from "../../src/kv/values/table.ts";
import { msgpackCodec } from "../../src/runtime/msgpack-codec.ts";
import { seeds } from "../support/soak.ts";

/** No slice has more items, and more bytes of texts. */
const SLICE_ITEMS = 1_100;
const SLICE_BYTES = 32 * 1024 + PIECE_LENGTH;
const TYPES = ["text", "string", "list", "hash", "set", "zset"] as const;
/** Above so many elements a value has slices of its own. */
const MANY = 1_024;

const codec = msgpackCodec<KeysImage>();

/** As a store would keep it: the bytes, so that nothing in it is shared with what goes on. */
const kept = (image: KeysImage): Uint8Array => codec.encode(image).slice();

function drained(frozen: ReturnType<Keyspace["freeze"]>): Uint8Array[] {
  const slices: Uint8Array[] = [];
  for (let slice = frozen.next(); slice; slice = frozen.next()) slices.push(kept(slice));
  frozen.release();
  return slices;
}

const read = (slices: readonly Uint8Array[]): KeysImage[] =>
  slices.map((slice) => codec.decode(slice));

const sameBytes = (some: readonly Uint8Array[], others: readonly Uint8Array[]): boolean =>
  some.length === others.length &&
  some.every((bytes, i) => Buffer.compare(bytes, others[i] as Uint8Array) === 0);

/** Everything that can be asked of a value. */
function contentOf(value: Value): unknown {
  if (typeof value === "string") return ["text", value];
  switch (value.type) {
    case "string":
      return ["string", value.slice(0)];
    case "list":
      return ["list", value.range(0, value.length)];
    case "hash":
      return ["hash", value.encoding, [...value.fields.entries()]];
    case "set":
      return ["set", value.encoding, value.list()];
    case "zset":
      return ["zset", value.encoding, value.range(0, value.size).map(([m, s]) => `${m} ${s}`)];
  }
}

function contentOfAll(keyspace: Keyspace): string {
  const all = keyspace.databases.map((database) =>
    [...database.keys()].map((key) => [
      key,
      contentOf(database.get(key) as Value),
      database.deadline(key),
    ]),
  );
  return JSON.stringify(all);
}

/** Some elements of a length that now and then is a long one. */
function textOf(random: Random): string {
  const length = random.chance(0.003) ? random.below(3 * PIECE_LENGTH) : random.below(20);
  return `${random.below(5_000)}${"ÿ".repeat(length)}`;
}

const firstOf = (table: Table<unknown>): string => table.partEntries(0).keys().next().value ?? "";

function change(value: Value | undefined, random: Random): void {
  if (value === undefined || typeof value === "string") return;
  const text = textOf(random);
  const isLess = random.chance(0.3);
  switch (value.type) {
    case "string":
      value.write(random.below(9 * PIECE_LENGTH), text);
      break;
    case "list":
      if (isLess) value.pop(random.chance(0.5));
      else if (random.chance(0.5)) value.push(text, random.chance(0.5));
      else value.insert(random.below(value.length + 1), text);
      break;
    case "hash":
      if (isLess) value.fields.delete(firstOf(value.fields));
      else value.set(text, text);
      break;
    case "set":
      if (isLess) value.delete(firstOf(value.members));
      else value.add(text);
      break;
    case "zset":
      if (isLess) value.delete(value.range(0, 1)[0]?.[0] ?? "");
      else value.set(text, random.pick([0, 1, -0.5, Number.POSITIVE_INFINITY, -0]) as number);
  }
}

function newValue(type: (typeof TYPES)[number], version: number, random: Random): Value {
  switch (type) {
    case "text":
      return textOf(random)
        .repeat(random.pick([1, 1, 4_000]) as number)
        .slice(0, 200_000);
    case "string":
      return new ByteString(version, "a");
    case "list":
      return new List(version);
    case "hash":
      return new Hash(version);
    case "set":
      return new SetValue(version);
    case "zset":
      return new SortedSet(version);
  }
}

function grown(value: Value, many: number, random: Random): Value {
  for (let i = 0; i < many; i += 1) change(value, random);
  return value;
}

/** With values of all types, some of them so large that they have slices of their own, in two databases. */
function filled(random: Random): Keyspace {
  const keyspace = new Keyspace();
  for (const database of keyspace.databases.slice(0, 2))
    for (const [i, type] of [...TYPES, ...TYPES].entries()) {
      const value = newValue(type, keyspace.version, random);
      database.put(`k${i}`, grown(value, i < TYPES.length ? random.below(4 * MANY) : 30, random));
      if (random.chance(0.3)) database.setDeadline(`k${i}`, 1_000_000 + i);
    }
  return keyspace;
}

const decoded = (value: Exclude<Value, string>, runs: readonly (readonly Item[])[]): Value => {
  const reader = new ItemReader(runs);
  const classes = { string: ByteString, list: List, hash: Hash, set: SetValue, zset: SortedSet };
  return classes[value.type].decode(reader, 99);
};

describe("items of a value", () => {
  test.for(TYPES.slice(1))(
    "are the same value again, wherever they are cut, and it goes on like it: %s",
    (type) => {
      for (const seed of seeds("kv-items", 8, 400)) {
        const random = new Random(`items ${type} ${seed}`);
        const many = random.below(random.chance(0.5) ? 4_000 : 200);
        const value = grown(newValue(type, 1, random), many, random);
        if (typeof value === "string") throw new Error("it has no items");
        const items = [...value.items()];
        const runs: Item[][] = [[]];
        for (const item of items) {
          if (random.chance(0.01)) runs.push([]);
          if (typeof item !== "string" || !random.chance(0.02)) runs.at(-1)?.push(item);
          else {
            const at = random.below(item.length);
            runs.at(-1)?.push(item.slice(0, at));
            if (random.chance(0.5)) runs.push([]);
            runs.at(-1)?.push(JOIN, item.slice(at));
          }
        }
        const again = decoded(value, runs);
        expect(JSON.stringify(contentOf(again)) === JSON.stringify(contentOf(value))).toBe(true);
        for (const one of [value, again]) grown(one, 300, new Random(`on ${seed}`));
        const itemsOf = (one: Value): string =>
          JSON.stringify(typeof one === "string" ? one : [...one.items()]);
        expect(itemsOf(again) === itemsOf(value), `seed ${seed}`).toBe(true);
      }
    },
  );
});

describe("slices of a keyspace", () => {
  test("are what was frozen, whatever is done meanwhile, and none is long", () => {
    for (const seed of seeds("kv-slices", 2, 600)) {
      const random = new Random(`slices ${seed}`);
      const keyspace = filled(random);
      const before = contentOfAll(keyspace);
      const atOnce = drained(keyspace.freeze());
      for (const image of read(atOnce)) {
        const items = ("rest" in image ? image.rest : image.keys).flat(1);
        const bytes = items.reduce<number>(
          (sum, item) => sum + (typeof item === "string" ? item.length : 0),
          0,
        );
        expect(items.length, `seed ${seed}`).toBeLessThanOrEqual(SLICE_ITEMS);
        expect(bytes, `seed ${seed}`).toBeLessThanOrEqual(SLICE_BYTES);
      }
      // One state after another is frozen, and each is drained while all goes on.
      const open = [{ frozen: keyspace.freeze(), slices: [] as Uint8Array[], expected: before }];
      const touch = (): void => {
        const database = keyspace.databases[random.below(2)];
        const key = `k${random.below(2 * TYPES.length)}`;
        const dice = random.below(500);
        if (dice < 5) database?.delete(key);
        else if (dice < 10) keyspace.swap(0, 1);
        else if (dice === 10) database?.clear();
        else {
          const value = database?.change(key);
          if (value !== undefined) change(value, random);
          else {
            const type = random.pick(TYPES) as (typeof TYPES)[number];
            database?.replace(key, newValue(type, keyspace.version, random));
          }
        }
      };
      for (let step = 0; step < 400; step += 1) {
        for (let i = 0; i < 3; i += 1) touch();
        if (step === 100 || step === 200)
          open.push({ frozen: keyspace.freeze(), slices: [], expected: contentOfAll(keyspace) });
        for (const { frozen, slices } of open) {
          const slice = random.chance(0.7) ? frozen.next() : undefined;
          if (slice) slices.push(kept(slice));
        }
      }
      for (const [i, { frozen, slices, expected }] of open.entries()) {
        slices.push(...drained(frozen));
        if (i === 0) expect(sameBytes(slices, atOnce), `seed ${seed}`).toBe(true);
        const again = new Keyspace();
        again.restore(read(slices));
        expect(contentOfAll(again) === expected, `seed ${seed}, state ${i}`).toBe(true);
        // The databases may have been swapped, and then they come in another order.
        const inOrder = (some: readonly Uint8Array[]): Uint8Array[] =>
          [...some].sort(Buffer.compare);
        const twice = inOrder(drained(again.freeze()));
        expect(sameBytes(twice, inOrder(slices)), `seed ${seed}, state ${i}`).toBe(true);
      }
    }
  });

  test.for(TYPES)(
    "a change within a large value, and beside it, leaves nearly all of them as they were: %s",
    (type) => {
      const random = new Random(type);
      const keyspace = new Keyspace();
      const database = keyspace.databases[0] as (typeof keyspace.databases)[number];
      const elements = 40 * MANY;
      const large =
        type === "text"
          ? "t".repeat(elements * 20)
          : grown(newValue(type, keyspace.version, random), elements, random);
      if (type === "string") (large as ByteString).write(60 * PIECE_LENGTH, "end");
      database.put("large", large);
      const slot = slotOf("large");
      // Beside it, in its slot and in others.
      for (let i = 0; database.size < 200; i += 1)
        if (i % 500 === 0 || slotOf(`n${i}`) === slot) database.put(`n${i}`, "small");
      const first = drained(keyspace.freeze());
      expect(first.length).toBeGreaterThan(10);
      const neighbour = [...database.slotKeys(slot)].find((key) => key !== "large") as string;
      expect(database.slotKeys(slot).length).toBeGreaterThan(1);
      database.put(neighbour, "x".repeat(5_000));
      const names = new Set(first.map((bytes) => Buffer.from(bytes).toString("latin1")));
      const isNew = (bytes: Uint8Array): boolean =>
        !names.has(Buffer.from(bytes).toString("latin1"));
      const second = drained(keyspace.freeze());
      expect(second.filter(isNew).length).toBe(1);
      const value = database.change("large") as Value;
      if (typeof value === "string") return;
      if (value.type === "list") value.push("at the head", true);
      else grown(value, 1, random);
      const third = drained(keyspace.freeze());
      expect(third.filter(isNew).length).toBeLessThanOrEqual(4);
    },
  );

  test("the keys of one slot are cut, too", () => {
    const keyspace = new Keyspace();
    const database = keyspace.databases[3] as (typeof keyspace.databases)[number];
    for (let i = 0; i < 5_000; i += 1) database.put(`{one}${i}`, "v".repeat(i % 300));
    const slices = drained(keyspace.freeze());
    expect(slices.length).toBeGreaterThan(20);
    for (const slice of slices) expect(slice.length).toBeLessThan(2 * SLICE_BYTES);
    const again = new Keyspace();
    again.restore(read(slices));
    expect(contentOfAll(again)).toBe(contentOfAll(keyspace));
    expect(again.databases[3]?.slotKeys(slotOf("{one}")).length).toBe(5_000);
  });
});

test("a sorted set is read without putting it in order, for it is in order", () => {
  const random = new Random("order");
  const entries = Array.from({ length: 10_000 }, (_, i) => [`m${i}`, random.below(1e9)] as const);
  const sorted = SortedSet.of(entries, 1);
  const items = [...sorted.items()];
  const sorts = [vi.spyOn(Array.prototype, "sort"), vi.spyOn(Array.prototype, "toSorted")];
  const again = SortedSet.decode(new ItemReader([items]), 2);
  for (const sort of sorts) {
    expect(sort).not.toHaveBeenCalled();
    sort.mockRestore();
  }
  expect(again.range(0, again.size)).toEqual(sorted.range(0, sorted.size));
});
