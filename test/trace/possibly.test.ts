/** Possibly and definitely: as a look at all cuts of small traces finds, in whichever way they are decided. */

import { describe, expect, test } from "vitest";
import { Random } from "../../src/core/random.ts";
import { CausalOrder } from "../../src/trace/causal-order.ts";
import {
  countCuts,
  type DefinitelyVerdict,
  definitely,
  firstObserved,
  type PossiblyVerdict,
  possibly,
} from "../../src/trace/possibly.ts";
import { type Trace, TraceBuilder } from "../../src/trace/trace.ts";
import { cases, seeds } from "../support/soak.ts";
import { consistentCuts, drawTrace, lookAtAll, Predicates, State } from "./support/predicates.ts";

type Holds = (state: State) => boolean;

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

const small = (random: Random): Trace =>
  drawTrace(random, { processes: random.between(2, 4), events: random.between(3, 11) });

describe("by a look at all cuts", () => {
  test("expressions, and functions that say the same", { timeout: 7_200_000 }, () => {
    const ways = new Map<string, number>();
    for (const seed of seeds("possibly", 400, 10_000)) {
      const random = new Random(`possibly ${seed}`);
      const trace = small(random);
      const order = new CausalOrder(trace);
      const { text, of } = new Predicates(trace).draw(random);
      const told = `seed ${seed}: ${text}`;
      const first = possibly(order, text);
      expect(flawOfPossibly(trace, of, first), told).toBeUndefined();
      const second = definitely(order, text);
      expect(flawOfDefinitely(trace, of, second), told).toBeUndefined();

      // Of a function nothing is known, so that it is searched for.
      const states = new Map<unknown, State>();
      const searched = (state: GlobalState): boolean => of(new Asked(trace, state));
      void states;
      for (const [modality, verdict] of [
        ["possibly", first],
        ["definitely", second],
      ] as const)
        for (const way of verdict.ways) {
          const key = `${modality} ${verdict.holds} ${way}`;
          ways.set(key, (ways.get(key) ?? 0) + 1);
        }
      const at = [...order.linear.keys(), order.linear.length].find((taken) => {
        const cut = new Int32Array(trace.processes.length);
        for (const e of order.linear.subarray(0, taken)) cut[trace.events[e]?.process ?? 0]! += 1;
        return of(new State(trace, cut));
      });
      expect(firstObserved(order, text), told).toBe(at);
    }
    console.log(ways);
  });
});
