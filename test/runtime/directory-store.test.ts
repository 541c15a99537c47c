import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { afterEach, describe, expect, onTestFinished, test } from "vitest";
import { isTidemarkError } from "../../src/core/error.ts";
import { type SnapshotId, snapshotId } from "../../src/core/id.ts";
import { type DirectoryStoreOptions, directoryStore } from "../../src/runtime/directory-store.ts";
import type { SnapshotStore } from "../../src/runtime/snapshot-store.ts";
import {
  bytes,
  commit,
  epochRecord,
  expectWhole,
  type Snapshot,
  writePieces,
} from "../../src/runtime/snapshot-store-contract.ts";
import type { PartReference } from "../../src/snapshot/manifest.ts";
import {
  age,
  DEAD,
  expectDamaged,
  expectNoLitter,
  filesIn,
  newDirectory,
  startOfThisProcess,
} from "./directory-store-support.ts";

const HOUR_MS = 3_600_000;
const FOLDERS = ["attempts", "epochs", "lock", "open", "parts", "snapshots", "tmp"];

/** A store in a directory of its own; what it writes is not flushed. */
function newStore(options: DirectoryStoreOptions = {}) {
  const directory = newDirectory(onTestFinished);
  return { directory, store: another(directory, options) };
}

const opened: SnapshotStore[] = [];
function another(directory: string, options: DirectoryStoreOptions = {}): SnapshotStore {
  const store = directoryStore(directory, { sync: false, ...options });
  opened.push(store);
  return store;
}
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
});

const part = (directory: string, { sha256, pack = sha256 }: PartReference): string =>
  join(directory, "parts", pack.slice(0, 2), pack);

const stateOf = (snapshot: Snapshot, process: number): readonly PartReference[] =>
  snapshot.manifest.pieces[process]?.state.parts ?? [];

const listed = async (store: SnapshotStore, damaged?: (error: Error) => void) => {
  const ids: SnapshotId[] = [];
  for await (const { id } of store.list(damaged)) ids.push(id);
  return ids;
};

describe("files", () => {
  test("reading makes no directory; writing makes one that only its owner can read", async () => {
    const directory = join(newDirectory(onTestFinished), "a", "b");
    const store = another(directory);
    expect(await listed(store)).toEqual([]);
    expect(await store.get("p1/1")).toBeUndefined();
    expect(await store.lastCount("p1")).toBe(0);
    expect(await store.delete("p1/1")).toBe(false);
    expect(await store.epoch()).toBeUndefined();
    await store.abandon("p1/1");
    await store.close();
    expect(existsSync(dirname(directory))).toBe(false);

    await commit(store, { id: "p1/1" });
    expect(readdirSync(directory).sort()).toEqual(FOLDERS);
    for (const folder of ["..", ".", ...FOLDERS])
      expect(statSync(join(directory, folder)).mode & 0o777).toBe(0o700);
    for (const file of filesIn(directory))
      expect(statSync(join(directory, file)).mode & 0o777).toBe(0o600);
    await store.close();
    expect(filesIn(join(directory, "open"))).toEqual([]);
  });

  test("a manifest is JSON to read, and its first line has the SHA-256 of the others", async () => {
    const { directory, store } = newStore();
    const { manifest } = await commit(store, { id: "p1/1", label: "Größe" });
    const text = readFileSync(join(directory, "snapshots", "p1-1.json"), "utf8");
    const { sha256, ...rest } = JSON.parse(text);
    expect(rest).toEqual(manifest);
    const lines = text.slice(text.indexOf("\n") + 1);
    expect(sha256).toBe(createHash("sha256").update(lines).digest("hex"));
    expect(lines.split("\n").length).toBeGreaterThan(100);
  });

  test("small parts of a piece share packs of up to 1 MiB; large ones have their own file", async () => {
    const { directory, store } = newStore();
    const states = {
      p1: [bytes(100), bytes(65_536), bytes(0), bytes(65_535)],
      p2: Array.from({ length: 40 }, (_, i) => bytes(50_000 + i)),
    };
    const snapshot = await commit(store, { id: "p1/1", states, inFlight: 0 });
    const files = filesIn(join(directory, "parts"));
    const sizes = files.map((file) => statSync(join(directory, "parts", file)).size);
    expect(sizes.sort((a, b) => a - b)).toEqual(
      [65_536, 100 + 65_535, 20 * 50_000 + 190, 20 * 50_000 + 590].sort((a, b) => a - b),
    );
    const [first, large, empty, last] = stateOf(snapshot, 0);
    expect(large).not.toHaveProperty("pack");
    expect([first?.offset, empty?.offset, last?.offset]).toEqual([0, 100, 100]);
    expect(first?.pack).toBe(last?.pack);
    const sha256 = (content: Uint8Array | string): string =>
      createHash("sha256").update(content).digest("hex");
    expect(large?.sha256).toBe(sha256(readFileSync(part(directory, large as PartReference))));
    expect(first?.pack).toBe(sha256(`${first?.sha256}${empty?.sha256}${last?.sha256}`));
    await expectWhole(store, snapshot);
  });

  test("all messages in flight to a process are in one pack, however large", async () => {
    const { directory, store } = newStore();
    const runs = [bytes(1_000_000), bytes(4), bytes(700_000)];
    const channels = new Map([
      ["p1", runs],
      ["p3", [bytes(8)]],
    ]);
    const stored = await store.writePiece({
      snapshot: "p1/1",
      process: "p2",
      state: [bytes(100)],
      channels,
    });
    expect(filesIn(join(directory, "parts"))).toHaveLength(1);
    const [one, other] = [stored.channels.get("p1"), stored.channels.get("p3")];
    expect([one?.offset, one?.bytes, other?.offset]).toEqual([100, 1_700_004, 1_700_104]);
    const content = readFileSync(part(directory, one as PartReference));
    expect(content.subarray(100, 1_700_104).equals(Buffer.concat(runs))).toBe(true);
  });

  test("a part that is there is touched, not written again; one of the wrong size is", async () => {
    const { directory, store } = newStore();
    const states = { p1: [bytes(70_000), bytes(10)], p2: [bytes(80_000)] };
    const first = await commit(store, { id: "p1/1", states });
    const [large, small] = stateOf(first, 0).map((reference) => part(directory, reference));
    const cut = part(directory, stateOf(first, 1)[0] as PartReference);
    age(directory);
    const before = [large, small, cut].map((path) => statSync(path as string));
    truncateSync(cut, 79_999);
    const second = await commit(store, { id: "p1/2", states });
    const after = [large, small, cut].map((path) => statSync(path as string));
    for (const i of [0, 1, 2])
      expect((after[i]?.mtimeMs ?? 0) - (before[i]?.mtimeMs ?? 0)).toBeGreaterThan(HOUR_MS / 2);
    expect(after.map((stat, i) => stat.ino === before[i]?.ino)).toEqual([true, true, false]);
    await expectWhole(store, second);
  });

  test("a large slice is in its file before the next one is asked for", async () => {
    const { directory, store } = newStore();
    const there: number[] = [];
    const buffer = new Uint8Array(100_000);
    async function* slices() {
      for (let i = 0; i < 5; i++) {
        there.push(filesIn(join(directory, "parts")).length);
        // The same buffer each time, as an encoder may do.
        yield buffer.fill(i);
      }
      for (let i = 0; i < 5; i++) yield buffer.fill(10 + i).subarray(0, 1_000);
    }
    const stored = await store.writePiece({
      snapshot: "p1/1",
      process: "p1",
      state: slices(),
      channels: new Map(),
    });
    expect(there).toEqual([0, 1, 2, 3, 4]);
    expect(new Set(stored.state.map(({ sha256 }) => sha256)).size).toBe(10);
    const pack = readFileSync(part(directory, stored.state[5] as PartReference));
    expect([0, 1, 2, 3, 4].map((i) => pack[i * 1_000])).toEqual([10, 11, 12, 13, 14]);
  });

  test("any process ids and counts keep apart", async () => {
    const id = fc
      .tuple(
        fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/),
        fc.integer({ min: 1, max: 99 }),
      )
      .map(([initiator, count]) => snapshotId(initiator, count));
    const alike = fc.constantFrom("p/1", "p-1/1", "p-1-1/1", "p.json/1", "p-1.json/1", "p_-/1");
    const ids = fc.uniqueArray(fc.oneof(id, alike as fc.Arbitrary<SnapshotId>), { maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(ids, async (some) => {
        const { store } = newStore();
        for (const id of some) await commit(store, { id, states: {} });
        expect((await listed(store)).sort()).toEqual([...some].sort());
        for (const id of some) {
          expect((await store.get(id))?.manifest.id).toBe(id);
          const [initiator] = id.split("/") as [string];
          const counts = some.filter((other) => other.split("/")[0] === initiator);
          expect(await store.lastCount(initiator)).toBe(
            Math.max(...counts.map((other) => Number(other.split("/")[1]))),
          );
        }
      }),
      { numRuns: 25 },
    );
  });

  test("what others have put into the directory is left alone", async () => {
    const { directory, store } = newStore({ graceMs: 0 });
    await commit(store, { id: "p1/1" });
    const alien = "ab".repeat(32);
    const files = [
      "notes.txt",
      "snapshots/p1-1.json.bak",
      "snapshots/p1-01.json",
      "snapshots/-1.json",
      "snapshots/p1-2.txt",
      "epochs/2.json.bak",
      "epochs/03.json",
      "epochs/0.json",
      "epochs/-4.json",
      "epochs/4294967296.json",
      "epochs/99999999999.json",
      "parts/README",
      "parts/ab",
      "parts/cd/short",
      `parts/cd/${alien}`,
      `parts/ef/${"ef".repeat(32)}/inside`,
      "tmp/mine",
      "open/mine",
      "lock/mine",
      `tmp/${DEAD}.1`,
    ];
    for (const file of files) {
      mkdirSync(dirname(join(directory, file)), { recursive: true });
      writeFileSync(join(directory, file), "");
    }
    mkdirSync(join(directory, "snapshots", "folder"));
    await store.close();
    age(directory);
    const again = another(directory, { graceMs: 0 });
    const snapshot = await commit(again, { id: "p1/2" });
    expect((await listed(again)).sort()).toEqual(["p1/1", "p1/2"]);
    expect(await again.delete("p1/1")).toBe(true);
    await expectWhole(again, snapshot);
    expect(await again.epoch()).toBeUndefined();
    await again.beginEpoch(epochRecord(2, "p1/2"));
    for (const file of files)
      expect([file, existsSync(join(directory, file))]).toEqual([file, true]);
  });

  test("a part whose name is taken by a link is put in its place, not behind it", async () => {
    const { directory, store } = newStore();
    const states = { p1: [bytes(70_000)] };
    const { manifest } = await writePieces(store, { id: "p1/1", states });
    const path = part(directory, manifest.pieces[0]?.state.parts[0] as PartReference);
    const secret = join(directory, "secret");
    writeFileSync(secret, bytes(70_000));
    rmSync(path);
    symlinkSync(secret, path);
    await expectDamaged(store.writeManifest(manifest), path);
    const snapshot = await commit(store, { id: "p1/2", states });
    expect(statSync(path).ino).not.toBe(statSync(secret).ino);
    await expectWhole(store, snapshot);
  });

  test("a directory that is removed while it is in use is made again", async () => {
    const { directory, store } = newStore();
    await commit(store, { id: "p1/1" });
    rmSync(directory, { recursive: true });
    await expect(commit(store, { id: "p1/2" })).rejects.toMatchObject({ code: "STORE_FAILED" });
    await expectWhole(store, await commit(store, { id: "p1/3" }));
    expect(await store.lastCount("p1")).toBe(3);
  });
});

describe("counts", () => {
  test("one empty file keeps the count of the newest snapshot that was deleted", async () => {
    const { directory, store } = newStore();
    for (const id of ["p1/1", "p1/2", "p1/3", "p2/9"] as const) await commit(store, { id });
    const names = () => readdirSync(join(directory, "snapshots")).sort();
    await store.delete("p1/1");
    expect(names()).toEqual(["p1-2.json", "p1-3.json", "p2-9.json"]);
    await store.delete("p1/3");
    expect(names()).toEqual(["p1-2.json", "p1-3.used", "p2-9.json"]);
    expect(statSync(join(directory, "snapshots", "p1-3.used")).size).toBe(0);
    await store.delete("p1/2");
    expect(names()).toEqual(["p1-3.used", "p2-9.json"]);
    await writePieces(store, { id: "p1/5" });
    await store.abandon("p1/5");
    expect(names()).toEqual(["p1-5.used", "p2-9.json"]);
    await commit(store, { id: "p1/6" });
    await store.delete("p1/6");
    expect(names()).toEqual(["p1-6.used", "p2-9.json"]);
    expect(await another(directory).lastCount("p1")).toBe(6);
  });
});

describe("parts that no snapshot needs", () => {
  test("go with the last snapshot that needs them", async () => {
    const { directory, store } = newStore({ graceMs: 0 });
    const states = { p1: [bytes(70_000), bytes(1)], p2: [bytes(80_000)] };
    await commit(store, { id: "p1/1", states });
    const second = await commit(store, { id: "p1/2", states: { ...states, p2: [bytes(90_000)] } });
    await store.delete("p1/1");
    await expectNoLitter(directory, store);
    await expectWhole(store, second);
    await store.delete("p1/2");
    expect(filesIn(join(directory, "parts"))).toEqual([]);
  });

  test("stay for the grace period, then the next delete removes them", async () => {
    const { directory, store } = newStore();
    await commit(store, { id: "p1/1", states: { p1: [bytes(70_000)] } });
    await commit(store, { id: "p1/2", states: { p1: [bytes(80_000)] } });
    await store.delete("p1/1");
    expect(filesIn(join(directory, "parts")).length).toBe(2);
    age(directory);
    await store.delete("p1/2");
    expect(filesIn(join(directory, "parts"))).toEqual([]);
  });

  test("stay when a piece that has no manifest yet relies on them", async () => {
    const { directory, store } = newStore();
    const states = { p1: [bytes(70_000), bytes(1)], p2: [bytes(80_000)] };
    await commit(store, { id: "p1/1", states });
    age(directory);
    const other = another(directory);
    const waiting = await writePieces(other, { id: "p2/1", states });
    await store.delete("p1/1");
    await other.writeManifest(waiting.manifest);
    await expectWhole(store, waiting);
  });

  test("a snapshot that waited for too long is refused, and nothing is listed", async () => {
    const { directory, store } = newStore();
    const states = { p1: [bytes(70_000)] };
    await commit(store, { id: "p1/1", states });
    const { manifest } = await writePieces(another(directory), { id: "p2/1", states });
    age(directory);
    await store.delete("p1/1");
    const lost = part(directory, manifest.pieces[0]?.state.parts[0] as PartReference);
    await expectDamaged(store.writeManifest(manifest), lost);
    expect(await listed(store)).toEqual([]);
    expect(filesIn(join(directory, "tmp"))).toEqual([]);
  });

  test("abandoning removes at once what was written, but not what was there or was touched", async () => {
    const { directory, store } = newStore();
    const kept = await commit(store, { id: "p1/1", states: { p1: [bytes(70_000), bytes(1)] } });
    const before = filesIn(join(directory, "parts"));
    const states = { p1: [bytes(70_000), bytes(80_000), bytes(90_000), bytes(2)] };
    await writePieces(store, { id: "p1/2", states });
    expect(filesIn(join(directory, "parts")).length).toBe(before.length + 3);
    const other = another(directory);
    const waiting = await writePieces(other, { id: "p2/1", states: { p2: [bytes(90_000)] } });
    await store.abandon("p1/2");
    expect(filesIn(join(directory, "parts")).length).toBe(before.length + 1);
    await other.writeManifest(waiting.manifest);
    await expectWhole(other, waiting);
    await expectWhole(other, kept);
    await other.close();
    await expectNoLitter(directory, store);
  });

  test("are only remembered for the latest snapshots whose fate is not known", async () => {
    const { directory, store } = newStore();
    const other = another(directory);
    const written = async (id: SnapshotId, length: number) => {
      const { manifest } = await writePieces(store, { id, states: { p1: [bytes(length)] } });
      const path = part(directory, manifest.pieces[0]?.state.parts[0] as PartReference);
      return { manifest, path };
    };
    const first = await written("p1/1", 1_001);
    // These get their manifests from somebody else: they do not count.
    for (let count = 2; count <= 80; count++)
      await other.writeManifest((await written(snapshotId("p1", count), 1_000 + count)).manifest);
    await store.abandon("p1/1");
    expect(existsSync(first.path)).toBe(false);

    const old = await written("p1/81", 2_000);
    for (let count = 82; count <= 160; count++)
      await written(snapshotId("p1", count), 2_000 + count);
    const late = await written("p1/161", 3_000);
    await store.abandon("p1/81");
    await store.abandon("p1/161");
    expect([existsSync(old.path), existsSync(late.path)]).toEqual([true, false]);
  });

  test("of a process that has died are swept by whoever opens next, not those of the living", async () => {
    const { directory, store } = newStore();
    const kept = await commit(store, { id: "p1/1" });
    const waiting = await writePieces(store, { id: "p1/2", states: { p1: [bytes(70_000)] } });
    const second = another(directory);
    await commit(second, { id: "p2/1" });
    await second.close();
    await store.writeManifest(waiting.manifest);
    await writePieces(store, { id: "p1/3", states: { p1: [bytes(80_000)] } });
    await store.close();
    age(directory);
    const third = another(directory);
    await commit(third, { id: "p3/1" });
    await expectNoLitter(directory, third);
    await expectWhole(third, kept);
    await expectWhole(third, waiting);
  });

  test("are swept in turns when they are many", async () => {
    const { directory, store } = newStore();
    const kept = await commit(store, { id: "p1/1" });
    await store.close();
    for (let i = 0; i < 2_500; i++) {
      const sha256 = createHash("sha256").update(String(i)).digest("hex");
      mkdirSync(join(directory, "parts", sha256.slice(0, 2)), { recursive: true });
      writeFileSync(join(directory, "parts", sha256.slice(0, 2), sha256), String(i));
    }
    age(directory);
    const again = another(directory);
    await commit(again, { id: "p1/2" });
    await expectNoLitter(directory, again);
    await expectWhole(again, kept);
  });

  test("all stay while a manifest is damaged", async () => {
    const { directory, store } = newStore({ graceMs: 0 });
    const broken = await commit(store, { id: "p1/1", states: { p1: [bytes(70_000)] } });
    await commit(store, { id: "p1/2", states: { p1: [bytes(80_000)] } });
    await writePieces(store, { id: "p1/3", states: { p1: [bytes(90_000)] } });
    await store.close();
    age(directory);
    const manifest = join(directory, "snapshots", "p1-1.json");
    renameSync(manifest, `${manifest}.whole`);
    writeFileSync(manifest, "{}");
    const parts = filesIn(join(directory, "parts"));

    const again = another(directory, { graceMs: 0 });
    expect(await again.delete("p1/2")).toBe(true);
    expect(filesIn(join(directory, "parts"))).toEqual(parts);
    renameSync(`${manifest}.whole`, manifest);
    await expectWhole(again, broken);

    writeFileSync(manifest, "{}");
    expect(await again.delete("p1/1")).toBe(true);
    await again.close();
    age(directory);
    await again.abandon((await writePieces(again, { id: "p1/4" })).manifest.id);
    expect(filesIn(join(directory, "parts"))).toEqual([]);
  });
});

describe("the lock", () => {
  test("of a process that has died is taken over", async () => {
    const { directory, store } = newStore({ lockTimeoutMs: 0 });
    await commit(store, { id: "p1/1" });
    // The second one had the number that this process has now.
    for (const owner of [`${DEAD}.1.0123abcd`, `${process.pid}.1.0123abcd`])
      writeFileSync(join(directory, "lock", owner), "");
    await commit(store, { id: "p1/2" });
    expect(readdirSync(join(directory, "lock"))).toEqual([]);
  });

  test("of one that lives is waited for, and then it is STORE_FAILED", async () => {
    const { directory, store } = newStore({ lockTimeoutMs: 30 });
    await commit(store, { id: "p1/1" });
    const owner = join(directory, "lock", `${process.pid}.${startOfThisProcess()}.0123abcd`);
    writeFileSync(owner, "");
    const { manifest } = await writePieces(store, { id: "p1/2" });
    for (const refused of [() => store.writeManifest(manifest), () => store.delete("p1/1")])
      await expect(refused()).rejects.toMatchObject({
        code: "STORE_FAILED",
        message: expect.stringContaining(owner),
        definite: true,
      });
    expect(await listed(store)).toEqual(["p1/1"]);
    expect(filesIn(join(directory, "tmp"))).toEqual([]);
    expect(readdirSync(join(directory, "lock")).length).toBe(1);
    const patient = another(directory);
    const committed = patient.writeManifest(manifest);
    rmSync(owner);
    await committed;
    expect((await listed(store)).length).toBe(2);
  });

  test("goes from one to the next among many stores", async () => {
    const { directory, store } = newStore({ graceMs: 0 });
    const states = { p1: [bytes(70_000), bytes(1)] };
    const stores = [store, ...Array.from({ length: 5 }, () => another(directory, { graceMs: 0 }))];
    const written = await Promise.all(
      stores.map(async (one, i) => {
        const mine: Snapshot[] = [];
        for (let count = 1; count <= 6; count++) {
          const id = snapshotId(`p${i}`, count);
          const what = { id, states: { ...states, p2: [bytes(90_000 + i)] } };
          // Without grace, deleting one can cost another that is being made: it is refused, and made again.
          const again = (error: unknown): Promise<Snapshot> => {
            if (!isTidemarkError(error, "DAMAGED")) throw error;
            return commit(one, what);
          };
          mine.push(await commit(one, what).catch(again).catch(again));
          if (count % 2 === 0) await one.delete(snapshotId(`p${i}`, count - 1));
        }
        return mine;
      }),
    );
    const left = await listed(store);
    expect(left.length).toBe(6 * 3);
    for (const snapshot of written.flat())
      if (left.includes(snapshot.manifest.id)) await expectWhole(store, snapshot);
  });
});

describe("damage", () => {
  const states = { p1: [bytes(70_000), bytes(300)], p2: [bytes(2_000)] };

  test("of any byte of a manifest is noticed and said, with the file", async () => {
    const { directory, store } = newStore();
    await commit(store, { id: "p1/1", states: { p1: [bytes(10)] }, label: "before the sale" });
    const other = await commit(store, { id: "p1/2", states });
    const path = join(directory, "snapshots", "p1-1.json");
    const whole = readFileSync(path);
    for (let at = 0; at < whole.length; at++) {
      const flipped = Buffer.from(whole);
      flipped[at] = (flipped[at] as number) ^ (1 << (at % 8));
      writeFileSync(path, flipped);
      await expectDamaged(store.get("p1/1"), path);
    }
    for (let length = 0; length < whole.length; length += 7) {
      writeFileSync(path, whole.subarray(0, length));
      await expectDamaged(store.get("p1/1"), path);
    }
    writeFileSync(path, Buffer.concat([whole, Buffer.from("\n")]));
    await expectDamaged(store.get("p1/1"), path);

    const told: Error[] = [];
    expect(await listed(store, (error) => told.push(error))).toEqual(["p1/2"]);
    expect(told.map((error) => isTidemarkError(error, "DAMAGED") && error.message)).toEqual([
      expect.stringContaining(path),
    ]);
    expect(await listed(store)).toEqual(["p1/2"]);
    await expectWhole(store, other);
    expect(await store.lastCount("p1")).toBe(2);
    expect(await store.delete("p1/1")).toBe(true);
    expect(await store.get("p1/1")).toBeUndefined();
  });

  test("of any byte of a part is noticed and said, with the file", async () => {
    const { directory, store } = newStore();
    const snapshot = await commit(store, { id: "p1/1", states, inFlight: 1 });
    const stored = await store.get("p1/1");
    const references = snapshot.parts.map(([reference]) => reference);
    const files = [...new Set(references.map((reference) => part(directory, reference)))];
    expect(files.length).toBe(3);
    for (const path of files) {
      const inside = references.filter((reference) => part(directory, reference) === path);
      const whole = readFileSync(path);
      const step = Math.max(1, Math.floor(whole.length / 200));
      for (let at = 0; at < whole.length; at += step) {
        const flipped = Buffer.from(whole);
        flipped[at] = (flipped[at] as number) ^ (1 << (at % 8));
        writeFileSync(path, flipped);
        for (const reference of inside) {
          const start = reference.offset ?? 0;
          if (at >= start && at < start + reference.bytes)
            await expectDamaged((async () => stored?.part(reference))(), path);
          else await stored?.part(reference);
        }
      }
      const last = inside.at(-1) as PartReference;
      for (const length of [0, 1, whole.length - 1]) {
        writeFileSync(path, whole.subarray(0, length));
        await expectDamaged((async () => stored?.part(last))(), path);
      }
      rmSync(path);
      await expectDamaged((async () => stored?.part(last))(), path);
      mkdirSync(path);
      await expectDamaged((async () => stored?.part(last))(), path);
      rmSync(path, { recursive: true });
      symlinkSync("/dev/zero", path);
      await expectDamaged((async () => stored?.part(last))(), path);
      rmSync(path);
      writeFileSync(path, whole);
    }
    await expectWhole(store, snapshot);
  });

  test("of a part is noticed when a manifest is written, if it shows in its size", async () => {
    const { directory, store } = newStore();
    const { manifest } = await writePieces(store, { id: "p1/1", states });
    for (const path of filesIn(join(directory, "parts")).map((f) => join(directory, "parts", f))) {
      const whole = readFileSync(path);
      truncateSync(path, whole.length - 1);
      await expectDamaged(store.writeManifest(manifest), path);
      rmSync(path);
      await expectDamaged(store.writeManifest(manifest), path);
      mkdirSync(path);
      await expectDamaged(store.writeManifest(manifest), path);
      rmSync(path, { recursive: true });
      writeFileSync(path, whole);
    }
    expect(await listed(store)).toEqual([]);
    await store.writeManifest(manifest);
  });

  test("that is no damage by its SHA-256 is refused all the same, and harms nobody", async () => {
    const { directory, store } = newStore();
    const { manifest } = await commit(store, { id: "p1/1", states });
    const path = join(directory, "snapshots", "p1-1.json");
    /** A manifest file that fits together, whatever is in it. */
    const forge = (text: string): void => {
      const lines = text.slice(2);
      const sha256 = createHash("sha256").update(lines).digest("hex");
      writeFileSync(path, `{ "sha256": "${sha256}",\n${lines}`);
    };
    const json = JSON.stringify(manifest, null, 2);
    forge(json);
    expect((await store.get("p1/1"))?.manifest).toEqual(manifest);

    const sha256 = stateOf({ manifest, parts: [] }, 0)[0]?.sha256 as string;
    for (const text of [
      "{\n}",
      "{\n",
      `{\n"a": ${"[".repeat(1_000_000)}`,
      `{\n"__proto__": {"format": "tidemark-snapshot/1"}}`,
      json.replace("tidemark-snapshot/1", "tidemark-snapshot/2"),
      json.replace('"p1/1"', '"p2/1"'),
      json.replaceAll(sha256, `../../${"a".repeat(58)}`),
      json.replace('"bytes": 70000', '"bytes": -1'),
      json.replace('"pieces": [', '"pieces": [null,'),
    ]) {
      expect(text).not.toBe(json);
      forge(text);
      await expectDamaged(store.get("p1/1"), path);
    }
    expect({}).not.toHaveProperty("format");

    forge(json.replace('"bytes": 70000', '"bytes": 9007199254740991'));
    const stored = await store.get("p1/1");
    const huge = stored?.manifest.pieces[0]?.state.parts[0] as PartReference;
    await expectDamaged((async () => stored?.part(huge))(), part(directory, huge));
  });

  test("that would make reading endless is refused: too large, a pipe, a link, another id", async () => {
    const { directory, store } = newStore();
    await commit(store, { id: "p1/1" });
    const file = (name: string) => join(directory, "snapshots", name);
    copyFileSync(file("p1-1.json"), file("p1-2.json"));
    writeFileSync(file("p1-3.json"), "");
    truncateSync(file("p1-3.json"), 64 * 1_048_576 + 1);
    execFileSync("mkfifo", [file("p1-4.json")]);
    symlinkSync(file("p1-1.json"), file("p1-5.json"));
    mkdirSync(file("p1-6.json"));
    const told: Error[] = [];
    expect(await listed(store, (error) => told.push(error))).toEqual(["p1/1"]);
    const bad = ["p1/2", "p1/3", "p1/4", "p1/5", "p1/6"] as const;
    for (const id of bad) await expectDamaged(store.get(id), file(`${id.replace("/", "-")}.json`));
    expect(told.length).toBe(bad.length);
    for (const id of bad.slice(0, 4)) expect(await store.delete(id)).toBe(true);
    expect(await listed(store)).toEqual(["p1/1"]);
    expect(existsSync(file("p1-1.json"))).toBe(true);
  });
});

describe("epochs", () => {
  test("a record is JSON to read, and its first line has the SHA-256 of the others", async () => {
    const { directory, store } = newStore();
    await commit(store, { id: "p1/1" });
    await store.beginEpoch(epochRecord(2, "p1/1"));
    await store.beginEpoch(epochRecord(3, "p1/1"));
    expect(filesIn(join(directory, "epochs"))).toEqual(["2.json", "3.json"]);
    const text = readFileSync(join(directory, "epochs", "3.json"), "utf8");
    const { sha256, ...rest } = JSON.parse(text);
    expect(rest).toEqual(epochRecord(3, "p1/1"));
    const lines = text.slice(text.indexOf("\n") + 1);
    expect(sha256).toBe(createHash("sha256").update(lines).digest("hex"));
  });

  test("a damaged record is said with its file, is never passed over for an older one, and ends with the next restore", async () => {
    const { directory, store } = newStore();
    for (const id of ["p1/1", "p1/2", "p1/3"] as const) await commit(store, { id });
    await store.beginEpoch(epochRecord(2, "p1/1"));
    await store.beginEpoch(epochRecord(3, "p1/2"));
    const path = join(directory, "epochs", "3.json");
    const whole = readFileSync(path);
    for (let at = 0; at < whole.length; at++) {
      const flipped = Buffer.from(whole);
      flipped[at] = (flipped[at] as number) ^ (1 << (at % 8));
      writeFileSync(path, flipped);
      await expectDamaged(store.epoch(), path);
    }
    for (let length = 0; length < whole.length; length += 7) {
      writeFileSync(path, whole.subarray(0, length));
      await expectDamaged(another(directory).epoch(), path);
    }
    // Nobody knows what it began from: nothing is removed, and it has begun all the same.
    for (const id of ["p1/1", "p1/2", "p1/3"] as const) await expectDamaged(store.delete(id), path);
    expect((await listed(store)).length).toBe(3);
    await expect(store.beginEpoch(epochRecord(3, "p1/3"))).rejects.toMatchObject({
      code: "EPOCH_TAKEN",
      message: expect.stringContaining(path),
    });
    writeFileSync(path, whole);
    expect(await store.epoch()).toEqual(epochRecord(3, "p1/2"));
    writeFileSync(path, whole.subarray(1));
    await store.beginEpoch(epochRecord(4, "p1/3"));
    expect(await store.epoch()).toEqual(epochRecord(4, "p1/3"));
    expect(await store.delete("p1/2")).toBe(true);
  });

  test("what is no record by its SHA-256, or would make reading endless, is damaged", async () => {
    const { directory, store } = newStore();
    await commit(store, { id: "p1/1" });
    await store.beginEpoch(epochRecord(2, "p1/1"));
    const path = join(directory, "epochs", "5.json");
    const forge = (text: string): void => {
      const lines = text.slice(2);
      const sha256 = createHash("sha256").update(lines).digest("hex");
      writeFileSync(path, `{ "sha256": "${sha256}",\n${lines}`);
    };
    const json = JSON.stringify(epochRecord(5, "p1/1"), null, 2);
    forge(json);
    expect(await store.epoch()).toEqual(epochRecord(5, "p1/1"));
    for (const text of [
      "{\n}",
      "{\n",
      `{\n"__proto__": ${json}}`,
      `{\n"a": ${"[".repeat(1_000)}`,
      json.replace('"epoch": 5', '"epoch": 4'),
      json.replace('"epoch": 5', '"epoch": 5.5'),
      json.replace('"p1/1"', '"../p1"'),
      json.replace('"by": "', '"by": ["'),
    ]) {
      expect(text).not.toBe(json);
      forge(text);
      await expectDamaged(store.epoch(), path);
    }
    rmSync(path);
    mkdirSync(path);
    await expectDamaged(store.epoch(), path);
    rmSync(path, { recursive: true });
    execFileSync("mkfifo", [path]);
    await expectDamaged(store.epoch(), path);
    rmSync(path);
    symlinkSync(join(directory, "epochs", "2.json"), path);
    await expectDamaged(store.epoch(), path);
    rmSync(path);
    symlinkSync(join(directory, "gone"), path);
    await expectDamaged(store.epoch(), path);
    rmSync(path);
    writeFileSync(path, Buffer.alloc(5_000, " "));
    await expectDamaged(store.epoch(), path);
  });

  test("none begins from a snapshot with a damaged manifest, or that lacks a part", async () => {
    const { directory, store } = newStore();
    const states = { p1: [bytes(70_000), bytes(300)] };
    await commit(store, { id: "p1/1", states });
    const files = ["snapshots/p1-1.json"];
    for (const file of filesIn(join(directory, "parts"))) files.push(`parts/${file}`);
    expect(files.length).toBeGreaterThan(2);
    for (const file of files) {
      const path = join(directory, file);
      const whole = readFileSync(path);
      truncateSync(path, whole.length - 1);
      await expectDamaged(store.beginEpoch(epochRecord(2, "p1/1")), path);
      if (file.startsWith("parts")) {
        rmSync(path);
        await expectDamaged(store.beginEpoch(epochRecord(2, "p1/1")), path);
      }
      writeFileSync(path, whole);
    }
    expect(await store.epoch()).toBeUndefined();
    expect(filesIn(join(directory, "tmp"))).toEqual([]);
    await store.beginEpoch(epochRecord(2, "p1/1"));
  });

  test("of many stores that begin an epoch at once exactly one does, each time", async () => {
    const { directory, store } = newStore();
    await commit(store, { id: "p1/1" });
    const stores = Array.from({ length: 6 }, () => another(directory));
    for (let epoch = 2; epoch <= 8; epoch += 1) {
      const outcomes = await Promise.allSettled(
        stores.map((one, i) => one.beginEpoch({ ...epochRecord(epoch, "p1/1"), by: `store ${i}` })),
      );
      const winner = outcomes.findIndex(({ status }) => status === "fulfilled");
      for (const [i, outcome] of outcomes.entries())
        if (i !== winner) expect(outcome).toMatchObject({ reason: { code: "EPOCH_TAKEN" } });
      for (const one of [store, ...stores])
        expect(await one.epoch()).toMatchObject({ epoch, by: `store ${winner}` });
    }
    expect(filesIn(join(directory, "tmp"))).toEqual([]);
  });
});

describe("misuse", () => {
  test("options that cannot be used are refused", () => {
    const bad: [string, DirectoryStoreOptions?][] = [
      [""],
      ["x", { lockTimeoutMs: -1 }],
      ["x", { graceMs: Number.NaN }],
    ];
    for (const [directory, options] of bad)
      expect(() => directoryStore(directory, options)).toThrow(
        expect.objectContaining({ code: "BAD_OPTION" }),
      );
  });

  test("ids that are none are refused before they become file names", async () => {
    const { directory, store } = newStore();
    const id = "../../etc/1" as SnapshotId;
    const body = { snapshot: id, process: "p1", state: [], channels: new Map() };
    const { manifest } = await writePieces(store, { id: "p1/1" });
    const refusals = await Promise.allSettled([
      store.get(id),
      store.delete(id),
      store.abandon(id),
      store.lastCount("../x"),
      store.writePiece(body),
      store.writePiece({ ...body, snapshot: "p1/1", process: "" }),
      store.writeManifest({ ...manifest, id }),
    ]);
    for (const refusal of refusals)
      expect(refusal).toMatchObject({ status: "rejected", reason: { code: "BAD_ID" } });
    await expect(store.writeManifest({ ...manifest, cutMs: Number.NaN })).rejects.toMatchObject({
      code: "DAMAGED",
      message: expect.stringContaining("cutMs"),
    });
    expect(filesIn(join(directory, "snapshots"))).toEqual([]);
  });

  test("a directory that is a file is STORE_FAILED, with path and cause", async () => {
    const { directory } = newStore();
    const path = join(directory, "file");
    writeFileSync(path, "");
    const store = another(path);
    const failures = await Promise.allSettled([
      listed(store),
      store.lastCount("p1"),
      store.get("p1/1"),
      store.delete("p1/1"),
      writePieces(store, { id: "p1/1", states: {} }),
    ]);
    for (const failure of failures)
      expect(failure).toMatchObject({
        reason: {
          code: "STORE_FAILED",
          message: expect.stringContaining(path),
          cause: { code: expect.stringMatching(/ENOTDIR|EEXIST/) },
        },
      });
  });

  test("a store that was closed is opened again by the next use", async () => {
    const { directory, store } = newStore();
    await store.close();
    const first = await commit(store, { id: "p1/1" });
    let written = false;
    const slow = writePieces(store, { id: "p1/2" }).finally(() => {
      written = true;
    });
    await store.close();
    expect(written).toBe(true);
    const second = await slow;
    expect(filesIn(join(directory, "open"))).toEqual([]);
    await store.writeManifest(second.manifest);
    await expectWhole(store, first);
    await expectWhole(store, second);
  });
});
