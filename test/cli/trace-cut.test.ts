import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { parseLines, temporaryDirectory, tidemark } from "./support/command.ts";

/** The run of the 1985 paper with what it recorded: p records at once, q when it has sent. */
const LINES = [
  { process: "p", type: "record", snapshot: "p/1" },
  { process: "p", type: "send", to: "q", message: "M" },
  { process: "q", type: "send", to: "p", message: "N" },
  { process: "q", type: "record", snapshot: "p/1" },
  { process: "p", type: "receive", from: "q", message: "N" },
  { process: "q", type: "receive", from: "p", message: "M" },
];

function traceFile(): string {
  const file = join(temporaryDirectory(), "trace.jsonl");
  writeFileSync(file, LINES.map((line) => `${JSON.stringify(line)}\n`).join(""));
  return file;
}

describe("tidemark trace cut", () => {
  test("says what is in flight across a consistent cut, also of a snapshot", async () => {
    const { status, stdout } = await tidemark(["trace", "cut", traceFile(), "--snapshot", "p/1"]);
    expect(stdout).toBe(
      "✓ p=0 q=1 is consistent\n  1 message in flight\n    N: from event 1 of q, line 3 to event 3 of p, line 5\n",
    );
    expect(status).toBe(0);
  });

  test("names the orphans of one that is not, and the consistent ones next to it", async () => {
    const { status, stdout } = await tidemark(["trace", "cut", traceFile(), "p=3"]);
    expect(stdout.split("\n").slice(0, 4)).toEqual([
      "✗ p=3 q=0 is not consistent: 1 orphan",
      "    N is received inside, by event 3 of p, line 5, and sent outside, by event 1 of q, line 3",
      "  the greatest consistent cut inside it: p=2 q=0",
      "  the least consistent cut around it: p=3 q=1",
    ]);
    expect(status).toBe(1);
  });

  test("--json", async () => {
    const { stdout } = await tidemark(["trace", "cut", traceFile(), "p=3", "--json"]);
    expect(parseLines(stdout)).toEqual([
      {
        ...{ cut: { p: 3, q: 0 }, consistent: false, orphans: [["q:1", "p:3"]] },
        ...{ inFlight: [["p:2", "q:3"]], messagesInFlight: 1 },
        ...{ least: { p: 3, q: 1 }, greatest: { p: 2, q: 0 } },
      },
    ]);
  });

  test("refuses what is no cut of the trace", async () => {
    for (const [words, reason] of [
      [["p"], "a cut is written as p=3 q=12"],
      [["p=1", "p=2"], "each process once"],
      [["r=1"], "the cut names r; the trace has only p, q"],
      [["p=9"], "from 0 to 3"],
      [["--snapshot", "p/2"], "does not say where p, q recorded for p/2"],
      [[], "name a cut"],
    ] as const) {
      const { status, stderr } = await tidemark(["trace", "cut", traceFile(), ...words]);
      expect([status, stderr.includes(reason)], stderr).toEqual([2, true]);
    }
  });

  test("a byte order mark is no text; what is compressed, and a circle of events, are told with the file", async () => {
    const file = join(temporaryDirectory(), "trace.jsonl");
    const cut = async (content: string | Uint8Array) => {
      writeFileSync(file, content);
      return tidemark(["trace", "cut", file, "p=1"]);
    };
    const line = '{"process":"p","type":"internal"}';
    expect((await cut(`\ufeff${line}\r\n${line}\r\n`)).stdout).toContain("p=1 is consistent");
    expect(await cut(gzipSync(line))).toMatchObject({
      status: 2,
      stderr: `tidemark: ${file} is compressed by gzip; gunzip -c ${file}, and read it from -\n`,
    });
    const received = '{"process":"p","type":"receive","from":"q","message":1}';
    const before = '{"process":"q","type":"send","to":"p","message":1,"after":[["p",1]]}';
    const { status, stderr } = await cut(`${received}\n${before}\n`);
    expect(status).toBe(2);
    expect(stderr).toContain(`${file}: no order of the events is possible`);
  });
});
