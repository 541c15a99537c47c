/** Commands of strings. */

import { deadlineIn, indexIn, integerIn, sumOf } from "../arguments.ts";
import { asText, type Call, type Command, Refusal, SYNTAX, WRONG_TYPE } from "../command.ts";
import { addLongDouble } from "../long-double.ts";
import type { Value } from "../value.ts";
import { ByteString } from "../values/byte-string.ts";

/** The longest string: what V8 has room for, a little less than Redis. */
const STRING_BYTES_MAX: number = 512 * 1024 * 1024 - 32;
/** From this length on a string is changed in place. */
export const LONG_BYTES = 1024;

const text = (call: Call, key: string): string | undefined => asText(call.db.get(key));

export function checkLength(bytes: number): void {
  if (bytes > STRING_BYTES_MAX)
    throw new Refusal("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
}

/** A string that can be changed in place; made if there is none. */
export function bytesToChange(call: Call, key: string): ByteString {
  const value = call.db.change(key);
  if (value !== undefined && typeof value !== "string") {
    if (value.type !== "string") throw new Refusal(WRONG_TYPE);
    return value;
  }
  const bytes = new ByteString(call.keyspace.version, value ?? "");
  call.db.put(key, bytes);
  return bytes;
}

function lengthOf(value: Value | undefined): number {
  if (value === undefined) return 0;
  if (typeof value === "string") return value.length;
  if (value.type !== "string") throw new Refusal(WRONG_TYPE);
  return value.length;
}

function get(call: Call, args: readonly string[]): void {
  const value = call.db.get(args[1] as string);
  if (typeof value === "string") call.reply.bulk(value);
  else call.reply.bulkOrNull(asText(value));
}

interface SetOptions {
  readonly when?: "NX" | "XX";
  readonly deadline?: number;
  readonly keepTtl?: true;
  readonly get?: true;
}

function setOptions(call: Call, args: readonly string[], from: number): SetOptions {
  const options: { -readonly [K in keyof SetOptions]: SetOptions[K] } = {};
  let expiry: readonly [text: string | undefined, unit: 1 | 1000, from: number] | undefined;
  for (let i = from; i < args.length; i += 1) {
    const word = (args[i] as string).toUpperCase();
    if ((word === "NX" || word === "XX") && (options.when ?? word) === word) options.when = word;
    else if (word === "GET") options.get = true;
    else if (word === "KEEPTTL" && !expiry) options.keepTtl = true;
    else if (
      (word === "EX" || word === "PX" || word === "EXAT" || word === "PXAT") &&
      !expiry &&
      !options.keepTtl &&
      i + 1 < args.length
    ) {
      i += 1;
      expiry = [args[i], word.startsWith("E") ? 1000 : 1, word.endsWith("AT") ? 0 : call.nowMs];
    } else throw new Refusal(SYNTAX);
  }
  if (expiry) {
    const [given, unit, atMs] = expiry;
    positive(given, "set");
    options.deadline = deadlineIn(given, unit, atMs, "set");
  }
  return options;
}

function positive(given: string | undefined, name: string): void {
  if (BigInt(integerIn(given)) <= 0n)
    throw new Refusal(`ERR invalid expire time in '${name}' command`);
}

function set(call: Call, args: readonly string[]): void {
  const [, key = "", value = ""] = args;
  const { db, reply } = call;
  if (args.length === 3) {
    db.replace(key, value);
    call.changed("$", "set", key);
    reply.ok();
    return;
  }
  const { when, deadline, keepTtl, get: wantsOld } = setOptions(call, args, 3);
  const old = wantsOld ? text(call, key) : undefined;
  const isThere = db.has(key);
  if ((when === "NX" && isThere) || (when === "XX" && !isThere)) {
    reply.bulkOrNull(old);
    return;
  }
  if (keepTtl) db.put(key, value);
  else db.replace(key, value);
  if (deadline !== undefined) db.setDeadline(key, deadline);
  call.changed("$", "set", key);
  if (deadline !== undefined) call.changed("g", "expire", key);
  if (wantsOld) reply.bulkOrNull(old);
  else reply.ok();
}

function setWithDeadline(unit: 1 | 1000) {
  return (call: Call, args: readonly string[]): void => {
    const [name = "", key = "", given, value = ""] = args;
    const lower = name.toLowerCase();
    positive(given, lower);
    const deadline = deadlineIn(given, unit, call.nowMs, lower);
    call.db.replace(key, value);
    call.db.setDeadline(key, deadline);
    call.changed("$", "set", key);
    call.changed("g", "expire", key);
    call.reply.ok();
  };
}

function setNx(call: Call, args: readonly string[]): void {
  const [, key = "", value = ""] = args;
  const isThere = call.db.has(key);
  if (!isThere) {
    call.db.replace(key, value);
    call.changed("$", "set", key);
  }
  call.reply.integer(isThere ? 0 : 1);
}

function getSet(call: Call, args: readonly string[]): void {
  const [, key = "", value = ""] = args;
  const old = text(call, key);
  call.db.replace(key, value);
  call.changed("$", "set", key);
  call.reply.bulkOrNull(old);
}

function getDel(call: Call, args: readonly string[]): void {
  const [, key = ""] = args;
  const old = text(call, key);
  if (old !== undefined) {
    call.db.delete(key);
    call.changed("g", "del", key);
  }
  call.reply.bulkOrNull(old);
}

function getEx(call: Call, args: readonly string[]): void {
  const [, key = ""] = args;
  let expiry: readonly [text: string | undefined, unit: 1 | 1000, from: number] | undefined;
  let persist = false;
  for (let i = 2; i < args.length; i += 1) {
    const word = (args[i] as string).toUpperCase();
    if (word === "PERSIST" && !expiry) persist = true;
    else if (/^[EP]X(AT)?$/.test(word) && !expiry && !persist && i + 1 < args.length) {
      i += 1;
      expiry = [args[i], word.startsWith("E") ? 1000 : 1, word.endsWith("AT") ? 0 : call.nowMs];
    } else throw new Refusal(SYNTAX);
  }
  const old = text(call, key);
  if (old === undefined) {
    call.reply.null();
    return;
  }
  if (expiry) {
    const [given, unit, atMs] = expiry;
    positive(given, "getex");
    const deadline = deadlineIn(given, unit, atMs, "getex");
    if (deadline < call.nowMs) {
      call.db.delete(key);
      call.changed("g", "del", key);
    } else {
      call.db.setDeadline(key, deadline);
      call.changed("g", "expire", key);
    }
  } else if (persist && call.db.deadline(key) !== undefined) {
    call.db.setDeadline(key, undefined);
    call.changed("g", "persist", key);
  }
  call.reply.bulk(old);
}

function append(call: Call, args: readonly string[]): void {
  const [, key = "", more = ""] = args;
  const { db } = call;
  const value = db.change(key);
  const before = lengthOf(value);
  checkLength(before + more.length);
  if (value === undefined) db.replace(key, more);
  else if (before + more.length < LONG_BYTES && typeof value === "string")
    db.put(key, value + more);
  else bytesToChange(call, key).write(before, more);
  call.changed("$", "append", key);
  call.reply.integer(before + more.length);
}

function setRange(call: Call, args: readonly string[]): void {
  const [, key = "", offset, patch = ""] = args;
  const at = indexIn(offset);
  if (at < 0) throw new Refusal("ERR offset is out of range");
  const value = call.db.change(key);
  const before = lengthOf(value);
  if (patch.length === 0) {
    call.reply.integer(before);
    return;
  }
  checkLength(at + patch.length);
  const after = Math.max(before, at + patch.length);
  if (after < LONG_BYTES && (value === undefined || typeof value === "string")) {
    const old = (value ?? "").padEnd(at, "\0");
    call.db.put(key, old.slice(0, at) + patch + old.slice(at + patch.length));
  } else bytesToChange(call, key).write(at, patch);
  call.changed("$", "setrange", key);
  call.reply.integer(after);
}

function getRange(call: Call, args: readonly string[]): void {
  const value = call.db.get(args[1] as string);
  let start = indexIn(args[2]);
  let end = indexIn(args[3]);
  const length = lengthOf(value);
  if (start < 0 && end < 0 && start > end) {
    call.reply.bulk("");
    return;
  }
  if (start < 0) start = Math.max(0, length + start);
  if (end < 0) end = Math.max(0, length + end);
  end = Math.min(end, length - 1);
  if (start > end || value === undefined) call.reply.bulk("");
  else call.reply.bulk((value as string | ByteString).slice(start, end + 1));
}

function increment(call: Call, key: string, by: number | bigint): void {
  const old = text(call, key);
  const was = old === undefined ? 0 : integerIn(old);
  const sum = sumOf(was, by);
  call.db.put(key, String(sum));
  call.changed("$", "incrby", key);
  call.reply.integer(sum);
}

function decrBy(call: Call, args: readonly string[]): void {
  const by = BigInt(integerIn(args[2]));
  if (by === -(2n ** 63n)) throw new Refusal("ERR decrement would overflow");
  increment(call, args[1] as string, Number.isSafeInteger(Number(by)) ? -Number(by) || 0 : -by);
}

function incrByFloat(call: Call, args: readonly string[]): void {
  const [, key = "", by = ""] = args;
  const sum = addLongDouble(text(call, key) ?? "0", by);
  call.db.put(key, sum);
  call.changed("$", "incrbyfloat", key);
  call.reply.bulk(sum);
}

function mget(call: Call, args: readonly string[]): void {
  call.reply.array(args.length - 1);
  for (let i = 1; i < args.length; i += 1) {
    const value = call.db.get(args[i] as string);
    if (value !== undefined && typeof value !== "string" && value.type !== "string")
      call.reply.null();
    else call.reply.bulkOrNull(asText(value));
  }
}

function setPairs(call: Call, args: readonly string[], name: string): void {
  if (args.length % 2 === 0)
    throw new Refusal(`ERR wrong number of arguments for '${name}' command`);
  for (let i = 1; i < args.length; i += 2) {
    call.db.replace(args[i] as string, args[i + 1] as string);
    call.changed("$", "set", args[i] as string);
  }
}

function msetNx(call: Call, args: readonly string[]): void {
  if (args.length % 2 === 0)
    throw new Refusal("ERR wrong number of arguments for 'msetnx' command");
  for (let i = 1; i < args.length; i += 2)
    if (call.db.has(args[i] as string)) {
      call.reply.integer(0);
      return;
    }
  setPairs(call, args, "msetnx");
  call.reply.integer(1);
}

/** Of a matrix that is no larger than Redis allows. */
const LCS_BYTES_MAX = 2 ** 31;

function lcs(call: Call, args: readonly string[]): void {
  const [, one = "", other = ""] = args;
  const values = [call.db.get(one), call.db.get(other)];
  for (const value of values)
    if (value !== undefined && typeof value !== "string" && value.type !== "string")
      throw new Refusal("ERR The specified keys must contain string values");
  const [a = "", b = ""] = values.map((value) => asText(value) ?? "");
  let [wantsIndexes, wantsLength, withLengths, least] = [false, false, false, 0];
  for (let i = 3; i < args.length; i += 1) {
    const word = (args[i] as string).toUpperCase();
    if (word === "IDX") wantsIndexes = true;
    else if (word === "LEN") wantsLength = true;
    else if (word === "WITHMATCHLEN") withLengths = true;
    else if (word === "MINMATCHLEN" && i + 1 < args.length) {
      i += 1;
      least = Math.max(0, indexIn(args[i]));
    } else throw new Refusal(SYNTAX);
  }
  if (wantsIndexes && wantsLength)
    throw new Refusal("ERR If you want both the length and indexes, please just use IDX.");
  const columns = b.length + 1;
  if ((a.length + 1) * columns * 4 > LCS_BYTES_MAX)
    throw new Refusal(
      "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
    );
  const longest = new Uint32Array((a.length + 1) * columns);
  for (let i = 1; i <= a.length; i += 1)
    for (let j = 1; j <= b.length; j += 1)
      longest[i * columns + j] =
        a[i - 1] === b[j - 1]
          ? (longest[(i - 1) * columns + j - 1] as number) + 1
          : Math.max(
              longest[(i - 1) * columns + j] as number,
              longest[i * columns + j - 1] as number,
            );
  const length = longest[a.length * columns + b.length] as number;
  if (wantsLength) {
    call.reply.integer(length);
    return;
  }
  const ranges: (readonly [aFrom: number, aTo: number, bFrom: number, bTo: number])[] = [];
  let common = "";
  let [i, j] = [a.length, b.length];
  let open: [number, number, number, number] | undefined;
  const close = (): void => {
    if (open && open[1] - open[0] + 1 >= Math.max(1, least)) ranges.push(open);
    open = undefined;
  };
  while (i > 0 && j > 0) {
    if (a[i - 1] === b[j - 1]) {
      common += a[i - 1];
      if (open && open[0] === i && open[2] === j) open = [i - 1, open[1], j - 1, open[3]];
      else {
        close();
        open = [i - 1, i - 1, j - 1, j - 1];
      }
      i -= 1;
      j -= 1;
    } else if (
      (longest[(i - 1) * columns + j] as number) > (longest[i * columns + j - 1] as number)
    )
      i -= 1;
    else j -= 1;
  }
  close();
  if (!wantsIndexes) {
    call.reply.bulk([...common].reverse().join(""));
    return;
  }
  call.reply.map(2);
  call.reply.bulk("matches");
  call.reply.array(ranges.length);
  for (const [aFrom, aTo, bFrom, bTo] of ranges) {
    call.reply.array(withLengths ? 3 : 2);
    for (const [from, to] of [
      [aFrom, aTo],
      [bFrom, bTo],
    ] as const) {
      call.reply.array(2);
      call.reply.integer(from);
      call.reply.integer(to);
    }
    if (withLengths) call.reply.integer(aTo - aFrom + 1);
  }
  call.reply.bulk("len");
  call.reply.integer(length);
}

const ONE = [1, 1, 1] as const;
const WRITE = ["write", "denyoom"] as const;
const FAST_WRITE = ["write", "denyoom", "fast"] as const;
const READ = ["readonly", "fast"] as const;

export const stringCommands: readonly Command[] = [
  {
    ...{ name: "get", arity: 2, flags: READ, keys: ONE, group: "string", since: "1.0.0" },
    summary: "Get the value of a key",
    run: get,
  },
  {
    ...{ name: "set", arity: -3, flags: WRITE, keys: ONE, group: "string", since: "1.0.0" },
    summary: "Set the string value of a key",
    run: set,
  },
  {
    ...{ name: "setnx", arity: 3, flags: FAST_WRITE, keys: ONE, group: "string", since: "1.0.0" },
    summary: "Set the value of a key, only if the key does not exist",
    run: setNx,
  },
  {
    ...{ name: "setex", arity: 4, flags: WRITE, keys: ONE, group: "string", since: "2.0.0" },
    summary: "Set the value and expiration of a key",
    run: setWithDeadline(1000),
  },
  {
    ...{ name: "psetex", arity: 4, flags: WRITE, keys: ONE, group: "string", since: "2.6.0" },
    summary: "Set the value and expiration in milliseconds of a key",
    run: setWithDeadline(1),
  },
  {
    ...{ name: "getset", arity: 3, flags: FAST_WRITE, keys: ONE, group: "string", since: "1.0.0" },
    summary: "Set the string value of a key and return its old value",
    run: getSet,
  },
  {
    ...{ name: "getdel", arity: 2, flags: ["write", "fast"], keys: ONE, group: "string" },
    since: "6.2.0",
    summary: "Get the value of a key and delete the key",
    run: getDel,
  },
  {
    ...{ name: "getex", arity: -2, flags: ["write", "fast"], keys: ONE, group: "string" },
    since: "6.2.0",
    summary: "Get the value of a key and optionally set its expiration",
    run: getEx,
  },
  {
    ...{ name: "append", arity: 3, flags: FAST_WRITE, keys: ONE, group: "string", since: "2.0.0" },
    summary: "Append a value to a key",
    run: append,
  },
  {
    ...{ name: "strlen", arity: 2, flags: READ, keys: ONE, group: "string", since: "2.2.0" },
    summary: "Get the length of the value stored in a key",
    run: (call, args) => call.reply.integer(lengthOf(call.db.get(args[1] as string))),
  },
  {
    ...{ name: "setrange", arity: 4, flags: WRITE, keys: ONE, group: "string", since: "2.2.0" },
    summary: "Overwrite part of a string at key starting at the specified offset",
    run: setRange,
  },
  {
    ...{ name: "getrange", arity: 4, flags: ["readonly"], keys: ONE, group: "string" },
    since: "2.4.0",
    summary: "Get a substring of the string stored at a key",
    run: getRange,
  },
  {
    ...{ name: "substr", arity: 4, flags: ["readonly"], keys: ONE, group: "string" },
    since: "1.0.0",
    summary: "Get a substring of the string stored at a key",
    run: getRange,
  },
  {
    ...{ name: "incr", arity: 2, flags: FAST_WRITE, keys: ONE, group: "string", since: "1.0.0" },
    summary: "Increment the integer value of a key by one",
    run: (call, args) => increment(call, args[1] as string, 1),
  },
  {
    ...{ name: "decr", arity: 2, flags: FAST_WRITE, keys: ONE, group: "string", since: "1.0.0" },
    summary: "Decrement the integer value of a key by one",
    run: (call, args) => increment(call, args[1] as string, -1),
  },
  {
    ...{ name: "incrby", arity: 3, flags: FAST_WRITE, keys: ONE, group: "string", since: "1.0.0" },
    summary: "Increment the integer value of a key by the given amount",
    run: (call, args) => increment(call, args[1] as string, integerIn(args[2])),
  },
  {
    ...{ name: "decrby", arity: 3, flags: FAST_WRITE, keys: ONE, group: "string", since: "1.0.0" },
    summary: "Decrement the integer value of a key by the given number",
    run: decrBy,
  },
  {
    ...{ name: "incrbyfloat", arity: 3, flags: FAST_WRITE, keys: ONE, group: "string" },
    since: "2.6.0",
    summary: "Increment the float value of a key by the given amount",
    run: incrByFloat,
  },
  {
    ...{ name: "mget", arity: -2, flags: READ, keys: [1, -1, 1], group: "string", since: "1.0.0" },
    summary: "Get the values of all the given keys",
    run: mget,
  },
  {
    ...{ name: "mset", arity: -3, flags: WRITE, keys: [1, -1, 2], group: "string", since: "1.0.1" },
    summary: "Set multiple keys to multiple values",
    run: (call, args) => {
      setPairs(call, args, "mset");
      call.reply.ok();
    },
  },
  {
    ...{ name: "msetnx", arity: -3, flags: WRITE, keys: [1, -1, 2], group: "string" },
    since: "1.0.1",
    summary: "Set multiple keys to multiple values, only if none of the keys exist",
    run: msetNx,
  },
  {
    ...{ name: "lcs", arity: -3, flags: ["readonly"], keys: [1, 2, 1], group: "string" },
    since: "7.0.0",
    summary: "Find longest common substring",
    run: lcs,
  },
];
