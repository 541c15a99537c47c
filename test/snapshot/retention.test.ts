import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { snapshotId } from "../../src/core/id.ts";
import {
  expired,
  freedBytes,
  type Retained,
  type RetentionRule,
} from "../../src/snapshot/retention.ts";

/** Newest first: number 1 began at 1 ms. */
function snapshots(
  ...made: readonly (readonly [label: string | undefined, files?: Record<string, number>])[]
): Retained[] {
  return made.map(([label, files], i) => ({
    id: snapshotId("p1", made.length - i),
    ...(label === undefined ? {} : { label }),
    startedAtMs: made.length - i,
    files: new Map(Object.entries(files ?? {})),
  }));
}

const goneOf = (all: readonly Retained[], rule: RetentionRule, nowMs = 100): number[] =>
  expired(all, rule, nowMs).map(({ startedAtMs }) => startedAtMs);

describe("a rule", () => {
  const plain = snapshots([undefined], [undefined], ["mine"], [undefined], [undefined]);

  test("of count keeps the newest without a label, and lets the oldest go first", () => {
    expect(goneOf(plain, { keep: 2 })).toEqual([1, 2]);
    expect(goneOf(plain, { keep: 1 })).toEqual([1, 2, 4]);
    expect(goneOf(plain, { keep: 4 })).toEqual([]);
    expect(goneOf(plain, {})).toEqual([]);
  });

  test("of age lets go what is older, but never the newest of all", () => {
    expect(goneOf(plain, { olderThanMs: 96 })).toEqual([1, 2]);
    expect(goneOf(plain, { olderThanMs: 0 })).toEqual([1, 2, 4]);
    expect(goneOf(snapshots(["mine"], [undefined]), { olderThanMs: 0 })).toEqual([1]);
  });

  test("of size counts each file once, and none that one with a label needs anyhow", () => {
    const all = snapshots(
      [undefined, { a: 10, shared: 100 }],
      [undefined, { b: 10, shared: 100 }],
      ["mine", { m: 1_000 }],
      [undefined, { m: 1_000, c: 5 }],
      [undefined, { d: 50 }],
      [undefined, { e: 1 }],
    );
    expect(goneOf(all, { maxBytes: 176 })).toEqual([]);
    expect(goneOf(all, { maxBytes: 175 })).toEqual([1]);
    expect(goneOf(all, { maxBytes: 125 })).toEqual([1, 2]);
    expect(goneOf(all, { maxBytes: 119 })).toEqual([1, 2, 3, 5]);
    expect(goneOf(all, { maxBytes: 0 })).toEqual([1, 2, 3, 5]);
  });

  test("frees what no other needs, and no more", () => {
    const all = snapshots(
      [undefined, { a: 10, shared: 100 }],
      [undefined, { b: 20, shared: 100, both: 7 }],
      [undefined, { c: 30, both: 7 }],
    );
    expect(freedBytes(all, new Set(all.slice(1)))).toBe(57);
    expect(freedBytes(all, new Set(all.slice(2)))).toBe(30);
    expect(freedBytes(all, new Set())).toBe(0);
  });
});

describe("whatever the snapshots and the rule", () => {
  const one = fc.record({
    label: fc.option(fc.constant("mine"), { nil: undefined, freq: 3 }),
    files: fc.dictionary(fc.constantFrom("a", "b", "c", "d", "e", "f"), fc.constant(0)),
  });
  /** A file has the same size wherever it is needed. */
  const sizes: Record<string, number> = { a: 1, b: 2, c: 4, d: 8, e: 16, f: 32 };
  const all = fc
    .array(one, { maxLength: 12 })
    .map((made) =>
      snapshots(
        ...made.map(
          ({ label, files }) =>
            [label, Object.fromEntries(Object.keys(files).map((f) => [f, sizes[f] ?? 0]))] as const,
        ),
      ),
    );
  const bound = (max: number) => fc.option(fc.nat({ max }), { nil: undefined });
  const rule = fc
    .record({
      keep: fc.option(fc.integer({ min: 1, max: 8 }), { nil: undefined }),
      olderThanMs: bound(14),
      maxBytes: bound(64),
    })
    .map(
      (given) =>
        Object.fromEntries(
          Object.entries(given).filter(([, value]) => value !== undefined),
        ) as RetentionRule,
    );

  test("labels and the newest stay, bounds are kept, and nothing goes that a bound does not ask for", () => {
    let pruned = 0;
    fc.assert(
      fc.property(all, rule, (given, some) => {
        const nowMs = 14;
        const gone = expired(given, some, nowMs);
        pruned += gone.length;
        const left = given.filter((snapshot) => !gone.includes(snapshot));
        expect(gone.filter(({ label }) => label !== undefined)).toEqual([]);
        if (given.length > 0) expect(left[0]).toBe(given[0]);
        const automatic = left.filter(({ label }) => label === undefined);
        const { keep, olderThanMs, maxBytes } = some;
        if (keep !== undefined) expect(automatic.length).toBeLessThanOrEqual(keep);
        for (const { startedAtMs } of left.slice(1).filter(({ label }) => label === undefined))
          if (olderThanMs !== undefined)
            expect(nowMs - startedAtMs).toBeLessThanOrEqual(olderThanMs);
        const own =
          freedBytes(given, new Set([...automatic, ...gone])) - freedBytes(given, new Set(gone));
        if (maxBytes !== undefined && automatic.length > 1)
          expect(own).toBeLessThanOrEqual(maxBytes + 63);
        // Of those without a label, an unbroken run of the newest stays.
        const unlabelled = given.filter(({ label }) => label === undefined);
        expect(automatic).toEqual(unlabelled.slice(0, automatic.length));
        if (Object.keys(some).length === 0) expect(gone).toEqual([]);
        // Asked again, it has nothing more to let go.
        expect(expired(left, some, nowMs)).toEqual([]);
      }),
      { seed: 7, numRuns: 2_000 },
    );
    expect(pruned).toBeGreaterThan(1_000);
  });
});
