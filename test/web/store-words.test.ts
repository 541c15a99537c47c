/** What the page makes of bytes, replies and lines, without a browser. */

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { quoted, splitWords } from "../../src/kv/line.ts";
import { Reply } from "../../src/kv/reply.ts";
import { typedReplies } from "../../src/kv/reply-reader.ts";
import { RedisConnection } from "../../src/serve/redis-connection.ts";
import { bytesIn, bytesOf, hexLines, shown, shownWord, textOf } from "../../web/store/bytes.ts";
import { completionOf } from "../../web/store/completion.ts";
import { replyLines } from "../../web/store/reply-lines.ts";
import { lacksRedis } from "../serve/redis.ts";
import { startStore } from "../serve/store.ts";

const bytes = fc.string({
  unit: fc.integer({ min: 0, max: 255 }).map((n) => String.fromCharCode(n)),
});
const characters = fc.string({
  unit: fc.integer({ min: 0, max: 0x10_ffff }).map((code) => String.fromCodePoint(code)),
});

describe("bytes", () => {
  test("come back from what is shown of them", () => {
    fc.assert(
      fc.property(fc.oneof(bytes, characters.map(bytesOf)), (all) => {
        expect(bytesIn(shown(all))).toBe(all);
        // Nothing is shown that cannot be seen.
        expect(shown(all)).not.toMatch(/[\p{C}\p{Zl}\p{Zp}]/u);
        expect(splitWords(bytesOf(shownWord(all)))).toEqual([all]);
        expect(splitWords(quoted(all))).toEqual([all]);
      }),
    );
  });

  test("that are text are shown as text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        expect(textOf(bytesOf(text))).toBe(text);
      }),
    );
    expect(shown(bytesOf("schöne Grüße ☀"))).toBe("schöne Grüße ☀");
    expect(shown("\xff\x00a\n\\")).toBe("\\xff\\x00a\\n\\\\");
    // Overlong, half of a pair, and cut off.
    expect(shown("\xc0\x80\xed\xa0\x80\xe2\x98")).toBe("\\xc0\\x80\\xed\\xa0\\x80\\xe2\\x98");
    for (const wrong of ["\\", "\\x", "\\x1", "\\xgg", "\\q", "\\é"])
      expect(() => bytesIn(wrong), wrong).toThrow(/hexadecimal|stands x/);
    expect(hexLines("hello, world!\n\x00\xff!")).toBe(
      "000000  68 65 6c 6c 6f 2c 20 77 6f 72 6c 64 21 0a 00 ff  hello, world!...\n" +
        `000010  ${"21".padEnd(47)}  !`,
    );
  });
});

test.skipIf(lacksRedis)("replies are shown as redis-cli shows them", async () => {
  const [member] = await startStore(1);
  const port = member?.server.port ?? 0;
  const connection = await RedisConnection.openAs(
    { host: "127.0.0.1", port },
    { form: typedReplies, limits: { depth: 32 } },
  );
  await connection.ask("HELLO", "3");
  const ask = (words: string): Promise<unknown> => connection.ask(...(splitWords(words) ?? []));
  await ask(String.raw`SET a "x \"y\" \\ \x01\xff\n"`);
  await ask(`RPUSH list ${Array.from({ length: 12 }, (_, i) => `element${i}`).join(" ")}`);
  await ask(String.raw`HSET hash f 1 "g\n" 2`);
  await ask("SADD set one");
  await ask("ZADD zset 1.5 one inf two");
  for (const line of [
    ...["GET a", "GET none", "GET list", "STRLEN a", "TYPE a", "LRANGE list 0 -1", "HGETALL hash"],
    ...["HGETALL none", "LRANGE none 0 -1", "SMEMBERS none", "SMEMBERS set", "ZSCORE zset two"],
    ...["ZRANGE zset 0 -1 WITHSCORES", "HSCAN hash 0", "TIDEMARK STATUS", "COMMAND INFO get"],
    ...["COMMAND DOCS set get", "CONFIG GET max*", "NOTHING", "PUBSUB NUMSUB a", "XADD", "SAVE x"],
  ]) {
    const words = line.split(" ");
    const asked = new Reply();
    asked.bulks(words);
    const [reply] = await connection.send(asked, 1);
    const args = ["-3", "--no-raw", "-p", String(port), ...words];
    const { stdout } = await promisify(execFile)("redis-cli", args);
    const lines = reply ? replyLines(reply, 10_000).lines : [];
    expect(lines.map(({ text }) => text).join("\n"), line).toBe(stdout.replace(/\n+$/, ""));
  }
  connection.close();
});

test("of a long reply so many lines are shown, and all are counted", () => {
  const items = Array.from({ length: 1_000 }, () => ({ type: "integer", text: "7" }) as const);
  const { lines, count } = replyLines({ type: "array", items }, 3);
  expect(lines.map(({ text }) => text)).toEqual([
    "   1) (integer) 7",
    "   2) (integer) 7",
    "   3) (integer) 7",
  ]);
  expect(count).toBe(1_000);
  // A text may be of any size, and a page lays out no 10 MiB.
  const [long] = replyLines({ type: "bulk", text: "x".repeat(10 << 20) }, 3).lines;
  expect(long?.text).toMatch(/^"x{16384}… \(10.0 MiB in all\)$/);
  expect(replyLines({ type: "error", text: "ERR no" }, 3).lines).toEqual([
    { text: "(error) ERR no", isError: true },
  ]);
});

test("what may come next in a line comes from the table of commands", () => {
  const next = (line: string): readonly string[] =>
    completionOf(line).suggestions.map(({ word }) => word);
  expect(next("")).toEqual([]);
  expect(next("hge")).toEqual(["HGET", "HGETALL"]);
  expect(completionOf("hge").suggestions[0]?.line).toBe("HGET ");
  expect(completionOf("SET k v").syntax).toMatch(
    /^SET key value \[NX \| XX\] \[GET\] \[EX seconds/,
  );
  expect(completionOf("set").summary).toBe("Set the string value of a key");
  expect(next("SET k v e")).toEqual(["EX", "EXAT"]);
  // What is there is not offered again.
  expect(next("SET k v EX 1 x")).toEqual(["XX"]);
  expect(next("CONFIG ")).toEqual(["GET", "SET", "RESETSTAT", "REWRITE", "HELP"]);
  expect(next("config s")).toEqual(["SET"]);
  expect(completionOf("CONFIG GET x").syntax).toBe("CONFIG GET parameter ...");
  expect(next("TIDEMARK RE")).toEqual(["READ", "RESTORE"]);
  expect(completionOf("nothing x")).toEqual({
    suggestions: [],
    syntax: undefined,
    summary: undefined,
  });
});
