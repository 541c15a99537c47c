/** A Redis with random keys of all types, small and large, kept in all the ways there are; and what a server has. */

import type { Random } from "../../src/index.ts";
import { type Found, settled } from "../kv/rdb-files.ts";
import type { Heard, TestClient } from "./store.ts";

const DATABASES = [0, 1, 9];
/** From when small collections are kept as large ones, so that some of each are there. */
const SETTINGS: Readonly<Record<string, readonly string[]>> = {
  "list-max-listpack-size": ["-2", "-1", "3", "128"],
  "list-compress-depth": ["0", "1"],
  "hash-max-listpack-entries": ["512", "2"],
  "set-max-intset-entries": ["512", "2"],
  "zset-max-listpack-entries": ["128", "2"],
  rdbcompression: ["yes", "no"],
};

/** Sends all at once, and gives the replies. */
export async function askAll(
  client: TestClient,
  requests: readonly (readonly string[])[],
): Promise<Heard[]> {
  for (const words of requests) client.send(...words);
  const replies: Heard[] = [];
  for (const _ of requests) replies.push(await client.next());
  const refused = replies.find((reply) => typeof reply === "string" && reply.startsWith("-"));
  if (refused !== undefined) throw new Error(String(refused));
  return replies;
}

/** Different texts: numbers of all sizes, bytes, what can be packed, and what is long. */
function texts(random: Random, count: number): string[] {
  const found = new Set<string>();
  while (found.size < count) {
    const kind = random.below(6);
    if (kind === 0) found.add(String(BigInt(random.below(2 ** 32)) ** 2n / 2n - 2n ** 62n));
    else if (kind === 1) found.add(String(random.below(70_000) - 35_000));
    else if (kind === 2)
      found.add(
        Array.from({ length: random.below(30) }, () => String.fromCharCode(random.below(256))).join(
          "",
        ),
      );
    else if (kind === 3 && random.below(20) === 0)
      found.add(`${random.below(1e6)}`.repeat(1 + random.below(2_000)));
    else found.add(`text ${random.below(1e9)}`);
  }
  return [...found];
}

/** Fills a Redis. All keys of one kind are of the same settings. */
export async function fill(client: TestClient, random: Random, keys: number): Promise<void> {
  const requests: string[][] = [["FLUSHALL"]];
  for (const db of DATABASES) {
    requests.push(["SELECT", String(db)]);
    for (const [name, values] of Object.entries(SETTINGS))
      requests.push(["CONFIG", "SET", name, random.pick(values) ?? ""]);
    for (const key of texts(random, keys)) {
      const many = random.below(15) === 0 ? 700 : 1 + random.below(20);
      const some = texts(random, many);
      const numbers = some.map(() => String(random.below(2 ** (8 * (1 + random.below(4))))));
      const pairs = some.flatMap((one, i) => [one, numbers[i] as string]);
      const scores = some.flatMap((one) => [scoreOf(random), one]);
      requests.push(
        random.pick([
          ["SET", key, some[0] as string],
          ["RPUSH", key, ...some, ...numbers],
          ["SADD", key, ...some],
          ["SADD", key, ...numbers],
          ["HSET", key, ...pairs],
          ["ZADD", key, ...scores],
        ]) ?? [],
      );
      if (random.below(3) === 0)
        requests.push(["PEXPIRE", key, String(1e6 + random.below(2 ** 40))]);
    }
  }
  await askAll(client, [...requests, ["SELECT", "0"]]);
}

function scoreOf(random: Random): string {
  const scores = ["inf", "-inf", "0.1", "-0.0001", "3", "1e300", "12345678901234567"];
  return random.pick([...scores, String(random.fraction() * 1e6)]) ?? "0";
}

const READS: Readonly<Record<string, (key: string) => readonly string[]>> = {
  string: (key) => ["GET", key],
  list: (key) => ["LRANGE", key, "0", "-1"],
  set: (key) => ["SMEMBERS", key],
  hash: (key) => ["HGETALL", key],
  zset: (key) => ["ZRANGE", key, "0", "-1", "WITHSCORES"],
};

/** All keys that have a type of the store, each with its database in front. */
export async function keysOfServer(client: TestClient): Promise<Map<string, Found>> {
  const found = new Map<string, Found>();
  const plain = (heard: Heard | undefined): string => String(heard).slice(1);
  for (let db = 0; db < 16; db += 1) {
    const [, listed] = await askAll(client, [
      ["SELECT", String(db)],
      ["KEYS", "*"],
    ]);
    const keys = (listed as readonly Heard[]).slice(1).map(plain);
    const types = (
      await askAll(
        client,
        keys.map((key) => ["TYPE", key]),
      )
    ).map(plain);
    const known = keys.flatMap((key, i) => {
      const read = READS[types[i] as string];
      return read ? [[key, types[i] as string, read(key)] as const] : [];
    });
    const values = await askAll(
      client,
      known.map(([, , words]) => words),
    );
    const deadlines = await askAll(
      client,
      known.map(([key]) => ["PEXPIRETIME", key]),
    );
    for (const [i, [key, type]] of known.entries()) {
      const value = values[i] as Heard;
      const elements = typeof value === "string" ? [plain(value)] : value.slice(1).map(plain);
      const numbered =
        type === "zset"
          ? elements.map((one, at) =>
              at % 2 === 0 ? one : String(Number(one.replace("inf", "Infinity"))),
            )
          : elements;
      const at = Number(plain(deadlines[i]));
      found.set(`${db}:${key}`, {
        type,
        deadline: at < 0 ? undefined : at,
        elements: settled(type, numbered),
      });
    }
  }
  await askAll(client, [["SELECT", "0"]]);
  return found;
}
