import { spawnSync } from "node:child_process";
import {
  closeSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import {
  filesBelow,
  MAIN,
  packageVersion,
  parseLines,
  Started,
  temporaryDirectory,
  tidemark,
} from "./support/command.ts";

const COMMANDS = [
  ...["up", "kv", "init", "status", "doctor", "request", "snapshot", "snapshots", "show", "diff"],
  ...["ui", "verify", "restore", "log", "chat", "label", "prune", "export", "import", "clone"],
];

/** Recorded once, by the first test that needs it. */
let recorded: string | undefined;
afterAll(() => {
  if (recorded !== undefined) rmSync(recorded, { recursive: true });
});

/** A directory with three snapshots, with messages in flight, and no system. */
async function recordedDirectory(): Promise<string> {
  if (recorded === undefined) {
    recorded = mkdtempSync(join(tmpdir(), "tidemark-recorded-"));
    const args = ["--processes", "3", "--interval", "20ms", "--delay", "20ms..40ms", "--seed", "1"];
    const up = ["up", "--count", "3", "--no-sync", "--dir", recorded, ...args];
    expect(await tidemark(up)).toMatchObject({ status: 0, stderr: "" });
  }
  const directory = temporaryDirectory();
  cpSync(recorded, directory, { recursive: true });
  return directory;
}

describe("a system that runs", () => {
  test("can be looked at and recorded by others, and what they ask for does no harm", async () => {
    const directory = temporaryDirectory();
    const args = ["--processes", "3", "--keep", "1", "--interval", "20ms", "--no-sync"];
    const up = new Started(["up", "--json", "--dir", directory, ...args]);
    await up.lines(1);
    const at = ["--dir", directory];

    const status = await tidemark(["status", ...at]);
    expect(status.stderr).toBe("");
    const [head, since, names, ...rows] = status.stdout.trimEnd().split("\n");
    expect(head).toMatch(new RegExp(`^process ${up.pid} runs a system of 3 processes in `));
    expect(since).toMatch(/^for .*s, with [0-9,]+ snapshots so far$/);
    expect(names).toMatch(/^process +pid +address +state +epoch +sent +received$/);
    expect(rows.map((row) => row.split(/ +/).slice(0, 5)[0])).toEqual(["p1", "p2", "p3"]);
    for (const row of rows) expect(row).toMatch(/ 127\.0\.0\.1:[0-9]+ +up +1 +[0-9,]+ +[0-9,]+$/);
    expect(status.status).toBe(0);

    const again = await tidemark(["status", "--json", ...at]);
    expect(again).toMatchObject({ stderr: "", status: 0 });
    const [seen] = parseLines(again.stdout);
    expect(seen).toMatchObject({ pid: up.pid, expected: 3000 });
    expect(Object.keys(seen.processes[0])).toEqual([
      "process",
      "pid",
      "address",
      "up",
      "epoch",
      "sent",
      "received",
      "peers",
      "explanation",
    ]);

    const taken = await tidemark(["snapshot", "--json", "--label", "before the test", ...at]);
    expect(taken).toMatchObject({ stderr: "", status: 0 });
    const [result] = parseLines(taken.stdout);
    expect(result).toMatchObject({ processes: 3, sum: 3000, expected: 3000, consistent: true });
    const plain = await tidemark(["snapshot", ...at]);
    expect(plain.stdout).toMatch(
      /^p[123]\/[0-9]+ is consistent: 3 processes, .*, 3,000 of 3,000, /,
    );

    up.child.kill("SIGINT");
    expect((await up.ended).status).toBe(0);
    // Only the newest is kept, and the one with a label.
    const listed = parseLines((await tidemark(["snapshots", "--json", ...at])).stdout);
    expect(listed).toHaveLength(2);
    expect(listed[1]).toMatchObject({ id: result.snapshot, label: "before the test" });
    expect(await tidemark(["verify", result.snapshot, ...at])).toMatchObject({ status: 0 });
  });

  test("says which process does not answer, and what that holds up", async () => {
    const directory = temporaryDirectory();
    const args = ["--processes", "2", "--interval", "10ms", "--timeout", "10s", "--no-sync"];
    const up = new Started(["up", "--json", "--dir", directory, ...args]);
    await up.lines(1);
    const at = ["--dir", directory];
    const [{ processes }] = parseLines((await tidemark(["status", "--json", ...at])).stdout);
    process.kill(processes[1].pid, "SIGSTOP");
    onTestFinished(() => {
      process.kill(processes[1].pid, "SIGKILL");
    });
    const { status, stdout } = await tidemark(["status", ...at]);
    expect(stdout).toMatch(/^p2 .* does not answer +1$/m);
    expect(stdout).toMatch(/^late or held:\n {2}p2 does not answer(, which holds up .*)?$/m);
    expect(status).toBe(1);
    const explained = await tidemark(["explain", ...at]);
    expect(explained.stdout).toMatch(
      /^it comes down to\n {2}p2 does not answer, which holds up .* +PROCESS_SILENT$/m,
    );
    expect(explained.status).toBe(1);
    const [causes] = parseLines((await tidemark(["explain", "--json", ...at])).stdout);
    expect(causes.heldBy[0]).toMatchObject({ code: "PROCESS_SILENT", at: "p2" });
    const [json] = parseLines((await tidemark(["status", "--json", ...at])).stdout);
    expect(json.processes[1]).not.toHaveProperty("explanation");
  });
});

describe("where no system runs", () => {
  test.for(["status", "snapshot"])("tidemark %s says so in one line and fails", async (command) => {
    const directory = temporaryDirectory();
    const { status, stdout, stderr } = await tidemark([command, "--dir", directory]);
    expect(stderr).toBe(`tidemark: no system runs in ${directory}: tidemark up starts one\n`);
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
  });

  test("the snapshots of a directory are listed, newest first", async () => {
    const directory = await recordedDirectory();
    const { status, stdout, stderr } = await tidemark(["snapshots", "--dir", directory]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const [head, ...rows] = stdout.trimEnd().split("\n");
    expect(head).toMatch(/^snapshot +taken +processes +in flight +size +time +label$/);
    expect(rows).toHaveLength(3);
    const times = rows.map((row) => row.split(/ +/)[1] ?? "");
    expect(times).toEqual([...times].sort().reverse());
    const { stdout: first } = await tidemark([
      "snapshots",
      "--dir",
      directory,
      "--limit",
      "1",
      "--json",
    ]);
    const [summary, ...more] = parseLines(first);
    expect(more).toEqual([]);
    expect(summary).toMatchObject({ system: "bank", epoch: 1, processes: 3 });
    expect(rows[0]).toContain(summary.id);
  });

  test("a snapshot is shown: states, messages in flight, one channel, everything as JSON", async () => {
    const directory = await recordedDirectory();
    const at = ["--dir", directory];
    const [{ id }] = parseLines((await tidemark(["snapshots", "--json", ...at])).stdout);
    const json = await tidemark(["show", id, "--json", ...at]);
    const [{ manifest, states, channels }] = parseLines(json.stdout);
    expect(manifest.id).toBe(id);
    expect(Object.keys(states)).toEqual(["p1", "p2", "p3"]);
    expect(channels).toHaveLength(6);
    const messages = channels.flatMap((channel: { messages: unknown[] }) => channel.messages);
    let sum = 0;
    for (const { balance } of Object.values(states) as { balance: number }[]) sum += balance;
    for (const { amount } of messages as { amount: number }[]) sum += amount;
    expect(sum).toBe(3000);

    const busiest = [...channels].sort((a, b) => b.messages.length - a.messages.length)[0];
    expect(busiest.messages.length).toBeGreaterThan(5);
    const { from, to } = busiest;
    const shown = await tidemark(["show", id, ...at]);
    expect(shown.stdout).toContain(
      `  { balance: ${states.p1.balance}, transfers: ${states.p1.transfers} }\n`,
    );
    expect(shown.stdout).toContain(
      `${from} → ${to}  ${busiest.messages.length} messages in flight\n`,
    );
    expect(shown.stdout).toContain(
      `  … and ${busiest.messages.length - 5} more: --channel ${from},${to} or --all\n`,
    );
    const all = await tidemark(["show", id, "--all", ...at]);
    expect(all.stdout.match(/amount: /g)).toHaveLength(messages.length);
    const one = await tidemark(["show", id, "--channel", `${from},${to}`, ...at]);
    expect(one.stdout.trimEnd().split("\n")).toEqual([
      `${from} → ${to}  ${busiest.messages.length} messages in flight`,
      ...busiest.messages.map(({ amount }: { amount: number }) => `  { amount: ${amount} }`),
    ]);
    const none = await tidemark(["show", id, "--channel", "p1,p9", ...at]);
    expect(none).toMatchObject({
      status: 2,
      stderr: `tidemark: ${id} has no p9, only p1, p2, p3\n`,
    });
  });

  test("every snapshot of a directory is proven, and a damaged one is named", async () => {
    const directory = await recordedDirectory();
    const at = ["--dir", directory];
    const right = await tidemark(["verify", ...at]);
    expect(right).toEqual({
      status: 0,
      stdout: "✓ 3 snapshots proven consistent from the files\n",
      stderr: "",
    });
    expect(await tidemark(["verify", directory])).toEqual(right);
    const ids = parseLines((await tidemark(["snapshots", "--json", ...at])).stdout).map(
      ({ id }) => id,
    );
    const one = await tidemark(["verify", ids[0], ...at]);
    expect(one.stdout).toMatch(
      new RegExp(
        `^✓ ${ids[0]} is consistent: 3 processes, 6 channels, [0-9,]+ messages in flight, proven`,
      ),
    );

    // One byte of one part.
    const part = filesBelow(join(directory, "parts")).find((path) =>
      readFileSync(manifestPath(directory, ids[1]), "utf8").includes(path.slice(-64)),
    );
    const bytes = readFileSync(part ?? "");
    bytes[3] = (bytes[3] ?? 0) ^ 1;
    writeFileSync(part ?? "", bytes);
    const broken = await tidemark(["verify", ids[1], ...at]);
    expect(broken.status).toBe(1);
    expect(broken.stdout).toMatch(`✗ ${ids[1]} is not proven: ${part} is damaged: `);
    const all = await tidemark(["verify", "--json", ...at]);
    const lines = parseLines(all.stdout);
    expect(lines.pop()).toEqual({ snapshots: 3, proven: 2 });
    expect(lines.find(({ snapshot }) => snapshot === ids[1])).toMatchObject({
      consistent: false,
      place: "files",
    });
    expect(lines.filter(({ consistent }) => consistent)).toHaveLength(2);
    expect(all.status).toBe(1);
    const show = await tidemark(["show", ids[1], ...at]);
    expect(show.stderr).toMatch(`tidemark: ${part} is damaged: `);
    expect(show.status).toBe(1);

    // Half a manifest.
    const manifest = manifestPath(directory, ids[2]);
    truncateSync(manifest, 1000);
    const half = await tidemark(["verify", ...at]);
    expect(half.stdout).toMatch(`✗ a snapshot is not proven: ${manifest} is damaged: `);
    expect(half.stdout).toMatch(/^✗ 1 of 3 snapshots proven consistent from the files$/m);
    expect(half.status).toBe(1);
    const list = await tidemark(["snapshots", ...at]);
    expect(list.stderr).toMatch(`tidemark: ${manifest} is damaged: `);
    expect(list.stdout.trimEnd().split("\n")).toHaveLength(3);
    expect(list.status).toBe(1);
  });

  test("a manifest under another name is not taken for that snapshot", async () => {
    const directory = await recordedDirectory();
    const [{ id }] = parseLines(
      (await tidemark(["snapshots", "--json", "--dir", directory])).stdout,
    );
    copyFileSync(manifestPath(directory, id), manifestPath(directory, "p1/77"));
    const { status, stdout } = await tidemark(["verify", "p1/77", "--dir", directory]);
    expect(stdout).toMatch(`it is the manifest of ${id}`);
    expect(status).toBe(1);
  });

  test("what is not there is said in one line", async () => {
    const directory = temporaryDirectory();
    const nowhere = join(directory, "nowhere");
    for (const [args, message] of [
      [["verify", "--dir", directory], `there are no snapshots in ${directory}`],
      [["verify", nowhere], `there is no directory ${nowhere}`],
      [["verify", "p1/1", "--dir", directory], `there is no p1/1 in ${directory}`],
      [["snapshots", "--dir", nowhere], `there is no directory ${nowhere}`],
      [
        ["show", "p1/1", "--dir", directory],
        `there is no snapshot p1/1 in ${directory}: tidemark snapshots lists those that there are`,
      ],
    ] as const) {
      const { status, stdout, stderr } = await tidemark(args);
      expect({ status, stdout, stderr }).toEqual({
        status: 1,
        stdout: "",
        stderr: `tidemark: ${message}\n`,
      });
    }
    expect(await tidemark(["snapshots", "--dir", directory])).toEqual({
      status: 0,
      stdout: "",
      stderr: `tidemark: there are no snapshots in ${directory}\n`,
    });
  });
});

describe("the command line", () => {
  let documentation = "";
  beforeAll(() => {
    for (const name of ["command-line", "store"])
      documentation += readFileSync(new URL(`../../docs/use/${name}.md`, import.meta.url), "utf8");
  });

  test("prints its version, and all commands when it is asked for help", async () => {
    const version = await tidemark(["--version"]);
    expect(version).toEqual({ status: 0, stdout: `${packageVersion}\n`, stderr: "" });
    const { status, stdout } = await tidemark(["--help"]);
    for (const command of COMMANDS) expect(stdout).toMatch(new RegExp(`^ {2}${command} `, "m"));
    expect(status).toBe(0);
    const nothing = await tidemark([]);
    expect(nothing).toEqual({ status: 2, stdout: "", stderr: stdout });
  });

  test.for([
    ...COMMANDS,
    ...["kv import", "kv export", "nats snapshot", "nats restore", "nats forget"],
  ])("tidemark %s --help has examples and exit statuses, and fits 80 columns", async (command) => {
    const { status, stdout } = await tidemark([...command.split(" "), "--help"]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^Exit status: /m);
    expect(stdout).toMatch(new RegExp(`^Examples:\n {2}tidemark ${command}`, "m"));
    expect(stdout.split("\n").filter((line) => [...line].length > 80)).toEqual([]);
    // The documentation leaves none out.
    for (const [, option] of stdout.matchAll(/^ {2}(?:-., )?(--[a-z-]+)/gm))
      if (option !== "--help") expect(documentation).toContain(`\`${option}`);
  });

  test.for([
    [["snpshot"], "unknown command 'snpshot'\n(Did you mean snapshot?)"],
    [["up", "--proceses", "3"], "unknown option '--proceses'\n(Did you mean --processes?)"],
    [["up", "--processes", "0"], "Use a whole number from 1 to 64."],
    [["up", "--timeout", "0"], "Use 1ms or more."],
    [["up", "--rate", "fast"], 'Use a number of transfers per second, or "max".'],
    [["up", "--interval", "5"], "Use a number with its unit: 500ms, 1s, 2m or 1h; or 0."],
    [["up", "--delay", "50ms..0"], "Use the least and the most: 0..50ms."],
    [["up", "--loss", "1"], "Use a number from 0 to below 1: 0.2."],
    [["up", "--port", "65535"], "there are no 4 ports from 65535 on"],
    [["kv", "--port", "65534"], "there are no 3 ports from 65534 on"],
    [["kv", "--set", "maxclients"], "Write it as name=value."],
    [["kv", "--set", "maxclient=1"], "Unknown option"],
    [["kv", "--set", "maxclients=none"], "couldn't be parsed into an integer"],
    [["show"], "missing required argument 'snapshot'"],
    [["show", "p1/1", "--channel", "p1"], "Use the sender and the receiver: p1,p2."],
    [["status", "now"], "too many arguments for 'status'"],
  ] as const)("%j is a mistake in the command: exit status 2", async ([args, message]) => {
    const { status, stdout, stderr } = await tidemark(args);
    expect(stderr).toContain(message);
    expect(stderr).toMatch(/^tidemark: /);
    expect(stderr).not.toMatch(/\n +at /);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
  });

  test("shows where an error comes from only when it is asked to", async () => {
    const directory = temporaryDirectory();
    const args = ["status", "--dir", directory];
    expect((await tidemark(args)).stderr.split("\n")).toHaveLength(2);
    expect((await tidemark(args, { TIDEMARK_DEBUG: "1" })).stderr).toMatch(
      /no system runs in .*\n +at .*control-socket/,
    );
  });

  test("does not mind that nobody reads on", async () => {
    const directory = await recordedDirectory();
    const list = new Started(["snapshots", "--dir", directory]);
    list.child.stdout?.destroy();
    expect(await list.ended).toMatchObject({ status: 0, stderr: "" });
  });

  test("does not mind that nobody reads what it remarks", async () => {
    const log = join(temporaryDirectory(), "log");
    writeFileSync(log, 'of no event\n\ne\na {"a":1}\n');
    const read = new Started(["trace", "import", log]);
    read.child.stderr?.destroy();
    expect(await read.ended).toMatchObject({ status: 0, stdout: expect.stringContaining('"a"') });
  });

  test.skipIf(!existsSync("/dev/full"))("says once that what it prints goes nowhere", () => {
    const file = join(temporaryDirectory(), "trace.jsonl");
    writeFileSync(file, '{"process":"p","type":"internal"}\n');
    const full = openSync("/dev/full", "w");
    onTestFinished(() => closeSync(full));
    const run = (...args: string[]) =>
      spawnSync(process.execPath, ["--conditions=tidemark-source", MAIN, "trace", ...args], {
        stdio: ["ignore", full, "pipe"],
        encoding: "utf8",
      });
    for (const args of [
      ["cut", file, "p=1"],
      ["diagram", file, "--svg", "-"],
      ["export", file, "--to", "dot"],
    ]) {
      const { status, stderr } = run(...args);
      expect([status, stderr]).toEqual([
        1,
        "tidemark: standard output cannot be written: ENOSPC: no space left on device, write\n",
      ]);
    }
  });
});

function manifestPath(directory: string, id: string): string {
  return join(directory, "snapshots", `${id.replace("/", "-")}.json`);
}
