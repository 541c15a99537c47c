/** `SORT`. */

import { indexIn } from "../arguments.ts";
import { type Call, type Command, Refusal, SYNTAX, WRONG_TYPE } from "../command.ts";
import { parseFloat64 } from "../numbers.ts";
import type { Value } from "../value.ts";
import { List } from "../values/list.ts";

interface SortRequest {
  /** `undefined`: by the elements themselves. */
  readonly by: string | undefined;
  /** A pattern without a star was given: the weight of all is the same. */
  readonly isUnsorted: boolean;
  readonly get: readonly string[];
  readonly limit: readonly [offset: number, count: number] | undefined;
  readonly isDescending: boolean;
  readonly isAlpha: boolean;
  readonly destination: string | undefined;
}

/** C sees a text up to the first zero. */
function seen(text: string): string {
  const end = text.indexOf("\0");
  return end < 0 ? text : text.slice(0, end);
}

const starIn = (pattern: string): number => seen(pattern).indexOf("*");

/** @param reads hears of options that have it read keys which nothing names */
function requestIn(
  args: readonly string[],
  isReadOnly: boolean,
  reads: (option: "BY" | "GET") => void = () => {},
): SortRequest {
  let by: string | undefined;
  const get: string[] = [];
  let limit: readonly [number, number] | undefined;
  let [isDescending, isAlpha, isUnsorted] = [false, false, false];
  let destination: string | undefined;
  for (let i = 2; i < args.length; i += 1) {
    const word = (args[i] as string).toUpperCase();
    const left = args.length - i - 1;
    if (word === "ASC") isDescending = false;
    else if (word === "DESC") isDescending = true;
    else if (word === "ALPHA") isAlpha = true;
    else if (word === "LIMIT" && left >= 2) {
      limit = [indexIn(args[i + 1]), indexIn(args[i + 2])];
      i += 2;
    } else if (word === "STORE" && left >= 1 && !isReadOnly) {
      i += 1;
      destination = args[i];
    } else if (word === "BY" && left >= 1) {
      i += 1;
      by = args[i] as string;
      if (starIn(by) < 0) isUnsorted = true;
      else reads("BY");
    } else if (word === "GET" && left >= 1) {
      i += 1;
      get.push(args[i] as string);
      reads("GET");
    } else throw new Refusal(SYNTAX);
  }
  return { by, isUnsorted, get, limit, isDescending, isAlpha, destination };
}

/** What a pattern stands for, given an element: a key, or a field of one. */
function lookUp(call: Call, pattern: string, element: string): string | undefined {
  const visible = seen(pattern);
  if (visible === "#") return element;
  const star = visible.indexOf("*");
  if (star < 0) return undefined;
  const arrow = visible.indexOf("->", star);
  const hasField = arrow >= 0 && arrow + 2 < visible.length;
  const keyPattern = hasField ? pattern.slice(0, arrow) : pattern;
  const key = keyPattern.slice(0, star) + element + keyPattern.slice(star + 1);
  const value = call.db.get(key);
  if (value === undefined) return undefined;
  if (hasField)
    return typeof value !== "string" && value.type === "hash"
      ? value.fields.get(pattern.slice(arrow + 2))
      : undefined;
  if (typeof value === "string") return value;
  return value.type === "string" ? value.slice(0) : undefined;
}

function elementsOf(value: Value | undefined): string[] {
  if (value === undefined) return [];
  if (typeof value !== "string") {
    if (value.type === "list") return value.range(0, value.length);
    if (value.type === "set") return value.list();
    if (value.type === "zset") return value.range(0, value.size).map(([member]) => member);
  }
  throw new Refusal(WRONG_TYPE);
}

const compare = <T extends string | number>(a: T, b: T): number => (a < b ? -1 : a > b ? 1 : 0);

/** As C's `strtod` reads it. @throws Refusal if there is more than a number */
function scoreOf(weight: string | undefined): number {
  const given = seen(weight ?? "").replace(/^[ \t\n\v\f\r]+(?=.)/s, "");
  const score = given === "" ? 0 : parseFloat64(given);
  // It minds numbers that are so small that they have lost digits.
  if (score === undefined || (score !== 0 && Math.abs(score) < LEAST_NORMAL))
    throw new Refusal("ERR One or more scores can't be converted into double");
  return score;
}

const LEAST_NORMAL = 2 ** -1022;

/** In order of their numbers; of equal ones, as texts. */
function byScore(elements: readonly string[], weightOf: (element: string) => string | undefined) {
  return elements
    .map((element) => ({ element, weight: scoreOf(weightOf(element)) }))
    .sort((a, b) => compare(a.weight, b.weight) || compare(a.element, b.element))
    .map(({ element }) => element);
}

/** In order of their texts, those without one first; of equal ones, as they were. */
function byText(
  elements: readonly string[],
  weightOf: (element: string) => string | undefined,
  isDescending: boolean,
) {
  const sign = isDescending ? -1 : 1;
  return elements
    .map((element) => ({ element, weight: weightOf(element) }))
    .sort(({ weight: a }, { weight: b }) => {
      if (a !== undefined && b !== undefined) return sign * compare(a, b);
      return sign * (Number(a !== undefined) - Number(b !== undefined));
    })
    .map(({ element }) => element);
}

function sorted(call: Call, request: SortRequest, value: Value | undefined): readonly string[] {
  const { by, isUnsorted, isDescending, isAlpha, destination } = request;
  const elements = elementsOf(value);
  const isSet = typeof value === "object" && value.type === "set";
  if (isUnsorted && !(isSet && destination !== undefined))
    return isDescending && !isSet ? elements.reverse() : elements;
  // What is stored must be in some order.
  const isForced = isUnsorted;
  const text = (one: string | undefined): string | undefined =>
    destination === undefined && one !== undefined ? seen(one) : one;
  const weightOf = (element: string): string | undefined =>
    by === undefined || isForced ? element : lookUp(call, by, element);
  if (isForced || isAlpha)
    return byText(elements, (element) => text(weightOf(element)), isDescending);
  const ascending = byScore(elements, weightOf);
  return isDescending ? ascending.reverse() : ascending;
}

function limited(elements: readonly string[], { limit }: SortRequest): readonly string[] {
  if (!limit) return elements;
  const [offset, count] = limit;
  const from = Math.max(0, offset);
  return elements.slice(from, count < 0 ? elements.length : from + count);
}

/** More replies than that nobody waits for. */
const FOUND_MAX = 16 * 1024 * 1024;

function sort(isReadOnly: boolean) {
  return (call: Call, args: readonly string[]): void => {
    const request = requestIn(args, isReadOnly);
    const value = call.db.get(args[1] as string);
    const elements = limited(sorted(call, request, value), request);
    const { get, destination } = request;
    if (elements.length * get.length > FOUND_MAX) throw new Refusal("ERR value is out of range");
    const found: (string | undefined)[] = get.length === 0 ? [...elements] : [];
    for (const element of elements)
      for (const pattern of get) found.push(lookUp(call, pattern, element));
    if (destination === undefined) {
      call.reply.array(found.length);
      for (const one of found) call.reply.bulkOrNull(one);
      return;
    }
    if (found.length > 0) {
      const list = new List(call.keyspace.version);
      for (const one of found) list.push(one ?? "", false);
      call.db.replace(destination, list);
      call.changed("l", "sortstore", destination);
    } else if (call.db.delete(destination)) call.changed("g", "del", destination);
    call.reply.integer(found.length);
  };
}

/** The last `STORE` counts. */
/** The first option by which a request may read any key at all; none if it is refused before that. */
export function optionReadingAny(args: readonly string[]): "BY" | "GET" | undefined {
  const found: ("BY" | "GET")[] = [];
  try {
    requestIn(args, args[0]?.toLowerCase() === "sort_ro", (option) => void found.push(option));
  } catch (thrown) {
    if (!(thrown instanceof Refusal)) throw thrown;
  }
  return found[0];
}

/** As it is read: what stands behind `BY`, say, is no option. Of several places to store to, the last. */
function sortKeys(args: readonly string[]): readonly number[] {
  let stored: number | undefined;
  for (let i = 2; i + 1 < args.length; i += 1) {
    const word = (args[i] as string).toUpperCase();
    if (word === "STORE") stored = i + 1;
    i += WORDS_BEHIND[word] ?? 0;
  }
  return stored === undefined ? [1] : [1, stored];
}

const WORDS_BEHIND: Readonly<Record<string, number>> = { STORE: 1, BY: 1, GET: 1, LIMIT: 2 };

export const sortCommands: readonly Command[] = [
  {
    ...{ name: "sort", arity: -2, flags: ["write", "denyoom"], keys: sortKeys, group: "generic" },
    since: "1.0.0",
    summary: "Sort the elements in a list, set or sorted set",
    run: sort(false),
  },
  {
    ...{ name: "sort_ro", arity: -2, flags: ["readonly"], keys: [1, 1, 1], group: "generic" },
    since: "7.0.0",
    summary: "Sort the elements in a list, set or sorted set. Read-only variant of SORT.",
    run: sort(true),
  },
];
