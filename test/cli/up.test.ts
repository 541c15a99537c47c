import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, onTestFinished, test } from "vitest";
import { ControlClient } from "../../src/runtime/control-socket.ts";
import type { SystemMethods } from "../../src/serve/system-methods.ts";
import { freePorts } from "../support/ports.ts";
import {
  filesBelow,
  isAlive,
  parseLines,
  Started,
  temporaryDirectory,
  tidemark,
  until,
} from "./support/command.ts";

const FIELDS = [
  "snapshot",
  "processes",
  "messagesInFlight",
  "amountInFlight",
  "sum",
  "expected",
  "consistent",
  "naiveSum",
  "markers",
  "durationMs",
];

/** A system that runs until it is stopped, and the pids of its processes. */
async function startSystem(directory: string, ...args: string[]): Promise<[Started, number[]]> {
  const up = new Started(["up", "--json", "--no-sync", "--dir", directory, ...args]);
  await up.lines(1);
  const status = await tidemark(["status", "--json", "--dir", directory]);
  const [{ processes }] = parseLines(status.stdout);
  return [up, processes.map(({ pid }: { pid: number }) => pid)];
}

describe("tidemark up", () => {
  test("with --count and --json prints a line for each snapshot, then the sum, and ends by itself", async () => {
    const directory = temporaryDirectory();
    const args = ["--count", "4", "--interval", "20ms", "--dir", directory, "--json"];
    const { status, stdout, stderr } = await tidemark(["up", ...args]);
    expect(stderr).toBe("");
    const lines = parseLines(stdout);
    const total = lines.pop();
    expect(lines).toHaveLength(4);
    for (const line of lines) {
      expect(Object.keys(line)).toEqual(FIELDS);
      expect(line).toMatchObject({ processes: 4, sum: 4000, expected: 4000, consistent: true });
      expect(line.snapshot).toMatch(/^p[1-4]\/[1-9][0-9]*$/);
      expect(line.markers).toBe(12);
      expect(line.durationMs).toBe(Math.round(line.durationMs * 100) / 100);
      expect(line.amountInFlight).toBeGreaterThanOrEqual(line.messagesInFlight);
    }
    expect(Object.keys(total)).toEqual(["snapshots", "consistent", "naiveWrong", "transfers"]);
    expect(total).toMatchObject({ snapshots: 4, consistent: 4 });
    // At full speed there is always money on its way.
    expect(total.naiveWrong).toBeGreaterThanOrEqual(3);
    expect(total.naiveWrong).toBe(lines.filter(({ naiveSum }) => naiveSum !== 4000).length);
    expect(total.transfers).toBeGreaterThan(100);
    expect(status).toBe(0);
    expect(existsSync(join(directory, "control.sock"))).toBe(false);
  });

  test("for people prints a line for each snapshot and a summary when nobody watches a terminal", async () => {
    const directory = temporaryDirectory();
    const args = ["--count", "2", "--interval", "0", "--processes", "2", "--money", "500"];
    const { status, stdout } = await tidemark(["up", "--no-sync", "--dir", directory, ...args]);
    const [head, page, first, second, end, ...rest] = stdout.split("\n");
    expect(head).toBe(`2 processes, 1,000 in all, snapshots in ${directory}; Ctrl-C ends`);
    expect(page).toMatch(/^the page is at http:\/\/127\.0\.0\.1:[0-9]+\/#token=[0-9a-f]{32}$/);
    for (const line of [first, second])
      expect(line).toMatch(
        /^p[12]\/[12] {2}1,000 of 1,000 ✓ {2}.* in accounts \+ .*asked one by one/,
      );
    expect(end).toMatch(/^✓ 2 snapshots, 2 consistent; asking was wrong .*; [0-9,]+ transfers$/);
    expect(rest).toEqual([""]);
    expect(status).toBe(0);
  });

  test("on a network that delays, loses and repeats frames keeps every coin", async () => {
    const directory = temporaryDirectory();
    const spoil = ["--delay", "0..10ms", "--loss", "0.1", "--repeat", "0.1", "--seed", "7"];
    const args = [
      "--count",
      "3",
      "--interval",
      "50ms",
      "--processes",
      "3",
      "--rate",
      "50",
      ...spoil,
    ];
    const { status, stdout } = await tidemark(["up", "--json", "--dir", directory, ...args]);
    const lines = parseLines(stdout);
    expect(lines.slice(0, 3).map(({ sum }) => sum)).toEqual([3000, 3000, 3000]);
    expect(lines[3]).toMatchObject({ snapshots: 3, consistent: 3 });
    expect(status).toBe(0);
  });

  test("goes on numbering in a directory that was used before", async () => {
    const directory = temporaryDirectory();
    const args = ["--count", "2", "--interval", "0", "--processes", "1", "--no-sync", "--json"];
    const runs = [];
    for (let i = 0; i < 2; i += 1) runs.push(await tidemark(["up", "--dir", directory, ...args]));
    const ids = runs
      .flatMap(({ stdout }) => parseLines(stdout).slice(0, 2))
      .map((one) => one.snapshot);
    expect(ids).toEqual(["p1/1", "p1/2", "p1/3", "p1/4"]);
  });

  test("keeps as many snapshots as it is told, the newest", async () => {
    const directory = temporaryDirectory();
    const args = ["--count", "6", "--interval", "0", "--processes", "1", "--keep", "2"];
    const { status } = await tidemark(["up", "--json", "--no-sync", "--dir", directory, ...args]);
    expect(status).toBe(0);
    const { stdout } = await tidemark(["snapshots", "--json", "--dir", directory]);
    expect(parseLines(stdout).map(({ id }) => id)).toEqual(["p1/6", "p1/5"]);
  });

  test("ends at Ctrl-C, also when it comes twice, with a summary and nothing left running", async () => {
    const directory = temporaryDirectory();
    const [up, pids] = await startSystem(directory, "--interval", "50ms");
    process.kill(up.pid, "SIGINT");
    process.kill(up.pid, "SIGINT");
    const { status, stdout, stderr } = await up.ended;
    expect(stderr).toBe("");
    expect(parseLines(stdout).at(-1)).toHaveProperty("transfers");
    expect(status).toBe(0);
    expect(pids).toHaveLength(4);
    expect(pids.filter(isAlive)).toEqual([]);
    expect(filesBelow(directory).filter((path) => !/snapshots|parts|attempts/.test(path))).toEqual(
      [],
    );
  });

  test("what is asked of it while it is starting waits for that", async () => {
    const directory = temporaryDirectory();
    const up = new Started(["up", "--json", "--no-sync", "--processes", "8", "--dir", directory]);
    await until("the control socket", () => existsSync(join(directory, "control.sock")));
    const client = await ControlClient.connect<SystemMethods>(directory);
    onTestFinished(() => client.close());
    expect((await client.call("status", null)).processes).toEqual([]);
    const taken = await client.call("snapshot", { label: "early" }, { timeoutMs: 30_000 });
    expect(taken).toMatchObject({ consistent: true });
    process.kill(up.pid, "SIGINT");
    expect((await up.ended).status).toBe(0);
  });

  test("ends at Ctrl-C while it is starting", async () => {
    const directory = temporaryDirectory();
    const up = new Started(["up", "--json", "--no-sync", "--processes", "8", "--dir", directory]);
    await until("the control socket", () => existsSync(join(directory, "control.sock")));
    process.kill(up.pid, "SIGINT");
    // "ended" waits for the output of all its processes to be closed.
    const { status, stdout } = await up.ended;
    expect(parseLines(stdout).at(-1)).toHaveProperty("transfers");
    expect(status).toBe(0);
  });

  test("ends at once at a second Ctrl-C that is meant, whatever hangs", async () => {
    const directory = temporaryDirectory();
    const [up, pids] = await startSystem(directory, "--processes", "2", "--interval", "10ms");
    process.kill(pids[1] ?? 0, "SIGSTOP");
    process.kill(up.pid, "SIGINT");
    await pause(1100);
    expect(isAlive(up.pid)).toBe(true);
    process.kill(up.pid, "SIGINT");
    expect((await up.ended).status).toBe(130);
    await until("all processes to end", () => !pids.some(isAlive));
  });

  test.for(["SIGTERM", "SIGHUP"] as const)(
    "ends in good order at %s to all its processes",
    async (signal) => {
      const directory = temporaryDirectory();
      const [up, pids] = await startSystem(directory, "--processes", "2", "--interval", "10ms");
      for (const pid of [...pids, up.pid]) process.kill(pid, signal);
      const { status, stdout } = await up.ended;
      expect(status).toBe(0);
      const lines = parseLines(stdout);
      expect(lines.at(-1)).toMatchObject({
        snapshots: lines.length - 1,
        consistent: lines.length - 1,
      });
    },
  );

  test("ends in good order when nobody reads its output any more", async () => {
    const directory = temporaryDirectory();
    const [up, pids] = await startSystem(directory, "--processes", "2", "--interval", "10ms");
    up.child.stdout?.destroy();
    expect(await up.ended).toMatchObject({ status: 0, stderr: "" });
    expect(pids.filter(isAlive)).toEqual([]);
  });

  test("leaves no process behind when it is killed, and its directory can be used again", async () => {
    const directory = temporaryDirectory();
    const [up, pids] = await startSystem(directory, "--processes", "3");
    expect(pids.filter(isAlive)).toHaveLength(3);
    up.child.kill("SIGKILL");
    await until("all processes to end", () => !pids.some(isAlive));
    expect(statSync(join(directory, "control.sock")).isSocket()).toBe(true);
    const again = await tidemark(["up", "--json", "--no-sync", "--count", "1", "--dir", directory]);
    expect(again).toMatchObject({ status: 0, stderr: "" });
  });

  test("says which process was lost and how, ends the others and fails", async () => {
    const directory = temporaryDirectory();
    const [up, pids] = await startSystem(directory, "--processes", "3", "--interval", "20ms");
    process.kill(pids[1] ?? 0, "SIGKILL");
    const { status, stdout, stderr } = await up.ended;
    expect(stderr).toContain(
      `tidemark: p2 (process ${pids[1]}) has ended, and nobody stopped it: SIGKILL\n`,
    );
    expect(status).toBe(1);
    expect(pids.filter(isAlive)).toEqual([]);
    const bad = parseLines(stdout).filter((line) => "problem" in line);
    for (const line of bad) expect(Object.keys(line)).toEqual(["snapshot", "processes", "problem"]);
    expect(parseLines(stdout).at(-1)).toHaveProperty("transfers");
  });

  test("tells an abandoned snapshot with its reason, goes on, and fails at the end", async () => {
    const directory = temporaryDirectory();
    const args = ["--processes", "2", "--interval", "50ms", "--timeout", "500ms"];
    const [up, [pid = 0]] = await startSystem(directory, ...args);
    process.kill(pid, "SIGSTOP");
    await until("a snapshot to be abandoned", () => up.stdout.includes('"problem"'));
    const before = up.stdout.split("\n").length;
    process.kill(pid, "SIGCONT");
    await until("a snapshot after that", () =>
      up.stdout.split("\n").slice(before).join("").includes('"consistent":true'),
    );
    up.child.kill("SIGINT");
    const { status, stdout, stderr } = await up.ended;
    expect(stderr).toContain(`tidemark history --failed --dir ${directory} says what`);
    const lines = parseLines(stdout);
    const { snapshots, consistent } = lines.pop();
    expect(lines).toHaveLength(snapshots);
    expect(lines.filter((line) => line.consistent)).toHaveLength(consistent);
    expect(consistent).toBeLessThan(snapshots);
    expect(lines.find((line) => line.problem).problem).toMatch(
      /does not answer|abandoned: timeout/,
    );
    expect(status).toBe(1);
  });

  test("reads every snapshot back: a file that was damaged meanwhile is found, and it fails", async () => {
    const directory = temporaryDirectory();
    const [up] = await startSystem(directory, "--processes", "2", "--interval", "0");
    const damaged = new Set<string>();
    await until("a problem", () => {
      for (const path of filesBelow(join(directory, "parts"))) {
        if (damaged.has(path)) continue;
        damaged.add(path);
        const bytes = readFileSync(path);
        bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
        writeFileSync(path, bytes);
      }
      return up.stdout.includes('"problem"');
    });
    up.child.kill("SIGINT");
    const { status, stdout } = await up.ended;
    const bad = parseLines(stdout).find((line) => "problem" in line);
    expect(bad.problem).toMatch(/parts.* is damaged: /);
    expect(status).toBe(1);
  });

  test("is refused where a system is running, whose process it names", async () => {
    const directory = temporaryDirectory();
    const [up] = await startSystem(directory, "--processes", "1");
    const { status, stderr } = await tidemark(["up", "--dir", directory, "--count", "1"]);
    expect(stderr).toBe(
      `tidemark: a system runs in ${directory} already (process ${up.pid}): end it first, or choose another directory\n`,
    );
    expect(status).toBe(1);
    expect(isAlive(up.pid)).toBe(true);
  });

  test("listens on the ports that it is told, and says which one is taken", async () => {
    const [first, server] = await twoPorts();
    const directory = temporaryDirectory();
    const args = ["--processes", "2", "--port", String(first), "--count", "1", "--no-sync"];
    const refused = await tidemark(["up", "--dir", directory, ...args]);
    expect(refused.stderr).toContain(`tidemark: p2 cannot start: 127.0.0.1:${first + 1} is in use`);
    expect(refused.stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(refused).toMatchObject({ status: 1, stdout: "" });
    await new Promise((settle) => server.close(settle));
    const accepted = await tidemark(["up", "--json", "--dir", directory, ...args]);
    expect(accepted).toMatchObject({ status: 0, stderr: "" });
  });

  test("started by hand with colours and a terminal that knows none prints no escape", async () => {
    const directory = temporaryDirectory();
    const args = ["up", "--count", "1", "--processes", "1", "--no-sync", "--dir", directory];
    const { stdout } = await tidemark(args, { NO_COLOR: undefined, TERM: "dumb" });
    expect(stdout).not.toContain("\u001b");
  });
});

/** A port that is free, and a server that has the next one. */
async function twoPorts(): Promise<[number, Server]> {
  const port = await freePorts(2);
  const server = createServer();
  await new Promise<void>((settle) => server.listen(port + 1, "127.0.0.1", settle));
  onTestFinished(() => {
    server.close();
  });
  return [port, server];
}
