import { createHash } from "node:crypto";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { zstdDecompressSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { Random } from "../../src/core/random.ts";
import { FrozenState, MemoryNetwork, startProcess } from "../../src/index.ts";
import { directoryStore } from "../../src/runtime/directory-store.ts";
import { decodeManifest, encodeManifest, manifestJson } from "../../src/runtime/manifest-file.ts";
import type { SnapshotStore } from "../../src/runtime/snapshot-store.ts";
import {
  bytes,
  commit,
  expectWhole,
  writePieces,
} from "../../src/runtime/snapshot-store-contract.ts";
import type { Manifest } from "../../src/snapshot/manifest.ts";
import { checkManifest, PARTS_AT_ONCE } from "../../src/snapshot/manifest-check.ts";
import { type Files, validSnapshot } from "../snapshot/support/snapshots.ts";
import { cases } from "../support/soak.ts";
import { expectNoLitter, filesIn, newDirectory } from "./directory-store-support.ts";

type LooseManifest = Files["manifest"];

/** One whose states have so many slices, `undefined` for one that is not sliced; what else is in it depends on the seed. */
function manifestOf(seed: number, counts: readonly (number | undefined)[]): LooseManifest {
  const { manifest } = validSnapshot({ seed, processes: counts.length, deeds: 40 }).snapshot;
  for (const [i, count] of counts.entries()) {
    const { state } = manifest.pieces[i] as LooseManifest["pieces"][number];
    state.sliced = count !== undefined;
    state.parts = Array.from({ length: count ?? 1 }, (_, n) => ({
      sha256: createHash("sha256").update(`${seed} ${i} ${n}`).digest("hex"),
      bytes: n,
      ...(n % 3 === 0 ? {} : { pack: "5".repeat(64), offset: 7 * n }),
      ...(n % 3 === 2 ? { zstd: n, sealed: true as const } : {}),
    }));
  }
  return manifest;
}

/** The file of a manifest as the format has it, made all at once. */
function plainJson(manifest: Manifest): string {
  const checked = checkManifest(manifest);
  if ("problem" in checked) throw new Error(checked.problem);
  const lines = `${JSON.stringify(checked.manifest, null, 2).slice("{\n".length)}\n`;
  return `{ "sha256": "${createHash("sha256").update(lines).digest("hex")}",\n${lines}`;
}

const text = (file: Uint8Array): string => Buffer.from(file).toString("utf8");
/** Where two texts begin to differ, and how they go on; a difference of all of them would take minutes to be made. */
const differenceOf = (one: string, other: string): string => {
  let at = 0;
  while (at < one.length && one[at] === other[at]) at += 1;
  const rest = (text: string): string => JSON.stringify(text.slice(at, at + 40));
  return one === other ? "none" : `at ${at}: ${rest(one)}, ${rest(other)}`;
};
const ZSTD = "28b52ffd";
const unpacked = (file: Uint8Array): Uint8Array =>
  Buffer.from(file.subarray(0, 4)).toString("hex") === ZSTD ? zstdDecompressSync(file) : file;

describe("a manifest that is written in pieces", () => {
  const sizes = fc.constantFrom(undefined, 0, 1, 2, 99, 100, 101, 199, 200, 201, 1_000);
  /** Texts with all that the writing looks for, and what takes more than a byte. */
  const texts = fc.oneof(
    fc.constantFrom('"parts": []', '\\"parts": []', '",\n', "{\n", "\u2028é\u{1f30a}", "\ud800"),
    fc.string({ unit: "binary", minLength: 1, maxLength: 50 }),
  );

  test("is byte for byte what it is when written at once, and reads back the same", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer(),
        fc.array(sizes, { minLength: 2, maxLength: 5 }),
        fc.record({ label: texts, system: texts, encoding: texts }),
        async (seed, counts, { label, system, encoding }) => {
          const manifest = { ...manifestOf(seed, counts), label, system };
          for (const { state } of manifest.pieces) state.encoding = encoding;
          const before = structuredClone(manifest);
          const file = await encodeManifest(manifest, undefined);
          const plain = plainJson(manifest);
          expect(differenceOf(text(unpacked(file)), plain)).toBe("none");
          expect(differenceOf(text(manifestJson(manifest)), plain)).toBe("none");
          // Also a surrogate that is alone, which no UTF-8 can hold, but JSON can.
          expect(decodeManifest(manifest.id, file, undefined)).toEqual({ manifest: before });
          expect(manifest).toEqual(before);
        },
      ),
      { seed: 20_261_126, numRuns: cases("manifest-file", 60, 3_000) },
    );
  });

  test("may have thousands of slices", async () => {
    const manifest = manifestOf(1, [12_345, undefined, 0, 5_000]);
    const file = await encodeManifest(manifest, undefined);
    expect(differenceOf(text(unpacked(file)), plainJson(manifest))).toBe("none");
    expect(isDeepStrictEqual(decodeManifest(manifest.id, file, undefined), { manifest })).toBe(
      true,
    );
  });

  test("is what it was when that began, whatever becomes of the original", async () => {
    const manifest = manifestOf(2, [3_000, 3_000]);
    const before = structuredClone(manifest);
    const writing = encodeManifest(manifest, undefined);
    await nextTurn();
    manifest.system = "another";
    for (const part of manifest.pieces[0]?.state.parts.slice(0, PARTS_AT_ONCE) ?? [])
      part.bytes = 7;
    expect(decodeManifest(manifest.id, await writing, undefined)).toEqual({ manifest: before });
  });

  test("and has something wrong late in it is not written", async () => {
    const manifest = manifestOf(3, [10, 5_000]);
    Object.assign(manifest.pieces[1]?.state.parts[4_999] ?? {}, { bytes: -1 });
    const error = await encodeManifest(manifest, undefined).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: "DAMAGED",
      message: expect.stringContaining(
        "pieces[#1].state.parts[#4999].bytes must be a whole number, 0 or more",
      ),
    });
  });
});

describe("others have their turns", () => {
  /** How many turns of the event loop others have had while it went on. */
  async function turnsDuring(work: () => unknown): Promise<number> {
    let turns = 0;
    let next: NodeJS.Immediate;
    const turn = (): void => {
      turns += 1;
      next = setImmediate(turn);
    };
    next = setImmediate(turn);
    await work();
    clearImmediate(next);
    return turns;
  }

  test("while a manifest is checked, put into words and put together, a turn for each hundred parts", async () => {
    const counts = [6_000, 3_000, undefined];
    const manifest = manifestOf(4, counts);
    const hundreds = 9_000 / PARTS_AT_ONCE;
    expect(await turnsDuring(() => encodeManifest(manifest, undefined))).toBeGreaterThan(
      3 * hundreds,
    );
    // Written at once, nobody has any.
    expect(await turnsDuring(() => manifestJson(manifest))).toBe(0);
  });

  test("but a small manifest makes nobody wait for turns that it does not need", async () => {
    expect(
      await turnsDuring(() => encodeManifest(manifestOf(5, [undefined, undefined, 1]), undefined)),
    ).toBeLessThan(12);
  });

  test("while a store writes a piece of many slices, and its manifest", async () => {
    const store = directoryStore(newDirectory(onTestFinished), { sync: false });
    const states = {
      p1: Array.from({ length: 5_000 }, (_, i) => bytes(8 + (i % 90))),
      p2: [bytes(3)],
    };
    const snapshot = await writePieces(store, { id: "p1/1", states });
    const { manifest } = snapshot;
    // Of its own it takes a few turns for the files.
    const others = await turnsDuring(() => store.writeManifest(manifest));
    expect(others).toBeGreaterThan((3 * 5_000) / PARTS_AT_ONCE);
    await expectWhole(store, snapshot);
    await store.close();
  });
});

describe("what ends in the middle leaves no half of a snapshot", () => {
  const listed = async (store: SnapshotStore): Promise<string[]> => {
    const ids: string[] = [];
    const fail = (error: Error): void => {
      throw error;
    };
    for await (const { id } of store.list(fail)) ids.push(id);
    return ids;
  };
  const states = {
    p1: Array.from({ length: 2_000 }, (_, i) => bytes(8 + (i % 90))),
    p2: [bytes(3)],
  };

  test("when it is abandoned while its manifest is being put together", async () => {
    for (const turns of [0, 1, 5, 20, 40]) {
      const directory = newDirectory(onTestFinished);
      const store = directoryStore(directory, { sync: false, graceMs: 0 });
      const { manifest } = await writePieces(store, { id: "p1/1", states });
      const writing = store.writeManifest(manifest);
      for (let i = 0; i < turns; i += 1) await nextTurn();
      await Promise.all([
        store.abandon("p1/1"),
        expect(writing).rejects.toMatchObject({ code: "DAMAGED" }),
      ]);
      expect(await listed(store)).toEqual([]);
      await expectWhole(store, await commit(store, { id: "p1/2", states }));
      expect(await listed(store)).toEqual(["p1/2"]);
      await expectNoLitter(directory, store);
      await store.close();
    }
  });

  test("when its store is closed meanwhile, which waits", async () => {
    const directory = newDirectory(onTestFinished);
    const store = directoryStore(directory, { sync: false });
    const snapshot = await writePieces(store, { id: "p1/1", states });
    const writing = store.writeManifest(snapshot.manifest);
    await store.close();
    expect(filesIn(join(directory, "snapshots"))).toEqual(["p1-1.json"]);
    expect(filesIn(join(directory, "open"))).toEqual([]);
    await writing;
    await expectWhole(store, snapshot);
  });

  /** What comes of a snapshot of thousands of slices whose caller gives up after so many turns, and how many it takes. */
  async function givenUpAfter(
    turns: number,
  ): Promise<{ readonly ids: string[]; readonly taken: number }> {
    const directory = newDirectory(onTestFinished);
    const store = directoryStore(directory, { sync: false, graceMs: 0 });
    const giving = new AbortController();
    let slice = 0;
    const running = await startProcess<never, number[]>({
      ...{ id: "a", processes: ["a"], store, transport: new MemoryNetwork().transport() },
      application: {
        capture: () => new FrozenState(() => (slice++ < 2_000 ? slice : undefined)),
        restore: () => {},
      },
    });
    const taking = running.snapshot({ signal: giving.signal }).then(
      () => "taken",
      (error: { code: string }) => error.code,
    );
    let taken = 0;
    let isOver = false;
    void taking.then(() => {
      isOver = true;
    });
    for (; !isOver && taken < turns; taken += 1) await nextTurn();
    if (!isOver) giving.abort();
    const outcome = await taking;
    // Who gave up does not wait for what it wrote to be removed, or for its manifest if that is being written already.
    await vi.waitFor(() => expectNoLitter(directory, store), { timeout: 20_000, interval: 5 });
    await running.stop();
    await store.close();
    const ids = await listed(store);
    if (outcome === "taken") expect(ids).toEqual(["a/1"]);
    for (const id of ids as "a/1"[]) {
      const snapshot = await store.get(id);
      expect(snapshot?.manifest.pieces[0]?.state.parts).toHaveLength(2_000);
      for (const part of snapshot?.manifest.pieces[0]?.state.parts.slice(-3) ?? [])
        expect(await snapshot?.part(part)).toHaveLength(part.bytes);
    }
    return { ids, taken };
  }

  test("when the caller gives up: it is there as a whole, or nothing of it is", async () => {
    const { taken, ids } = await givenUpAfter(Number.POSITIVE_INFINITY);
    expect(ids).toEqual(["a/1"]);
    const random = new Random("giving up");
    for (let i = 0; i < cases("manifest-given-up", 12, 1_000); i += 1)
      await givenUpAfter(random.below(taken));
    expect((await givenUpAfter(0)).ids).toEqual([]);
  });
});
