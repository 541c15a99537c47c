/** Commands of sets. */

import { rangeIn } from "../arguments.ts";
import { asType, type Call, type Command, numbered, Refusal, SYNTAX } from "../command.ts";
import { SetValue } from "../values/set-value.ts";
import { Table } from "../values/table.ts";
import { chanceCount, chosenByChance } from "./chance.ts";
import { scanTable } from "./keys.ts";

const look = (call: Call, key: string): SetValue | undefined =>
  asType<SetValue>(call.db.get(key), "set");
const toChange = (call: Call, key: string): SetValue | undefined =>
  asType<SetValue>(call.db.change(key), "set");

function made(call: Call, key: string): SetValue {
  const there = toChange(call, key);
  if (there) return there;
  const set = new SetValue(call.keyspace.version);
  call.db.put(key, set);
  return set;
}

function dropEmpty(call: Call, key: string, set: SetValue): void {
  if (set.size > 0) return;
  call.db.delete(key);
  call.changed("g", "del", key);
}

function add(call: Call, args: readonly string[]): void {
  const key = args[1] as string;
  const set = made(call, key);
  let added = 0;
  for (let i = 2; i < args.length; i += 1) if (set.add(args[i] as string)) added += 1;
  if (added > 0) call.changed("s", "sadd", key);
  call.reply.integer(added);
}

function remove(call: Call, args: readonly string[]): void {
  const key = args[1] as string;
  const set = toChange(call, key);
  let removed = 0;
  if (set) for (const member of args.slice(2)) if (set.delete(member)) removed += 1;
  if (set && removed > 0) {
    call.changed("s", "srem", key);
    dropEmpty(call, key, set);
  }
  call.reply.integer(removed);
}

function areMembers(call: Call, args: readonly string[]): void {
  const set = look(call, args[1] as string);
  call.reply.array(args.length - 2);
  for (const member of args.slice(2)) call.reply.integer(set?.has(member) ? 1 : 0);
}

/** All of them are in the order of the set. */
function chosenFrom(set: SetValue, count: number, call: Call): readonly string[] {
  return count >= set.size ? set.list() : chosenByChance(set.members, count, call.random);
}

function pop(call: Call, args: readonly string[]): void {
  const [, key = "", given] = args;
  if (args.length > 3) throw new Refusal(SYNTAX);
  const count =
    given === undefined
      ? undefined
      : rangeIn(given, 0, 2 ** 63, "ERR value is out of range, must be positive");
  const there = look(call, key);
  if (!there) {
    if (count === undefined) call.reply.null();
    else call.reply.set(0);
    return;
  }
  if (count === 0) {
    call.reply.set(0);
    return;
  }
  const chosen = chosenFrom(there, count ?? 1, call);
  const isAll = chosen.length === there.size;
  if (isAll) call.db.delete(key);
  else {
    const set = toChange(call, key);
    for (const member of chosen) set?.delete(member);
  }
  call.changed("s", "spop", key);
  if (isAll) call.changed("g", "del", key);
  if (count === undefined) call.reply.bulk(chosen[0] as string);
  else {
    call.reply.set(chosen.length);
    for (const member of chosen) call.reply.bulk(member);
  }
}

function random(call: Call, args: readonly string[]): void {
  const [, key = "", given] = args;
  if (args.length > 3) throw new Refusal(SYNTAX);
  if (given === undefined) {
    const members = look(call, key)?.members;
    call.reply.bulkOrNull(members?.random((limit) => call.random.below(limit)));
    return;
  }
  const count = chanceCount(given, false);
  const set = look(call, key);
  call.reply.bulks(set ? chosenFrom(set, count, call) : []);
}

function move(call: Call, args: readonly string[]): void {
  const [, from = "", to = "", member = ""] = args;
  const source = look(call, from);
  if (!source) {
    call.reply.integer(0);
    return;
  }
  const target = look(call, to);
  if (source === target || from === to) {
    call.reply.integer(source.has(member) ? 1 : 0);
    return;
  }
  if (!source.has(member)) {
    call.reply.integer(0);
    return;
  }
  const left = toChange(call, from) as SetValue;
  left.delete(member);
  call.changed("s", "srem", from);
  dropEmpty(call, from, left);
  if (made(call, to).add(member)) call.changed("s", "sadd", to);
  call.reply.integer(1);
}

type Sets = readonly (SetValue | undefined)[];

/** Looks through the smallest. What is asked for again need not be looked into again. */
function intersection(sets: Sets, limit: number = Number.POSITIVE_INFINITY): readonly string[] {
  const [smallest, ...others] = [...new Set(sets)].sort((a, b) => (a?.size ?? 0) - (b?.size ?? 0));
  const found: string[] = [];
  if (!smallest) return found;
  for (const member of smallest.list()) {
    if (found.length >= limit) break;
    if (others.every((set) => set?.has(member))) found.push(member);
  }
  return found;
}

function intersectionSet(sets: Sets, version: number): SetValue {
  const result = new SetValue(version);
  for (const member of intersection(sets)) result.add(member);
  return result;
}

function union(sets: Sets, version: number): SetValue {
  const result = new SetValue(version);
  for (const set of new Set(sets)) for (const member of set?.list() ?? []) result.add(member);
  return result;
}

/** As Redis does it, in one of two ways: whether the result counts as one of numbers depends on that. */
function difference([first, ...rest]: Sets, version: number): SetValue {
  const result = new SetValue(version);
  if (!first || rest.includes(first)) return result;
  let [oneByOne, together] = [first.size / 2, first.size];
  for (const set of rest)
    if (set) {
      oneByOne += first.size / 2;
      together += set.size;
    }
  const others = new Set(rest);
  if (Math.floor(oneByOne) <= together) {
    const sets = [...others];
    for (const member of first.list())
      if (!sets.some((set) => set?.has(member))) result.add(member);
    return result;
  }
  for (const member of first.list()) result.add(member);
  for (const set of others) for (const member of set?.list() ?? []) result.delete(member);
  return result;
}

function combine(how: (sets: Sets, version: number) => readonly string[]) {
  return (call: Call, args: readonly string[]): void => {
    const sets = args.slice(1).map((key) => look(call, key));
    const members = how(sets, call.keyspace.version);
    call.reply.set(members.length);
    for (const member of members) call.reply.bulk(member);
  };
}

function combineInto(how: (sets: Sets, version: number) => SetValue, event: string) {
  return (call: Call, args: readonly string[]): void => {
    const key = args[1] as string;
    const sets = args.slice(2).map((one) => look(call, one));
    const result = how(sets, call.keyspace.version);
    const { size } = result;
    if (size > 0) {
      call.db.replace(key, result);
      call.changed("s", event, key);
    } else if (call.db.delete(key)) call.changed("g", "del", key);
    call.reply.integer(size);
  };
}

function intersectionCard(call: Call, args: readonly string[]): void {
  const count = rangeIn(args[1], 1, 2 ** 63, "ERR numkeys should be greater than 0");
  const end = 2 + count;
  if (end > args.length)
    throw new Refusal("ERR Number of keys can't be greater than number of args");
  let limit = 0;
  for (let i = end; i < args.length; i += 2) {
    if ((args[i] as string).toUpperCase() !== "LIMIT" || i + 1 >= args.length)
      throw new Refusal(SYNTAX);
    limit = rangeIn(args[i + 1], 0, 2 ** 64, "ERR LIMIT can't be negative");
  }
  const sets = args.slice(2, end).map((key) => look(call, key));
  call.reply.integer(intersection(sets, limit || undefined).length);
}

/** One of few members, in their order. */
function tableOf(members: readonly string[]): Table<true> {
  const table = new Table<true>(0);
  for (const member of members) table.set(member, true);
  return table;
}

function scan(call: Call, args: readonly string[]): void {
  scanTable(
    call,
    args,
    (key) => {
      const set = look(call, key);
      return set?.encoding === "intset" ? tableOf(set.list()) : set?.members;
    },
    (found, member) => found.push(member),
  );
}

const KEY = [1, 1, 1] as const;
const ALL = [1, -1, 1] as const;
const READ = ["readonly"] as const;
const FAST_READ = ["readonly", "fast"] as const;
const WRITE = ["write", "denyoom"] as const;
const FAST_WRITE = ["write", "fast"] as const;

export const setCommands: readonly Command[] = [
  {
    ...{ name: "sadd", arity: -3, flags: [...WRITE, "fast"], keys: KEY, group: "set" },
    since: "1.0.0",
    summary: "Add one or more members to a set",
    run: add,
  },
  {
    ...{ name: "srem", arity: -3, flags: FAST_WRITE, keys: KEY, group: "set", since: "1.0.0" },
    summary: "Remove one or more members from a set",
    run: remove,
  },
  {
    ...{ name: "sismember", arity: 3, flags: FAST_READ, keys: KEY, group: "set", since: "1.0.0" },
    summary: "Determine if a given value is a member of a set",
    run: (call, args) =>
      call.reply.integer(look(call, args[1] as string)?.has(args[2] as string) ? 1 : 0),
  },
  {
    ...{ name: "smismember", arity: -3, flags: FAST_READ, keys: KEY, group: "set" },
    since: "6.2.0",
    summary: "Returns the membership associated with the given elements for a set",
    run: areMembers,
  },
  {
    ...{ name: "scard", arity: 2, flags: FAST_READ, keys: KEY, group: "set", since: "1.0.0" },
    summary: "Get the number of members in a set",
    run: (call, args) => call.reply.integer(look(call, args[1] as string)?.size ?? 0),
  },
  {
    ...{ name: "smembers", arity: 2, flags: READ, keys: KEY, group: "set", since: "1.0.0" },
    summary: "Get all the members in a set",
    run: combine(([set]) => set?.list() ?? []),
  },
  {
    ...{ name: "spop", arity: -2, flags: FAST_WRITE, keys: KEY, group: "set", since: "1.0.0" },
    summary: "Remove and return one or multiple random members from a set",
    run: pop,
  },
  {
    ...{ name: "srandmember", arity: -2, flags: READ, keys: KEY, group: "set", since: "1.0.0" },
    summary: "Get one or multiple random members from a set",
    run: random,
  },
  {
    ...{ name: "smove", arity: 4, flags: FAST_WRITE, keys: [1, 2, 1], group: "set" },
    since: "1.0.0",
    summary: "Move a member from one set to another",
    run: move,
  },
  {
    ...{ name: "sinter", arity: -2, flags: READ, keys: ALL, group: "set", since: "1.0.0" },
    summary: "Intersect multiple sets",
    run: combine((sets) => intersection(sets)),
  },
  {
    ...{ name: "sunion", arity: -2, flags: READ, keys: ALL, group: "set", since: "1.0.0" },
    summary: "Add multiple sets",
    run: combine((sets, version) => union(sets, version).list()),
  },
  {
    ...{ name: "sdiff", arity: -2, flags: READ, keys: ALL, group: "set", since: "1.0.0" },
    summary: "Subtract multiple sets",
    run: combine((sets, version) => difference(sets, version).list()),
  },
  {
    ...{ name: "sinterstore", arity: -3, flags: WRITE, keys: ALL, group: "set", since: "1.0.0" },
    summary: "Intersect multiple sets and store the resulting set in a key",
    run: combineInto(intersectionSet, "sinterstore"),
  },
  {
    ...{ name: "sunionstore", arity: -3, flags: WRITE, keys: ALL, group: "set", since: "1.0.0" },
    summary: "Add multiple sets and store the resulting set in a key",
    run: combineInto(union, "sunionstore"),
  },
  {
    ...{ name: "sdiffstore", arity: -3, flags: WRITE, keys: ALL, group: "set", since: "1.0.0" },
    summary: "Subtract multiple sets and store the resulting set in a key",
    run: combineInto(difference, "sdiffstore"),
  },
  {
    name: "sintercard",
    arity: -3,
    flags: READ,
    keys: numbered(1),
    group: "set",
    since: "7.0.0",
    summary: "Intersect multiple sets and return the cardinality of the result",
    run: intersectionCard,
  },
  {
    ...{ name: "sscan", arity: -3, flags: READ, keys: KEY, group: "set", since: "2.8.0" },
    summary: "Incrementally iterate Set elements",
    run: scan,
  },
];
