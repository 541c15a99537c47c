/** Values as codecs give them, at random; and what it means to apply differences, in as few words as possible. */

import fc from "fast-check";
import type { Difference } from "../../../src/index.ts";
import type { Path, Step } from "../../../src/snapshot/value-path.ts";

/** Few names and numbers, so that two values have much in common. */
const name = fc.constantFrom("a", "b", "it's", "", "ключ", "x y", "__proto__", "\u0007\ud800");
const leaf = fc.oneof(
  fc.integer({ min: 0, max: 3 }),
  fc.constantFrom<unknown>(null, undefined, true, Number.NaN, -0, 1n, 10n ** 30n, "", "a", "long"),
  fc.constantFrom<unknown>(new Date(0), new Date(1)),
  fc.uint8Array({ maxLength: 2, max: 1 }),
  fc.float64Array({ maxLength: 1 }),
);

/** Equality from its definition. (Node's own fails for some Sets that have null in them.) */
export function isSame(one: unknown, other: unknown): boolean {
  if (Object.is(one, other)) return true;
  if (typeof one !== "object" || typeof other !== "object" || !one || !other) return false;
  if (Object.prototype.toString.call(one) !== Object.prototype.toString.call(other)) return false;
  if (one instanceof Date) return Object.is(one.getTime(), (other as Date).getTime());
  if (one instanceof Set) return areSameInAnyOrder([...one], [...(other as Set<unknown>)]);
  if (one instanceof Map) return areSameInAnyOrder([...one], [...(other as Map<unknown, unknown>)]);
  const [a, b] = [Object.entries(one), Object.entries(other)];
  return (
    a.length === b.length &&
    a.every(([key, value]) => {
      const found = b.find(([same]) => same === key);
      return found !== undefined && isSame(value, found[1]);
    })
  );
}

function areSameInAnyOrder(some: readonly unknown[], others: readonly unknown[]): boolean {
  const rest = [...others];
  for (const one of some) {
    const at = rest.findIndex((other) => isSame(one, other));
    if (at < 0) return false;
    rest.splice(at, 1);
  }
  return rest.length === 0;
}

/** Objects, lists, Maps and Sets in each other. */
export const anyValue: fc.Arbitrary<unknown> = fc.letrec((value) => ({
  value: fc.oneof(
    { maxDepth: 4, depthIdentifier: "value" },
    leaf,
    value("list"),
    value("object"),
    value("map"),
    value("set"),
  ),
  list: fc.array(value("value"), { maxLength: 8, depthIdentifier: "value" }),
  object: fc
    .array(fc.tuple(name, value("value")), { maxLength: 4, depthIdentifier: "value" })
    .map((entries) => objectOf(entries)),
  map: fc
    .array(
      fc.tuple(
        fc.oneof<fc.Arbitrary<unknown>[]>(name, fc.integer({ min: -2, max: 3 }), value("value")),
        value("value"),
      ),
      {
        maxLength: 4,
        depthIdentifier: "value",
      },
    )
    .map(
      (entries) =>
        new Map(
          entries.filter(([key], i) => entries.findIndex((one) => isSame(one[0], key)) === i),
        ),
    ),
  set: fc
    .array(value("value"), { maxLength: 4, depthIdentifier: "value" })
    .map((members) => new Set(members)),
})).value;

/** With fields of its own only, also if one is named __proto__. */
function objectOf(entries: readonly (readonly [string, unknown])[]): object {
  const object = {};
  for (const [key, value] of entries)
    Object.defineProperty(object, key, {
      value,
      enumerable: true,
      configurable: true,
      writable: true,
    });
  return object;
}

/** Two values, of which the second is often the first one with something else in a few places. */
export const twoValues: fc.Arbitrary<readonly [unknown, unknown]> = fc.oneof(
  fc.tuple(anyValue, anyValue),
  fc
    .tuple(
      anyValue,
      fc.array(fc.tuple(fc.nat(), fc.constantFrom("put", "take", "set"), anyValue), {
        maxLength: 3,
      }),
    )
    .map(
      ([value, edits]) =>
        [
          value,
          edits.reduce<unknown>(
            (now, [where, how, other]) => edited(now, where, how, other),
            value,
          ),
        ] as const,
    ),
);

/** A copy in which something at some place is another. */
function edited(value: unknown, where: number, how: string, other: unknown): unknown {
  if (Array.isArray(value)) {
    const at = where % (value.length + 1);
    if (how === "put") return value.toSpliced(at, 0, other);
    if (at === value.length) return value;
    if (how === "take") return value.toSpliced(at, 1);
    return value.with(at, edited(value[at], where >> 3, how, other));
  }
  if (value instanceof Map) {
    const at = where % (value.size + 1);
    return new Map(
      [...value].map(([key, one], i) => [
        key,
        i === at ? edited(one, where >> 3, how, other) : one,
      ]),
    );
  }
  if (value instanceof Set)
    return how === "take" ? new Set([...value].slice(1)) : new Set([other, ...value]);
  const isPlain =
    typeof value === "object" &&
    value !== null &&
    Object.getPrototypeOf(value) === Object.prototype;
  if (!isPlain) return other;
  const entries = Object.entries(value);
  const at = where % (entries.length + 1);
  return objectOf(
    entries.map(([key, one], i) => [key, i === at ? edited(one, where >> 3, how, other) : one]),
  );
}

/** The same value, with everything that has no order the other way round. */
export function turned(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(turned);
  if (value instanceof Set) return new Set([...value].reverse().map(turned));
  if (value instanceof Map)
    return new Map([...value].reverse().map(([key, one]) => [turned(key), turned(one)]));
  const isPlain = Object.prototype.toString.call(value) === "[object Object]";
  if (!isPlain) return value;
  const entries = Object.entries(value as object).reverse();
  return objectOf(entries.map(([key, one]) => [key, turned(one)]));
}

/** The value with its differences in it. Paths lead from here. */
export function applied(value: unknown, differences: readonly Difference[]): unknown {
  const [whole] = differences;
  if (!whole) return value;
  if (whole.path.length === 0) {
    if (whole.kind !== "changed" || differences.length > 1)
      throw new Error("all of it is one change");
    return whole.after;
  }
  if (Array.isArray(value)) return appliedToItems(value, differences);
  // Two equal members are two, but the same one twice is not.
  if (value instanceof Set)
    return new Set(appliedToItems([...value], differences).map((one) => structuredClone(one)));
  const entries: [unknown, unknown][] =
    value instanceof Map ? [...value] : Object.entries(value as object);
  const result: [unknown, unknown][] = [];
  for (const [key, one] of entries) {
    const own = differences.filter(({ path }) => isStepOf(path[0], key));
    if (own.some(({ kind, path }) => kind === "removed" && path.length === 1)) continue;
    result.push([key, applied(one, own.map(inside))]);
  }
  for (const one of differences)
    if (one.kind === "added" && one.path.length === 1) {
      const step = one.path[0] as Step;
      result.push([typeof step === "object" ? step.key : step, one.after]);
    }
  if (value instanceof Map) return new Map(result);
  return objectOf(result as [string, unknown][]);
}

const isStepOf = (step: Step | undefined, key: unknown): boolean =>
  typeof step === "object" ? isSame(step.key, key) : step === key;

function appliedToItems(items: readonly unknown[], differences: readonly Difference[]): unknown[] {
  const removed = new Set<number>();
  const added = new Map<number, unknown>();
  const rest: Difference[] = [];
  for (const one of differences)
    if (one.path.length > 1 || one.kind === "changed") rest.push(one);
    else if (one.kind === "removed") removed.add(one.path[0] as number);
    else added.set(one.path[0] as number, one.after);
  const kept = [...items.keys()].filter((i) => !removed.has(i));
  const result: unknown[] = [];
  for (let now = 0; now < kept.length + added.size; now += 1) {
    if (added.has(now)) {
      result.push(added.get(now));
      continue;
    }
    const was = kept[result.length - [...added.keys()].filter((at) => at < now).length] as number;
    // What was removed in an item is told by where that was, all else by where it is.
    const own = rest.filter((one) => one.path[0] === (one.kind === "removed" ? was : now));
    result.push(applied(items[was], own.map(inside)));
  }
  return result;
}

function inside(one: Difference): Difference {
  const path: Path = one.path.slice(1);
  return { ...one, path };
}
