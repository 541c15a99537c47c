/**
 * All keys of a server that runs, as `SCAN` gives them: each as it is at one moment, but each at another. `DUMP` gives a value as a
 * whole; a server that has none, as a store of ours, is asked by type.
 */

import { partsOf } from "../kv/key-part.ts";
import { type RdbEvent, readDump } from "../kv/rdb.ts";
import { Reply } from "../kv/reply.ts";
import { ErrorReply, type ServerReply } from "../kv/reply-reader.ts";
import type { TypeName } from "../kv/value.ts";
import type { RedisConnection } from "../serve/redis-connection.ts";

/** Keys that are asked for at a time: their values are held. */
const KEYS_AT_ONCE = 64;

/** What gives all of a value, by its type. */
const READS: Readonly<Record<TypeName, (key: string) => readonly string[]>> = {
  string: (key) => ["GET", key],
  list: (key) => ["LRANGE", key, "0", "-1"],
  set: (key) => ["SMEMBERS", key],
  hash: (key) => ["HGETALL", key],
  zset: (key) => ["ZRANGE", key, "0", "-1", "WITHSCORES"],
};

/** How many keys each database has. */
export async function databasesOf(
  connection: RedisConnection,
): Promise<ReadonlyMap<number, number>> {
  const text = String(await connection.ask("INFO", "keyspace"));
  const found = [...text.matchAll(/^db(\d+):keys=(\d+)/gm)];
  return new Map(found.map(([, db, keys]) => [Number(db), Number(keys)]));
}

/** See the head of the file. A key may come twice if the server grows meanwhile. */
export async function* liveKeys(
  connection: RedisConnection,
  databases: Iterable<number>,
): AsyncGenerator<RdbEvent, void> {
  const has = async (...words: readonly string[]): Promise<boolean> => {
    const requests = new Reply();
    requests.bulks(words);
    const [reply = null] = await connection.send(requests, 1);
    return !(reply instanceof ErrorReply);
  };
  const source: Source = {
    connection,
    dumps: await has("DUMP", ""),
    knowsDeadlines: await has("PEXPIRETIME", ""),
  };
  for (const db of databases) {
    await connection.ask("SELECT", String(db));
    let cursor = "0";
    do {
      const found = await connection.ask("SCAN", cursor, "COUNT", "1000");
      const [next, keys] = found as readonly [string, readonly string[]];
      for (let at = 0; at < keys.length; at += KEYS_AT_ONCE)
        yield* someKeys(source, db, keys.slice(at, at + KEYS_AT_ONCE));
      cursor = next;
    } while (cursor !== "0");
  }
}

interface Source {
  readonly connection: RedisConnection;
  /** The server has `DUMP`. */
  readonly dumps: boolean;
  /** It has `PEXPIRETIME`, since Redis 7.0. */
  readonly knowsDeadlines: boolean;
}

/** In one go: when each expires, and what `words` ask of it. */
async function asked(
  { connection, knowsDeadlines }: Source,
  keys: readonly string[],
  words: (key: string) => readonly string[],
): Promise<readonly (readonly [key: string, deadline: number | undefined, reply: ServerReply])[]> {
  const requests = new Reply();
  for (const key of keys) {
    requests.bulks([knowsDeadlines ? "PEXPIRETIME" : "PTTL", key]);
    requests.bulks(words(key));
  }
  const replies = await connection.send(requests, 2 * keys.length);
  return keys.map((key, i) => {
    const at = Number(connection.checked(replies[2 * i] ?? null));
    const deadline = at < 0 ? undefined : knowsDeadlines ? at : Date.now() + at;
    return [key, deadline, replies[2 * i + 1] ?? null];
  });
}

async function* someKeys(
  source: Source,
  db: number,
  keys: readonly string[],
): AsyncGenerator<RdbEvent, void> {
  const { connection, dumps } = source;
  if (dumps) {
    for (const [key, deadline, reply] of await asked(source, keys, (one) => ["DUMP", one])) {
      const payload = connection.checked(reply);
      // Whoever is gone by now has no value.
      if (typeof payload === "string")
        yield* readDump(payload, { db, key, deadline }, `what ${connection.name} has for a key`);
    }
    return;
  }
  // A key may get another type between two questions: then it is asked for again.
  for (let left = keys; left.length > 0; ) {
    const types = new Map<string, TypeName>();
    for (const [key, , reply] of await asked(source, left, (one) => ["TYPE", one])) {
      const type = String(connection.checked(reply));
      if (Object.hasOwn(READS, type)) types.set(key, type as TypeName);
      else if (type !== "none") yield { leftOut: type, name: key, db };
    }
    const read = (key: string): readonly string[] => READS[types.get(key) as TypeName](key);
    left = [];
    for (const [key, deadline, reply] of await asked(source, [...types.keys()], read)) {
      if (reply instanceof ErrorReply && reply.message.startsWith("WRONGTYPE"))
        left = [...left, key];
      else if (connection.checked(reply) !== null) {
        const elements = (typeof reply === "string" ? [reply] : reply) as readonly string[];
        yield* partsOf({ db, key, deadline, type: types.get(key) as TypeName }, elements);
      }
    }
  }
}
