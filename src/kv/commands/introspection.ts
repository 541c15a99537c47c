/** What `COMMAND` tells of commands, and what more there is to tell than their tables have. */

import {
  type Call,
  type Command,
  fitsArity,
  type KnownCommand,
  keyPlaces,
  Refusal,
  SYNTAX,
} from "../command.ts";
import { matches } from "../glob.ts";
import type { Reply } from "../reply.ts";
import { help } from "./help.ts";

/**
 * Of each command what becomes of its keys, in braces, and its words.
 *
 * Keys: for each kind of them its flags as Redis names them, and where they are as `first:last:step` (`1:0:1` if nothing is said; what is
 * last counts from the first, or from the end if it is negative), as `2#`: so many as word 2 says, behind it; or as `?`: anywhere.
 *
 * Words: those in capitals are meant as they are, others stand for something, with its type behind a colon unless the name tells it.
 * Brackets enclose what may be missing, angles what belongs together; bars divide what excludes each other, and what stands before dots
 * may come again.
 */
const FACTS = `
acl|cat [categoryname]
acl|deluser username...
acl|dryrun username command [arg...]
acl|genpass [bits:int]
acl|getuser username
acl|log [count | RESET]
acl|setuser username [rule...]
append {RW insert} key value
auth [username] password
bgsave [SCHEDULE]
bitcount {RO access} key [start:int end:int [BYTE | BIT]]
bitfield {RW access update variable_flags} key [<GET <encoding offset> | [OVERFLOW <WRAP | SAT | FAIL>] <SET <encoding offset
  value:int> | INCRBY <encoding offset increment>>>...]
bitfield_ro {RO access} key [<GET <encoding offset>>...]
bitop {OW update 2:0:1; RO access 3:-1:1} operation destkey key...
bitpos {RO access} key bit [start:int [end:int [BYTE | BIT]]]
blmove {RW access delete; RW insert 2:0:1} source destination <LEFT | RIGHT> <LEFT | RIGHT> timeout:dbl
blmpop {RW access delete 2#} timeout:dbl numkeys key... <LEFT | RIGHT> [COUNT count]
blpop {RW access delete 1:-2:1} key... timeout:dbl
brpop {RW access delete 1:-2:1} key... timeout:dbl
brpoplpush {RW access delete; RW insert 2:0:1} source destination timeout:dbl
bzmpop {RW access delete 2#} timeout:dbl numkeys key... <MIN | MAX> [COUNT count]
bzpopmax {RW access delete 1:-2:1} key... timeout:dbl
bzpopmin {RW access delete 1:-2:1} key... timeout:dbl
client|kill <ip:port | <[ID client-id] | [TYPE <NORMAL | MASTER | SLAVE | REPLICA | PUBSUB>] | [USER username] | [ADDR ip:port] |
  [LADDR ip:port] | [SKIPME yes/no]>...>
client|list [TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [ID <client-id...>]
client|no-evict <ON | OFF>
client|pause timeout [WRITE | ALL]
client|reply <ON | OFF | SKIP>
client|setname connection-name
client|unblock client-id [TIMEOUT | ERROR]
cluster|keyslot key:string
command|docs [command-name...]
command|info [command-name...]
command|list [FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern>]
config|get <parameter>...
config|set <parameter value>...
copy {RO access; OW update 2:0:1} source destination [DB destination-db] [REPLACE]
decr {RW access update} key
decrby {RW access update} key decrement
del {RM delete 1:-1:1} key...
echo message
exists {RO 1:-1:1} key...
expire {RW update} key seconds [NX | XX | GT | LT]
expireat {RW update} key unix-time-seconds [NX | XX | GT | LT]
expiretime {RO access} key
flushall [ASYNC | SYNC]
flushdb [ASYNC | SYNC]
get {RO access} key
getbit {RO access} key offset
getdel {RW access delete} key
getex {RW access update} key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST]
getrange {RO access} key start:int end:int
getset {RW access update} key value
hdel {RW delete} key field...
hello [protover [AUTH <username password>] [SETNAME clientname]]
hexists {RO} key field
hget {RO access} key field
hgetall {RO access} key
hincrby {RW access update} key field increment
hincrbyfloat {RW access update} key field increment:dbl
hkeys {RO access} key
hlen {RO} key
hmget {RO access} key field...
hmset {RW update} key <field value>...
hrandfield {RO access} key [count [WITHVALUES]]
hscan {RO access} key cursor [MATCH pattern] [COUNT count]
hset {RW update} key <field value>...
hsetnx {RW insert} key field value
hstrlen {RO} key field
hvals {RO access} key
incr {RW access update} key
incrby {RW access update} key increment
incrbyfloat {RW access update} key increment:dbl
info [section...]
keys pattern
latency|history event
latency|reset [event...]
lcs {RO access 1:1:1} key1 key2 [LEN] [IDX] [MINMATCHLEN len] [WITHMATCHLEN]
lindex {RO access} key index
linsert {RW insert} key <BEFORE | AFTER> pivot element
llen {RO} key
lmove {RW access delete; RW insert 2:0:1} source destination <LEFT | RIGHT> <LEFT | RIGHT>
lmpop {RW access delete 1#} numkeys key... <LEFT | RIGHT> [COUNT count]
lolwut [VERSION version]
lpop {RW access delete} key [count]
lpos {RO access} key element [RANK rank] [COUNT num-matches] [MAXLEN len]
lpush {RW insert} key element...
lpushx {RW insert} key element...
lrange {RO access} key start:int stop:int
lrem {RW delete} key count element
lset {RW update} key index element
ltrim {RW delete} key start:int stop:int
memory|usage {RO 2:0:1} key [SAMPLES count]
mget {RO access 1:-1:1} key...
move {RW access update} key db
mset {OW update 1:-1:2} <key value>...
msetnx {OW insert 1:-1:2} <key value>...
object|encoding {RO 2:0:1} key
object|freq {RO 2:0:1} key
object|idletime {RO 2:0:1} key
object|refcount {RO 2:0:1} key
persist {RW update} key
pexpire {RW update} key milliseconds [NX | XX | GT | LT]
pexpireat {RW update} key unix-time-milliseconds [NX | XX | GT | LT]
pexpiretime {RO access} key
ping [message]
psetex {OW update} key milliseconds value
psubscribe <pattern>...
pttl {RO access} key
publish channel message
pubsub|channels [pattern]
pubsub|numsub [channel...]
punsubscribe [pattern...]
rename {RW access delete; OW update 2:0:1} key newkey
renamenx {RW access delete; OW insert 2:0:1} key newkey
replicaof <host port:int | NO ONE>
rpop {RW access delete} key [count]
rpoplpush {RW access delete; RW insert 2:0:1} source destination
rpush {RW insert} key element...
rpushx {RW insert} key element...
sadd {RW insert} key member...
scan cursor [MATCH pattern] [COUNT count] [TYPE type]
scard {RO} key
sdiff {RO access 1:-1:1} key...
sdiffstore {OW update; RO access 2:-1:1} destination key...
select index
set {RW access update variable_flags} key value [NX | XX] [GET] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT
  unix-time-milliseconds | KEEPTTL]
setbit {RW access update} key offset value:int
setex {OW update} key seconds value
setnx {OW insert} key value
setrange {RW update} key offset value
sinter {RO access 1:-1:1} key...
sintercard {RO access 1#} numkeys key... [LIMIT limit]
sinterstore {RW update; RO access 2:-1:1} destination key...
sismember {RO} key member
slaveof <host port:int | NO ONE>
slowlog|get [count]
smembers {RO access} key
smismember {RO access} key member...
smove {RW access delete; RW insert 2:0:1} source destination member
sort {RO access; RO access ?; OW update ?} key [BY pattern] [LIMIT <offset count>] [<GET pattern>...] [ASC | DESC] [ALPHA] [STORE
  destination]
sort_ro {RO access; RO access ?} key [BY pattern] [LIMIT <offset count>] [<GET pattern>...] [ASC | DESC] [ALPHA]
spop {RW access delete} key [count]
srandmember {RO access} key [count]
srem {RW delete} key member...
sscan {RO access} key cursor [MATCH pattern] [COUNT count]
strlen {RO} key
subscribe channel...
substr {RO access} key start:int end:int
sunion {RO access 1:-1:1} key...
sunionstore {OW update; RO access 2:-1:1} destination key...
swapdb index1 index2
tidemark|after token:string [milliseconds]
tidemark|explain [attempt:string]
tidemark|read [LOCAL | LINEARIZABLE]
tidemark|restore snapshot:string
tidemark|snapshot [label:string]
tidemark|snapshots [count]
touch {RO 1:-1:1} key...
ttl {RO access} key
type {RO} key
unlink {RM delete 1:-1:1} key...
unsubscribe [channel...]
wait numreplicas timeout
watch {RO 1:-1:1} key...
zadd {RW update} key [NX | XX] [GT | LT] [CH] [INCR] <score member>...
zcard {RO} key
zcount {RO access} key min:dbl max:dbl
zdiff {RO access 1#} numkeys key... [WITHSCORES]
zdiffstore {OW update; RO access 2#} destination numkeys key...
zincrby {RW access update} key increment member
zinter {RO access 1#} numkeys key... [WEIGHTS weight...] [AGGREGATE <SUM | MIN | MAX>] [WITHSCORES]
zintercard {RO access 1#} numkeys key... [LIMIT limit]
zinterstore {OW update; RO access 2#} destination numkeys key... [WEIGHTS weight...] [AGGREGATE <SUM | MIN | MAX>]
zlexcount {RO access} key min max
zmpop {RW access delete 1#} numkeys key... <MIN | MAX> [COUNT count]
zmscore {RO access} key member...
zpopmax {RW access delete} key [count]
zpopmin {RW access delete} key [count]
zrandmember {RO access} key [count [WITHSCORES]]
zrange {RO access} key start stop [BYSCORE | BYLEX] [REV] [LIMIT <offset count>] [WITHSCORES]
zrangebylex {RO access} key min max [LIMIT <offset count>]
zrangebyscore {RO access} key min:dbl max:dbl [WITHSCORES] [LIMIT <offset count>]
zrangestore {OW update; RO access 2:0:1} dst src min max [BYSCORE | BYLEX] [REV] [LIMIT <offset count>]
zrank {RO access} key member
zrem {RW delete} key member...
zremrangebylex {RW delete} key min max
zremrangebyrank {RW delete} key start:int stop:int
zremrangebyscore {RW delete} key min:dbl max:dbl
zrevrange {RO access} key start:int stop:int [WITHSCORES]
zrevrangebylex {RO access} key max min [LIMIT <offset count>]
zrevrangebyscore {RO access} key max:dbl min:dbl [WITHSCORES] [LIMIT <offset count>]
zrevrank {RO access} key member
zscan {RO access} key cursor [MATCH pattern] [COUNT count]
zscore {RO access} key member
zunion {RO access 1#} numkeys key... [WEIGHTS weight...] [AGGREGATE <SUM | MIN | MAX>] [WITHSCORES]
zunionstore {OW update; RO access 2#} destination numkeys key... [WEIGHTS weight...] [AGGREGATE <SUM | MIN | MAX>]
`;

/** One kind of keys of a command. */
interface KeyFacts {
  readonly flags: readonly string[];
  /** `undefined`: they may be anywhere. */
  readonly place:
    | { readonly first: number; readonly last: number; readonly step: number }
    | { readonly numberAt: number }
    | undefined;
}

/** A word of a command, or words that belong together. */
interface Argument {
  readonly name: string;
  readonly type: string;
  readonly token?: string;
  readonly parts?: readonly Argument[];
  readonly flags: readonly string[];
}

interface Facts {
  readonly keys: readonly KeyFacts[];
  readonly words: readonly Argument[];
  /** The words as they stand above. */
  readonly text: string;
}

const NO_FACTS: Facts = { keys: [], words: [], text: "" };

let read: ReadonlyMap<string, Facts> | undefined;

/** They are read when somebody asks for the first time. */
function factsOf(name: string): Facts {
  read ??= new Map(
    FACTS.trim()
      .split(/\n(?! )/)
      .map((line) => {
        const [, command = "", keys, words = ""] = /^(\S+)(?: \{([^}]*)\})?(.*)$/s.exec(line) ?? [];
        const parser = new WordsParser(words);
        const found = { keys: keys?.split("; ").map(keyFacts) ?? [], words: parser.sequence() };
        return [command, { ...found, text: words }];
      }),
  );
  return read.get(name) ?? NO_FACTS;
}

/**
 * The words of a command for people, such as `key value [NX | XX]`.
 * @param name of one of a container as `config|get`
 */
export function syntaxOf(name: string): string {
  return factsOf(name)
    .text.trim()
    .replaceAll(/\s+/g, " ")
    .replaceAll(/([a-z])(:(int|dbl|string))/g, "$1")
    .replaceAll(/<([^ >]+)>/g, "$1")
    .replaceAll("...", " ...");
}

function keyFacts(text: string): KeyFacts {
  const flags = text.split(" ");
  const given = /^(\d.*|\?)$/.test(flags.at(-1) ?? "") ? (flags.pop() as string) : "1:0:1";
  if (given === "?") return { flags, place: undefined };
  if (given.endsWith("#")) return { flags, place: { numberAt: Number.parseInt(given, 10) } };
  const [first = 1, last = 0, step = 1] = given.split(":").map(Number);
  return { flags, place: { first, last, step } };
}

const TYPES: readonly (readonly [type: string, names: RegExp])[] = [
  ["key", /^((new|dest|source)?key\d?|destination|source|src|dst)$/],
  [
    "integer",
    /^(bit|count|cursor|db|destination-db|decrement|increment|index\d?|len|limit|version|weight)$/,
  ],
  ["integer", /^(client-id|milliseconds|num.*|offset|protover|rank|seconds|ttl|timeout)$/],
  ["double", /^score$/],
  ["pattern", /^pattern$/],
  ["unix-time", /^unix-time/],
];
const SHORT_TYPES: Readonly<Record<string, string>> = { int: "integer", dbl: "double" };

/** Reads the words of a command as they stand in `FACTS`. */
class WordsParser {
  readonly #signs: readonly string[];
  #at = 0;

  constructor(text: string) {
    this.#signs = text.match(/[[\]<>|]|\.\.\.|(?:(?!\.\.\.)[^\s[\]<>|])+/g) ?? [];
  }

  /** Up to what closes or divides it. */
  sequence(): readonly Argument[] {
    const found: Argument[] = [];
    for (;;) {
      const sign = this.#signs[this.#at];
      if (sign === undefined || sign === "]" || sign === ">" || sign === "|") return found;
      found.push(this.#one());
    }
  }

  #one(): Argument {
    const sign = this.#signs[this.#at] as string;
    this.#at += 1;
    if (sign === "[" || sign === "<") {
      const { flags, ...group } = this.#alternatives();
      this.#at += 1;
      const optional = sign === "[" && !flags.includes("optional") ? ["optional"] : [];
      return { ...group, flags: [...optional, ...flags, ...this.#dots(group.token !== undefined)] };
    }
    const next = this.#signs[this.#at] ?? "";
    if (/[a-z]/.test(sign)) {
      const [, name = "", given] = /^(.*?)(?::(int|dbl|string))?$/.exec(sign) ?? [];
      const type = given ?? TYPES.find(([, names]) => names.test(name))?.[0] ?? "string";
      return { name, type: SHORT_TYPES[type] ?? type, flags: this.#dots(false) };
    }
    if (next === "<" || /[a-z]/.test(next)) return { ...this.#one(), token: sign };
    const name = sign.toLowerCase();
    return { name, type: "pure-token", token: sign, flags: this.#dots(false) };
  }

  #dots(hasToken: boolean): readonly string[] {
    if (this.#signs[this.#at] !== "...") return [];
    this.#at += 1;
    return hasToken ? ["multiple", "multiple_token"] : ["multiple"];
  }

  #alternatives(): Argument {
    const all: Argument[] = [together(this.sequence())];
    while (this.#signs[this.#at] === "|") {
      this.#at += 1;
      all.push(together(this.sequence()));
    }
    const [only] = all;
    return all.length === 1 && only
      ? only
      : { name: "choice", type: "oneof", parts: all, flags: [] };
  }
}

function together(parts: readonly Argument[]): Argument {
  const [only] = parts;
  return parts.length === 1 && only ? only : { name: "words", type: "block", parts, flags: [] };
}

// What COMMAND INFO tells.

const FLAGS: readonly Command["flags"][number][] = [
  ...(["write", "readonly", "denyoom", "admin", "pubsub", "noscript", "blocking"] as const),
  ...(["loading", "stale", "skip_slowlog", "fast", "no_auth"] as const),
  ...(["no_async_loading", "no_multi", "movablekeys", "allow_busy"] as const),
];

/** In the order in which Redis has them. */
export const CATEGORIES: readonly string[] = [
  ...["keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap"],
  ...["hyperloglog", "geo", "stream", "pubsub", "admin", "fast", "slow", "blocking"],
  ...["dangerous", "connection", "transaction", "scripting"],
];

const CATEGORIES_OF_GROUP: Readonly<Record<Command["group"], readonly string[]>> = {
  ...{ string: ["string"], bitmap: ["bitmap"], list: ["list"], hash: ["hash"], set: ["set"] },
  ...{ "sorted-set": ["sortedset"], generic: ["keyspace"], transactions: ["transaction"] },
  ...{ pubsub: ["pubsub"], connection: ["connection"], server: [], tidemark: [] },
};

/** Where the group does not tell it. */
const CATEGORIES_OF: Readonly<Record<string, readonly string[]>> = {
  ...{ command: ["connection"], wait: ["connection"], dbsize: ["keyspace"], info: ["dangerous"] },
  ...{ flushall: ["keyspace", "dangerous"], flushdb: ["keyspace", "dangerous"] },
  ...{ swapdb: ["keyspace", "dangerous"], keys: ["keyspace", "dangerous"] },
  ...{ lastsave: ["admin", "dangerous"], role: ["admin", "dangerous"] },
  ...{ sort: ["set", "sortedset", "list", "dangerous"] },
  ...{ sort_ro: ["set", "sortedset", "list", "dangerous"], pubsub: [] },
};

/** A container is in no category of its own; its commands are. */
function categoriesOf(
  { name, flags, group, subcommands }: Command,
  container?: string,
): readonly string[] {
  const isContainer = subcommands !== undefined && name !== "command";
  const ofGroup = CATEGORIES_OF[container ?? name] ?? CATEGORIES_OF_GROUP[group];
  const has = (flag: Command["flags"][number]): boolean => flags.includes(flag);
  const chosen = new Set([
    ...(isContainer ? [] : ofGroup),
    ...(has("write") ? ["write"] : []),
    ...(has("readonly") ? ["read"] : []),
    ...(has("admin") ? ["admin", "dangerous"] : []),
    ...(has("pubsub") ? ["pubsub"] : []),
    ...(has("blocking") ? ["blocking"] : []),
    has("fast") ? "fast" : "slow",
  ]);
  return CATEGORIES.filter((category) => chosen.has(category));
}

const fullName = (name: string, container: string | undefined): string =>
  container === undefined ? name : `${container}|${name}`;

/** The first, the last and the step of its keys, as far as their places do not depend on the words. */
function keyNumbers({ keys }: Command, facts: Facts): readonly [number, number, number] {
  if (keys === undefined) return [0, 0, 0];
  if (typeof keys !== "function") return keys;
  const place = facts.keys[0]?.place;
  return place && "first" in place
    ? [place.first, place.first + place.last, place.step]
    : [0, 0, 0];
}

function statuses(reply: Reply, texts: readonly string[]): void {
  reply.set(texts.length);
  for (const text of texts) reply.simple(text);
}

function info(reply: Reply, command: KnownCommand, container?: string): void {
  const { name, arity, flags, keys, subcommands = [] } = command;
  const facts = factsOf(fullName(name, container));
  const isMovable = typeof keys === "function" || facts.keys.some(({ place }) => !place);
  reply.array(10);
  reply.bulk(fullName(name, container));
  reply.integer(arity);
  statuses(
    reply,
    FLAGS.filter((flag) => flags.includes(flag) || (flag === "movablekeys" && isMovable)),
  );
  for (const number of keyNumbers(command, facts)) reply.integer(number);
  statuses(
    reply,
    categoriesOf(command, container).map((category) => `@${category}`),
  );
  reply.set(0);
  reply.set(facts.keys.length);
  for (const kind of facts.keys) keySpecification(reply, kind);
  reply.set(subcommands.length);
  for (const subcommand of subcommands) info(reply, subcommand, name);
}

function keySpecification(reply: Reply, { flags, place }: KeyFacts): void {
  const search = (
    name: string,
    type: string,
    spec: readonly (readonly [string, number])[],
  ): void => {
    reply.bulk(name);
    reply.map(2);
    reply.bulk("type");
    reply.bulk(type);
    reply.bulk("spec");
    reply.map(spec.length);
    for (const [key, number] of spec) {
      reply.bulk(key);
      reply.integer(number);
    }
  };
  reply.map(3);
  reply.bulk("flags");
  statuses(reply, flags);
  if (!place) {
    search("begin_search", "unknown", []);
    search("find_keys", "unknown", []);
  } else if ("first" in place) {
    search("begin_search", "index", [["index", place.first]]);
    search("find_keys", "range", [
      ["lastkey", place.last],
      ["keystep", place.step],
      ["limit", 0],
    ]);
  } else {
    search("begin_search", "index", [["index", place.numberAt]]);
    search("find_keys", "keynum", [
      ["keynumidx", 0],
      ["firstkey", 1],
      ["keystep", 1],
    ]);
  }
}

// What COMMAND DOCS tells.

function docs(reply: Reply, command: KnownCommand, container?: string): void {
  const { name, summary, since, group, complexity, subcommands = [] } = command;
  const { keys, words } = factsOf(fullName(name, container));
  const texts = { summary, since, group, ...(complexity !== undefined && { complexity }) };
  const facts = Object.entries(texts);
  reply.bulk(fullName(name, container));
  reply.map(facts.length + (words.length > 0 ? 1 : 0) + (subcommands.length > 0 ? 1 : 0));
  for (const [key, value] of facts) {
    reply.bulk(key);
    reply.bulk(value);
  }
  if (words.length > 0) {
    reply.bulk("arguments");
    describe(reply, words, { next: 0, last: keys.length - 1 });
  }
  if (subcommands.length === 0) return;
  reply.bulk("subcommands");
  reply.map(subcommands.length);
  for (const subcommand of subcommands) docs(reply, subcommand, name);
}

/** @param keys of which kind the next key is, and the last one */
function describe(
  reply: Reply,
  words: readonly Argument[],
  keys: { next: number; readonly last: number },
): void {
  reply.array(words.length);
  for (const { name, type, token, flags, parts } of words) {
    const texts = Object.entries({ name, type, ...(token !== undefined && { token }) });
    const isKey = type === "key";
    const lists = (flags.length > 0 ? 1 : 0) + (parts ? 1 : 0);
    reply.map(texts.length + (isKey ? 1 : 0) + lists);
    for (const [key, value] of texts) {
      reply.bulk(key);
      reply.bulk(value);
    }
    if (isKey) {
      reply.bulk("key_spec_index");
      reply.integer(keys.next);
      keys.next = Math.min(keys.next + 1, keys.last);
    }
    if (flags.length > 0) {
      reply.bulk("flags");
      statuses(reply, flags);
    }
    if (!parts) continue;
    reply.bulk("arguments");
    describe(reply, parts, keys);
  }
}

// The commands.

/** Of a name such as `config|get`. */
function named(call: Call, name: string): readonly [KnownCommand, string | undefined] | undefined {
  const [container = "", subname] = name.split("|");
  const command = call.server.command(container);
  if (!command || subname === undefined) return command && [command, undefined];
  const subcommand = command.subcommands?.find((one) => one.name === subname.toLowerCase());
  return subcommand && [subcommand, command.name];
}

function commandInfo(call: Call, names: readonly string[]): void {
  call.reply.array(names.length);
  for (const name of names) {
    const found = named(call, name);
    if (found) info(call.reply, ...found);
    else call.reply.null();
  }
}

const namesOf = (call: Call): string[] => call.server.commands.map(({ name }) => name);

function commandDocs(call: Call, args: readonly string[]): void {
  const names = args.length > 2 ? args.slice(2) : namesOf(call);
  const known = names.flatMap((name) => {
    const found = named(call, name);
    return found ? [found] : [];
  });
  call.reply.map(known.length);
  for (const found of known) docs(call.reply, ...found);
}

/** All commands and all that are in containers, each by its full name. */
export function* everyCommand(
  commands: readonly KnownCommand[],
): Iterable<readonly [name: string, categories: readonly string[], command: KnownCommand]> {
  for (const command of commands) {
    yield [command.name, categoriesOf(command), command];
    for (const one of command.subcommands ?? [])
      yield [fullName(one.name, command.name), categoriesOf(one, command.name), one];
  }
}

function commandList(call: Call, args: readonly string[]): void {
  let chosen = [...everyCommand(call.server.commands)];
  if (args.length > 2) {
    const [, , filter, by, value = ""] = args;
    const kind = by?.toUpperCase();
    if (filter?.toUpperCase() !== "FILTERBY" || args.length !== 5) throw new Refusal(SYNTAX);
    if (kind === "PATTERN") chosen = chosen.filter(([name]) => matches(value, name, true));
    else if (kind === "ACLCAT")
      chosen = chosen.filter(([, categories]) => categories.includes(value.toLowerCase()));
    else if (kind === "MODULE") chosen = [];
    else throw new Refusal(SYNTAX);
  }
  call.reply.bulks(chosen.map(([name]) => name));
}

/** The places of the keys of the request that follows `COMMAND GETKEYS`, with its facts. @throws Refusal */
function keysAsked(call: Call, words: readonly string[]): readonly [readonly number[], Facts] {
  const container = call.server.command(words[0] as string);
  const command = container?.subcommands
    ? container.subcommands.find(({ name }) => name === words[1]?.toLowerCase())
    : container;
  if (!command) throw new Refusal("ERR Invalid command specified");
  if (command.keys === undefined) throw new Refusal("ERR The command has no key arguments");
  if (!fitsArity(command, words.length))
    throw new Refusal("ERR Invalid number of arguments specified for command");
  const places = keyPlaces(command, words);
  if (places.length === 0 || places.some((place) => words[place] === undefined))
    throw new Refusal("ERR Invalid arguments specified for command");
  const isSub = command !== container;
  return [places, factsOf(fullName(command.name, isSub ? container?.name : undefined))];
}

function getKeys(call: Call, args: readonly string[]): void {
  const words = args.slice(2);
  const [places] = keysAsked(call, words);
  call.reply.bulks(places.map((place) => words[place] as string));
}

/** What becomes of the key at that place. */
function keyFlags(words: readonly string[], { keys }: Facts, place: number): readonly string[] {
  const placed = keys.find(({ place: where }) => {
    if (!where) return false;
    if ("numberAt" in where) return place > where.numberAt;
    const { first, last, step } = where;
    const end = last < 0 ? words.length + last : first + last;
    return place >= first && place <= end && (place - first) % step === 0;
  });
  // Of `SORT`, whose patterns give no places, it is where it stores to.
  const flags = (placed ?? keys.findLast((kind) => !kind.place))?.flags ?? [];
  if (!flags.includes("variable_flags")) return flags;
  // `SET` and `BITFIELD`: only with some options they read, or write.
  if (isWord(words[0], "SET"))
    return words.some((word, i) => i > 2 && isWord(word, "GET")) ? READ_WRITE : OVERWRITE;
  return bitfieldWrites(words) ? READ_WRITE : READ;
}

const READ: readonly string[] = ["RO", "access"];
const READ_WRITE: readonly string[] = ["RW", "access", "update"];
const OVERWRITE: readonly string[] = ["OW", "update"];

/** A long word is not written anew to be compared. */
const isWord = (word: string | undefined, upper: string): boolean =>
  word?.length === upper.length && word.toUpperCase() === upper;

/** What is no option that reads is taken for one that writes. */
function bitfieldWrites(words: readonly string[]): boolean {
  for (let i = 2; i < words.length; ) {
    const left = words.length - i - 1;
    if (isWord(words[i], "GET") && left >= 2) i += 3;
    else if (isWord(words[i], "OVERFLOW") && left >= 1) i += 2;
    else return true;
  }
  return false;
}

/**
 * Whether a command reads what a key has, and changes it.
 * @param name its full name
 */
export function useOfKey(
  name: string,
  words: readonly string[],
  place: number,
): { readonly reads: boolean; readonly writes: boolean } {
  const flags = keyFlags(words, factsOf(name), place);
  return {
    reads: flags.includes("access"),
    writes: ["insert", "delete", "update"].some((flag) => flags.includes(flag)),
  };
}

function getKeysAndFlags(call: Call, args: readonly string[]): void {
  const words = args.slice(2);
  const [places, facts] = keysAsked(call, words);
  call.reply.array(places.length);
  for (const place of places) {
    call.reply.array(2);
    call.reply.bulk(words[place] as string);
    statuses(call.reply, keyFlags(words, facts, place));
  }
}

const FLAGS_OF_ALL = ["loading", "stale"] as const;

const of = (
  name: string,
  arity: number,
  since: string,
  summary: string,
  run: Command["run"],
): Command => ({
  ...{ name, arity, flags: FLAGS_OF_ALL, group: "server", since, summary, run },
});

export const introspectionCommands: readonly Command[] = [
  {
    ...of("command", -1, "2.8.13", "Get array of Redis command details", (call) =>
      commandInfo(call, namesOf(call)),
    ),
    subcommands: [
      of("count", 2, "2.8.13", "Get total number of Redis commands", (call) =>
        call.reply.integer(call.server.commands.length),
      ),
      of(
        ...([
          "info",
          -2,
          "2.8.13",
          "Get array of specific Redis command details, or all when no argument is given.",
        ] as const),
        (call, args) => commandInfo(call, args.length > 2 ? args.slice(2) : namesOf(call)),
      ),
      of("docs", -2, "7.0.0", "Get array of specific Redis command documentation", commandDocs),
      of("list", -2, "7.0.0", "Get an array of Redis command names", commandList),
      of("getkeys", -4, "2.8.13", "Extract keys given a full Redis command", getKeys),
      of(
        ...([
          "getkeysandflags",
          -4,
          "7.0.0",
          "Extract keys and access flags given a full Redis command",
        ] as const),
        getKeysAndFlags,
      ),
      of(
        ...(["help", 2, "5.0.0", "Show helpful text about the different subcommands"] as const),
        help("COMMAND", [
          "(no subcommand)",
          "    Return details about all Redis commands.",
          "COUNT",
          "    Return the total number of commands in this Redis server.",
          "LIST",
          "    Return a list of all commands in this Redis server.",
          "INFO [<command-name> ...]",
          "    Return details about multiple Redis commands.",
          "    If no command names are given, documentation details for all",
          "    commands are returned.",
          "DOCS [<command-name> ...]",
          "    Return documentation details about multiple Redis commands.",
          "    If no command names are given, documentation details for all",
          "    commands are returned.",
          "GETKEYS <full-command>",
          "    Return the keys from a full Redis command.",
          "GETKEYSANDFLAGS <full-command>",
          "    Return the keys and the access flags from a full Redis command.",
        ]),
      ),
    ],
  },
];
