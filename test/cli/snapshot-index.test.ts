/** The list of snapshots that a page looks at again and again. */
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { SnapshotIndex } from "../../src/cli/snapshot-index.ts";
import { type DirectoryStore, directoryStore } from "../../src/runtime/directory-store.ts";
import { bytes, commit } from "../../src/runtime/snapshot-store-contract.ts";
import type { SnapshotsQuery } from "../../src/serve/web/backend.ts";
import { temporaryDirectory } from "./support/command.ts";

const ALL: SnapshotsQuery = { from: 0, limit: 50, kind: "all", text: "" };

function indexed(key?: Uint8Array) {
  const directory = temporaryDirectory();
  const store = directoryStore(directory, { sync: false, ...(key && { key }) });
  onTestFinished(() => store.close());
  return { directory, store, index: new SnapshotIndex(store) };
}

const take = async (store: DirectoryStore, count: number, label?: string): Promise<void> =>
  void (await commit(store, {
    id: `p1/${count}`,
    states: { p1: [bytes(5)] },
    ...(label === undefined ? {} : { label }),
  }));

/** As it is now, however short the time since the last look. */
async function idsIn(index: SnapshotIndex, query: Partial<SnapshotsQuery> = {}) {
  index.changed();
  const { entries, total } = await index.list({ ...ALL, ...query });
  return {
    ids: entries.map(({ id, label }) => (label === undefined ? id : `${id} ${label}`)),
    total,
  };
}

test("has those that come, go, or are given another label", async () => {
  const { store, index } = indexed();
  expect(await idsIn(index)).toEqual({ ids: [], total: 0 });
  for (const count of [1, 2, 3]) await take(store, count, count === 2 ? "good" : undefined);
  expect((await idsIn(index)).ids.toSorted()).toEqual(["p1/1", "p1/2 good", "p1/3"]);
  await store.label("p1/2", "better");
  await store.delete("p1/1");
  expect((await idsIn(index)).ids.toSorted()).toEqual(["p1/2 better", "p1/3"]);
  await index.close();
});

test("is given page by page, and filtered by what people see", async () => {
  const { store, index } = indexed();
  for (let count = 1; count <= 7; count += 1) await take(store, count, `Label ${count}`);
  const pages = [];
  for (const from of [0, 3, 6, 9]) {
    const { ids, total } = await idsIn(index, { from, limit: 3 });
    expect(total).toBe(7);
    pages.push(...ids);
  }
  expect(pages.toSorted()).toEqual([1, 2, 3, 4, 5, 6, 7].map((one) => `p1/${one} Label ${one}`));
  expect(await idsIn(index, { text: "label 4" })).toEqual({ ids: ["p1/4 Label 4"], total: 1 });
  expect(await idsIn(index, { text: "nothing" })).toEqual({ ids: [], total: 0 });
});

test("has attempts that left none, with the reason, and what is damaged", async () => {
  const { directory, store, index } = indexed();
  await take(store, 1);
  await take(store, 2);
  await store.note({ note: "refused", by: "p1", atMs: Date.now(), reason: "p2 cannot be reached" });
  const [file = ""] = readdirSync(join(directory, "snapshots")).filter(
    (one) => one === "p1-1.json",
  );
  writeFileSync(join(directory, "snapshots", file), "{}");
  const { entries } = await index.list({ ...ALL, kind: "failed" });
  expect(entries.map(({ outcome, reason }) => [outcome, reason]).toSorted()).toEqual([
    ["damaged", expect.stringContaining("p1-1.json")],
    ["refused", "p2 cannot be reached"],
  ]);
  expect((await idsIn(index, { kind: "snapshots" })).ids).toEqual(["p1/2"]);
  await store.beginEpoch({ epoch: 2, snapshot: "p1/2", atMs: 1, by: "a test" });
  index.changed();
  expect((await index.list(ALL)).inUse).toBe("p1/2");
});

test("is not shown to who has not the key", async () => {
  const key = new Uint8Array(32).fill(7);
  const { directory, store } = indexed(key);
  await take(store, 1);
  for (const [other, code] of [
    [undefined, "KEY_REQUIRED"],
    [new Uint8Array(32), "WRONG_KEY"],
  ] as const) {
    const locked = directoryStore(directory, other ? { key: other } : {});
    await expect(new SnapshotIndex(locked).list(ALL)).rejects.toMatchObject({ code });
    await locked.close();
  }
});
