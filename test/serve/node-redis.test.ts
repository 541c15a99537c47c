// redis (node-redis), as programs use it: it hears from the store what it hears from redis-server.
import { createClient, createClientPool, RESP_TYPES } from "redis";
import { describe, expect, onTestFinished, test } from "vitest";
import { until } from "../cli/support/command.ts";
import { lacksRedis, startRedis } from "./redis.ts";
import { startStore } from "./store.ts";

type Protocol = { readonly RESP: 2 | 3 };
type Client = ReturnType<typeof clientOf>;

/** A client that is gone when the test is over. */
function clientOf(port: number, { RESP }: Protocol, options: object = {}) {
  const socket = { host: "127.0.0.1", port, reconnectStrategy: () => 20 };
  const client = createClient({ ...options, RESP, socket });
  client.on("error", () => {});
  onTestFinished(() => {
    if (client.isOpen) client.destroy();
  });
  return client;
}

async function connected(port: number, protocol: Protocol, options: object = {}): Promise<Client> {
  const client = clientOf(port, protocol, options);
  await client.connect();
  return client;
}

/** What it gives, or what is wrong. */
const outcome = (promise: Promise<unknown>): Promise<unknown> =>
  promise.catch((error: Error) => `${error.constructor.name}: ${error.message}`);

async function collected(scan: AsyncIterable<unknown>): Promise<string[]> {
  const found = new Set<string>();
  for await (const some of scan)
    for (const one of Array.isArray(some) ? some : [some]) found.add(JSON.stringify(one));
  return [...found].sort();
}

const BYTES = Buffer.from([0, 255, 13, 10, 36, 42, 128]);

/** What programs do; gives all that was heard, but for what is of one server or of one moment. */
async function talk(port: number, protocol: Protocol): Promise<unknown[]> {
  const client = await connected(port, protocol);
  const heard: unknown[] = [];
  const hear = async (...promises: readonly Promise<unknown>[]): Promise<void> => {
    heard.push(...(await Promise.all(promises.map(outcome))));
  };
  await hear(client.ping(), client.set("name", "ada"), client.get("name"), client.get("nothing"));
  await hear(
    client.set("soon", "x", { expiration: { type: "PX", value: 30 } }),
    client.set("name", "y", { condition: "NX" }),
  );
  await until("what was said", async () => (await client.exists("soon")) === 0);
  await hear(
    client.ttl("soon"),
    client.expire("name", 100, "NX"),
    client.persist("name"),
    client.type("name"),
  );
  await hear(
    client.mSet({ a: "1", b: "2" }),
    client.mGet(["a", "none", "b"]),
    client.incrByFloat("a", 1.5),
    client.getDel("b"),
  );
  await hear(
    client.hSet("hash", { f: "v", g: "2" }),
    client.hGetAll("hash"),
    client.hGetAll("nothing"),
    client.hIncrByFloat("hash", "g", 0.5),
  );
  await hear(
    client.zAdd("zset", [
      { score: 1, value: "a" },
      { score: 2.5, value: "b" },
    ]),
    client.zRangeWithScores("zset", 0, -1),
  );
  await hear(
    client.zScore("zset", "b"),
    client.zScore("zset", "none"),
    client.zPopMax("zset"),
    client.zRankWithScore("zset", "a"),
  );
  await hear(
    client.rPush("list", ["a", "b", "c"]),
    client.lRange("list", 0, -1),
    client.lMove("list", "list", "LEFT", "RIGHT"),
  );
  await hear(
    client.sAdd("set", ["x", "y"]),
    client.sIsMember("set", "x"),
    client.smIsMember("set", ["x", "z"]),
    client.sMembers("nothing"),
  );
  await hear(
    client.lcs("name", "name"),
    client.bitCount("name"),
    client.copy("name", "name:2"),
    client.objectEncoding("list"),
  );
  // Bytes.
  const bytes = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
  await hear(
    client.set(BYTES, BYTES),
    bytes.get(BYTES),
    client.strLen(BYTES),
    client.hSet("bytes", BYTES, BYTES),
    bytes.hGet("bytes", BYTES),
  );
  await hear(
    client.set("unicode", "größer ✓"),
    client.get("unicode"),
    client.getRange("unicode", 0, 2),
  );
  // Errors.
  await hear(
    client.lPush("name", "x"),
    client.incr("name"),
    client.sendCommand(["NOSUCH", "x"]),
    client.sendCommand(["GET"]),
  );
  // Many at once.
  await hear(
    client.multi().set("p", "1").incr("p").lPush("p", "x").get("p").execAsPipeline(),
    client.multi().incr("p").get("p").hGetAll("hash").zRangeWithScores("zset", 0, -1).exec(),
    client.multi().incr("p").lPush("p", "x").get("p").exec(),
    client.multi().set("p", "2").addCommand(["NOSUCH"]).exec(),
    client.get("p"),
  );
  // Somebody else changes what is watched.
  const other = await connected(port, protocol);
  await hear(client.watch("watched"));
  await hear(other.set("watched", "x"));
  await hear(client.multi().set("watched", "y").exec(), client.get("watched"));
  await hear(
    client.watch(["watched", "p"]),
    client.multi().set("watched", "z").exec(),
    client.get("watched"),
  );
  // Waiting.
  const waiting = [
    client.blPop("queue", 5),
    client.bzPopMin("queue:z", 5),
    client.blMove("queue", "done", "LEFT", "RIGHT", 5),
  ];
  await hear(
    other.rPush("queue", ["1", "2"]),
    other.zAdd("queue:z", { score: 3, value: "m" }),
    ...waiting,
  );
  await hear(client.brPop(["queue", "none"], 0.05), client.blmPop(0.05, "queue", "LEFT"));
  // Scans.
  await Promise.all(Array.from({ length: 300 }, (_, i) => client.set(`many:${i}`, String(i))));
  await client.sAdd(
    "members",
    Array.from({ length: 1_000 }, (_, i) => `m${i}`),
  );
  await client.hSet(
    "fields",
    Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`f${i}`, String(i)])),
  );
  heard.push(await collected(client.scanIterator({ MATCH: "many:*", COUNT: 50 })));
  heard.push(await collected(client.scanIterator({ TYPE: "hash" })));
  heard.push(await collected(client.sScanIterator("members", { COUNT: 50 })));
  heard.push(await collected(client.hScanIterator("fields", { MATCH: "f9*" })));
  heard.push(await collected(client.zScanIterator("zset")));
  // Databases.
  const third = await connected(port, protocol, {
    database: 3,
    name: "third",
    commandsQueueMaxLength: 100,
  });
  await hear(
    third.set("k", "v"),
    third.get("k"),
    third.dbSize(),
    third.clientGetName(),
    client.swapDb(0, 3),
  );
  await hear(third.get("name"));
  await hear(
    client.select(3),
    client.get("name"),
    client.multi().select(0).get("k").exec(),
    client.select(3),
  );
  // What clients and tools look at.
  const { name, arity, flags } = (await client.commandInfo(["get"]))[0] ?? {};
  heard.push({ name, arity, flags: [...(flags ?? [])].sort() });
  await hear(
    client.configGet("maxmemory"),
    client.commandGetKeys(["MSET", "a", "1", "b", "2"]),
    client.role(),
    client.echo("x"),
  );
  await hear(
    client.configSet("maxmemory", "nonsense"),
    client.clientNoEvict(true),
    client.memoryUsage("nothing"),
  );
  // Channels and events.
  const listener = await connected(port, protocol);
  const told: unknown[] = [];
  let isOver = false;
  await listener.subscribe(["news", "talk"], (message, channel) => told.push([channel, message]));
  await listener.subscribe("talk", (message, channel) => told.push([channel, message]), true);
  await listener.pSubscribe("__key*__:*", (message, channel) => told.push([channel, message]));
  await listener.pSubscribe("n*", (message) => {
    isOver = message === "last";
  });
  await hear(client.configSet("notify-keyspace-events", "KEA"));
  await hear(client.publish("news", "hello"), client.publish("talk", BYTES));
  await hear(client.multi().set("e", "1").expire("e", 100).del("e").publish("news", "last").exec());
  await until("what was said", () => isOver);
  heard.push(told);
  await listener.unsubscribe("news");
  await listener.unsubscribe();
  await listener.pUnsubscribe();
  await hear(
    listener.get("name"),
    client.publish("news", "nobody"),
    client.configSet("notify-keyspace-events", ""),
  );
  // Several connections as one.
  const pool = createClientPool(
    { RESP: protocol.RESP, socket: { host: "127.0.0.1", port } },
    { minimum: 3 },
  );
  await pool.connect();
  await hear(
    ...Array.from({ length: 20 }, () => pool.incr("pooled")),
    pool.blPop("pool:queue", 0.05),
  );
  heard.push((await Promise.all(Array.from({ length: 20 }, () => pool.incr("pooled")))).sort());
  await pool.close();
  await hear(client.flushAll(), client.dbSize(), client.close());
  return heard;
}

describe.each([{ RESP: 2 }, { RESP: 3 }] as const)("with %j", (protocol) => {
  test.skipIf(lacksRedis)("all of it is heard as from redis", async () => {
    const [, member] = await startStore(2);
    const [ours, theirs] = await Promise.all([
      talk(member?.server.port ?? 0, protocol),
      talk(await startRedis(), protocol),
    ]);
    expect(ours.length).toBeGreaterThan(100);
    for (const [i, one] of ours.entries())
      expect({ i, heard: one }).toEqual({ i, heard: theirs[i] });
    expect(ours.length).toBe(theirs.length);
  });

  test("a connection that is lost is made again, with all that it was", async () => {
    const members = await startStore(2, { requirepass: "secret" });
    const port = members[1]?.server.port ?? 0;
    const options = { password: "secret", database: 2, name: "me" };
    const client = await connected(port, protocol, options);
    const listener = await connected(port, protocol, options);
    const admin = await connected(port, protocol, options);
    const told: string[] = [];
    await listener.subscribe("news", (message) => told.push(message));
    expect(await admin.sendCommand(["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"])).toBe(1);
    expect(await admin.sendCommand(["CLIENT", "KILL", "TYPE", "pubsub"])).toBe(1);
    await until("what was said", async () => (await admin.publish("news", "again")) === 1);
    await until("what was said", () => told.length > 0);
    await until("what was said", () => client.isReady);
    expect(await client.clientInfo()).toMatchObject({ name: "me", db: 2, resp: protocol.RESP });
    const socket = { host: "127.0.0.1", port, reconnectStrategy: false as const };
    const stranger = createClient({ RESP: protocol.RESP, password: "wrong", socket });
    stranger.on("error", () => {});
    await expect(stranger.connect()).rejects.toThrow(/WRONGPASS/);
  });
});
