/** A table: what is picked of it by place, its order, and that one which was decoded goes on like the other. */

import { expect, test } from "vitest";
import { Random } from "../../src/index.ts";
import { type Item, ItemReader } from "../../src/kv/items.ts";
import { SetValue } from "../../src/kv/values/set-value.ts";
import { Table } from "../../src/kv/values/table.ts";
import { seeds } from "../support/soak.ts";

const STEPS = 1_500;
const NAMES = 1_600;
/** Of so many entries a table is still in the order in which they came. */
const IN_ORDER = 512;

function change(table: Table<number>, random: Random, step: number): void {
  const key = `n${random.below(NAMES)}`;
  if (random.chance(0.75)) table.set(key, step);
  else table.delete(key);
}

const itemsOf = (table: Table<number>): readonly Item[] => [...table.items((value) => value)];

test("a small table is in the order in which its keys came", () => {
  for (const seed of seeds("kv-table-order", 20, 2_000)) {
    const random = new Random(`order ${seed}`);
    const table = new Table<number>(1);
    const model = new Map<string, number>();
    for (let step = 0; step < STEPS; step += 1) {
      const key = `n${random.below(NAMES)}`;
      if (random.chance(0.6) && (model.has(key) || model.size < IN_ORDER)) {
        table.set(key, step);
        model.set(key, step);
      } else {
        table.delete(key);
        model.delete(key);
      }
    }
    expect([...table.entries()], `seed ${seed}`).toEqual([...model]);
  }
});

test("keys are found by their places, some of them again and again", () => {
  for (const seed of seeds("kv-table-places", 20, 2_000)) {
    const random = new Random(`places ${seed}`);
    const table = new Table<number>(1);
    for (let step = 0; step < STEPS; step += 1) change(table, random, step);
    const all = table.keyList();
    expect(all).toEqual([...table.keys()]);
    expect(all.length).toBe(table.size);
    const picks = random.pick([0, 1, 5, 2 * table.size]) as number;
    const places = Uint32Array.from({ length: picks }, () => random.below(table.size)).sort();
    expect(table.keysAt(places), `seed ${seed}`).toEqual(Array.from(places, (at) => all[at]));
    const place = random.below(table.size);
    expect(table.random(() => place)).toBe(all[place]);
  }
});

test("a table that was decoded goes on like a clone, and what was cloned stays as it was", () => {
  for (const seed of seeds("kv-table-images", 20, 2_000)) {
    const random = new Random(`image ${seed}`);
    const table = new Table<number>(1);
    const steps = random.below(STEPS);
    for (let step = 0; step < steps; step += 1) change(table, random, step);
    const image = itemsOf(table);
    const items = new ItemReader([image]);
    const decoded = Table.decode(items, 2, () => items.next() as number);
    const clone = table.clone(3);
    const state = structuredClone(random.state);
    for (const one of [decoded, clone]) {
      const same = new Random(state);
      for (let step = 0; step < STEPS; step += 1) change(one, same, step);
    }
    expect(itemsOf(clone), `seed ${seed}`).toEqual(itemsOf(decoded));
    expect(clone.size).toBe(clone.keyList().length);
    // What was cloned is as it was.
    expect(itemsOf(table), `seed ${seed}`).toEqual(image);
  }
});

test("a set of numbers is in their order", () => {
  const numbers = [5, -3, 100, 0, 9, 2 ** 40].map(String);
  const ends = ["9223372036854775807", "-9223372036854775808", "9007199254740993"];
  const set = new SetValue(1);
  for (const member of [...numbers, ...ends]) set.add(member);
  const expected = [...numbers, ...ends].sort((a, b) => (BigInt(a) < BigInt(b) ? -1 : 1));
  expect(set.list()).toEqual(expected);
  expect(SetValue.decode(new ItemReader([[...set.items()]]), 2).list()).toEqual(expected);
  set.add("01");
  expect(set.list().at(-1)).toBe("01");
});
