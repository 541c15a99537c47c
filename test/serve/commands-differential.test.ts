/**
 * Random commands to Debian's redis-server and to the store, of two clients of each, in RESP2 and RESP3, one by one and many at once:
 * every reply must be the same.
 *
 * Where replies may differ:
 * - What has no order in Redis (`UNORDERED`, and what is scanned) is compared in one.
 * - What is picked by chance (`PICKED`): whether there is something, and how much. If all is asked for, all of it.
 * - How Redis keeps a short string depends on the command that made it: that it is one, is the same (`OBJECT ENCODING`).
 * - Redis keeps a sorted set in another way once it was sorted, and then ZSCAN writes its scores
 *   in another way. Reads change nothing in the store.
 * - `SORT` of words as numbers: Redis looks at an error number that an earlier command may have left behind, and refuses.
 * - Times (`TIMES`): the two clocks are read a moment apart.
 */

import { expect, test } from "vitest";
import { Random } from "../../src/index.ts";
import { commandTable } from "../../src/kv/commands.ts";
import { seeds } from "../support/soak.ts";
import { RandomCommands } from "./random-commands.ts";
import { lacksRedis, startRedis } from "./redis.ts";
import { type Heard, startStore, TestClient } from "./store.ts";

/** Commands of one seed. */
const COMMANDS = 500;
const UNORDERED: ReadonlySet<string> = new Set([
  ...["SMEMBERS", "HKEYS", "HVALS", "HGETALL", "SINTER", "SUNION", "SDIFF", "SPOP", "KEYS"],
]);
const SCANS: ReadonlySet<string> = new Set(["SCAN", "SSCAN", "HSCAN", "ZSCAN"]);
const PICKED: ReadonlySet<string> = new Set([
  ...["RANDOMKEY", "SRANDMEMBER", "HRANDFIELD", "ZRANDMEMBER"],
]);
const ENCODINGS: ReadonlyMap<string, string> = new Map([
  ...["$int", "$embstr", "$raw"].map((name) => [name, "a string"] as const),
  ["$skiplist", "$listpack"],
]);
const NOT_NUMBERS = "-ERR One or more scores can't be converted into double";
/** With how far apart they may be: the time of a whole seed. */
const TIMES: ReadonlyMap<string, number> = new Map([
  ...([
    ["TTL", 60],
    ["EXPIRETIME", 60],
    ["PTTL", 60_000],
    ["PEXPIRETIME", 60_000],
  ] as const),
]);
/** Groups about connections and servers, and a command that is about them too: they have tests of their own. */
const UNTRIED: ReadonlySet<string> = new Set([
  "connection",
  "pubsub",
  "server",
  "tidemark",
  "wait",
]);

type Words = readonly string[];

/** The parts of a reply in an order of their own; pairs stay together. */
function sorted(parts: readonly Heard[], inPairs: boolean): string[] {
  const texts: string[] = [];
  for (let i = 0; i < parts.length; i += inPairs ? 2 : 1)
    texts.push(JSON.stringify(parts.slice(i, inPairs ? i + 2 : i + 1)));
  return texts.sort();
}

/** `inf` is no number of the language, but the same text from both. */
function scoreOf(heard: Heard): Heard {
  const score = Number(String(heard).slice(1));
  return Number.isNaN(score) ? heard : String(score);
}

/** A reply that can be compared. */
function comparable(words: Words, heard: Heard): Heard {
  const name = words[0] as string;
  if (typeof heard === "string") {
    if (name === "OBJECT") return ENCODINGS.get(heard) ?? heard;
    const isPicked = PICKED.has(name) && heard.startsWith("$") && heard !== "$-1";
    return isPicked ? "any" : heard;
  }
  const [type = "", ...parts] = heard;
  if (UNORDERED.has(name)) return [type, ...sorted(parts, name === "HGETALL")];
  if (SCANS.has(name)) {
    const [cursor = "", [kind = "", ...found] = []] = parts;
    const plain =
      name === "ZSCAN" ? found.map((one, i) => (i % 2 === 0 ? one : scoreOf(one))) : found;
    return [cursor, kind, ...sorted(plain, name === "HSCAN" || name === "ZSCAN")];
  }
  if (!PICKED.has(name)) return heard;
  if (words[2] !== "100") return [type, String(parts.length)];
  return [type, ...sorted(parts, words.length > 3 && typeof parts[0] === "string")];
}

function isSame(words: Words, expected: Heard, heard: Heard): boolean {
  const [name] = words as [string];
  if (name.startsWith("SORT") && expected === NOT_NUMBERS && typeof heard !== "string") return true;
  const apart = TIMES.get(name);
  const [time = 0, otherTime = 0] = [expected, heard].map((one) => Number(String(one).slice(1)));
  if (apart !== undefined && time > 0 && otherTime > 0) return Math.abs(time - otherTime) <= apart;
  return JSON.stringify(comparable(words, expected)) === JSON.stringify(comparable(words, heard));
}

/** The replies of a transaction are each compared as that of its command. */
function isSameOfAll(queued: readonly Words[], expected: Heard, heard: Heard): boolean {
  if (typeof expected === "string" || typeof heard === "string") return expected === heard;
  return (
    expected.length === queued.length + 1 &&
    heard.length === expected.length &&
    queued.every((words, i) => isSame(words, expected[i + 1] as Heard, heard[i + 1] as Heard))
  );
}

/** A client of each, which are asked the same. */
class Pair {
  readonly #redis: TestClient;
  readonly #store: TestClient;
  #queued: Words[] = [];

  constructor(redisPort: number, storePort: number) {
    this.#redis = new TestClient(redisPort);
    this.#store = new TestClient(storePort);
  }

  /** Asks all at once. Gives what they answer to each, and whether that is the same. */
  async ask(asked: readonly Words[]): Promise<{ replies: readonly Heard[]; isSame: boolean }[]> {
    const [expected, heard] = (await Promise.all(
      [this.#redis, this.#store].map((client) =>
        Promise.all(asked.map((words) => client.ask(...words))),
      ),
    )) as [Heard[], Heard[]];
    return asked.map((words, i) => this.#compare(words, expected[i] as Heard, heard[i] as Heard));
  }

  #compare(words: Words, expected: Heard, heard: Heard): { replies: Heard[]; isSame: boolean } {
    const replies = [expected, heard];
    if (words[0] === "EXEC" && words.length === 1) {
      const queued = this.#queued;
      this.#queued = [];
      return { replies, isSame: isSameOfAll(queued, expected, heard) };
    }
    if (words[0] === "MULTI" && expected === "+OK") this.#queued = [];
    if (expected === "+QUEUED") this.#queued.push(words);
    return { replies, isSame: isSame(words, expected, heard) };
  }

  end(): void {
    this.#redis.socket.destroy();
    this.#store.socket.destroy();
  }
}

test.skipIf(lacksRedis)("the same replies as Redis", { timeout: 36_000_000 }, async () => {
  const redisPort = await startRedis();
  const [store] = await startStore(1);
  for (const seed of seeds("kv-differential", 10, 2_000)) {
    const random = new Random(`differential ${seed}`);
    const commands = new RandomCommands(seed);
    const pairs = [0, 1].map(() => new Pair(redisPort, store?.server.port ?? 0));
    const [first, second] = pairs as [Pair, Pair];
    await first.ask([["HELLO", random.pick(["2", "3"]) as string], ["FLUSHALL"]]);
    await second.ask([["HELLO", random.pick(["2", "3"]) as string]]);
    const all: string[] = [];
    while (all.length < COMMANDS) {
      const asked: Words[] = [];
      for (let i = random.pick([1, 1, 2, 5, 20]) as number; i > 0; i -= 1)
        asked.push(commands.next());
      const pair = random.chance(0.8) ? first : second;
      for (const [i, { replies, isSame }] of (await pair.ask(asked)).entries()) {
        all.push(`${pair === first ? 1 : 2}: ${JSON.stringify(asked[i])}`);
        if (isSame) continue;
        const [expected, heard] = replies;
        expect(heard, `seed ${seed}, after\n${all.slice(-20).join("\n")}\n`).toEqual(expected);
      }
    }
    for (const pair of pairs) pair.end();
  }
});

test("the random commands are of all families, and of every command in them", () => {
  const commands = new RandomCommands(0);
  const tried = new Set(Array.from({ length: 20_000 }, () => commands.next()[0]?.toLowerCase()));
  const missing = commandTable.commands.filter(
    ({ name, group }) => !UNTRIED.has(group) && !UNTRIED.has(name) && !tried.has(name),
  );
  expect(missing.map(({ name }) => name)).toEqual([]);
});
