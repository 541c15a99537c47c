import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compareValues, formatPath } from "../../src/index.ts";
import { gapsBetween, Numbers } from "../../src/snapshot/diff.ts";
import { cases } from "../support/soak.ts";
import { anyValue, applied, isSame, turned, twoValues } from "./support/values.ts";

const numRuns = cases("diff", 2_000, 200_000);

/** As lines of text, as short as may be. */
function lines(before: unknown, after: unknown): string[] {
  return compareValues(before, after).differences.map((one) => {
    const was = "beforePath" in one && one.beforePath ? ` was ${formatPath(one.beforePath)}` : "";
    const values = [
      ...("before" in one ? [String(one.before)] : []),
      ...("after" in one ? [String(one.after)] : []),
    ];
    return `${one.kind} ${formatPath(one.path)}${was}: ${values.join(" → ")}`;
  });
}

describe("the differences of two values", () => {
  test("are none if they are equal, however they are put together", () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        for (const other of [structuredClone(value), turned(value)])
          expect(compareValues(value, other)).toMatchObject({
            ...{ added: 0, removed: 0, changed: 0, differences: [] },
          });
      }),
      { numRuns, seed: 1 },
    );
  });

  test("make the second of the first", () => {
    let several = 0;
    fc.assert(
      fc.property(twoValues, ([before, after]) => {
        const { differences } = compareValues(before, after);
        if (differences.length > 1) several += 1;
        const result = applied(before, differences);
        if (!isSame(result, after)) expect(result).toStrictEqual(after);
        expect(isSame(result, after)).toBe(true);
      }),
      { numRuns, seed: 2 },
    );
    expect(several).toBeGreaterThan(numRuns / 10);
  });

  test("are all counted, and as many kept as were asked for", () => {
    fc.assert(
      fc.property(twoValues, fc.nat({ max: 3 }), ([before, after], limit) => {
        const all = compareValues(before, after);
        const count = (kind: string): number =>
          all.differences.filter((one) => one.kind === kind).length;
        const counts = {
          added: count("added"),
          removed: count("removed"),
          changed: count("changed"),
        };
        expect(all).toMatchObject(counts);
        const some = compareValues(before, after, { limit });
        expect(some).toMatchObject(counts);
        expect(some.differences).toEqual(all.differences.slice(0, limit));
      }),
      { numRuns: numRuns / 4, seed: 3 },
    );
  });

  test("of fields are told by name", () => {
    expect(lines({ a: 1, b: { c: 2, d: 3 } }, { b: { c: 4, d: 3 }, e: 5 })).toEqual([
      "removed $.a: 1",
      "changed $.b.c: 2 → 4",
      "added $.e: 5",
    ]);
    expect(lines({ a: undefined }, {})).toEqual(["removed $.a: undefined"]);
    expect(lines({ hasOwnProperty: 1 }, {})).toEqual(["removed $.hasOwnProperty: 1"]);
    expect(lines({}, { toString: 1 })).toEqual(["added $.toString: 1"]);
  });

  test("of lists do not tell of what only moved", () => {
    expect(lines([1, 2, 3, 4], [0, 1, 2, 4])).toEqual(["added $[0]: 0", "removed $[2]: 3"]);
    const order = (id: number, total: number): object => ({ id, total });
    expect(lines([order(1, 5), order(2, 6), order(3, 7)], [order(2, 6), order(3, 8)])).toEqual([
      "removed $[0]: [object Object]",
      "changed $[1].total was $[2].total: 7 → 8",
    ]);
  });

  test("of lists that have little in common are told index by index", () => {
    const many = Array.from({ length: 3_000 }, (_, i) => i);
    const turned = [...many].reverse();
    const { added, removed, changed } = compareValues(many, turned);
    expect({ added, removed, changed }).toEqual({ added: 0, removed: 0, changed: 3_000 });
  });

  test("of Maps are told by key, and of Sets by member, in whatever order", () => {
    const before = new Map<unknown, unknown>([
      ["a", 1],
      [1, 2],
      [{ x: 1 }, 3],
    ]);
    const after = new Map<unknown, unknown>([
      [{ x: 1 }, 4],
      ["a", 1],
      [2, 2],
    ]);
    expect(lines(before, after)).toEqual([
      "changed $[?]: 3 → 4",
      "removed $[1]: 2",
      "added $[2]: 2",
    ]);
    expect(lines(new Set([1, 2, 3]), new Set([3, 4, 1]))).toEqual([
      "removed $[1]: 2",
      "added $[1]: 4",
    ]);
  });

  test.each([
    ["NaN", Number.NaN, Number.NaN, 0],
    ["0 and -0", 0, -0, 1],
    ["a number and a bigint", 1, 1n, 1],
    ["large bigints", 10n ** 30n, 10n ** 30n + 1n, 1],
    ["dates", new Date(7), new Date(7), 0],
    ["other dates", new Date(7), new Date(8), 1],
    ["no dates", new Date(Number.NaN), new Date(Number.NaN), 0],
    ["bytes", new Uint8Array([1, 2]), Buffer.from([1, 2]), 0],
    ["other bytes", new Uint8Array([1, 2]), new Uint8Array([1, 3]), 1],
    ["bytes of other numbers", new Uint8Array([1, 0]), new Uint16Array([1]), 1],
    ["expressions", /a/g, /a/i, 1],
    ["errors", new Error("a"), new Error("a"), 0],
    ["other errors", new Error("a"), new Error("b"), 1],
    ["a list and an object", [], {}, 1],
    ["null and an object", null, {}, 1],
  ])("%s", (_name, before, after, changed) => {
    expect(compareValues(before, after).changed).toBe(changed);
    expect(compareValues([[before, 1]], [[after, 2]]).changed).toBe(changed + 1);
  });

  test("are found in values that are deeper than any stack", () => {
    const nested = (inner: unknown): unknown => {
      let value = inner;
      for (let i = 0; i < 50_000; i += 1) value = i % 2 ? [value] : { value };
      return value;
    };
    expect(compareValues(nested(1), nested(1)).changed).toBe(0);
    const { changed, differences } = compareValues(nested(1), nested(2));
    expect(changed).toBe(1);
    expect(differences[0]?.path).toHaveLength(1_000);
    expect(new Numbers().of(nested(1))).toBeGreaterThan(0);
  });

  test("of a value without an end are refused", () => {
    const endless = (): unknown[] => {
      const list: unknown[] = [];
      list.push(list);
      return list;
    };
    expect(() => compareValues(endless(), endless())).toThrow(/cyclic/);
  });
});

describe("numbers of values", () => {
  test("are the same for equal ones, and for no others", () => {
    let equal = 0;
    fc.assert(
      fc.property(twoValues, ([one, other]) => {
        const numbers = new Numbers();
        const same = isSame(one, other);
        if (same) equal += 1;
        expect(numbers.areEqual(one, other)).toBe(same);
        expect(numbers.of(one) === numbers.of(other)).toBe(same);
        expect(numbers.of(turned(one))).toBe(numbers.of(one));
      }),
      { numRuns, seed: 4 },
    );
    expect(equal).toBeGreaterThan(numRuns / 20);
  });
});

/** The length of a longest common subsequence, from the definition. */
function longest(a: readonly number[], b: readonly number[]): number {
  const table = Array.from({ length: a.length + 1 }, () => new Array<number>(b.length + 1).fill(0));
  for (let i = a.length - 1; i >= 0; i -= 1)
    for (let j = b.length - 1; j >= 0; j -= 1)
      (table[i] as number[])[j] =
        a[i] === b[j]
          ? 1 + (table[i + 1]?.[j + 1] ?? 0)
          : Math.max(table[i + 1]?.[j] ?? 0, table[i]?.[j + 1] ?? 0);
  return table[0]?.[0] ?? 0;
}

test("what two lists have between their gaps is a longest common subsequence", () => {
  const list = fc.array(fc.nat({ max: 4 }), { maxLength: 12 });
  fc.assert(
    fc.property(list, list, (a, b) => {
      const gaps = gapsBetween(
        a,
        b,
        (i, j) => a[i] === b[j],
        (one) => one,
      );
      let [i, j, common] = [0, 0, 0];
      for (const gap of [
        ...gaps,
        { before: a.length, beforeEnd: a.length, after: b.length, afterEnd: b.length },
      ]) {
        expect(a.slice(i, gap.before)).toEqual(b.slice(j, gap.after));
        common += gap.before - i;
        [i, j] = [gap.beforeEnd, gap.afterEnd];
      }
      expect(common).toBe(longest(a, b));
    }),
    { numRuns, seed: 5 },
  );
});
