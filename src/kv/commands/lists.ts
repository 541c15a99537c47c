/** Commands of lists. */

import { indexIn, integerIn, rangeIn, timeoutIn } from "../arguments.ts";
import { asType, type Call, type Command, NO_KEY, numbered, Refusal, SYNTAX } from "../command.ts";
import { INT64_MIN } from "../numbers.ts";
import type { Reply } from "../reply.ts";
import { List } from "../values/list.ts";

const look = (call: Call, key: string): List | undefined => asType<List>(call.db.get(key), "list");
const toChange = (call: Call, key: string): List | undefined =>
  asType<List>(call.db.change(key), "list");

/** The list, made if there is none. */
function made(call: Call, key: string): List {
  const there = toChange(call, key);
  if (there) return there;
  const list = new List(call.keyspace.version);
  call.db.put(key, list);
  return list;
}

/** Nothing is left of an empty list. */
function dropEmpty(call: Call, key: string, list: List): void {
  if (list.length > 0) return;
  call.db.delete(key);
  call.changed("g", "del", key);
}

const eventOf = (what: "push" | "pop", atHead: boolean): string => `${atHead ? "l" : "r"}${what}`;

function push(atHead: boolean, isForced: boolean) {
  return (call: Call, args: readonly string[]): void => {
    const key = args[1] as string;
    const there = toChange(call, key);
    if (!there && !isForced) {
      call.reply.integer(0);
      return;
    }
    const list = there ?? made(call, key);
    for (let i = 2; i < args.length; i += 1) list.push(args[i] as string, atHead);
    call.changed("l", eventOf("push", atHead), key);
    call.reply.integer(list.length);
  };
}

/** Takes so many from a list and says so. */
function take(call: Call, key: string, list: List, count: number, fromHead: boolean): string[] {
  const taken: string[] = [];
  while (taken.length < count && list.length > 0) taken.push(list.pop(fromHead) as string);
  call.changed("l", eventOf("pop", fromHead), key);
  dropEmpty(call, key, list);
  return taken;
}

const NOT_POSITIVE = "ERR value is out of range, must be positive";

function pop(fromHead: boolean) {
  return (call: Call, args: readonly string[]): void => {
    const [name = "", key = "", given] = args;
    if (args.length > 3)
      throw new Refusal(`ERR wrong number of arguments for '${name.toLowerCase()}' command`);
    const count = given === undefined ? undefined : rangeIn(given, 0, 2 ** 63, NOT_POSITIVE);
    const list = toChange(call, key);
    if (!list) {
      if (count === undefined) call.reply.null();
      else call.reply.nullArray();
    } else if (count === undefined)
      call.reply.bulk(take(call, key, list, 1, fromHead)[0] as string);
    else if (count === 0) call.reply.array(0);
    else call.reply.bulks(take(call, key, list, count, fromHead));
  };
}

/** From the end, if negative; not below 0. */
const fromEnd = (index: number, length: number): number =>
  index < 0 ? Math.max(0, length + index) : index;

function range(call: Call, args: readonly string[]): void {
  const [start, end] = [indexIn(args[2]), indexIn(args[3])];
  const list = look(call, args[1] as string);
  if (!list) {
    call.reply.array(0);
    return;
  }
  const { length } = list;
  const from = fromEnd(start, length);
  const to = Math.min(length, (end < 0 ? length + end : end) + 1);
  call.reply.bulks(from < to ? list.range(from, to) : []);
}

function trim(call: Call, args: readonly string[]): void {
  const [start, end] = [indexIn(args[2]), indexIn(args[3])];
  const key = args[1] as string;
  const list = toChange(call, key);
  if (list) {
    const { length } = list;
    list.trim(fromEnd(start, length), (end < 0 ? length + end : end) + 1);
    call.changed("l", "ltrim", key);
    dropEmpty(call, key, list);
  }
  call.reply.ok();
}

function index(call: Call, args: readonly string[]): void {
  const list = look(call, args[1] as string);
  if (!list) {
    call.reply.null();
    return;
  }
  const given = indexIn(args[2]);
  const at = given < 0 ? list.length + given : given;
  call.reply.bulkOrNull(at < 0 || at >= list.length ? undefined : list.get(at));
}

function set(call: Call, args: readonly string[]): void {
  const [, key = "", given, element = ""] = args;
  const list = toChange(call, key);
  if (!list) throw new Refusal(NO_KEY);
  const number = indexIn(given);
  const at = number < 0 ? list.length + number : number;
  if (at < 0 || at >= list.length) throw new Refusal("ERR index out of range");
  list.set(at, element);
  call.changed("l", "lset", key);
  call.reply.ok();
}

function insert(call: Call, args: readonly string[]): void {
  const [, key = "", where = "", pivot = "", element = ""] = args;
  const word = where.toUpperCase();
  if (word !== "BEFORE" && word !== "AFTER") throw new Refusal(SYNTAX);
  const list = toChange(call, key);
  if (!list) {
    call.reply.integer(0);
    return;
  }
  const { value: at } = list.find(pivot, true, list.length).next();
  if (at === undefined) {
    call.reply.integer(-1);
    return;
  }
  list.insert(word === "BEFORE" ? (at as number) : (at as number) + 1, element);
  call.changed("l", "linsert", key);
  call.reply.integer(list.length);
}

function remove(call: Call, args: readonly string[]): void {
  const [, key = "", given, element = ""] = args;
  const count = indexIn(given);
  const list = toChange(call, key);
  const limit = count === 0 ? Number.POSITIVE_INFINITY : Math.abs(count);
  const removed = list?.remove(element, limit, count >= 0) ?? 0;
  if (list && removed > 0) {
    call.changed("l", "lrem", key);
    dropEmpty(call, key, list);
  }
  call.reply.integer(removed);
}

function position(call: Call, args: readonly string[]): void {
  const [, key = "", element = ""] = args;
  let rank = 1;
  let count: number | undefined;
  let lookedAt = 0;
  for (let i = 3; i < args.length; i += 2) {
    const word = (args[i] as string).toUpperCase();
    const value = args[i + 1];
    if (value === undefined) throw new Refusal(SYNTAX);
    if (word === "RANK") {
      rank = indexIn(value);
      if (rank === 0)
        throw new Refusal(
          "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... " +
            "or use negative to start from the end of the list",
        );
      // What has no opposite skips nothing.
      if (integerIn(value) === INT64_MIN) rank = -1;
    } else if (word === "COUNT") count = rangeIn(value, 0, 2 ** 64, "ERR COUNT can't be negative");
    else if (word === "MAXLEN")
      lookedAt = rangeIn(value, 0, 2 ** 64, "ERR MAXLEN can't be negative");
    else throw new Refusal(SYNTAX);
  }
  const list = look(call, key);
  const limit = count === undefined ? 1 : count === 0 ? Number.POSITIVE_INFINITY : count;
  const found: number[] = [];
  let skips = Math.abs(rank) - 1;
  for (const at of list?.find(element, rank > 0, lookedAt || list.length) ?? []) {
    if (skips > 0) skips -= 1;
    else found.push(at);
    if (found.length >= limit) break;
  }
  if (count === undefined) {
    if (found[0] === undefined) call.reply.null();
    else call.reply.integer(found[0]);
    return;
  }
  call.reply.array(found.length);
  for (const at of found) call.reply.integer(at);
}

/** Which end a word names: true is the head. */
function endIn(word: string | undefined): boolean {
  const upper = word?.toUpperCase();
  if (upper !== "LEFT" && upper !== "RIGHT") throw new Refusal(SYNTAX);
  return upper === "LEFT";
}

/** False if there is nothing to move. */
function moves(call: Call, from: string, to: string, fromHead: boolean, toHead: boolean): boolean {
  const source = toChange(call, from);
  if (!source) return false;
  // It may be the same list.
  const target = toChange(call, to);
  const element = source.pop(fromHead) as string;
  const destination = target ?? made(call, to);
  destination.push(element, toHead);
  call.changed("l", eventOf("push", toHead), to);
  call.changed("l", eventOf("pop", fromHead), from);
  dropEmpty(call, from, source);
  call.reply.bulk(element);
  return true;
}

/** The keys of a command that has their number first, and where what follows begins. */
function numberedKeys(args: readonly string[], at: number): readonly [string[], number] {
  const count = rangeIn(args[at], 1, 2 ** 63, "ERR numkeys should be greater than 0");
  const end = at + 1 + count;
  if (end > args.length) throw new Refusal(SYNTAX);
  return [args.slice(at + 1, end), end];
}

interface PopRequest {
  readonly keys: readonly string[];
  readonly fromHead: boolean;
  readonly count: number;
}

function multiPopRequest(args: readonly string[], at: number): PopRequest {
  const [keys, end] = numberedKeys(args, at);
  if (end >= args.length) throw new Refusal(SYNTAX);
  const fromHead = endIn(args[end]);
  let count: number | undefined;
  for (let i = end + 1; i < args.length; i += 2) {
    if (
      (args[i] as string).toUpperCase() !== "COUNT" ||
      count !== undefined ||
      i + 1 >= args.length
    )
      throw new Refusal(SYNTAX);
    count = rangeIn(args[i + 1], 1, 2 ** 63, "ERR count should be greater than 0");
  }
  return { keys, fromHead, count: count ?? 1 };
}

function multiPops(call: Call, { keys, fromHead, count }: PopRequest): boolean {
  for (const key of keys) {
    const list = toChange(call, key);
    if (!list) continue;
    const taken = take(call, key, list, count, fromHead);
    call.reply.array(2);
    call.reply.bulk(key);
    call.reply.bulks(taken);
    return true;
  }
  return false;
}

/** `BLPOP` and `BRPOP`. */
function pops(call: Call, keys: readonly string[], fromHead: boolean): boolean {
  for (const key of keys) {
    const list = toChange(call, key);
    if (!list) continue;
    const [element = ""] = take(call, key, list, 1, fromHead);
    call.reply.bulks([key, element]);
    return true;
  }
  return false;
}

/** Waits, if that is possible; else there is nothing. */
function orBlock(
  call: Call,
  isDone: boolean,
  keys: readonly string[],
  timeoutMs: number,
  nothing: (reply: Reply) => void,
): void {
  if (isDone) return;
  if (call.canBlock) call.block(keys, timeoutMs);
  else nothing(call.reply);
}

const noArray = (reply: Reply): void => reply.nullArray();
const noBulk = (reply: Reply): void => reply.null();

/** Something else may be there by now. */
function isList(call: Call, key: string): boolean {
  const value = call.db.get(key);
  return value !== undefined && typeof value !== "string" && value.type === "list";
}

function blockingPop(fromHead: boolean): Pick<Command, "run" | "serve" | "timedOut"> {
  return {
    run(call, args) {
      const timeoutMs = timeoutIn(args.at(-1));
      const keys = args.slice(1, -1);
      orBlock(call, pops(call, keys, fromHead), keys, timeoutMs, noArray);
    },
    serve: (call, _args, key) => isList(call, key) && pops(call, [key], fromHead),
    timedOut: noArray,
  };
}

const KEY = [1, 1, 1] as const;
const TWO = [1, 2, 1] as const;
const WRITE = ["write", "denyoom"] as const;
const FAST = ["write", "fast"] as const;
const FAST_GROWING = ["write", "denyoom", "fast"] as const;
const BLOCKING = ["write", "noscript", "blocking"] as const;

export const listCommands: readonly Command[] = [
  {
    ...{ name: "lpush", arity: -3, flags: FAST_GROWING, keys: KEY, group: "list", since: "1.0.0" },
    summary: "Prepend one or multiple elements to a list",
    run: push(true, true),
  },
  {
    ...{ name: "rpush", arity: -3, flags: FAST_GROWING, keys: KEY, group: "list", since: "1.0.0" },
    summary: "Append one or multiple elements to a list",
    run: push(false, true),
  },
  {
    ...{ name: "lpushx", arity: -3, flags: FAST_GROWING, keys: KEY, group: "list", since: "2.2.0" },
    summary: "Prepend an element to a list, only if the list exists",
    run: push(true, false),
  },
  {
    ...{ name: "rpushx", arity: -3, flags: FAST_GROWING, keys: KEY, group: "list", since: "2.2.0" },
    summary: "Append an element to a list, only if the list exists",
    run: push(false, false),
  },
  {
    ...{ name: "lpop", arity: -2, flags: FAST, keys: KEY, group: "list", since: "1.0.0" },
    summary: "Remove and get the first elements in a list",
    run: pop(true),
  },
  {
    ...{ name: "rpop", arity: -2, flags: FAST, keys: KEY, group: "list", since: "1.0.0" },
    summary: "Remove and get the last elements in a list",
    run: pop(false),
  },
  {
    ...{ name: "llen", arity: 2, flags: ["readonly", "fast"], keys: KEY, group: "list" },
    since: "1.0.0",
    summary: "Get the length of a list",
    run: (call, args) => call.reply.integer(look(call, args[1] as string)?.length ?? 0),
  },
  {
    ...{ name: "lrange", arity: 4, flags: ["readonly"], keys: KEY, group: "list", since: "1.0.0" },
    summary: "Get a range of elements from a list",
    run: range,
  },
  {
    ...{ name: "lindex", arity: 3, flags: ["readonly"], keys: KEY, group: "list", since: "1.0.0" },
    summary: "Get an element from a list by its index",
    run: index,
  },
  {
    ...{ name: "lset", arity: 4, flags: WRITE, keys: KEY, group: "list", since: "1.0.0" },
    summary: "Set the value of an element in a list by its index",
    run: set,
  },
  {
    ...{ name: "linsert", arity: 5, flags: WRITE, keys: KEY, group: "list", since: "2.2.0" },
    summary: "Insert an element before or after another element in a list",
    run: insert,
  },
  {
    ...{ name: "lrem", arity: 4, flags: ["write"], keys: KEY, group: "list", since: "1.0.0" },
    summary: "Remove elements from a list",
    run: remove,
  },
  {
    ...{ name: "ltrim", arity: 4, flags: ["write"], keys: KEY, group: "list", since: "1.0.0" },
    summary: "Trim a list to the specified range",
    run: trim,
  },
  {
    ...{ name: "lpos", arity: -3, flags: ["readonly"], keys: KEY, group: "list", since: "6.0.6" },
    summary: "Return the index of matching elements on a list",
    run: position,
  },
  {
    ...{ name: "lmove", arity: 5, flags: WRITE, keys: TWO, group: "list", since: "6.2.0" },
    summary: "Pop an element from a list, push it to another list and return it",
    run: (call, args) => {
      const [, from = "", to = "", fromEnd, toEnd] = args;
      const [fromHead, toHead] = [endIn(fromEnd), endIn(toEnd)];
      if (!moves(call, from, to, fromHead, toHead)) call.reply.null();
    },
  },
  {
    ...{ name: "rpoplpush", arity: 3, flags: WRITE, keys: TWO, group: "list", since: "1.2.0" },
    summary: "Remove the last element in a list, prepend it to another list and return it",
    run: (call, args) => {
      if (!moves(call, args[1] as string, args[2] as string, false, true)) call.reply.null();
    },
  },
  {
    ...{ name: "lmpop", arity: -4, flags: ["write"], keys: numbered(1), group: "list" },
    since: "7.0.0",
    summary: "Pop elements from a list",
    run: (call, args) => {
      if (!multiPops(call, multiPopRequest(args, 1))) call.reply.nullArray();
    },
  },
  {
    ...{ name: "blpop", arity: -3, flags: BLOCKING, keys: [1, -2, 1], group: "list" },
    since: "2.0.0",
    summary: "Remove and get the first element in a list, or block until one is available",
    ...blockingPop(true),
  },
  {
    ...{ name: "brpop", arity: -3, flags: BLOCKING, keys: [1, -2, 1], group: "list" },
    since: "2.0.0",
    summary: "Remove and get the last element in a list, or block until one is available",
    ...blockingPop(false),
  },
  {
    name: "blmove",
    ...{ arity: 6, flags: [...WRITE, "noscript", "blocking"], keys: TWO, group: "list" },
    since: "6.2.0",
    summary:
      "Pop an element from a list, push it to another list and return it; or block until one is available",
    run(call, args) {
      const [, from = "", to = "", fromEnd, toEnd, timeout] = args;
      const [fromHead, toHead] = [endIn(fromEnd), endIn(toEnd)];
      const timeoutMs = timeoutIn(timeout);
      orBlock(call, moves(call, from, to, fromHead, toHead), [from], timeoutMs, noBulk);
    },
    serve: (call, args, key) =>
      isList(call, key) && moves(call, key, args[2] as string, endIn(args[3]), endIn(args[4])),
    timedOut: noArray,
  },
  {
    name: "brpoplpush",
    ...{ arity: 4, flags: [...WRITE, "noscript", "blocking"], keys: TWO, group: "list" },
    since: "2.2.0",
    summary:
      "Pop an element from a list, push it to another list and return it; or block until one is available",
    run(call, args) {
      const [, from = "", to = "", timeout] = args;
      const timeoutMs = timeoutIn(timeout);
      orBlock(call, moves(call, from, to, false, true), [from], timeoutMs, noBulk);
    },
    serve: (call, args, key) =>
      isList(call, key) && moves(call, key, args[2] as string, false, true),
    timedOut: noArray,
  },
  {
    name: "blmpop",
    ...{ arity: -5, flags: ["write", "blocking"], keys: numbered(2), group: "list" },
    since: "7.0.0",
    summary: "Pop elements from a list, or block until one is available",
    run(call, args) {
      const request = multiPopRequest(args, 2);
      const timeoutMs = timeoutIn(args[1]);
      orBlock(call, multiPops(call, request), request.keys, timeoutMs, noArray);
    },
    serve: (call, args, key) =>
      isList(call, key) && multiPops(call, { ...multiPopRequest(args, 2), keys: [key] }),
    timedOut: noArray,
  },
];
