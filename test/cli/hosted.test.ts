// Systems of users' own in real operating-system processes: killed, started again, restored, drained.
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import {
  type Ended,
  filesBelow,
  isAlive,
  parseLines,
  Started,
  temporaryDirectory,
  tidemark,
  until,
} from "./support/command.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** A directory from which `tidemark` can be imported, with a file in it. */
function fileWith(text: string): { readonly file: string; readonly at: readonly string[] } {
  const directory = temporaryDirectory();
  mkdirSync(join(directory, "node_modules"));
  symlinkSync(ROOT, join(directory, "node_modules/tidemark"));
  const file = join(directory, "system.ts");
  writeFileSync(file, text);
  return { file, at: ["--dir", join(directory, "data")] };
}

/** Adds up what it is asked to add, and tells the others; some requests do something else. */
const counter = (more = ""): string => `
import { type Application, defineSystem, type Turn } from "tidemark";
class Counter implements Application<number, number, number | string, number> {
  #sum = 0;
  #asked = 0;
  request(id: number, add: number | string, turn: Turn<number, number>) {
    if (add === "throw") throw new Error("as it was told");
    if (add === "late") {
      console.error(turn.self, "was asked");
      this.#asked = id;
      turn.setTimer("late", 700);
      return;
    }
    this.#sum += Number(add);
    turn.send(turn.peers, Number(add));
    turn.reply(id, this.#sum);
  }
  timer(_name: string, turn: Turn<number, number>) { turn.reply(this.#asked, -1); }
  receive(_from: string, add: number) { this.#sum += add; }
  capture() { return this.#sum; }
  restore(sum: number) { this.#sum = sum; }
}
export default defineSystem({
  processes: ["a", "b"],
  application: () => new Counter(),
  snapshots: { everyMs: 200 },
  ${more}
});
`;

async function start(file: string, at: readonly string[], ...args: string[]): Promise<Started> {
  const up = new Started(["up", file, "--json", "--no-sync", ...at, ...args]);
  await up.lines(1);
  return up;
}

const ask = async (at: readonly string[], of: string, request: unknown): Promise<unknown> => {
  const asked = ["request", of, JSON.stringify(request), "--json", ...at];
  const { stdout } = await tidemark(asked);
  return JSON.parse(stdout || "null");
};

/** What `tidemark status` knows of a process. */
async function statusOf(
  at: readonly string[],
  of: string,
): Promise<{ pid: number; up: boolean; epoch: number; restarts?: number; lastEnd?: string }> {
  const [{ processes }] = parseLines((await tidemark(["status", "--json", ...at])).stdout);
  return processes.find(({ process }: { process: string }) => process === of);
}

function interrupt(up: Started): Promise<Ended> {
  up.child.kill("SIGINT");
  return up.ended;
}

describe("tidemark up FILE", () => {
  test("starts again who was killed, with all that it knew, and says so", async () => {
    const { file, at } = fileWith(counter());
    const up = await start(file, at, "--timeout", "700ms");
    expect(up.stderr).toBe("tidemark: the system begins, in epoch 1\n");
    expect(await ask(at, "b", 5)).toBe(5);
    const { pid } = await statusOf(at, "b");
    process.kill(pid, "SIGKILL");
    await until("b to run again", () => up.stderr.includes("b runs again"));
    expect(up.stderr).toContain(
      `b (process ${pid}) has ended, and nobody stopped it: SIGKILL; it is started again in 100 ms (1 of 5)`,
    );
    expect(up.stderr).toContain("and goes on from its log; restarts: 1");
    expect(await ask(at, "b", 2)).toBe(7);
    expect(await statusOf(at, "b")).toMatchObject({ up: true, restarts: 1, lastEnd: "SIGKILL" });
    expect((await tidemark(["status", ...at])).stdout).toContain(
      "restarts:\n  b was started again once; it had ended: SIGKILL",
    );
    // That a snapshot is abandoned is no failure where processes come back.
    const { pid: now } = await statusOf(at, "b");
    process.kill(now, "SIGSTOP");
    await until("a snapshot to be abandoned", () => up.stdout.includes('"problem"'));
    process.kill(now, "SIGCONT");
    const { status, stdout } = await interrupt(up);
    expect(status).toBe(0);
    expect(parseLines(stdout).at(-1)).toHaveProperty("messages");
  });

  test("goes on from its logs when it is started again, unless it is told to begin anew", async () => {
    const { file, at } = fileWith(counter());
    let up = await start(file, at);
    expect(await ask(at, "a", 5)).toBe(5);
    expect((await interrupt(up)).status).toBe(0);

    up = await start(file, at);
    expect(up.stderr).toBe("tidemark: the system goes on from its logs, in epoch 1\n");
    expect(await ask(at, "b", 1)).toBe(6);
    up.child.kill("SIGKILL");
    await up.ended;

    up = await start(file, at, "--new");
    expect(up.stderr).toMatch(/logs were moved to .*logs-aside-1\n.*begins, in epoch 2\n$/);
    expect(await ask(at, "b", 1)).toBe(1);
    expect((await statusOf(at, "b")).epoch).toBe(2);
    await interrupt(up);

    writeFileSync(file, readFileSync(file, "utf8").replace('["a", "b"]', "3"));
    const refused = await tidemark(["up", file, ...at]);
    expect(refused.stderr).toMatch(
      /began with a, b, and not with p1, p2, p3: start it so, or with --new\n$/,
    );
    expect(refused.status).toBe(2);
  });

  test("gives up when a process has ended too often, ends the others and fails", async () => {
    const { file, at } = fileWith(counter("log: false,"));
    const up = await start(file, at, "--restarts", "1");
    const { pid } = await statusOf(at, "a");
    await ask(at, "b", "throw");
    await until("b to run again", () => up.stderr.includes("b runs again"));
    expect(up.stderr).toContain("begins without its state");
    await ask(at, "b", "throw");
    const { status, stderr } = await up.ended;
    expect(stderr).toContain("as it was told");
    expect(stderr).toContain("it ended 2 times in 1 min 0 s");
    expect(status).toBe(1);
    expect(isAlive(pid)).toBe(false);
  });

  test("is restored once to its newest snapshot, if told so, when a process has ended too often", async () => {
    const { file, at } = fileWith(
      counter("log: false, restart: { restarts: 0, afterwards: 'restore' },"),
    );
    const up = await start(file, at);
    expect(await ask(at, "a", 5)).toBe(5);
    const before = up.stdout.split("\n").length;
    await until("another snapshot", () => up.stdout.split("\n").length > before + 1);
    await ask(at, "b", "throw");
    await until("the restore", () => /was restored to [ab]\/[0-9]+, in epoch 2/.test(up.stderr));
    expect(await ask(at, "b", 1)).toBe(6);
    await ask(at, "b", "throw");
    expect((await up.ended).status).toBe(1);
  });

  test("does not start again who would find its log damaged again", async () => {
    const { file, at } = fileWith(counter());
    const up = await start(file, at);
    const { pid } = await statusOf(at, "b");
    process.kill(pid, "SIGKILL");
    const logs = filesBelow(join(String(at[1]), "logs/b")).filter((path) => /capture$/.test(path));
    for (const path of logs) writeFileSync(path, "this is no capture");
    const { status, stderr } = await up.ended;
    expect(stderr).toMatch(/b cannot start: .*; another start would not help/);
    expect(status).toBe(1);
  });

  test("answers who has asked, and closes what it serves, before it ends at SIGTERM", async () => {
    const serve = `serve: (running, { processes }) => {
      console.error(running.id, "serves", processes.length);
      return () => console.error(running.id, "is closed");
    },`;
    const { file, at } = fileWith(counter(serve));
    const up = await start(file, at);
    const asking = ask(at, "b", "late");
    await until("b to be asked", () => up.stderr.includes("b was asked"));
    up.child.kill("SIGTERM");
    expect(await asking).toBe(-1);
    const { status, stderr } = await up.ended;
    for (const id of ["a", "b"]) expect(stderr).toContain(`${id} is closed`);
    expect(stderr).toContain("a serves 2");
    expect(status).toBe(0);
  });

  test.each<[string, string, RegExp]>([
    ["no default export", "export const x = 1;", /exports no system by default: write export/],
    ["one that throws", "throw new Error('no disk');", /cannot be loaded: no disk \(at .*:1\)/],
    ["a syntax error", "export default {;", /cannot be loaded: .*(at .*:1)/],
    [
      "a wrong word",
      "export default { processes: 2, application() {}, procesess: 3 };",
      /there is no "procesess"; did you mean "processes"\?/,
    ],
    ["no processes", "export default { application() {} };", /a system needs processes/],
    [
      "a wrong value",
      "export default { processes: 2, application() {}, log: 'sometimes' };",
      /log must be "always" or "everysec" or "none" or false, not "sometimes"/,
    ],
    [
      "too many processes",
      "export default { processes: 65, application() {} };",
      /processes must be 1 to 64 names, or how many, not 65/,
    ],
    ["a process without a name", "export default { processes: ['a b'], application() {} };", /a b/],
    [
      "no application",
      "export default { processes: 1, application: () => 7, snapshots: {} };",
      /p1 cannot start: .*: application\("p1"\) gave 7, and no application/,
    ],
    [
      "an application that cannot be made",
      "export default { processes: 1, application() { throw new Error('no key'); } };",
      /p1 cannot start: .*: application\("p1"\) threw: no key/,
    ],
  ])("with %s says so, and which file", async (_what, text, problem) => {
    const { file, at } = fileWith(text);
    const { status, stdout, stderr } = await tidemark(["up", file, ...at]);
    expect(stderr).toMatch(problem);
    expect(stderr.split("\n")).toHaveLength(2);
    expect(stderr).toContain("system.ts");
    expect([status, stdout]).toEqual([2, ""]);
  });

  test("refuses options that are the bank's, and a file that there is not", async () => {
    const { file, at } = fileWith(counter());
    const money = await tidemark(["up", file, "--money", "5", ...at]);
    expect(money).toMatchObject({ status: 2 });
    expect(money.stderr).toContain("--money is for the bank");
    const none = await tidemark(["up", `${file}x`, ...at]);
    expect(none).toMatchObject({ status: 2, stderr: `tidemark: there is no file ${file}x\n` });
  });
});

describe("the bank with logs", () => {
  test("loses no coin when an account is killed, and goes on when it is started again", async () => {
    const at = ["--dir", temporaryDirectory()];
    const args = ["--processes", "3", "--rate", "500", "--log", "everysec", "--interval", "100ms"];
    const up = new Started(["up", "--json", "--no-sync", ...at, ...args]);
    await up.lines(2);
    for (const id of ["p2", "p3"]) {
      process.kill((await statusOf(at, id)).pid, "SIGKILL");
      await until(`${id} to run again`, () => up.stderr.includes(`${id} runs again`));
    }
    const before = up.stdout.split("\n").length;
    await until("more snapshots", () => up.stdout.split("\n").length > before + 2);
    const { status, stdout } = await interrupt(up);
    const sums = parseLines(stdout).filter((line) => "sum" in line);
    expect(sums.length).toBeGreaterThan(3);
    for (const { sum, consistent } of sums) expect([sum, consistent]).toEqual([3000, true]);
    expect(status).toBe(0);
    const again = await tidemark(["up", "--json", ...at, ...args, "--count", "2"]);
    expect(again.stderr).toBe("tidemark: the system goes on from its logs, in epoch 1\n");
    expect(parseLines(again.stdout)[0]).toMatchObject({ sum: 3000, consistent: true });
    expect(again.status).toBe(0);
  });
});

describe("tidemark restore", () => {
  test("brings a running system back, after a dry run that changes nothing", async () => {
    const { file, at } = fileWith(
      counter("snapshots: { everyMs: 60_000 },").replace("snapshots: { everyMs: 200 },", ""),
    );
    const up = await start(file, at);
    expect(await ask(at, "a", 5)).toBe(5);
    const taken = await tidemark(["snapshot", "--label", "five", "--json", ...at]);
    const [{ snapshot }] = parseLines(taken.stdout);
    expect(await ask(at, "a", 3)).toBe(8);

    const [plan] = parseLines(
      (await tidemark(["restore", snapshot, "--dry-run", "--json", ...at])).stdout,
    );
    expect(plan).toMatchObject({ dryRun: true, running: true, snapshot, inFlight: 0 });
    expect(plan.processes).toEqual([
      { process: "a", sent: 1, received: 0 },
      { process: "b", sent: 0, received: 1 },
    ]);
    expect(plan.snapshotsSince).toBe(0);
    expect(await ask(at, "b", 0)).toBe(8);

    const done = await tidemark(["restore", snapshot, "--json", ...at]);
    const [restored] = parseLines(done.stdout);
    expect(restored).toMatchObject({ snapshot, epoch: 2, absent: [] });
    expect(done.status).toBe(0);
    expect(await ask(at, "b", 0)).toBe(5);
    expect((await statusOf(at, "a")).epoch).toBe(2);
    expect(await tidemark(["verify", restored.proof, ...at])).toMatchObject({ status: 0 });
    expect((await interrupt(up)).status).toBe(0);
  });

  test("says who is absent, and fails", async () => {
    const { file, at } = fileWith(counter());
    const up = await start(file, at);
    const { pid } = await statusOf(at, "b");
    process.kill(pid, "SIGSTOP");
    const restored = await tidemark(["restore", "latest", "--timeout", "1s", ...at]);
    process.kill(pid, "SIGCONT");
    expect(restored.stdout, restored.stderr).toMatch(
      /restored to [ab]\/[0-9]+: the system is in epoch 2\n/,
    );
    expect(restored.stdout).toMatch(/not (there in time|proven)/);
    expect(restored.status).toBe(1);
    await until("b to follow", async () => (await statusOf(at, "b")).epoch === 2);
    await interrupt(up);
  });

  test("is recorded while no process answers, and all follow", async () => {
    const { file, at } = fileWith(counter());
    const up = await start(file, at);
    const pids = [(await statusOf(at, "a")).pid, (await statusOf(at, "b")).pid];
    for (const pid of pids) process.kill(pid, "SIGSTOP");
    const restored = await tidemark(["restore", "latest", "--timeout", "1s", ...at]);
    for (const pid of pids) process.kill(pid, "SIGCONT");
    expect(restored.stdout, restored.stderr).toMatch(
      /the system is in epoch 2\n +not there in time, and follow when they come back: a, b\n/,
    );
    expect(restored.status).toBe(1);
    for (const id of ["a", "b"])
      await until(`${id} to follow`, async () => (await statusOf(at, id)).epoch === 2);
    await interrupt(up);
  });

  test("without a running system is a record that the next start goes by", async () => {
    const at = ["--dir", temporaryDirectory()];
    const args = ["--processes", "2", "--interval", "0", "--no-sync", "--json"];
    expect((await tidemark(["up", ...at, ...args, "--count", "3"])).status).toBe(0);
    const [newest, , oldest] = parseLines((await tidemark(["snapshots", "--json", ...at])).stdout);
    const dry = await tidemark(["restore", oldest.id, "--dry-run", ...at]);
    expect(dry.stdout).toContain(`Compared with ${newest.id}, the newest snapshot`);
    expect(dry.stdout).toContain("leave the 2 snapshots taken since where they are");
    const { status, stdout } = await tidemark(["restore", oldest.id, ...at]);
    expect(stdout).toMatch(/the next one that starts goes on from p[12]\/[0-9]+, in epoch 2\n$/);
    expect(status).toBe(0);
    const refused = await tidemark(["up", ...at, "--processes", "3"]);
    expect(refused.stderr).toContain(`was restored to ${oldest.id}, which has p1, p2`);
    expect(refused.status).toBe(2);
    const again = await tidemark(["up", ...at, ...args, "--count", "1"]);
    expect(again.stderr).toBe(`tidemark: the system goes on from ${oldest.id}, in epoch 2\n`);
    expect(parseLines(again.stdout)[0]).toMatchObject({ sum: 2000, consistent: true });
  });

  test("decides nothing for a snapshot that is damaged, or not there", async () => {
    const at = ["--dir", temporaryDirectory()];
    const up = ["up", ...at, "--processes", "2", "--interval", "0", "--no-sync", "--json"];
    await tidemark([...up, "--count", "1"]);
    const none = await tidemark(["restore", "p1/99", ...at]);
    expect(none.stderr).toMatch(/there is no snapshot p1\/99/);
    expect(none.status).toBe(1);
    expect(await tidemark(["restore", "nonsense", ...at])).toMatchObject({ status: 1 });
    for (const path of filesBelow(join(String(at[1]), "parts"))) {
      const bytes = readFileSync(path);
      bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
      writeFileSync(path, bytes);
    }
    const damaged = await tidemark(["restore", "latest", ...at]);
    expect(damaged.stderr).toMatch(/damaged/);
    expect(damaged.status).toBe(1);
    expect(filesBelow(String(at[1])).filter((path) => path.includes("epochs"))).toEqual([]);
  });
});

describe("tidemark init", () => {
  test("writes a system that runs, says what to do next, and overwrites nothing", async () => {
    const directory = temporaryDirectory();
    const place = join(directory, "mine");
    const { status, stdout } = await tidemark(["init", place]);
    expect(stdout).toMatch(/^wrote .*system\.ts\nwrote .*package\.json\nNext:\n/);
    expect(status).toBe(0);
    mkdirSync(join(place, "node_modules"));
    symlinkSync(ROOT, join(place, "node_modules/tidemark"));
    const file = join(place, "system.ts");
    const at = ["--dir", join(directory, "data")];
    const up = await start(file, at);
    expect(await ask(at, "a", 5)).toEqual({ sum: 5 });
    expect((await interrupt(up)).status).toBe(0);

    writeFileSync(file, "mine");
    const again = await tidemark(["init", place]);
    expect(again.stderr).toContain("and it is not overwritten");
    expect([again.status, readFileSync(file, "utf8")]).toEqual([2, "mine"]);
  });
});
