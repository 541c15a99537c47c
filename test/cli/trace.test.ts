import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parseLines, Started, temporaryDirectory, tidemark } from "./support/command.ts";

/** The example of docs/use/command-line.md: a file, and what is printed of it. */
const [, OVERTAKEN = "", PRINTED = ""] =
  /\$ cat chat\.jsonl\n([^$]*)\$ tidemark trace check chat\.jsonl\n([^`]*)```/.exec(
    readFileSync(new URL("../../docs/use/command-line.md", import.meta.url), "utf8"),
  ) ?? [];

function written(text: string): string {
  const file = join(temporaryDirectory(), "history.jsonl");
  writeFileSync(file, text);
  return file;
}

describe("tidemark trace check", () => {
  test("prints what the documentation says", async () => {
    const ended = await tidemark(["trace", "check", written(OVERTAKEN)]);
    expect(ended).toEqual({ status: 1, stdout: PRINTED, stderr: "" });
  });

  test("judges all messages by one level, if it is told to", async () => {
    const file = written(OVERTAKEN);
    const fifo = await tidemark(["trace", "check", file, "--order", "fifo", "--uniform"]);
    expect(fifo).toMatchObject({ status: 0, stderr: "" });
    expect(fifo.stdout.split("\n").slice(1)).toEqual([
      "✓ validity            2 messages",
      "✓ uniform agreement   2 messages",
      "✓ uniform integrity   6 deliveries",
      "✓ uniform FIFO order  6 deliveries",
      "",
    ]);
  });

  test("--json prints a line for each promise, and one at the end", async () => {
    const { status, stdout } = await tidemark(["trace", "check", written(OVERTAKEN), "--json"]);
    const lines = parseLines(stdout);
    expect(lines.map(({ promise, holds }) => [promise, holds])).toEqual([
      ["validity", true],
      ["agreement", true],
      ["integrity", true],
      ["FIFO order", true],
      ["causal order", false],
      [undefined, false],
    ]);
    expect(lines[3]).toEqual({ promise: "FIFO order", uniform: false, holds: true, judged: 6 });
    expect(lines[4].witness).toMatchObject({ wrong: 3, events: { length: 5 } });
    expect(lines[4].witness.events[3]).toEqual({
      ...{ process: "eve", type: "deliver", group: "chat", message: "answer", line: 6 },
    });
    expect(lines[5]).toEqual({
      ...{ processes: 3, groups: 1, messages: 2, deliveries: 6, complete: true, holds: false },
    });
    expect(status).toBe(1);
  });

  test("reads standard input, and says what cannot be judged", async () => {
    const check = new Started(["trace", "check", "-"], {}, "pipe");
    check.child.stdin?.end(
      '{"type":"history","complete":false}\n{"type":"multicast","process":"p","group":"g","message":1}',
    );
    const { status, stdout } = await check.ended;
    expect(stdout).toBe(
      [
        "1 process, 1 group, 1 message, 0 deliveries",
        "? validity   not judged: the history was cut off, and what is missing may still have come",
        "? agreement  not judged: the history was cut off, and what is missing may still have come",
        "✓ integrity  0 deliveries\n",
      ].join("\n"),
    );
    expect(status).toBe(0);
  });

  test("a wrong line, a file that is not there and a wrong level are mistakes in the command", async () => {
    const file = written(`${OVERTAKEN}{"type":"deliver","process":"ann"}\n`);
    expect(await tidemark(["trace", "check", file])).toEqual({
      status: 2,
      stdout: "",
      stderr: `tidemark: ${file}:9: group is a text of 1 to 256 characters, not nothing\n`,
    });
    const gone = await tidemark(["trace", "check", `${file}.gone`]);
    expect(gone.status).toBe(2);
    expect(gone.stderr).toMatch(/\.gone cannot be read: ENOENT/);
    const level = await tidemark(["trace", "check", file, "--order", "fast"]);
    expect(level.status).toBe(2);
    expect(level.stderr).toMatch(/Allowed choices are reliable, fifo, causal, total/);
  });

  test("a line without an end does not fill the memory", async () => {
    const file = written("x".repeat(20_000_000));
    const { status, stderr } = await tidemark(["trace", "check", file]);
    expect(stderr).toMatch(/:1: a line has up to 1048576 characters, and this one [0-9]{7}\n$/);
    expect(status).toBe(2);
  });
});
