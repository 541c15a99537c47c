/** Possibly and definitely: as a look at all cuts of small traces finds, in whichever way they are decided. */

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { Random } from "../../src/core/random.ts";
import { CausalOrder } from "../../src/trace/causal-order.ts";
import { type Condition, CutLattice, greatestSum, Slice } from "../../src/trace/cut-lattice.ts";
import type { Comparison } from "../../src/trace/formula.ts";
import {
  countCuts,
  cutsWhere,
  type DefinitelyVerdict,
  definitely,
  firstObserved,
  type PossiblyVerdict,
  possibly,
} from "../../src/trace/possibly.ts";
import type { GlobalState } from "../../src/trace/predicate.ts";
import { gone, StateIndex, type Tally } from "../../src/trace/state-index.ts";
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

/** Each process begins off, and goes on and off at its events; messages come in any order. */
function drawToggles(random: Random, processes: number, events: number): Trace {
  const builder = new TraceBuilder();
  const names = ["p", "q", "r", "s"].slice(0, processes);
  const on = new Map<string, boolean>();
  const sent: { readonly from: string; readonly event: number }[] = [];
  for (const name of names) builder.event(name, { type: "internal", values: { on: false } });
  for (let i = 0; i < events; i += 1) {
    const name = random.pick(names) as string;
    if (random.chance(0.6)) on.set(name, !on.get(name));
    const event = builder.event(name, { type: "internal", values: { on: on.get(name) ?? false } });
    const source = random.pick(sent.filter(({ from }) => from !== name));
    if (source && random.chance(0.7)) builder.arrow(source.event, event);
    sent.push({ from: name, event });
  }
  return builder.end();
}

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
    for (const seed of seeds("possibly", 300, 10_000)) {
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
    // Each way was gone, and came to both answers where it can.
    const all = ["conjunctive", "linear", "sum", "lattice", "orders"].flatMap((way) => [
      ...[`${way} true`, `${way} false`],
    ]);
    for (const one of [...all, "slice false", "ends true"])
      expect(gone.get(one) ?? 0, one).toBeGreaterThan(0);
  });

  test("what has a least cut is found without a search", { timeout: 7_200_000 }, () => {
    for (const seed of seeds("possibly-linear", 200, 10_000)) {
      const random = new Random(`linear ${seed}`);
      const trace = small(random);
      const order = new CausalOrder(trace);
      const { text, of } = new Predicates(trace).drawRegular(random);
      const verdict = possibly(order, text);
      expect(flawOfPossibly(trace, of, verdict), `seed ${seed}: ${text}`).toBeUndefined();
      const where = [...cutsWhere(order, text)].map((cut) => `${cut}`).sort();
      const right = consistentCuts(trace).filter((cut) => of(new State(trace, cut)));
      expect(where, `seed ${seed}: ${text}`).toEqual(right.map((cut) => `${cut}`).sort());
      expect(["conjunctive", "linear", "sum"], text).toEqual(
        expect.arrayContaining([...verdict.ways]),
      );
      expect(verdict.explored).toBe(0);
    }
  });

  test("what goes on and off at each process", { timeout: 7_200_000 }, () => {
    const gone = new Map<boolean | null, number>();
    for (const seed of seeds("possibly-conjunctive", 200, 10_000)) {
      const random = new Random(`conjunctive ${seed}`);
      const trace = drawToggles(random, random.between(2, 4), random.between(4, 14));
      const order = new CausalOrder(trace);
      const of: Holds = ({ values }) => [...values.values()].every(({ on }) => on === true);
      const isOn = ({ on }: { readonly on?: unknown }): boolean => on === true;
      const every = Object.fromEntries(trace.processes.map((name) => [name, isOn]));
      const definite = definitely(order, { every });
      expect(flawOfDefinitely(trace, of, definite), `seed ${seed}`).toBeUndefined();
      expect(flawOfPossibly(trace, of, possibly(order, { every })), `seed ${seed}`).toBeUndefined();
      if (definite.ways.includes("conjunctive"))
        gone.set(definite.holds, (gone.get(definite.holds) ?? 0) + 1);
    }
    expect(gone.get(true) ?? 0).toBeGreaterThan(0);
    expect(gone.get(false) ?? 0).toBeGreaterThan(0);
  });

  test("functions that say which process must go on", () => {
    for (let seed = 1; seed <= 200; seed += 1) {
      const trace = small(new Random(`forbidden ${seed}`));
      const order = new CausalOrder(trace);
      const names = trace.processes;
      const [first = "", second = ""] = names;
      const of: Holds = (state) =>
        state.inFlight(first, second) === 0 && state.values.get(first)?.["up"] === true;
      const forbidden = (state: GlobalState): string | undefined => {
        if (state.inFlight(first, second) > 0) return second;
        return state.value(first, "up") === true ? undefined : first;
      };
      const verdict = possibly(order, { forbidden });
      expect(flawOfPossibly(trace, of, verdict), `seed ${seed}`).toBeUndefined();
      expect(verdict).toMatchObject({ ways: ["linear"], explored: 0 });
      const definite = definitely(order, { forbidden });
      expect(flawOfDefinitely(trace, of, definite), `seed ${seed}`).toBeUndefined();
    }
  });

  test("sums of what functions give, also of decimals", () => {
    for (let seed = 1; seed <= 300; seed += 1) {
      const random = new Random(`decimals ${seed}`);
      const trace = small(random);
      const bound = random.between(-20, 40) / 10;
      const comparison = random.pick(["<", "<=", ">", ">=", "=="]) as Comparison;
      const tenths = ({ x }: { readonly x?: unknown }): number =>
        typeof x === "number" ? x / 10 : 0.7;
      const sum = Object.fromEntries(trace.processes.map((name) => [name, tenths]));
      const of: Holds = ({ values }) => {
        const total = [...values.values()].map(tenths).reduce((a, b) => a + b, 0);
        return {
          "<": total < bound,
          "<=": total <= bound,
          ">": total > bound,
          ">=": total >= bound,
          "==": total === bound,
        }[comparison];
      };
      const verdict = possibly(new CausalOrder(trace), { sum, comparison, bound });
      expect(flawOfPossibly(trace, of, verdict), `seed ${seed}`).toBeUndefined();
    }
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

/** A random lattice, and conditions of it: of single processes, and of what is in flight. */
function drawConditions(
  random: Random,
  trace: Trace,
): { lattice: CutLattice; conditions: Condition[] } {
  const order = new CausalOrder(trace);
  const columns = trace.timelines.map(({ length }, process) => ({
    process,
    values: Array.from({ length: length + 1 }, (_, count) => count),
  }));
  const lattice = new CutLattice(order, columns);
  const conditions: Condition[] = [];
  for (const [own, { values }] of columns.entries())
    if (random.chance(0.5))
      conditions.push({ type: "local", own, holds: values.map(() => random.chance(0.7)) });
  for (const { from, to, sent, received } of new StateIndex(trace).passages.values()) {
    if (from === to || random.chance(0.5)) continue;
    const counted = (own: number, tally: Tally, sign: number) => ({
      own,
      values: (columns[own]?.values ?? []).map((count) => sign * gone(tally, count)),
    });
    const terms = random.chance(0.7)
      ? [counted(from, sent, 1), counted(to, received, -1)]
      : [counted(to, received, 1), counted(from, sent, -1)];
    const most = terms.at(0)?.own === from ? random.below(2) : -random.below(2);
    conditions.push({ type: "bound", terms, most, falling: 1 });
  }
  return { lattice, conditions };
}

const holdsAt = (condition: Condition, cut: Int32Array): boolean => {
  if (condition.type === "local") return condition.holds[cut[condition.own] ?? 0] === true;
  if (condition.type === "linear") return condition.forbidden(cut) === undefined;
  const { terms, most } = condition;
  return terms.reduce((sum, { own, values }) => sum + (values[cut[own] ?? 0] ?? 0), 0) <= most;
};

describe("a slice", () => {
  test("has all cuts at which its conditions hold, each once, and the greatest sum of them", {
    timeout: 7_200_000,
  }, () => {
    let [narrowed, empty] = [0, 0];
    for (const seed of seeds("slices", 200, 10_000)) {
      const random = new Random(`slice ${seed}`);
      const trace = small(random);
      const { lattice, conditions } = drawConditions(random, trace);
      const all = consistentCuts(trace);
      const right = all.filter((cut) => conditions.every((one) => holdsAt(one, cut)));
      const slice = new Slice(lattice, conditions);
      const cuts = [...slice.cuts()].map((cut) => `${cut}`);
      expect(new Set(cuts).size, `seed ${seed}`).toBe(cuts.length);
      expect([...cuts].sort(), `seed ${seed}`).toEqual(right.map((cut) => `${cut}`).sort());
      if (right.length === 0) empty += 1;
      else if (right.length < all.length) narrowed += 1;
      if (right.length === 0) continue;
      const terms = [...lattice.sizes]
        .map((size, own) => ({
          own,
          values: Array.from({ length: size + 1 }, () => random.between(-9, 9)),
        }))
        .filter(() => random.chance(0.8));
      const sumAt = (cut: Int32Array): number =>
        terms.reduce((sum, { own, values }) => sum + (values[cut[own] ?? 0] ?? 0), 0);
      const { value, cut } = greatestSum(slice, terms);
      expect(value, `seed ${seed}`).toBe(Math.max(...right.map(sumAt)));
      expect(cuts, `seed ${seed}`).toContain(`${cut}`);
      expect(sumAt(cut), `seed ${seed}`).toBe(value);
    }
    expect(Math.min(narrowed, empty)).toBeGreaterThan(10);
  });

  test("has the greatest sum also where many pay for each other", { timeout: 7_200_000 }, () => {
    for (const seed of seeds("slice-sums", 40, 3_000)) {
      const random = new Random(`sums ${seed}`);
      const trace = drawTrace(random, { processes: random.between(2, 4), events: 28 });
      const order = new CausalOrder(trace);
      const columns = trace.timelines.map(({ length }, process) => ({
        process,
        values: Array.from({ length: length + 1 }, () => random.between(-4, 4)),
      }));
      const lattice = new CutLattice(order, columns);
      const slice = new Slice(lattice);
      const terms = columns.map((column, own) => ({ own, values: lattice.bySteps(column) }));
      const sumAt = (cut: Int32Array): number =>
        terms.reduce((sum, { own, values }) => sum + (values[cut[own] ?? 0] ?? 0), 0);
      let most = Number.NEGATIVE_INFINITY;
      for (const cut of slice.cuts()) most = Math.max(most, sumAt(cut));
      const { value, cut } = greatestSum(slice, terms);
      expect(value, `seed ${seed}`).toBe(most);
      expect(sumAt(cut), `seed ${seed}`).toBe(most);
    }
  });

  test("counts consistent cuts, up to so many", () => {
    for (let seed = 1; seed <= 100; seed += 1) {
      const trace = small(new Random(`count ${seed}`));
      const order = new CausalOrder(trace);
      const { length } = consistentCuts(trace);
      expect(countCuts(order)).toEqual({ count: length, complete: true });
      expect(countCuts(order, { most: length })).toEqual({ count: length, complete: true });
      const less = countCuts(order, { most: length - 1 });
      expect(less).toEqual({ count: length - 1, complete: false });
    }
  });
});

describe("more than can be looked at", () => {
  /** Nobody knows of anybody: of 12 events of each of 12 processes there are 13 to the power of 12 cuts. */
  function apart(): CausalOrder {
    const builder = new TraceBuilder();
    for (let i = 0; i < 144; i += 1) {
      const k = Math.floor(i / 12);
      builder.event(`p${i % 12}`, { type: "internal", values: { k: k + 1, x: (k * 7) % 13 } });
    }
    return new CausalOrder(builder.end());
  }

  test("is unknown when the budget is used up, with how far it was looked", () => {
    const order = apart();
    const product = Array.from({ length: 12 }, (_, p) => `p${p}.k`).join(" * ");
    const verdict = possibly(order, `${product} == 7919`, { budget: 5_000 });
    expect(verdict).toMatchObject({ holds: null, explored: 5_000, ways: ["lattice"] });
    expect(verdict).toHaveProperty(
      "reason",
      expect.stringMatching(/^5000 cuts were looked at, .* at none of up to [0-9]+ of 144 steps$/),
    );
    // Every order comes to it, but to know that takes a look at all cuts before it.
    const isHalf = (state: GlobalState): boolean =>
      order.trace.processes.reduce((sum, p) => sum + Number(state.value(p, "k") ?? 0), 0) === 72;
    const definite = definitely(order, isHalf, { budget: 5_000 });
    expect(definite).toMatchObject({ holds: null, explored: 5_000, ways: ["lattice"] });
    expect(definite).toHaveProperty(
      "reason",
      expect.stringMatching(/^5000 cuts were looked at, .* avoided for 71 of 144 steps$/),
    );
    expect(countCuts(order, { most: 10_000 })).toEqual({ count: 10_000, complete: false });
  });

  test("is no matter to sums and conjunctions", () => {
    const order = apart();
    const sum = Array.from({ length: 12 }, (_, p) => `p${p}.x`).join(" + ");
    expect(possibly(order, `${sum} == 144`)).toMatchObject({ holds: true, ways: ["sum"] });
    expect(possibly(order, `${sum} > 144`)).toMatchObject({ holds: false, ways: ["sum"] });
    expect(possibly(order, "all(x == 12)")).toMatchObject({ holds: true, ways: ["conjunctive"] });
    expect(definitely(order, "all(x == 11)")).toMatchObject({ holds: false });
    // It goes from 0 to 12 by one at a time.
    expect(definitely(order, "count(x >= 0) == 6")).toMatchObject({ holds: true, ways: ["sum"] });
  });

  test("a budget is a whole number", () => {
    for (const budget of [0, -1, 0.5, Number.NaN])
      expect(() => possibly(apart(), "true", { budget })).toThrow(/a budget is a whole number/);
  });
});

describe("Chandy and Lamport 1985, §4, the example", () => {
  const paper: {
    readonly processes: Readonly<Record<"P" | "Q", string>>;
    readonly steps: readonly {
      readonly do: string;
      readonly P: string;
      readonly Q: string;
    }[];
    readonly recorded: Readonly<{ P: string; Q: string; ch0: string[]; ch1: string[] }>;
  } = JSON.parse(
    readFileSync(new URL("../cases/paper/cl85-section4.json", import.meta.url), "utf8"),
  );

  /** The run, step by step; each step says the states of both. */
  function theRun(): CausalOrder {
    const lines: object[] = Object.entries(paper.processes).map(([process, state]) => ({
      ...{ process, type: "internal", values: { state } },
    }));
    const snapshot = "P/1";
    for (const { do: what, P, Q } of paper.steps) {
      const [process, to, state] = what.startsWith("P ") ? ["P", "Q", P] : ["Q", "P", Q];
      const marker = { message: "marker", snapshot };
      const [, message] = /^[PQ] (?:sends|receives) (M'?) on/.exec(what) ?? [];
      const values = { state };
      if (what.includes(" records")) {
        lines.push({ process, type: "record", snapshot });
        lines.push({ process, type: "send", to, ...marker });
      } else if (what.includes("receives marker"))
        lines.push({ process, type: "receive", from: to, ...marker });
      else if (what.includes("receives"))
        lines.push({ process, type: "receive", from: to, message, values });
      else lines.push({ process, type: "send", to, message, values });
    }
    return new CausalOrder(parseTrace(lines.map((line) => JSON.stringify(line)).join("\n")));
  }

  test("the recorded state never occurred, and was possible", () => {
    const order = theRun();
    const { P, Q, ch0, ch1 } = paper.recorded;
    const recorded = [
      ...[`P.state == "${P}"`, `Q.state == "${Q}"`],
      ...[`inflight(P, Q) == ${ch0.length}`, `inflight(Q, P) == ${ch1.length}`],
    ].join(" && ");
    expect(firstObserved(order, recorded)).toBeUndefined();
    expect(definitely(order, recorded).holds).toBe(false);
    const verdict = possibly(order, recorded);
    expect(verdict).toMatchObject({ holds: true, ways: ["linear"] });
    // Of all states that the paper tells, on the other hand, each occurred.
    for (const step of paper.steps) {
      const passed = `P.state == "${step.P}" && Q.state == "${step.Q}"`;
      expect(firstObserved(order, passed), passed).toBeDefined();
    }
  });
});
