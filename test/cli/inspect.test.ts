/** `tidemark diff`, and what `tidemark show` finds, on snapshots that are put together by hand. */

import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { writeRecords } from "../../src/core/record.ts";
import { directoryStore, type Manifest, msgpackCodec, parseSnapshotId } from "../../src/index.ts";
import { parseLines, temporaryDirectory, tidemark } from "./support/command.ts";

const codec = msgpackCodec<unknown>();
const encode = (value: unknown): Uint8Array => new Uint8Array(codec.encode(value));

interface Made {
  readonly id: Manifest["id"];
  readonly label?: string;
  readonly epoch?: number;
  readonly p: unknown;
  /** Sliced. */
  readonly q?: readonly unknown[];
  /** In flight from p to q, after so many that were received. */
  readonly messages?: readonly unknown[];
  readonly received?: number;
  /** The text of the state of p, which is JSON then. */
  readonly json?: string;
}

/** Writes a snapshot of p and q. */
async function put(directory: string, made: Made): Promise<void> {
  const { id, label, epoch = 1, q = [0], messages = [], received = 0 } = made;
  const store = directoryStore(directory, { sync: false });
  const records = messages.length > 0 ? [writeRecords(messages.map(encode))] : [];
  const channels = new Map(records.map((run) => ["p", [run]] as const));
  const bytes = made.json === undefined ? encode(made.p) : new TextEncoder().encode(made.json);
  const own = { snapshot: id, process: "p", state: [bytes], channels: new Map() };
  const pieceOfP = await store.writePiece(own);
  const pieceOfQ = await store.writePiece({
    snapshot: id,
    process: "q",
    state: q.map(encode),
    channels,
  });
  const hash = "0".repeat(33);
  const piece = { snapshot: id, epoch, messageEncoding: "msgpack" };
  const timing = { recordedAtMs: epoch, recordingMs: 0, captureMs: 0 };
  const part = pieceOfQ.channels.get("p");
  const encoding = made.json === undefined ? "msgpack" : "json";
  const state = { encoding, sliced: false, parts: pieceOfP.state };
  const sent = received + messages.length;
  await store.writeManifest({
    ...{ format: "tidemark-snapshot/1", id, ...(label === undefined ? {} : { label }), epoch },
    ...{
      system: "test",
      initiator: parseSnapshotId(id).initiator,
      startedAtMs: 1000 * epoch,
      cutMs: 1,
    },
    processes: ["p", "q"],
    channels: [{ from: "p", to: "q" }],
    pieces: [
      { ...piece, process: "p", state, incoming: [], outgoing: [{ to: "q", sent, hash }], timing },
      {
        ...{ ...piece, process: "q", timing, outgoing: [] },
        state: { encoding: "msgpack", sliced: true, parts: pieceOfQ.state },
        incoming: [
          { from: "p", received, hash, inFlight: messages.length, ...(part ? { part } : {}) },
        ],
      },
    ],
  });
  await store.close();
}

/** Written with what could drive a terminal, or turn text round. */
const EVIL = "\u001b[2Jgone\u202e\u0007\nnext";

async function orders(): Promise<string> {
  const directory = temporaryDirectory();
  await put(directory, {
    ...{ id: "p/1", label: "first" },
    p: {
      total: 10n ** 20n,
      text: `${"x".repeat(200)}one`,
      seen: new Date(0),
      bytes: new Uint8Array(40),
    },
    q: [{ block: 0 }, { block: 1, rows: [1, 2] }],
    messages: [{ amount: 4 }, { amount: 5 }, { amount: 5 }],
  });
  await put(directory, {
    id: "q/1",
    p: {
      total: 10n ** 20n + 7n,
      text: `${"x".repeat(200)}two`,
      seen: new Date(1),
      bytes: new Uint8Array(40).fill(255, 39),
    },
    q: [{ block: 0 }, { block: 1, rows: [1, 3, 4] }, { block: 2 }],
    ...{ received: 2, messages: [{ amount: 5 }, { [EVIL]: EVIL }] },
  });
  return directory;
}

describe("tidemark diff", () => {
  test("shows at a glance what changed, and where", async () => {
    const directory = await orders();
    const { status, stdout, stderr } = await tidemark(["diff", "p/1", "q/1", "--dir", directory]);
    expect(stderr).toBe("");
    expect(stdout.split("\n")).toEqual([
      "p/1 (first) → q/1  system test, epoch 1, taken at the same time",
      "2 of 2 processes differ: 5 changed, 2 added, 0 removed",
      "1 of 1 channels differs: 2 messages gone, 1 new, 1 still in flight",
      "",
      "p  4 changed; recorded 0 ms later",
      "  ~ $.total  100000000000000000000n → 100000000000000000007n  (+7)",
      "  ~ $.text  …'xxxxxxxxxxxxxxxxxxxxone' (203 characters) → …'xxxxxxxxxxxxxxxxxxxxtwo' (203 characters)",
      "  ~ $.seen  1970-01-01T00:00:00.000Z → 1970-01-01T00:00:00.001Z",
      "  ~ $.bytes  40 bytes, from 39: 00 → 40 bytes, from 39: ff",
      "",
      "q  1 changed, 2 added; recorded 0 ms later",
      "  ~ $[1].rows[1]  2 → 3  (+1)",
      "  + $[1].rows[2]  4",
      "  + $[2]  { block: 2 }",
      "",
      "p → q  +1 sent, +2 received; in flight 3 → 2: 2 gone, 1 new, 1 still there",
      "  - message 1  { amount: 4 }",
      "  - message 2  { amount: 5 }",
      "  + message 4  { '\\x1B[2Jgone?\\x07\\nnext': '\\x1B[2Jgone?\\x07\\nnext' }",
      "",
    ]);
    expect(status).toBe(1);
  });

  test("shows an error without its stack, and without what it would do to a terminal", async () => {
    const directory = temporaryDirectory();
    await put(directory, { id: "p/1", p: {} });
    await put(directory, { id: "p/2", p: { failure: new Error(EVIL) } });
    const { stdout } = await tidemark(["diff", "p/1", "p/2", "--dir", directory]);
    expect(stdout).toContain("  + $.failure  [Error: ?[2Jgone?? next]\n");
  });

  test("lists no more than it is told to, and counts all", async () => {
    const directory = await orders();
    const { stdout } = await tidemark(["diff", "p/1", "q/1", "--limit", "1", "--dir", directory]);
    expect(stdout).toContain("2 of 2 processes differ: 5 changed, 2 added, 0 removed\n");
    expect(stdout.match(/^ {2}[-+~] /gm)).toHaveLength(4);
    expect(stdout).toContain("  … and 3 more: --limit shows them\n");
  });

  test("--json prints a line for each process and channel, and one at the end", async () => {
    const directory = await orders();
    const args = ["diff", "p/1", "q/1", "--json", "--dir", directory];
    const { status, stdout } = await tidemark(args);
    const [p, q, channel, summary, ...more] = parseLines(stdout);
    expect(more).toEqual([]);
    expect(status).toBe(1);
    expect(p).toMatchObject({ type: "process", process: "p", presence: "both", changed: 4 });
    expect(p.differences[0]).toEqual({
      ...{ kind: "changed", path: "$.total" },
      before: { $bigint: "100000000000000000000" },
      after: { $bigint: "100000000000000000007" },
    });
    expect(q.differences.map(({ path }: { path: string }) => path)).toEqual([
      "$[1].rows[1]",
      "$[1].rows[2]",
      "$[2]",
    ]);
    expect(channel).toMatchObject({
      ...{ type: "channel", from: "p", to: "q", comparable: true, gone: 2, come: 1, still: 1 },
      before: { sent: 3, received: 0, inFlight: 3 },
      after: { sent: 4, received: 2, inFlight: 2 },
      goneMessages: [
        { number: 1, message: { amount: 4 } },
        { number: 2, message: { amount: 5 } },
      ],
    });
    expect(summary).toMatchObject({
      ...{ type: "summary", differ: true, processes: 2, processesThatDiffer: 2 },
      ...{ added: 2, removed: 0, changed: 5, channels: 1, channelsThatDiffer: 1 },
      before: { id: "p/1", label: "first", epoch: 1 },
      after: { id: "q/1", epoch: 1 },
    });
  });

  test("ends with 0 if nothing differs, with 1 if something does, and with 2 if it cannot say", async () => {
    const directory = await orders();
    const other = temporaryDirectory();
    await put(other, { id: "p/1", p: 1 });
    await put(other, { id: "p/2", p: 1, epoch: 2 });
    const at = ["--dir", directory];
    const expectations = [
      [["p/1", "p/1", ...at], 0, "no difference; 3 messages still in flight"],
      [["p/1", "p/1", ...at, "--json"], 0, '"differ":false'],
      [["p/1", "q/1", ...at, "--path", "$[0].block"], 0, "no difference"],
      [["p/1", "p/1", ...at, "--other-dir", other], 1, "p  1 changed"],
      // Nothing else has changed.
      [["p/1", "p/2", "--dir", other], 1, "epoch 1 → 2, taken 1.0 s later"],
      [["p/1", "p/3", ...at], 2, "there is no snapshot p/3"],
      [["p/1", "q/1", ...at, "--process", "r"], 2, "q/1 has no r, only p, q"],
      [["p/1", "q/1", ...at, "--path", "$.a["], 2, "path $.a[ is wrong at character 5: "],
      [["p/1", "latest", "--path", "$[0].block", ...at], 0, "no difference"],
      [["p/1", "q1", ...at], 2, "has the id or the label q1"],
      [["p/1"], 2, "missing required argument 'after'"],
    ] as const;
    for (const [args, status, text] of expectations) {
      const ended = await tidemark(["diff", ...args]);
      expect([...args, ended.status]).toEqual([...args, status]);
      expect(ended.stdout + ended.stderr).toContain(text);
    }
    const [folder = ""] = readdirSync(join(directory, "parts"));
    for (const name of readdirSync(join(directory, "parts", folder)))
      writeFileSync(join(directory, "parts", folder, name), "x");
    const damaged = await tidemark(["diff", "p/1", "q/1", ...at]);
    expect(damaged).toMatchObject({ status: 2, stdout: "" });
    expect(damaged.stderr).toMatch(/^tidemark: .* is damaged: /);
  });
});

test("values that are deeper than any stack are compared, searched and shown, or refused by name", async () => {
  const directory = temporaryDirectory();
  const depth = 20_000;
  const nested = (inner: number): string => "[".repeat(depth) + inner + "]".repeat(depth);
  await put(directory, { id: "p/1", p: 0, json: nested(1) });
  await put(directory, { id: "p/2", p: 0, json: nested(2) });
  const run = (...args: string[]) => tidemark([...args, "--dir", directory]);
  const diff = await run("diff", "p/1", "p/2");
  expect(diff).toMatchObject({ status: 1, stderr: "" });
  expect(diff.stdout).toContain("1 of 2 processes differs: 1 changed, 0 added, 0 removed\n");
  expect(await run("diff", "p/1", "p/1")).toMatchObject({ status: 0 });
  expect(await run("show", "p/1", "--search", "1")).toMatchObject({ status: 0, stderr: "" });
  expect(await run("show", "p/1", "--all")).toMatchObject({ status: 0, stderr: "" });
  const json = await run("show", "p/1", "--json");
  expect(json).toMatchObject({ status: 1, stdout: "" });
  expect(json.stderr).toMatch(/^tidemark: a value has no form in JSON: /);
});

describe("tidemark show", () => {
  test("prints what a path leads to, in states, slices and messages", async () => {
    const directory = await orders();
    const show = async (...args: string[]): Promise<string[]> => {
      const { status, stdout, stderr } = await tidemark([
        "show",
        "p/1",
        ...args,
        "--dir",
        directory,
      ]);
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
      return stdout.trimEnd().split("\n");
    };
    expect(await show("--path", "$[*].block")).toEqual(["q  $[0].block  0", "q  $[1].block  1"]);
    expect(await show("--path", "$.amount")).toEqual([
      "p → q  message 1  $.amount  4",
      "p → q  message 2  $.amount  5",
      "p → q  message 3  $.amount  5",
    ]);
    const [line, ...more] = await show("--path", "$.total", "--json");
    expect(line).toBe(
      '{"process":"p","path":"$.total","value":{"$bigint":"100000000000000000000"}}',
    );
    expect(more).toEqual([]);
    expect((await show("--process", "q", "--channel", "p->q")).slice(4)).toEqual([
      "q  recorded after 0 ms, paused for 0 ms, last marker 0 ms later",
      "  [ { block: 0 }, { block: 1, rows: [ 1, 2 ] } ]",
      "",
      "p → q  3 messages in flight",
      ...["  { amount: 4 }", "  { amount: 5 }", "  { amount: 5 }"],
    ]);
  });

  test("finds texts, names, numbers and dates, and drives no terminal with them", async () => {
    const directory = await orders();
    const find = async (text: string, ...more: string[]): Promise<string[]> =>
      (await tidemark(["show", "q/1", "--search", text, ...more, "--dir", directory])).stdout
        .trimEnd()
        .split("\n");
    expect(await find("two")).toEqual(["p  $.text  …'xxxxxxxxxxxxxxxxxxxxtwo' (203 characters)"]);
    expect(await find("block")).toEqual(
      ["0", "1", "2"].map((block) => `q  $[${block}].block  ${block}`),
    );
    expect(await find("/^1970-.*1Z$/")).toEqual(["p  $.seen  1970-01-01T00:00:00.001Z"]);
    expect(await find("/^.$/", "--path", "$[1].rows")).toEqual([
      ...["q  $[1].rows[0]  1", "q  $[1].rows[1]  3", "q  $[1].rows[2]  4"],
    ]);
    expect(await find("gone")).toEqual([
      "p → q  message 4  $['\\u001b[2Jgone\\u202e\\u0007\\u000anext']  '\\x1B[2Jgone?\\x07\\nnext'",
    ]);
    // An expression that matches an empty text matches texts, and not what has none.
    expect(await find("/(?:)/", "--path", "$[2]")).toEqual(["q  $[2].block  2"]);
  });

  test("stops an expression that would take for ever, and says where", async () => {
    const directory = temporaryDirectory();
    await put(directory, { id: "p/1", p: { fine: "aaa", name: `${"a".repeat(50)}!` } });
    const search = ["--search", "/^(a+)+$/"];
    const { status, stdout, stderr } = await tidemark([
      "show",
      "p/1",
      ...search,
      "--dir",
      directory,
    ]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "p  $.fine  'aaa'\n" });
    expect(stderr).toBe(
      "tidemark: /^(a+)+$/ takes longer than 1000 ms at $.name of p: try a simpler expression\n",
    );
  });

  test.each<[string, readonly string[], number, string]>([
    ["nothing is found", ["--path", "$.nothing"], 1, "nothing is found in p/1"],
    [
      "more is found than is wanted",
      ["--search", "5", "--limit", "1"],
      0,
      "there is more than 1: --limit 2 shows more",
    ],
    [
      "a path is wrong",
      ["--path", "total"],
      2,
      "path total is wrong at character 1: it begins with $",
    ],
    ["an expression is wrong", ["--search", "/(/"], 2, "Invalid regular expression"],
    ["a flag makes no sense", ["--search", "/a/g"], 2, "/a/g has the flag g: use i, m, s, u or v"],
    ["there is no such process", ["--process", "r"], 2, "p/1 has no r, only p, q"],
    ["there is no such channel", ["--channel", "q → p"], 2, "p/1 has no channel q → p"],
    ["a limit limits nothing", ["--limit", "3"], 2, "--limit goes with --path or --search"],
  ])("says so if %s", async (_name, args, status, text) => {
    const ended = await tidemark(["show", "p/1", ...args, "--dir", await orders()]);
    expect(ended.stderr).toContain(`tidemark: ${text}`);
    expect(ended.status).toBe(status);
  });
});
