import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { detectGarbage, type GlobalState, type References } from "../../src/detect.ts";
import { cases } from "../support/soak.ts";
import { stateOf } from "./support/states.ts";

const NAMES = ["a", "b", "c", "d", "e", "f", "g"];
const PROCESSES = ["p1", "p2", "p3"];

interface Drawn {
  /** Where each is, and what it refers to; an object that is nowhere is in flight. */
  readonly objects: Readonly<
    Record<string, { readonly at: number; readonly refersTo: readonly string[] }>
  >;
  readonly roots: readonly string[];
  readonly carried: readonly string[];
}

const names = (most: number) => fc.uniqueArray(fc.constantFrom(...NAMES), { maxLength: most });
const drawn: fc.Arbitrary<Drawn> = fc.record({
  objects: fc
    .tuple(...NAMES.map(() => fc.record({ at: fc.nat(3), refersTo: names(3) })))
    .map((all) => Object.fromEntries(all.map((one, i) => [NAMES[i] as string, one]))),
  roots: names(2),
  carried: names(1),
});

function globalOf({ objects, roots, carried }: Drawn): GlobalState {
  const at = (place: number): References["objects"] =>
    Object.fromEntries(
      Object.entries(objects).flatMap(([name, one]) =>
        one.at === place ? [[name, one.refersTo]] : [],
      ),
    );
  const said = PROCESSES.map(
    (id, i) => [id, { references: { objects: at(i) ?? {}, roots: i === 0 ? roots : [] } }] as const,
  );
  return stateOf(Object.fromEntries(said), [
    { from: "p1", to: "p2", references: { roots: carried, objects: at(3) ?? {} } },
  ]);
}

describe("garbage", () => {
  test("is what no chain of references leads to, and its cycles are those who reach each other", () => {
    let found = 0;
    fc.assert(
      fc.property(drawn, (one) => {
        const reach = (from: readonly string[]): ReadonlySet<string> => {
          const reached = new Set(from);
          for (const name of reached)
            for (const to of one.objects[name]?.refersTo ?? []) reached.add(to);
          return reached;
        };
        const verdict = detectGarbage(globalOf(one));
        if (verdict.detected === null) throw new Error(verdict.reason);
        const { objects, cycles } = verdict.evidence;
        const reached = reach([...one.roots, ...one.carried]);
        const garbage = NAMES.filter((name) => !reached.has(name));
        expect(objects.map(({ object }) => object)).toEqual(garbage);
        found += garbage.length;
        const circular = garbage.filter((name) =>
          reach(one.objects[name]?.refersTo ?? []).has(name),
        );
        expect(cycles.flat().sort()).toEqual(circular);
        for (const cycle of cycles)
          for (const name of cycle)
            expect(
              garbage.filter((other) => reach([name]).has(other) && reach([other]).has(name)),
            ).toEqual(cycle);
      }),
      { numRuns: cases("detect-graphs", 300, 100_000) },
    );
    expect(found).toBeGreaterThan(200);
  });

  test("is not what a reference in flight leads to, through three processes", () => {
    const ring = {
      p1: { references: { objects: { a: ["b"] } } },
      p2: { references: { objects: { b: ["c"] } } },
      p3: { references: { objects: { c: ["a"] } } },
    };
    const kept = detectGarbage(
      stateOf(ring, [{ from: "p1", to: "p3", references: { roots: ["b"] } }]),
    );
    expect(kept).toMatchObject({ detected: false, sentence: "all of 3 objects can be reached" });
    const lost = detectGarbage(stateOf(ring));
    expect(lost).toMatchObject({
      detected: true,
      sentence:
        "nobody can reach 3 objects: a (p1), b (p2), c (p3); 1 cycle through several processes",
      evidence: { cycles: [["a", "b", "c"]], missing: [] },
    });
  });

  test("names what is reached and not there, and is unknown if a name is there twice", () => {
    const dangling = detectGarbage(stateOf({ p1: { references: { roots: ["gone"] } } }));
    expect(dangling).toMatchObject({ detected: false, evidence: { missing: ["gone"] } });
    const references = { objects: { a: [] } };
    expect(detectGarbage(stateOf({ p1: { references }, p2: { references } })).sentence).toBe(
      "unknown: two objects have the name a: at p1 and p2",
    );
  });

  test("of twenty thousand in a row is found without recursion", () => {
    const many = 20_000;
    const objects = Object.fromEntries(
      Array.from({ length: many }, (_, i) => [`o${i}`, [`o${(i + 1) % many}`]]),
    );
    const verdict = detectGarbage(stateOf({ p: { references: { objects } } }));
    if (verdict.detected === null) throw new Error(verdict.reason);
    expect(verdict.evidence.cycles.map((cycle) => cycle.length)).toEqual([many]);
  });
});
