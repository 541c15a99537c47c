/** What clients may do to a server: send much at once, leave in the middle, not read, and be told to go. */

import { connect } from "node:net";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { Random } from "../../src/index.ts";
import { seeds } from "../support/soak.ts";
import { RandomCommands } from "./random-commands.ts";
import { type Heard, type StoreMember, startStore, TestClient } from "./store.ts";

const portOf = (member: StoreMember | undefined): number => member?.server.port ?? 0;
const blockedAt = (member: StoreMember | undefined): number =>
  [...(member?.server.clients ?? [])].filter(({ isBlocked }) => isBlocked).length;
const clientsOf = (member: StoreMember | undefined): number =>
  [...(member?.server.clients ?? [])].length;

const request = (...words: readonly string[]): string =>
  `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join("")}`;

async function hear(client: TestClient, many: number): Promise<Heard[]> {
  const heard: Heard[] = [];
  for (let i = 0; i < many; i += 1) heard.push(await client.next());
  return heard;
}

describe("a client", () => {
  test("that listens to what it says hears it before the answers to what it asks after that", async () => {
    const [member] = await startStore(1);
    const client = new TestClient(portOf(member));
    await client.ask("HELLO", "3");
    await client.ask("SUBSCRIBE", "ch");
    client.send("PUBLISH", "ch", "a");
    client.send("PUBLISH", "ch", "b");
    client.send("SET", "k", "v");
    client.send("GET", "k");
    const heard = await hear(client, 6);
    expect(heard.slice(4)).toEqual(["+OK", "$v"]);
    const messages = heard.filter((one) => typeof one !== "string").map((one) => one.at(-1));
    expect(messages).toEqual(["$a", "$b"]);
  });

  test("has the same replies in the same order, whether it waits for each or for none", async () => {
    for (const seed of seeds("kv-pipelines", 3, 500)) {
      const commands = new RandomCommands(seed);
      const asked = Array.from({ length: 300 }, () => commands.next()).filter(
        ([name]) => !/^B[LRZ]|TTL|EXPIRETIME|^PUBLISH/.test(name as string),
      );
      const answers: Heard[][] = [];
      for (const many of [1, 7, asked.length]) {
        // Chance is a part of the state of a store.
        const [member] = await startStore(1);
        const client = new TestClient(portOf(member));
        const heard: Heard[] = [];
        for (let at = 0; at < asked.length; at += many) {
          const some = asked.slice(at, at + many);
          for (const words of some) client.send(...words);
          heard.push(...(await hear(client, some.length)));
        }
        answers.push(heard.map((one, i) => (isOfChance(asked[i]?.[0]) ? "any" : one)));
      }
      expect(answers[1], `seed ${seed}`).toEqual(answers[0]);
      expect(answers[2], `seed ${seed}`).toEqual(answers[0]);
    }
  }, 3_600_000);

  test("has the answer of a read before those of the writes behind it, however many there are", async () => {
    const [member] = await startStore(1);
    const client = new TestClient(portOf(member));
    await client.ask("SET", "k", "before");
    const write = request("SET", "other", "x".repeat(1_000));
    client.write(request("GET", "k") + write.repeat(60) + request("GET", "k"));
    expect(await hear(client, 62)).toEqual(["$before", ...Array(60).fill("+OK"), "$before"]);
  });

  test("has its own answers, whatever others ask meanwhile", async () => {
    for (const seed of seeds("kv-crowds", 10, 500)) {
      const random = new Random(seed);
      const members = await startStore(random.chance(0.5) ? 1 : 2);
      await Promise.all(
        Array.from({ length: 8 }, async (_, i) => {
          const client = new TestClient(portOf(members[i % members.length]));
          const key = `k${i}`;
          let value: string | undefined;
          for (let round = 0; round < 5; round += 1) {
            let [asked, expected] = ["", [] as Heard[]];
            for (let left = random.below(40); left > 0; left -= 1) {
              const chosen = random.below(10);
              if (chosen < 4) {
                asked += request("GET", key);
                expected.push(value === undefined ? "$-1" : `$${value}`);
              } else if (chosen < 8) {
                value = `${i} ${round} ${left}`.padEnd(random.below(2) * 8_000, ".");
                asked += request("SET", key, value);
                expected.push("+OK");
              } else if (chosen === 8) {
                asked += request("ECHO", key);
                expected.push(`$${key}`);
              } else {
                asked += request("CLIENT", "UNPAUSE");
                expected.push("+OK");
              }
            }
            client.write(asked);
            expect(await hear(client, expected.length), `seed ${seed}`).toEqual(expected);
          }
        }),
      );
    }
  }, 3_600_000);

  test("has its answers also if it ends another one, or lets others go on, right behind what it asked", async () => {
    const [member] = await startStore(1);
    const [one, other] = [new TestClient(portOf(member)), new TestClient(portOf(member))];
    const id = String(await other.ask("CLIENT", "ID")).slice(1);
    await one.ask("SET", "k", "v");
    await one.ask("CLIENT", "PAUSE", "100000", "WRITE");
    other.send("SET", "k2", "w");
    other.send("ECHO", "other");
    await new Promise((resolve) => setTimeout(resolve, 50));
    one.write(request("GET", "k") + request("CLIENT", "UNPAUSE") + request("GET", "k"));
    expect(await hear(one, 3)).toEqual(["$v", "+OK", "$v"]);
    expect(await hear(other, 2)).toEqual(["+OK", "$other"]);
    one.write(request("GET", "k") + request("CLIENT", "KILL", "ID", id) + request("GET", "k"));
    expect(await hear(one, 3)).toEqual(["$v", ":1", "$v"]);
    expect(await other.next()).toBe("closed");
  });

  test("that sends nothing more still has all its answers", async () => {
    const members = await startStore(2);
    const client = new TestClient(portOf(members[1]));
    for (let i = 0; i < 100; i += 1) client.send("INCR", "n");
    client.send("GET", "n");
    client.socket.end();
    expect((await hear(client, 101)).at(-1)).toBe("$100");
    await client.closed;
    await vi.waitUntil(() => clientsOf(members[1]) === 0);
  });

  test("has an answer that takes long to read, also when it goes behind it", async () => {
    const [member] = await startStore(1);
    await new TestClient(portOf(member)).ask("SET", "large", "x".repeat(12_000_000));
    const socket = connect(portOf(member), "127.0.0.1");
    socket.write("GET large\r\nQUIT\r\n");
    // Longer than a client has that was closed for its faults.
    await new Promise((resolve) => setTimeout(resolve, 1_300));
    const heard: Buffer[] = [];
    for await (const bytes of socket) heard.push(bytes);
    const all = Buffer.concat(heard);
    expect(all.length).toBe("$12000000\r\n\r\n+OK\r\n".length + 12_000_000);
    expect(all.subarray(-5).toString()).toBe("+OK\r\n");
  });

  test("that goes in the middle of a request leaves nothing behind", async () => {
    const [member] = await startStore(1);
    const other = new TestClient(portOf(member));
    for (const text of [
      "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$9\r\nx",
      "*2\r\n",
      "set a",
      "*1\r\n$4\r\nPI",
    ]) {
      const client = new TestClient(portOf(member));
      client.write(text);
      await vi.waitUntil(() =>
        [...(member?.server.clients ?? [])].some((one) => one.queryBytes > 0),
      );
      client.socket.destroy();
      await vi.waitUntil(() => clientsOf(member) === 1);
    }
    expect(await other.ask("EXISTS", "a")).toBe(":0");
  });

  test("that goes within a transaction has done nothing", async () => {
    const members = await startStore(2);
    const client = new TestClient(portOf(members[0]));
    await client.ask("WATCH", "a");
    await client.ask("MULTI");
    await client.ask("SET", "a", "1");
    client.socket.destroy();
    await vi.waitUntil(() => clientsOf(members[0]) === 0);
    const other = new TestClient(portOf(members[1]));
    expect(await other.ask("SET", "a", "2", "NX")).toBe("+OK");
  });

  test("that half closes while it waits takes nothing", async () => {
    const members = await startStore(2);
    const client = new TestClient(portOf(members[0]));
    client.send("BLPOP", "jobs", "0");
    await vi.waitUntil(() => blockedAt(members[0]) === 1);
    client.socket.end();
    await client.closed;
    await vi.waitUntil(() => clientsOf(members[0]) === 0);
    const other = new TestClient(portOf(members[0]));
    expect(await other.ask("RPUSH", "jobs", "one")).toBe(":1");
    expect(await other.ask("LPOP", "jobs")).toBe("$one");
  });
});

const isOfChance = (name: string | undefined): boolean => /RAND|SPOP|^EXEC$/.test(name ?? "");

describe("a server", () => {
  test("closes whom a client kills, also one that waits and one that does not read", async () => {
    const [member] = await startStore(1);
    const killer = new TestClient(portOf(member));
    const waiting = new TestClient(portOf(member));
    const id = String(await waiting.ask("CLIENT", "ID")).slice(1);
    waiting.send("BLPOP", "jobs", "0");
    await vi.waitUntil(() => blockedAt(member) === 1);
    expect(await killer.ask("CLIENT", "KILL", "ID", id)).toBe(":1");
    await waiting.closed;
    await killer.ask("SET", "large", "x".repeat(12_000_000));
    const lazy = new TestClient(portOf(member));
    const lazyId = String(await lazy.ask("CLIENT", "ID")).slice(1);
    lazy.socket.pause();
    lazy.send("GET", "large");
    await vi.waitUntil(() =>
      [...(member?.server.clients ?? [])].some((one) => one.outputBytes > 0),
    );
    expect(await killer.ask("CLIENT", "KILL", "ID", lazyId)).toBe(":1");
    await vi.waitUntil(() => clientsOf(member) === 1, 5_000);
    expect(await killer.ask("CLIENT", "KILL", "SKIPME", "no")).toBe(":1");
    await killer.closed;
  });

  test("has a client wait no longer when it is told so, in time or with an error", async () => {
    const [member] = await startStore(1);
    const waiting = new TestClient(portOf(member));
    const other = new TestClient(portOf(member));
    const id = String(await waiting.ask("CLIENT", "ID")).slice(1);
    expect(await other.ask("CLIENT", "UNBLOCK", id)).toBe(":0");
    for (const [mode, reply] of [
      ["TIMEOUT", "*-1"],
      ["ERROR", "-UNBLOCKED client unblocked via CLIENT UNBLOCK"],
    ] as const) {
      waiting.send("BLPOP", "jobs", "0");
      await vi.waitUntil(() => blockedAt(member) === 1);
      expect(await other.ask("CLIENT", "UNBLOCK", id, mode)).toBe(":1");
      expect(await waiting.next()).toBe(reply);
    }
    expect(await waiting.ask("PING")).toBe("+PONG");
  });

  test("says nothing to who wants to hear nothing", async () => {
    const [member] = await startStore(1);
    const client = new TestClient(portOf(member));
    for (const words of ["CLIENT REPLY SKIP", "SET a 1", "GET a", "CLIENT REPLY SKIP", "PING"])
      client.send(...words.split(" "));
    client.send("ECHO", "x");
    expect(await hear(client, 2)).toEqual(["$1", "$x"]);
    for (const words of ["CLIENT REPLY OFF", "INCR a", "GET a", "NONE", "CLIENT REPLY ON", "GET a"])
      client.send(...words.split(" "));
    expect(await hear(client, 2)).toEqual(["+OK", "$2"]);
  });

  test("has its limits of requests, as they are set now", async () => {
    const [member] = await startStore(1, { "client-query-buffer-limit": "1000000" });
    const long = new TestClient(portOf(member));
    long.send("ECHO", "x".repeat(3_000_000));
    await long.closed;
    const client = new TestClient(portOf(member));
    expect(await client.ask("CONFIG", "SET", "proto-max-bulk-len", "1048576")).toBe("+OK");
    client.write("*2\r\n$4\r\nECHO\r\n$1048577\r\n");
    expect(await client.next()).toBe("-ERR Protocol error: invalid bulk length");
    await client.closed;
  });

  test("holds back what is read behind what is written for a client that reads nothing", async () => {
    const [member] = await startStore(1);
    const client = new TestClient(portOf(member));
    await client.ask("SET", "large", "x".repeat(1_000_000));
    client.socket.pause();
    for (let i = 0; i < 1_000; i += 1) {
      if (i % 200 === 0) client.send("INCR", "n");
      client.send("GET", "large");
    }
    let most = 0;
    for (let i = 0; i < 60; i += 1) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      for (const { outputBytes } of member?.server.clients ?? [])
        most = Math.max(most, outputBytes);
    }
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThan(100_000_000);
  });

  test("closes clients that are silent for too long, but none that waits for others", async () => {
    const [member] = await startStore(1, { timeout: "1" });
    const [silent, busy, waiting, listening] = Array.from(
      { length: 4 },
      () => new TestClient(portOf(member)),
    ) as [TestClient, TestClient, TestClient, TestClient];
    waiting.send("BLPOP", "list", "0");
    await listening.ask("SUBSCRIBE", "news");
    await silent.ask("PING");
    const asking = setInterval(() => busy.send("PING"), 200);
    onTestFinished(() => clearInterval(asking));
    await silent.closed;
    expect([busy.isOver, waiting.isOver, listening.isOver]).toEqual([false, false, false]);
    clearInterval(asking);
    await busy.closed;
    expect([waiting.isOver, listening.isOver]).toEqual([false, false]);
  });

  test("does what many clients ask at once, each in its own order", async () => {
    const members = await startStore(2);
    const random = new Random("many");
    await Promise.all(
      Array.from({ length: 20 }, async (_, i) => {
        const client = new TestClient(portOf(members[i % 2]));
        for (let n = 1; n <= 50; n += 1) {
          client.send("INCR", `n${i}`);
          if (random.chance(0.3)) await new Promise((resolve) => setImmediate(resolve));
        }
        const expected = Array.from({ length: 50 }, (_, n) => `:${n + 1}`);
        expect(await hear(client, 50)).toEqual(expected);
      }),
    );
  });
});
