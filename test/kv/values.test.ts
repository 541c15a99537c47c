/** Values and the keyspace against simple models; what was cloned or frozen stays as it was, whatever is done afterwards. */

import { describe, expect, test } from "vitest";
import { Random } from "../../src/index.ts";
import { type Item, ItemReader, PART } from "../../src/kv/items.ts";
import { type KeysImage, Keyspace } from "../../src/kv/keyspace.ts";
import { ByteString } from "../../src/kv/values/byte-string.ts";
import { List } from "../../src/kv/values/list.ts";
import { SortedSet } from "../../src/kv/values/sorted-set.ts";
import { Table } from "../../src/kv/values/table.ts";
import { seeds } from "../support/soak.ts";

const STEPS = 400;
const NAMES = 700;
/** A few of it fill a chunk of a list. */
const LONG = "-".repeat(30_000);

const pick = (random: Random): string => `n${random.below(NAMES)}`;

/** The first place at which they differ; -1 if they are the same. Far faster than `toEqual`, and there is much to compare. */
function differenceIn(some: readonly unknown[], others: readonly unknown[]): number {
  const at = some.findIndex((one, i) => !Object.is(one, others[i]));
  return at < 0 && some.length !== others.length ? Math.min(some.length, others.length) : at;
}

/** What is stored of it, and read again. */
const readerOf = (value: { items(): Iterable<Item> }): ItemReader =>
  new ItemReader([[...value.items()]]);

describe("values", () => {
  test("a table is a map, and its clones stay", () => {
    for (const seed of seeds("kv-tables", 12, 3_000)) {
      const random = new Random(`table ${seed}`);
      let version = 1;
      let table = new Table<number>(version);
      const model = new Map<string, number>();
      const kept: (readonly [Table<number>, ReadonlyMap<string, number>])[] = [];
      for (let step = 0; step < STEPS * 4; step += 1) {
        const key = pick(random);
        if (random.chance(0.6)) {
          expect(table.set(key, step)).toBe(!model.has(key));
          model.set(key, step);
        } else expect(table.delete(key)).toBe(model.delete(key));
        if (random.chance(0.005)) {
          kept.push([table, new Map(model)]);
          version += 1;
          table = table.clone(version);
        }
      }
      kept.push([table, model]);
      for (const [one, expected] of kept) {
        const entries = [...one.entries()];
        expect(entries.length).toBe(expected.size);
        expect(one.size).toBe(expected.size);
        const isRight = ([key, value]: readonly [string, number]): boolean =>
          expected.get(key) === value;
        expect(entries.every(isRight), `seed ${seed}`).toBe(true);
        const items = new ItemReader([[...one.items((value) => value)]]);
        const again = Table.decode(items, 99, () => items.next() as number);
        expect(differenceIn([...again.entries()].flat(), entries.flat())).toBe(-1);
        expect([...expected].every(([key, value]) => again.get(key) === value)).toBe(true);
      }
    }
  });

  test("a scan of a table has all that was there all the time", () => {
    for (const seed of seeds("kv-scans", 12, 3_000)) {
      const random = new Random(`scan ${seed}`);
      const table = new Table<true>(1);
      for (let i = 0; i < 300; i += 1) table.set(`s${i}`, true);
      const seen = new Set<string>();
      for (let part = 0; part < table.parts; part += 1) {
        for (const key of table.partEntries(part).keys()) seen.add(key);
        for (let i = 0; i < 400; i += 1) {
          const key = pick(random);
          if (random.chance(0.7)) table.set(key, true);
          else table.delete(key);
        }
      }
      for (let i = 0; i < 300; i += 1) expect(seen.has(`s${i}`), `seed ${seed}`).toBe(true);
    }
  });

  test("a list is an array, and its clones stay", () => {
    for (const seed of seeds("kv-lists", 25, 6_000)) {
      const random = new Random(`list ${seed}`);
      let version = 1;
      let list = new List(version);
      let model: string[] = [];
      const kept: (readonly [List, readonly string[]])[] = [];
      for (let step = 0; step < STEPS; step += 1) {
        const atHead = random.chance(0.5);
        const name = random.chance(0.02) ? LONG : `n${random.below(20)}`;
        const index = random.below(model.length + 1);
        switch (random.below(9)) {
          case 0:
          case 1:
          case 2:
            for (let i = 0; i < 10; i += 1) {
              list.push(name, atHead);
              if (atHead) model.unshift(name);
              else model.push(name);
            }
            break;
          case 3:
            expect(list.pop(atHead)).toBe(atHead ? model.shift() : model.pop());
            break;
          case 4:
            list.insert(index, name);
            model.splice(index, 0, name);
            break;
          case 5:
            if (index < model.length) {
              list.set(index, name);
              model[index] = name;
            }
            break;
          case 6: {
            const limit = random.between(1, 3);
            let left = limit;
            const order = atHead ? model : model.toReversed();
            const rest = order.filter((one) => one !== name || left-- <= 0);
            expect(list.remove(name, limit, atHead)).toBe(model.length - rest.length);
            model = atHead ? rest : rest.reverse();
            break;
          }
          case 7:
            if (random.chance(0.1)) {
              const end = random.between(index, model.length);
              list.trim(index, end);
              model = model.slice(index, end);
            }
            break;
          default:
            kept.push([list, [...model]]);
            version += 1;
            list = list.clone(version);
        }
        expect(list.length).toBe(model.length);
        expect(list.get(index)).toBe(model[index]);
      }
      kept.push([list, model]);
      for (const [one, expected] of kept) {
        expect(differenceIn(one.range(0, one.length), expected), `seed ${seed}`).toBe(-1);
        const again = List.decode(readerOf(one), 99);
        const bytes = expected.reduce((sum, { length }) => sum + 24 + length, 0);
        expect([one.memoryBytes, again.memoryBytes]).toEqual([bytes, bytes]);
        const chunks = [0];
        for (const item of one.items())
          if (item === PART) chunks.push(0);
          else chunks[chunks.length - 1] = (chunks.at(-1) as number) + 1;
        expect(Math.max(...chunks)).toBeLessThanOrEqual(128);
        if (one.length > 0) expect(Math.min(...chunks)).toBeGreaterThan(0);
        expect(differenceIn(again.range(0, again.length), expected)).toBe(-1);
        const found = expected.flatMap((element, i) => (element === "n7" ? [i] : []));
        expect(differenceIn([...one.find("n7", true, one.length)], found)).toBe(-1);
        expect(differenceIn([...one.find("n7", false, one.length)], found.reverse())).toBe(-1);
      }
    }
  });

  test("a sorted set is in order, and its clones stay", () => {
    for (const seed of seeds("kv-sorted-sets", 8, 2_000)) {
      const random = new Random(`sorted set ${seed}`);
      let version = 1;
      let set = new SortedSet(version);
      const model = new Map<string, number>();
      const inOrder = (): (readonly [string, number])[] =>
        [...model].sort(([a, x], [b, y]) => x - y || (a < b ? -1 : 1));
      const kept: (readonly [SortedSet, readonly (readonly [string, number])[]])[] = [];
      for (let step = 0; step < STEPS * 5; step += 1) {
        const name = pick(random);
        if (random.chance(0.75)) {
          const score = random.chance(0.1) ? Number.POSITIVE_INFINITY : random.below(40);
          expect(set.set(name, score)).toBe(!model.has(name));
          model.set(name, score);
        } else expect(set.delete(name)).toBe(model.delete(name));
        if (random.chance(0.004)) {
          kept.push([set, inOrder()]);
          version += 1;
          set = set.clone(version);
        }
      }
      kept.push([set, inOrder()]);
      for (const [one, expected] of kept) {
        expect(differenceIn(one.range(0, one.size).flat(), expected.flat()), `seed ${seed}`).toBe(
          -1,
        );
        const again = SortedSet.decode(readerOf(one), 99);
        expect(differenceIn(again.range(0, again.size).flat(), expected.flat())).toBe(-1);
        const ranks = expected.map(([name]) => one.rank(name));
        expect(differenceIn(ranks, [...expected.keys()])).toBe(-1);
        const before = expected.filter(([, score]) => score < 20).length;
        expect(one.countBefore((score) => score < 20)).toBe(before);
      }
    }
  });

  test("a string of bytes is bytes, and its clones stay", () => {
    for (const seed of seeds("kv-byte-strings", 20, 1_000)) {
      const random = new Random(`bytes ${seed}`);
      let version = 1;
      let bytes = new ByteString(version);
      let model = "";
      const kept: (readonly [ByteString, string])[] = [];
      for (let step = 0; step < 60; step += 1) {
        const at = random.below(random.chance(0.1) ? 60_000 : 2_000);
        const text = String.fromCharCode(random.below(256)).repeat(random.between(1, 3_000));
        bytes.write(at, text);
        model = model.padEnd(at, "\0");
        model = model.slice(0, at) + text + model.slice(at + text.length);
        const far = random.below(model.length);
        expect(bytes.byte(far)).toBe(model.charCodeAt(far));
        if (random.chance(0.2)) {
          kept.push([bytes, model]);
          version += 1;
          bytes = bytes.clone(version);
        }
      }
      kept.push([bytes, model]);
      for (const [one, expected] of kept)
        expect(one.slice(0) === expected, `seed ${seed}`).toBe(true);
    }
  });
});

test("what is written to a long string of bytes of any version is in no other one", () => {
  for (const version of [0, 1, 2]) {
    const one = new ByteString(version, `a${"b".repeat(100_000)}`);
    expect(one.slice(0, 2)).toBe("ab");
    const other = new ByteString(version);
    other.extend(100_000);
    expect(other.slice(0)).toBe("\0".repeat(100_000));
  }
});

describe("the keyspace", () => {
  test("a frozen state is what it was, and makes the same again, whatever is done meanwhile", () => {
    for (const seed of seeds("kv-frozen", 15, 6_000)) {
      const random = new Random(`keyspace ${seed}`);
      const keyspace = new Keyspace();
      keyspace.nowMs = 1;
      const change = (): void => {
        const database = keyspace.databases[random.below(3)];
        if (!database) return;
        const key = `k${random.below(random.chance(0.5) ? 20 : 400)}`;
        const { version } = keyspace;
        switch (random.below(9)) {
          case 0:
            database.replace(key, `v${random.below(100)}`);
            break;
          case 1:
            database.delete(key);
            break;
          case 2:
            if (database.has(key)) database.setDeadline(key, 2 + random.below(1_000_000));
            break;
          case 3: {
            const value = database.change(key);
            if (value instanceof List) value.push("x", random.chance(0.5));
            else database.replace(key, new List(version));
            break;
          }
          case 4: {
            const value = database.change(key);
            if (value instanceof SortedSet) value.set(pick(random), random.below(9));
            else database.replace(key, new SortedSet(version));
            break;
          }
          case 5: {
            const value = database.change(key);
            const deadline = database.deadline(key);
            if (value === undefined) break;
            database.delete(key);
            database.replace(`k${random.below(400)}`, value);
            if (deadline !== undefined) keyspace.nowMs = Math.min(keyspace.nowMs + 1, deadline);
            break;
          }
          case 6:
            if (random.chance(0.05)) keyspace.swap(random.below(3), random.below(3));
            break;
          case 7:
            if (random.chance(0.02)) database.clear();
            break;
          default:
            database.put(key, "kept");
        }
      };
      for (let i = 0; i < 300; i += 1) change();
      /** Each with what it must be in the end, and what it gave so far. */
      const open: {
        readonly frozen: ReturnType<Keyspace["freeze"]>;
        readonly expected: string;
        readonly slices: KeysImage[];
      }[] = [];
      const whole = (): KeysImage[] => {
        const frozen = keyspace.freeze();
        const slices: KeysImage[] = [];
        for (let slice = frozen.next(); slice; slice = frozen.next())
          slices.push(structuredClone(slice));
        frozen.release();
        return slices;
      };
      for (let step = 0; step < 150; step += 1) {
        if (open.length < 3 && random.chance(0.1)) {
          const expected = JSON.stringify(whole());
          open.push({ frozen: keyspace.freeze(), expected, slices: [] });
        }
        for (let i = 0; i < 20; i += 1) change();
        for (const one of [...open]) {
          const slice = random.chance(0.5) ? one.frozen.next() : undefined;
          if (slice) one.slices.push(structuredClone(slice));
        }
      }
      for (const { frozen, expected, slices } of open) {
        for (let slice = frozen.next(); slice; slice = frozen.next())
          slices.push(structuredClone(slice));
        frozen.release();
        expect(JSON.stringify(slices) === expected, `seed ${seed}`).toBe(true);
      }
      const image = whole();
      const again = new Keyspace();
      again.nowMs = keyspace.nowMs;
      again.restore(image);
      const sizes = (one: Keyspace): unknown => one.databases.map(({ size }) => size);
      expect(sizes(again)).toEqual(sizes(keyspace));
    }
  });
});
