/**
 * The directory store on a medium that fails. Every operation on files that the store does is counted; each
 * case lets the n-th one go wrong, for every n: the process dies there, the machine loses power there,
 * or the operation fails.
 */
import { mkdirSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { isTidemarkError } from "../../src/core/error.ts";
import type { SnapshotId } from "../../src/core/id.ts";
import { Random } from "../../src/core/random.ts";
import { type DirectoryStoreOptions, directoryStore } from "../../src/runtime/directory-store.ts";
import type { EpochRecord, SnapshotStore } from "../../src/runtime/snapshot-store.ts";
import {
  bytes,
  commit,
  epochRecord,
  expectWhole,
  type Snapshot,
  writePieces,
} from "../../src/runtime/snapshot-store-contract.ts";
import { labelled } from "../../src/snapshot/manifest-check.ts";
import { cases } from "../support/soak.ts";
import {
  age,
  bury,
  expectNoLitter,
  filesIn,
  newDirectory,
  startOfThisProcess,
} from "./directory-store-support.ts";

type Fault = "none" | "fails" | "fails when done";

/** What the medium does. */
const medium = vi.hoisted(() => ({
  /** Operations so far, by name. */
  operations: [] as string[],
  /** What is wrong with the next operation. */
  fault: (_name: string, _number: number): Fault | Promise<Fault> => "none",
  code: "EIO",
  /** Told of each operation that is done. */
  done: (_name: string, _path: string, _more?: unknown): void => {},
}));

vi.mock("node:fs/promises", async (importOriginal) => {
  const real = await importOriginal<typeof import("node:fs/promises")>();
  type Work = () => Promise<unknown>;
  /** @param half what has been done when it fails */
  async function operate(
    name: string,
    [path, more]: readonly unknown[],
    work: Work,
    half?: Work,
  ): Promise<unknown> {
    medium.operations.push(name);
    const fault = await medium.fault(name, medium.operations.length);
    const result = await (fault === "fails" ? half : work)?.();
    if (fault !== "fails") medium.done(name, path as string, more);
    if (fault === "none") return result;
    if (fault === "fails when done" && name === "open")
      await (result as import("node:fs/promises").FileHandle).close();
    throw Object.assign(new Error(`${medium.code}: made up, ${name}`), { code: medium.code });
  }
  const handle = (file: import("node:fs/promises").FileHandle, path: unknown) => {
    const close = () => file.close();
    return {
      writev: (chunks: readonly Uint8Array[]) => {
        const content = Buffer.concat(chunks);
        return operate(
          "writev",
          [path, content],
          () => file.writeFile(content),
          () => file.writeFile(content.subarray(0, content.length / 2)),
        );
      },
      // Counted, but not done: it takes time, and a loss of power is played on the model below.
      sync: () => operate("sync", [path], async () => {}),
      stat: () => operate("stat", [path], () => file.stat()),
      read: (...range: [Uint8Array, number, number, number]) =>
        operate("read", [path], () => file.read(...range)),
      close: () => operate("close", [path], close, close),
    };
  };
  const functions = Object.entries(real).map(([name, value]) => {
    if (typeof value !== "function") return [name, value];
    const work = value as (...args: unknown[]) => Promise<unknown>;
    return [
      name,
      async (...args: unknown[]) => {
        const result = await operate(name, args, () => work(...args));
        return name === "open" ? handle(result as never, args[0]) : result;
      },
    ];
  });
  return Object.fromEntries(functions);
});

beforeEach(() => {
  medium.operations.length = 0;
  medium.fault = () => "none";
  medium.code = "EIO";
  medium.done = () => {};
});

/** A file or folder, as programs see it and as it is on the disk. */
interface Entry {
  readonly name: string;
  seen: Uint8Array | Map<string, Entry>;
  kept: Uint8Array | Map<string, Entry>;
}

/** A disk that keeps nothing for sure but what was flushed: of a file its bytes, of a folder its names. */
class Disk {
  readonly #directory: string;
  readonly #root: Entry = { name: "", seen: new Map(), kept: new Map() };

  /** @param directory an empty one, which the store is going to use */
  constructor(directory: string) {
    this.#directory = directory;
    medium.done = (name, path, more) => this.#do(name, path, more);
  }

  #do(name: string, path: string, more: unknown): void {
    const entry = this.#find(path);
    const own = path.split(sep).at(-1) as string;
    if (name === "mkdir" && !entry)
      this.#folder(path).set(own, { name: own, seen: new Map(), kept: new Map() });
    if (name === "open" && !entry && typeof more === "string" && /[wa]/.test(more))
      this.#folder(path).set(own, { name: own, seen: new Uint8Array(), kept: new Uint8Array() });
    if (!entry) return;
    if (name === "writev") entry.seen = new Uint8Array(more as Uint8Array);
    if (name === "sync") entry.kept = entry.seen instanceof Map ? new Map(entry.seen) : entry.seen;
    if (name === "rename" || name === "unlink" || name === "rm") this.#folder(path).delete(own);
    if (name === "rename") {
      const to = (more as string).split(sep).at(-1) as string;
      this.#folder(more as string).set(to, entry);
    }
  }

  #find(path: string): Entry | undefined {
    let entry: Entry | undefined = this.#root;
    for (const name of relative(this.#directory, path).split(sep).filter(Boolean))
      entry = entry?.seen instanceof Map ? entry.seen.get(name) : undefined;
    return entry;
  }

  #folder(path: string): Map<string, Entry> {
    return this.#find(join(path, ".."))?.seen as Map<string, Entry>;
  }

  /** Writes what is there after a loss of power; of what was not flushed, `survives` decides. */
  write(directory: string, survives: () => boolean): void {
    const write = (entry: Entry, path: string): void => {
      const content = survives() ? entry.seen : entry.kept;
      if (content instanceof Map) {
        mkdirSync(path, { recursive: true });
        for (const [name, inner] of content) write(inner, join(path, name));
      } else writeFileSync(path, content);
    };
    write(this.#root, directory);
  }
}

/** What has been asked of a store, and what it said. */
class Story {
  readonly store: SnapshotStore;
  readonly snapshots = new Map<SnapshotId, Snapshot>();
  /** What must be listed, must not be, and may be. */
  readonly present = new Set<SnapshotId>();
  readonly doubtful = new Set<SnapshotId>();
  /** What a snapshot may be called. */
  readonly labels = new Map<SnapshotId, string>();
  /** Those that surely are. */
  readonly labelled = new Set<SnapshotId>();
  readonly failures: unknown[] = [];
  lastCount = 0;

  constructor(store: SnapshotStore) {
    this.store = store;
  }

  /** The label may be the old one or the new one, if that failed. */
  async label(count: number, label: string): Promise<void> {
    const id: SnapshotId = `p1/${count}`;
    const snapshot = this.snapshots.get(id);
    if (!snapshot) return;
    this.labels.set(id, label);
    if (await this.#try(() => this.store.label(id, label))) this.labelled.add(id);
  }

  async commit(count: number, more: readonly Uint8Array[]): Promise<void> {
    const id: SnapshotId = `p1/${count}`;
    const states = { p1: [bytes(70_000), bytes(300), ...more] };
    const snapshot = await this.#try(() => writePieces(this.store, { id, states }));
    if (!snapshot) return;
    this.snapshots.set(id, snapshot);
    this.doubtful.add(id);
    await this.#try(async () => {
      await this.store.writeManifest(snapshot.manifest);
      this.present.add(id);
      this.doubtful.delete(id);
      this.lastCount = Math.max(count, this.lastCount);
    }, id);
  }

  async abandon(count: number, more: readonly Uint8Array[]): Promise<void> {
    const id: SnapshotId = `p1/${count}`;
    const states = { p1: [bytes(70_000), ...more] };
    const written = await this.#try(() => writePieces(this.store, { id, states }));
    await this.#try(async () => {
      await this.store.abandon(id);
      if (written) this.lastCount = Math.max(count, this.lastCount);
    });
  }

  async delete(count: number): Promise<void> {
    const id: SnapshotId = `p1/${count}`;
    const present = this.present.delete(id);
    if (present) this.doubtful.add(id);
    const failuresBefore = this.failures.length;
    await this.#try(async () => {
      await this.store.delete(id);
      this.doubtful.delete(id);
    });
    const failure = this.failures[failuresBefore];
    if (present && isTidemarkError(failure) && failure.definite) {
      this.doubtful.delete(id);
      this.present.add(id);
    }
  }

  async tell(): Promise<void> {
    await this.commit(1, [bytes(100)]);
    await this.commit(2, [bytes(80_000)]);
    await this.abandon(3, [bytes(85_000), bytes(200)]);
    await this.delete(2);
    await this.label(1, "the first");
    await this.commit(4, [bytes(80_000), bytes(65_000)]);
    await this.delete(1);
    await this.delete(4);
    await this.commit(5, []);
    await this.label(5, "the fifth");
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
      const snapshot = this.snapshots.get(id) as Snapshot;
      const stored = await store.get(id);
      const label = stored?.manifest.label;
      if (label !== undefined || this.labelled.has(id)) expect(label).toBe(this.labels.get(id));
      await expectWhole(store, { ...snapshot, manifest: labelled(snapshot.manifest, label) });
    }
    for (const id of this.present) expect(listed).toContain(id);
    for (const id of listed)
      expect([...this.present, ...this.doubtful], `${id} is listed`).toContain(id);
    expect(await store.lastCount("p1")).toBeGreaterThanOrEqual(this.lastCount);
  }
}

const options = { graceMs: 0, lockTimeoutMs: 0 };
/** The same for a store that compresses and encrypts: every second operation goes wrong with one, the others with the other. */
const coded = { ...options, compressLevel: 1, key: new Uint8Array(32).fill(7) };
const optionsOf = (n: number) => (Math.floor(n / 8) % 2 === 0 ? options : coded);

/** After a restart nothing is lost and nothing is left over, and everything works. */
async function expectRecovery(
  directory: string,
  story: Story,
  storeOptions: DirectoryStoreOptions = options,
): Promise<void> {
  bury(directory);
  age(directory);
  const store = directoryStore(directory, storeOptions);
  expect(await store.lastCount("p1")).toBeGreaterThanOrEqual(story.lastCount);
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

test("the story holds what can go wrong, and a sound medium loses nothing of it", async () => {
  const directory = newDirectory(onTestFinished);
  const story = new Story(directoryStore(directory, options));
  await story.tell();
  expect(story.failures).toEqual([]);
  expect([...story.present]).toEqual(["p1/5"]);
  const kinds = new Set(medium.operations);
  for (const kind of ["open", "writev", "sync", "rename", "unlink", "utimes", "lstat"])
    expect(kinds).toContain(kind);
  await expectRecovery(directory, story);
});

test("a piece with a small state costs one file, flushed once, and no look into a directory", async () => {
  const store = directoryStore(newDirectory(onTestFinished), options);
  await writePieces(store, { id: "p1/1", states: { p1: [bytes(300)] } });
  medium.operations.length = 0;
  await writePieces(store, { id: "p1/2", states: { p1: [bytes(301)] } });
  const costly = ["readdir", "mkdir", "writev", "sync", "rename", "unlink", "read"];
  const count = (name: string) => medium.operations.filter((one) => one === name).length;
  expect(Object.fromEntries(costly.map((name) => [name, count(name)]))).toEqual({
    readdir: 0,
    mkdir: expect.any(Number),
    writev: 1,
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

describe("a process that dies at any operation leaves whole snapshots, and no litter after a restart", () => {
  const eighths = 8;
  for (let first = 1; first <= eighths; first++)
    test(`every ${eighths}th operation from number ${first}`, async () => {
      const operations = await operationsOfStory();
      for (let n = first; n <= operations.length; n += eighths) {
        const directory = newDirectory(onTestFinished);
        const story = new Story(directoryStore(directory, optionsOf(n)));
        medium.operations.length = 0;
        medium.fault = (_, number) => (number >= n ? "fails" : "none");
        await story.tell();
        medium.fault = () => "none";
        // What a dead process would have been told is of no account.
        for (const id of story.snapshots.keys()) if (!story.present.has(id)) story.doubtful.add(id);
        await expectRecovery(directory, story, optionsOf(n)).catch((cause: unknown) => {
          throw new Error(`died at operation ${n}, ${operations[n - 1]}`, { cause });
        });
      }
    });
});

describe("somebody else who comes in between", () => {
  test("two looks at the lock is seen at the second", async () => {
    const directory = newDirectory(onTestFinished);
    const story = new Story(directoryStore(directory, options));
    await story.commit(1, []);
    const other = `${process.pid}.${startOfThisProcess()}.0123abcd`;
    const lock = join(directory, "lock");
    const names: string[][] = [];
    medium.done = (name, path) => {
      if (name === "readdir" && path === lock && names.length === 0)
        writeFileSync(join(lock, other), "");
      if (name === "readdir" && path === lock) names.push(readdirSync(lock));
    };
    await story.delete(1);
    expect(story.failures).toMatchObject([
      { code: "STORE_FAILED", message: expect.stringContaining(other), definite: true },
    ]);
    // It saw nobody, put its own name there, saw the other, and took its own away.
    expect(names.map(({ length }) => length)).toEqual([1, 2]);
    expect(readdirSync(lock)).toEqual([other]);
    rmSync(join(lock, other));
    await story.delete(1);
    expect([...story.present, ...story.doubtful]).toEqual([]);
    await story.store.close();
  });

  test("the look at a part and touching it makes it be written again", async () => {
    const directory = newDirectory(onTestFinished);
    const story = new Story(directoryStore(directory, options));
    await story.commit(1, []);
    const [gone] = filesIn(join(directory, "parts"));
    let looks = 0;
    medium.done = (name, path) => {
      if (name === "lstat" && path.endsWith(gone as string) && looks++ === 0) rmSync(path);
    };
    await story.commit(2, []);
    expect(looks).toBeGreaterThan(1);
    expect(story.failures).toEqual([]);
    await story.expectKept(story.store);
    await story.store.close();
  });

  test("the look at a part and its removal keeps it by touching it", async () => {
    const directory = newDirectory(onTestFinished);
    const story = new Story(directoryStore(directory, { ...options, graceMs: 60_000 }));
    await story.commit(1, [bytes(80_000)]);
    age(directory);
    const parts = filesIn(join(directory, "parts"));
    const touched = parts[1] as string;
    medium.done = (name, path) => {
      if (name === "lstat" && path.endsWith(touched)) utimesSync(path, new Date(), new Date());
    };
    await story.delete(1);
    expect(story.failures).toEqual([]);
    expect(parts.length).toBe(3);
    expect(filesIn(join(directory, "parts"))).toEqual([touched]);
    await story.store.close();
    expect(filesIn(join(directory, "tmp"))).toEqual([]);
  });
});

test("what a piece writes after its snapshot is abandoned is removed as well", async () => {
  const directory = newDirectory(onTestFinished);
  const store = directoryStore(directory, options);
  let writes = 0;
  medium.fault = async (name): Promise<Fault> => {
    if (name === "writev" && ++writes === 2) await store.abandon("p1/1");
    return "none";
  };
  const states = { p1: [bytes(70_000), bytes(80_000), bytes(90_000)] };
  await expect(writePieces(store, { id: "p1/1", states })).rejects.toMatchObject({
    code: "SNAPSHOT_ABANDONED",
  });
  expect(writes).toBe(2);
  expect(filesIn(directory).filter((file) => !file.startsWith("open"))).toEqual([
    join("snapshots", "p1-1.used"),
  ]);
  await store.close();
});

describe("a machine that loses power", () => {
  /** What is left on the disk when the power goes at that operation. */
  async function leave(n: number, sync: boolean, survives: () => boolean) {
    const directory = newDirectory(onTestFinished);
    const disk = new Disk(directory);
    const story = new Story(directoryStore(directory, { ...options, sync }));
    medium.operations.length = 0;
    medium.fault = (_, number) => (number >= n ? "fails" : "none");
    await story.tell();
    medium.fault = () => "none";
    medium.done = () => {};
    for (const id of story.snapshots.keys()) if (!story.present.has(id)) story.doubtful.add(id);
    const left = newDirectory(onTestFinished);
    disk.write(left, survives);
    return { left, story };
  }

  const outcomes = { nothing: () => false, something: () => Math.random() < 0.5 };
  for (const [what, survives] of Object.entries(outcomes))
    test(`at any operation keeps every snapshot that was reported, when ${what} else survives`, async () => {
      const operations = await operationsOfStory();
      const step = cases("directory-store-power", 13, 1);
      for (let n = 1 + Math.floor(Math.random() * step); n <= operations.length + 1; n += step) {
        const { left, story } = await leave(n, true, survives);
        await expectRecovery(left, story).catch((cause: unknown) => {
          throw new Error(`power lost at operation ${n}, ${operations[n - 1]}`, { cause });
        });
      }
    });

  test("may lose them when nothing is flushed", async () => {
    const { left, story } = await leave(Number.POSITIVE_INFINITY, false, () => false);
    expect([...story.present]).toEqual(["p1/5"]);
    await expect(expectRecovery(left, story)).rejects.toThrow("0 to be greater than or equal to 5");
  });
});

describe("an operation that fails", () => {
  const codes = ["ENOSPC", "EACCES", "EROFS", "EIO"];
  const step = cases("directory-store-fault", 17, 1);

  for (const fault of ["fails", "fails when done"] as const)
    test(`once, and ${fault}, is STORE_FAILED, and the store goes on`, async () => {
      const operations = await operationsOfStory();
      let failures = 0;
      for (let n = 1 + Math.floor(Math.random() * step); n <= operations.length; n += step) {
        const directory = newDirectory(onTestFinished);
        const story = new Story(directoryStore(directory, optionsOf(n)));
        medium.operations.length = 0;
        medium.code = codes[n % codes.length] as string;
        medium.fault = (_, number) => (number === n ? fault : "none");
        await story.tell();
        medium.fault = () => "none";
        try {
          for (const error of story.failures)
            expect(error).toMatchObject({
              code: "STORE_FAILED",
              message: expect.stringContaining(directory),
              cause: { code: medium.code },
            });
          failures += story.failures.length;
          await story.expectKept(story.store);
          await story.commit(6, [bytes(99)]);
          expect([...story.present]).toContain("p1/6");
          await story.store.close();
          expect(filesIn(join(directory, "tmp"))).toEqual([]);
          expect(filesIn(join(directory, "open"))).toEqual([]);
          await expectRecovery(directory, story, optionsOf(n));
        } catch (cause) {
          throw new Error(`operation ${n}, ${operations[n - 1]}`, { cause });
        }
      }
      expect(failures).toBeGreaterThan(operations.length / step / 3);
    });

  test("for want of room, wherever a snapshot of thousands of slices meets the end of it, leaves nothing of that", async () => {
    const states = { p1: Array.from({ length: 2_000 }, (_, i) => bytes(100 + i)) };
    const needsRoom = (name: string): boolean => name === "mkdir" || name === "writev";
    const write = async (store: SnapshotStore): Promise<void> => {
      const { manifest } = await writePieces(store, { id: "p1/1", states });
      await store.writeManifest(manifest);
    };
    medium.code = "ENOSPC";
    /** False if there was enough. */
    const failsAt = async (nth: number): Promise<boolean> => {
      const directory = newDirectory(onTestFinished);
      const store = directoryStore(directory, options);
      let times = 0;
      medium.fault = (name) => (needsRoom(name) && ++times >= nth ? "fails" : "none");
      const error = await write(store).catch((thrown: unknown) => thrown);
      medium.fault = () => "none";
      if (error === undefined) return false;
      expect(error).toMatchObject({ code: "STORE_FAILED", cause: { code: "ENOSPC" } });
      expect(await store.get("p1/1")).toBeUndefined();
      await store.abandon("p1/1");
      const next = await commit(store, { id: "p1/2", states: { p1: states.p1.slice(0, 1_000) } });
      await expectWhole(store, next);
      await expectNoLitter(directory, store);
      await store.close();
      return true;
    };
    let nth = 1;
    while (await failsAt(nth)) nth += 1;
    // The folders of the store, two packs or more with their folders, and the manifest.
    expect(nth).toBeGreaterThan(7 + 2 * 2 + 1);
  });

  test("whenever it needs room does not keep snapshots from being deleted", async () => {
    const directory = newDirectory(onTestFinished);
    const story = new Story(directoryStore(directory, options));
    await story.commit(1, [bytes(80_000)]);
    await story.commit(2, []);
    medium.code = "ENOSPC";
    medium.fault = (name) => (["mkdir", "writev"].includes(name) ? "fails" : "none");
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

/** The same with epochs: which have begun, must not have, and may have. */
class EpochStory extends Story {
  readonly records = new Map<number, EpochRecord>();
  readonly doubtfulEpochs = new Set<number>();
  begun = 0;

  async begin(epoch: number, count: number): Promise<void> {
    const record = epochRecord(epoch, `p1/${count}`);
    if (!this.present.has(record.snapshot)) return;
    this.records.set(epoch, record);
    this.doubtfulEpochs.add(epoch);
    try {
      await this.store.beginEpoch(record);
      this.begun = epoch;
      this.doubtfulEpochs.delete(epoch);
    } catch (error) {
      this.failures.push(error);
      if (isTidemarkError(error) && error.definite) this.doubtfulEpochs.delete(epoch);
    }
  }

  override async tell(): Promise<void> {
    await this.commit(1, []);
    await this.commit(2, [bytes(80_000)]);
    await this.begin(2, 1);
    await this.begin(3, 2);
    if (this.begun === 3) await this.delete(1);
    await this.commit(3, []);
    await this.begin(7, 3);
    if (this.begun === 7) await this.delete(2);
    try {
      await this.store.close();
    } catch (error) {
      this.failures.push(error);
    }
  }

  /** Nothing that it was told, but for what succeeded, is of account. */
  die(): void {
    for (const id of this.snapshots.keys()) if (!this.present.has(id)) this.doubtful.add(id);
    for (const epoch of this.records.keys()) if (epoch > this.begun) this.doubtfulEpochs.add(epoch);
  }

  override async expectKept(store: SnapshotStore): Promise<void> {
    await super.expectKept(store);
    const newest = await store.epoch();
    expect([this.begun, ...this.doubtfulEpochs]).toContain(newest?.epoch ?? 0);
    expect(newest?.epoch ?? 0).toBeGreaterThanOrEqual(this.begun);
    expect(newest).toEqual(newest && this.records.get(newest.epoch));
    if (newest) await expectWhole(store, this.snapshots.get(newest.snapshot) as Snapshot);
  }
}

describe("an epoch that begins", () => {
  async function expectRecoveredEpochs(directory: string, story: EpochStory): Promise<void> {
    bury(directory);
    age(directory);
    const store = directoryStore(directory, options);
    await story.expectKept(store);
    const next = await commit(store, { id: "p1/50" });
    await store.beginEpoch(epochRecord(50, "p1/50"));
    expect(await store.epoch()).toEqual(epochRecord(50, "p1/50"));
    await expectNoLitter(directory, store);
    for (const id of story.snapshots.keys()) await store.delete(id);
    await expect(store.delete("p1/50")).rejects.toMatchObject({ code: "IN_USE" });
    await expectWhole(store, next);
    await expectNoLitter(directory, store);
    await store.close();
    expect(filesIn(join(directory, "snapshots"))).toEqual(["p1-50.json"]);
  }

  async function operationsOfEpochs(): Promise<string[]> {
    const directory = newDirectory(onTestFinished);
    const story = new EpochStory(directoryStore(directory, options));
    await story.tell();
    expect([story.failures, story.begun, [...story.present]]).toEqual([[], 7, ["p1/3"]]);
    const operations = medium.operations.splice(0);
    await expectRecoveredEpochs(directory, story);
    return operations;
  }

  test("has begun or has not when its process dies at any operation", async () => {
    const operations = await operationsOfEpochs();
    const step = cases("directory-store-epoch-deaths", 7, 1);
    for (let n = 1; n <= operations.length; n += step) {
      const directory = newDirectory(onTestFinished);
      const story = new EpochStory(directoryStore(directory, options));
      medium.operations.length = 0;
      medium.fault = (_, number) => (number >= n ? "fails" : "none");
      await story.tell();
      medium.fault = () => "none";
      story.die();
      await expectRecoveredEpochs(directory, story).catch((cause: unknown) => {
        throw new Error(`died at operation ${n}, ${operations[n - 1]}`, { cause });
      });
    }
  });

  const random = new Random("power");
  const outcomes = { nothing: () => false, something: () => random.chance(0.5) };
  for (const [what, survives] of Object.entries(outcomes))
    test(`is kept if that was reported when the power goes, when ${what} else survives`, async () => {
      const operations = await operationsOfEpochs();
      const step = cases("directory-store-epoch-power", 11, 1);
      for (let n = 1; n <= operations.length + 1; n += step) {
        const directory = newDirectory(onTestFinished);
        const disk = new Disk(directory);
        const story = new EpochStory(directoryStore(directory, { ...options, sync: true }));
        medium.operations.length = 0;
        medium.fault = (_, number) => (number >= n ? "fails" : "none");
        await story.tell();
        medium.fault = () => "none";
        medium.done = () => {};
        story.die();
        const left = newDirectory(onTestFinished);
        disk.write(left, survives);
        await expectRecoveredEpochs(left, story).catch((cause: unknown) => {
          throw new Error(`power lost at operation ${n}, ${operations[n - 1]}`, { cause });
        });
      }
    });

  for (const fault of ["fails", "fails when done"] as const)
    test(`at an operation that ${fault} says truly whether it began`, async () => {
      const operations = await operationsOfEpochs();
      const step = cases("directory-store-epoch-faults", 11, 1);
      let failures = 0;
      for (let n = 1; n <= operations.length; n += step) {
        const directory = newDirectory(onTestFinished);
        const story = new EpochStory(directoryStore(directory, options));
        medium.operations.length = 0;
        medium.fault = (_, number) => (number === n ? fault : "none");
        await story.tell();
        medium.fault = () => "none";
        try {
          for (const error of story.failures)
            expect(error).toMatchObject({ code: "STORE_FAILED", cause: { code: "EIO" } });
          failures += story.failures.length;
          await story.expectKept(story.store);
          await story.store.close();
          expect(filesIn(join(directory, "tmp"))).toEqual([]);
          await expectRecoveredEpochs(directory, story);
        } catch (cause) {
          throw new Error(`operation ${n}, ${operations[n - 1]}`, { cause });
        }
      }
      expect(failures).toBeGreaterThan(operations.length / step / 3);
    });

  test("may have begun when flushing fails, and is told to nobody before it is flushed", async () => {
    const directory = newDirectory(onTestFinished);
    const disk = new Disk(directory);
    const store = directoryStore(directory, options);
    await commit(store, { id: "p1/1" });
    await store.beginEpoch(epochRecord(2, "p1/1"));
    let renamed = false;
    const follow = medium.done;
    medium.done = (name, path, more) => {
      follow(name, path, more);
      renamed ||= name === "rename" && String(more).endsWith("3.json");
    };
    medium.fault = (name) => (renamed && name === "sync" ? "fails" : "none");
    const begun = store.beginEpoch(epochRecord(3, "p1/1"));
    await expect(begun).rejects.toMatchObject({ code: "STORE_FAILED", definite: false });
    const other = directoryStore(directory, options);
    await expect(other.epoch()).rejects.toMatchObject({ code: "STORE_FAILED" });
    medium.fault = () => "none";
    expect(await other.epoch()).toEqual(epochRecord(3, "p1/1"));
    await expect(store.beginEpoch(epochRecord(3, "p1/1"))).rejects.toMatchObject({
      code: "EPOCH_TAKEN",
    });
    const left = newDirectory(onTestFinished);
    medium.done = () => {};
    disk.write(left, () => false);
    expect(await directoryStore(left, options).epoch()).toEqual(epochRecord(3, "p1/1"));
    await store.close();
  });
});
