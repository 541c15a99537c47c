import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseLines, Started, temporaryDirectory, tidemark } from "./support/command.ts";

/** Three that wait for each other as soon as each is asked to. */
const WAITING = `
class Waiting {
  #waitsFor = "";
  request(id, next, turn) { this.#waitsFor = next; turn.reply(id, "ok"); }
  receive() {}
  waits() { return this.#waitsFor === "" ? [] : [{ for: [this.#waitsFor], request: "its turn" }]; }
  capture() { return this.#waitsFor; }
  restore(state) { this.#waitsFor = state; }
}
export default { processes: ["a", "b", "c"], application: () => new Waiting() };
`;

async function started(...args: readonly string[]): Promise<readonly [dir: string, up: Started]> {
  const dir = temporaryDirectory();
  const up = new Started(["up", ...args, "--json", "--dir", dir, "--interval", "1h", "--no-sync"]);
  await up.lines(1);
  return [dir, up];
}

test("tidemark watch says at once what it finds, and ends with Ctrl-C", async () => {
  const [dir, up] = await started("--processes", "2");
  const watch = new Started(["watch", "sum=money", "--interval", "100ms", "--dir", dir]);
  const [line = ""] = await watch.lines(1);
  expect(line).toMatch(/^\d\d:\d\d:\d\d {2}· sum=money {2}.+ {2}p\d\/\d+$/);
  watch.child.kill("SIGINT");
  expect((await watch.ended).status).toBe(0);
  up.child.kill("SIGINT");
  expect((await up.ended).status).toBe(0);
});

test("tidemark watch --first ends with what becomes true of a user's system", async () => {
  const file = join(temporaryDirectory(), "waiting.mjs");
  writeFileSync(file, WAITING);
  const [dir, up] = await started(file);
  const args = ["deadlock", "--interval", "50ms", "--first", "--json", "--module", file];
  const watch = new Started(["watch", ...args, "--dir", dir]);
  await watch.lines(1);
  for (const [process, next] of ["ab", "bc", "ca"].map((pair) => [...pair]))
    await tidemark(["request", process as string, JSON.stringify(next), "--dir", dir]);
  const { status, stdout } = await watch.ended;
  const events = parseLines(stdout);
  expect(events.map(({ detection }) => detection.detected)).toEqual([false, true]);
  expect(status).toBe(1);
  // Without a snapshot, which could prove it, the processes themselves say as much.
  const explained = await tidemark(["explain", "--dir", dir]);
  expect(explained.stdout).toMatch(
    /^a waits for b: its turn, for 1\.\d s {2}PROCESS_WAITS\n {2}because b waits for c: its turn, for /,
  );
  expect(explained.stdout).toContain("  a → b → c → a wait for each other, which holds up 3 of 3");
  expect(explained.status).toBe(1);
  up.child.kill("SIGINT");
  await up.ended;
});

test("tidemark watch refuses what cannot be detected, and where no system runs", async () => {
  const none = await tidemark(["watch", "deadlok", "--dir", temporaryDirectory()]);
  expect([none.status, none.stderr]).toEqual([2, expect.stringContaining("deadlok")]);
  const nowhere = await tidemark(["watch", "deadlock", "--dir", temporaryDirectory()]);
  expect([nowhere.status, nowhere.stderr]).toEqual([1, expect.stringContaining("no system runs")]);
});
