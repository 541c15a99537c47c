import { expect, test } from "vitest";
import { Retention } from "../../src/cli/retention.ts";
import { TidemarkError } from "../../src/core/error.ts";
import { memoryStore } from "../../src/runtime/memory-store.ts";
import { MemoryNetwork } from "../../src/runtime/memory-transport.ts";
import { type RunningProcess, startProcess } from "../../src/runtime/running-process.ts";
import type { SnapshotStore } from "../../src/runtime/snapshot-store.ts";

async function start(store: SnapshotStore): Promise<RunningProcess> {
  return startProcess({
    id: "p1",
    processes: ["p1"],
    application: { capture: () => 1, restore() {} },
    transport: new MemoryNetwork().transport(),
    store,
  });
}

async function counts(store: SnapshotStore): Promise<number[]> {
  const ids: string[] = [];
  for await (const { id } of store.list()) ids.push(id);
  return ids.map((id) => Number(id.split("/")[1])).sort((a, b) => a - b);
}

const fail = (text: string): never => {
  throw new Error(text);
};

test("only the newest snapshots are kept, those that were there before included", async () => {
  const store = memoryStore();
  await using process = await start(store);
  for (let i = 0; i < 4; i += 1) await process.snapshot();
  const retention = new Retention(store, 5, fail);
  for (let i = 0; i < 3; i += 1) retention.add((await process.snapshot()).id);
  await retention.close();
  expect(await counts(store)).toEqual([3, 4, 5, 6, 7]);
});

test("a snapshot with a label is kept, and not counted", async () => {
  const store = memoryStore();
  await using process = await start(store);
  await process.snapshot({ label: "for ever" });
  const retention = new Retention(store, 2, fail);
  for (let i = 0; i < 5; i += 1) retention.add((await process.snapshot()).id);
  await process.snapshot({ label: "too" });
  await retention.close();
  expect(await counts(store)).toEqual([1, 5, 6, 7]);
});

test("a snapshot that is given a label later is kept from then on", async () => {
  const store = memoryStore();
  await using process = await start(store);
  const retention = new Retention(store, 2, fail);
  for (let i = 0; i < 2; i += 1) retention.add((await process.snapshot()).id);
  await store.label("p1/1", "keep it");
  for (let i = 0; i < 3; i += 1) retention.add((await process.snapshot()).id);
  await retention.close();
  expect(await counts(store)).toEqual([1, 4, 5]);
});

test("they go in batches", async () => {
  const store = memoryStore();
  await using process = await start(store);
  const retention = new Retention(store, 20, fail);
  const numbers: number[] = [];
  for (let i = 0; i < 30; i += 1) {
    retention.add((await process.snapshot()).id);
    await new Promise((settle) => setImmediate(settle));
    numbers.push((await counts(store)).length);
  }
  expect(Math.max(...numbers)).toBe(21);
  expect(numbers.filter((count, i) => count < (numbers[i - 1] ?? 0))).toHaveLength(5);
  await retention.close();
  expect(await counts(store)).toHaveLength(20);
});

test("with 0 all are kept, and nothing is asked of the store", async () => {
  const store = memoryStore();
  await using process = await start(store);
  const retention = new Retention(
    { ...store, list: () => fail("listed"), delete: () => fail("deleted") },
    0,
    fail,
  );
  for (let i = 0; i < 3; i += 1) retention.add((await process.snapshot()).id);
  await retention.close();
  expect(await counts(store)).toEqual([1, 2, 3]);
});

test("what the present epoch began from is kept beside the newest, without a word, until it is free", async () => {
  const store = memoryStore();
  await using process = await start(store);
  const retention = new Retention(store, 2, fail);
  const add = async () => retention.add((await process.snapshot()).id);
  await add();
  await store.beginEpoch({ epoch: 2, snapshot: "p1/1", atMs: 0, by: "test" });
  for (let i = 0; i < 4; i += 1) await add();
  await retention.close();
  expect(await counts(store)).toEqual([1, 4, 5]);
  await store.beginEpoch({ epoch: 3, snapshot: "p1/5", atMs: 0, by: "test" });
  await add();
  await retention.close();
  expect(await counts(store)).toEqual([5, 6]);
});

test("what cannot be listed or removed is told, and the rest goes on", async () => {
  const store = memoryStore();
  await using process = await start(store);
  const told: string[] = [];
  const broken: SnapshotStore = Object.create(store, {
    list: {
      value: () => fail("the disk is on fire"),
    },
    delete: {
      value: async (id: `${string}/${number}`) => {
        if (id === "p1/1") throw new TidemarkError("STORE_FAILED", "cannot remove it");
        return store.delete(id);
      },
    },
  });
  const retention = new Retention(broken, 1, (text) => told.push(text));
  for (let i = 0; i < 3; i += 1) retention.add((await process.snapshot()).id);
  await retention.close();
  expect(told).toEqual([
    "old snapshots cannot be listed: the disk is on fire",
    "p1/1 cannot be removed: cannot remove it",
  ]);
  expect(await counts(store)).toEqual([1, 3]);
});
