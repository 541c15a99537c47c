import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { type Ended, parseLines, temporaryDirectory, tidemark } from "./support/command.ts";

const CASES = fileURLToPath(new URL("../cases/cos418/", import.meta.url));
const at = (file: string): string => join(CASES, file);
const read = (file: string): string => readFileSync(at(file), "utf8");

const DELAYS = ["--delays", at("delays.json")];
const cos418 = (...args: readonly string[]): Promise<Ended> => tidemark(["sim", "cos418", ...args]);
const fine = (stdout: string): Ended => ({ status: 0, stdout, stderr: "" });

describe("tidemark sim cos418", () => {
  const names = readdirSync(CASES)
    .filter((file) => file.endsWith(".events"))
    .map((file) => file.replace(".events", ""));

  test.each(names)("%s: prints and writes the snapshots of the course", async (name) => {
    const files = [at(`${name.split("-")[0]}.top`), at(`${name}.events`), ...DELAYS];
    const expected = readdirSync(CASES).filter(
      (file) => file.startsWith(name) && file.endsWith(".snap"),
    );
    expect(await cos418(...files)).toEqual(fine(expected.map(read).join("\n")));
    const out = join(temporaryDirectory(), "new", "results");
    expect(await cos418(...files, "--out", out)).toEqual(fine(""));
    expect(readdirSync(out)).toEqual(expected);
    for (const file of expected) expect(readFileSync(join(out, file), "utf8")).toBe(read(file));
  });

  const SIMPLE = [at("3nodes.top"), at("3nodes-simple.events")];

  test("--trace prints what happens, before the snapshots", async () => {
    const trace = read("3nodes-simple.trace");
    const [block, out] = [read("3nodes-simple.snap"), temporaryDirectory()];
    expect(await cos418(...SIMPLE, ...DELAYS, "--trace")).toEqual(fine(`${trace}\n${block}`));
    expect(await cos418(...SIMPLE, ...DELAYS, "--trace", "--out", out)).toEqual(fine(trace));
    const none = join(out, "none.events");
    writeFileSync(none, "send N1 N2 1");
    expect((await cos418(at("2nodes.top"), none, "--trace")).stdout).toMatch(/ from N1\n$/);
  });

  test("--json prints a line for each snapshot, and how it ended", async () => {
    const out = temporaryDirectory();
    const { stdout } = await cos418(...SIMPLE, ...DELAYS, "--json", "--out", out);
    expect(parseLines(stdout)).toEqual([
      {
        snapshot: 0,
        tokens: { N1: 5, N2: 1, N3: 2 },
        messages: [
          { from: "N1", to: "N2", tokens: 3 },
          { from: "N1", to: "N2", tokens: 2 },
        ],
      },
      { snapshots: 1, time: 13, tokens: { N1: 5, N2: 5, N3: 3 }, messages: [] },
    ]);
    expect(readdirSync(out)).toEqual(["3nodes-simple.snap"]);
  });

  test("the seed decides the draws; it is 1 if none is given", async () => {
    const traced = (...args: readonly string[]): Promise<Ended> =>
      cos418(...SIMPLE, "--trace", ...args);
    const [one, again, two, usual] = await Promise.all([
      traced("--seed", "1"),
      traced("--seed", "1"),
      traced("--seed", "2"),
      traced(),
    ]);
    expect(one.status).toBe(0);
    expect(again).toEqual(one);
    expect(usual).toEqual(one);
    expect(two.stdout).not.toBe(one.stdout);
  });

  test("draws may be a list, and one of several", async () => {
    const directory = temporaryDirectory();
    const [list, several] = [join(directory, "list.json"), join(directory, "several.json")];
    const { draws } = JSON.parse(read("delays.json"));
    writeFileSync(list, JSON.stringify(draws));
    writeFileSync(several, JSON.stringify({ draws: [0], longer: draws }));
    const expected = fine(read("3nodes-simple.snap"));
    expect(await cos418(...SIMPLE, "--delays", list)).toEqual(expected);
    expect(await cos418(...SIMPLE, "--delays", several, "--draws", "longer")).toEqual(expected);
    expect(await cos418(...SIMPLE, "--delays", several)).toEqual({
      status: 1,
      stdout: "",
      stderr: `${several}: all 1 draws are used up, and more messages are sent\n`,
    });
  });

  test("what is wrong with a file is told with its line, and nothing else is printed", async () => {
    const directory = temporaryDirectory();
    const [top, events] = [join(directory, "a.top"), join(directory, "a.events")];
    const out = join(directory, "out");
    for (const [topology, happening, message] of [
      ["", "", `${top}:1: there is no line with the number of servers`],
      ["# 2\r\n2\r\nA 1\r\nA 2", "", `${top}:4: server A is listed twice`],
      ["1\nA 1", "tick\nsend A B 1", `${events}:2: there is no server "B"`],
      ["1\nA 1", "\u001b[2J", `${events}:1: unknown event "?[2J": `],
      ["2\nA 1\nB 0\nA B", "send A B 2", `${events}:1: A has 1 token(s) at time 0, not 2`],
      ["2\nA 1\nB 0\nA B", "snapshot B", `${events}:1: a snapshot from B can never be complete: `],
    ] as const) {
      writeFileSync(top, topology);
      writeFileSync(events, happening);
      const { status, stdout, stderr } = await cos418(top, events, "--out", out);
      expect({ status, stdout, told: stderr.slice(0, message.length) }).toEqual({
        status: 1,
        stdout: "",
        told: message,
      });
      expect(stderr.split("\n")).toHaveLength(2);
    }
    expect(readdirSync(directory)).toEqual(["a.events", "a.top"]);
  });

  test("what was traced before a mistake is printed", async () => {
    const events = join(temporaryDirectory(), "x.events");
    writeFileSync(events, "send N1 N2 1\nsend N1 N2 1\n");
    const { status, stdout } = await cos418(at("2nodes.top"), events, "--trace");
    expect(stdout).toBe("Time 0:\n\tN1 has 1 token(s)\n\tN1 sent 1 tokens to N2\n");
    expect(status).toBe(1);
  });

  test("a directory that cannot be written is told", async () => {
    const directory = temporaryDirectory();
    mkdirSync(join(directory, "3nodes-simple.snap"));
    const { status, stderr } = await cos418(...SIMPLE, "--out", directory);
    expect(stderr).toMatch(
      `tidemark: ${join(directory, "3nodes-simple.snap")} cannot be written: EISDIR`,
    );
    expect(status).toBe(1);
    const file = join(directory, "file");
    writeFileSync(file, "");
    for (const out of [file, join(file, "below"), ...(existsSync("/proc") ? ["/proc/x/y"] : [])]) {
      const ended = await cos418(...SIMPLE, "--out", out);
      expect(ended).toMatchObject({ status: 1, stdout: "" });
      expect(ended.stderr).toMatch(/ cannot be made: E\w+/);
    }
  });

  test("the directory is there also if there are no snapshots to write", async () => {
    const directory = temporaryDirectory();
    const [events, out] = [join(directory, "none.events"), join(directory, "a", "b")];
    writeFileSync(events, "tick\n");
    expect(await cos418(at("2nodes.top"), events, "--out", out)).toEqual(fine(""));
    expect(readdirSync(out)).toEqual([]);
  });

  test.for([
    [[at("2nodes.top")], "missing required argument 'events'"],
    [
      [at("nowhere.top"), at("2nodes-simple.events")],
      `${at("nowhere.top")} cannot be read: ENOENT`,
    ],
    [[at("2nodes.top"), CASES], `${CASES} cannot be read: EISDIR`],
    [[...SIMPLE, "--out", ""], "A directory has a name."],
    [[...SIMPLE, "--seed", "-1"], "Use a whole number from 0 to 9007199254740991."],
    [[...SIMPLE, ...DELAYS, "--seed", "1"], "cannot be used with option '--seed <number>'"],
    [[...SIMPLE, "--json", "--trace"], "option '--json' cannot be used with option '--trace'"],
    [[...SIMPLE, "--draws", "x"], "--draws names a list in the file of --delays"],
  ] as const)("%j is a mistake in the command: exit status 2", async ([args, message]) => {
    const { status, stdout, stderr } = await cos418(...args);
    expect(stderr).toMatch(/^tidemark: /);
    expect(stderr).toContain(message);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
  });

  test("--help has examples and exit statuses, fits 80 columns, and the page has its options", async () => {
    const { status, stdout } = await cos418("--help");
    expect(status).toBe(0);
    expect(stdout).toMatch(/^Exit status: /m);
    expect(stdout).toMatch(/^Examples:\n {2}tidemark sim cos418 /m);
    expect(stdout.split("\n").filter((line) => [...line].length > 80)).toEqual([]);
    const page = readFileSync(new URL("../../docs/use/command-line.md", import.meta.url), "utf8");
    const section = page.slice(page.indexOf("### sim cos418"));
    const options = [...stdout.matchAll(/^ {2}(?:-., )?(--[a-z-]+)/gm)].map(([, option]) => option);
    expect(options).toContain("--delays");
    for (const option of options)
      if (option !== "--help") expect(section).toContain(`| \`${option}`);
  });
});

test("tidemark sim alone lists what it can do, and knows no other word", async () => {
  const { status, stdout, stderr } = await tidemark(["sim"]);
  expect(stderr).toMatch(/^ {2}cos418 /m);
  expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
  const wrong = await tidemark(["sim", "cos148", "a", "b"]);
  expect(wrong.stderr).toBe(
    "tidemark: unknown command 'cos148'\n(Did you mean cos418?)\n(tidemark sim --help lists the commands)\n",
  );
  expect(wrong.status).toBe(2);
});
