/** Commands of hashes. */

import { integerIn, sumOf } from "../arguments.ts";
import { asType, type Call, type Command, NOT_FLOAT, Refusal, SYNTAX } from "../command.ts";
import { addLongDouble } from "../long-double.ts";
import { Hash } from "../values/hash.ts";
import { chanceCount, chosenByChance } from "./chance.ts";
import { scanTable } from "./keys.ts";

const look = (call: Call, key: string): Hash | undefined => asType<Hash>(call.db.get(key), "hash");

function made(call: Call, key: string): Hash {
  const there = asType<Hash>(call.db.change(key), "hash");
  if (there) return there;
  const hash = new Hash(call.keyspace.version);
  call.db.put(key, hash);
  return hash;
}

function setPairs(call: Call, args: readonly string[]): number {
  const [name = "", key = ""] = args;
  if (args.length % 2 !== 0)
    throw new Refusal(`ERR wrong number of arguments for '${name.toLowerCase()}' command`);
  const hash = made(call, key);
  let added = 0;
  for (let i = 2; i < args.length; i += 2)
    if (hash.set(args[i] as string, args[i + 1] as string)) added += 1;
  call.changed("h", "hset", key);
  return added;
}

function setNx(call: Call, args: readonly string[]): void {
  const [, key = "", field = "", value = ""] = args;
  const isThere = look(call, key)?.fields.has(field) ?? false;
  if (!isThere) {
    made(call, key).set(field, value);
    call.changed("h", "hset", key);
  }
  call.reply.integer(isThere ? 0 : 1);
}

function getMany(call: Call, args: readonly string[]): void {
  const hash = look(call, args[1] as string);
  call.reply.array(args.length - 2);
  for (const field of args.slice(2)) call.reply.bulkOrNull(hash?.fields.get(field));
}

function getAll(call: Call, args: readonly string[]): void {
  const hash = look(call, args[1] as string);
  call.reply.map(hash?.fields.size ?? 0);
  for (const [field, value] of hash?.fields.entries() ?? []) {
    call.reply.bulk(field);
    call.reply.bulk(value);
  }
}

function remove(call: Call, args: readonly string[]): void {
  const key = args[1] as string;
  const hash = asType<Hash>(call.db.change(key), "hash");
  let removed = 0;
  if (hash) for (const field of args.slice(2)) if (hash.fields.delete(field)) removed += 1;
  if (hash && removed > 0) {
    call.changed("h", "hdel", key);
    if (hash.fields.size === 0) {
      call.db.delete(key);
      call.changed("g", "del", key);
    }
  }
  call.reply.integer(removed);
}

function increment(call: Call, args: readonly string[]): void {
  const [, key = "", field = "", given] = args;
  const by = integerIn(given);
  const old = look(call, key)?.fields.get(field);
  const sum = sumOf(old === undefined ? 0 : integerIn(old, "ERR hash value is not an integer"), by);
  made(call, key).set(field, String(sum));
  call.changed("h", "hincrby", key);
  call.reply.integer(sum);
}

function incrementFloat(call: Call, args: readonly string[]): void {
  const [, key = "", field = "", given = ""] = args;
  addLongDouble("0", given, NOT_FLOAT, "ERR value is NaN or Infinity");
  const old = look(call, key)?.fields.get(field) ?? "0";
  const sum = addLongDouble(old, given, "ERR hash value is not a float");
  made(call, key).set(field, sum);
  call.changed("h", "hincrbyfloat", key);
  call.reply.bulk(sum);
}

function random(call: Call, args: readonly string[]): void {
  const [, key = "", given, option] = args;
  const withValues = option?.toUpperCase() === "WITHVALUES";
  if (given === undefined) {
    const table = look(call, key)?.fields;
    call.reply.bulkOrNull(table?.random((limit) => call.random.below(limit)));
    return;
  }
  const isRight = args.length <= 4 && (option === undefined || withValues);
  const count = chanceCount(given, withValues && isRight);
  if (!isRight) throw new Refusal(SYNTAX);
  const table = look(call, key)?.fields;
  const fields = table ? chosenByChance(table, count, call.random) : [];
  call.reply.array(withValues && !call.reply.resp3 ? 2 * fields.length : fields.length);
  for (const field of fields) {
    if (withValues && call.reply.resp3) call.reply.array(2);
    call.reply.bulk(field);
    if (withValues) call.reply.bulk(table?.get(field) as string);
  }
}

function scan(call: Call, args: readonly string[]): void {
  scanTable(
    call,
    args,
    (key) => look(call, key)?.fields,
    (found, field, value) => found.push(field, value),
  );
}

const KEY = [1, 1, 1] as const;
const FAST_WRITE = ["write", "denyoom", "fast"] as const;
const READ = ["readonly"] as const;
const FAST_READ = ["readonly", "fast"] as const;

export const hashCommands: readonly Command[] = [
  {
    ...{ name: "hset", arity: -4, flags: FAST_WRITE, keys: KEY, group: "hash", since: "2.0.0" },
    summary: "Set the string value of a hash field",
    run: (call, args) => call.reply.integer(setPairs(call, args)),
  },
  {
    ...{ name: "hmset", arity: -4, flags: FAST_WRITE, keys: KEY, group: "hash", since: "2.0.0" },
    summary: "Set multiple hash fields to multiple values",
    run(call, args) {
      setPairs(call, args);
      call.reply.ok();
    },
  },
  {
    ...{ name: "hsetnx", arity: 4, flags: FAST_WRITE, keys: KEY, group: "hash", since: "2.0.0" },
    summary: "Set the value of a hash field, only if the field does not exist",
    run: setNx,
  },
  {
    ...{ name: "hget", arity: 3, flags: FAST_READ, keys: KEY, group: "hash", since: "2.0.0" },
    summary: "Get the value of a hash field",
    run: (call, args) =>
      call.reply.bulkOrNull(look(call, args[1] as string)?.fields.get(args[2] as string)),
  },
  {
    ...{ name: "hmget", arity: -3, flags: FAST_READ, keys: KEY, group: "hash", since: "2.0.0" },
    summary: "Get the values of all the given hash fields",
    run: getMany,
  },
  {
    ...{ name: "hgetall", arity: 2, flags: READ, keys: KEY, group: "hash", since: "2.0.0" },
    summary: "Get all the fields and values in a hash",
    run: getAll,
  },
  {
    ...{ name: "hkeys", arity: 2, flags: READ, keys: KEY, group: "hash", since: "2.0.0" },
    summary: "Get all the fields in a hash",
    run: (call, args) =>
      call.reply.bulks([...(look(call, args[1] as string)?.fields.keys() ?? [])]),
  },
  {
    ...{ name: "hvals", arity: 2, flags: READ, keys: KEY, group: "hash", since: "2.0.0" },
    summary: "Get all the values in a hash",
    run: (call, args) =>
      call.reply.bulks(
        [...(look(call, args[1] as string)?.fields.entries() ?? [])].map(([, value]) => value),
      ),
  },
  {
    ...{ name: "hlen", arity: 2, flags: FAST_READ, keys: KEY, group: "hash", since: "2.0.0" },
    summary: "Get the number of fields in a hash",
    run: (call, args) => call.reply.integer(look(call, args[1] as string)?.fields.size ?? 0),
  },
  {
    ...{ name: "hexists", arity: 3, flags: FAST_READ, keys: KEY, group: "hash", since: "2.0.0" },
    summary: "Determine if a hash field exists",
    run: (call, args) =>
      call.reply.integer(look(call, args[1] as string)?.fields.has(args[2] as string) ? 1 : 0),
  },
  {
    ...{ name: "hstrlen", arity: 3, flags: FAST_READ, keys: KEY, group: "hash", since: "3.2.0" },
    summary: "Get the length of the value of a hash field",
    run: (call, args) =>
      call.reply.integer(look(call, args[1] as string)?.fields.get(args[2] as string)?.length ?? 0),
  },
  {
    ...{ name: "hdel", arity: -3, flags: ["write", "fast"], keys: KEY, group: "hash" },
    since: "2.0.0",
    summary: "Delete one or more hash fields",
    run: remove,
  },
  {
    ...{ name: "hincrby", arity: 4, flags: FAST_WRITE, keys: KEY, group: "hash", since: "2.0.0" },
    summary: "Increment the integer value of a hash field by the given number",
    run: increment,
  },
  {
    ...{ name: "hincrbyfloat", arity: 4, flags: FAST_WRITE, keys: KEY, group: "hash" },
    since: "2.6.0",
    summary: "Increment the float value of a hash field by the given amount",
    run: incrementFloat,
  },
  {
    ...{ name: "hrandfield", arity: -2, flags: READ, keys: KEY, group: "hash", since: "6.2.0" },
    summary: "Get one or multiple random fields from a hash",
    run: random,
  },
  {
    ...{ name: "hscan", arity: -3, flags: READ, keys: KEY, group: "hash", since: "2.8.0" },
    summary: "Incrementally iterate hash fields and associated values",
    run: scan,
  },
];
