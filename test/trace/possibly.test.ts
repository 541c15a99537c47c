/** Possibly and definitely: as a look at all cuts of small traces finds, in whichever way they are decided. */

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { Random } from "../../src/core/random.ts";
import { CausalOrder } from "../../src/trace/causal-order.ts";
import { CutLattice, greatestSum, Slice } from "../../src/trace/cut-lattice.ts";
import {
  countCuts,
  type DefinitelyVerdict,
  definitely,
  firstObserved,
  type PossiblyVerdict,
  possibly,
} from "../../src/trace/possibly.ts";
import type { GlobalState } from "../../src/trace/predicate.ts";
import { StateIndex } from "../../src/trace/state-index.ts";
import { parseTrace, type Trace, TraceBuilder } from "../../src/trace/trace.ts";
import { seeds } from "../support/soak.ts";
import {
  consistentCuts,
  drawTrace,
  lookAtAll,
  Predicates,
  type Seen,
  State,
} from "./support/predicates.ts";

type Holds = (state: Seen) => boolean;

/** What is wrong with a verdict; nothing if it is right. */
function flawOfPossibly(trace: Trace, holds: Holds, verdict: PossiblyVerdict): string | undefined {
  const truth = lookAtAll(trace, holds).possibly;
  if (verdict.holds !== truth) return `possibly is ${truth}, and not ${verdict.holds}`;
  if (!verdict.holds) return undefined;
  const isCut = consistentCuts(trace).some((cut) => `${cut}` === `${verdict.cut}`);
  if (!isCut) return `${verdict.cut} is not consistent`;
  return holds(new State(trace, verdict.cut)) ? undefined : `it does not hold at ${verdict.cut}`;
}

function flawOfDefinitely(
  trace: Trace,
  holds: Holds,
  verdict: DefinitelyVerdict,
): string | undefined {
  const truth = lookAtAll(trace, holds).definitely;
  if (verdict.holds !== truth) return `definitely is ${truth}, and not ${verdict.holds}`;
  if (verdict.holds !== false) return undefined;
  const cuts = new Set(consistentCuts(trace).map((cut) => `${cut}`));
  const cut = new Int32Array(trace.processes.length);
  for (const e of [-1, ...verdict.order]) {
    const { process = -1, position = 0 } = trace.events[e] ?? {};
    if (process >= 0 && cut[process] !== position)
      return `event ${e} is not the next of its process`;
    if (process >= 0) cut[process] = position + 1;
    if (!cuts.has(`${cut}`)) return `the order comes to ${cut}, which is not consistent`;
    if (holds(new State(trace, cut))) return `it holds at ${cut}, by which the order goes`;
  }
  const isAll = trace.timelines.every(({ length }, p) => cut[p] === length);
  return isAll ? undefined : "the order leaves out events";
}

/** What a function is given, as the expressions of the tests see it. */
function seenBy(trace: Trace, state: GlobalState): Seen {
  const values = new Map(trace.processes.map((name) => [name, state.values(name)]));
  const inFlight = (from: string, to: string): number => state.inFlight(from, to);
  const all = trace.processes
    .flatMap((from) => trace.processes.map((to) => inFlight(from, to)))
    .reduce((sum, one) => sum + one, 0);
  return { values, inFlight, all };
}

const small = (random: Random): Trace =>
  drawTrace(random, { processes: random.between(2, 4), events: random.between(3, 11) });

/** The cut after so many events of an order. */
function cutAfter({ processes, events }: Trace, order: Int32Array, taken: number): Int32Array {
  const cut = new Int32Array(processes.length);
  for (const e of order.subarray(0, taken)) {
    const { process = 0 } = events[e] ?? {};
    cut[process] = (cut[process] ?? 0) + 1;
  }
  return cut;
}

describe("by a look at all cuts", () => {
  test("expressions, and functions that say the same", { timeout: 7_200_000 }, () => {
    const gone = new Map<string, number>();
    for (const seed of seeds("possibly", 400, 10_000)) {
      const random = new Random(`possibly ${seed}`);
      const trace = small(random);
      const order = new CausalOrder(trace);
      const { text, of } = new Predicates(trace).draw(random);
      const told = `seed ${seed}: ${text}`;
      const searched = (state: GlobalState): boolean => of(seenBy(trace, state));
      for (const predicate of [text, searched]) {
        const possible = possibly(order, predicate);
        expect(flawOfPossibly(trace, of, possible), told).toBeUndefined();
        const definite = definitely(order, predicate);
        expect(flawOfDefinitely(trace, of, definite), told).toBeUndefined();
        for (const { ways, holds } of [possible, definite])
          for (const way of ways)
            gone.set(`${way} ${holds}`, (gone.get(`${way} ${holds}`) ?? 0) + 1);
      }
      const takens = Array.from({ length: order.linear.length + 1 }, (_, taken) => taken);
      const at = takens.find((taken) => of(new State(trace, cutAfter(trace, order.linear, taken))));
      expect(firstObserved(order, text), told).toBe(at);
    }
    console.log([...gone].sort());
  });

  test("conjunctions that go on and off, at more processes", { timeout: 7_200_000 }, () => {
    let [both, neither] = [0, 0];
    for (const seed of seeds("possibly-conjunctive", 300, 10_000)) {
      const random = new Random(`conjunctive ${seed}`);
      const trace = drawTrace(random, { processes: 3, events: random.between(8, 16) });
      const order = new CausalOrder(trace);
      const every = Object.fromEntries(
        trace.processes.map((name) => [name, ({ up }: { up?: unknown }) => up !== true]),
      );
      const of: Holds = ({ values }) => [...values.values()].every(({ up }) => up !== true);
      // Not at the ends, where all would be too easy.
      const holds: Holds = (state) => of(state);
      const definite = definitely(order, { every });
      expect(flawOfDefinitely(trace, holds, definite), `seed ${seed}`).toBeUndefined();
      expect(
        flawOfPossibly(trace, holds, possibly(order, { every })),
        `seed ${seed}`,
      ).toBeUndefined();
      if (definite.holds) both += 1;
      else neither += 1;
    }
    expect(both + neither).toBeGreaterThan(0);
  });

  test("a judge finds what was decided of another trace", () => {
    let [wrongPossibly, wrongDefinitely] = [0, 0];
    for (let seed = 1; seed <= 300; seed += 1) {
      const random = new Random(`control ${seed}`);
      const trace = small(random);
      const { text, of } = new Predicates(trace).draw(random);
      const order = new CausalOrder({ ...trace, arrows: [] });
      if (flawOfPossibly(trace, of, possibly(order, text))) wrongPossibly += 1;
      if (flawOfDefinitely(trace, of, definitely(order, text))) wrongDefinitely += 1;
    }
    expect(wrongPossibly).toBeGreaterThan(3);
    expect(wrongDefinitely).toBeGreaterThan(3);
  });
});
