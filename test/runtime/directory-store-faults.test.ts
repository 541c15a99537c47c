/**
 * The directory store on a medium that fails. Every operation on files that the store does is counted; each
 * case lets the n-th one go wrong, for every n: the process dies there, or the operation fails.
 */
import { join } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { isTidemarkError } from "../../src/core/error.ts";
import type { SnapshotId } from "../../src/core/id.ts";
import { directoryStore } from "../../src/runtime/directory-store.ts";
import type { SnapshotStore } from "../../src/runtime/snapshot-store.ts";
import {
  bytes,
  expectWhole,
  type Snapshot,
  writePieces,
} from "../../src/runtime/snapshot-store-contract.ts";
import { cases } from "../support/soak.ts";
import { age, bury, expectNoLitter, filesIn, newDirectory } from "./directory-store-support.ts";

/** What the medium does. */
const medium = vi.hoisted(() => ({
  /** Operations so far, by name. */
  operations: [] as string[],
  /** What is wrong with the next operation. */
  fault: (_name: string, _number: number): "none" | "fails" | "fails when done" | "dead" => "none",
  code: "EIO",
}));

vi.mock("node:fs/promises", async (importOriginal) => {
  const real = await importOriginal<typeof import("node:fs/promises")>();
  type Work = () => Promise<unknown>;
  /** @param half what has been done when it fails */
  async function operate(name: string, work: Work, half?: Work): Promise<unknown> {
    medium.operations.push(name);
    const fault = medium.fault(name, medium.operations.length);
    if (fault === "none") return await work();
    const result = await (fault === "fails when done" ? work : half)?.();
    if (fault === "fails when done" && name === "open")
      await (result as import("node:fs/promises").FileHandle).close();
    throw Object.assign(new Error(`${medium.code}: made up, ${name}`), { code: medium.code });
  }
  const handle = (file: import("node:fs/promises").FileHandle) => ({
    writeFile: (content: Uint8Array) =>
      operate(
        "writeFile",
        () => file.writeFile(content),
        () => file.writeFile(content.subarray(0, content.length / 2)),
      ),
    // Counted, but not done: it would take most of the time, and only a crash of the machine can tell.
    sync: () => operate("sync", async () => {}),
    stat: () => operate("stat", () => file.stat()),
    read: (...range: [Uint8Array, number, number, number]) =>
      operate("read", () => file.read(...range)),
    close: () =>
      operate(
        "close",
        () => file.close(),
        () => file.close(),
      ),
  });
  const functions = Object.entries(real).map(([name, value]) => [
    name,
    typeof value !== "function"
      ? value
      : (...args: never[]) =>
          operate(name, () => (value as (...args: never[]) => Promise<unknown>)(...args)).then(
            (result) => (name === "open" ? handle(result as never) : result),
          ),
  ]);
  return Object.fromEntries(functions);
});

beforeEach(() => {
  medium.operations.length = 0;
  medium.fault = () => "none";
  medium.code = "EIO";
});

/** What has been asked of a store, and what it said. */
class Story {
  readonly store: SnapshotStore;
  readonly snapshots = new Map<SnapshotId, Snapshot>();
  /** What must be listed, must not be, and may be. */
  readonly present = new Set<SnapshotId>();
  readonly doubtful = new Set<SnapshotId>();
  readonly failures: unknown[] = [];
  lastCount = 0;

  constructor(store: SnapshotStore) {
    this.store = store;
  }

  async commit(count: number, more: readonly Uint8Array[]): Promise<void> {
    const id: SnapshotId = `p1/${count}`;
    const states = { p1: [bytes(70_000), bytes(300), ...more], p2: [bytes(70_001)] };
    const snapshot = await this.#try(() => writePieces(this.store, { id, states, inFlight: 1 }));
    if (!snapshot) return;
    this.snapshots.set(id, snapshot);
    this.doubtful.add(id);
    await this.#try(async () => {
      await this.store.writeManifest(snapshot.manifest);
      this.present.add(id);
      this.doubtful.delete(id);
      this.lastCount = count;
    }, id);
  }

  async abandon(count: number, more: readonly Uint8Array[]): Promise<void> {
    const id: SnapshotId = `p1/${count}`;
    const states = { p1: [bytes(70_000), ...more], p2: [bytes(90_000)] };
    await this.#try(() => writePieces(this.store, { id, states }));
    await this.#try(() => this.store.abandon(id));
  }

  async delete(count: number): Promise<void> {
    const id: SnapshotId = `p1/${count}`;
    const there = this.present.delete(id) || this.doubtful.has(id);
    if (there) this.doubtful.add(id);
    await this.#try(
      async () => {
        await this.store.delete(id);
        this.doubtful.delete(id);
      },
      there ? undefined : id,
    );
    // A delete that surely did nothing.
    const last = this.failures.at(-1);
    if (there && this.doubtful.has(id) && isTidemarkError(last) && last.definite) {
      this.doubtful.delete(id);
      this.present.add(id);
    }
  }

  async tell(): Promise<void> {
    await this.commit(1, [bytes(100)]);
    await this.commit(2, [bytes(80_000)]);
    await this.abandon(3, [bytes(85_000), bytes(200)]);
    await this.delete(2);
    await this.commit(4, [bytes(80_000), bytes(65_000)]);
    await this.delete(1);
    await this.delete(4);
    await this.commit(5, []);
    await this.#try(() => this.store.close());
  }

  /** @param id what is surely not there if the error says that it is definite */
  async #try<T>(work: () => Promise<T>, id?: SnapshotId): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      this.failures.push(error);
      if (id && isTidemarkError(error) && error.definite) this.doubtful.delete(id);
      return undefined;
    }
  }

  /** A store in the same directory has all that must be there, whole, and nothing that must not. */
  async expectKept(store: SnapshotStore): Promise<void> {
    const listed = new Set<SnapshotId>();
    const fail = (error: Error): void => {
      throw error;
    };
    for await (const { id } of store.list(fail)) {
      listed.add(id);
      await expectWhole(store, this.snapshots.get(id) as Snapshot);
    }
    for (const id of this.present) expect(listed).toContain(id);
    for (const id of listed)
      expect([...this.present, ...this.doubtful], `${id} is listed`).toContain(id);
    expect(await store.lastCount("p1")).toBeGreaterThanOrEqual(this.lastCount);
  }
}

const options = { graceMs: 0, lockTimeoutMs: 0 };

/** After a restart nothing is lost and nothing is left over, and everything works. */
async function expectRecovery(directory: string, story: Story): Promise<void> {
  bury(directory);
  age(directory);
  const store = directoryStore(directory, options);
  const next = new Story(store);
  await next.commit(50, []);
  expect(next.failures).toEqual([]);
  for (const [id, snapshot] of next.snapshots) story.snapshots.set(id, snapshot);
  story.doubtful.add("p1/50");
  await story.expectKept(store);
  await expectNoLitter(directory, store);
  for (const { manifest } of story.snapshots.values()) await store.delete(manifest.id);
  expect(await store.lastCount("p1")).toBe(50);
  await store.close();
  expect(filesIn(directory)).toEqual([join("snapshots", "p1-50.used")]);
}

async function operationsOfStory(): Promise<string[]> {
  const story = new Story(directoryStore(newDirectory(onTestFinished), options));
  await story.tell();
  expect(story.failures).toEqual([]);
  return medium.operations.splice(0);
}

/** All numbers of operations, or each `step`-th in a short run, beginning anywhere. */
function* numbers(count: number, step: number): Generator<number> {
  for (let n = 1 + Math.floor(Math.random() * step); n <= count; n += step) yield n;
}

test("the story holds what can go wrong, and a sound medium loses nothing of it", async () => {
  const directory = newDirectory(onTestFinished);
  const story = new Story(directoryStore(directory, options));
  await story.tell();
  expect(story.failures).toEqual([]);
  expect([...story.present]).toEqual(["p1/5"]);
  const kinds = new Set(medium.operations);
  for (const kind of ["open", "writeFile", "sync", "rename", "unlink", "truncate", "utimes"])
    expect(kinds).toContain(kind);
  await expectRecovery(directory, story);
});

test("a piece with a small state costs one file, flushed once, and no look into a directory", async () => {
  const store = directoryStore(newDirectory(onTestFinished), options);
  await writePieces(store, { id: "p1/1", states: { p1: [bytes(300)] } });
  medium.operations.length = 0;
  await writePieces(store, { id: "p1/2", states: { p1: [bytes(301)] } });
  const costly = ["readdir", "mkdir", "writeFile", "sync", "rename", "unlink", "read"];
  const count = (name: string) => medium.operations.filter((one) => one === name).length;
  expect(Object.fromEntries(costly.map((name) => [name, count(name)]))).toEqual({
    readdir: 0,
    mkdir: expect.any(Number),
    writeFile: 1,
    sync: expect.any(Number),
    rename: 1,
    unlink: 0,
    read: 0,
  });
  // The file, its folder, and at first also the folder of folders.
  expect(count("mkdir")).toBeLessThanOrEqual(1);
  expect(count("sync")).toBe(2 + count("mkdir"));
  expect(medium.operations.length).toBeLessThan(20);
});

describe("a process that dies", () => {
  const step = cases("directory-store-crash", 3, 1);

  test("at any operation leaves whole snapshots, and no litter after a restart", async () => {
    const operations = await operationsOfStory();
    for (const n of numbers(operations.length, step)) {
      const directory = newDirectory(onTestFinished);
      const story = new Story(directoryStore(directory, options));
      medium.operations.length = 0;
      medium.fault = (_, number) => (number >= n ? "dead" : "none");
      await story.tell();
      medium.fault = () => "none";
      for (const error of story.failures) expect(error).toMatchObject({ code: "STORE_FAILED" });
      // What a dead process was told by the medium is of no account.
      for (const id of story.snapshots.keys()) if (!story.present.has(id)) story.doubtful.add(id);
      await expectRecovery(directory, story).catch((cause: unknown) => {
        throw new Error(`died at operation ${n}, ${operations[n - 1]}`, { cause });
      });
    }
  });
});

describe("an operation that fails", () => {
  const step = cases("directory-store-fault", 5, 1);

  for (const fault of ["fails", "fails when done"] as const)
    for (const code of ["ENOSPC", "EACCES", "EROFS", "EIO"])
      test(`once, and ${fault}, with ${code}, is STORE_FAILED and the store goes on`, async () => {
        const operations = await operationsOfStory();
        let failures = 0;
        for (const n of numbers(operations.length, step)) {
          const directory = newDirectory(onTestFinished);
          const story = new Story(directoryStore(directory, options));
          medium.operations.length = 0;
          medium.code = code;
          medium.fault = (_, number) => (number === n ? fault : "none");
          await story.tell();
          medium.fault = () => "none";
          try {
            for (const error of story.failures)
              expect(error).toMatchObject({
                code: "STORE_FAILED",
                message: expect.stringContaining(directory),
                cause: { code },
              });
            failures += story.failures.length;
            await story.expectKept(story.store);
            await story.commit(6, [bytes(99)]);
            expect([...story.present]).toContain("p1/6");
            await story.store.close();
            expect(filesIn(join(directory, "tmp"))).toEqual([]);
            expect(filesIn(join(directory, "open"))).toEqual([]);
            await expectRecovery(directory, story);
          } catch (cause) {
            throw new Error(`operation ${n}, ${operations[n - 1]}`, { cause });
          }
        }
        expect(failures).toBeGreaterThan(operations.length / step / 3);
      });

  test("whenever it needs room does not keep snapshots from being deleted", async () => {
    const directory = newDirectory(onTestFinished);
    const story = new Story(directoryStore(directory, options));
    await story.commit(1, [bytes(80_000)]);
    await story.commit(2, []);
    medium.code = "ENOSPC";
    medium.fault = (name) => (["mkdir", "writeFile"].includes(name) ? "fails" : "none");
    await story.commit(3, [bytes(90_000)]);
    expect(story.failures).toMatchObject([{ code: "STORE_FAILED", cause: { code: "ENOSPC" } }]);
    await story.store.abandon("p1/3");
    await story.delete(2);
    await story.delete(1);
    expect(story.failures.length).toBe(1);
    expect(filesIn(join(directory, "parts"))).toEqual([]);
    medium.fault = () => "none";
    await story.commit(4, []);
    await story.expectKept(story.store);
    await story.store.close();
    await expectRecovery(directory, story);
  });
});
