// Detection of deadlock by reduction: Holt 1972; Chandy, Misra and Haas 1983 for the AND and the OR model; Kshemkalyani and Singhal 1994 for k of n.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { detectDeadlock, type GlobalState, type Grant, type Wait } from "../../src/detect.ts";
import { cases } from "../support/soak.ts";
import { stateOf } from "./support/states.ts";

const NAMES = ["a", "b", "c", "d", "e", "f"];

interface Drawn {
  readonly waits: Readonly<Record<string, readonly Wait[]>>;
  readonly grants: readonly {
    readonly from: string;
    readonly to: string;
    readonly grants: Grant[];
  }[];
}

const some = fc.uniqueArray(fc.constantFrom(...NAMES), { minLength: 1, maxLength: 4 });
const wait = fc
  .tuple(some, fc.nat())
  .map(([names, n]): Wait => ({ for: names, need: 1 + (n % names.length) }));
const drawn: fc.Arbitrary<Drawn> = fc.record({
  waits: fc
    .tuple(...NAMES.map(() => fc.array(wait, { maxLength: 2 })))
    .map((all) => Object.fromEntries(all.map((waits, i) => [NAMES[i] as string, waits]))),
  grants: fc.array(
    fc
      .tuple(fc.constantFrom(...NAMES), fc.constantFrom(...NAMES), fc.boolean())
      .map(([from, to, whatever]) => ({
        from,
        to,
        grants: [whatever ? { to } : { to, by: from }],
      })),
    { maxLength: 2 },
  ),
});

const globalOf = ({ waits, grants }: Drawn): GlobalState =>
  stateOf(
    Object.fromEntries(Object.entries(waits).map(([id, all]) => [id, { waits: all }])),
    grants,
  );

/** Whether those are stuck by themselves, even if all others grant everything. */
function isStuck({ waits, grants }: Drawn, those: ReadonlySet<string>): boolean {
  return [...those].every((who) => {
    const to = grants.filter((one) => one.to === who).map((one) => one.grants[0] as Grant);
    if (to.some((grant) => !("by" in grant))) return false;
    return (waits[who] ?? []).some((one) => {
      const helped = one.for.filter((name) => !those.has(name) || to.some(({ by }) => by === name));
      return helped.length < (one.need ?? one.for.length);
    });
  });
}

const subsets = Array.from({ length: (1 << NAMES.length) - 1 }, (_, i) =>
  NAMES.filter((_name, bit) => ((i + 1) & (1 << bit)) !== 0),
);

describe("deadlock", () => {
  test("is what no schedule ends, and knots are what is stuck by itself", () => {
    let deadlocks = 0;
    fc.assert(
      fc.property(drawn, (one) => {
        const stuck = subsets.filter((those) => isStuck(one, new Set(those)));
        const verdict = detectDeadlock(globalOf(one));
        if (verdict.detected === null) throw new Error(verdict.reason);
        const { knots, behind } = verdict.evidence;
        const found = [...knots.flat(), ...behind].map(({ who }) => who).sort();
        expect(found).toEqual([...new Set(stuck.flat())].sort());
        expect(verdict.detected).toBe(found.length > 0);
        if (found.length > 0) deadlocks += 1;
        const names = knots.map((knot) => knot.map(({ who }) => who));
        for (const knot of names) expect(isStuck(one, new Set(knot))).toBe(true);
        // Every least set that is stuck lies in one knot.
        for (const those of stuck) {
          const isLeast = !stuck.some(
            (less) => less.length < those.length && less.every((who) => those.includes(who)),
          );
          if (isLeast)
            expect(names.filter((knot) => those.every((who) => knot.includes(who)))).toHaveLength(
              1,
            );
        }
      }),
      { numRuns: cases("detect-graphs", 300, 100_000) },
    );
    expect(deadlocks).toBeGreaterThan(20);
  });

  test("in the AND model is a cycle, in the OR model a knot", () => {
    const waits = (need: 1 | 2): GlobalState =>
      stateOf({
        p1: { waits: [{ for: ["p2", "p3"], need, request: "lock a" }] },
        p2: { waits: [{ for: ["p1"], request: "lock b" }] },
        p3: { waits: [] },
      });
    expect(detectDeadlock(waits(1)).sentence).toBe("2 wait, and all can go on");
    expect(detectDeadlock(waits(2)).sentence).toBe(
      "p1 waits for p2 and p3 (lock a); p2 waits for p1 (lock b)",
    );
  });

  test("names who waits behind others, and separate knots apart", () => {
    const { detected, sentence } = detectDeadlock(
      stateOf({
        a: { waits: [{ for: ["b"] }] },
        b: { waits: [{ for: ["a"] }] },
        c: { waits: [{ for: ["d", "e", "a"], need: 2 }] },
        d: { waits: [{ for: ["c", "e", "b"], need: 2 }] },
        e: { waits: [{ for: ["c", "d"], need: 1 }] },
        f: { waits: [{ for: ["a"] }] },
      }),
    );
    expect(detected).toBe(true);
    expect(sentence).toBe(
      "a waits for b; b waits for a. c waits for 2 of d, e, a; d waits for 2 of c, e, b; e waits for one of c, d. f waits behind them",
    );
  });

  test("is of transactions, too, that wait at several processes", () => {
    const { sentence } = detectDeadlock(
      stateOf({
        p1: {
          waits: [
            { who: "t1", for: ["t2"], request: "row 1" },
            { who: "t3", for: [] },
          ],
        },
        p2: { waits: [{ who: "t2", for: ["t1", "t3"], request: "row 2" }] },
      }),
    );
    expect(sentence).toBe("t1 waits for t2 (row 1); t2 waits for t1 and t3 (row 2)");
  });

  test("is none while a grant is in flight", () => {
    const cycle = { a: { waits: [{ for: ["b"] }] }, b: { waits: [{ for: ["a"] }] } };
    const withMessage = (grants?: boolean) =>
      detectDeadlock(
        stateOf(cycle, [{ from: "b", to: "a", ...(grants === undefined ? {} : { grants }) }]),
      ).detected;
    expect(withMessage(true)).toBe(false);
    expect(withMessage(false)).toBe(true);
    // Nobody says what it is.
    expect(withMessage()).toBe(false);
  });

  test("depends on nobody outside, or it is unknown", () => {
    const outside = detectDeadlock(
      stateOf({
        a: { waits: [{ for: ["b"] }] },
        b: { waits: [{ for: ["a", "x"], need: 1, request: "ok" }] },
      }),
    );
    expect(outside).toEqual({
      detector: "deadlock",
      detected: null,
      reason: "b waits for one of a, x (ok), and nobody in this system has that name",
      sentence: "unknown: b waits for one of a, x (ok), and nobody in this system has that name",
    });
    const also = { a: { waits: [{ for: ["a", "x"] }] } };
    expect(detectDeadlock(stateOf(also)).detected).toBe(true);
    const undeclared = detectDeadlock(stateOf({ a: { waits: [{ for: ["b"] }] }, b: {} }));
    expect(undeclared).toMatchObject({
      detected: null,
      reason: expect.stringContaining("does not declare waits"),
    });
    expect(detectDeadlock(stateOf({ a: {} })).sentence).toBe(
      "unknown: no application declares waits",
    );
  });

  test("of twenty thousand in a circle is found without recursion", () => {
    const many = 20_000;
    const waits = Array.from({ length: many }, (_, i) => ({
      who: `t${i}`,
      for: [`t${(i + 1) % many}`],
    }));
    const verdict = detectDeadlock(stateOf({ p: { waits } }));
    if (verdict.detected === null) throw new Error(verdict.reason);
    expect(verdict.evidence.knots.map((knot) => knot.length)).toEqual([many]);
    expect(verdict.sentence).toMatch(/; and 19995 more$/);
  });
});
