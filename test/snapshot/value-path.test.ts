import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatPath, isTidemarkError, type Path, parsePath } from "../../src/index.ts";
import { everyValue, pathOf, shapeOf, stepOfKey } from "../../src/snapshot/value-path.ts";
import { cases } from "../support/soak.ts";
import { anyValue } from "./support/values.ts";

const numRuns = cases("value-path", 2_000, 200_000);

const select = (text: string, value: unknown): unknown[] =>
  [...parsePath(text).select(value)].map((one) => one.value);

/** One part of an expression, and how it is written. */
interface Part {
  readonly deep: boolean;
  readonly wanted: string | number | undefined;
}

const part: fc.Arbitrary<Part> = fc.record({
  deep: fc.boolean(),
  wanted: fc.constantFrom<string | number | undefined>(
    "a",
    "it's",
    "ключ",
    "x y",
    "",
    0,
    1,
    -1,
    undefined,
  ),
});

function written({ deep, wanted }: Part): string {
  if (wanted === undefined) return deep ? "..*" : "[*]";
  const dots = deep ? ".." : "";
  return `${dots}[${typeof wanted === "number" ? wanted : JSON.stringify(wanted)}]`;
}

/** Where something is, also by its number among its neighbours. */
interface Place {
  readonly at: readonly number[];
  readonly path: Path;
}

/** What an expression selects, from its definition. */
function selected(value: unknown, parts: readonly Part[], { at, path }: Place): Place[] {
  const [first, ...rest] = parts;
  if (!first) return [{ at, path }];
  const shape = shapeOf(value);
  if (shape === "leaf") return [];
  const children =
    shape === "map"
      ? [...(value as Map<unknown, unknown>)].map(([key, one]) => [stepOfKey(key), one] as const)
      : shape === "list" || shape === "set"
        ? [...(value as Iterable<unknown>)].map((one, i) => [i, one] as const)
        : Object.entries(value as object);
  const isCounted = shape === "list" || shape === "set";
  return children.flatMap(([step, child], i) => {
    const place = { at: [...at, i], path: [...path, step] };
    const { wanted } = first;
    const index =
      typeof wanted === "number" && wanted < 0 && isCounted ? wanted + children.length : wanted;
    const here = wanted === undefined || index === step ? selected(child, rest, place) : [];
    return first.deep ? [...here, ...selected(child, parts, place)] : here;
  });
}

function inOrder(a: Place, b: Place): number {
  const i = a.at.findIndex((one, at) => one !== b.at[at]);
  return i < 0 ? a.at.length - b.at.length : (a.at[i] as number) - (b.at[i] ?? -1);
}

describe("an expression", () => {
  test("selects what its definition says, once and in order", () => {
    let some = 0;
    fc.assert(
      fc.property(anyValue, fc.array(part, { maxLength: 3 }), (value, parts) => {
        const places = new Map(
          selected(value, parts, { at: [], path: [] }).map((one) => [one.at.join(), one]),
        );
        const expected = [...places.values()].sort(inOrder).map(({ path }) => formatPath(path));
        const expression = parsePath(`$${parts.map(written).join("")}`);
        expect([...expression.select(value)].map(({ path }) => formatPath(path))).toEqual(expected);
        if (expected.length > 1) some += 1;
      }),
      { numRuns, seed: 1 },
    );
    expect(some).toBeGreaterThan(numRuns / 50);
  });

  test("of each path in a value leads there alone", () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        const texts: string[] = [];
        for (const { trail, value: there } of everyValue(value)) {
          const text = formatPath(pathOf(trail));
          texts.push(text);
          if (text.includes("[?]")) continue;
          const found = [...parsePath(text).select(value)];
          expect(found).toHaveLength(1);
          expect(Object.is(found[0]?.value, there)).toBe(true);
        }
        const all = [{ path: [] }, ...parsePath("$..*").select(value)];
        expect(texts).toEqual(all.map(({ path }) => formatPath(path)));
      }),
      { numRuns: numRuns / 4, seed: 2 },
    );
  });

  test("selects in a list, item by item, what it selects in the whole", () => {
    fc.assert(
      fc.property(
        fc.array(anyValue, { maxLength: 5 }),
        fc.array(part, { minLength: 1, maxLength: 3 }),
        (list, parts) => {
          const expression = parsePath(`$${parts.map(written).join("")}`);
          const found = list.flatMap((item, i) =>
            expression.reaches(i, list.length)
              ? [...expression.selectItem(item, i, list.length)]
              : [],
          );
          expect(found).toEqual([...expression.select(list)]);
        },
      ),
      { numRuns: numRuns / 4, seed: 3 },
    );
  });

  const state = { balance: 7, orders: [{ id: 1, "unit price": 2 }, { id: 2 }, { id: 3 }] };
  test.each([
    ["$", [state]],
    ["$.balance", [7]],
    ["$['balance']", [7]],
    ['$["bal\\u0061nce"]', [7]],
    ["$.orders[0].id", [1]],
    ["$.orders[-1].id", [3]],
    ["$.orders[3]", []],
    ["$.orders[-4]", []],
    ["$.orders[*].id", [1, 2, 3]],
    ["$..id", [1, 2, 3]],
    ["$.orders.*['unit price']", [2]],
    ["$..[1].id", [2]],
    ["$.orders.length", []],
    ["$.balance.toString", []],
    ["$.__proto__", []],
  ])("%s", (text, expected) => {
    expect(select(text, state)).toEqual(expected);
  });

  test.each<[string, number, string]>([
    ["balance", 1, "it begins with $"],
    ["", 1, "it begins with $"],
    ["$balance", 2, 'here comes ".name" or "[…]"'],
    ["$.", 3, "a name comes here"],
    ["$..", 4, "a name comes here"],
    ["$.a.[0]", 5, "without the dot"],
    ["$.a[", 5, "an index, a name in quotes, or *"],
    ["$.a[1", 6, 'here comes "]"'],
    ["$.a[1:2]", 6, 'here comes "]"'],
    ["$.a['b", 7, "a name is not closed"],
    ["$['\\n']", 5, "after \\ comes"],
    ["$[99999999999999999999]", 3, "too large"],
    ["$.a b", 4, 'here comes ".name"'],
    [`$${".a".repeat(31)}`, 62, "30 parts"],
    [`$.${"a".repeat(1000)}`, 1001, "1000 characters"],
  ])("%.40s is refused, and where it is wrong: at %d", (text, at, reason) => {
    expect(() => parsePath(text)).toThrow(`is wrong at character ${at}: `);
    expect(() => parsePath(text)).toThrow(reason);
  });

  test("of any text is read, or refused with a place in it", () => {
    const character = fc.constantFrom(..."$..[[]]**''\"\\u00aaéb-10 \n?");
    let read = 0;
    fc.assert(
      fc.property(fc.array(character, { maxLength: 12 }), fc.boolean(), (characters, begun) => {
        const text = (begun ? "$" : "") + characters.join("");
        try {
          const expression = parsePath(text);
          expect([...expression.select([{ a: 1 }])].length).toBeLessThanOrEqual(3);
          read += 1;
        } catch (error) {
          if (!isTidemarkError(error, "BAD_OPTION")) throw error;
          const at = Number(/is wrong at character (\d+): /.exec(error.message)?.[1]);
          expect(at).toBeGreaterThanOrEqual(1);
          expect(at).toBeLessThanOrEqual(text.length + 1);
        }
      }),
      { numRuns: 5 * numRuns, seed: 4 },
    );
    expect(read).toBeGreaterThan(numRuns / 20);
  });

  test("goes through values that are deeper than any stack, and refuses those without an end", () => {
    let deep: unknown = { here: 1 };
    for (let i = 0; i < 50_000; i += 1) deep = [deep];
    expect(select("$..here", deep)).toEqual([1]);
    const cyclic: unknown[] = [];
    cyclic.push(cyclic);
    expect(() => select("$..here", cyclic)).toThrow(/cyclic/);
    expect([...everyValue(deep)]).toHaveLength(50_002);
    expect(() => [...everyValue(cyclic)]).toThrow(/cyclic/);
  });
});
