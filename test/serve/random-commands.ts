/** Random commands of all families, of few keys and members, with edge values and mistakes in them. */

import { Random } from "../../src/index.ts";

type Words = readonly string[];

const KEYS = ["a", "b", "c", "d", "{t}e"];
/** All its scores are equal, so that ranges by text mean something. */
const LEX_KEY = "lex";
const MEMBERS = ["m1", "m2", "m3", "x", "y", "7", "-3", "12345678901234567890", ""];
const INTEGERS = [
  ...["0", "1", "-1", "2", "-2", "3", "5", "10", "-10", "100", "abc", "1.5", " 1", "01"],
  ...["9223372036854775807", "-9223372036854775808", "9223372036854775808"],
];
const SCORES = [
  ...["1", "2", "3", "-1", "0", "1.5", "-0", "inf", "-inf", "nan", "1e3", "1e400", "abc", "0.1"],
  ...["3.3", "1e17", "123456789.123"],
];
const BOUNDS = ["-inf", "+inf", "(1", "1", "(2", "3", "(0", "0", "abc", "2.5"];
const LEX_BOUNDS = ["-", "+", "[m1", "(m2", "[x", "(y", "m1", "[", "("];
const VALUES = [
  ...["v1", "hello", "10", "-5", "3.0e3", "abc".repeat(20), "", "5.0", "x\r\ny", "\xff\x00"],
];

/** Makes one command after another, as a seed decides. */
export class RandomCommands {
  readonly #random: Random;

  constructor(seed: number) {
    this.#random = new Random(`commands ${seed}`);
  }

  next(): Words {
    return this.#of(this.#random.pick(FAMILIES) as Family);
  }

  #of(family: Family): Words {
    const words = (this.#random.pick(family(this.#tools)) as () => Words)();
    // Now and then one word too many or too few.
    if (this.#random.chance(0.01)) return [...words, "extra"];
    // But what `SPOP` takes without a count is decided by chance.
    const isCut = words.length > 1 && words[0] !== "SPOP" && this.#random.chance(0.01);
    return isCut ? words.slice(0, -1) : words;
  }

  get #tools(): Tools {
    const random = this.#random;
    const pick = (...values: readonly string[]): string => random.pick(values) as string;
    return {
      pick,
      key: () => pick(...KEYS),
      member: () => pick(...MEMBERS),
      integer: () => pick(...INTEGERS),
      score: () => pick(...SCORES),
      bound: () => pick(...BOUNDS),
      lexBound: () => pick(...LEX_BOUNDS),
      value: () => pick(...VALUES),
      some: (make) => Array.from({ length: random.between(1, 3) }, make).flat(),
      maybe: (...options) =>
        options
          .filter(() => random.chance(0.3))
          .flatMap((one) => (typeof one === "string" ? [one] : one)),
    };
  }
}

interface Tools {
  pick(...values: readonly string[]): string;
  key(): string;
  member(): string;
  integer(): string;
  score(): string;
  bound(): string;
  lexBound(): string;
  value(): string;
  some(make: () => string | Words): string[];
  maybe(...options: readonly (string | Words)[]): string[];
}

type Family = (tools: Tools) => readonly (() => Words)[];

const strings: Family = ({ pick, key, value, integer, score, some, maybe }) => [
  () => [
    ...["SET", key(), value()],
    ...maybe("NX", "XX", "GET", "KEEPTTL", [
      "EX",
      pick("100", "0", "-1", "abc", "9223372036854775807"),
    ]),
  ],
  () => ["GET", key()],
  () => ["GETSET", key(), value()],
  () => ["GETDEL", key()],
  () => ["GETEX", key(), ...maybe("PERSIST", ["EX", "100"])],
  () => ["APPEND", key(), value()],
  () => ["STRLEN", key()],
  () => ["SETRANGE", key(), pick("0", "1", "5", "-1", "2000", "x"), value()],
  () => ["GETRANGE", key(), integer(), integer()],
  () => [pick("INCR", "DECR"), key()],
  () => [pick("INCRBY", "DECRBY"), key(), integer()],
  () => ["INCRBYFLOAT", key(), score()],
  () => ["MGET", ...some(key)],
  () => ["MSET", ...some(() => [key(), value()])],
  () => ["MSETNX", key(), value(), key(), value()],
  () => ["SETNX", key(), value()],
  () => [pick("SETEX", "PSETEX"), key(), pick("100000", "0", "x"), value()],
  () => ["LCS", key(), key(), ...maybe("LEN", "IDX", "WITHMATCHLEN", ["MINMATCHLEN", "2"])],
];

const bits: Family = ({ pick, key, integer, some, maybe }) => [
  () => [
    ...["SETBIT", key(), pick("0", "7", "9", "100", "20000", "-1", "4294967296", "x")],
    pick("0", "1", "2"),
  ],
  () => ["GETBIT", key(), pick("0", "7", "9", "100", "-1")],
  () => ["BITCOUNT", key(), ...maybe([integer(), integer()], "BIT", "BYTE")],
  () => ["BITPOS", key(), pick("0", "1", "2"), ...maybe(integer(), integer(), "BIT")],
  () => ["BITOP", pick("AND", "OR", "XOR", "NOT", "X"), key(), ...some(key)],
  () => [
    pick("BITFIELD", "BITFIELD", "BITFIELD_RO"),
    key(),
    ...some(() => {
      const type = pick("u8", "i5", "u63", "i64", "u64", "u2", "x");
      const place = pick("0", "#1", "7", "-1");
      return pick("GET", "SET", "INCRBY", "OVERFLOW") === "OVERFLOW"
        ? ["OVERFLOW", pick("WRAP", "SAT", "FAIL", "X")]
        : pick("GET", "SET") === "GET"
          ? ["GET", type, place]
          : [pick("SET", "INCRBY"), type, place, integer()];
    }),
  ],
];

const keys: Family = ({ pick, key, some, maybe }) => [
  () => [pick("DEL", "UNLINK", "EXISTS", "TOUCH"), ...some(key)],
  () => ["TYPE", key()],
  () => [
    ...[pick("EXPIRE", "PEXPIRE"), key(), pick("100000", "-1", "1000000", "abc")],
    ...maybe("NX", "XX", "GT", "LT", "ZZ"),
  ],
  () => [
    ...["EXPIREAT", key(), pick("99999999999", "1", "88888888888")],
    ...maybe("NX", "XX", "GT", "LT"),
  ],
  () => [pick("PERSIST", "EXPIRETIME", "PEXPIRETIME"), key()],
  () => [pick("RENAME", "RENAMENX"), key(), key()],
  () => ["COPY", key(), key(), ...maybe("REPLACE", ["DB", "1"])],
  () => ["MOVE", key(), pick("0", "1", "2", "16", "x")],
  () => ["SELECT", pick("0", "0", "0", "0", "1", "99", "x")],
  () => ["SWAPDB", "0", pick("1", "0", "99", "x")],
  () => ["DBSIZE"],
  () => ["KEYS", pick("*", "a*", "[a-c]", "?", "\\a")],
];

const lists: Family = ({ pick, key, member, integer, some, maybe }) => {
  const end = (): string => pick("LEFT", "RIGHT", "left", "MIDDLE");
  return [
    () => [pick("LPUSH", "RPUSH", "LPUSHX", "RPUSHX"), key(), ...some(member)],
    () => [pick("LPOP", "RPOP"), key(), ...maybe(integer())],
    () => ["LLEN", key()],
    () => ["LRANGE", key(), integer(), integer()],
    () => ["LINDEX", key(), integer()],
    () => ["LSET", key(), integer(), member()],
    () => ["LINSERT", key(), pick("BEFORE", "AFTER", "X"), member(), member()],
    () => ["LREM", key(), integer(), member()],
    () => ["LTRIM", key(), pick("0", "1", "-3"), pick("-1", "2", "-2", "100")],
    () => [
      ...["LPOS", key(), member()],
      ...maybe(["RANK", integer()], ["COUNT", integer()], ["MAXLEN", integer()]),
    ],
    () => ["LMOVE", key(), key(), end(), end()],
    () => ["RPOPLPUSH", key(), key()],
    () => ["LMPOP", pick("1", "2", "0", "x"), key(), key(), end(), ...maybe(["COUNT", integer()])],
    () => [pick("BLPOP", "BRPOP"), key(), key(), pick("0.001", "-1", "x")],
    () => ["BLMPOP", "0.001", "1", key(), end()],
    () => ["BLMOVE", key(), key(), end(), end(), "0.001"],
  ];
};

const hashes: Family = ({ pick, key, member, value, integer, score, some }) => [
  () => [pick("HSET", "HMSET"), key(), ...some(() => [member(), value()])],
  () => ["HSETNX", key(), member(), value()],
  () => [pick("HGET", "HEXISTS", "HSTRLEN"), key(), member()],
  () => ["HMGET", key(), member(), member()],
  () => [pick("HGETALL", "HKEYS", "HVALS", "HLEN"), key()],
  () => ["HDEL", key(), ...some(member)],
  () => ["HINCRBY", key(), member(), integer()],
  () => ["HINCRBYFLOAT", key(), member(), score()],
];

const sets: Family = ({ pick, key, member, integer, some, maybe }) => [
  () => [pick("SADD", "SADD", "SREM"), key(), ...some(member)],
  () => ["SISMEMBER", key(), member()],
  () => ["SMISMEMBER", key(), member(), member()],
  () => [pick("SCARD", "SMEMBERS"), key()],
  () => ["SMOVE", key(), key(), member()],
  () => [pick("SINTER", "SUNION", "SDIFF"), ...some(key)],
  () => [pick("SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE"), key(), ...some(key)],
  () => ["SINTERCARD", pick("1", "2", "0", "x"), key(), key(), ...maybe(["LIMIT", integer()])],
  () => ["SPOP", key(), "100"],
];

const sortedSets: Family = (tools) => {
  const { pick, key, member, integer, score, bound, lexBound, some, maybe } = tools;
  const limit = (): Words => ["LIMIT", integer(), integer()];
  return [
    () => [
      ...["ZADD", key(), ...maybe("NX", "XX", "GT", "LT", "CH", "INCR")],
      ...some(() => [score(), member()]),
    ],
    () => ["ZADD", key(), ...some(() => [pick("1", "2", "3"), member()])],
    () => ["ZADD", LEX_KEY, ...some(() => ["0", member()])],
    () => ["ZINCRBY", key(), score(), member()],
    () => ["ZREM", key(), ...some(member)],
    () => [pick("ZSCORE", "ZRANK", "ZREVRANK"), key(), member()],
    () => ["ZMSCORE", key(), member(), member()],
    () => ["ZCARD", key()],
    () => ["ZCOUNT", key(), bound(), bound()],
    () => ["ZLEXCOUNT", LEX_KEY, lexBound(), lexBound()],
    () => [
      "ZRANGE",
      key(),
      integer(),
      integer(),
      ...maybe("REV", "WITHSCORES", "BYSCORE", limit()),
    ],
    () => ["ZRANGE", key(), bound(), bound(), "BYSCORE", ...maybe("REV", "WITHSCORES", limit())],
    () => [
      "ZRANGE",
      LEX_KEY,
      lexBound(),
      lexBound(),
      "BYLEX",
      ...maybe("REV", "WITHSCORES", limit()),
    ],
    () => ["ZREVRANGE", key(), integer(), integer(), ...maybe("WITHSCORES")],
    () => [
      pick("ZRANGEBYSCORE", "ZREVRANGEBYSCORE"),
      key(),
      bound(),
      bound(),
      ...maybe("WITHSCORES", limit()),
    ],
    () => [
      pick("ZRANGEBYLEX", "ZREVRANGEBYLEX"),
      LEX_KEY,
      lexBound(),
      lexBound(),
      ...maybe(limit()),
    ],
    () => ["ZRANGESTORE", key(), key(), integer(), integer(), ...maybe("REV", "BYSCORE")],
    () => ["ZREMRANGEBYRANK", key(), integer(), integer()],
    () => ["ZREMRANGEBYSCORE", key(), bound(), bound()],
    () => ["ZREMRANGEBYLEX", LEX_KEY, lexBound(), lexBound()],
    () => [pick("ZPOPMIN", "ZPOPMAX"), key(), ...maybe(integer())],
    () => [
      "ZMPOP",
      pick("1", "2", "0"),
      key(),
      key(),
      pick("MIN", "MAX", "x"),
      ...maybe(["COUNT", integer()]),
    ],
    () => [pick("BZPOPMIN", "BZPOPMAX"), key(), key(), "0.001"],
    () => ["BZMPOP", "0.001", "1", key(), "MAX", ...maybe(["COUNT", "2"])],
    () => [
      ...[pick("ZUNION", "ZINTER", "ZDIFF"), pick("1", "2", "0", "x"), key(), key()],
      ...maybe(
        "WITHSCORES",
        ["WEIGHTS", score(), score()],
        ["AGGREGATE", pick("SUM", "MIN", "MAX", "x")],
      ),
    ],
    () => [
      ...[pick("ZUNIONSTORE", "ZINTERSTORE", "ZDIFFSTORE"), key(), "2", key(), key()],
      ...maybe(["WEIGHTS", score(), score()], ["AGGREGATE", pick("SUM", "MIN", "MAX")]),
    ],
    () => ["ZINTERCARD", pick("1", "2", "0", "x"), key(), key(), ...maybe(["LIMIT", integer()])],
  ];
};

const others: Family = ({ pick, key, value, some, maybe }) => [
  () => [
    "SORT",
    key(),
    ...maybe("DESC", ["LIMIT", "0", "2"], ["BY", "w_*"], ["GET", pick("#", "d*")]),
  ],
  () => [
    "SORT",
    key(),
    "ALPHA",
    ...maybe("DESC", ["LIMIT", "1", "2"], ["GET", "#"], ["STORE", key()]),
  ],
  () => ["MULTI"],
  () => [pick("EXEC", "EXEC", "DISCARD", "UNWATCH")],
  () => ["WATCH", key()],
  () => ["PING"],
  () => ["ECHO", value()],
  () => [pick("GET", "LPUSH", "ZADD", "SELECT", "FOO", "HSET"), ...some(key)],
  () => (pick("FLUSHDB", "PING", "PING") === "FLUSHDB" ? ["FLUSHDB", ...maybe("x")] : ["PING"]),
];

const FAMILIES: readonly Family[] = [
  ...[
    strings,
    strings,
    bits,
    keys,
    keys,
    lists,
    lists,
    hashes,
    sets,
    sortedSets,
    sortedSets,
    others,
  ],
];
