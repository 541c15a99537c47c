/** What Redis writes is read as Redis has it, and what is made by hand as Redis reads it. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { Random } from "../../src/index.ts";
import { readDump } from "../../src/kv/rdb.ts";
import { keysIn, rdbFile, readAll, valuesByHand } from "../kv/rdb-files.ts";
import { seeds } from "../support/soak.ts";
import { lacksRedis, startRedis } from "./redis.ts";
import { askAll, fill, keysOfServer } from "./redis-keys.ts";
import { TestClient } from "./store.ts";

function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "tidemark-rdb-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

test.skipIf(lacksRedis)("what Redis saves and dumps is what it has", async () => {
  const directory = temporaryDirectory();
  const redis = new TestClient(await startRedis("--dir", directory));
  for (const seed of seeds("rdb-redis", 4, 400)) {
    const random = new Random(seed);
    await fill(redis, random, 60);
    const expected = await keysOfServer(redis);
    await askAll(redis, [["SAVE"]]);
    const file = readFileSync(join(directory, "dump.rdb"));
    const most = random.below(2) === 0 ? 50 : 100_000;
    expect(keysIn(readAll(file, () => random.below(most)))).toEqual(expected);
    for (const [place, { deadline }] of expected) {
      const [, db = "", key = ""] = /^(\d+):(.*)$/s.exec(place) ?? [];
      const [, payload] = await askAll(redis, [
        ["SELECT", db],
        ["DUMP", key],
      ]);
      const whose = { db: Number(db), key, deadline };
      const read = keysIn(readDump(String(payload).slice(1), whose, "a value"));
      expect(read.get(place)).toEqual(expected.get(place));
    }
  }
});

test.skipIf(lacksRedis)("forms that Redis no longer writes are read as it reads them", async () => {
  for (const seed of seeds("rdb-by-hand", 3, 60)) {
    const directory = temporaryDirectory();
    const values = valuesByHand(new Random(seed), 30);
    const file = rdbFile(10, values);
    writeFileSync(join(directory, "dump.rdb"), file);
    const redis = new TestClient(await startRedis("--dir", directory));
    const expected = await keysOfServer(redis);
    expect(expected.size).toBe(values.length);
    expect(keysIn(readAll(file))).toEqual(expected);
  }
});
