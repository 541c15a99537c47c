/** Keys that converge, asked for by clients: they are served while the sequencer of the total order is away, and all have the same after. */

import { expect, test, vi } from "vitest";
import { Random } from "../../src/core/random.ts";
import { contents } from "../kv/support/replicas.ts";
import { cases } from "../support/soak.ts";
import { type Heard, type StoreMember, startStore, TestClient } from "./store.ts";

const NAMESPACES = { causal: ["cart:*"], fifo: ["log:*"] };

const at = (member: StoreMember | undefined): TestClient =>
  new TestClient(member?.server.port ?? 0);

async function equal(members: readonly StoreMember[], prefix: string): Promise<void> {
  await vi.waitFor(
    () => {
      const [one, ...others] = members.map(({ replica }) => contents(replica, prefix));
      for (const other of others) expect(other).toEqual(one);
    },
    { timeout: 8000 },
  );
}

test("a write is answered by the replica that is asked, and comes to all", async () => {
  const members = await startStore(3, {}, NAMESPACES);
  const [one, two, three] = members.map(at) as [TestClient, TestClient, TestClient];
  expect(await one.ask("SET", "cart:a", "1")).toBe("+OK");
  expect(await two.ask("HSET", "log:h", "f", "v", "g", "w")).toBe(":2");
  expect(await three.ask("SADD", "cart:s", "x", "y")).toBe(":2");
  expect(await three.ask("ZADD", "cart:z", "1.5", "m", "inf", "n")).toBe(":2");
  await equal(members, "");
  expect(await two.ask("INCRBY", "cart:a", "41")).toBe(":42");
  expect(await one.ask("SREM", "cart:s", "x", "nothing")).toBe(":1");
  expect(await one.ask("ZINCRBY", "cart:z", "2", "m")).toBe("$3.5");
  expect(await one.ask("EXPIRE", "cart:s", "100")).toBe(":1");
  await equal(members, "");
  expect(await three.ask("GET", "cart:a")).toBe("$42");
  expect(await two.ask("SMEMBERS", "cart:s")).toEqual(["*", "$y"]);
  expect(await two.ask("ZRANGE", "cart:z", "0", "-1", "WITHSCORES")).toEqual([
    "*",
    "$m",
    "$3.5",
    "$n",
    "$inf",
  ]);
  expect(await two.ask("TTL", "cart:s")).toMatch(/^:(99|100)$/);
  expect(await two.ask("DEL", "cart:a", "cart:s", "cart:none")).toBe(":2");
  await equal(members, "");
  expect(await three.ask("EXISTS", "cart:a", "cart:s")).toBe(":0");
});

test("a string that keeps the deadline keeps the one that the string before it brought", async () => {
  const members = await startStore(2, {}, NAMESPACES);
  const [one, two] = members.map(at) as [TestClient, TestClient];
  await one.ask("SET", "cart:a", "1", "EX", "1000");
  await one.ask("SET", "cart:a", "2", "KEEPTTL");
  await equal(members, "");
  for (const client of [one, two])
    expect(Number((await client.ask("TTL", "cart:a")).slice(1))).toBeGreaterThan(900);
});

test("errors are those of everywhere, and leave nothing behind", async () => {
  const members = await startStore(2, {}, NAMESPACES);
  const [client] = members.map(at) as [TestClient];
  await client.ask("SET", "cart:t", "text");
  expect(await client.ask("INCR", "cart:t")).toBe("-ERR value is not an integer or out of range");
  expect(await client.ask("HSET", "cart:t", "f", "v")).toMatch(/^-WRONGTYPE/);
  expect(await client.ask("SET", "cart:t")).toBe(
    "-ERR wrong number of arguments for 'set' command",
  );
  expect(await client.ask("SET", "cart:t", "v", "EX", "x")).toMatch(
    /^-ERR value is not an integer/,
  );
  expect(await client.ask("SADD", "cart:t")).toMatch(/^-ERR wrong number/);
  await equal(members, "");
  expect(await client.ask("GET", "cart:t")).toBe("$text");
  // The string, and that it has no deadline.
  expect(members.map(({ replica }) => replica.unsettled)).toEqual([2, 2]);
});

test("what has no meaning that converges is refused, with the reason", async () => {
  const members = await startStore(2, {}, NAMESPACES);
  const [client] = members.map(at) as [TestClient];
  const refused = async (...words: readonly string[]): Promise<string> =>
    String(await client.ask(...words));
  expect(await refused("RPUSH", "cart:l", "a")).toBe(
    "-ERR RPUSH has no meaning that converges in the causal namespace cart:*: places in a list do not converge; use a key outside of it",
  );
  for (const words of [
    ["SETNX", "cart:a", "1"],
    ["SET", "cart:a", "1", "NX"],
    ["SET", "cart:a", "1", "EX", "10", "XX"],
    ["ZADD", "cart:z", "GT", "1", "m"],
    ["ZINCRBY", "cart:z", "inf", "m"],
    ["EXPIRE", "cart:a", "10", "LT"],
    ["APPEND", "cart:a", "x"],
    ["SETRANGE", "log:a", "0", "x"],
    ["SETBIT", "log:a", "0", "1"],
    ["INCRBYFLOAT", "log:a", "0.5"],
    ["RENAME", "log:a", "log:b"],
    ["COPY", "cart:a", "cart:b"],
    ["SPOP", "cart:s"],
    ["SUNIONSTORE", "cart:s", "cart:t"],
    ["SORT", "cart:s"],
    ["BLPOP", "cart:l", "0"],
    ["BZPOPMIN", "cart:l", "0"],
    ["WATCH", "cart:a"],
  ])
    expect(await refused(...words), words.join(" ")).toMatch(
      /^-ERR [A-Z]+ has no meaning that converges in the (causal|fifo) namespace (cart|log):\*: .*; use a key outside of it$/,
    );
  for (const words of [
    ["MSET", "cart:a", "1", "plain", "2"],
    ["DEL", "plain", "cart:a"],
    ["DEL", "log:a", "cart:a"],
    ["SINTERSTORE", "plain", "cart:s"],
    ["RENAME", "plain", "cart:s"],
  ])
    expect(await refused(...words), words.join(" ")).toMatch(
      /^-ERR [A-Z]+ has keys in the .*: use one command for each$/,
    );
  expect(await refused("SORT", "plain", "BY", "cart:*", "STORE", "there")).toMatch(/use SORT_RO$/);
  expect(await refused("SWAPDB", "0", "1")).toMatch(/^-ERR SWAPDB of database 0 is not possible/);
  expect(await refused("SET", "cart:a", "x".repeat(1024 * 1024))).toMatch(
    /has at most 1048576 bytes/,
  );
  // A transaction is in total order.
  expect(await client.ask("MULTI")).toBe("+OK");
  expect(await refused("SET", "cart:a", "1")).toMatch(
    /^-ERR SET cannot be in a transaction in the/,
  );
  expect(await refused("EXEC")).toMatch(/^-EXECABORT/);
  await client.ask("SELECT", "1");
  await client.ask("MULTI");
  await client.ask("SELECT", "0");
  await client.ask("SET", "cart:a", "1");
  const [, , heard] = (await client.ask("EXEC")) as readonly Heard[];
  expect(heard).toMatch(/^-ERR SET cannot be in a transaction/);
  await client.ask("SELECT", "1");
  // Other databases have none.
  expect(await client.ask("RPUSH", "cart:l", "a")).toBe(":1");
  expect(await refused("MOVE", "cart:l", "0")).toMatch(/^-ERR MOVE has no meaning/);
  expect(await refused("COPY", "cart:l", "cart:m", "DB", "0")).toMatch(/^-ERR COPY has no meaning/);
  expect(await client.ask("SELECT", "0")).toBe("+OK");
  expect(await client.ask("DBSIZE")).toBe(":0");
  await equal(members, "");
});

test("replies are in the order of requests, whatever order these are in", async () => {
  const [one] = await startStore(2, {}, NAMESPACES);
  const client = at(one);
  const wanted: string[] = [];
  for (let i = 1; i <= 60; i += 1) {
    client.send("INCR", "plain");
    client.send("INCR", "cart:n");
    client.send("GET", "cart:n");
    client.send("INCR", "log:n");
    client.send("GET", "plain");
    client.send("LPUSH", "cart:n", "x");
    wanted.push(`:${i}`, `:${i}`, `$${i}`, `:${i}`, `$${i}`, "-ERR LPUSH");
  }
  const heard: string[] = [];
  for (const _ of wanted) heard.push(String(await client.next()).slice(0, 10));
  expect(heard).toEqual(wanted);
});

test("long values come whole", async () => {
  const members = await startStore(3, {}, NAMESPACES);
  const client = at(members[1]);
  const text = Array.from({ length: 200_000 }, (_, i) => String.fromCharCode(i % 256)).join("");
  expect(await client.ask("SET", "cart:long", text)).toBe("+OK");
  await equal(members, "");
  expect(await at(members[2]).ask("GET", "cart:long")).toBe(`$${text}`);
});

test("namespaces are served while the first process is cut off, and all have the same when it is back", async () => {
  const members = await startStore(3, {}, NAMESPACES);
  const [one, two, three] = members.map(at) as [TestClient, TestClient, TestClient];
  await one.ask("SET", "cart:a", "5");
  await one.ask("SADD", "cart:s", "old");
  await one.ask("SET", "plain", "before");
  await equal(members, "");
  const cut = (delayMs: number): void => {
    for (const { id, transport } of members)
      for (const other of members)
        if ((id === "p1") !== (other.id === "p1")) transport.delay(other.id, delayMs);
  };
  cut(60_000);
  const waits = at(members[1]);
  const status = (await three.ask("TIDEMARK", "STATUS")) as readonly Heard[];
  expect(status).toContainEqual(["*", "$causal cart:*", "$fifo log:*"]);
  waits.send("SET", "plain", "after");
  for (let i = 0; i < 50; i += 1) {
    expect(await two.ask("INCR", "cart:a")).toMatch(/^:/);
    expect(await three.ask("INCR", "cart:a")).toMatch(/^:/);
    expect(await one.ask("INCR", "cart:a")).toBe(`:${6 + i}`);
    expect(await three.ask("HSET", "log:h", `f${i}`, "3")).toBe(":1");
  }
  // Nobody had seen what another one did: the addition stays, and so does the member that is added again.
  expect(await one.ask("SREM", "cart:s", "old")).toBe(":1");
  expect(await two.ask("SADD", "cart:s", "old", "new")).toBe(":1");
  expect(await one.ask("HSET", "log:h", "f0", "1")).toBe(":1");
  expect(await two.ask("GET", "plain")).toBe("$before");
  await vi.waitFor(async () => expect(await three.ask("GET", "cart:a")).toBe("$105"), 5000);
  expect(await one.ask("GET", "cart:a")).toBe("$55");
  const isAnswered = Promise.race([waits.next(), new Promise((done) => setTimeout(done, 50))]);
  expect(await isAnswered).toBeUndefined();
  cut(0);
  await vi.waitFor(async () => expect(await one.ask("GET", "plain")).toBe("$after"), 5000);
  await equal(members, "");
  for (const client of [one, two, three]) {
    expect(await client.ask("GET", "cart:a")).toBe("$155");
    expect(await client.ask("SMEMBERS", "cart:s")).toEqual(["*", "$old", "$new"]);
  }
});

test("all keys of a namespace go by FLUSHALL that the one who was asked has, and by time", async () => {
  const members = await startStore(3, {}, NAMESPACES);
  const [one, two] = members.map(at) as [TestClient, TestClient];
  await one.ask("MSET", "cart:a", "1", "cart:b", "2");
  await one.ask("HSET", "log:h", "f", "v");
  await one.ask("SET", "plain", "1");
  await equal(members, "");
  expect(await two.ask("FLUSHALL")).toBe("+OK");
  await equal(members, "");
  expect(await one.ask("DBSIZE")).toBe(":0");
  expect(await one.ask("FLUSHALL", "NOW")).toBe("-ERR syntax error");
  await two.ask("SET", "cart:soon", "1", "PX", "500");
  expect(await two.ask("GET", "cart:soon")).toBe("$1");
  await vi.waitFor(async () => expect(await one.ask("GET", "cart:soon")).toBe("$-1"), 2000);
  await vi.waitFor(() => {
    for (const { replica } of members) expect(contents(replica, "cart:")).toEqual({});
  }, 3000);
});

test("what is kept of effects is forgotten when all have seen them", async () => {
  const members = await startStore(3, {}, NAMESPACES);
  const [one, two, three] = members.map(at) as [TestClient, TestClient, TestClient];
  for (let i = 0; i < 10_000; i += 1) one.send("INCR", `cart:${i % 100}`);
  for (let i = 0; i < 10_000; i += 1) await one.next();
  await equal(members, "");
  // Those who only hear say now and then how far they are; a message has a thousand or so.
  for (const { replica } of members) expect(replica.unsettled).toBeLessThan(3000);
  for (const client of [one, two, three, one, two, three]) {
    await client.ask("SET", "cart:last", "1");
    await equal(members, "");
  }
  for (const { replica } of members) expect(replica.unsettled).toBeLessThanOrEqual(4);
});

test("a snapshot and a restore have what is under way in namespaces, too", async () => {
  const members = await startStore(3, {}, NAMESPACES);
  const [one, two] = members.map(at) as [TestClient, TestClient];
  await one.ask("SET", "cart:a", "1");
  await two.ask("INCRBY", "cart:a", "10");
  const id = String(await two.ask("TIDEMARK", "SNAPSHOT")).slice(1);
  await equal(members, "");
  const value = await one.ask("GET", "cart:a");
  await one.ask("DEL", "cart:a");
  await two.ask("SADD", "log:a", "x");
  expect(await two.ask("TIDEMARK", "RESTORE", id)).toContain("$proof");
  await equal(members, "");
  expect(await one.ask("GET", "cart:a")).toBe(value);
  expect(await two.ask("EXISTS", "log:a")).toBe(":0");
  expect(await two.ask("INCR", "cart:a")).toBe(`:${Number(String(value).slice(1)) + 1}`);
  await equal(members, "");
});

test("one client alone is answered as in total order", async () => {
  const [, member] = await startStore(2, {}, NAMESPACES);
  const client = at(member);
  const random = new Random("alone");
  const pick = (...words: readonly string[]): string => random.pick(words) ?? "";
  const commandFor = (key: string): readonly string[] => {
    const [name, number] = [pick("e", "f", "g"), pick("1", "-3", "07", "9223372036854775807", "x")];
    const score = pick("1", "-0", "2.5", "inf", "1e300", "x");
    const deadline = pick("-1", "0", "100", "100000", "x");
    return (
      random.pick([
        ...[
          ["SET", key, number],
          ["SET", key, number, "GET"],
          ["SET", key, "v", "EX", deadline],
        ],
        ...[
          ["SET", key, "v", "KEEPTTL"],
          ["SETEX", key, deadline, "v"],
          ["GETSET", key, number],
        ],
        ...[
          ["GETDEL", key],
          ["GETEX", key, "EX", deadline],
          ["GETEX", key, "PERSIST"],
          ["INCR", key],
        ],
        ...[
          ["DECR", key],
          ["INCRBY", key, number],
          ["DECRBY", key, number],
          ["DEL", key, key],
        ],
        ...[
          ["MSET", key, number, key, "w"],
          ["EXPIRE", key, deadline],
          ["PERSIST", key],
        ],
        ...[
          ["HSET", key, name, number, name, "z"],
          ["HSET", key, name],
          ["HDEL", key, name, name],
        ],
        ...[
          ["HINCRBY", key, name, number],
          ["SADD", key, name, name],
          ["SREM", key, name, "e"],
        ],
        ...[
          ["ZADD", key, score, name, "3", "e"],
          ["ZADD", key, "CH", score, name],
          ["ZREM", key, name],
        ],
        ...[
          ["ZADD", key, "INCR", "2", name],
          ["ZINCRBY", key, "2.5", name],
          ["TYPE", key],
          ["DEL", key],
        ],
        ...[
          ["HGETALL", key],
          ["SMEMBERS", key],
          ["ZRANGE", key, "0", "-1", "WITHSCORES"],
          ["GET", key],
        ],
        ...[["EXISTS", key]],
      ]) ?? []
    );
  };
  const sorted = (heard: Heard): Heard => (typeof heard === "string" ? heard : [...heard].sort());
  for (let i = 0; i < cases("kv-alone", 800, 200_000); i += 1) {
    const words = commandFor("cart:k");
    const plain = words.map((word) => (word === "cart:k" ? "k" : word));
    client.send(...words);
    client.send(...plain);
    const [has, wants] = [await client.next(), await client.next()];
    expect(sorted(has), words.join(" ")).toEqual(sorted(wants));
  }
});

test("what is written while one is away has a bound: then clients wait, and go on when it is back", async () => {
  const members = await startStore(2, {}, NAMESPACES);
  const [one, two] = members as [StoreMember, StoreMember];
  const cut = (delayMs: number): void => {
    one.transport.delay("p2", delayMs);
    two.transport.delay("p1", delayMs);
  };
  cut(60_000);
  const writer = at(one);
  let answered = 0;
  const many = 60;
  for (let i = 0; i < many; i += 1) {
    writer.send("SET", `cart:${i}`, String(i % 10).repeat(200_000));
    void writer.next().then((heard) => {
      if (heard === "+OK") answered += 1;
    });
  }
  await vi.waitFor(() => expect(answered).toBeGreaterThan(15), 5000);
  await new Promise((done) => setTimeout(done, 200));
  expect(answered).toBeLessThan(many);
  cut(0);
  await vi.waitFor(() => expect(answered).toBe(many), 8000);
  await equal(members, "");
});
