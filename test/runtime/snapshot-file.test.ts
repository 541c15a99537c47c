/** A snapshot as one file: there and back, and whatever else comes in. */
import { execFileSync } from "node:child_process";
import { hash } from "node:crypto";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, onTestFinished, test } from "vitest";
import { isTidemarkError } from "../../src/core/error.ts";
import { directoryStore } from "../../src/runtime/directory-store.ts";
import { GlobalSnapshot } from "../../src/runtime/global-snapshot.ts";
import { memoryStore } from "../../src/runtime/memory-store.ts";
import { exportSnapshot, importSnapshot } from "../../src/runtime/snapshot-file.ts";
import type { SnapshotStore, StoredSnapshot } from "../../src/runtime/snapshot-store.ts";
import { bytes, commit, type Snapshot } from "../../src/runtime/snapshot-store-contract.ts";
import { type Manifest, partsOf } from "../../src/snapshot/manifest.ts";
import { cases } from "../support/soak.ts";
import { filesIn, newDirectory } from "./directory-store-support.ts";

const KEY = new Uint8Array(32).fill(7);

async function fileOf(stored: StoredSnapshot | undefined): Promise<Buffer> {
  if (!stored) throw new Error("it is not there");
  const chunks: Uint8Array[] = [];
  for await (const chunk of exportSnapshot(stored)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function exported(plan: Parameters<typeof commit>[1]): Promise<Buffer & Partial<Snapshot>> {
  const store = memoryStore();
  const snapshot = await commit(store, plan);
  return Object.assign(await fileOf(await store.get(plan.id)), snapshot);
}

/** What is of a snapshot, wherever its parts lie. */
function bare({ pieces, ...manifest }: Manifest): unknown {
  const text = JSON.stringify(pieces, (key, value) =>
    ["pack", "offset", "zstd", "sealed"].includes(key) ? undefined : value,
  );
  return { ...manifest, pieces: JSON.parse(text) };
}

async function expectSame(store: SnapshotStore, { manifest, parts }: Snapshot): Promise<void> {
  const stored = await store.get(manifest.id);
  if (!stored) throw new Error(`${manifest.id} is not there`);
  expect(bare(stored.manifest)).toEqual(bare(manifest));
  const contents = new Map(parts.map(([{ sha256 }, content]) => [sha256, content]));
  for (const part of partsOf(stored.manifest))
    expect(Buffer.compare(await stored.part(part), contents.get(part.sha256) as Uint8Array)).toBe(
      0,
    );
  expect(await new GlobalSnapshot(stored).verify()).toMatchObject({ consistent: true });
}

/** Cut into pieces of that many bytes. */
function* cut(content: Uint8Array, every: number): Generator<Uint8Array> {
  for (let at = 0; at < content.length; at += every) yield content.subarray(at, at + every);
}

/** Nothing is there, nor left over, and it is said why. */
async function expectRefused(content: Uint8Array, reason: RegExp, code = "DAMAGED"): Promise<void> {
  const directory = newDirectory(onTestFinished);
  const store = directoryStore(directory, { sync: false, graceMs: 0 });
  const imported = importSnapshot(store, [content], { name: "it.tar" });
  await expect(imported).rejects.toMatchObject({ code, message: expect.stringMatching(reason) });
  for await (const { id } of store.list()) throw new Error(`${id} is there`);
  await store.close();
  expect(filesIn(directory).filter((file) => !file.endsWith(".used"))).toEqual([]);
}

const shared = bytes(70_000);
const PLAN = {
  id: "p1/7",
  label: "before",
  states: { p1: [shared, bytes(5), shared], p2: [new Uint8Array()], p3: [shared] },
} as const;

describe("there and back", () => {
  for (const [from, to] of [
    [{}, {}],
    [{ compressLevel: 1, key: KEY }, {}],
    [{}, { compressLevel: 1, key: KEY }],
  ] as const)
    test(`a snapshot is the same (${Object.keys(from)} to ${Object.keys(to)})`, async () => {
      const source = directoryStore(newDirectory(onTestFinished), { sync: false, ...from });
      const snapshot = await commit(source, PLAN);
      const file = await fileOf(await source.get(PLAN.id));
      const target = directoryStore(newDirectory(onTestFinished), { sync: false, ...to });
      const told: number[] = [];
      const imported = await importSnapshot(target, cut(file, 1_000), {
        onProgress: (done, of) => told.push(done / of),
      });
      expect(imported.id).toBe(PLAN.id);
      expect(told.at(-1)).toBe(1);
      expect(told).toEqual([...told].sort());
      await expectSame(target, snapshot);
      expect((await fileOf(await target.get(PLAN.id))).equals(file)).toBe(true);
      await Promise.all([source.close(), target.close()]);
    });

  test("however the bytes are cut, also one by one", async () => {
    const file = await exported({ id: "p1/1" });
    for (const every of [1, 7, 511, 513, 1_000_000]) {
      const store = memoryStore();
      await importSnapshot(store, cut(file, every));
      await expectSame(store, file as never);
    }
  });

  test("tar lists the file and takes it apart, and sha256sum finds each part right", async () => {
    const file = await exported(PLAN);
    const directory = newDirectory(onTestFinished);
    writeFileSync(join(directory, "it.tar"), file);
    const listing = execFileSync("tar", ["tf", "it.tar"], { cwd: directory, encoding: "utf8" });
    const names = listing.trimEnd().split("\n");
    expect(names[0]).toBe("p1-7/manifest.json");
    expect(new Set(names).size).toBe(names.length);
    execFileSync("tar", ["xf", "it.tar"], { cwd: directory });
    expect(statSync(join(directory, "p1-7/manifest.json")).mode & 0o777).toBe(0o600);
    for (const name of names.slice(1)) {
      const content = readFileSync(join(directory, name));
      expect(name).toBe(`p1-7/parts/${hash("sha256", content)}`);
    }
    expect(names.length).toBe(1 + new Set(file.parts?.map(([{ sha256 }]) => sha256)).size);
    // What another tar makes of the same files, in that order, can be imported.
    const again = newDirectory(onTestFinished);
    execFileSync("tar", ["--format=ustar", "-cf", join(again, "x.tar"), ...names], {
      cwd: directory,
    });
    const store = memoryStore();
    await importSnapshot(store, [readFileSync(join(again, "x.tar"))]);
    await expectSame(store, file as never);
  });
});

describe("a file is refused, and nothing is left of it,", () => {
  test("if it was cut, anywhere", async () => {
    const file = await exported({ id: "p1/1", states: { p1: [bytes(600)], p2: [bytes(9)] } });
    const step = cases("snapshot-file-cut", 97, 1);
    for (let length = 0; length < file.length - 512; length += step)
      await expectRefused(file.subarray(0, length), /it ends too early/);
  });

  test("if any byte has changed", async () => {
    const file = await exported({ id: "p1/1", states: { p1: [bytes(600)], p2: [bytes(9)] } });
    const step = cases("snapshot-file-flip", 41, 1);
    let refused = 0;
    for (let at = 0; at < file.length; at += step) {
      const flipped = Buffer.from(file);
      flipped[at] = (flipped[at] as number) ^ (1 << (at % 8));
      const store = memoryStore();
      const error = await importSnapshot(store, [flipped]).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      // Some bytes of a header say nothing: a space at the end of a number.
      if (error === undefined) {
        await expectSame(store, file as never);
        continue;
      }
      expect(isTidemarkError(error, "DAMAGED"), `byte ${at}: ${error}`).toBe(true);
      refused += 1;
      for await (const { id } of store.list()) throw new Error(`${id} is there`);
    }
    const spoiled = Buffer.from(file);
    spoiled[file.indexOf(bytes(600).subarray(0, 64)) + 5] = 0;
    await expectRefused(
      spoiled,
      /^it\.tar cannot be imported: part [0-9a-f]{64} is not what was written$/,
    );
    expect(refused).toBeGreaterThan(0.98 * Math.floor(file.length / step));
  });

  test("if it is something else, or more, or in another order", async () => {
    const file = await exported({ id: "p1/1", states: { p1: [bytes(600)], p2: [bytes(9)] } });
    await expectRefused(new Uint8Array(), /it ends too early/);
    await expectRefused(new Uint8Array(1024), /it is empty/);
    await expectRefused(Buffer.from("hello ".repeat(500)), /no tar archive/);
    await expectRefused(Buffer.concat([file, Buffer.from("x")]), /behind its end/);
    const directory = newDirectory(onTestFinished);
    writeFileSync(join(directory, "it.tar"), file);
    execFileSync("tar", ["xf", "it.tar"], { cwd: directory });
    const tar = (...names: readonly string[]): Buffer =>
      execFileSync("tar", ["--format=ustar", "-cf", "-", ...names], { cwd: directory });
    const parts = filesIn(join(directory, "p1-1/parts")).map((name) => `p1-1/parts/${name}`);
    const inOrder = [...partsOf(file.manifest as Manifest)].map(
      ({ sha256 }) => `p1-1/parts/${sha256}`,
    );
    expect(inOrder.length).toBe(parts.length);
    const [manifest, extra] = ["p1-1/manifest.json", "p1-1/more"];
    writeFileSync(join(directory, extra), "more");
    mkdirSync(join(directory, "p1-1/folder"));
    await expectRefused(tar(manifest, ...[...inOrder].reverse()), /is missing where it should be/);
    await expectRefused(tar(manifest, ...inOrder.slice(1)), /is missing where it should be/);
    await expectRefused(tar(manifest, ...inOrder, extra), /more in it than the manifest says/);
    await expectRefused(tar(manifest, "p1-1/folder"), /something that is not a file/);
    await expectRefused(tar(extra, ...inOrder), /does not begin with the manifest/);
  });

  test("if its manifest is not that of a consistent snapshot, though every hash is right", async () => {
    const lie = (manifest: Manifest): Manifest => ({
      ...manifest,
      pieces: manifest.pieces.map((piece, i) =>
        i > 0
          ? piece
          : { ...piece, incoming: piece.incoming.map((one) => ({ ...one, received: 4 })) },
      ),
    });
    const store = memoryStore();
    await commit(store, { id: "p1/1", inFlight: 0 });
    const stored = (await store.get("p1/1")) as StoredSnapshot;
    const file = await fileOf({ manifest: lie(stored.manifest), part: (one) => stored.part(one) });
    await expectRefused(file, /p1\/1 is not consistent: channel/);
    // A length that is not that of the part.
    const text = JSON.stringify(stored.manifest).replace('"bytes":11', '"bytes":14');
    const wrong = await fileOf({
      manifest: JSON.parse(text),
      part: (one) => stored.part({ ...one, bytes: one.bytes === 14 ? 11 : one.bytes }),
    });
    await expectRefused(wrong, /has 11 bytes, not 14/);
  });

  test("if a snapshot of its id is there already, which stays as it is", async () => {
    const file = await exported({ id: "p1/1", label: "new" });
    const store = memoryStore();
    const snapshot = await commit(store, { id: "p1/1", states: { p1: [bytes(20)] } });
    await expect(importSnapshot(store, [file])).rejects.toMatchObject({
      code: "STORE_FAILED",
      message: expect.stringContaining("p1/1 is in the store already, and it is another snapshot"),
    });
    await expectSame(store, snapshot);
    const empty = memoryStore();
    await importSnapshot(empty, [file]);
    await expect(importSnapshot(empty, [file])).rejects.toThrow(
      /p1\/1 is in the store already: nothing/,
    );
  });

  test("whatever bytes come, with a code and no crash", async () => {
    const file = await exported({ id: "p1/1", states: { p1: [bytes(600)], p2: [bytes(9)] } });
    const change = fc.record({
      at: fc.nat({ max: file.length - 1 }),
      bytes: fc.uint8Array({ maxLength: 600 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
        const other = Buffer.from(file);
        for (const { at, bytes } of changes) other.set(bytes.subarray(0, other.length - at), at);
        const store = memoryStore();
        const error = await importSnapshot(store, cut(other, 700)).then(
          () => undefined,
          (reason: unknown) => reason,
        );
        if (error === undefined) await expectSame(store, file as never);
        else expect(isTidemarkError(error, "DAMAGED"), String(error)).toBe(true);
      }),
      { seed: 11, numRuns: cases("snapshot-file-fuzz", 200, 20_000) },
    );
  });

  test("if it cannot be read, or the store fails, with that reason", async () => {
    const file = await exported({ id: "p1/1" });
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield file.subarray(0, 700);
      throw new Error("the cable is out");
    }
    await expect(importSnapshot(memoryStore(), broken())).rejects.toMatchObject({
      code: "STORE_FAILED",
      message: "cannot read the file: the cable is out",
    });
  });
});
