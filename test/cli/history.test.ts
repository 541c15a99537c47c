/** `tidemark history` and `tidemark explain`. */

import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { ControlServer } from "../../src/runtime/control-socket.ts";
import { directoryStore } from "../../src/runtime/directory-store.ts";
import type { AbandonedNote, AttemptNote } from "../../src/snapshot/attempt.ts";
import { parseLines, temporaryDirectory, tidemark } from "./support/command.ts";

async function directoryWith(...notes: readonly AttemptNote[]): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), "tidemark-history-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const store = directoryStore(directory, { sync: false });
  for (const note of notes) await store.note(note);
  await store.close();
  return directory;
}

const BEGUN: AttemptNote = {
  ...{ note: "begun", snapshot: "p1/7", by: "p1", atMs: 1_000, epoch: 1, processes: 3 },
};
const COMPLETE: AttemptNote = {
  ...{ note: "complete", snapshot: "p1/8", by: "p1", atMs: 9_030, startedAtMs: 9_000, cutMs: 20 },
  shares: ["p1", "p2"].map((process, i) => ({
    ...{ process, recordedAtMs: 9_000 + i, captureMs: 0.5, recordingMs: 4, storedMs: 3 + i },
    ...{ inFlight: 1_200, inFlightBytes: 9_000, stateBytes: 2_048 },
  })),
};
const REFUSED: AttemptNote = {
  note: "refused",
  by: "p2",
  atMs: 20_000,
  reason: "p3\u001b[31m\nis lost",
};

test("attempts are listed, newest first, and those that are refused alike in one line", async () => {
  const refusals = Array.from({ length: 40 }, (_, i) => ({ ...REFUSED, atMs: 20_000 + i }));
  const dir = await directoryWith(BEGUN, COMPLETE, ...refusals);
  const { stdout, status } = await tidemark(["history", "--dir", dir]);
  expect(status).toBe(0);
  expect(stdout.split("\n").map((line) => line.trimEnd())).toEqual([
    "attempt  begun                     outcome            took  in flight    state  label or reason",
    "by p2    1970-01-01T00:00:20.039Z  refused 40 times                             p3?[31m is lost",
    "p1/8     1970-01-01T00:00:09.000Z  complete          30 ms      2,400  4.0 KiB",
    "p1/7     1970-01-01T00:00:01.000Z  open                                         no end is noted: tidemark explain says more",
    "",
  ]);
  const failed = await tidemark(["history", "--dir", dir, "--failed", "--limit", "1"]);
  expect(failed.stdout).toContain("refused 40 times");
  expect(failed.stdout).not.toContain("p1/7");
  const json = await tidemark(["history", "--dir", dir, "--json", "--limit", "1000"]);
  const lines = json.stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(lines).toHaveLength(42);
  expect(lines[40]).toMatchObject({
    snapshot: "p1/8",
    outcome: "complete",
    shares: COMPLETE.shares,
  });
});

test("an attempt is explained by its id, by its label, or as the latest", async () => {
  const labelled: AttemptNote = { ...BEGUN, snapshot: "p1/8", label: "noon", atMs: 9_000 };
  const dir = await directoryWith(BEGUN, labelled, COMPLETE);
  for (const name of ["p1/8", "noon", "latest"]) {
    const { stdout, status } = await tidemark(["explain", name, "--dir", dir]);
    expect(status).toBe(0);
    expect(stdout).toBe(`\
p1/8 is complete after 30 ms; begun by p1 at 1970-01-01T00:00:09.000Z, of 3 processes
  label    noon
  the cut  was known after 20 ms: the channels of p2 were closed last, after 5 ms
  storing  took 10 ms more: p2 was done last

process  recorded after  paused  closed after        in flight  stored in    state
p1                 0 ms  0.5 ms          4 ms  1,200 (8.8 KiB)       3 ms  2.0 KiB
p2                 1 ms  0.5 ms          4 ms  1,200 (8.8 KiB)       4 ms  2.0 KiB
`);
  }
  const { stdout } = await tidemark(["explain", "p1/8", "--dir", dir, "--json"]);
  expect(JSON.parse(stdout)).toMatchObject({ snapshot: "p1/8", label: "noon" });
});

test("of one that has no end only what is known is said", async () => {
  const dir = await directoryWith(BEGUN);
  const { stdout, status } = await tidemark(["explain", "p1/7", "--dir", dir]);
  expect(status).toBe(0);
  expect(stdout).toBe(`\
p1/7 has no end; begun by p1 at 1970-01-01T00:00:01.000Z, of 3 processes
  because  it is under way, or p1 ended in the middle of it; no system answers that could tell
`);
});

test("of one that has no end the system is asked that runs there", async () => {
  const dir = await directoryWith(BEGUN);
  const status: { processes: unknown[] } = { processes: [] };
  const control = await ControlServer.listen(dir, { status: async () => status });
  onTestFinished(() => control.close());
  const explained = async () => (await tidemark(["explain", "p1/7", "--dir", dir])).stdout;
  const waiting = (process: string, ...waitsFor: string[]) => ({
    ...{ process, explanation: { snapshots: [{ snapshot: "p1/7", waitsFor }] } },
  });
  const elsewhere = { process: "p4", explanation: { snapshots: [] } };
  const late = "the marker of p3";
  status.processes = [waiting("p1", late), waiting("p2", late), { process: "p3" }, elsewhere];
  expect(await explained()).toBe(`\
p1/7 is under way; begun by p1 at 1970-01-01T00:00:01.000Z, of 3 processes

held up by
  p3, which does not answer
  p1 and p2, which wait for the marker of p3
`);
  // Nobody knows of it: then its initiator has come back without it, or hangs.
  status.processes = [elsewhere];
  expect(await explained()).toContain("because  p1 ended in the middle of it: the system that");
  status.processes = [elsewhere, { process: "p1" }];
  expect(await explained()).toContain("because  p1, which began it, does not answer\n");
});

test("an attempt that ends while the system is asked is over", async () => {
  const dir = await directoryWith({ ...BEGUN, snapshot: "p1/8", atMs: 9_000 });
  const control = await ControlServer.listen(dir, {
    status: async () => {
      const store = directoryStore(dir, { sync: false });
      await store.note(COMPLETE);
      await store.close();
      return { processes: [{ process: "p1", explanation: { snapshots: [] } }] };
    },
  });
  onTestFinished(() => control.close());
  const { stdout } = await tidemark(["explain", "latest", "--dir", dir]);
  expect(stdout).toContain("p1/8 is complete after 30 ms");
});

test("of many who waited for the same there is one line, below those that are to blame", async () => {
  const ids = Array.from({ length: 12 }, (_, i) => `p${10 + i}`);
  const dir = await directoryWith(
    { ...BEGUN, snapshot: "p10/1", by: "p10", processes: 12 },
    ...ids.slice(0, 10).map(
      (by): AttemptNote => ({
        ...{ note: "abandoned", snapshot: "p10/1", by, atMs: 2_000, reason: "timeout" },
        ...{ waitsFor: ["the marker of p20", "the marker of p21"] },
        ...(by === "p10" && { unclosed: ids, unstored: [] }),
      }),
    ),
  );
  const { stdout } = await tidemark(["explain", "p10/1", "--dir", dir]);
  expect(stdout).toContain(`
held up by
  p20 and p21, of which nothing is noted: no state was recorded there, or it is gone
  p10, p11, p12, p13, p14, p15, p16, p17 and 2 more, which waited for the marker of p20 and the marker of p21
`);
  const listed = await tidemark(["history", "--dir", dir]);
  expect(listed.stdout).toContain("  held up by p20 and p21 (timeout)\n");
});

test("who was not done when something else ended the attempt is not to blame", async () => {
  const dir = await directoryWith(
    { ...BEGUN, timeoutMs: 30_000 },
    {
      ...{
        note: "abandoned",
        snapshot: "p1/7",
        by: "p1",
        atMs: 2_000,
        waitsFor: ["the marker of p3"],
      },
      ...{ reason: "p2 was away", unclosed: ["p1", "p3"], unstored: [] },
    },
  );
  expect((await tidemark(["explain", "p1/7", "--dir", dir])).stdout).toBe(`\
p1/7 was abandoned after 1.0 s; begun by p1 at 1970-01-01T00:00:01.000Z, of 3 processes
  because  p2 was away

not done then
  p3, of which nothing is noted: no state was recorded there, or it is gone
  p1, which waited for the marker of p3
`);
  expect((await tidemark(["history", "--dir", dir])).stdout).toMatch(/ {2}p2 was away\n$/);
});

test("an id names no label, and a label that a snapshot got later names its attempt", async () => {
  const dir = temporaryDirectory();
  const args = ["--processes", "2", "--count", "3", "--interval", "20ms", "--no-sync"];
  expect(await tidemark(["up", "--dir", dir, ...args])).toMatchObject({ status: 0 });
  const all = parseLines((await tidemark(["history", "--json", "--dir", dir])).stdout);
  const [, second, third] = all.map(({ snapshot }) => snapshot).reverse();
  const named = async (name: string) => (await tidemark(["explain", name, "--dir", dir])).stdout;
  expect(await tidemark(["label", second, "noon", "--dir", dir])).toMatchObject({ status: 0 });
  expect(await named("noon")).toContain(`${second} is complete`);
  // A program may give such a label.
  const noting = directoryStore(dir, { sync: false });
  const [by] = third.split("/");
  const atMs = Date.now() + 1_000;
  await noting.note({ ...BEGUN, snapshot: `${by}/999`, by, atMs, label: second } as AttemptNote);
  await noting.close();
  expect(await named(second)).toContain(`${second} is complete`);
  expect(await named("latest")).toContain(`${by}/999 has no end`);
});

test("what says that it was at no time is passed over", async () => {
  const dir = await directoryWith(BEGUN);
  appendFileSync(
    join(dir, "attempts", "p1.jsonl"),
    `${JSON.stringify({ ...BEGUN, snapshot: "p1/9", atMs: 1e300 })}\n`,
  );
  const { stdout, stderr, status } = await tidemark(["history", "--dir", dir]);
  expect(status).toBe(0);
  expect(stdout).toContain("p1/7");
  expect(stderr).toContain("1 line(s) are no notes of p1");
});

test("of one that was abandoned those come first who were late, and last those who were not", async () => {
  const by = (process: string, more: object): AbandonedNote => ({
    ...{ note: "abandoned", snapshot: "p1/7", by: process, atMs: 2_000, reason: "p3 was away" },
    ...{ waitsFor: [], share: { process, recordedAtMs: 1_001, captureMs: 0.5, ...more } },
  });
  const dir = await directoryWith(
    BEGUN,
    { ...by("p1", { recordingMs: 1 }), unclosed: ["p2", "p3"], unstored: ["p1", "p4"] },
    by("p2", { recordingMs: 1 }),
    by("p4", { recordingMs: 1, storedMs: 2 }),
    { ...by("p5", {}), waitsFor: ["the marker of p3", "the marker of p6"] },
  );
  const { stdout } = await tidemark(["explain", "p1/7", "--dir", dir]);
  expect(stdout.split("\n").slice(3, 9)).toEqual([
    "not done then",
    "  p3, of which nothing is noted: no state was recorded there, or it is gone",
    "  p1, where the piece was not stored",
    "  p5, which waited for the marker of p3 and the marker of p6",
    "  p2, from where the initiator did not hear that all channels were closed",
    "  p4, from where the initiator did not hear that the piece was stored",
  ]);
});

test("what is not there is said", async () => {
  const dir = await directoryWith();
  const empty = await tidemark(["history", "--dir", dir]);
  expect(empty).toMatchObject({ status: 0, stdout: "" });
  expect(empty.stderr).toContain(`no attempts are noted in ${dir}`);
  const none = await tidemark(["explain", "p1/7", "--dir", dir]);
  expect(none).toMatchObject({ status: 1, stdout: "" });
  expect(none.stderr).toContain("no attempt p1/7 is noted");
  for (const command of [["history"], ["explain", "latest"]]) {
    const missing = await tidemark([...command, "--dir", join(dir, "missing")]);
    expect(missing).toMatchObject({ status: 1, stdout: "" });
    expect(missing.stderr).toContain("there is no directory");
  }
});
