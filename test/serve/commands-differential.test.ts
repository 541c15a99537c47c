/**
 * Random commands to Debian's redis-server and to the store: every reply must be the same. Not where there is no redis-server; .ci/run
 * installs it.
 */

import { expect, test } from "vitest";
import { seeds } from "../support/soak.ts";
import { RandomCommands } from "./random-commands.ts";
import { lacksRedis, startRedis } from "./redis.ts";
import { type Heard, startStore, TestClient } from "./store.ts";

/** Commands of one seed. */
const COMMANDS = 250;
/** Their replies are in no order. */
const UNORDERED: ReadonlySet<string> = new Set([
  ...["SMEMBERS", "HKEYS", "HVALS", "HGETALL", "SINTER", "SUNION", "SDIFF", "SPOP", "KEYS"],
]);

const TIMES: ReadonlySet<string> = new Set(["EXPIRETIME", "PEXPIRETIME"]);

const NOT_NUMBERS = "-ERR One or more scores can't be converted into double";

/** A reply that can be compared: where there is no order, put in one. */
function comparable(name: string, heard: Heard): string {
  // The two have begun to count at moments that are a little apart.
  if (TIMES.has(name) && /^:\d{4}/.test(String(heard))) return "a time";
  if (!UNORDERED.has(name) || typeof heard === "string") return JSON.stringify(heard);
  const [type, ...parts] = heard;
  const texts: string[] = [];
  if (name === "HGETALL")
    for (let i = 0; i < parts.length; i += 2)
      texts.push(`${JSON.stringify(parts[i])} ${JSON.stringify(parts[i + 1])}`);
  else texts.push(...parts.map((part) => JSON.stringify(part)));
  return `${JSON.stringify(type)} ${texts.sort().join(" ")}`;
}

/** The same, for the replies of a transaction each by its command. */
function comparableAll(names: readonly string[], heard: Heard): string {
  if (typeof heard === "string" || heard.length !== names.length + 1) return JSON.stringify(heard);
  return heard
    .map((part, i) => (i === 0 ? "" : comparable(names[i - 1] as string, part)))
    .join("\n");
}

test.skipIf(lacksRedis).each(["2", "3"])(
  "the same replies as Redis, in RESP%s",
  { timeout: 36_000_000 },
  async (protocol) => {
    const redisPort = await startRedis();
    const [store] = await startStore(1);
    for (const seed of seeds("kv-differential", 25, 2_000)) {
      const commands = new RandomCommands(2 * seed + Number(protocol) - 2);
      const redis = new TestClient(redisPort);
      const own = new TestClient(store?.server.port ?? 0);
      for (const client of [redis, own]) {
        await client.ask("HELLO", protocol);
        await client.ask("FLUSHALL");
      }
      const asked: (readonly string[])[] = [];
      let queued: string[] = [];
      for (let i = 0; i < COMMANDS; i += 1) {
        const words = commands.next();
        asked.push(words);
        const [name = ""] = words;
        const [expected, heard] = await Promise.all([redis.ask(...words), own.ask(...words)]);
        const same =
          name === "EXEC"
            ? comparableAll(queued, expected) === comparableAll(queued, heard)
            : comparable(name, expected) === comparable(name, heard);
        // Redis looks at an error number that an earlier command may have left behind.
        const isStale = name === "SORT" && expected === NOT_NUMBERS && typeof heard !== "string";
        if (!same && !isStale) {
          const latest = asked.slice(-10).map((one) => JSON.stringify(one));
          expect(heard, `seed ${seed}, after\n${latest.join("\n")}\n`).toEqual(expected);
        }
        if (heard === "+QUEUED") queued.push(name);
        else if (name === "EXEC" || (name === "MULTI" && heard === "+OK")) queued = [];
      }
      redis.socket.destroy();
      own.socket.destroy();
    }
  },
);
