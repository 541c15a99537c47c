import { describe, expect, test } from "vitest";
import { Random } from "../../src/index.ts";
import { ItemReader } from "../../src/kv/items.ts";
import { SortedSet } from "../../src/kv/values/sorted-set.ts";
import { seeds } from "../support/soak.ts";

type Entry = readonly [member: string, score: number];

/** So many that there are several blocks. */
const MEMBERS = 3_000;
const SCORES = [0, 1, 1, 2.5, -7, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];

const memberOf = (random: Random): string =>
  `${String.fromCharCode(random.between(97, 255))}${random.below(MEMBERS / 20)}`;

/** In order, each member once, changed one by one: as slow as it is plain. */
class Model {
  readonly entries: Entry[] = [];

  set(member: string, score: number): void {
    this.delete(member);
    const isAfter = ([m, s]: Entry): boolean => s > score || (s === score && m > member);
    const at = this.entries.findIndex(isAfter);
    this.entries.splice(at < 0 ? this.entries.length : at, 0, [member, score]);
  }

  delete(member: string): boolean {
    const at = this.entries.findIndex(([m]) => m === member);
    if (at >= 0) this.entries.splice(at, 1);
    return at >= 0;
  }
}

function agrees(set: SortedSet, { entries }: Model, random: Random): void {
  expect(set.size).toBe(entries.length);
  const start = random.below(entries.length + 1);
  const end = Math.min(entries.length, start + random.below(1_200));
  expect(set.range(start, end)).toEqual(entries.slice(start, end));
  const bound = random.pick(SCORES) as number;
  const least = entries.filter(([, score]) => score < bound).length;
  expect(set.countBefore((score) => score < bound)).toBe(least);
  const [member] = random.pick(entries) ?? [];
  if (member === undefined) return;
  expect(set.rank(member)).toBe(entries.findIndex(([m]) => m === member));
  expect(set.score(member)).toBe(entries[set.rank(member)]?.[1]);
}

describe("a sorted set of many blocks", () => {
  test("is as a plain one, whenever it is asked, and its clones stay", { timeout: 60_000 }, () => {
    for (const seed of seeds("kv-sorted-set-blocks", 2, 200)) {
      const random = new Random(`blocks ${seed}`);
      const model = new Model();
      const first = new Map<string, number>();
      for (let i = 0; i < MEMBERS / 2; i += 1)
        first.set(memberOf(random), random.pick(SCORES) as number);
      for (const [member, score] of first) model.set(member, score);
      let version = 1;
      let set = SortedSet.of([...first], version);
      const kept: (readonly [SortedSet, readonly Entry[]])[] = [];
      for (let step = 0; step < 1_500; step += 1) {
        const member = memberOf(random);
        // It grows, and shrinks later.
        if (random.chance(step < 1_000 ? 0.7 : 0.2)) {
          const score = random.chance(0.3) ? random.below(9) : (random.pick(SCORES) as number);
          set.set(member, score);
          model.set(member, score);
        } else if (random.chance(0.05)) {
          const from = random.below(set.size + 1);
          for (const [gone] of set.range(from, from + 600)) {
            expect(set.delete(gone)).toBe(true);
            model.delete(gone);
          }
        } else expect(set.delete(member)).toBe(model.delete(member));
        if (random.chance(0.2)) agrees(set, model, random);
        if (random.chance(0.01)) {
          kept.push([set, [...model.entries]]);
          version += 1;
          set = set.clone(version);
        }
      }
      kept.push([set, model.entries]);
      for (const [one, entries] of kept) {
        expect(one.range(0, one.size), `seed ${seed}`).toEqual(entries);
        const again = SortedSet.decode(new ItemReader([[...one.items()]]), 99);
        expect(again.range(0, again.size)).toEqual(entries);
        expect([...again.items()]).toEqual([...one.items()]);
      }
    }
  });

  test("small ones have no negative zero, and are large for ever once they are", () => {
    const set = new SortedSet(1);
    set.set("a", -0);
    expect(set.score("a")).toBe(0);
    for (let i = 0; i < 127; i += 1) set.set(`m${i}`, i);
    expect(set.encoding).toBe("listpack");
    set.set("b", -0);
    expect([set.encoding, set.score("b")]).toEqual(["skiplist", -0]);
    set.delete("b");
    expect(set.encoding).toBe("skiplist");
    expect(SortedSet.of([["a", -0]], 1).score("a")).toBe(0);
    expect(SortedSet.of([["l".repeat(65), -0]], 1).range(0, 1)).toEqual([["l".repeat(65), -0]]);
  });
});
