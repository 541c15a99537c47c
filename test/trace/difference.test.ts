// What two traces have in common: the alignment against the table of the textbook, and what is the same, moved and first.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CausalOrder } from "../../src/trace/causal-order.ts";
import { align, compareTraces } from "../../src/trace/difference.ts";
import { parseTrace, type Trace, TraceBuilder } from "../../src/trace/trace.ts";
import { cases } from "../support/soak.ts";
import { anyTrace } from "./support/random-trace.ts";

/** The length of a longest common subsequence, by the table of all prefixes. */
function lengthByTable(a: readonly number[], b: readonly number[]): number {
  let row = b.map(() => 0);
  for (const x of a) {
    const next: number[] = [];
    for (const [j, y] of b.entries())
      next.push(x === y ? (row[j - 1] ?? 0) + 1 : Math.max(row[j] ?? 0, next[j - 1] ?? 0));
    row = next;
  }
  return row.at(-1) ?? 0;
}

const sequence = (kinds: number, maxLength: number): fc.Arbitrary<number[]> =>
  fc.array(fc.nat(kinds - 1), { maxLength });

describe("an alignment", () => {
  const right = (
    a: readonly number[],
    b: readonly number[],
    pairs: readonly (readonly [number, number])[],
  ) => {
    for (const [n, [i, j]] of pairs.entries()) {
      const [before = -1, beforeToo = -1] = pairs[n - 1] ?? [];
      expect([a[i], i > before, j > beforeToo]).toEqual([b[j], true, true]);
    }
  };

  test("is a longest common subsequence", () => {
    fc.assert(
      fc.property(sequence(3, 40), sequence(4, 40), (a, b) => {
        const { pairs, minimal } = align(Int32Array.from(a), Int32Array.from(b));
        right(a, b, pairs);
        expect([pairs.length, minimal]).toEqual([lengthByTable(a, b), true]);
      }),
      { numRuns: cases("trace-align", 500, 100_000) },
    );
  });

  test("of long ones that are much the same, too", () => {
    const edits = fc.array(fc.tuple(fc.nat(), fc.nat(3)), { maxLength: 60 });
    fc.assert(
      fc.property(sequence(3, 400), edits, (a, list) => {
        const b = [...a];
        for (const [at, what] of list)
          b.splice(at % (b.length + 1), what === 0 ? 1 : 0, ...(what === 0 ? [] : [what]));
        const { pairs, minimal } = align(Int32Array.from(a), Int32Array.from(b));
        right(a, b, pairs);
        expect([pairs.length, minimal]).toEqual([lengthByTable(a, b), true]);
      }),
      { numRuns: cases("trace-align-long", 50, 5_000) },
    );
  });

  test("that is cut short is right as well, and says that there may be a longer one", () => {
    let shorter = 0;
    const long = fc.array(fc.nat(4), { minLength: 200, maxLength: 300 });
    fc.assert(
      fc.property(long, long, (a, b) => {
        const { pairs, minimal } = align(Int32Array.from(a), Int32Array.from(b), 1);
        right(a, b, pairs);
        const longest = lengthByTable(a, b);
        if (pairs.length < longest) {
          shorter += 1;
          expect(minimal).toBe(false);
        }
      }),
      { numRuns: cases("trace-align-short", 100, 2_000) },
    );
    expect(shorter).toBeGreaterThan(0);
  });

  test("of 100,000 events in any order is found by looking at few pairs of them", () => {
    // Whoever looked at all pairs would be at it for minutes: as many steps as there are pairs would not end here in time.
    const a = Int32Array.from({ length: 100_000 }, (_, i) => (i * 7919) % 50);
    const b = Int32Array.from({ length: 100_000 }, (_, i) => (i * i * 31 + 17) % 50);
    const { pairs, minimal } = align(a, b);
    expect(pairs.length).toBeGreaterThan(0);
    expect(minimal).toBe(false);
  });
});

/** Traces of lines such as `p says x` and `p says x after q 1`. */
function traceOf(...lines: string[]): Trace {
  const parsed = lines.map((line) => {
    const [, process, text, after, number] =
      /^(\w+) (\w+)(?: after (\w+) (\d+))?$/.exec(line) ?? [];
    const arrows = after === undefined ? {} : { after: [[after, Number(number)]] };
    return JSON.stringify({ process, type: "internal", text, ...arrows });
  });
  return parseTrace(parsed.join("\n"));
}

describe("two traces", () => {
  const base = ["p a", "p b", "q c after p 2", "q d", "p e after q 2"];

  test("that are the same do not differ, whatever the order of their lines, their times and fields", () => {
    const other = traceOf("q c after p 2", "p a", "q d", "p b", "p e after q 2");
    const later = {
      ...other,
      events: other.events.map((one) => ({ ...one, atMs: 7, fields: { x: "y" } })),
    };
    expect(compareTraces(traceOf(...base), later)).toMatchObject({ isSame: true, first: {} });
    const chosen = compareTraces(traceOf(...base), later, { fields: ["x"] });
    expect(chosen.onlyBefore).toHaveLength(5);
  });

  test("an event more, at the same place or elsewhere", () => {
    const found = compareTraces(
      traceOf(...base),
      traceOf("p a", "p x", "p b", "q c after p 3", "q d", "p e after q 2"),
    );
    expect([found.onlyBefore, found.onlyAfter, found.moved]).toEqual([[], [1], []]);
    expect(found.first).toEqual({ after: 1 });
    expect(found.processes[0]).toEqual({ process: "p", same: 3, onlyBefore: 0, onlyAfter: 1 });
  });

  test("another event in the place of one: both are first", () => {
    const found = compareTraces(
      traceOf(...base),
      traceOf("p a", "p x", "q c after p 2", "q d", "p e after q 2"),
    );
    expect([found.onlyBefore, found.onlyAfter, found.first]).toEqual([
      [1],
      [1],
      { before: 1, after: 1 },
    ]);
    // What followed from one of them follows from the other: that is no difference of its own.
    expect(found.moved).toEqual([]);
  });

  test("an event that comes after another one is moved", () => {
    const found = compareTraces(
      traceOf(...base),
      traceOf("p a", "p b", "q c after p 1", "q d", "p e after q 2"),
    );
    expect([found.onlyBefore, found.onlyAfter, found.moved]).toEqual([[], [], [2]]);
    expect([found.isSame, found.first]).toEqual([false, { before: 2, after: 2 }]);
  });

  test("a process that only one has; the order of fields of values says nothing", () => {
    const found = compareTraces(traceOf(...base), traceOf(...base, "r z"));
    expect(found.processes.at(-1)).toEqual({ process: "r", same: 0, onlyBefore: 0, onlyAfter: 1 });
    const values = (text: string) =>
      parseTrace(`{"process":"p","type":"internal","values":${text}}`);
    expect(
      compareTraces(values('{"a":1,"b":{"c":2,"d":3}}'), values('{"b":{"d":3,"c":2},"a":1}'))
        .isSame,
    ).toBe(true);
    expect(compareTraces(values('{"a":1}'), values('{"a":2}')).isSame).toBe(false);
  });

  test("before a first difference there is none, in its own trace", () => {
    const traces = anyTrace({ processes: 3, events: 20 });
    let some = 0;
    fc.assert(
      fc.property(traces, traces, (before, after) => {
        const found = compareTraces(before, after);
        const { partners, onlyAfter, moved, first, isSame } = found;
        expect(isSame).toBe(first.before === undefined && first.after === undefined);
        const differing = [
          [...partners.keys()].filter((e) => partners[e] === -1 || moved.includes(e)),
          [...onlyAfter, ...moved.map((e) => partners[e] ?? -1)],
        ];
        for (const [i, trace] of [before, after].entries()) {
          const event = [first.before, first.after][i];
          if (event === undefined) continue;
          some += 1;
          const order = new CausalOrder(trace);
          expect(differing[i]).toContain(event);
          expect(differing[i]?.filter((other) => order.happensBefore(other, event))).toEqual([]);
        }
      }),
      { numRuns: cases("trace-diff", 200, 20_000) },
    );
    expect(some).toBeGreaterThan(0);
  });

  test("without a difference they have the same happens-before", () => {
    const shuffled = fc.tuple(anyTrace({ processes: 3, events: 12 }), fc.nat());
    fc.assert(
      fc.property(shuffled, ([trace, seed]) => {
        // The same events, told process by process in another order.
        const builder = new TraceBuilder();
        const names = [...trace.processes.keys()].sort(
          (a, b) => ((a + seed) % 3) - ((b + seed) % 3),
        );
        const index = new Map<number, number>();
        for (const p of names)
          for (const e of trace.timelines[p] ?? []) {
            const {
              process: _,
              position: __,
              ...details
            } = trace.events[e] as Trace["events"][number];
            index.set(e, builder.event(trace.processes[p] ?? "", details));
          }
        for (const { from, to } of trace.arrows)
          builder.arrow(index.get(from) ?? 0, index.get(to) ?? 0);
        const other = builder.end();
        const found = compareTraces(trace, other);
        // Equal events next to each other may be exchanged; then arrows tell them apart.
        if (!found.isSame) return;
        const [order, again] = [new CausalOrder(trace), new CausalOrder(other)];
        for (const a of trace.events.keys())
          for (const b of trace.events.keys())
            expect(again.happensBefore(found.partners[a] ?? -1, found.partners[b] ?? -1)).toBe(
              order.happensBefore(a, b),
            );
      }),
    );
  });
});
