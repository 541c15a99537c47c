import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { parseLines, Started, temporaryDirectory, tidemark, until } from "./support/command.ts";

const CASES = fileURLToPath(new URL("../cases/shiviz/", import.meta.url));
const EXAMPLES = fileURLToPath(new URL("../../examples/traces/", import.meta.url));

const read = (file: string): string => readFileSync(file, "utf8");

function written(text: string, name = "log"): string {
  const file = join(temporaryDirectory(), name);
  writeFileSync(file, text);
  return file;
}

describe("tidemark trace import", () => {
  const expected: Readonly<Record<string, readonly Readonly<Record<string, unknown>>[]>> =
    JSON.parse(read(`${CASES}expected.json`));
  const logs: readonly { log: string; parser: string; delimiter: string | null; skip?: number }[] =
    JSON.parse(read(`${CASES}parsers.json`));

  test.for(logs)(
    "--json of $log is what was given, letter by letter",
    async ({ log, parser, delimiter, skip }) => {
      const args = ["--parser", parser, ...(delimiter === null ? [] : ["--delimiter", delimiter])];
      if (skip !== undefined) args.push("--skip", String(skip));
      const { status, stdout, stderr } = await tidemark([
        "trace",
        "import",
        CASES + log,
        "--json",
        ...args,
      ]);
      const executions = expected[log]?.map(({ first: _, last: __, ...rest }) => rest);
      expect(stdout).toBe(`${JSON.stringify({ executions })}\n`);
      expect([status, stderr]).toEqual([0, ""]);
    },
  );

  test("what it writes is a trace for the other commands; it comes back through a log of ShiViz", async () => {
    const file = join(temporaryDirectory(), "run.jsonl");
    const made = await tidemark(["trace", "import", `${CASES}RpcClientServer.log`, "--out", file]);
    expect(made).toMatchObject({
      status: 0,
      stdout: `10 events, 2 processes, 4 arrows → ${file}\n`,
    });
    const cut = await tidemark(["trace", "cut", file, "client=3", "server=3"]);
    expect(cut.stdout).toMatch(/^✓ client=3 server=3 is consistent\n/);
    const log = join(temporaryDirectory(), "run.log");
    await tidemark(["trace", "export", file, "--to", "shiviz", "--out", log]);
    expect(read(log).split("\n").slice(0, 4)).toEqual([
      ...[
        "(?<host>\\S*) (?<clock>{.*})\\n(?<event>.*)",
        "",
        'client {"client":1}',
        "Initialization Complete",
      ],
    ]);
    const [again] = await Promise.all([tidemark(["trace", "import", log])]);
    const withoutLines = (text: string): string => text.replaceAll(/"line":\d+,?/g, "");
    expect(withoutLines(again.stdout)).toBe(withoutLines(read(file)));
  });

  test("of several executions one is chosen; what is of no event is told", async () => {
    const log = written(`x\na {"a":1}\n--one\nnoise\ny\nb {"b":1}\n--two\nz\nc {"c":1}\n`);
    const delimiter = ["--delimiter", "^--(?<trace>.*)$"];
    const none = await tidemark(["trace", "import", log, ...delimiter]);
    expect([none.status, none.stdout]).toEqual([2, ""]);
    expect(none.stderr).toContain(
      'choose one of its executions with --execution; there are "", "one", "two"',
    );
    const unknown = await tidemark(["trace", "import", log, ...delimiter, "--execution", "three"]);
    expect([unknown.status, unknown.stderr]).toEqual([
      2,
      expect.stringContaining("there is no execution three"),
    ]);
    const one = await tidemark(["trace", "import", log, ...delimiter, "--execution", "one"]);
    expect(parseLines(one.stdout)).toEqual([
      { type: "history", format: "tidemark-history/1", label: "one", processes: ["b"] },
      { process: "b", type: "internal", text: "y", line: 5 },
    ]);
    expect(one.stderr).toBe(`tidemark: ${log} (one): 1 line is of no event, the first is line 4\n`);
  });

  test("spans, from standard input", async () => {
    const spans = (service: string, more: object): object => ({
      resource: { attributes: [{ key: "service.name", value: { stringValue: service } }] },
      scopeSpans: [{ spans: [{ traceId: "a", startTimeUnixNano: "1", ...more }] }],
    });
    const started = new Started(["trace", "import", "-", "--json"], {}, "pipe");
    const call = spans("shop", { spanId: "b", kind: 3, endTimeUnixNano: "2" });
    const late = { spanId: "c", parentSpanId: "b", kind: 2, endTimeUnixNano: "9" };
    started.child.stdin?.end(JSON.stringify({ resourceSpans: [call, spans("till", late)] }));
    const { status, stdout, stderr } = await started.ended;
    expect(parseLines(stdout)).toEqual([
      {
        executions: [
          {
            ...{ label: "", events: 4, hosts: ["shop", "till"], perHost: { shop: 2, till: 2 } },
            ...{ edgeCount: 1, edges: [["shop:1", "till:1"]] },
          },
        ],
      },
    ]);
    expect([status, stderr]).toEqual([
      0,
      "tidemark: -: 1 call ends before the server's span: no arrow leads back\n",
    ]);
  });

  test("its own form, with a label", async () => {
    const text =
      '{"type":"history","label":"x","processes":["q","p"]}\n{"process":"p","type":"crash"}\n';
    const { stdout } = await tidemark(["trace", "import", written(text), "--json"]);
    expect(parseLines(stdout)[0].executions).toMatchObject([{ label: "x", hosts: ["q", "p"] }]);
  });

  test("an expression that would take for ever is ended, and the place is told", async () => {
    const log = written(`x\na {"a":1}\n${"a".repeat(60)}!\n`);
    const parser = "(?:(?<event>x)\\n(?<host>a) (?<clock>{.*})|(?:a|a)+$(?:))";
    const { status, stdout, stderr } = await tidemark(["trace", "import", log, "--parser", parser]);
    expect([status, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(
      /log:2: the expression takes longer than 5000 ms to find what comes next/,
    );
  });

  test.for([
    ['e\na {"b":1}\n', [], 'log:1: event "e" of "a": its clock'],
    ["nothing\n", [], "log:1: the parser finds no event"],
    ['e\na {"a":1}\n', ["--parser", "("], "the parser ( cannot be used: "],
    ['e\na {"a":1}\n', ["--from", "otlp", "--skip", "1"], "are for logs of ShiViz"],
    [
      'x\na {"a":1,"b":1}\ny\nb {"b":1,"a":1}\n',
      [],
      "event 1 of a (line 1), event 1 of b (line 3)",
    ],
  ] as const)("%j %j is refused", async ([text, args, reason]) => {
    const out = join(temporaryDirectory(), "run.jsonl");
    const { status, stdout, stderr } = await tidemark([
      ...["trace", "import", written(text), "--out", out, ...args],
    ]);
    expect([status, stdout, existsSync(out)], stderr).toEqual([2, "", false]);
    expect(stderr).toContain(reason);
  });
});

test.each(["SIGKILL", "SIGINT"] as const)(
  "%s in the middle leaves no half of a file",
  async (signal) => {
    const directory = temporaryDirectory();
    const [whole, out] = [join(directory, "whole.jsonl"), join(directory, "out.jsonl")];
    const line = '{"process":"p","type":"internal","text":"that and no more"}\n';
    writeFileSync(whole, line.repeat(200_000));
    const writing = new Started(["trace", "import", whole, "--out", out]);
    await until("it writes", () =>
      readdirSync(directory).some(
        (name) => name.startsWith("out") && statSync(join(directory, name)).size > 0,
      ),
    );
    writing.child.kill(signal);
    await writing.ended;
    expect(existsSync(out)).toBe(false);
  },
);

describe("tidemark trace export", () => {
  const run = [
    '{"process":"p","type":"send","to":"q","message":"M"}',
    '{"process":"q","type":"receive","from":"p","message":"M"}',
  ].join("\n");

  test.for([
    ["jsonl", '{"process":"q","type":"receive","from":"p","message":"M","line":2}'],
    ["shiviz", 'q {"p":1,"q":1}\nreceives M from p'],
    ["itf", '"vars":["event","counts","values"]'],
    ["mermaid", "p0->>p1: M"],
    ["dot", "e0 -> e1;"],
  ])("--to %s", async ([to = "", part = ""]) => {
    const { status, stdout } = await tidemark(["trace", "export", written(run), "--to", to]);
    expect(stdout).toContain(part);
    expect(status).toBe(0);
  });

  test("a diagram that is larger than Mermaid draws is told", async () => {
    const line = `{"process":"p","type":"internal","text":"${"x".repeat(60_000)}"}`;
    const { status, stderr } = await tidemark([
      "trace",
      "export",
      written(line),
      "--to",
      "mermaid",
    ]);
    expect([status, stderr]).toEqual([0, expect.stringContaining("Mermaid draws up to 50000")]);
  });

  test("what cannot be read or written is refused", async () => {
    const file = written(run);
    for (const [args, status, reason] of [
      [[file, "--to", "svg"], 2, "Allowed choices are jsonl, shiviz, itf, mermaid, dot"],
      [[file], 2, "required option '--to <format>' not specified"],
      [["none.jsonl", "--to", "dot"], 2, "none.jsonl cannot be read"],
      [[file, "--to", "dot", "--out", "/proc/none/x"], 1, "cannot write /proc/none/x"],
    ] as const) {
      const ended = await tidemark(["trace", "export", ...args]);
      expect([ended.status, ended.stdout]).toEqual([status, ""]);
      expect(ended.stderr).toContain(reason);
    }
  });
});

describe("tidemark trace diff", () => {
  async function both(): Promise<readonly [string, string]> {
    const directory = temporaryDirectory();
    const files = ["answered", "hurried"].map((name) => join(directory, `${name}.jsonl`));
    const [answered = "", hurried = ""] = files;
    for (const [name, file] of [
      ["answered", answered],
      ["hurried", hurried],
    ] as const)
      await tidemark(["trace", "import", `${EXAMPLES}${name}.log`, "--out", file]);
    return [answered, hurried];
  }

  test("a run and itself", async () => {
    const [answered] = await both();
    const { status, stdout } = await tidemark(["trace", "diff", answered, answered]);
    expect([status, stdout]).toEqual([0, "✓ nothing differs: 8 events\n"]);
  });

  test("--json says what only one has, and where they part", async () => {
    const { status, stdout } = await tidemark(["trace", "diff", ...(await both()), "--json"]);
    expect(status).toBe(1);
    expect(parseLines(stdout)).toEqual([
      {
        same: false,
        processes: [
          { process: "shop", same: 2, onlyBefore: 0, onlyAfter: 0 },
          { process: "till", same: 3, onlyBefore: 1, onlyAfter: 1 },
          { process: "store", same: 0, onlyBefore: 2, onlyAfter: 2 },
        ],
        onlyBefore: ["store:1", "store:2", "till:3"],
        onlyAfter: ["store:1", "store:2", "till:4"],
        moved: [],
        first: {
          before: {
            ...{ event: "store:1", text: "takes 3 of 10 pears" },
            past: { shop: 1, till: 2, store: 0 },
          },
          after: {
            event: "store:1",
            text: "has only 2 pears",
            past: { shop: 1, till: 2, store: 0 },
          },
        },
        minimal: true,
      },
    ]);
  });
});
