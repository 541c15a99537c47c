import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CausalOrder } from "../../src/trace/causal-order.ts";
import { parseTrace, type Trace, TraceBuilder } from "../../src/trace/trace.ts";
import { allCuts, anyTrace } from "./support/random-trace.ts";

/** By the definition: the closure of what comes right before. */
function closure({ events, timelines, arrows }: Trace): boolean[][] {
  const before = events.map(() => events.map(() => false));
  const add = (a: number | undefined, b: number): void => {
    if (a !== undefined) (before[b] as boolean[])[a] = true;
  };
  for (const [e, { process, position }] of events.entries())
    add(timelines[process]?.[position - 1], e);
  for (const { from, to } of arrows) add(from, to);
  for (const k of events.keys())
    for (const row of before)
      if (row[k]) for (const i of events.keys()) if (before[k]?.[i]) row[i] = true;
  return before;
}

const inside = ({ events }: Trace, cut: Int32Array): number[] =>
  [...events.keys()].filter(
    (e) => (events[e]?.position ?? 0) < (cut[events[e]?.process ?? 0] ?? 0),
  );

const traces = anyTrace({ processes: 3, events: 10 });

describe("happens-before of a trace", () => {
  test("is the closure of the order of each process and the arrows", () => {
    fc.assert(
      fc.property(traces, (trace) => {
        const [order, before] = [new CausalOrder(trace), closure(trace)];
        for (const a of trace.events.keys())
          for (const b of trace.events.keys()) {
            expect(order.happensBefore(a, b)).toBe(before[b]?.[a]);
            expect(order.isConcurrent(a, b)).toBe(a !== b && !before[b]?.[a] && !before[a]?.[b]);
          }
      }),
    );
  });

  test("the linear order has each event after all that happened before it", () => {
    fc.assert(
      fc.property(traces, (trace) => {
        const [order, before] = [new CausalOrder(trace), closure(trace)];
        expect([...order.linear].sort((a, b) => a - b)).toEqual([...trace.events.keys()]);
        for (const [i, e] of order.linear.entries())
          for (const later of order.linear.subarray(i)) expect(before[e]?.[later]).toBe(false);
      }),
    );
  });

  test("a circle is told, event by event", () => {
    const text = [
      { process: "p", type: "receive", from: "q", message: 1 },
      { process: "p", type: "send", to: "q", message: 2 },
      { process: "q", type: "internal" },
      { process: "q", type: "receive", from: "p", message: 2 },
      { process: "q", type: "send", to: "p", message: 1 },
    ];
    const trace = parseTrace(text.map((line) => JSON.stringify(line)).join("\n"));
    expect(() => new CausalOrder(trace)).toThrow(
      /each of these is before the next, and.*: event 1 of p \(line 1\), event 2 of p \(line 2\), event 2 of q \(line 4\), event 3 of q \(line 5\)/,
    );
  });
});

describe("cuts of a trace", () => {
  test("a cut is consistent exactly if it has all that happened before what it has; else its orphans say why", () => {
    fc.assert(
      fc.property(traces, (trace) => {
        const [order, before] = [new CausalOrder(trace), closure(trace)];
        for (const cut of allCuts(trace)) {
          const has = new Set(inside(trace, cut));
          const right = [...has].every((e) =>
            trace.events.every((_, other) => !before[e]?.[other] || has.has(other)),
          );
          expect(order.isConsistent(cut)).toBe(right);
          expect(order.orphans(cut).length === 0).toBe(right);
          for (const { from, to } of order.crossing(cut))
            expect([has.has(from), has.has(to)]).toEqual([true, false]);
        }
      }),
      { numRuns: 50 },
    );
  });

  test("least and greatest consistent cut are what a look at all of them finds", () => {
    fc.assert(
      fc.property(traces, (trace) => {
        const order = new CausalOrder(trace);
        const consistent = [...allCuts(trace)].filter((cut) => order.isConsistent(cut));
        const within = (a: Int32Array, b: Int32Array) => a.every((n, p) => n <= (b[p] ?? 0));
        for (const cut of allCuts(trace)) {
          const above = consistent.filter((one) => within(cut, one));
          const below = consistent.filter((one) => within(one, cut));
          expect(above).toContainEqual(order.least(cut));
          expect(above.every((one) => within(order.least(cut), one))).toBe(true);
          expect(below).toContainEqual(order.greatest(cut));
          expect(below.every((one) => within(one, order.greatest(cut)))).toBe(true);
        }
      }),
      { numRuns: 30 },
    );
  });

  test("a process can take its next event exactly if that leads to a consistent cut", () => {
    fc.assert(
      fc.property(traces, (trace) => {
        const order = new CausalOrder(trace);
        for (const cut of allCuts(trace)) {
          if (!order.isConsistent(cut)) continue;
          for (const p of trace.processes.keys()) {
            const next = cut.slice();
            next[p] = (cut[p] ?? 0) + 1;
            const there = (next[p] ?? 0) <= (trace.timelines[p]?.length ?? 0);
            expect(order.canAdvance(cut, p)).toBe(there && order.isConsistent(next));
          }
        }
      }),
      { numRuns: 50 },
    );
  });

  test("what is no cut of the trace is refused", () => {
    const builder = new TraceBuilder();
    builder.event("p", { type: "internal" });
    const order = new CausalOrder(builder.end());
    expect([...order.frontier(new Map([["p", 1]]))]).toEqual([1]);
    expect(() => order.frontier(new Map([["q", 1]]))).toThrow(
      /the cut names q; the trace has only p/,
    );
    for (const count of [2, -1, 0.5])
      expect(() => order.frontier(new Map([["p", count]]))).toThrow(/from 0 to 1/);
  });
});
