import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { CausalOrder } from "../../src/trace/causal-order.ts";
import { messagesOf, parseTrace, type Trace } from "../../src/trace/trace.ts";
import { parseLines, Started, temporaryDirectory, tidemark, until } from "./support/command.ts";

/** A bank of three that is running. */
async function startBank(directory: string, ...args: string[]): Promise<Started> {
  const common = ["--processes", "3", "--rate", "2000", "--interval", "10m", "--no-sync", "--json"];
  const up = new Started(["up", ...common, "--dir", directory, ...args]);
  // With its first snapshot all have met.
  await up.lines(1);
  return up;
}

const traceIn = (file: string): Trace => parseTrace(readFileSync(file, "utf8"), file);

const textsOf = (trace: Trace, process: string): (string | undefined)[] =>
  [...(trace.timelines[trace.processes.indexOf(process)] ?? [])].map((e) => trace.events[e]?.text);

describe("tidemark trace record", () => {
  test("writes what all processes do, with the cut of a snapshot, and leaves nothing on", async () => {
    const directory = temporaryDirectory();
    await startBank(directory);
    const file = join(directory, "run.jsonl");
    const args = ["trace", "record", "--dir", directory, "--for", "600ms", "--out", file];
    const done = await tidemark([...args, "--snapshot", "--text"]);
    expect(done.stderr).toMatch(
      /^(p[1-3]\/[0-9]+) was taken\n[0-9,]+ events of 3 processes in .* in .*run\.jsonl\n$/,
    );
    expect([done.status, done.stdout]).toEqual([0, ""]);
    const [snapshot = ""] = done.stderr.split(" ");

    const trace = traceIn(file);
    expect([...trace.processes].sort()).toEqual(["p1", "p2", "p3"]);
    const order = new CausalOrder(trace);
    const cut = order.cutOf(snapshot as `p1/${number}`);
    expect(order.orphans(cut)).toEqual([]);
    const list = await tidemark(["snapshots", "--dir", directory, "--json"]);
    const listed = parseLines(list.stdout).find(({ id }) => id === snapshot);
    const crossing = order
      .crossing(cut)
      .filter(({ from }) => trace.events[from]?.snapshot === undefined)
      .reduce((sum, arrow) => sum + messagesOf(trace, arrow), 0);
    // What was sent before the recording began has no arrow.
    const isOlder = trace.unexplained.some((event) => {
      const { process = 0, position = 0 } = trace.events[event] ?? {};
      return position >= (cut[process] as number);
    });
    if (isOlder) expect(crossing).toBeLessThanOrEqual(listed.inFlight);
    else expect(crossing).toBe(listed.inFlight);
    const balances = trace.events.flatMap(({ values }) => (values ? [values["balance"]] : []));
    expect(balances.length).toBeGreaterThan(0);
    expect(trace.events.some(({ text }) => text?.startsWith('{"amount":'))).toBe(true);
    for (const words of [
      ["cut", file, "--snapshot", snapshot],
      ["check", file],
    ])
      expect((await tidemark(["trace", ...words])).status).toBe(0);

    const again = await tidemark(["trace", "record", "--dir", directory, "--for", "50ms"]);
    expect(again.status).toBe(0);
    expect(parseLines(again.stdout)[0]).toMatchObject({
      type: "history",
      complete: false,
      late: true,
    });
  });

  test("Ctrl-C ends it early, and nobody else records meanwhile", async () => {
    const directory = temporaryDirectory();
    await startBank(directory);
    const file = join(directory, "run.jsonl");
    const args = ["trace", "record", "--dir", directory];
    const begin = (): Started => new Started([...args, "--for", "10m", "--out", file]);
    let first = begin();
    await until("somebody to record", async () => {
      // Who asks records for a moment as well: it may be in the way.
      if (first.child.exitCode !== null) first = begin();
      const { status, stderr } = await tidemark([...args, "--for", "0"]);
      return status === 1 && /somebody is recording p[1-3] already/.test(stderr);
    });
    first.child.kill("SIGINT");
    expect((await first.ended).status).toBe(0);
    expect(traceIn(file).events.length).toBeGreaterThan(0);
    expect((await tidemark([...args, "--for", "0"])).status).toBe(0);
    const refused = await tidemark([...args, "--out", file]);
    expect([refused.status, refused.stderr]).toEqual([
      1,
      expect.stringContaining("run.jsonl is there already, and is not overwritten"),
    ]);
  });

  test("of a process that hangs there is nothing, and of the others what they do", async () => {
    const directory = temporaryDirectory();
    await startBank(directory);
    const status = await tidemark(["status", "--dir", directory, "--json"]);
    const { processes } = JSON.parse(status.stdout);
    const hangs = processes[1].pid as number;
    process.kill(hangs, "SIGSTOP");
    try {
      const file = join(directory, "run.jsonl");
      const args = ["--dir", directory, "--for", "100ms", "--out", file];
      const done = await tidemark(["trace", "record", ...args]);
      expect(done.stderr).toMatch(/^of p2 there is nothing: .*\n[0-9,]+ events of 2 processes in /);
      expect(done.status).toBe(0);
    } finally {
      process.kill(hangs, "SIGCONT");
    }
  });

  test("a system with --trace records from its beginning on, and with a log also across a death", async () => {
    const directory = temporaryDirectory();
    await startBank(directory, "--trace", "--log", "always");
    const [file, later] = [join(directory, "run.jsonl"), join(directory, "later.jsonl")];
    const args = ["trace", "record", "--dir", directory, "--for", "0"];
    expect((await tidemark([...args, "--out", file])).status).toBe(0);
    const trace = traceIn(file);
    for (const process of trace.processes) expect(textsOf(trace, process)[0]).toBe("starts");
    const status = await tidemark(["status", "--json", "--dir", directory]);
    const [{ processes }] = parseLines(status.stdout);
    process.kill(processes[1].pid, "SIGKILL");
    await until("p2 to be back", async () => {
      const now = await tidemark(["status", "--json", "--dir", directory]);
      const [{ processes: known }] = parseLines(now.stdout);
      return known[1].restarts === 1 && known[1].explanation !== undefined;
    });
    expect((await tidemark([...args, "--out", later])).status).toBe(0);
    const texts = textsOf(traceIn(later), "p2");
    expect(texts.indexOf("is back, with its log")).toBeGreaterThan(0);
    new CausalOrder(traceIn(later));
  });

  test("says what is wrong", async () => {
    const directory = temporaryDirectory();
    for (const [args, status, reason] of [
      [[], 1, "no system runs in"],
      [["--events", "0"], 2, "--events"],
      [["--every", "x"], 2, "--every"],
      [["--for", "soon"], 2, "--for"],
      // Known before anything is recorded, and before anybody is asked.
      [["--out", join(directory, "none", "x")], 1, "nothing can be written into"],
    ] as const) {
      const ended = await tidemark(["trace", "record", "--dir", directory, ...args]);
      expect([ended.status, ended.stderr]).toEqual([status, expect.stringContaining(reason)]);
    }
  });
});

test("tidemark bank --trace has what the accounts did, message by message, and their snapshots", async () => {
  const directory = temporaryDirectory();
  const [script, file] = [join(directory, "script"), join(directory, "bank.jsonl")];
  const lines = ["CreateNode 1 100", "CreateNode 2 50", "Send 1 2 30", "BeginSnapshot 1"];
  const commands = [...lines, "Send 2 1 10", "ReceiveAll", "CollectState", "PrintSnapshot"];
  writeFileSync(script, commands.join("\n"));
  const { status, stderr } = await tidemark(["bank", script, "--trace", file]);
  expect([status, stderr]).toEqual([0, ""]);
  const trace = traceIn(file);
  expect(trace.unexplained).toEqual([]);
  const order = new CausalOrder(trace);
  const snapshot = trace.events.find(({ type }) => type === "record")?.snapshot;
  const cut = order.cutOf(snapshot as `1/${number}`);
  expect(order.orphans(cut)).toEqual([]);
  // What is sent before the marker is received before it: 10 from 2 is under way when 2 records.
  const texts = order.crossing(cut).map(({ from }) => trace.events[from]?.text);
  expect(texts).toEqual(['{"amount":10}']);
  const again = await tidemark(["bank", script, "--trace", file]);
  expect([again.status, again.stderr]).toEqual([2, expect.stringContaining("not there yet")]);
});

describe("tidemark sim run --trace-to", () => {
  const world = "examples/lost-update.ts";

  test("writes what the processes of a seed did", async () => {
    const file = join(temporaryDirectory(), "seed.jsonl");
    const { status } = await tidemark(["sim", "run", world, "--seed", "11", "--trace-to", file]);
    expect(status).toBe(1);
    const trace = traceIn(file);
    expect(trace.arrows.length).toBeGreaterThan(0);
    expect(trace.unexplained).toEqual([]);
    expect(trace.events.some(({ text }) => text === '{"get":true}')).toBe(true);
  });

  test("is for one seed, and a new file", async () => {
    const file = join(temporaryDirectory(), "seed.jsonl");
    writeFileSync(file, "");
    for (const [args, reason] of [
      [["--seeds", "1..2", "--trace-to", file], "--trace-to is for a single seed"],
      [["--seed", "1", "--trace-to", "-"], "--trace-to is a file"],
      [["--seed", "1", "--trace-to", file], "is there already, and is not overwritten"],
    ] as const) {
      const { status, stderr } = await tidemark(["sim", "run", world, ...args]);
      expect(stderr).toContain(reason);
      expect(status).toBeGreaterThan(0);
    }
  });
});
