import fc from "fast-check";
import { expect, test } from "vitest";
import { indexOf, type PackUse, packsToKeep } from "../../src/runtime/pack-index.ts";

const packs = (...uses: readonly (readonly [bytes: number, live: number])[]) =>
  new Map(uses.map(([bytes, live], i) => [`pack ${i}`, { bytes, live }]));
const MIB = 1_048_576;

test("a pack in full use is kept, one of which little is used is not", () => {
  const kept = packsToKeep(packs([MIB, MIB], [MIB, 0.6 * MIB], [MIB, 0.2 * MIB], [MIB, 0]));
  expect([...kept]).toEqual(["pack 0", "pack 1"]);
});

test("of many that are thin only some go at a time, the emptiest first", () => {
  const uses = Array.from({ length: 128 }, (_, i) => [MIB, (0.3 + i / 1_000) * MIB] as const);
  const kept = packsToKeep(packs(...uses));
  expect(kept.size).toBe(126);
  expect(kept).not.toContain("pack 0");
  expect(kept).not.toContain("pack 1");
});

test("small packs are put together once there are many, the smaller half of them", () => {
  const small = Array.from({ length: 64 }, (_, i) => [1_000 + i, 1_000 + i] as const);
  expect(packsToKeep(packs(...small)).size).toBe(64);
  const kept = packsToKeep(packs(...small, [100, 100], [MIB, MIB]));
  expect(kept.size).toBe(33);
  expect(kept).toContain("pack 65");
  expect(kept).not.toContain("pack 64");
  expect(kept).toContain("pack 63");
});

test("whatever the packs, what is written anew is bounded, and so is what lies idle", () => {
  const use: fc.Arbitrary<readonly [number, number]> = fc
    .tuple(fc.integer({ min: 1, max: MIB }), fc.double({ min: 0, max: 1, noNaN: true }))
    .map(([bytes, share]) => [bytes, Math.floor(bytes * share)] as const);
  fc.assert(
    fc.property(fc.array(use, { maxLength: 200 }), (uses) => {
      const given: ReadonlyMap<string, PackUse> = packs(...uses);
      const kept = packsToKeep(given);
      let small = 0;
      for (const [name, { bytes, live }] of given) {
        if (kept.has(name)) expect(live).toBeGreaterThanOrEqual(bytes / 4);
        if (kept.has(name) && live < 262_144) small += 1;
      }
      expect(small).toBeLessThanOrEqual(64);
    }),
    { seed: 3 },
  );
});

test("an index has the parts that lie in one of the packs, and none that has a file of its own", () => {
  const [a, b, c] = ["a", "b", "c"].map((digit) => digit.repeat(64)) as [string, string, string];
  const references = [
    { sha256: a, bytes: 1, pack: c, offset: 0 },
    { sha256: b, bytes: 1, pack: b, offset: 5 },
    { sha256: c, bytes: 70_000 },
  ];
  expect([...indexOf(references).keys()]).toEqual([a, b]);
});
