/** An exported snapshot, read from its bytes alone, and whatever else comes. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isTidemarkError } from "../../src/core/error.ts";
import { memoryStore } from "../../src/runtime/memory-store.ts";
import { exportSnapshot } from "../../src/runtime/snapshot-file.ts";
import { bytes, commit } from "../../src/runtime/snapshot-store-contract.ts";
import { readManifest, SnapshotArchive } from "../../src/snapshot/archive.ts";
import { partsOf } from "../../src/snapshot/manifest.ts";
import { verifySnapshot } from "../../src/snapshot/verify.ts";
import { cases } from "../support/soak.ts";

async function exported(): Promise<Uint8Array> {
  const store = memoryStore();
  const states = { p1: [bytes(700), bytes(5)], p2: [new Uint8Array()] };
  await commit(store, { id: "p1/7", label: "before", states });
  const stored = await store.get("p1/7");
  if (!stored) throw new Error("it is not there");
  const chunks: Uint8Array[] = [];
  for await (const chunk of exportSnapshot(stored)) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}

/** What is read of it: each part, or why not; or why nothing. */
async function contentsOf(content: Uint8Array): Promise<readonly string[]> {
  try {
    const archive = new SnapshotArchive(content, "it.tar");
    const parts: string[] = [JSON.stringify(archive.manifest)];
    for (const part of partsOf(archive.manifest))
      parts.push(
        await archive.part(part).then(
          (one) => Buffer.from(one).toString("hex"),
          (error: Error) => {
            if (!isTidemarkError(error, "DAMAGED")) throw error;
            return "damaged";
          },
        ),
      );
    return parts;
  } catch (error) {
    if (!isTidemarkError(error, "DAMAGED")) throw error;
    return ["damaged"];
  }
}

describe("an exported snapshot", () => {
  test("is read as it was written, and proves itself", async () => {
    const archive = new SnapshotArchive(await exported(), "it.tar");
    expect(archive.manifest).toMatchObject({ id: "p1/7", label: "before" });
    expect(readManifest(archive.manifestBytes)).toEqual({ manifest: archive.manifest });
    for (const part of partsOf(archive.manifest))
      expect((await archive.part(part)).length).toBe(part.bytes);
    const read = ({ sha256 }: { sha256: string }) => archive.rawPart(sha256);
    expect(verifySnapshot(archive.manifest, read)).toMatchObject({ consistent: true });
    expect(archive.rawPart("0".repeat(64))).toBeUndefined();
  });

  test("that was changed anywhere, or cut, gives what was written or says that it is damaged", async () => {
    const content = await exported();
    const whole = await contentsOf(content);
    expect(whole).not.toContain("damaged");
    let damaged = 0;
    const changed = fc.record({
      at: fc.nat(content.length - 1),
      bit: fc.nat(7),
      end: fc.option(fc.nat(content.length), { nil: content.length }),
    });
    await fc.assert(
      fc.asyncProperty(changed, async ({ at, bit, end }) => {
        const other = content.slice(0, end);
        if (at < end) other[at] = Number(other[at]) ^ (1 << bit);
        const read = await contentsOf(other);
        if (read.includes("damaged")) damaged += 1;
        for (const [i, one] of read.entries()) if (one !== "damaged") expect(one).toBe(whole[i]);
      }),
      { numRuns: cases("snapshot-archive", 200, 5_000) },
    );
    expect(damaged, "nothing was ever found").toBeGreaterThan(20);
  });

  test("is no other file", async () => {
    for (const other of [new Uint8Array(), new Uint8Array(2_048), bytes(2_048)])
      expect(() => new SnapshotArchive(other, "it.tar")).toThrow(/it\.tar cannot be read/);
  });
});
