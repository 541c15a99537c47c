/** The server, by clients of several replicas in this operating-system process. */

import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, test, vi } from "vitest";
import { Random } from "../../src/index.ts";
import { startStore, TestClient } from "./store.ts";

/** Until all have done the same number of records. */
async function settled(members: Awaited<ReturnType<typeof startStore>>): Promise<void> {
  await vi.waitUntil(() => new Set(members.map(({ replica }) => replica.applied)).size === 1, {
    timeout: 5_000,
    interval: 2,
  });
}

/** All keys of a replica, as they are stored. */
function imageOf({ replica }: Awaited<ReturnType<typeof startStore>>[number]): unknown[] {
  const frozen = replica.capture();
  const slices: unknown[] = [];
  for (let slice = frozen.next(); slice !== undefined; slice = frozen.next()) slices.push(slice);
  frozen.release();
  return slices.slice(1);
}

describe("one replica", () => {
  test("answers in the order of the requests, however they are mixed", async () => {
    const [one] = await startStore(1);
    const client = new TestClient(one?.server.port ?? 0);
    for (const words of ["SET a 1", "GET a", "PING", "SELECT 1", "GET a", "SET a 2", "GET a"])
      client.send(...words.split(" "));
    for (const words of ["SELECT 0", "GET a", "MULTI", "INCR a", "EXEC", "ECHO x"])
      client.send(...words.split(" "));
    const heard = [];
    for (let i = 0; i < 13; i += 1) heard.push(await client.next());
    expect(heard).toEqual([
      ...["+OK", "$1", "+PONG", "+OK", "$-1", "+OK", "$2"],
      ...["+OK", "$1", "+OK", "+QUEUED", ["*", ":2"], "$x"],
    ]);
  });

  test("takes a request in any pieces, also in lines", async () => {
    const [one] = await startStore(1);
    const client = new TestClient(one?.server.port ?? 0);
    const text =
      "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nx\r\ny\n\r\nget k\r\nset \"a\\x41\" 'b c'\r\nget aA\r\n";
    for (const char of text) {
      client.write(char);
      await new Promise((resolve) => setImmediate(resolve));
    }
    const heard = [
      await client.next(),
      await client.next(),
      await client.next(),
      await client.next(),
    ];
    expect(heard).toEqual(["+OK", "$x\r\ny\n", "+OK", "$b c"]);
  });

  test("closes a connection whose protocol is wrong, with the reason, and no other", async () => {
    const [one] = await startStore(1);
    const other = new TestClient(one?.server.port ?? 0);
    for (const [bytes, problem] of [
      ["*1\r\n+x\r\n", "expected '$', got '+'"],
      ["*1\r\n$-5\r\n", "invalid bulk length"],
      ["*99999999999\r\n", "invalid multibulk length"],
      ['get "x\r\n', "unbalanced quotes in request"],
      [`${"x".repeat(70_000)}`, "too big inline request"],
    ] as const) {
      const client = new TestClient(one?.server.port ?? 0);
      client.write(bytes);
      expect(await client.next()).toBe(`-ERR Protocol error: ${problem}`);
      await client.closed;
    }
    expect(await other.ask("PING")).toBe("+PONG");
  });

  test("asks for a password, and lets in who has it", async () => {
    const [one] = await startStore(1, { requirepass: "secret" });
    const client = new TestClient(one?.server.port ?? 0);
    expect(await client.ask("GET", "a")).toBe("-NOAUTH Authentication required.");
    expect(await client.ask("AUTH", "guess")).toContain("WRONGPASS");
    expect(await client.ask("AUTH", "secret")).toBe("+OK");
    expect(await client.ask("GET", "a")).toBe("$-1");
    const hello = await new TestClient(one?.server.port ?? 0).ask(
      "HELLO",
      "3",
      "AUTH",
      "default",
      "secret",
    );
    expect(hello[0]).toBe("%");
  });

  test("does not read from a client that does not read, and goes on with others", async () => {
    const [one] = await startStore(1);
    const port = one?.server.port ?? 0;
    const reader = new TestClient(port);
    await reader.ask("SET", "large", "x".repeat(1_000_000));
    const lazy = new TestClient(port);
    lazy.socket.pause();
    for (let i = 0; i < 500; i += 1) lazy.send("GET", "large");
    for (let i = 0; i < 20; i += 1) {
      expect(await reader.ask("PING")).toBe("+PONG");
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const [client] = [...(one?.server.clients ?? [])].filter(
      ({ lastCommand }) => lastCommand === "get",
    );
    expect(client?.outputBytes).toBeLessThan(80_000_000);
  });

  test("closes a listener that does not read", async () => {
    const [one] = await startStore(1, {
      "client-output-buffer-limit": "pubsub 1000000 1000000 60",
    });
    const port = one?.server.port ?? 0;
    const lazy = new TestClient(port);
    await lazy.ask("SUBSCRIBE", "news");
    lazy.socket.pause();
    const speaker = new TestClient(port);
    const text = "x".repeat(100_000);
    for (let i = 0; i < 1_000 && (await speaker.ask("PUBLISH", "news", text)) === ":1"; i += 1);
    expect(await speaker.ask("PUBLISH", "news", text)).toBe(":0");
  });

  test("takes settings that it has, all or none, and says of others that it has not", async () => {
    const [one] = await startStore(1);
    const client = new TestClient(one?.server.port ?? 0);
    const refused = [
      ["maxclients", "7", "nothing", "1"],
      ["maxclients", "7", "save", "60 1"],
      ["maxclients", "7", "client-output-buffer-limit", "pubsub much 1 1"],
      ["maxclients", "7", "notify-keyspace-events", "?"],
      ["databases", "16"],
    ];
    for (const words of refused)
      expect(await client.ask("CONFIG", "SET", ...words)).toContain("-ERR ");
    expect(await client.ask("CONFIG", "GET", "maxclients")).toEqual(["*", "$maxclients", "$10000"]);
    expect(await client.ask("CONFIG", "SET", "maxclients", "7", "timeout", "0")).toBe("+OK");
    expect(await client.ask("CONFIG", "GET", "maxc*")).toEqual(["*", "$maxclients", "$7"]);
  });

  test("keeps to its limit of clients", async () => {
    const [one] = await startStore(1, { maxclients: "2" });
    const port = one?.server.port ?? 0;
    const clients = [new TestClient(port), new TestClient(port)];
    for (const client of clients) expect(await client.ask("PING")).toBe("+PONG");
    const third = new TestClient(port);
    expect(await third.next()).toBe("-ERR max number of clients reached");
    await third.closed;
  });
});

describe("three replicas", () => {
  test("do the same, whoever is asked, and are equal in the end", async () => {
    const members = await startStore(3);
    const clients = members.map(({ server }) => new TestClient(server.port));
    const asked = clients.flatMap((client, i) =>
      Array.from({ length: 200 }, async (_, n) => {
        await client.ask("INCR", "sum");
        await client.ask("RPUSH", "list", `${i}-${n}`);
        await client.ask("SADD", `set${n % 7}`, `${i}-${n}`);
        if (n % 5 === 0) await client.ask("SPOP", `set${n % 7}`);
        await client.ask("SET", `key${n}`, `${i}`, "PX", String(100_000 + n));
      }),
    );
    await Promise.all(asked);
    await settled(members);
    for (const client of clients) {
      expect(await client.ask("GET", "sum")).toBe("$600");
      expect(await client.ask("LLEN", "list")).toBe(":600");
    }
    const [first, ...others] = members.map(imageOf);
    for (const other of others) expect(other).toEqual(first);
  });

  test("void a transaction whose key was changed through another one", async () => {
    const members = await startStore(2);
    const [a, b] = members.map(({ server }) => new TestClient(server.port)) as [
      TestClient,
      TestClient,
    ];
    await a.ask("SET", "key", "1");
    expect(await a.ask("WATCH", "key")).toBe("+OK");
    await b.ask("SET", "key", "2");
    await a.ask("MULTI");
    await a.ask("SET", "key", "3");
    expect(await a.ask("EXEC")).toBe("*-1");
    expect(await a.ask("GET", "key")).toBe("$2");
    // Once more, and nobody comes in between.
    await a.ask("WATCH", "key");
    await a.ask("MULTI");
    await a.ask("SET", "key", "3");
    expect(await a.ask("EXEC")).toEqual(["*", "+OK"]);
  });

  test("void a transaction whose key is over since, not one whose key was over already", async () => {
    const [member] = await startStore(1);
    const ask = async (key: string, lastsMs: number): Promise<unknown> => {
      const client = new TestClient(member?.server.port ?? 0);
      await client.ask("SET", key, "7", "PX", String(lastsMs));
      await pause(10);
      await client.ask("WATCH", key);
      // By then it has been removed.
      await pause(400);
      await client.ask("MULTI");
      await client.ask("INCR", key);
      return client.ask("EXEC");
    };
    const over = Array.from({ length: 5 }, (_, i) => ask(`over${i}`, 2));
    expect(await Promise.all(over)).toEqual(over.map(() => ["*", ":1"]));
    expect(await ask("since", 150)).toBe("*-1");
  });

  test("serve who waits for a list in the order in which they came, and end a wait in time", async () => {
    const members = await startStore(3);
    const [a, b, c] = members.map(({ server }) => new TestClient(server.port)) as [
      TestClient,
      TestClient,
      TestClient,
    ];
    const first = a.ask("BLPOP", "jobs", "0");
    await vi.waitUntil(() => [...(members[0]?.server.clients ?? [])][0]?.isBlocked);
    const second = b.ask("BLMOVE", "jobs", "done", "LEFT", "RIGHT", "0");
    await vi.waitUntil(() => [...(members[1]?.server.clients ?? [])][0]?.isBlocked);
    expect(await c.ask("RPUSH", "jobs", "one", "two", "three")).toBe(":3");
    expect(await first).toEqual(["*", "$jobs", "$one"]);
    expect(await second).toBe("$two");
    expect(await c.ask("LRANGE", "done", "0", "-1")).toEqual(["*", "$two"]);
    expect(await a.ask("BLPOP", "nothing", "0.05")).toBe("*-1");
    // What comes behind a command that waits is done after it.
    a.send("BLPOP", "later", "0");
    a.send("PING");
    await c.ask("RPUSH", "later", "x");
    expect([await a.next(), await a.next()]).toEqual([["*", "$later", "$x"], "+PONG"]);
  });

  test("forget a client that waits when it goes", async () => {
    const members = await startStore(2);
    const [a, b] = members.map(({ server }) => new TestClient(server.port)) as [
      TestClient,
      TestClient,
    ];
    a.send("BLPOP", "jobs", "0");
    await vi.waitUntil(() => [...(members[0]?.server.clients ?? [])][0]?.isBlocked);
    a.socket.destroy();
    await vi.waitUntil(() => [...(members[0]?.server.clients ?? [])].length === 0);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await b.ask("RPUSH", "jobs", "one");
    expect(await b.ask("LLEN", "jobs")).toBe(":1");
  });

  test("tell all listeners everything, in one order", async () => {
    const members = await startStore(3);
    const listeners = members.map(({ server }) => new TestClient(server.port));
    for (const listener of listeners) await listener.ask("PSUBSCRIBE", "news.*");
    const speakers = members.map(({ server }) => new TestClient(server.port));
    await Promise.all(
      speakers.map(async (speaker, i) => {
        for (let n = 0; n < 50; n += 1) await speaker.ask("PUBLISH", `news.${i}`, String(n));
      }),
    );
    const heard = await Promise.all(
      listeners.map(async (listener) => {
        const all = [];
        for (let n = 0; n < 150; n += 1) all.push(await listener.next());
        return all;
      }),
    );
    expect(heard[1]).toEqual(heard[0]);
    expect(heard[2]).toEqual(heard[0]);
  });

  test("tell of keys that are changed, and remove those whose time is over", async () => {
    const members = await startStore(2, { "notify-keyspace-events": "KEA" });
    const [a, b] = members.map(({ server }) => new TestClient(server.port)) as [
      TestClient,
      TestClient,
    ];
    await b.ask("PSUBSCRIBE", "__key*__:*");
    await a.ask("SET", "key", "1", "PX", "30");
    const events = [];
    for (let i = 0; i < 6; i += 1) events.push(await b.next());
    expect(events.map((event) => (event as string[]).slice(3))).toEqual([
      ["$__keyspace@0__:key", "$set"],
      ["$__keyevent@0__:set", "$key"],
      ["$__keyspace@0__:key", "$expire"],
      ["$__keyevent@0__:expire", "$key"],
      ["$__keyspace@0__:key", "$expired"],
      ["$__keyevent@0__:expired", "$key"],
    ]);
    await settled(members);
    for (const { replica } of members) expect(replica.keyspace.databases[0]?.size).toBe(0);
  });

  test("a snapshot has them equal, and a restore brings all of them back", async () => {
    const members = await startStore(3);
    const [a] = members.map(({ server }) => new TestClient(server.port)) as [TestClient];
    for (let i = 0; i < 100; i += 1) await a.ask("SET", `key${i}`, String(i));
    await a.ask("ZADD", "scores", "1", "x", "2", "y");
    const before = imageOf(members[0] as (typeof members)[number]);
    const snapshot = await members[1]?.running.snapshot();
    expect(await snapshot?.verify()).toMatchObject({ consistent: true });
    await a.ask("FLUSHALL");
    await a.ask("SET", "other", "1");
    const watcher = new TestClient(members[2]?.server.port ?? 0);
    await watcher.ask("WATCH", "other");
    const listener = new TestClient(members[2]?.server.port ?? 0);
    await listener.ask("SUBSCRIBE", "__tidemark__:epoch");
    await members[0]?.running.restore(snapshot?.id ?? "p1/1");
    await settled(members);
    for (const member of members) expect(imageOf(member)).toEqual(before);
    expect(await listener.next()).toEqual(["*", "$message", "$__tidemark__:epoch", "$2"]);
    await watcher.ask("MULTI");
    await watcher.ask("SET", "other", "2");
    expect(await watcher.ask("EXEC")).toBe("*-1");
    expect(await a.ask("GET", "key7")).toBe("$7");
  });

  test("a snapshot under transfers between keys of different slots adds up in every replica", async () => {
    const members = await startStore(3);
    const clients = members.map(({ server }) => new TestClient(server.port));
    const accounts = Array.from({ length: 20 }, (_, i) => `account:${i}`);
    for (const account of accounts) await clients[0]?.ask("SET", account, "100");
    let isOver: boolean = false;
    const transfers = clients.map(async (client, i) => {
      const random = new Random(`transfers ${i}`);
      while (!isOver) {
        const [from = "", to = ""] = [random.pick(accounts), random.pick(accounts)];
        const amount = String(random.below(10));
        client.send("MULTI");
        client.send("DECRBY", from, amount);
        client.send("INCRBY", to, amount);
        client.send("EXEC");
        for (let replies = 0; replies < 4; replies += 1) await client.next();
      }
    });
    const sums: number[] = [];
    for (let i = 0; i < 10; i += 1) {
      const initiator = members[i % 3] as (typeof members)[number];
      const snapshot = await initiator.running.snapshot();
      expect(await snapshot.verify()).toMatchObject({ consistent: true });
      for (const { id } of members) {
        const slices = (await snapshot.state(id)) as { slice?: { keys?: unknown[] } }[];
        const keys = slices.flatMap(({ slice }) => slice?.keys ?? []);
        let sum = 0;
        for (let at = 0; at < keys.length; at += 3) sum += Number(keys[at + 1]);
        sums.push(sum);
      }
    }
    isOver = true;
    await Promise.all(transfers);
    expect(new Set(sums)).toEqual(new Set([2_000]));
  });
});
