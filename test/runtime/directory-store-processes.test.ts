/** The directory store under several OS processes, some of which are killed. */
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { expect, onTestFinished, test } from "vitest";
import type { SnapshotId } from "../../src/core/id.ts";
import { directoryStore } from "../../src/runtime/directory-store.ts";
import { commit } from "../../src/runtime/snapshot-store-contract.ts";
import { cases } from "../support/soak.ts";
import { age, expectNoLitter, filesIn, newDirectory } from "./directory-store-support.ts";
import type { Task, Told } from "./store-child.ts";
import { begunBy, readAll, StoreChild, toldOf } from "./store-children.ts";

/** @param graceMs for how long pieces without a manifest are spared */
const start = (directory: string, task: Task, name: string, graceMs: number): StoreChild =>
  new StoreChild({ directory, options: { sync: false, graceMs } }, task, name);

test("processes that write, delete and sweep at once never lose a part of a snapshot", async () => {
  const directory = newDirectory(onTestFinished);
  const graceMs = 250;
  const children = [
    start(directory, "write", "w-1", graceMs),
    start(directory, "write", "w-1-2", graceMs),
    start(directory, "delete", "d", graceMs),
    start(directory, "sweep", "s", graceMs),
    start(directory, "begin", "b4", graceMs),
    start(directory, "begin", "b5", graceMs),
  ];
  const seen: number[] = [];
  const reader = directoryStore(directory);
  const untilMs = performance.now() + cases("directory-store-processes", 2_000, 120_000);
  const writers = children.slice(0, 2);
  while (performance.now() < untilMs || writers.some(({ told }) => told.length < 20)) {
    await readAll(reader);
    seen.push((await reader.epoch())?.epoch ?? 0);
    for (const { standing } of children) expect(standing).toEqual([null, ""]);
  }
  for (const child of children) await child.end();
  for (const { standing } of children) expect(standing).toEqual([0, ""]);

  const ids = (what: Told["what"]) => toldOf(children, what);
  const deleting = new Set(ids("deleting"));
  const listed = await readAll(reader);
  for (const id of ids("deleted")) expect(listed).not.toContain(id);
  for (const id of ids("committed")) if (!deleting.has(id)) expect(listed).toContain(id);
  expect(ids("committed").length).toBeGreaterThan(ids("refused").length);
  for (const what of ["committed", "deleted", "swept"] as const)
    expect([what, ids(what).length]).not.toEqual([what, 0]);
  expect(new Set(ids("deleted")).size).toBe(ids("deleted").length);

  // Each epoch was begun by one of them, in order; and the newest one's snapshot is there.
  const begun = begunBy(children);
  expect(begun.map(({ epoch }) => epoch)).toEqual(begun.map((_, i) => 1 + i));
  expect(new Set(begun.map(({ child }) => child)).size).toBe(2);
  const newest = begun.at(-1);
  expect(await reader.epoch()).toMatchObject({
    epoch: newest?.epoch,
    snapshot: newest?.id,
    by: `b${newest?.child}`,
  });
  expect(listed).toContain(newest?.id);
  expect(seen).toEqual(seen.toSorted((a, b) => a - b));
  expect(new Set(seen).size).toBeGreaterThan(2);

  age(directory);
  const last = directoryStore(directory, { sync: false });
  await commit(last, { id: "p1/1" });
  await expectNoLitter(directory, last);
  await last.close();
}, 200_000);

test("a process that is killed leaves whole snapshots, and no litter after a restart", async () => {
  const directory = newDirectory(onTestFinished);
  const kept = new Set<SnapshotId>();
  const doubtful = new Set<SnapshotId>();
  for (let round = 1; round <= cases("directory-store-kill", 6, 300); round++) {
    const writer = start(directory, "write", "w", 0);
    await writer.toldMany(1 + Math.floor(Math.random() * 8));
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 15));
    await writer.kill();
    expect(writer.errors).toBe("");
    const deleted: SnapshotId[] = [];
    for (const { what, id } of writer.told) {
      if (what === "committed") kept.add(id);
      if (what === "deleting") {
        kept.delete(id);
        doubtful.add(id);
      }
      if (what === "deleted") deleted.push(id);
    }
    age(directory);
    const store = directoryStore(directory, { sync: false });
    const last = Math.max(0, await store.lastCount("w"));
    const own: SnapshotId = `p1/${round}`;
    await commit(store, { id: own });
    const listed = await readAll(store);
    await expectNoLitter(directory, store);
    for (const id of kept) expect(listed).toContain(id);
    for (const id of deleted) expect(listed).not.toContain(id);
    for (const id of kept) expect(last).toBeGreaterThanOrEqual(Number(id.split("/")[1]));
    kept.add(own);
    await store.close();
    expect(filesIn(join(directory, "open"))).toEqual([]);
  }
  expect(kept.size).toBeGreaterThan(6);
}, 600_000);

// Elsewhere a thread has no number by which others could know that it has ended.
test.runIf(process.platform === "linux")(
  "a thread that ended inside a commit is in nobody's way",
  async () => {
    const directory = newDirectory(onTestFinished);
    const first = directoryStore(directory);
    await commit(first, { id: "p1/1" });
    const mine = filesIn(join(directory, "open"));
    const worker = new Worker(new URL("./directory-store-thread.ts", import.meta.url), {
      workerData: directory,
      execArgv: ["--conditions=tidemark-source"],
    });
    onTestFinished(async () => {
      await worker.terminate();
    });
    await once(worker, "message");
    const theirs = filesIn(join(directory, "open")).filter((name) => !mine.includes(name));
    expect(theirs).toHaveLength(1);
    const lock = join(directory, "lock", String(theirs[0]));
    const impatient = directoryStore(directory, { lockTimeoutMs: 50 });
    writeFileSync(lock, "");
    await expect(commit(impatient, { id: "p1/2" })).rejects.toThrow("was in the way");
    await worker.terminate();
    await commit(impatient, { id: "p1/3" });
    expect(filesIn(join(directory, "lock"))).toEqual([]);
    await Promise.all([first.close(), impatient.close()]);
  },
);

test("a process that is killed while it begins epochs leaves each one begun, or not", async () => {
  const directory = newDirectory(onTestFinished);
  const store = directoryStore(directory, { sync: false });
  for (const id of ["p1/1", "p1/2"] as const) await commit(store, { id });
  let before = 0;
  for (let round = 1; round <= cases("directory-store-epoch-kill", 6, 300); round++) {
    const children = [0, 1].map((i) => start(directory, "begin", `b${i}`, 0));
    await Promise.all(children.map((child) => child.toldMany(2)));
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 15));
    for (const child of children) {
      await child.kill();
      expect(child.errors).toBe("");
    }
    const told = children.flatMap((child) => child.told.map(({ epoch }) => epoch ?? 0));
    expect(new Set(told).size).toBe(told.length);
    expect(Math.min(...told)).toBeGreaterThan(before);
    const newest = await store.epoch();
    before = newest?.epoch ?? 0;
    expect(before).toBeGreaterThanOrEqual(Math.max(...told));
    expect(await readAll(store)).toContain(newest?.snapshot);
    await store.beginEpoch({ epoch: before + 1, snapshot: "p1/1", atMs: 0, by: "after" });
    before += 1;
  }
  await store.close();
}, 600_000);
