/** How the directory store writes parts: only what has changed, compressed, encrypted. */
import { hash } from "node:crypto";
import { copyFileSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { zstdDecompressSync } from "node:zlib";
import { afterEach, describe, expect, onTestFinished, test } from "vitest";
import { isTidemarkError } from "../../src/core/error.ts";
import { type SnapshotId, snapshotId } from "../../src/core/id.ts";
import { Random } from "../../src/core/random.ts";
import { type DirectoryStoreOptions, directoryStore } from "../../src/runtime/directory-store.ts";
import { GlobalSnapshot } from "../../src/runtime/global-snapshot.ts";
import type { SnapshotStore } from "../../src/runtime/snapshot-store.ts";
import {
  bytes,
  commit,
  expectWhole,
  type Snapshot,
  writePieces,
} from "../../src/runtime/snapshot-store-contract.ts";
import { type PartReference, partsOf } from "../../src/snapshot/manifest.ts";
import { cases } from "../support/soak.ts";
import {
  age,
  expectDamaged,
  expectNoLitter,
  filesIn,
  newDirectory,
} from "./directory-store-support.ts";

const opened: SnapshotStore[] = [];
function another(directory: string, options: DirectoryStoreOptions = {}) {
  const store = directoryStore(directory, { sync: false, graceMs: 0, ...options });
  opened.push(store);
  return store;
}
function newStore(options: DirectoryStoreOptions = {}) {
  const directory = newDirectory(onTestFinished);
  return { directory, store: another(directory, options) };
}
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
});

const KEY = new Uint8Array(32).fill(7);
const OTHER_KEY = new Uint8Array(32).fill(8);
const pathOf = (directory: string, { sha256, pack = sha256 }: PartReference): string =>
  join(directory, "parts", pack.slice(0, 2), pack);

/** The files that are in one folder and not in the other listing, with their size. */
function sizesIn(directory: string): Map<string, number> {
  return new Map(
    filesIn(join(directory, "parts")).map((file) => [
      file,
      statSync(join(directory, "parts", file)).size,
    ]),
  );
}
function written(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): number {
  return [...after].reduce((sum, [file, size]) => sum + (before.has(file) ? 0 : size), 0);
}

/** Slices that say which one they are and how often it has been changed. */
class State {
  readonly slices: Uint8Array[];
  readonly #random: Random;
  #changes = 0;

  constructor(count: number, seed: number) {
    this.#random = new Random(seed);
    this.slices = Array.from({ length: count }, (_, i) => bytes(2_000 + i));
  }

  change(share: number): void {
    for (let n = Math.round(share * this.slices.length); n > 0; n--) {
      const slice = bytes(2_000 + this.#random.below(1_000));
      new DataView(slice.buffer).setUint32(0, ++this.#changes);
      this.slices[this.#random.below(this.slices.length)] = slice;
    }
  }

  get bytes(): number {
    return this.slices.reduce((sum, { length }) => sum + length, 0);
  }
}

const plan = (count: number, state: State) =>
  ({ id: snapshotId("p1", count), states: { p1: [...state.slices], p2: [bytes(9)] } }) as const;

for (const [what, options] of Object.entries<DirectoryStoreOptions>({
  plain: {},
  compressed: { compressLevel: 1 },
  "compressed and encrypted": { compressLevel: 1, key: KEY },
}))
  describe(`of a state of many slices, ${what},`, () => {
    test("only those that have changed are written again", async () => {
      const { directory, store } = newStore(options);
      const state = new State(1_000, 1);
      const first = await commit(store, plan(1, state));
      const before = sizesIn(directory);
      expect(written(new Map(), before)).toBeLessThan(1.1 * state.bytes);
      expect(before.size).toBeLessThan(8);
      state.change(0.01);
      const second = await commit(store, plan(2, state));
      const more = written(before, sizesIn(directory));
      expect(more).toBeGreaterThan(0.005 * state.bytes);
      expect(more).toBeLessThan(0.02 * state.bytes);
      for (const snapshot of [first, second]) await expectWhole(store, snapshot);
      // Another store object goes on from what it finds.
      await store.close();
      const again = another(directory, options);
      const third = await commit(again, plan(3, state));
      expect(written(before, sizesIn(directory))).toBeLessThan(more + 0.002 * state.bytes);
      await expectWhole(again, third);
    });

    test("deleting earlier ones never breaks a later one, and packs do not fill with what is dead", async () => {
      const { directory, store } = newStore(options);
      const state = new State(400, 2);
      const kept: Snapshot[] = [];
      let total = 0;
      const rounds = cases("directory-store-rounds", 40, 1_000);
      for (let count = 1; count <= rounds; count++) {
        const before = sizesIn(directory);
        kept.push(await commit(store, plan(count, state)));
        if (count > 1) total += written(before, sizesIn(directory));
        if (kept.length > 2) await store.delete((kept.shift() as Snapshot).manifest.id);
        state.change(0.05);
      }
      for (const snapshot of kept) await expectWhole(store, snapshot);
      await expectNoLitter(directory, store);
      const occupied = written(new Map(), sizesIn(directory));
      // What is live is the state and a little more. If packs were kept for ever, it would be three times that.
      expect(occupied).toBeLessThan(2.5 * state.bytes);
      expect(total / (rounds - 1)).toBeLessThan(0.2 * state.bytes);
      expect(sizesIn(directory).size).toBeLessThan(150);
    });
  });

describe("a pack that is referred to", () => {
  test("and is gone, or cut, is written anew", async () => {
    const { directory, store } = newStore();
    const state = new State(100, 3);
    const { manifest } = await commit(store, plan(1, state));
    const pack = pathOf(directory, manifest.pieces[0]?.state.parts[0] as PartReference);
    const whole = readFileSync(pack);
    for (const harm of [
      () => rmSync(pack),
      () => writeFileSync(pack, whole.subarray(0, whole.length / 2)),
    ]) {
      harm();
      const id = snapshotId("p1", (await store.lastCount("p1")) + 1);
      await expectWhole(store, await commit(store, { ...plan(1, state), id }));
    }
  });

  test("by a piece that waits for its manifest is not removed with the last snapshot that had it", async () => {
    const { directory, store } = newStore({ graceMs: 60_000 });
    const state = new State(100, 4);
    await commit(store, plan(1, state));
    age(directory);
    const waiting = await writePieces(store, plan(2, state));
    const other = another(directory, { graceMs: 60_000 });
    expect(await other.delete("p1/1")).toBe(true);
    await store.writeManifest(waiting.manifest);
    await expectWhole(store, waiting);
  });

  test("is not of another process' piece, nor of a snapshot that was abandoned and is gone", async () => {
    const { directory, store } = newStore();
    const state = new State(100, 5);
    await writePieces(store, plan(1, state));
    await store.abandon("p1/1");
    expect(filesIn(join(directory, "parts"))).toEqual([]);
    await expectWhole(store, await commit(store, plan(2, state)));
  });
});

describe("a store that compresses", () => {
  test("keeps what shrinks as zstd in a pack, and the rest as it is", async () => {
    const { directory, store } = newStore({ compressLevel: 3 });
    const text = Buffer.from("one and the same, again and again. ".repeat(4_000));
    const states = { p1: [text, bytes(70_000), text.subarray(0, 3_000), new Uint8Array()] };
    const snapshot = await commit(store, { id: "p1/1", states, inFlight: 20 });
    const [large, random, small, empty] = (snapshot.manifest.pieces[0]?.state.parts ??
      []) as PartReference[];
    expect(large).toMatchObject({ sha256: hash("sha256", text), bytes: text.length });
    expect(large?.zstd).toBeLessThan(1_000);
    expect(random).toEqual({ sha256: hash("sha256", bytes(70_000)), bytes: 70_000 });
    expect(readFileSync(pathOf(directory, random as PartReference)).length).toBe(70_000);
    expect(small?.zstd).toBeLessThan(200);
    expect(empty).not.toHaveProperty("zstd");
    const { offset = 0, zstd = 0 } = large as PartReference;
    const file = readFileSync(pathOf(directory, large as PartReference));
    expect(zstdDecompressSync(file.subarray(offset, offset + zstd)).equals(text)).toBe(true);
    // A store that does not compress reads it all the same.
    await expectWhole(another(directory), snapshot);
    const stored = await store.get("p1/1");
    if (!stored) throw new Error("it is not there");
    expect(await new GlobalSnapshot(stored).verify()).toMatchObject({ consistent: true });
  });

  test("notices damage of any byte of what it compressed, also if it becomes very long", async () => {
    const { directory, store } = newStore({ compressLevel: 3 });
    const states = { p1: [Buffer.from("abc ".repeat(1_000))] };
    const snapshot = await commit(store, { id: "p1/1", states, inFlight: 0 });
    const part = snapshot.manifest.pieces[0]?.state.parts[0] as PartReference;
    const path = pathOf(directory, part);
    const whole = readFileSync(path);
    const stored = await store.get("p1/1");
    let harmless = 0;
    for (let at = 0; at < whole.length; at++)
      for (const bit of [0, 3, 7]) {
        const flipped = Buffer.from(whole);
        flipped[at] = (flipped[at] as number) ^ (1 << bit);
        writeFileSync(path, flipped);
        // A frame may say the same in another way: then the bytes are right.
        const content = await stored?.part(part).catch(() => undefined);
        if (content) harmless += 1;
        else await expectDamaged((async () => stored?.part(part))(), path);
      }
    expect(harmless).toBeLessThan(4);
    writeFileSync(path, whole);
    for (const bytes of [3, 5_000, 9_007_199_254_740_991])
      await expectDamaged((async () => stored?.part({ ...part, bytes }))(), path);
    await expectWhole(store, snapshot);
  });

  test("and any other, compresses a manifest of many slices, which is JSON all the same", async () => {
    const { directory, store } = newStore();
    const snapshot = await commit(store, plan(1, new State(1_000, 6)));
    const file = readFileSync(join(directory, "snapshots", "p1-1.json"));
    const text = zstdDecompressSync(file).toString();
    const { sha256, ...manifest } = JSON.parse(text);
    expect(manifest).toEqual(snapshot.manifest);
    expect(sha256).toBe(hash("sha256", text.slice(text.indexOf("\n") + 1)));
    expect(file.length).toBeLessThan(60 * 1_000);
    for (let at = 0; at < file.length; at += 1_009) {
      const flipped = Buffer.from(file);
      flipped[at] = (flipped[at] as number) ^ 4;
      writeFileSync(join(directory, "snapshots", "p1-1.json"), flipped);
      await expectDamaged(store.get("p1/1"), join(directory, "snapshots", "p1-1.json"));
    }
  });
});

describe("a store that encrypts", () => {
  const states = { p1: [bytes(70_000), bytes(300)], p2: [bytes(2_000)] };
  const listOf = async (store: SnapshotStore): Promise<SnapshotId[]> => {
    const ids: SnapshotId[] = [];
    for await (const { id } of store.list()) ids.push(id);
    return ids;
  };

  test("is refused without its key or with another, by name, whatever is asked", async () => {
    const { directory, store } = newStore({ key: KEY });
    const snapshot = await commit(store, { id: "p1/1", states });
    await store.close();
    for (const [code, options] of [
      ["KEY_REQUIRED", {}],
      ["WRONG_KEY", { key: OTHER_KEY }],
    ] as const) {
      const locked = another(directory, options);
      for (const asked of [
        () => listOf(locked),
        () => locked.get("p1/1"),
        () => locked.files("p1/1"),
        () => locked.label("p1/1", "x"),
        () => locked.delete("p1/1"),
        () => commit(locked, { id: "p1/2" }),
      ])
        await expect(asked()).rejects.toMatchObject({
          code,
          message: expect.stringContaining("p1/1"),
        });
      // A snapshot of a process that does not know the key is refused as well, and the one that is there is whole.
      expect(await locked.lastCount("p1")).toBe(2);
    }
    expect(filesIn(join(directory, "open"))).toEqual([]);
    await expectWhole(another(directory, { key: KEY }), snapshot);
  });

  test("leaves nothing in its files that can be read, nor that is equal where contents are", async () => {
    const { directory, store } = newStore({ key: KEY });
    const secret = Buffer.from("the balance is 4711. ".repeat(20));
    const same = { p1: [secret, bytes(100)], p2: [bytes(101), secret], p3: [secret] };
    const snapshot = await commit(store, { id: "p1/1", states: same, label: "a secret label" });
    const files = filesIn(directory).map((file) => readFileSync(join(directory, file)));
    const all = Buffer.concat(files).toString("latin1");
    for (const clear of [
      "balance",
      "4711",
      "secret label",
      "message 4",
      snapshot.parts[0]?.[0].sha256,
    ])
      expect(all).not.toContain(clear);
    expect(filesIn(directory).join()).not.toContain(hash("sha256", secret));
    // Where the same slice lies in two files, these have no run of 16 bytes in common.
    const runs = new Map<string, number>();
    for (const [file, content] of files.entries()) {
      // All begin with what says that they are encrypted.
      const begin = content.subarray(0, 9).toString() === "tidemark-" ? 34 : 0;
      for (let at = begin; at + 16 <= content.length; at++) {
        const run = content.toString("latin1", at, at + 16);
        expect(runs.get(run) ?? file).toBe(file);
        runs.set(run, file);
      }
    }
    await expectWhole(store, snapshot);
  });

  test("notices damage of any byte of a manifest or a part", async () => {
    const { directory, store } = newStore({ key: KEY, compressLevel: 1 });
    const snapshot = await commit(store, {
      id: "p1/1",
      states: { p1: [bytes(30), Buffer.from("a".repeat(500))] },
    });
    const manifest = join(directory, "snapshots", "p1-1.json");
    const whole = readFileSync(manifest);
    const codes = new Set<string>();
    for (let at = 0; at < whole.length; at += 3) {
      const flipped = Buffer.from(whole);
      flipped[at] = (flipped[at] as number) ^ (1 << (at % 8));
      writeFileSync(manifest, flipped);
      const error = await store.get("p1/1").catch((reason: unknown) => reason);
      if (!isTidemarkError(error)) throw new Error(`byte ${at} is not missed`, { cause: error });
      codes.add(error.code);
      // What says which key it was is not told from another key.
      if (error.code === "WRONG_KEY") expect(at).toBeLessThan(34);
    }
    expect([...codes].sort()).toEqual(["DAMAGED", "WRONG_KEY"]);
    for (let length = 0; length < whole.length; length += 11) {
      writeFileSync(manifest, whole.subarray(0, length));
      await expect(store.get("p1/1")).rejects.toMatchObject({ code: "DAMAGED" });
    }
    writeFileSync(manifest, whole);
    const stored = await store.get("p1/1");
    for (const part of partsOf(snapshot.manifest)) {
      const path = pathOf(directory, part);
      const content = readFileSync(path);
      const length = (part.zstd ?? part.bytes) + 16;
      const spots = [0, 31, ...Array.from({ length }, (_, i) => (part.offset ?? 0) + i)];
      for (const at of spots) {
        const flipped = Buffer.from(content);
        flipped[at] = (flipped[at] as number) ^ 16;
        writeFileSync(path, flipped);
        await expectDamaged((async () => stored?.part(part))(), path);
      }
      writeFileSync(path, content);
    }
    await expectWhole(store, snapshot);
  });

  test("takes no file in place of another, nor a plain one", async () => {
    const { directory, store } = newStore({ key: KEY });
    const first = await commit(store, { id: "p1/1", states });
    const second = await commit(store, { id: "p1/2", states: { ...states, p2: [bytes(2_001)] } });
    const file = (count: number) => join(directory, "snapshots", `p1-${count}.json`);
    const [one, two] = [readFileSync(file(1)), readFileSync(file(2))];
    // Another snapshot under this name, and a plain one that somebody without the key has made.
    writeFileSync(file(2), one);
    await expectDamaged(store.get("p1/2"), file(2));
    const forger = newStore();
    await commit(forger.store, { id: "p1/2", states });
    copyFileSync(join(forger.directory, "snapshots", "p1-2.json"), file(2));
    await expect(store.get("p1/2")).rejects.toMatchObject({ code: "WRONG_KEY" });
    writeFileSync(file(2), two);
    // One file of parts in place of another of the same length.
    const [a, b] = [first, second].map(({ manifest }) =>
      pathOf(directory, manifest.pieces[0]?.state.parts[1] as PartReference),
    ) as [string, string];
    const third = await commit(store, {
      id: "p1/3",
      states: { p1: [bytes(70_000), bytes(300).reverse()], p2: [] },
    });
    const c = pathOf(directory, third.manifest.pieces[0]?.state.parts[1] as PartReference);
    expect(c).not.toBe(a);
    expect(a).not.toBe("");
    expect(b).not.toBe("");
    const content = readFileSync(a);
    copyFileSync(c, a);
    const stored = await store.get("p1/1");
    const part = first.manifest.pieces[0]?.state.parts[1] as PartReference;
    await expectDamaged((async () => stored?.part(part))(), a);
    writeFileSync(a, content);
    for (const snapshot of [first, second, third]) await expectWhole(store, snapshot);
  });

  test("refuses a snapshot of which one piece was written without the key", async () => {
    const { directory, store } = newStore({ key: KEY });
    const plain = another(directory);
    const { manifest } = await writePieces(plain, { id: "p1/1", states });
    await expect(store.writeManifest(manifest)).rejects.toMatchObject({
      code: "KEY_REQUIRED",
      message: expect.stringContaining("without the key"),
    });
    const sealed = await writePieces(store, { id: "p1/2", states });
    await expect(plain.writeManifest(sealed.manifest)).rejects.toMatchObject({
      code: "KEY_REQUIRED",
    });
    expect(filesIn(join(directory, "snapshots"))).toEqual([]);
  });

  test("and options that cannot be used are refused", () => {
    for (const options of [
      { key: new Uint8Array(31) },
      { key: "x".repeat(32) as never },
      { compressLevel: -1 },
      { compressLevel: 20 },
      { compressLevel: 1.5 },
    ])
      expect(() => directoryStore("x", options)).toThrow(
        expect.objectContaining({ code: "BAD_OPTION" }),
      );
  });
});

test("the files of a snapshot are told with their size, shared ones in each", async () => {
  const { directory, store } = newStore();
  await commit(store, { id: "p1/1", states: { p1: [bytes(70_000)], p2: [bytes(80_000)] } });
  await commit(store, { id: "p1/2", states: { p1: [bytes(70_000)], p2: [bytes(90_000)] } });
  const [first, second] = [await store.files("p1/1"), await store.files("p1/2")];
  for (const files of [first, second])
    for (const [file, size] of files ?? []) expect(statSync(join(directory, file)).size).toBe(size);
  expect(first?.has(join("snapshots", "p1-1.json"))).toBe(true);
  const shared = [...(first?.keys() ?? [])].filter((file) => second?.has(file));
  expect(shared.map((file) => first?.get(file))).toContain(70_000);
  expect(await store.files("p1/3")).toBeUndefined();
});

describe("the record of an epoch in a store that encrypts", () => {
  const record = (epoch: number) => ({
    epoch,
    snapshot: "p1/1" as const,
    atMs: 1,
    by: "the owner",
  });

  test("is sealed: nobody else can read it, write it, or exchange it for another", async () => {
    const { directory, store } = newStore({ key: KEY });
    await commit(store, { id: "p1/1" });
    await store.beginEpoch(record(2));
    const path = (epoch: number): string => join(directory, "epochs", `${epoch}.json`);
    const sealed = readFileSync(path(2));
    expect(sealed.toString("latin1")).not.toContain("owner");
    expect(await another(directory, { key: KEY }).epoch()).toEqual(record(2));
    const codeOf = async (options: DirectoryStoreOptions): Promise<unknown> =>
      await another(directory, options)
        .epoch()
        .then(
          () => "read",
          (error: { code?: string }) => error.code,
        );
    expect(await codeOf({})).toBe("KEY_REQUIRED");
    expect(await codeOf({ key: OTHER_KEY })).toBe("WRONG_KEY");
    for (let at = 0; at < sealed.length; at++) {
      const spoiled = Buffer.from(sealed);
      spoiled[at] = (spoiled[at] as number) ^ 1;
      writeFileSync(path(2), spoiled);
      expect(await codeOf({ key: KEY })).toMatch(/^(DAMAGED|WRONG_KEY)$/);
    }
    // An older record under a later number, and one that is plain.
    writeFileSync(path(2), sealed);
    writeFileSync(path(3), sealed);
    expect(await codeOf({ key: KEY })).toBe("DAMAGED");
    const plain = newStore();
    await commit(plain.store, { id: "p1/1" });
    await plain.store.beginEpoch(record(3));
    copyFileSync(join(plain.directory, "epochs", "3.json"), path(3));
    expect(await codeOf({ key: KEY })).toBe("WRONG_KEY");
  });
});
