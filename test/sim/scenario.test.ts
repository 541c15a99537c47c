// Scenario files: those of the repository come to what stands beside them; what is no scenario is named with its line.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isTidemarkError } from "../../src/core/error.ts";
import { runScenario } from "../../src/sim.ts";
import { parseLines, temporaryDirectory, tidemark } from "../cli/support/command.ts";
import { cases } from "../support/soak.ts";

const FOLDER = fileURLToPath(new URL("../../scenarios/", import.meta.url));
const names = readdirSync(FOLDER).filter((file) => file.endsWith(".tide"));
const scenario = (...lines: readonly string[]): string =>
  ["# why", "processes p q", ...lines].join("\n");

describe("the scenarios of the repository", () => {
  test.each(names)("%s", (name) => {
    const text = readFileSync(join(FOLDER, name), "utf8");
    const { text: found, failures } = runScenario(text, name);
    expect(failures).toEqual([]);
    expect(found).toBe(readFileSync(join(FOLDER, name.replace(".tide", ".out")), "utf8"));
    expect(text).toMatch(/^expect /m);
  });

  test("are all of them, and the one of the lecture has its one message in flight", () => {
    expect(names).toContain("lecture-example.tide");
    expect(names).toContain("chandy-lamport-1985.tide");
    const outs = readdirSync(FOLDER).filter((file) => file.endsWith(".out"));
    expect(outs.map((file) => file.replace(".out", ".tide"))).toEqual(names);
    const out = readFileSync(join(FOLDER, "lecture-example.out"), "utf8");
    expect(out).toContain("snapshot P1/1\n  P1  a b\n  P2  f g h\n  P3  i\n  P2→P1  d\n");
  });
});

test("what was expected and is not so is told, and the rest goes on", () => {
  const text = scenario(
    ...["send p q x y", "expect p→q y", "expect p→q", "expect p x", "expect q y"],
    ...["expect p/1 p x", "receive q p", "snapshot p", "expect p/1 incomplete", "deliver"],
    ...["expect p/1 incomplete", "expect p/1 p→q y", "expect p/1 q y"],
  );
  expect(runScenario(text, "x.tide").failures).toEqual([
    "x.tide:5: expect p→q: it is y",
    "x.tide:7: expect q y: it is nothing",
    "x.tide:8: expect p/1 p x: that is not begun",
    "x.tide:13: expect p/1 incomplete: it is complete",
    "x.tide:14: expect p/1 p→q y: it is nothing",
  ]);
});

test("a snapshot that was never begun is not incomplete, and a mark at the beginning is not text", () => {
  const text = scenario("expect p/1 incomplete", "snapshot p", "expect p/1 incomplete");
  expect(runScenario(`\uFEFF${text}`, "x.tide").failures).toEqual([
    "x.tide:3: expect p/1 incomplete: that is not begun",
  ]);
});

describe("what is no scenario is an error with its line", () => {
  test.each([
    ["", /x:1: the first line is a comment/],
    ["processes p", /x:1: the first line/],
    ["# why", /x:1: no processes/],
    ["# why\nprocesses", /x:2: write processes/],
    ["# why\nprocesses p p", /x:2: .*twice/],
    ["# why\nprocesses p!", /x:2: "p!" is no name/],
    ["# why\nstep p a", /x:2: there is no process p/],
    [scenario("processes r"), /x:3: .*once/],
    [scenario("jump p"), /x:3: "jump" is no statement/],
    [scenario("step p"), /x:3: .*write step p1 a/],
    [scenario("send p q"), /x:3: .*write send/],
    [scenario("send p r x"), /x:3: there is no process r/],
    [scenario("channels p-q"), /x:3: "p-q" is no channel/],
    [scenario("channels p→r"), /x:3: there is no process r/],
    [scenario("step p a", "channels mesh"), /x:4: channels come before/],
    [scenario("receive q p"), /x:3: "receive q p" cannot happen: nothing is on the way/],
    [scenario("send p q x", "hold p q", "receive q p"), /x:5: .*is held/],
    [scenario("expect p/1"), /x:3: write expect/],
    [scenario("expect r x"), /x:3: there is no process r/],
    [scenario("channels p→q", "channels mesh"), /x:4: channels are named once/],
    [scenario("channels p→q p→q"), /x:3: the channel p→q is named twice/],
    [scenario("channels p→q q→q"), /x:3: q cannot have a channel to itself/],
    [scenario("expect z/1 incomplete"), /x:3: there is no process z/],
    [scenario("expect p→p"), /x:3: there is no channel p→p/],
    [scenario("channels p→q", "expect q→p"), /x:4: there is no channel q→p/],
    [scenario("channels p→q", "expect p/1 q→p"), /x:4: there is no channel q→p/],
    [scenario("channels p→q", "hold q p"), /x:4: there is no channel q→p/],
    [scenario("channels p→q", "snapshot q"), /x:4: .*no path of channels/],
    [scenario("channels p→q", "send q p x"), /x:4: .*no channel/],
  ])("%j", (text, reason) => {
    expect(() => runScenario(text, "x")).toThrow(reason);
  });

  test("whatever the text is", () => {
    const words = fc.constantFrom(
      ...["processes", "channels", "step", "send", "receive", "hold", "release", "snapshot"],
      ...[
        "deliver",
        "expect",
        "p",
        "q",
        "r",
        "p→q",
        "p/1",
        "mesh",
        "x",
        "#",
        "incomplete",
        "é\u0000",
      ],
    );
    const line = fc.array(words, { maxLength: 5 }).map((all) => all.join(" "));
    fc.assert(
      fc.property(fc.array(line, { maxLength: 12 }), fc.boolean(), (lines, begun) => {
        try {
          runScenario(begun ? scenario(...lines) : lines.join("\n"), "x");
        } catch (error) {
          if (!isTidemarkError(error, "BAD_OPTION") || !/^x:\d+: /.test(error.message)) throw error;
        }
      }),
      { numRuns: cases("scenarios", 500, 50_000) },
    );
  });
});

describe("tidemark sim scenario", () => {
  const run = (...args: readonly string[]) => tidemark(["sim", "scenario", ...args]);
  const write = (name: string, text: string): string => {
    const path = join(temporaryDirectory(), name);
    writeFileSync(path, text);
    return path;
  };

  test("compares, updates, and compares again", async () => {
    const file = write("a.tide", scenario("send p q x", "snapshot p", "deliver"));
    const out = file.replace(".tide", ".out");
    expect(await run(file)).toMatchObject({ status: 0, stdout: `as expected  ${file}\n` });
    expect((await run(file, "--update")).status).toBe(0);
    expect(readFileSync(out, "utf8")).toMatch(/^p: x\np snapshots\nq receives from p: x\n/);
    writeFileSync(out, readFileSync(out, "utf8").replace("p snapshots", "q snapshots"));
    const { status, stdout } = await run(file);
    expect(status).toBe(1);
    expect(stdout).toBe(`${out}:2: expected "q snapshots", and it is "p snapshots"\n`);
    expect((await run(file, "--print")).stdout).toContain("snapshot p/1\n");
    const [line] = parseLines((await run(file, "--json")).stdout);
    expect(line).toMatchObject({ ok: false, failures: [expect.stringContaining(":2: ")] });
  });

  test("several files; wrong ones, and none", async () => {
    const all = await run(...names.map((name) => join(FOLDER, name)));
    expect(all.status).toBe(0);
    expect(all.stdout).toContain(`${names.length} of ${names.length} as expected\n`);
    const wrong = write("b.tide", scenario("jump"));
    expect(await run(wrong)).toMatchObject({ status: 1, stdout: "" });
    expect((await run(wrong)).stderr).toMatch(/^\S+b\.tide:3: "jump" is no statement/);
    expect((await run("nowhere.tide")).status).toBe(2);
    expect((await run()).status).toBe(2);
  });

  test("a file that is not there does not keep the others from being looked at", async () => {
    const [fine, wrong] = [write("a.tide", scenario()), write("b.tide", scenario("jump"))];
    const { status, stdout, stderr } = await run(wrong, "nowhere.tide", fine);
    expect(stdout).toBe(`as expected  ${fine}\n1 of 3 as expected\n`);
    expect(stderr).toMatch(
      /"jump" is no statement.*\ntidemark: nowhere\.tide cannot be read: .*\n$/,
    );
    expect(status).toBe(2);
    const lines = parseLines((await run("nowhere.tide", fine, "--json")).stdout);
    expect(lines).toMatchObject([
      { file: "nowhere.tide", ok: false, failures: [expect.stringContaining("cannot be read")] },
      { file: fine, ok: true },
    ]);
  });

  test("what is updated is not compared; lines may end as on Windows; nothing drives the terminal", async () => {
    const file = write("a.tide", scenario("send p q \u001b[2J", "expect p x"));
    const out = file.replace(".tide", ".out");
    writeFileSync(out, "p: y\n");
    const failed = await run(file, "--update");
    expect(failed.status).toBe(1);
    expect(failed.stdout).toBe(`${file}:4: expect p x: it is ?[2J\n`);
    writeFileSync(file, scenario("send p q \u001b[2J", "send p q x"));
    expect((await run(file, "--print")).stdout).toContain("p: ?[2J\np: x\n");
    writeFileSync(out, "p: \u001b[2J\r\np: x\r\n");
    expect((await run(file)).status).toBe(0);
  });

  test("--help", async () => {
    const { stdout } = await run("--help");
    expect(stdout).toMatch(/^Exit status: /m);
    expect(stdout.split("\n").filter((line) => [...line].length > 80)).toEqual([]);
    const manual = readFileSync(new URL("../../docs/use/command-line.md", import.meta.url), "utf8");
    for (const [, option] of stdout.matchAll(/^ {2}(?:-., )?(--[a-z-]+)/gm))
      if (option !== "--help") expect(manual).toContain(`\`${option}`);
  });
});
