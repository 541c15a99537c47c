// ioredis, as programs use it: it hears from the store what it hears from redis-server.
import { Redis } from "ioredis";
import { describe, expect, onTestFinished, test } from "vitest";
import { until } from "../cli/support/command.ts";
import { lacksRedis, startRedis } from "./redis.ts";
import { startStore } from "./store.ts";

/** A client that is gone when the test is over. */
function clientOf(port: number, options: object): Redis {
  const client = new Redis(port, "127.0.0.1", { ...options, retryStrategy: () => 20 });
  client.on("error", () => {});
  onTestFinished(() => client.disconnect());
  return client;
}

/** What it gives, or what is wrong. */
const outcome = (promise: Promise<unknown>): Promise<unknown> =>
  promise.catch((error: Error) => `${error.name}: ${error.message}`);

async function collected(stream: AsyncIterable<readonly string[]>): Promise<string[]> {
  const found = new Set<string>();
  for await (const some of stream) for (const one of some) found.add(one);
  return [...found].sort();
}

const BYTES = Buffer.from([0, 255, 13, 10, 36, 42, 128]);

/** What programs do; gives all that was heard, but for what is of one server or of one moment. */
async function talk(port: number, options: object): Promise<unknown[]> {
  const client = clientOf(port, options);
  const heard: unknown[] = [];
  const hear = async (...promises: readonly Promise<unknown>[]): Promise<void> => {
    heard.push(...(await Promise.all(promises.map(outcome))));
  };
  await hear(client.ping(), client.set("name", "ada"), client.get("name"), client.get("nothing"));
  await hear(
    client.set("soon", "x", "PX", 30),
    client.set("name", "y", "NX"),
    client.getset("name", "eve"),
  );
  await until("what was said", async () => (await client.exists("soon")) === 0);
  await hear(
    client.ttl("soon"),
    client.expire("name", 100),
    client.persist("name"),
    client.ttl("name"),
  );
  await hear(
    client.mset({ a: 1, b: "2" }),
    client.mget("a", "none", "b"),
    client.incrbyfloat("a", "1.5"),
  );
  await hear(
    client.hset("hash", { f: "v", g: 2 }),
    client.hgetall("hash"),
    client.hgetall("nothing"),
  );
  await hear(
    client.zadd("zset", 1, "a", 2.5, "b"),
    client.zrange("zset", "0", "-1", "WITHSCORES"),
    client.zscore("zset", "b"),
  );
  await hear(
    client.rpush("list", "a", "b", "c"),
    client.lrange("list", 0, -1),
    client.lpos("list", "c"),
  );
  await hear(
    client.sadd("set", "x", "y"),
    client.sismember("set", "x"),
    client.smismember("set", "x", "z"),
  );
  // Bytes.
  await hear(client.set(BYTES, BYTES), client.getBuffer(BYTES), client.strlen(BYTES));
  await hear(
    client.hset("bytes", BYTES, BYTES),
    client.hgetallBuffer("bytes"),
    client.hgetBuffer("bytes", BYTES),
  );
  await hear(
    client.set("unicode", "größer ✓"),
    client.get("unicode"),
    client.getrange("unicode", 0, 2),
  );
  // Errors.
  await hear(
    client.lpush("name", "x"),
    client.incr("name"),
    client.call("nosuch", "x"),
    client.call("get"),
  );
  // Many at once.
  await hear(
    client
      .pipeline()
      .set("p", 1)
      .incr("p")
      .lpush("p", "x")
      .get("p")
      .exec((_, results) => heard.push(results)),
    client.multi().incr("p").get("p").hgetall("hash").exec(),
    client.multi().incr("p").lpush("p", "x").get("p").exec(),
    client.multi().set("q", 1).call("nosuch").exec(),
  );
  await client.multi({ pipeline: false });
  await hear(client.set("q", "2"), client.get("q"), client.exec());
  await client.multi({ pipeline: false });
  await hear(client.set("q", "3"), client.discard(), client.get("q"));
  // Somebody else changes what is watched.
  const other = clientOf(port, options);
  await hear(client.watch("watched"));
  await hear(other.set("watched", "x"));
  await hear(client.multi().set("watched", "y").exec(), client.get("watched"));
  await hear(client.watch("watched"), client.unwatch(), client.multi().set("watched", "z").exec());
  // Waiting.
  const waiting = [
    client.blpop("queue", 5),
    client.bzpopmin("queue:z", 5),
    client.blmove("queue", "done", "LEFT", "RIGHT", 5),
  ];
  await hear(
    other.rpush("queue", "1", "2"),
    other.zadd("queue:z", 3, "m"),
    ...waiting,
    client.brpop("queue", "none", 0.05),
  );
  // Scans.
  await Promise.all(Array.from({ length: 300 }, (_, i) => client.mset(`many:${i}`, i)));
  await client.sadd("members", ...Array.from({ length: 1_000 }, (_, i) => `m${i}`));
  await client.hset("fields", ...Array.from({ length: 1_000 }, (_, i) => String(i)));
  heard.push(await collected(client.scanStream({ match: "many:*", count: 50 })));
  heard.push(await collected(client.scanStream({ type: "hash" })));
  heard.push(await collected(client.sscanStream("members", { count: 50 })));
  heard.push(await collected(client.hscanStream("fields", { match: "99*" })));
  heard.push(await collected(client.zscanStream("zset")));
  // Databases, and keys with a prefix.
  const third = clientOf(port, {
    ...options,
    db: 3,
    keyPrefix: "own:",
    enableAutoPipelining: true,
  });
  await hear(
    third.set("k", "v"),
    third.get("k"),
    third.mget("k", "l"),
    third.keys("*"),
    third.dbsize(),
  );
  await hear(client.swapdb(0, 3));
  await hear(third.get("k"));
  await hear(client.get("own:k"), client.swapdb(0, 3), client.move("a", 3));
  // Channels and events.
  const listener = clientOf(port, options);
  const told: unknown[][] = [];
  listener.on("message", (channel, message) => told.push([channel, message]));
  listener.on("pmessage", (pattern, channel, message) => told.push([pattern, channel, message]));
  listener.on("messageBuffer", (channel: Buffer, message: Buffer) => told.push([channel, message]));
  await hear(listener.subscribe("news", "talk"), listener.psubscribe("n*", "__key*__:*"));
  await hear(client.config("SET", "notify-keyspace-events", "KEA"));
  await client.publish("news", "hello");
  await client.publish("talk", BYTES);
  await client.multi().set("e", 1).expire("e", 100).del("e").publish("news", "last").exec();
  await until("what was said", () => told.filter((one) => one.at(-1) === "last").length === 2);
  heard.push(
    told,
    await listener.unsubscribe("news", "talk"),
    await listener.punsubscribe("n*", "__key*__:*"),
  );
  heard.push(await listener.get("name"), await client.config("SET", "notify-keyspace-events", ""));
  await hear(client.flushall(), client.dbsize(), client.quit());
  return heard;
}

describe.each([{ protocol: 2 }, { protocol: 3 }, { protocol: 3, replyMapping: "resp3" }])(
  "with %j",
  (options) => {
    test.skipIf(lacksRedis)("all of it is heard as from redis", async () => {
      const [, member] = await startStore(2);
      const [ours, theirs] = await Promise.all([
        talk(member?.server.port ?? 0, options),
        talk(await startRedis(), options),
      ]);
      expect(ours.length).toBeGreaterThan(80);
      for (const [i, one] of ours.entries())
        expect({ i, heard: one }).toEqual({ i, heard: theirs[i] });
      expect(ours.length).toBe(theirs.length);
    });

    test("a connection that is lost is made again, with all that it was", async () => {
      const members = await startStore(2, { requirepass: "secret" });
      const port = members[1]?.server.port ?? 0;
      const [client, listener, admin] = Array.from({ length: 3 }, () =>
        clientOf(port, { ...options, password: "secret", db: 2, connectionName: "me" }),
      ) as [Redis, Redis, Redis];
      const told: string[] = [];
      listener.on("message", (_, message: string) => told.push(message));
      await listener.subscribe("news");
      const waiting = client.blpop("queue", 0);
      await until("what was said", async () =>
        String(await admin.info("clients")).includes("blocked_clients:1"),
      );
      expect(await admin.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")).toBe(1);
      expect(await admin.call("CLIENT", "KILL", "TYPE", "pubsub")).toBe(1);
      await until("what was said", async () => (await admin.publish("news", "again")) === 1);
      await until("what was said", () => told.length > 0);
      // It asks anew for what it had no answer to.
      await admin.rpush("queue", "x");
      expect(await waiting).toEqual(["queue", "x"]);
      expect(await client.client("GETNAME")).toBe("me");
      expect(String(await client.client("INFO"))).toMatch(/ db=2 .* resp=[23]/);
      expect(
        await clientOf(port, { ...options, password: "wrong" })
          .ping()
          .catch(String),
      ).toMatch(/WRONGPASS/);
    });
  },
);

test("what it is shown of other clients, and what is not there", async () => {
  const [one] = await startStore(1);
  const port = one?.server.port ?? 0;
  const client = clientOf(port, {});
  const monitor = await client.monitor();
  const seen: string[][] = [];
  monitor.on("monitor", (_time, args: string[]) => seen.push(args));
  await client.set("k", BYTES);
  await until("what was said", () => seen.length > 0);
  expect(seen[0]?.slice(0, 2)).toEqual(["set", "k"]);
  monitor.disconnect();
  await expect(client.eval("return 1", 0)).rejects.toThrow(/EVAL is not supported by Tidemark/);
  await expect(client.xadd("stream", "*", "f", "v")).rejects.toThrow(/there are no streams/);
  expect(await client.call("TIDEMARK", "TOKEN")).toMatch(/^1-\d+$/);
});
