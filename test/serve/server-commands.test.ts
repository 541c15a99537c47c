/** Commands about the server, as clients of it see them; those whose replies tell nothing of a server are compared with Redis. */

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { connect } from "node:net";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { freePorts } from "../support/ports.ts";
import { lacksRedis, startRedis } from "./redis.ts";
import { type Heard, startStore, TestClient } from "./store.ts";

const hasRedis = spawnSync("redis-server", ["--version"]).status === 0;

async function storeClient(
  settings: Readonly<Record<string, string>> = {},
): Promise<readonly [TestClient, number]> {
  const [member] = await startStore(1, settings);
  const port = member?.server.port ?? 0;
  return [new TestClient(port), port];
}

async function redisClient(): Promise<TestClient> {
  const port = await freePorts(1);
  const options = ["--port", String(port), "--save", "", "--appendonly", "no"];
  const child: ChildProcess = spawn("redis-server", options, { stdio: "ignore" });
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  for (;;) {
    const isThere = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => resolve(true));
      socket.on("error", () => resolve(false));
    });
    if (isThere) return new TestClient(port);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const texts = (heard: Heard | undefined): readonly string[] =>
  typeof heard === "string" || heard === undefined ? [] : (heard.slice(1) as readonly string[]);

/** The lines of `INFO` by their names. */
async function info(
  client: TestClient,
  ...sections: readonly string[]
): Promise<Map<string, string>> {
  const text = (await client.ask("INFO", ...sections)) as string;
  return new Map(
    text
      .slice(1)
      .split("\r\n")
      .filter((line) => line.includes(":"))
      .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1)]),
  );
}

describe.skipIf(!hasRedis && process.env["CI"] === undefined)("as Redis", () => {
  const ASKED: readonly string[] = [
    ...[
      "COMMAND HELP",
      "CONFIG HELP",
      "SLOWLOG HELP",
      "LATENCY HELP",
      "MEMORY HELP",
      "OBJECT HELP",
    ],
    ...[
      "COMMAND FOO",
      "COMMAND INFO foo",
      "COMMAND DOCS foo",
      "COMMAND GETKEYS",
      "COMMAND GETKEYS FOO a",
    ],
    ...[
      "COMMAND GETKEYS PING a",
      "COMMAND GETKEYS MSET a",
      "COMMAND GETKEYS MSET a 1 b 2",
      "COMMAND LIST x",
    ],
    ...[
      "COMMAND GETKEYS ZUNIONSTORE d 2 a b",
      "COMMAND GETKEYS ZUNIONSTORE d 5 a b",
      "COMMAND LIST FILTERBY x y",
    ],
    ...[
      "COMMAND GETKEYS OBJECT ENCODING k",
      "COMMAND GETKEYS SORT a BY w_* STORE b",
      "COMMAND GETKEYS BLPOP a b 0",
    ],
    ...[
      "COMMAND GETKEYSANDFLAGS SET a b",
      "COMMAND GETKEYSANDFLAGS SET a b GET",
      "COMMAND GETKEYSANDFLAGS GET a",
    ],
    ...[
      "COMMAND GETKEYSANDFLAGS RENAME a b",
      "COMMAND GETKEYSANDFLAGS SUNIONSTORE a b c d",
      "ACL CAT",
      "ACL CAT x",
    ],
    ...[
      "ACL WHOAMI",
      "ACL LIST",
      "ACL USERS",
      "ACL GETUSER default",
      "ACL GETUSER x",
      "ACL LOG",
      "ACL LOG RESET",
    ],
    ...[
      "CLUSTER INFO",
      "CLUSTER MYID",
      "CLUSTER FOO",
      "CONFIG REWRITE",
      "CONFIG RESETSTAT",
      "CONFIG RESETSTAT x",
    ],
    ...[
      "CONFIG SET x 1",
      "CONFIG SET maxmemory x",
      "CONFIG SET maxmemory x foo 1",
      "CONFIG SET maxmemory",
    ],
    ...[
      "CONFIG SET maxmemory 1 MAXMEMORY 2",
      "CONFIG SET databases 1 x",
      "PUBSUB CHANNELS x y",
      "CONFIG SET databases 3",
      "CONFIG SET timeout -1",
      "CONFIG GET",
    ],
    ...["CONFIG GET maxmemory MAXmemory", "CONFIG GET nothing", "CONFIG SET slowlog-max-len -1"],
    ...[
      "WAIT x y",
      "WAIT -1 0",
      "WAIT 0 -1",
      "WAIT 0 x",
      "WAIT 1",
      "BGSAVE x",
      "BGSAVE SCHEDULE x",
      "SAVE x",
    ],
    ...[
      "REPLICAOF NO ONE",
      "SLAVEOF no one",
      "REPLICAOF x",
      "ROLE",
      "TIME x",
      "LASTSAVE x",
      "INFO foo",
    ],
    ...[
      "CLIENT GETREDIR",
      "CLIENT TRACKINGINFO",
      "CLIENT CACHING YES",
      "CLIENT PAUSE x",
      "CLIENT PAUSE -1",
    ],
    ...[
      "CLIENT PAUSE 1 x",
      "CLIENT PAUSE 1 WRITE x",
      "CLIENT PAUSE",
      "CLIENT UNPAUSE",
      "CLIENT UNPAUSE x",
    ],
    ...[
      "CLIENT TRACKING OFF",
      "CLIENT TRACKING x",
      "SLOWLOG GET x",
      "SLOWLOG GET -2",
      "SLOWLOG GET 1 2",
    ],
    ...[
      "SLOWLOG RESET",
      "MEMORY USAGE a",
      "MEMORY USAGE a SAMPLES -1",
      "MEMORY USAGE a x",
      "MEMORY x",
    ],
    ...[
      "MEMORY PURGE",
      "LATENCY LATEST",
      "LATENCY HISTORY x",
      "LATENCY RESET",
      "LATENCY GRAPH x",
      "MONITOR x",
    ],
  ];

  test.each(["2", "3"])("answers and refuses, in RESP%s", async (protocol) => {
    const [redis, [own]] = [await redisClient(), await storeClient()];
    for (const client of [redis, own]) await client.ask("HELLO", protocol);
    for (const line of ASKED) {
      const words = line.split(" ");
      const [expected, heard] = await Promise.all([redis.ask(...words), own.ask(...words)]);
      expect(heard, line).toEqual(expected);
    }
  });

  test("tells the same of every command, and refuses with a reason those that it has not", async () => {
    const [redis, [own]] = [await redisClient(), await storeClient()];
    const [all, ours] = [await redis.ask("COMMAND"), await own.ask("COMMAND")];
    /** Without tips, and without what is noted of keys. */
    const table = (heard: Heard): Map<string, unknown> => {
      const found = new Map<string, unknown>();
      for (const one of heard.slice(1) as unknown as readonly Heard[][]) {
        const [, name, arity, flags, first, last, step, categories, , , inner] = one;
        found.set(name as string, [arity, flags, first, last, step, categories]);
        if (inner) for (const [key, value] of table(inner)) found.set(key, value);
      }
      return found;
    };
    const expected = table(all);
    for (const [name, facts] of table(ours))
      if (!/^\$tidemark/.test(name)) expect(facts, name).toEqual(expected.get(name));
    for (const [name] of expected) {
      if (table(ours).has(name) || name.includes("|")) continue;
      const heard = await own.ask(name.slice(1), "a", "b");
      expect(heard, name).toMatch(/^-ERR [A-Z_-]+ is not supported by Tidemark: ./);
    }
  });
});

describe("what COMMAND DOCS tells", () => {
  test("are the words of a command, as hints need them", async () => {
    const [client] = await storeClient();
    await client.ask("HELLO", "3");
    const [, , ofSet] = (await client.ask("COMMAND", "DOCS", "set")) as readonly Heard[];
    const words = (ofSet as readonly Heard[]).at(-1) as readonly (readonly Heard[])[];
    expect(words[1]).toEqual(["%", "$name", "$key", "$type", "$key", "$key_spec_index", ":0"]);
    expect(words[3]?.slice(0, 7)).toEqual([
      ...["%", "$name", "$choice", "$type", "$oneof", "$flags"],
      ["~", "+optional"],
    ]);
    expect(words[4]).toEqual([
      ...["%", "$name", "$get", "$type", "$pure-token", "$token", "$GET", "$flags"],
      ["~", "+optional"],
    ]);
  });

  test("is there for every command that has more words than its name", async () => {
    const [client] = await storeClient();
    const all = (await client.ask("COMMAND")) as readonly (readonly Heard[])[];
    for (const [, name = "", arity] of all.slice(1)) {
      if (arity === ":1" || arity === ":-1" || ["$debug"].includes(name as string)) continue;
      const docs = await client.ask("COMMAND", "DOCS", (name as string).slice(1));
      expect(JSON.stringify(docs), name as string).toMatch(/\$arguments|\$subcommands/);
    }
  });
});

describe("INFO", () => {
  test("has the sections that are asked for", async () => {
    const [client] = await storeClient();
    const all = (await client.ask("INFO")) as string;
    expect(all).toMatch(/^\$# Server\r\n/);
    expect(all).toContain("\r\n\r\n# Persistence\r\nloading:0\r\n");
    for (const word of ["default", "all", "everything"])
      expect((await info(client, word)).has("redis_version")).toBe(true);
    await client.ask("SET", "a", "1", "EX", "100");
    expect(await client.ask("INFO", "keyspace")).toBe(
      "$# Keyspace\r\ndb0:keys=1,expires=1,avg_ttl=0\r\n",
    );
    expect([...(await info(client, "cpu", "cluster")).keys()]).toEqual([
      ...["used_cpu_sys", "used_cpu_user", "cluster_enabled"],
    ]);
  });
});

describe("snapshots", () => {
  test("SAVE answers when the snapshot is complete, and holds up nobody else", async () => {
    const [client, port] = await storeClient();
    const other = new TestClient(port);
    for (let i = 0; i < 1_000; i += 1) client.send("SET", `key${i}`, "value");
    for (let i = 0; i < 1_000; i += 1) await client.next();
    expect(Number((await info(client)).get("rdb_changes_since_last_save"))).toBeGreaterThan(999);
    client.send("SAVE");
    client.send("PING");
    const order: string[] = [];
    await Promise.all([
      client.next().then((heard) => order.push(`save ${heard}`)),
      other.ask("GET", "key1").then((heard) => order.push(`get ${heard}`)),
    ]);
    expect(order.sort()).toEqual(["get $value", "save +OK"]);
    expect(await client.next()).toBe("+PONG");
    expect((await info(client)).get("rdb_changes_since_last_save")).toBe("0");
    await client.ask("MULTI");
    expect(await client.ask("SAVE")).toBe("-ERR Command not allowed inside a transaction");
  });

  test("BGSAVE answers at once, and once at a time", async () => {
    const [client] = await storeClient();
    client.send("BGSAVE");
    client.send("BGSAVE", "SCHEDULE");
    client.send("SAVE");
    expect(await client.next()).toBe("+Background saving started");
    for (let i = 0; i < 2; i += 1)
      expect(await client.next()).toBe("-ERR Background save already in progress");
    await vi.waitUntil(async () => (await info(client)).get("rdb_bgsave_in_progress") === "0");
    expect((await info(client)).get("rdb_last_bgsave_status")).toBe("ok");
  });
});

describe("what is watched", () => {
  test("SLOWLOG has what took long, reads and writes", async () => {
    const [client] = await storeClient({ "slowlog-log-slower-than": "0", "slowlog-max-len": "3" });
    await client.ask("CLIENT", "SETNAME", "me");
    await client.ask("SET", "a", "x".repeat(200));
    await client.ask("GET", "a");
    expect(await client.ask("SLOWLOG", "LEN")).toBe(":3");
    const [, latest, second, third] = (await client.ask("SLOWLOG", "GET")) as readonly Heard[][];
    expect(latest?.[4]).toEqual(["*", "$SLOWLOG", "$LEN"]);
    expect(second?.[4]).toEqual(["*", "$GET", "$a"]);
    expect(third?.[4]).toEqual(["*", "$SET", "$a", `$${"x".repeat(128)}... (72 more bytes)`]);
    expect(third?.[6]).toBe("$me");
    await client.ask("CONFIG", "SET", "slowlog-log-slower-than", "-1");
    await client.ask("SLOWLOG", "RESET");
    expect(await client.ask("SLOWLOG", "LEN")).toBe(":0");
    await client.ask("CONFIG", "SET", "slowlog-log-slower-than", "20000");
    await client.ask("GET", "a");
    await client.ask("DEBUG", "SLEEP", "0.05");
    expect(await client.ask("SLOWLOG", "LEN")).toBe(":1");
  });

  test.skipIf(lacksRedis)("MONITOR shows what Redis shows", async () => {
    const [, port] = await storeClient();
    const shownBy = async (server: number): Promise<readonly string[]> => {
      const monitor = new TestClient(server);
      expect(await monitor.ask("MONITOR")).toBe("+OK");
      const client = new TestClient(server);
      for (const line of [
        ...["PING", "set a x", "Auth a b", "HELLO 3 AUTH a b", "CONFIG GET maxclients", "GET"],
        ...["CLIENT GETNAME", "DEBUG SLEEP 0", "SLOWLOG LEN", "nothing", "GET a"],
      ])
        client.send(...line.split(" "));
      client.send("ECHO", "end");
      const shown: string[] = [];
      while (!shown.at(-1)?.includes("end"))
        shown.push(String(await monitor.next()).replace(/^\+\d+\.\d{6} |127\.0\.0\.1:\d+/g, ""));
      return shown;
    };
    expect(await shownBy(port)).toEqual(await shownBy(await startRedis()));
  });

  test("MONITOR shows every request of the server, but no password", async () => {
    const [client, port] = await storeClient();
    const monitor = new TestClient(port);
    expect(await monitor.ask("MONITOR")).toBe("+OK");
    client.send("SET", "a", 'x"\n\x00\xff');
    client.send("PING");
    client.send("HELLO", "2", "AUTH", "default", "secret");
    client.send("AUTH", "secret");
    client.send("SELECT", "3");
    client.send("GET", "a");
    const shown: string[] = [];
    for (let i = 0; i < 6; i += 1) shown.push((await monitor.next()) as string);
    expect(shown[0]).toMatch(/^\+\d+\.\d{6} \[0 127\.0\.0\.1:\d+\] "SET" "a" "x\\"\\n\\x00\\xff"$/);
    expect(shown.map((line) => line.slice(line.indexOf("] ") + 2)).slice(1)).toEqual([
      ...['"PING"', '"HELLO" "2" "AUTH" "(redacted)" "(redacted)"', '"AUTH" "(redacted)"'],
      ...['"SELECT" "3"', '"GET" "a"'],
    ]);
    expect(await monitor.ask("RESET")).toMatch(/"RESET"/);
    expect(await monitor.next()).toBe("+RESET");
  });
});

describe("CLIENT PAUSE", () => {
  test("holds what writes, or all, until its time is over", async () => {
    const [client, port] = await storeClient();
    const other = new TestClient(port);
    await client.ask("CLIENT", "PAUSE", "100000", "WRITE");
    expect(await other.ask("GET", "a")).toBe("$-1");
    other.send("SET", "a", "1");
    other.send("GET", "a");
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(await client.ask("GET", "a")).toBe("$-1");
    expect(await client.ask("CLIENT", "UNPAUSE")).toBe("+OK");
    expect(await other.next()).toBe("+OK");
    expect(await other.next()).toBe("$1");
    const beganMs = performance.now();
    await client.ask("CLIENT", "PAUSE", "60");
    expect(await other.ask("PING")).toBe("+PONG");
    expect(performance.now() - beganMs).toBeGreaterThan(55);
  });

  test("holds a transaction that writes", async () => {
    const [client, port] = await storeClient();
    const other = new TestClient(port);
    await client.ask("CLIENT", "PAUSE", "100000", "WRITE");
    await other.ask("MULTI");
    expect(await other.ask("SET", "a", "1")).toBe("+QUEUED");
    other.send("EXEC");
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(await client.ask("GET", "a")).toBe("$-1");
    await client.ask("CLIENT", "UNPAUSE");
    expect(await other.next()).toEqual(["*", "+OK"]);
  });
});

describe("maxmemory", () => {
  const OOM = "command not allowed when used memory > 'maxmemory'.";

  test("refuses what takes memory, and nothing else", async () => {
    const [client] = await storeClient();
    await client.ask("SET", "a", "1");
    await client.ask("CONFIG", "SET", "maxmemory", "1");
    expect(await client.ask("SET", "a", "2")).toBe(`-OOM ${OOM}`);
    expect(await client.ask("GET", "a")).toBe("$1");
    await client.ask("MULTI");
    expect(await client.ask("LPUSH", "b", "2")).toBe(`-OOM ${OOM}`);
    expect(await client.ask("EXEC")).toMatch(/^-EXECABORT/);
    expect(await client.ask("DEL", "a")).toBe(":1");
    await client.ask("CONFIG", "SET", "maxmemory", "0");
    await client.ask("MULTI");
    await client.ask("SET", "a", "2");
    await client.ask("CONFIG", "GET", "maxmemory");
    expect(await client.ask("EXEC")).toEqual(["*", "+OK", ["*", "$maxmemory", "$0"]]);
  });

  test("gives up keys that were not used lately, at all replicas, and tells of it", async () => {
    const members = await startStore(2, { "notify-keyspace-events": "Ee" });
    const [one, other] = members.map(({ server }) => new TestClient(server.port)) as [
      TestClient,
      TestClient,
    ];
    for (let i = 0; i < 200; i += 1) await one.ask("SET", `key${i}`, "x".repeat(100));
    await other.ask("SUBSCRIBE", "__keyevent@0__:evicted");
    await one.ask("CONFIG", "SET", "maxmemory", "1", "maxmemory-policy", "allkeys-lru");
    for (let i = 0; i < 20; i += 1) {
      expect(await one.ask("GET", "key7")).toBe(`$${"x".repeat(100)}`);
      expect(await one.ask("SET", `new${i}`, "x".repeat(100))).toBe("+OK");
    }
    const event = await other.next();
    expect(texts(event)[1]).toBe("$__keyevent@0__:evicted");
    const sizes = members.map(({ replica }) => replica.keyspace.databases[0]?.size ?? 0);
    expect(sizes[0]).toBeLessThan(200);
    expect(Number((await info(one, "stats")).get("evicted_keys"))).toBeGreaterThan(20);
    await vi.waitUntil(() => new Set(members.map(({ replica }) => replica.applied)).size === 1);
  });
});

test("WAIT tells how many other replicas have what was written", async () => {
  const [one] = await startStore(3);
  const client = new TestClient(one?.server.port ?? 0);
  client.send("SET", "a", "1");
  client.send("WAIT", "5", "1000");
  expect(await client.next()).toBe("+OK");
  expect(await client.next()).toBe(":2");
});

test("CLUSTER KEYSLOT is that of Redis Cluster", async () => {
  const [client] = await storeClient();
  expect(await client.ask("CLUSTER", "KEYSLOT", "somekey")).toBe(":11058");
  expect(await client.ask("CLUSTER", "KEYSLOT", "foo{hash_tag}")).toBe(":2515");
});
