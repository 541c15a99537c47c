/**
 * What clients ask of keys that converge. In most worlds nothing is taken away and every value is another one, so that each read tells
 * whose writes it saw: texts, fields and scores that are put, members that are added, and counters to each of which every power of two is
 * added once. In wild worlds anything is asked of anything.
 */

import type { Random } from "../../../src/core/random.ts";
import type { Access, Operation } from "../../../src/trace.ts";
import type { Step, Words } from "./callers.ts";

/** Keys of the namespace. */
export const PATTERN = "c:*";
export const isInNamespace = (key: string): boolean => key.startsWith("c:");
/** One that is of any type. */
const MIXED = "c:any";

const TEXTS: readonly string[] = ["c:s0", "c:s1", "c:s2"];
const FIELDS: readonly string[] = ["f0", "f1"];
/** So often a counter, which is a string or in a hash or a sorted set, is added to: its sum is exact. */
const COUNTS_MAX = 50;

const words = (text: string): Words => text.split(" ");

/** All that there is to see at one replica. */
export const READS: readonly Words[] = [
  ["MGET", ...TEXTS],
  words("HMGET c:h0 f0 f1"),
  words("ZSCORE c:z0 m0"),
  words("SMEMBERS c:u0"),
  words("GET c:n0"),
  words("HGET c:hn n"),
  words("ZSCORE c:zn n"),
];

/** What clients of one world ask. */
export class Asking {
  readonly #random: Random;
  readonly #isWild: boolean;
  readonly #counts = new Map<string, number>();

  constructor(random: Random, isWild: boolean) {
    this.#random = random;
    this.#isWild = isWild;
  }

  draw(value: string): Step[] {
    const random = this.#random;
    // Keys in total order are written beside them.
    if (random.chance(0.05)) return [words(`SET t0 ${value}`)];
    if (this.#isWild && random.chance(0.8)) return [this.#wild(value)];
    const text = random.pick(TEXTS) as string;
    const field = random.pick(FIELDS) as string;
    const choices: readonly (() => Words)[] = [
      () => words(`SET ${text} ${value}`),
      () => words(`GETSET ${text} ${value}`),
      () => words(`MSET c:s0 ${value} c:s1 ${value}`),
      () => words(`HSET c:h0 ${field} ${value}`),
      () => words(`HSET c:h0 f0 ${value} f1 ${value}`),
      () => words(`ZADD c:z0 ${this.#count("c:z0")} m0`),
      () => words(`SADD c:u0 ${value} ${value}+`),
      () => this.#add("c:n0", (by) => `INCRBY c:n0 ${by}`),
      () => this.#add("c:hn", (by) => `HINCRBY c:hn n ${by}`),
      () => this.#add("c:zn", (by) => `ZINCRBY c:zn ${by} n`),
    ];
    const write = random.pick(choices) as () => Words;
    return [
      random.chance(0.5)
        ? write()
        : random.chance(0.5)
          ? words(`GET ${text}`)
          : (random.pick(READS) as Words),
    ];
  }

  #count(key: string): number {
    const count = 1 + (this.#counts.get(key) ?? 0);
    this.#counts.set(key, count);
    return count;
  }

  #add(key: string, write: (by: number) => string): Words {
    const count = this.#count(key);
    return count > COUNTS_MAX ? words("GET c:n0") : words(write(2 ** (count - 1)));
  }

  #wild(value: string): Words {
    const random = this.#random;
    const number = random.below(20) - 5;
    const ms = random.pick([1, 20, 100, 1_000]) as number;
    const name = `m${random.below(3)}`;
    const [s, h, u, z] = ["c:s0", "c:h0", "c:u0", "c:z0"].map((key) =>
      random.chance(0.2) ? MIXED : key,
    );
    const any = random.pick([s, h, u, z]) as string;
    return words(
      random.pick([
        `SET ${s} ${value} PX ${ms}`,
        `SET ${s} ${number} KEEPTTL`,
        `INCRBY ${s} ${number}`,
        `GETDEL ${s}`,
        `GETEX ${s} PX ${ms}`,
        `DEL ${any}`,
        `DEL ${s} ${u}`,
        `PEXPIRE ${any} ${ms}`,
        `PERSIST ${any}`,
        `HSET ${h} ${name} ${number}`,
        `HINCRBY ${h} ${name} ${number}`,
        `HDEL ${h} ${name} m0`,
        `SADD ${u} ${name} m0`,
        `SREM ${u} ${name}`,
        `ZADD ${z} ${number} ${name}`,
        `ZADD ${z} INCR ${number / 7} ${name}`,
        `ZREM ${z} ${name}`,
        `TYPE ${any}`,
        `EXISTS ${any}`,
      ]) as string,
    );
  }
}

/** It is about one of the keys above, of which every write can be told. */
export const isJudged = ([, key = ""]: Words): boolean => isInNamespace(key);

/** Powers of two that make a sum. */
function powersIn(sum: unknown): readonly string[] {
  const all: string[] = [];
  let rest = BigInt(String(sum ?? 0));
  for (let power = 1n; rest > 0n; power *= 2n, rest /= 2n)
    if (rest % 2n === 1n) all.push(String(power));
  return all;
}

/** For the checker: what an operation put, added and saw. */
export function accessesOf({ command, reply, returnedAt }: Operation): readonly Access[] {
  const [name = "", key = "", ...rest] = command;
  const [first = "", second = ""] = rest;
  const isAnswered = returnedAt !== undefined;
  if (isAnswered && typeof reply === "object" && reply !== null && "error" in reply)
    throw new Error(`${command} was refused: ${reply.error}`);
  const saw = (one: unknown): Pick<Access, "saw"> =>
    isAnswered ? { saw: one === null || one === undefined ? [] : [String(one)] } : {};
  const many = (reply ?? []) as readonly unknown[];
  const added = (by: string): readonly Access[] => [
    { key, add: by, ...(isAnswered && { saw: powersIn(BigInt(String(reply)) - BigInt(by)) }) },
  ];
  switch (name) {
    case "SET":
      return [{ key, put: first }];
    case "GETSET":
      return [{ key, put: first, ...saw(reply) }];
    case "MSET":
      return [0, 2].map((i) => ({ key: command[1 + i] as string, put: command[2 + i] as string }));
    case "HSET":
      return rest.flatMap((field, i) =>
        i % 2 === 0 ? [{ key: `${key}.${field}`, put: rest[i + 1] as string }] : [],
      );
    case "ZADD":
      return [{ key: `${key}.${second}`, put: first }];
    case "SADD":
      return rest.map((add) => ({ key, add }));
    case "INCRBY":
      return added(first);
    case "HINCRBY":
      return added(second);
    case "ZINCRBY":
      return added(first);
    default:
  }
  if (!isAnswered) return [];
  switch (name) {
    case "GET":
      return [key === "c:n0" ? { key, saw: powersIn(reply) } : { key, ...saw(reply) }];
    case "HGET":
      return [{ key, saw: powersIn(reply) }];
    case "ZSCORE":
      return [
        key === "c:zn" ? { key, saw: powersIn(reply) } : { key: `${key}.${first}`, ...saw(reply) },
      ];
    case "MGET":
      return [key, ...rest].map((one, i) => ({ key: one, ...saw(many[i]) }));
    case "HMGET":
      return rest.map((field, i) => ({ key: `${key}.${field}`, ...saw(many[i]) }));
    case "SMEMBERS":
      return [{ key, saw: many.map(String) }];
    default:
      throw new Error(`nobody asks ${command}`);
  }
}
