/** Commands of keys, whatever they have. */

import { deadlineIn, indexIn } from "../arguments.ts";
import { type Call, type Command, NO_KEY, Refusal, SYNTAX } from "../command.ts";
import { matches } from "../glob.ts";
import { copyOfValue, DATABASES, type Database } from "../keyspace.ts";
import { INT64_MAX, parseInteger } from "../numbers.ts";
import { SLOTS } from "../slot.ts";
import { typeOf, type Value } from "../value.ts";
import type { Table } from "../values/table.ts";
import { help } from "./help.ts";

const NO_DB = "ERR DB index is out of range";
/** Redis' `embstr` ends here. */
const EMBEDDED_BYTES = 44;

function remove(call: Call, args: readonly string[]): void {
  let count = 0;
  for (let i = 1; i < args.length; i += 1) {
    const key = args[i] as string;
    if (!call.db.delete(key)) continue;
    call.changed("g", "del", key);
    count += 1;
  }
  call.reply.integer(count);
}

function count(call: Call, args: readonly string[]): void {
  let found = 0;
  for (let i = 1; i < args.length; i += 1) if (call.db.has(args[i] as string)) found += 1;
  call.reply.integer(found);
}

function type(call: Call, args: readonly string[]): void {
  const value = call.db.get(args[1] as string);
  call.reply.simple(value === undefined ? "none" : typeOf(value));
}

function expire(name: string, unit: 1 | 1000, isAbsolute: boolean) {
  return (call: Call, args: readonly string[]): void => {
    const [, key = "", given] = args;
    const options = new Set(args.slice(3).map((word) => word.toUpperCase()));
    for (const [i, option] of args.slice(3).entries())
      if (!["NX", "XX", "GT", "LT"].includes(option.toUpperCase()))
        throw new Refusal(`ERR Unsupported option ${args[3 + i]}`);
    if (options.has("NX") && options.size > 1)
      throw new Refusal("ERR NX and XX, GT or LT options at the same time are not compatible");
    if (options.has("GT") && options.has("LT"))
      throw new Refusal("ERR GT and LT options at the same time are not compatible");
    const deadline = deadlineIn(given, unit, isAbsolute ? 0 : call.nowMs, name);
    const { db, reply } = call;
    if (!db.has(key)) {
      reply.integer(0);
      return;
    }
    const was = db.deadline(key);
    const isKept =
      (options.has("NX") && was !== undefined) ||
      (options.has("XX") && was === undefined) ||
      (options.has("GT") && (was === undefined || deadline <= was)) ||
      (options.has("LT") && was !== undefined && deadline >= was);
    if (isKept) {
      reply.integer(0);
      return;
    }
    if (deadline <= call.nowMs) {
      db.delete(key);
      call.changed("g", "del", key);
    } else {
      db.setDeadline(key, deadline);
      call.changed("g", "expire", key);
    }
    reply.integer(1);
  };
}

/** @param unit of the reply: rounded, as Redis does */
function timeLeft(unit: 1 | 1000, isAbsolute: boolean) {
  return (call: Call, args: readonly string[]): void => {
    const key = args[1] as string;
    if (!call.db.has(key)) {
      call.reply.integer(-2);
      return;
    }
    const deadline = call.db.deadline(key);
    if (deadline === undefined) call.reply.integer(-1);
    else {
      const ms = isAbsolute ? deadline : Math.max(0, deadline - call.nowMs);
      call.reply.integer(unit === 1 ? ms : Math.floor((ms + 500) / 1000));
    }
  };
}

function persist(call: Call, args: readonly string[]): void {
  const key = args[1] as string;
  const isDone = call.db.has(key) && call.db.deadline(key) !== undefined;
  if (isDone) {
    call.db.setDeadline(key, undefined);
    call.changed("g", "persist", key);
  }
  call.reply.integer(isDone ? 1 : 0);
}

function keys(call: Call, args: readonly string[]): void {
  const pattern = args[1] as string;
  const found: string[] = [];
  for (const key of call.db.keys()) if (pattern === "*" || matches(pattern, key)) found.push(key);
  call.reply.bulks(found);
}

/** Options of `SCAN` and its relatives. */
interface ScanOptions {
  readonly count: number;
  readonly pattern: string | undefined;
  readonly type: string | undefined;
}

/** As C's `strtoul` reads it. */
function cursorIn(text: string): number {
  const [given = ""] = text.split("\0", 1);
  if (given === "") return 0;
  const [, sign, digits] = /^([+-]?)0*(\d{1,20})$/.exec(given) ?? [];
  const value = BigInt(digits ?? 2n ** 64n);
  if (value >= 2n ** 64n) throw new Refusal("ERR invalid cursor");
  return Number(sign === "-" ? BigInt.asUintN(64, -value) : value);
}

/** @param from where options begin, behind the cursor */
function scanOptions(args: readonly string[], from: number, hasType: boolean): ScanOptions {
  let count = 10;
  let pattern: string | undefined;
  let type: string | undefined;
  for (let i = from; i < args.length; i += 2) {
    const word = (args[i] as string).toUpperCase();
    const value = args[i + 1];
    if (value === undefined) throw new Refusal(SYNTAX);
    if (word === "COUNT") {
      count = indexIn(value);
      if (count < 1) throw new Refusal(SYNTAX);
    } else if (word === "MATCH") pattern = value === "*" ? undefined : value;
    else if (word === "TYPE" && hasType) type = value.toLowerCase();
    else throw new Refusal(SYNTAX);
  }
  return { count, pattern, type };
}

/** The cursor is the slot that comes next; a slot is given whole. So what is there all the time is given, whatever happens meanwhile. */
function scan(call: Call, args: readonly string[]): void {
  let slot = cursorIn(args[1] as string);
  const { count, pattern, type } = scanOptions(args, 2, true);
  const found: string[] = [];
  let seen = 0;
  // Empty slots cost little, but not nothing.
  for (let looked = 0; slot < SLOTS && seen < count && looked < SLOTS; looked += 1) {
    for (const key of call.db.slotKeys(slot)) {
      seen += 1;
      if (pattern !== undefined && !matches(pattern, key)) continue;
      if (type !== undefined && typeOf(call.db.get(key) as Value) !== type) continue;
      found.push(key);
    }
    slot += 1;
  }
  call.reply.array(2);
  call.reply.bulk(String(slot < SLOTS ? slot : 0));
  call.reply.bulks(found);
}

/**
 * `SCAN` within a key. The cursor is the part of the table that comes next; a part is given whole.
 * @param add what is said of an entry
 * @param inOrder in which order those of a part are given, if that in which they came is not known any more
 */
export function scanTable<V>(
  call: Call,
  args: readonly string[],
  tableOf: (key: string) => Table<V> | undefined,
  add: (found: string[], key: string, value: V) => void,
  inOrder?: (a: readonly [string, V], b: readonly [string, V]) => number,
): void {
  const cursor = cursorIn(args[2] as string);
  const table = tableOf(args[1] as string);
  const found: string[] = [];
  let next = 0;
  // Redis reads no options for what is not there.
  if (table !== undefined) {
    const { count, pattern } = scanOptions(args, 3, false);
    // What is small is given at once, whatever the cursor.
    let part = table.parts === 1 ? 0 : cursor;
    for (let seen = 0; part < table.parts && seen < count; part += 1) {
      const entries = table.partEntries(part);
      for (const [key, value] of inOrder ? [...entries].sort(inOrder) : entries) {
        seen += 1;
        if (pattern === undefined || matches(pattern, key)) add(found, key, value);
      }
    }
    if (part < table.parts) next = part;
  }
  call.reply.array(2);
  call.reply.bulk(String(next));
  call.reply.bulks(found);
}

function randomKey(call: Call): void {
  const { db, random } = call;
  const from = random.below(SLOTS);
  for (let i = 0; i < SLOTS; i += 1) {
    const found = db.slotKeys((from + i) % SLOTS);
    if (found.length === 0) continue;
    call.reply.bulk(random.pick(found) ?? "");
    return;
  }
  call.reply.null();
}

function rename(isNew: boolean) {
  return (call: Call, args: readonly string[]): void => {
    const [, from = "", to = ""] = args;
    const { db, reply } = call;
    // As one to be changed: nobody else may need it as it is, in another place.
    const value = db.change(from);
    if (value === undefined) throw new Refusal(NO_KEY);
    const isDone = !(isNew && db.has(to));
    if (isDone && from !== to) {
      const deadline = db.deadline(from);
      db.delete(from);
      db.replace(to, value);
      if (deadline !== undefined) db.setDeadline(to, deadline);
      call.changed("g", "rename_from", from);
      call.changed("g", "rename_to", to);
    }
    if (isNew) reply.integer(isDone ? 1 : 0);
    else reply.ok();
  };
}

function databaseIn(call: Call, text: string | undefined, problem: string): [number, Database] {
  const number = parseInteger(text ?? "");
  const database = call.keyspace.databases[Number(number)];
  if (number === undefined) throw new Refusal(problem);
  if (!database) throw new Refusal(NO_DB);
  return [Number(number), database];
}

function move(call: Call, args: readonly string[]): void {
  const key = args[1] as string;
  const [number, to] = databaseIn(call, args[2], "ERR value is not an integer or out of range");
  const { db, reply } = call;
  if (to === db) throw new Refusal("ERR source and destination objects are the same");
  const value = db.change(key);
  if (value === undefined || to.has(key)) {
    reply.integer(0);
    return;
  }
  const deadline = db.deadline(key);
  db.delete(key);
  to.replace(key, value);
  if (deadline !== undefined) to.setDeadline(key, deadline);
  call.changed("g", "move_from", key);
  call.changed("g", "move_to", key, number);
  reply.integer(1);
}

function copy(call: Call, args: readonly string[]): void {
  const [, from = "", to = ""] = args;
  let [number, target] = [call.dbNumber, call.db];
  let replaces = false;
  for (let i = 3; i < args.length; i += 1) {
    const word = (args[i] as string).toUpperCase();
    if (word === "REPLACE") replaces = true;
    else if (word === "DB" && i + 1 < args.length) {
      i += 1;
      [number, target] = databaseIn(call, args[i], "ERR value is not an integer or out of range");
    } else throw new Refusal(SYNTAX);
  }
  if (target === call.db && from === to)
    throw new Refusal("ERR source and destination objects are the same");
  const value = call.db.get(from);
  if (value === undefined || (!replaces && target.has(to))) {
    call.reply.integer(0);
    return;
  }
  const deadline = call.db.deadline(from);
  target.replace(to, copyOfValue(value, call.keyspace.version));
  if (deadline !== undefined) target.setDeadline(to, deadline);
  call.changed("g", "copy_to", to, number);
  call.reply.integer(1);
}

function flush(all: boolean) {
  return (call: Call, args: readonly string[]): void => {
    const mode = args[1]?.toUpperCase();
    if (args.length > 2 || (mode !== undefined && mode !== "SYNC" && mode !== "ASYNC"))
      throw new Refusal(SYNTAX);
    for (let number = 0; number < DATABASES; number += 1) {
      const database = call.keyspace.databases[number] as Database;
      if (!all && database !== call.db) continue;
      call.changedAll(number);
      const { isApart } = call.keyspace;
      if (number > 0 || !isApart) database.clear();
      else for (const key of [...database.keys()]) if (!isApart(key)) database.delete(key);
    }
    call.reply.ok();
  };
}

function swapDb(call: Call, args: readonly string[]): void {
  const [one] = databaseIn(call, args[1], "ERR invalid first DB index");
  const [other] = databaseIn(call, args[2], "ERR invalid second DB index");
  if (one !== other) {
    call.keyspace.swap(one, other);
    call.changedAll(one, other);
    call.changedAll(other, one);
  }
  call.reply.ok();
}

function existing(call: Call, key: string | undefined): Value | undefined {
  const value = call.db.get(key as string);
  if (value === undefined) call.reply.null();
  return value;
}

function encoding(value: Value): string {
  if (typeof value !== "string") return value.encoding;
  const number = value.length <= 20 ? parseInteger(value) : undefined;
  if (number !== undefined && BigInt(number) <= INT64_MAX) return "int";
  return value.length <= EMBEDDED_BYTES ? "embstr" : "raw";
}

const ONE = [1, 1, 1] as const;
const ALL = [1, -1, 1] as const;
const FAST_WRITE = ["write", "fast"] as const;
const READ = ["readonly", "fast"] as const;

export const keyCommands: readonly Command[] = [
  {
    ...{ name: "del", arity: -2, flags: ["write"], keys: ALL, group: "generic", since: "1.0.0" },
    summary: "Delete a key",
    run: remove,
  },
  {
    ...{ name: "unlink", arity: -2, flags: FAST_WRITE, keys: ALL, group: "generic" },
    since: "4.0.0",
    summary: "Delete a key asynchronously in another thread. Otherwise it is just as DEL",
    run: remove,
  },
  {
    ...{ name: "exists", arity: -2, flags: READ, keys: ALL, group: "generic", since: "1.0.0" },
    summary: "Determine if a key exists",
    run: count,
  },
  {
    ...{ name: "touch", arity: -2, flags: READ, keys: ALL, group: "generic", since: "3.2.1" },
    summary:
      "Alters the last access time of a key(s). Returns the number of existing keys specified",
    run: count,
  },
  {
    ...{ name: "type", arity: 2, flags: READ, keys: ONE, group: "generic", since: "1.0.0" },
    summary: "Determine the type stored at key",
    run: type,
  },
  {
    ...{ name: "expire", arity: -3, flags: FAST_WRITE, keys: ONE, group: "generic" },
    since: "1.0.0",
    summary: "Set a key's time to live in seconds",
    run: expire("expire", 1000, false),
  },
  {
    ...{ name: "pexpire", arity: -3, flags: FAST_WRITE, keys: ONE, group: "generic" },
    since: "2.6.0",
    summary: "Set a key's time to live in milliseconds",
    run: expire("pexpire", 1, false),
  },
  {
    ...{ name: "expireat", arity: -3, flags: FAST_WRITE, keys: ONE, group: "generic" },
    since: "1.2.0",
    summary: "Set the expiration for a key as a UNIX timestamp",
    run: expire("expireat", 1000, true),
  },
  {
    ...{ name: "pexpireat", arity: -3, flags: FAST_WRITE, keys: ONE, group: "generic" },
    since: "2.6.0",
    summary: "Set the expiration for a key as a UNIX timestamp specified in milliseconds",
    run: expire("pexpireat", 1, true),
  },
  {
    ...{ name: "ttl", arity: 2, flags: READ, keys: ONE, group: "generic", since: "1.0.0" },
    summary: "Get the time to live for a key in seconds",
    run: timeLeft(1000, false),
  },
  {
    ...{ name: "pttl", arity: 2, flags: READ, keys: ONE, group: "generic", since: "2.6.0" },
    summary: "Get the time to live for a key in milliseconds",
    run: timeLeft(1, false),
  },
  {
    ...{ name: "expiretime", arity: 2, flags: READ, keys: ONE, group: "generic", since: "7.0.0" },
    summary: "Get the expiration Unix timestamp for a key",
    run: timeLeft(1000, true),
  },
  {
    ...{ name: "pexpiretime", arity: 2, flags: READ, keys: ONE, group: "generic", since: "7.0.0" },
    summary: "Get the expiration Unix timestamp for a key in milliseconds",
    run: timeLeft(1, true),
  },
  {
    ...{ name: "persist", arity: 2, flags: FAST_WRITE, keys: ONE, group: "generic" },
    since: "2.2.0",
    summary: "Remove the expiration from a key",
    run: persist,
  },
  {
    ...{ name: "keys", arity: 2, flags: ["readonly"], group: "generic", since: "1.0.0" },
    summary: "Find all keys matching the given pattern",
    run: keys,
  },
  {
    ...{ name: "scan", arity: -2, flags: ["readonly"], group: "generic", since: "2.8.0" },
    summary: "Incrementally iterate the keys space",
    run: scan,
  },
  {
    ...{ name: "randomkey", arity: 1, flags: ["readonly"], group: "generic", since: "1.0.0" },
    summary: "Return a random key from the keyspace",
    run: randomKey,
  },
  {
    ...{ name: "rename", arity: 3, flags: ["write"], keys: [1, 2, 1], group: "generic" },
    since: "1.0.0",
    summary: "Rename a key",
    run: rename(false),
  },
  {
    ...{ name: "renamenx", arity: 3, flags: FAST_WRITE, keys: [1, 2, 1], group: "generic" },
    since: "1.0.0",
    summary: "Rename a key, only if the new key does not exist",
    run: rename(true),
  },
  {
    ...{ name: "move", arity: 3, flags: FAST_WRITE, keys: ONE, group: "generic", since: "1.0.0" },
    summary: "Move a key to another database",
    run: move,
  },
  {
    ...{ name: "copy", arity: -3, flags: ["write", "denyoom"], keys: [1, 2, 1], group: "generic" },
    since: "6.2.0",
    summary: "Copy a key",
    run: copy,
  },
  {
    ...{ name: "dbsize", arity: 1, flags: READ, group: "server", since: "1.0.0" },
    summary: "Return the number of keys in the selected database",
    run: (call) => call.reply.integer(call.db.size),
  },
  {
    ...{ name: "flushdb", arity: -1, flags: ["write"], group: "server", since: "1.0.0" },
    summary: "Remove all keys from the current database",
    run: flush(false),
  },
  {
    ...{ name: "flushall", arity: -1, flags: ["write"], group: "server", since: "1.0.0" },
    summary: "Remove all keys from all databases",
    run: flush(true),
  },
  {
    ...{ name: "swapdb", arity: 3, flags: FAST_WRITE, group: "server", since: "4.0.0" },
    summary: "Swaps two Redis databases",
    run: swapDb,
  },
  {
    name: "object",
    arity: -2,
    flags: [],
    group: "generic",
    since: "2.2.3",
    summary: "A container for object introspection commands",
    run: () => {},
    subcommands: [
      {
        ...{ name: "encoding", arity: 3, flags: ["readonly"], keys: [2, 2, 1], group: "generic" },
        since: "2.2.3",
        summary: "Inspect the internal encoding of a Redis object",
        run: (call, args) => {
          const value = existing(call, args[2]);
          if (value !== undefined) call.reply.bulk(encoding(value));
        },
      },
      {
        ...{ name: "refcount", arity: 3, flags: ["readonly"], keys: [2, 2, 1], group: "generic" },
        since: "2.2.3",
        summary: "Get the number of references to the value of the key",
        run: (call, args) => {
          if (existing(call, args[2]) !== undefined) call.reply.integer(1);
        },
      },
      {
        ...{ name: "idletime", arity: 3, flags: ["readonly"], keys: [2, 2, 1], group: "generic" },
        since: "2.2.3",
        summary: "Get the time since a Redis object was last accessed",
        run: (call, args) => {
          if (existing(call, args[2]) !== undefined) call.reply.integer(0);
        },
      },
      {
        ...{ name: "freq", arity: 3, flags: ["readonly"], keys: [2, 2, 1], group: "generic" },
        since: "4.0.0",
        summary: "Get the logarithmic access frequency counter of a Redis object",
        run: (call, args) => {
          if (existing(call, args[2]) !== undefined)
            throw new Refusal(
              "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note " +
                "that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
            );
        },
      },
      {
        ...{ name: "help", arity: 2, flags: ["loading", "stale"], group: "generic" },
        since: "6.2.0",
        summary: "Show helpful text about the different subcommands",
        run: help("OBJECT", [
          "ENCODING <key>",
          "    Return the kind of internal representation used in order to store the value",
          "    associated with a <key>.",
          "FREQ <key>",
          "    Return the access frequency index of the <key>. The returned integer is",
          "    proportional to the logarithm of the recent access frequency of the key.",
          "IDLETIME <key>",
          "    Return the idle time of the <key>, that is the approximated number of",
          "    seconds elapsed since the last access to the key.",
          "REFCOUNT <key>",
          "    Return the number of references of the value associated with the specified",
          "    <key>.",
        ]),
      },
    ],
  },
];

/** A number of a database. */
export function databaseNumber(text: string | undefined): number {
  const number = indexIn(text);
  if (number < 0 || number >= DATABASES) throw new Refusal(NO_DB);
  return number;
}
