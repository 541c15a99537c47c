/** `tidemark kv import` and `export`, when something is wrong. */

import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { parseRedisUrl } from "../../src/cli/redis-url.ts";
import { entry, latin1, rdbFile, text } from "../kv/rdb-files.ts";
import { startStore, TestClient } from "../serve/store.ts";
import { temporaryDirectory, tidemark } from "./support/command.ts";
import { transfer } from "./support/transfer.ts";

const PAST = Buffer.from([0xfc, 1, 0, 0, 0, 0, 0, 0, 0]);

test("what is damaged, refused or cut off is told, and how far it came", async () => {
  const port = (await startStore(1, { requirepass: "secret" }))[0]?.server.port ?? 0;
  const client = new TestClient(port);
  await client.ask("AUTH", "secret");
  const file = join(temporaryDirectory(), "dump.rdb");
  const to = ["--to", `redis://:secret@127.0.0.1:${port}`];
  const importing = (bytes: Uint8Array, ...more: readonly string[]) => {
    writeFileSync(file, bytes);
    return transfer(["import", file, ...to, ...more]);
  };
  const key = entry(0, "k", text("v"));
  const whole = rdbFile(10, [PAST, entry(0, "gone", text("by now")), key, key]);
  const damaged = Buffer.from(whole);
  damaged[damaged.length - 1] = 0;
  const bad = await importing(damaged);
  expect(bad).toMatchObject({ status: 1, stdout: "" });
  expect(bad.stderr).toContain(`dump.rdb is damaged at byte ${whole.length - 8}: the checksum`);
  expect(await client.ask("DBSIZE")).toBe(":0");
  const good = await importing(whole, "--json");
  expect(good.status).toBe(1);
  expect(JSON.parse(good.stdout)).toMatchObject({ keys: 1, expired: 1, refused: 1 });

  const out = await tidemark(["kv", "export", "--from", to[1] as string]);
  const words = ["*2\r\n$6\r\nSELECT\r\n$1\r\n0", "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv"];
  expect(out).toEqual({ status: 0, stdout: `${words.join("\r\n")}\r\n`, stderr: "" });

  const far = await importing(rdbFile(10, [entry(0, "n", text("v")), Buffer.from([254, 16]), key]));
  expect(far).toMatchObject({ status: 1, stdout: "" });
  expect(far.stderr).toContain("DB index is out of range (1 key (1 string) came in before)");

  const breaking = createServer((socket: Socket) => {
    socket.on("data", (some) => {
      if (some.includes("PING")) socket.write("+PONG\r\n");
      else socket.destroy();
    });
  });
  const babbling = createServer((socket: Socket) => socket.end(latin1("HTTP/1.1 400 Bad\r\n\r\n")));
  for (const [server, why] of [
    [breaking, "closed the connection"],
    [babbling, "does not speak as a server of Redis does"],
  ] as const) {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => void server.close());
    const address = server.address() as { readonly port: number };
    const told = await tidemark([
      "kv",
      "import",
      file,
      "--to",
      `redis://127.0.0.1:${address.port}`,
    ]);
    expect(told).toMatchObject({ status: 1, stdout: "" });
    expect(told.stderr).toContain(why);
  }
});

test.each([
  [["import", "no such file"], "no such file cannot be read"],
  [["import", "."], "it is read twice, so it must be a file"],
  [["import", "redis://:a%zz@127.0.0.1"], "two hexadecimal digits"],
  [["import", "x", "--to", "redis://127.0.0.1/3"], "keys keep the one they have"],
  [["export", "--snapshot", "latest", "--from", "redis://127.0.0.1"], "choose one"],
  [["export", "--json"], "nor among JSON"],
])("kv %j is refused", async (args, why) => {
  const refused = await tidemark(["kv", ...args]);
  expect(refused).toMatchObject({ status: 2, stdout: "" });
  expect(refused.stderr).toContain(why);
  expect(refused.stderr).not.toContain("a%zz");
});

test("an address of Redis is read whole", () => {
  expect(parseRedisUrl("redis://localhost")).toEqual({ host: "localhost", port: 6379 });
  expect(parseRedisUrl("redis://ann:p%40ss@[::1]:7000/12")).toEqual({
    ...{ host: "::1", port: 7000, user: "ann", password: "p@ss", db: 12 },
  });
  expect(parseRedisUrl("redis://:secret@a:1/")).toEqual({ host: "a", port: 1, password: "secret" });
  for (const text of ["127.0.0.1:7379", "http://a", "redis://", "redis://a/b", "redis://a:99999"])
    expect(() => parseRedisUrl(text)).toThrow("Use redis://host:port");
  expect(parseRedisUrl("rediss://a:1")).toEqual({ host: "a", port: 1, tls: {} });
});
