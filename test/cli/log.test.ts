import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openInputLog } from "../../src/runtime/input-log.ts";
import { filesBelow, parseLines, temporaryDirectory, tidemark } from "./support/command.ts";

/** Three records, the first of which is in a capture; each in a segment of its own. */
async function newLog(): Promise<string> {
  const directory = temporaryDirectory();
  for (const content of ["one", "two", "three"]) {
    const log = await openInputLog(directory, { policy: "always", segmentBytes: 1 });
    log.append(new TextEncoder().encode(content));
    if (content === "one") await log.beginCapture(new Uint8Array(5)).commit();
    await log.close();
  }
  return directory;
}

describe("tidemark log", () => {
  test("shows what is there, also while somebody writes, and changes nothing", async () => {
    const directory = await newLog();
    const log = await openInputLog(directory);
    const before = filesBelow(directory);
    const { status, stdout, stderr } = await tidemark(["log", directory]);
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout.split("\n").map((line) => line.split(/ {2,}/))).toEqual([
      ["file", "kind", "position", "records", "size"],
      ["0000000000000008.capture", "capture", "8", "92 B"],
      ["0000000000000008.log", "segment", "8", "1", "128 B"],
      ["0000000000000016.log", "segment", "16", "1", "92 B"],
      ["✓ 2 records after a capture at position 8, up to position 28"],
      [""],
    ]);
    expect(filesBelow(directory)).toEqual(before);
    await log.close();

    const json = await tidemark(["log", directory, "--json"]);
    expect(parseLines(json.stdout)).toEqual([
      {
        directory,
        captures: [{ file: join(directory, "0000000000000008.capture"), position: 8, bytes: 92 }],
        segments: [
          { file: join(directory, "0000000000000008.log"), position: 8, bytes: 128, records: 1 },
          { file: join(directory, "0000000000000016.log"), position: 16, bytes: 92, records: 1 },
        ],
        from: 8,
        position: 28,
        records: 2,
        synced: 28,
      },
    ]);
  });

  test("says what is unfinished, which is no fault", async () => {
    const directory = await newLog();
    const path = join(directory, "0000000000000016.log");
    writeFileSync(path, Buffer.concat([readFileSync(path), new Uint8Array(7)]));
    const { status, stdout } = await tidemark(["log", directory]);
    expect(status).toBe(0);
    expect(stdout).toContain(
      `unfinished: ${path} at byte 92; 7 B from there on, with 0 whole records`,
    );
  });

  test("names damage, and salvages what is before it", async () => {
    const directory = await newLog();
    const path = join(directory, "0000000000000008.log");
    const bytes = readFileSync(path);
    bytes[85] = 0;
    writeFileSync(path, bytes);
    const shown = await tidemark(["log", directory]);
    expect(shown.status).toBe(1);
    expect(shown.stdout).toContain(`✗ ${path} is damaged at byte 40: a batch in it is not whole`);
    expect(shown.stdout).toContain("--salvage keeps 0 records after a capture at position 8");

    const log = await tidemark(["log", directory, "--salvage", "--json"]);
    expect(log.status).toBe(1);
    expect(parseLines(log.stdout)).toMatchObject([
      {
        records: 0,
        broken: { kind: "damaged", file: path, offset: 40, position: 8, records: 1, bytes: 180 },
        aside: join(directory, "aside-1"),
      },
    ]);
    expect(readdirSync(join(directory, "aside-1")).sort()).toEqual([
      "0000000000000008.log.from-40",
      "0000000000000016.log",
    ]);
    expect((await tidemark(["log", directory])).status).toBe(0);
    const again = await tidemark(["log", directory, "--salvage"]);
    expect([again.status, again.stdout]).toEqual([
      0,
      expect.stringContaining("0 records after a capture at position 8"),
    ]);
    expect(readdirSync(directory)).not.toContain("aside-2");
  });

  test("refuses what is no log, and leaves it as it is", async () => {
    const directory = temporaryDirectory();
    const { status, stderr } = await tidemark(["log", directory, "--salvage"]);
    expect([status, stderr]).toEqual([1, `tidemark: there is no input log in ${directory}\n`]);
    expect(readdirSync(directory)).toEqual([]);
    expect((await tidemark(["log"])).status).toBe(2);
    const missing = join(directory, "missing");
    expect((await tidemark(["log", missing])).stderr).toBe(
      `tidemark: there is no directory ${missing}\n`,
    );
  });
});
