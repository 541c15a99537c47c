/** `tidemark kv import` and `export`: keys go from a Redis into a store and back, and nothing is lost or silently left out. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { liveKeys } from "../../src/cli/live-keys.ts";
import { Random } from "../../src/index.ts";
import type { RdbEvent } from "../../src/kv/rdb.ts";
import { RedisConnection } from "../../src/serve/redis-connection.ts";
import { keysIn } from "../kv/rdb-files.ts";
import { lacksRedis, startRedis } from "../serve/redis.ts";
import { askAll, fill, keysOfServer } from "../serve/redis-keys.ts";
import { startStore, TestClient } from "../serve/store.ts";
import { freePorts } from "../support/ports.ts";
import { Started, temporaryDirectory, until } from "./support/command.ts";
import { transfer } from "./support/transfer.ts";

const url = (port: number): string => `redis://127.0.0.1:${port}`;

async function storeClient(port: number): Promise<TestClient> {
  await until("the store to serve", async () => {
    const trying = new TestClient(port);
    return (await Promise.race([trying.ask("PING"), trying.closed])) === "+PONG";
  });
  return new TestClient(port);
}

/** What `redis-cli --pipe` says of some requests. */
async function pipe(port: number, requests: string): Promise<string> {
  const child = spawn("redis-cli", ["-p", String(port), "--pipe"]);
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (some: string) => {
      said += some;
    });
  child.stdin.end(Buffer.from(requests, "latin1"));
  await once(child, "close");
  return said;
}

async function filledRedis(seed: number, ...options: readonly string[]) {
  const port = await startRedis(...options);
  const client = new TestClient(port);
  await fill(client, new Random(seed), 100);
  return { port, client, keys: await keysOfServer(client) };
}

test.skipIf(lacksRedis)(
  "a file of Redis comes in, and goes out again from a snapshot",
  async () => {
    const home = temporaryDirectory();
    const redis = await filledRedis(1, "--dir", home);
    await askAll(redis.client, [["SAVE"]]);
    const port = await freePorts(2);
    const store = join(home, "store");
    const kv = new Started([
      ...["kv", "--processes", "2", "--port", String(port), "--dir", store],
      ...["--json", "--log", "off"],
    ]);
    const [one, other] = [await storeClient(port), await storeClient(port + 1)];
    const to = ["--to", url(port), "--json"];
    const imported = await transfer(["import", join(home, "dump.rdb"), ...to]);
    expect(imported).toMatchObject({ status: 0, stderr: "" });
    const told = JSON.parse(imported.stdout);
    expect(told).toMatchObject({ keys: redis.keys.size, expired: 0, refused: 0, leftOut: {} });
    const types = [...redis.keys.values()].map(({ type }) => type);
    for (const [type, count] of Object.entries(told.types))
      expect(count).toBe(types.filter((of) => of === type).length);
    expect(await keysOfServer(one)).toEqual(redis.keys);
    const token = String(await one.ask("TIDEMARK", "TOKEN")).slice(1);
    expect(await other.ask("TIDEMARK", "AFTER", token)).toBe("+OK");
    expect(await keysOfServer(other)).toEqual(redis.keys);

    await other.ask("TIDEMARK", "SNAPSHOT", "full");
    await other.ask("SET", "later", "is not in it");
    const file = join(home, "keys.resp");
    const args = ["export", "--snapshot", "full", "--dir", store];
    const exported = await transfer([...args, file, "--json"]);
    expect(exported).toMatchObject({ status: 0, stderr: "" });
    const requests = readFileSync(file, "latin1");
    expect(JSON.parse(exported.stdout)).toMatchObject({
      ...{ file, bytes: requests.length, keys: redis.keys.size },
    });
    const back = await startRedis();
    expect(await pipe(back, requests)).toContain("errors: 0");
    expect(await keysOfServer(new TestClient(back))).toEqual(redis.keys);
    // A second time, it replaces.
    expect(await pipe(back, requests)).toContain("errors: 0");
    expect(await keysOfServer(new TestClient(back))).toEqual(redis.keys);
    kv.child.kill("SIGTERM");
    expect((await kv.ended).status).toBe(0);
  },
);

test.skipIf(lacksRedis)(
  "a running Redis comes in, and what is there stays or is replaced",
  async () => {
    const redis = await filledRedis(2);
    const port = (await startStore(1))[0]?.server.port ?? 0;
    const client = new TestClient(port);
    await redis.client.ask("CONFIG", "SET", "requirepass", "s:e/c@t");
    const source = `redis://default:s%3Ae%2Fc%40t@127.0.0.1:${redis.port}`;
    const args = ["import", source, "--to", url(port)];
    expect(await transfer(args)).toMatchObject({ status: 0, stderr: "" });
    expect(await keysOfServer(client)).toEqual(redis.keys);

    await askAll(redis.client, [["AUTH", "s:e/c@t"], ["FLUSHALL"]]);
    await fill(redis.client, new Random(3), 30);
    const lists = [["RPUSH", "large", ...Array.from({ length: 3_000 }, (_, i) => `${i}`)]];
    await askAll(redis.client, lists);
    await askAll(client, [["SET", "large", "a string here"]]);
    await askAll(redis.client, [["XADD", "a stream", "*", "f", "v"]]);
    const before = await keysOfServer(client);
    const fresh = await keysOfServer(redis.client);
    const kept = [...fresh.keys()].filter((place) => before.has(place));
    const second = await transfer([...args, "--json"]);
    expect(second.status).toBe(1);
    expect(second.stderr).toBe("tidemark: left out: stream a stream in database 0\n");
    expect(second.stdout).not.toContain("c%40t");
    expect(JSON.parse(second.stdout)).toMatchObject({
      ...{ keys: fresh.size - kept.length, refused: kept.length, leftOut: { stream: 1 } },
    });
    expect(await keysOfServer(client)).toEqual(new Map([...fresh, ...before]));

    const third = await transfer([...args, "--replace"]);
    expect(third.status).toBe(1);
    expect(third.stdout).toContain("1 left out: stream");
    expect(await keysOfServer(client)).toEqual(new Map([...before, ...fresh]));

    const file = join(temporaryDirectory(), "keys.resp");
    const live = await transfer(["export", file, "--from", url(port)]);
    expect(live).toMatchObject({ status: 0, stderr: "" });
    expect(live.stdout).toContain(" keys (");
    const back = await startRedis();
    expect(await pipe(back, readFileSync(file, "latin1"))).toContain("errors: 0");
    const all = new Map([...before, ...fresh]);
    expect(await keysOfServer(new TestClient(back))).toEqual(all);
    const again = await transfer(["export", file, "--from", url(port)]);
    expect(again).toMatchObject({ status: 1, stdout: "" });
    expect(again.stderr).toContain("is there already");
    const wrong = await transfer(["import", url(redis.port), "--to", url(port)]);
    expect(wrong).toMatchObject({ status: 1, stdout: "" });
    expect(wrong.stderr).toContain("NOAUTH");
  },
);

async function collected(events: AsyncIterable<RdbEvent>): Promise<RdbEvent[]> {
  const all: RdbEvent[] = [];
  for await (const event of events) all.push(event);
  return all;
}

test.skipIf(lacksRedis)(
  "a server without DUMP is asked by type, an old one for times to live",
  async () => {
    const plain = await filledRedis(4);
    const old = await filledRedis(4, "--rename-command", "DUMP", "");
    const connection = await RedisConnection.open({ host: "127.0.0.1", port: old.port });
    onTestFinished(() => connection.close());
    await old.client.ask("XADD", "a stream", "*", "f", "v");
    const byType = await collected(liveKeys(connection, [0, 1, 9]));
    expect(keysIn(byType)).toEqual(old.keys);
    expect(byType.filter((event) => "leftOut" in event)).toHaveLength(1);
    const oldest = await startRedis("--rename-command", "PEXPIRETIME", "");
    const client = new TestClient(oldest);
    const atMs = Date.now() + 1e7;
    await client.ask("SET", "k", "v", "PXAT", String(atMs));
    const other = await RedisConnection.open({ host: "127.0.0.1", port: oldest });
    onTestFinished(() => other.close());
    const [key] = await collected(liveKeys(other, [0]));
    expect(Math.abs(Number((key as { deadline: number }).deadline) - atMs)).toBeLessThan(1_000);
    expect(plain.keys.size).toBe(old.keys.size);
  },
);
