/**
 * What is different between two decoded values, as a list of what was added, removed and changed, and where.
 *
 * Theory of operation. Both are gone through together, from the top; where they cannot be gone through together any more, there is a
 * difference. A field belongs to the field of the same name, a key of a Map to the equal key, a member of a Set to the equal
 * member; the order of these says nothing. In lists it does: there a longest common subsequence of equal items is found (Myers
 * 1986), so that an item that was put in somewhere is one difference and not one for each that comes after it. What lies between two
 * such items before belongs to what lies there after, one by one from the first; the rest was removed or added. Two lists that have
 * more than `EDITS_MAX` moves between them, or more than `ITEMS_MAX` items from the first difference to the last, are compared index by
 * index.
 *
 * So the differences say all: whoever applies them to the first value has the second one (test/snapshot/diff.test.ts does).
 *
 * Equal values get the same number from `Numbers`, which makes finding them as cheap as comparing numbers. A value is numbered by
 * the numbers of what is in it, once, from the inside.
 *
 * Nothing here calls itself, however deep a value is. What lies deeper than `PATH_MAX` steps is compared, but told as a change of what
 * stands at that depth.
 */

import {
  DEPTH_MAX,
  datumText,
  endless,
  fieldsOf,
  type Path,
  type Shape,
  type Step,
  shapeOf,
  stepOfKey,
  VALUES_MAX,
} from "./value-path.ts";

/**
 * One difference. Paths of what was removed are those before, of anything else those after: in lists, the same item may have had
 * another index before.
 */
export type Difference =
  | { readonly kind: "added"; readonly path: Path; readonly after: unknown }
  | { readonly kind: "removed"; readonly path: Path; readonly before: unknown }
  | {
      readonly kind: "changed";
      readonly path: Path;
      /** Where it stood before. Absent if that is the same. */
      readonly beforePath?: Path;
      readonly before: unknown;
      readonly after: unknown;
    };

/** How many differences there are of each kind. */
export interface DifferenceCounts {
  readonly added: number;
  readonly removed: number;
  readonly changed: number;
}

/** The differences of two values: all are counted, and as many kept as were asked for, from the first. */
export interface Differences extends DifferenceCounts {
  readonly differences: readonly Difference[];
}

const EDITS_MAX = 500;
const ITEMS_MAX = 1_000_000;
const PATH_MAX = 1_000;
/** So many pairs are compared before they are numbered, so that no value is gone through again and again. */
const PLAIN_MAX = 1_000;

/**
 * Compares two decoded values: plain data, lists, Map, Set, Date, bigint, bytes and typed arrays, Error. NaN is equal to NaN, and 0 is
 * not to -0.
 *
 * @param options.limit so many differences are kept; all are counted. @default all
 * @throws TidemarkError `BAD_MESSAGE` if a value is cyclic
 *
 * @example
 * ```ts
 * import { compareValues, formatPath } from "tidemark";
 * const { changed, differences } = compareValues({ stock: [1, 2] }, { stock: [1, 3] });
 * if (changed !== 1 || formatPath(differences[0]!.path) !== "$.stock[1]") throw new Error("one item changed");
 * ```
 */
export function compareValues(
  before: unknown,
  after: unknown,
  { limit = Number.POSITIVE_INFINITY }: { readonly limit?: number } = {},
): Differences {
  const comparison = new Comparison(limit);
  comparison.compare(before, after);
  return comparison;
}

/** One pair of what is in two values; a side without a step has nothing there. */
interface Pair {
  readonly beforeStep?: Step;
  readonly afterStep?: Step;
  readonly before?: unknown;
  readonly after?: unknown;
}

/** Differences of several pairs of values, each at its own place, together. */
export class Comparison implements Differences {
  added = 0;
  removed = 0;
  changed = 0;
  readonly differences: Difference[] = [];
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Takes in what is different between two values that stand there. */
  compare(before: unknown, after: unknown, beforeAt: Path = [], afterAt: Path = beforeAt): void {
    const numbers = new Numbers();
    const beforePath: Step[] = [...beforeAt];
    const afterPath: Step[] = [...afterAt];
    const open: Iterator<Pair>[] = [];
    /** True if there is something in them to go through. */
    const enter = (one: unknown, other: unknown): boolean => {
      const shape = shapeOf(one);
      const alike = shape === shapeOf(other);
      if (alike && shape !== "leaf" && open.length < PATH_MAX) {
        open.push(pairsOf(one as object, other as object, shape, numbers));
        return true;
      }
      if (!alike || !numbers.areEqual(one, other))
        this.#addChanged(beforePath, afterPath, one, other);
      return false;
    };
    enter(before, after);
    for (let met = 0; open.length > 0; met += 1) {
      if (met > VALUES_MAX) throw endless();
      const { done, value: pair } = (open.at(-1) as Iterator<Pair>).next();
      if (done) {
        open.pop();
        if (open.length > 0) {
          beforePath.pop();
          afterPath.pop();
        }
        continue;
      }
      const { beforeStep, afterStep } = pair as Pair;
      if (afterStep === undefined)
        this.addRemoved([...beforePath, beforeStep as Step], pair.before);
      else if (beforeStep === undefined) this.addAdded([...afterPath, afterStep], pair.after);
      else {
        beforePath.push(beforeStep);
        afterPath.push(afterStep);
        if (enter(pair.before, pair.after)) continue;
        beforePath.pop();
        afterPath.pop();
      }
    }
  }

  /** Whether no more are kept: then what was added or removed need not be at hand. */
  get isFull(): boolean {
    return this.differences.length >= this.#limit;
  }

  addAdded(path: Path, after: unknown): void {
    this.added += 1;
    this.#keep({ kind: "added", path, after });
  }

  addRemoved(path: Path, before: unknown): void {
    this.removed += 1;
    this.#keep({ kind: "removed", path, before });
  }

  #addChanged(beforePath: Path, path: Path, before: unknown, after: unknown): void {
    this.changed += 1;
    // A key that is an object leads to an equal one.
    const same = path.every((step, i) => step === beforePath[i] || typeof step === "object");
    this.#keep({
      ...{ kind: "changed", path: [...path], before, after },
      ...(same ? {} : { beforePath: [...beforePath] }),
    });
  }

  #keep(difference: Difference): void {
    if (!this.isFull) this.differences.push(difference);
  }
}

/** What belongs together in two values of one shape; of a list, what is equal is left out. */
function pairsOf(before: object, after: object, shape: Shape, numbers: Numbers): Iterator<Pair> {
  if (shape === "list")
    return pairsOfLists(before as readonly unknown[], after as readonly unknown[], numbers);
  if (shape === "set")
    return pairsOfSets([...(before as Set<unknown>)], [...(after as Set<unknown>)], numbers);
  if (shape === "map")
    return pairsOfMaps(
      [...(before as Map<unknown, unknown>)],
      [...(after as Map<unknown, unknown>)],
      numbers,
    );
  return pairsOfFields(fieldsOf(before), fieldsOf(after));
}

function* pairsOfFields(
  before: Readonly<Record<string, unknown>>,
  after: Readonly<Record<string, unknown>>,
): Generator<Pair> {
  for (const key of Object.keys(before)) {
    const value = before[key];
    if (!Object.hasOwn(after, key)) yield { beforeStep: key, before: value };
    else if (!Object.is(value, after[key]))
      yield { beforeStep: key, afterStep: key, before: value, after: after[key] };
  }
  for (const key of Object.keys(after))
    if (!Object.hasOwn(before, key)) yield { afterStep: key, after: after[key] };
}

function* pairsOfLists(
  before: readonly unknown[],
  after: readonly unknown[],
  numbers: Numbers,
): Generator<Pair> {
  const areEqual = (i: number, j: number): boolean => numbers.areEqual(before[i], after[j]);
  const number = (value: unknown): number => numbers.of(value);
  for (const gap of gapsBetween(before, after, areEqual, number))
    for (const [i, j] of placesIn(gap))
      yield {
        ...(i === undefined ? {} : { beforeStep: i, before: before[i] }),
        ...(j === undefined ? {} : { afterStep: j, after: after[j] }),
      };
}

function* pairsOfSets(
  before: readonly unknown[],
  after: readonly unknown[],
  numbers: Numbers,
): Generator<Pair> {
  const { gone, come } = unmatched(before, after, numbers);
  for (const i of gone) yield { beforeStep: i, before: before[i] };
  for (const j of come) yield { afterStep: j, after: after[j] };
}

function* pairsOfMaps(
  before: readonly (readonly [unknown, unknown])[],
  after: readonly (readonly [unknown, unknown])[],
  numbers: Numbers,
): Generator<Pair> {
  const keys = (entries: typeof before): unknown[] => entries.map(([key]) => key);
  const { gone, come, partners } = unmatched(keys(before), keys(after), numbers);
  for (const [i, j] of partners) {
    const [key, value] = before[i] as readonly [unknown, unknown];
    const [same, other] = after[j] as readonly [unknown, unknown];
    yield { beforeStep: stepOfKey(key), afterStep: stepOfKey(same), before: value, after: other };
  }
  for (const i of gone) {
    const [key, value] = before[i] as readonly [unknown, unknown];
    yield { beforeStep: stepOfKey(key), before: value };
  }
  for (const j of come) {
    const [key, value] = after[j] as readonly [unknown, unknown];
    yield { afterStep: stepOfKey(key), after: value };
  }
}

/** Of values in no order: which are on both sides, as often as they are, and which on one only. */
export function unmatched(
  before: readonly unknown[],
  after: readonly unknown[],
  numbers: Numbers,
): {
  readonly partners: readonly (readonly [number, number])[];
  readonly gone: readonly number[];
  readonly come: readonly number[];
} {
  const waiting = new Map<number, number[]>();
  for (let i = before.length - 1; i >= 0; i -= 1) {
    const number = numbers.of(before[i]);
    const places = waiting.get(number);
    if (places) places.push(i);
    else waiting.set(number, [i]);
  }
  const partners: (readonly [number, number])[] = [];
  const come: number[] = [];
  for (const [j, value] of after.entries()) {
    const i = waiting.get(numbers.of(value))?.pop();
    if (i === undefined) come.push(j);
    else partners.push([i, j]);
  }
  const gone = [...waiting.values()].flat().sort((a, b) => a - b);
  return { partners, gone, come };
}

/** A run of items before, and one after, that are in the same place of two lists and are not equal; one may be empty. */
export interface Gap {
  readonly before: number;
  readonly beforeEnd: number;
  readonly after: number;
  readonly afterEnd: number;
}

/** The items of a gap, one by one: an index before and one after, and where one run is longer than the other, only one. */
export function* placesIn(gap: Gap): Generator<readonly [number | undefined, number | undefined]> {
  const { before, beforeEnd, after, afterEnd } = gap;
  for (let i = before, j = after; i < beforeEnd || j < afterEnd; i += 1, j += 1)
    yield [i < beforeEnd ? i : undefined, j < afterEnd ? j : undefined];
}

/**
 * Where two lists are not equal.
 * @param areEqual whether two items are, by index
 * @param key equal for equal items, and only for those
 */
export function gapsBetween<T>(
  before: readonly T[],
  after: readonly T[],
  areEqual: (i: number, j: number) => boolean,
  key: (item: T) => unknown,
): readonly Gap[] {
  const shorter = Math.min(before.length, after.length);
  let start = 0;
  while (start < shorter && areEqual(start, start)) start += 1;
  let [beforeEnd, afterEnd] = [before.length, after.length];
  while (beforeEnd > start && afterEnd > start && areEqual(beforeEnd - 1, afterEnd - 1)) {
    beforeEnd -= 1;
    afterEnd -= 1;
  }
  if (start === beforeEnd && start === afterEnd) return [];
  const whole = [{ before: start, beforeEnd, after: start, afterEnd }];
  const items = beforeEnd - start + (afterEnd - start);
  if (start === beforeEnd || start === afterEnd || items > ITEMS_MAX) return whole;
  const common = commonItems(
    before.slice(start, beforeEnd).map(key),
    after.slice(start, afterEnd).map(key),
  );
  if (!common) return whole;
  const gaps: Gap[] = [];
  let [i, j] = [start, start];
  for (const [a, b] of [...common, [beforeEnd - start, afterEnd - start]] as const) {
    if (i < start + a || j < start + b)
      gaps.push({ before: i, beforeEnd: start + a, after: j, afterEnd: start + b });
    [i, j] = [start + a + 1, start + b + 1];
  }
  return gaps;
}

/**
 * A longest common subsequence, as pairs of indexes; `undefined` if it takes more edits than we do. What has no equal on the other side
 * can be in none and is left out beforehand: then only what moved, or is there more often, costs anything.
 */
function commonItems(
  before: readonly unknown[],
  after: readonly unknown[],
): readonly (readonly [number, number])[] | undefined {
  const [inBefore, inAfter] = [new Set(before), new Set(after)];
  const a = [...before.keys()].filter((i) => inAfter.has(before[i]));
  const b = [...after.keys()].filter((j) => inBefore.has(after[j]));
  const same = (x: number, y: number): boolean =>
    x < a.length && y < b.length && before[a[x] as number] === after[b[y] as number];
  // The furthest that d edits come on each diagonal x - y = k, from -d to d; as it was before each further one.
  const furthest = new Map<number, number>([[1, 0]]);
  const trail: ReadonlyMap<number, number>[] = [];
  const most = Math.min(a.length + b.length, EDITS_MAX);
  const isDown = (from: ReadonlyMap<number, number>, k: number, d: number): boolean =>
    k === -d || (k !== d && (from.get(k - 1) ?? 0) < (from.get(k + 1) ?? 0));
  for (let d = 0; d <= most; d += 1) {
    trail.push(new Map(furthest));
    for (let k = -d; k <= d; k += 2) {
      let x = isDown(furthest, k, d) ? (furthest.get(k + 1) ?? 0) : (furthest.get(k - 1) ?? 0) + 1;
      while (same(x, x - k)) x += 1;
      furthest.set(k, x);
      if (x < a.length || x - k < b.length) continue;
      return pairsOnTrail(trail, a, b, isDown);
    }
  }
  return undefined;
}

/** Goes back from the end to where each edit came from; what was passed diagonally is in both. */
function pairsOnTrail(
  trail: readonly ReadonlyMap<number, number>[],
  a: readonly number[],
  b: readonly number[],
  isDown: (from: ReadonlyMap<number, number>, k: number, d: number) => boolean,
): readonly (readonly [number, number])[] {
  const pairs: (readonly [number, number])[] = [];
  let [x, y] = [a.length, b.length];
  for (let d = trail.length - 1; d >= 0; d -= 1) {
    const from = trail[d] as ReadonlyMap<number, number>;
    const k = x - y;
    const previous = isDown(from, k, d) ? k + 1 : k - 1;
    const startX = d === 0 ? 0 : (from.get(previous) ?? 0);
    const startY = d === 0 ? 0 : startX - previous;
    while (x > startX && y > startY) {
      x -= 1;
      y -= 1;
      pairs.push([a[x] as number, b[y] as number]);
    }
    [x, y] = [startX, startY];
  }
  return pairs.reverse();
}

/** A value whose parts are being numbered. */
interface Numbering {
  readonly value: object;
  /** What it is, and the names of its parts. */
  readonly heading: string;
  readonly parts: readonly unknown[];
  readonly numbers: number[];
  /** For a Set or Map: the parts, in runs of so many, come in no order. */
  readonly run: number;
}

/** Gives equal values the same number, and others another one. */
export class Numbers {
  readonly #simple = new Map<unknown, number>();
  readonly #composed = new Map<string, number>();
  readonly #known = new Map<object, number>();
  #last = 0;

  /** @throws TidemarkError `BAD_MESSAGE` */
  of(value: unknown): number {
    const found = this.#at(value);
    if (found !== undefined) return found;
    const open: Numbering[] = [this.#begin(value as object)];
    for (let met = 0; ; met += 1) {
      if (met > VALUES_MAX || open.length > DEPTH_MAX) throw endless();
      const { value: whole, heading, parts, numbers, run } = open.at(-1) as Numbering;
      if (numbers.length < parts.length) {
        const part = parts[numbers.length];
        const number = this.#at(part);
        if (number === undefined) open.push(this.#begin(part as object));
        else numbers.push(number);
        continue;
      }
      open.pop();
      const number = this.#composedOf(`${heading}${run === 0 ? numbers : inOrder(numbers, run)}`);
      this.#known.set(whole, number);
      if (open.length === 0) return number;
    }
  }

  /** Whether two values are equal; without numbering them, if that can be. */
  areEqual(before: unknown, after: unknown): boolean {
    if (Object.is(before, after)) return true;
    const rest: unknown[] = [before, after];
    for (let met = 0; rest.length > 0; met += 1) {
      if (met > PLAIN_MAX) {
        // Numbers are kept, and there are none of a cycle.
        for (let i = 0; i < rest.length; i += 2)
          if (this.of(rest[i]) !== this.of(rest[i + 1])) return false;
        return true;
      }
      const [other, one] = [rest.pop(), rest.pop()];
      const shape = shapeOf(one);
      if (shape !== shapeOf(other)) return false;
      if (shape === "leaf") {
        if (!areSame(one, other)) return false;
      } else if (shape === "list") {
        const [a, b] = [one as readonly unknown[], other as readonly unknown[]];
        if (a.length !== b.length) return false;
        for (let i = a.length - 1; i >= 0; i -= 1)
          if (!Object.is(a[i], b[i])) {
            if (!isObject(a[i]) || !isObject(b[i])) return false;
            rest.push(a[i], b[i]);
          }
      } else if (shape === "object" || shape === "error") {
        const [a, b] = [fieldsOf(one as object), fieldsOf(other as object)];
        const keys = Object.keys(a);
        if (keys.length !== Object.keys(b).length) return false;
        for (const key of keys) {
          if (!Object.hasOwn(b, key)) return false;
          if (Object.is(a[key], b[key])) continue;
          if (!isObject(a[key]) || !isObject(b[key])) return false;
          rest.push(a[key], b[key]);
        }
      } else if (this.of(one) !== this.of(other)) return false;
    }
    return true;
  }

  /** `undefined` of what is to be composed yet. */
  #at(value: unknown): number | undefined {
    if (isObject(value)) {
      const known = this.#known.get(value);
      if (known !== undefined || shapeOf(value) !== "leaf") return known;
      const text = datumText(value);
      return text === undefined ? this.#simpleOf(value) : this.#composedOf(text);
    }
    // The keys of a Map do not tell -0 from 0.
    return Object.is(value, -0) ? this.#composedOf("-0") : this.#simpleOf(value);
  }

  #simpleOf(value: unknown): number {
    const found = this.#simple.get(value);
    if (found !== undefined) return found;
    this.#last += 1;
    this.#simple.set(value, this.#last);
    return this.#last;
  }

  #composedOf(text: string): number {
    const found = this.#composed.get(text);
    if (found !== undefined) return found;
    this.#last += 1;
    this.#composed.set(text, this.#last);
    return this.#last;
  }

  #begin(value: object): Numbering {
    const shape = shapeOf(value);
    const numbers: number[] = [];
    if (shape === "list")
      return { value, heading: "list ", parts: value as readonly unknown[], numbers, run: 0 };
    if (shape === "set")
      return { value, heading: "set ", parts: [...(value as Set<unknown>)], numbers, run: 1 };
    if (shape === "map") {
      const parts = [...(value as Map<unknown, unknown>)].flat();
      return { value, heading: "map ", parts, numbers, run: 2 };
    }
    const fields = fieldsOf(value);
    const keys = Object.keys(fields).sort();
    const heading = `${shape} ${keys.map((key) => this.#simpleOf(key))}:`;
    return { value, heading, parts: keys.map((key) => fields[key]), numbers, run: 0 };
  }
}

/** Runs of so many numbers, sorted. */
function inOrder(numbers: readonly number[], run: number): string {
  const runs: string[] = [];
  for (let at = 0; at < numbers.length; at += run) runs.push(numbers.slice(at, at + run).join(":"));
  return runs.sort().join();
}

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null;

function areSame(one: unknown, other: unknown): boolean {
  if (Object.is(one, other)) return true;
  if (!isObject(one) || !isObject(other)) return false;
  const text = datumText(one);
  return text !== undefined && text === datumText(other);
}
