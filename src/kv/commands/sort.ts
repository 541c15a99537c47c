/** `SORT`. */

import { indexIn } from "../arguments.ts";
import { type Call, type Command, Refusal, SYNTAX, WRONG_TYPE } from "../command.ts";
import { parseFloat64 } from "../numbers.ts";
import type { Value } from "../value.ts";
import { List } from "../values/list.ts";

interface SortRequest {
  readonly by: string | undefined;
  readonly get: readonly string[];
  readonly limit: readonly [offset: number, count: number] | undefined;
  readonly isDescending: boolean;
  readonly isAlpha: boolean;
  readonly destination: string | undefined;
}

function requestIn(args: readonly string[], isReadOnly: boolean): SortRequest {
  let by: string | undefined;
  const get: string[] = [];
  let limit: readonly [number, number] | undefined;
  let [isDescending, isAlpha] = [false, false];
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
      by = args[i];
    } else if (word === "GET" && left >= 1) {
      i += 1;
      get.push(args[i] as string);
    } else throw new Refusal(SYNTAX);
  }
  return { by, get, limit, isDescending, isAlpha, destination };
}

/** What a pattern stands for, given an element: a key, or a field of one. */
function lookUp(call: Call, pattern: string, element: string): string | undefined {
  if (pattern === "#") return element;
  const star = pattern.indexOf("*");
  if (star < 0) return undefined;
  const arrow = pattern.indexOf("->", star);
  const hasField = arrow >= 0 && arrow + 2 < pattern.length;
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
    if (value.type === "set") return [...value.members.keys()];
    if (value.type === "zset") return value.range(0, value.size).map(([member]) => member);
  }
  throw new Refusal(WRONG_TYPE);
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

function sorted(call: Call, request: SortRequest, value: Value | undefined): readonly string[] {
  const { by, isDescending, isAlpha, limit } = request;
  let elements = elementsOf(value);
  const isSet = value !== undefined && typeof value !== "string" && value.type === "set";
  // Without a star, the weight of all is the same: they stay as they are. But what is stored or counted out must be in some order.
  const stays = by !== undefined && !by.includes("*") && !(isSet && request.destination);
  if (stays) {
    if (isDescending && !isSet) elements.reverse();
  } else {
    const usesBy = by?.includes("*") ?? false;
    const weights = new Map<string, string | undefined>();
    for (const element of elements)
      weights.set(element, usesBy ? lookUp(call, by as string, element) : element);
    const numbers = new Map<string, number>();
    if (!isAlpha && !(isSet && by !== undefined && !usesBy))
      for (const [element, weight] of weights) {
        const number = weight?.trimStart() ? parseFloat64(weight.trimStart()) : 0;
        if (number === undefined)
          throw new Refusal("ERR One or more scores can't be converted into double");
        numbers.set(element, number);
      }
    const order = (a: string, b: string): number => {
      let found = 0;
      if (numbers.size > 0) found = (numbers.get(a) as number) - (numbers.get(b) as number) || 0;
      else {
        const [x, y] = [weights.get(a), weights.get(b)];
        found =
          x === undefined || y === undefined
            ? Number(x !== undefined) - Number(y !== undefined)
            : compare(x, y);
      }
      // Of equal weight, those that were compared by numbers are put in order as texts.
      if (found === 0 && numbers.size > 0) found = compare(a, b);
      return isDescending ? -found : found;
    };
    elements = elements.sort(order);
  }
  if (!limit) return elements;
  const [offset, count] = limit;
  const from = Math.max(0, offset);
  return elements.slice(from, count < 0 ? elements.length : from + count);
}

function sort(isReadOnly: boolean) {
  return (call: Call, args: readonly string[]): void => {
    const request = requestIn(args, isReadOnly);
    const value = call.db.get(args[1] as string);
    const elements = sorted(call, request, value);
    const { get, destination } = request;
    const found = elements.flatMap((element) =>
      get.length === 0 ? [element] : get.map((pattern) => lookUp(call, pattern, element)),
    );
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
function sortKeys(args: readonly string[]): readonly number[] {
  let stored: number | undefined;
  for (let i = 2; i + 1 < args.length; i += 1)
    if ((args[i] as string).toUpperCase() === "STORE") stored = i + 1;
  return stored === undefined ? [1] : [1, stored];
}

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
