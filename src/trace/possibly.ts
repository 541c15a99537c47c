/**
 * Whether something can have been so in a system, and whether it must have been, by a trace of it: *possibly* and *definitely* (Cooper
 * and Marzullo 1991, "Consistent Detection of Global Predicates").
 *
 * Assumptions. A trace says in which order things happened only as far as happens-before does: each order of the events that keeps it may
 * be the one in which they happened, one at a time. Possibly: at some cut of some of these orders it holds. Definitely: in each of these
 * orders there is a cut at which it holds.
 *
 * Theory of operation. A predicate becomes a formula of columns (formula.ts); what it looks at makes a lattice of cuts (cut-lattice.ts),
 * mostly a small part of all. For each of its alternatives what holds of single processes, and bounds that only one process can help to
 * keep, are gone through straight: without anything else, that is the answer. One sum beside it is made as great or small as it can be in
 * their slice. Only what is left then is tried in a few orders, and searched for in the slice, level by level: cuts of as many steps are
 * looked at together, and make those of the next levels. No more is kept than these levels, up to a limit, and no more cuts are looked at
 * than the budget has: then it is unknown.
 *
 * Definitely is harder. For conditions of single processes, all at once, there is a straight way (Garg and Waldecker 1996). Else orders
 * are tried, and then those cuts are searched which can be reached while it does not hold, until one of them is the last one or there are
 * no more.
 */

import { TidemarkError } from "../core/error.ts";
import type { CausalOrder, Frontier } from "./causal-order.ts";
import {
  type Column,
  type Condition,
  CutLattice,
  greatestSum,
  leastCut,
  Slice,
  type StepCut,
} from "./cut-lattice.ts";
import {
  type Atom,
  boundsOf,
  clausesOf,
  columnsOf,
  compare,
  evaluator,
  type Formula,
  merged,
  movesOf,
  type SumAtom,
} from "./formula.ts";
import { formulaOf, type Predicate } from "./predicate.ts";

/**
 * How it was decided: `conjunctive`, `linear`: by going on straight; `sum`: by a minimum cut; `slice`, `lattice`: by a search among the
 * cuts that are left, or all; `ends`: it holds at the first or last cut; `orders`: by trying the order in which the trace is told, and a
 * few others.
 */
export type Way = "conjunctive" | "linear" | "sum" | "slice" | "lattice" | "ends" | "orders";

export interface PossiblyOptions {
  /**
   * How many cuts a search may look at.
   * @default 1_000_000
   */
  readonly budget?: number;
}

export interface CountOptions {
  /**
   * At which cuts.
   * @default "true"
   */
  readonly predicate?: Predicate;
  /**
   * It counts no further.
   * @default 1_000_000
   */
  readonly most?: number;
}

interface Decided {
  /** The ways that were gone. */
  readonly ways: readonly Way[];
  /** How many cuts a search has looked at. */
  readonly explored: number;
}

/** It is not known: why, and what has been looked at. */
interface Unknown extends Decided {
  readonly holds: null;
  readonly reason: string;
}

/** What comes of `possibly`. */
export type PossiblyVerdict =
  | (Decided & {
      readonly holds: true;
      /** A consistent cut at which it holds. */
      readonly cut: Frontier;
    })
  | (Decided & { readonly holds: false })
  | Unknown;

/** What comes of `definitely`. */
export type DefinitelyVerdict =
  | (Decided & { readonly holds: true })
  | (Decided & {
      readonly holds: false;
      /** All events, as indices, in an order in which they can have happened and at no time of which it holds. */
      readonly order: Int32Array;
    })
  | Unknown;

const BUDGET = 1_000_000;
const SEARCH_BYTES_MAX = 2 ** 30;
/** For so many processes orders are tried in which they are as early, and as late, as can be. */
const EARLY_MAX = 8;

/**
 * Whether there is a consistent cut at which a predicate holds.
 *
 * @example
 * ```ts
 * import { CausalOrder, parseTrace, possibly } from "tidemark/trace";
 * const order = new CausalOrder(parseTrace(`
 *   {"process":"p","type":"internal","values":{"leader":true}}
 *   {"process":"p","type":"internal","values":{"leader":false}}
 *   {"process":"q","type":"internal","values":{"leader":true}}`));
 * // p has long given up when q becomes leader, by the order of the lines. But nothing in the system saw to that.
 * const verdict = possibly(order, "p.leader && q.leader");
 * if (!verdict.holds || `${verdict.cut}` !== "1,1") throw new Error("two leaders");
 * ```
 *
 * @throws TidemarkError `BAD_OPTION` for an expression that is wrong; whatever a function throws
 */
export function possibly(
  order: CausalOrder,
  predicate: Predicate,
  { budget = BUDGET }: PossiblyOptions = {},
): PossiblyVerdict {
  return possiblyFormula(order, formulaOf(order, predicate), checkBudget(budget));
}

/**
 * Whether a predicate holds at some time in whatever order the events happened.
 *
 * @example
 * ```ts
 * import { CausalOrder, definitely, parseTrace } from "tidemark/trace";
 * const order = new CausalOrder(parseTrace(`
 *   {"process":"p","type":"send","to":"q","message":1,"values":{"busy":true}}
 *   {"process":"q","type":"receive","from":"p","message":1,"values":{"busy":true}}
 *   {"process":"q","type":"send","to":"p","message":2}
 *   {"process":"p","type":"receive","from":"q","message":2,"values":{"busy":false}}`));
 * // p waits for q: both are busy at the same time, whatever the clocks say.
 * if (!definitely(order, "p.busy && q.busy").holds) throw new Error("it must have been");
 * ```
 *
 * @throws TidemarkError `BAD_OPTION` for an expression that is wrong; whatever a function throws
 */
export function definitely(
  order: CausalOrder,
  predicate: Predicate,
  { budget = BUDGET }: PossiblyOptions = {},
): DefinitelyVerdict {
  checkBudget(budget);
  const formula = formulaOf(order, predicate);
  const lattice = new CutLattice(order, columnsOf(formula));
  const holds = evaluator(lattice, formula);
  if (holds(new Int32Array(lattice.width)) || holds(lattice.sizes))
    return { holds: true, ways: ["ends"], explored: 0 };
  if (!passes(lattice.along(order.linear), holds))
    return { holds: false, order: order.linear, ways: ["orders"], explored: 0 };

  const clauses = clausesOf(formula) ?? [];
  for (const clause of clauses) {
    if (!isConjunctive(clause)) continue;
    const way = wayAround(order, clause);
    if (way === undefined) return { holds: true, ways: ["conjunctive"], explored: 0 };
    if (clauses.length === 1)
      return { holds: false, order: way, ways: ["conjunctive"], explored: 0 };
  }
  const [first, ...more] = clauses.length === 1 ? (clauses[0] ?? []) : [];
  if (first?.type === "sum" && more.length === 0 && mustCross(lattice, first))
    return { holds: true, ways: ["sum"], explored: 0 };

  for (const events of someOrders(order, lattice))
    if (!passes(lattice.along(events), holds))
      return { holds: false, order: events, ways: ["orders"], explored: 0 };
  return avoid(lattice, holds, budget);
}

/**
 * When a predicate first held in the order in which the trace tells the events: after how many of `order.linear`; nothing if at no time.
 * That is what happened if the lines of a trace stand in the order in which they were written, by one clock.
 *
 * @throws TidemarkError `BAD_OPTION` for an expression that is wrong; whatever a function throws
 */
export function firstObserved(order: CausalOrder, predicate: Predicate): number | undefined {
  const formula = formulaOf(order, predicate);
  const lattice = new CutLattice(order, columnsOf(formula));
  const holds = evaluator(lattice, formula);
  for (const { cut, taken } of lattice.along(order.linear)) if (holds(cut)) return taken;
  return undefined;
}

/**
 * All consistent cuts at which a predicate holds, each once; all there are without one. Where conditions of single processes and bounds do
 * not hold, cuts are passed over by a slice, without being looked at. No more is kept than one of them.
 *
 * @example
 * ```ts
 * import { CausalOrder, cutsWhere, parseTrace } from "tidemark/trace";
 * const order = new CausalOrder(parseTrace(`
 *   {"process":"p","type":"send","to":"q","message":1}
 *   {"process":"q","type":"receive","from":"p","message":1}
 *   {"process":"p","type":"internal"}`));
 * const empty = [...cutsWhere(order, "inflight() == 0")].map((cut) => `${cut}`);
 * if (empty.join(" ") !== "0,0 1,1 2,1") throw new Error("before it is sent, and after it is received");
 * ```
 *
 * @throws TidemarkError `BAD_OPTION` for an expression that is wrong, or a slice that is too large; whatever a function throws
 */
export function* cutsWhere(
  order: CausalOrder,
  predicate: Predicate = "true",
): Generator<Frontier, undefined> {
  const formula = formulaOf(order, predicate);
  const counts = order.trace.timelines.map(({ length }, process) => ({
    process,
    values: Array.from({ length: length + 1 }, (_, count) => count),
  }));
  const lattice = new CutLattice(order, [...counts, ...columnsOf(formula)]);
  const clauses = clausesOf(formula);
  const parts = clauses?.length === 1 ? (clauses[0] ?? []) : [];
  const conditions = parts.flatMap((part) => conditionsOf(lattice, part)?.conditions ?? []);
  const holds = evaluator(lattice, formula);
  for (const cut of new Slice(lattice, conditions).cuts())
    if (holds(cut)) yield lattice.frontier(cut);
}

/** How many consistent cuts there are at which a predicate holds, or at all; of more than `most`, so many, and it is not complete. */
export function countCuts(
  order: CausalOrder,
  { predicate = "true", most = BUDGET }: CountOptions = {},
): { readonly count: number; readonly complete: boolean } {
  let count = 0;
  for (const _ of cutsWhere(order, predicate)) {
    if (count === most) return { count, complete: false };
    count += 1;
  }
  return { count, complete: true };
}

function checkBudget(budget: number): number {
  if (Number.isInteger(budget) && budget >= 1) return budget;
  throw new TidemarkError("BAD_OPTION", `a budget is a whole number of cuts, not ${budget}`);
}

const isConjunctive = (clause: readonly Atom[]): boolean =>
  clause.every(({ type }) => type === "local");

function possiblyFormula(order: CausalOrder, formula: Formula, budget: number): PossiblyVerdict {
  const ways: Way[] = [];
  let explored = 0;
  let unknown: string | undefined;
  for (const clause of clausesOf(formula) ?? [[formula]]) {
    const verdict = possiblyTogether(order, clause, Math.max(1, budget - explored));
    explored += verdict.explored;
    if (verdict.holds) return { ...verdict, explored };
    for (const way of verdict.ways) if (!ways.includes(way)) ways.push(way);
    if (verdict.holds === null) unknown ??= verdict.reason;
  }
  return unknown === undefined
    ? { holds: false, ways, explored }
    : { holds: null, ways, explored, reason: unknown };
}

/** Whether there is a cut at which all hold. */
function possiblyTogether(
  order: CausalOrder,
  formulas: readonly Formula[],
  budget: number,
): PossiblyVerdict {
  const parts = merged(formulas, (a, b) => a && b);
  const lattice = new CutLattice(order, parts.flatMap(columnsOf));
  const conditions: Condition[] = [];
  const rest: Formula[] = [];
  let [isRegular, isLocal] = [true, true];
  for (const part of parts) {
    const found = conditionsOf(lattice, part);
    if (found === undefined) {
      rest.push(part);
      continue;
    }
    conditions.push(...found.conditions);
    if (!found.isRegular) isRegular = false;
    if (part.type !== "local") isLocal = false;
  }
  const way = isLocal ? "conjunctive" : "linear";
  const yes = (cut: StepCut, ways: readonly Way[], explored = 0): PossiblyVerdict => ({
    ...{ holds: true, cut: lattice.frontier(cut), ways, explored },
  });
  const least = leastCut(lattice, conditions);
  if (least === undefined) return { holds: false, ways: [way], explored: 0 };
  if (rest.length === 0) return yes(least, [way]);

  const slice = new Slice(lattice, conditions);
  const [only] = rest;
  if (rest.length === 1 && only?.type === "sum" && isRegular) {
    const found = reachSum(slice, only, conditions);
    if (found === "never") return { holds: false, ways: ["sum"], explored: 0 };
    if (found !== undefined) return yes(found, ["sum"]);
  }
  const holds = evaluator(lattice, { type: "and", parts });
  for (const events of [order.linear, ...someOrders(order, lattice)])
    for (const { cut } of lattice.along(events)) if (holds(cut)) return yes(cut, ["orders"]);
  const wayOfSearch = conditions.length > 0 ? "slice" : "lattice";
  const { cut, explored, reason } = search(slice, holds, budget);
  if (cut) return yes(cut, [wayOfSearch], explored);
  if (reason === undefined) return { holds: false, ways: [wayOfSearch], explored };
  return { holds: null, ways: [wayOfSearch], explored, reason };
}

/** A part as conditions that a process must go on for; nothing if it is none. */
function conditionsOf(
  lattice: CutLattice,
  part: Formula,
): { readonly conditions: readonly Condition[]; readonly isRegular: boolean } | undefined {
  const own = ({ process }: Column): number => lattice.processes.indexOf(process);
  switch (part.type) {
    case "local": {
      const [column] = part.columns;
      const holds = lattice.bySteps(column);
      return { conditions: [{ type: "local", own: own(column), holds }], isRegular: true };
    }
    case "linear": {
      const columns = part.columns.map((column) => ({
        own: own(column),
        values: lattice.bySteps(column),
      }));
      const forbidden = (cut: StepCut): number | undefined => {
        const process = part.forbidden(
          columns.map(({ own: place, values }) => values[cut[place] as number]),
        );
        return process === undefined ? undefined : lattice.processes.indexOf(process);
      };
      return { conditions: [{ type: "linear", forbidden }], isRegular: false };
    }
    case "sum": {
      if (!part.isExact) return undefined;
      const conditions: Condition[] = [];
      let isRegular = true;
      for (const { columns, most } of boundsOf(part)) {
        const moves = columns.map(movesOf);
        // Two that may get less, and either could be the one to wait for.
        if (moves.filter(({ falls }) => falls).length > 1) return undefined;
        if (moves.filter(({ rises }) => rises).length > 1) isRegular = false;
        const falling = moves.findIndex(({ falls }) => falls);
        const terms = columns.map((column) => ({
          own: own(column),
          values: lattice.bySteps(column),
        }));
        conditions.push({
          ...{ type: "bound", terms, most },
          falling: falling < 0 ? undefined : falling,
        });
      }
      return { conditions, isRegular };
    }
    default:
      return undefined;
  }
}

/** So much of all numbers may be rounded away. */
const ROUNDED = 1e-9;

/** A cut of a slice at which a sum is as it should be; `never` if there is none, nothing if that is not known. */
function reachSum(
  slice: Slice,
  atom: SumAtom,
  conditions: readonly Condition[],
): StepCut | "never" | undefined {
  const { lattice } = slice;
  const { columns, comparison, bound, isExact } = atom;
  const terms = (sign: 1 | -1) =>
    columns.map((column) => ({
      own: lattice.processes.indexOf(column.process),
      values: lattice.bySteps(column).map((value) => sign * value),
    }));
  const holds = evaluator(lattice, atom);
  let rounded = 0;
  if (!isExact) {
    for (const { values } of columns)
      rounded += values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    rounded = (rounded + Math.abs(bound)) * ROUNDED;
  }
  if (comparison !== "==") {
    const sign = comparison === ">" || comparison === ">=" ? 1 : -1;
    const { value, cut } = greatestSum(slice, terms(sign));
    if (holds(cut)) return cut;
    return isExact || value + rounded < sign * bound ? "never" : undefined;
  }
  const greatest = greatestSum(slice, terms(1));
  const least = greatestSum(slice, terms(-1));
  for (const { cut } of [greatest, least]) if (holds(cut)) return cut;
  if (greatest.value + rounded < bound || -least.value - rounded > bound) return "never";
  if (isExact && !Number.isInteger(bound)) return "never";
  // From one to the other, event by event, it passes all between if it moves by one at a time, and often else.
  const stays = conditions.every(
    (condition) =>
      condition.type === "local" &&
      condition.holds.every((value, i) => i === 0 || value || !condition.holds[i - 1]),
  );
  if (!stays) return undefined;
  const meet = least.cut.map((steps, k) => Math.min(steps, greatest.cut[k] as number));
  for (const to of [least.cut, greatest.cut])
    for (const { cut } of lattice.along(lattice.order.linear, meet, to))
      if (holds(cut)) return cut.slice();
  return undefined;
}

const movesByOne = ({ values }: Column<number>): boolean =>
  values.every((value, i) => i === 0 || Math.abs(value - (values[i - 1] as number)) <= 1);

/** Whether a sum cannot get past its bound without being it for a moment, and must get past it (Tomlinson and Garg 1997). */
function mustCross(lattice: CutLattice, { columns, comparison, bound, isExact }: SumAtom): boolean {
  if (comparison !== "==" || !isExact || !Number.isInteger(bound)) return false;
  if (!columns.every(movesByOne)) return false;
  const sumAt = (cut: StepCut): number =>
    columns.reduce(
      (sum, column) =>
        sum +
        (lattice.bySteps(column)[
          cut[lattice.processes.indexOf(column.process)] as number
        ] as number),
      0,
    );
  const [first, last] = [sumAt(new Int32Array(lattice.width)), sumAt(lattice.sizes)];
  return compare(first, "<=", bound) === compare(last, ">=", bound);
}

/** What a search among cuts has found: a cut, or a reason for which it ended too early, or neither. */
interface Found {
  readonly cut?: StepCut;
  readonly explored: number;
  readonly reason?: string;
}

/** Looks at the cuts of a slice, those of fewer steps first. */
function search(slice: Slice, holds: (cut: StepCut) => boolean, budget: number): Found {
  const { least } = slice;
  if (least === undefined) return { explored: 0 };
  const sizeOf = (cut: StepCut): number => cut.reduce((sum, steps) => sum + steps, 0);
  const levels = new Map<number, CutSet>();
  let bytes = 0;
  const add = (cut: StepCut): void => {
    const size = sizeOf(cut);
    const level = levels.get(size) ?? new CutSet(cut.length);
    levels.set(size, level);
    if (level.add(cut) !== undefined) bytes += level.bytesEach;
  };
  add(least);
  let explored = 0;
  const all = sizeOf(slice.reach);
  for (let size = sizeOf(least); levels.size > 0; size += 1) {
    const level = levels.get(size);
    if (level === undefined) continue;
    for (let i = 0; i < level.size; i += 1) {
      const stopped = limitText(explored, budget, bytes);
      if (stopped)
        return {
          explored,
          reason: `${stopped}; it holds at none of up to ${size - 1} of ${all} steps`,
        };
      explored += 1;
      const cut = level.at(i);
      if (holds(cut)) return { cut: cut.slice(), explored };
      for (const next of slice.after(cut)) add(next);
    }
    bytes -= level.size * level.bytesEach;
    levels.delete(size);
  }
  return { explored };
}

/**
 * Looks for an order that never comes to a cut at which it holds. It goes as far as it can, and back where it cannot: if there is a way
 * around it is mostly found soon, and if there is none, all cuts that can be reached have been looked at, as they would be level by
 * level.
 */
function avoid(
  lattice: CutLattice,
  holds: (cut: StepCut) => boolean,
  budget: number,
): DefinitelyVerdict {
  const { width, sizes, order } = lattice;
  const decided = { ways: ["lattice"] as const };
  const all = sizes.reduce((sum, steps) => sum + steps, 0);
  const seen = new CutSet(width);
  /**
   * How far it has come: each cut, by a step of which process it was reached, and which are still to be tried from there, the last one
   * first.
   */
  const path: { readonly cut: StepCut; readonly own: number; readonly next: number[] }[] = [];
  const go = (cut: StepCut, own: number): void => {
    const next = [...sizes.keys()].filter((one) => lattice.canAdvance(cut, one));
    path.push({ cut, own, next: next.sort((a, b) => (cut[a] as number) - (cut[b] as number)) });
  };
  go(new Int32Array(width), 0);
  let furthest = 0;
  while (path.length > 0 && path.length <= all) {
    const { cut, next } = path.at(-1) as (typeof path)[number];
    const own = next.pop();
    if (own === undefined) {
      path.pop();
      continue;
    }
    const after = cut.slice();
    after[own] = (cut[own] as number) + 1;
    if (seen.has(after)) continue;
    const stopped = limitText(seen.size, budget, seen.size * seen.bytesEach);
    if (stopped) {
      const reason = `${stopped}; it can be avoided for ${furthest} of ${all} steps`;
      return { ...decided, holds: null, explored: seen.size, reason };
    }
    seen.add(after);
    if (holds(after)) continue;
    furthest = Math.max(furthest, path.length);
    go(after, own);
  }
  if (path.length === 0) return { ...decided, holds: true, explored: seen.size };
  const events = path.slice(1).map(({ cut, own }) => lattice.event(own, cut[own] as number));
  return { ...decided, holds: false, order: order.lift(events), explored: seen.size };
}

function limitText(explored: number, budget: number, bytes: number): string | undefined {
  if (explored >= budget)
    return `${budget === 1 ? "1 cut was" : `${budget} cuts were`} looked at, as many as the budget has`;
  if (bytes <= SEARCH_BYTES_MAX) return undefined;
  return `the cuts to be kept take more than ${SEARCH_BYTES_MAX} bytes`;
}

function passes(
  path: Iterable<{ readonly cut: StepCut }>,
  holds: (cut: StepCut) => boolean,
): boolean {
  for (const { cut } of path) if (holds(cut)) return true;
  return false;
}

/** Orders in which the events can have happened, with each of the first processes as early and as late as can be. */
function* someOrders(order: CausalOrder, lattice: CutLattice): Generator<Int32Array> {
  for (const own of lattice.processes.slice(0, EARLY_MAX).keys()) {
    const process = lattice.processes[own] as number;
    yield order.lift(order.trace.timelines[process] as Int32Array);
    yield order.lift(order.linear.filter((e) => order.trace.events[e]?.process !== process));
  }
}

/**
 * An order in which conditions of single processes never all hold at once; nothing if there is none (Garg and Waldecker 1996, "Detection
 * of Strong Unstable Predicates in Distributed Programs").
 *
 * Theory of operation. While a condition holds without a break is an interval of its process. Intervals, one of each process, overlap in
 * each order if and only if each begins before each other one ends, by happens-before. If one of them does not, the other one can be over
 * before: it is passed, and cannot overlap with later ones of that process either. What is passed is kept as a cut, and the way to it is
 * the order. On this way the condition of some process does not hold all the while: of the first one, if its interval has not begun. If it
 * has, it began before the end of an interval that was passed; the process of that comes to its next one only after it, and if that has
 * begun, too, there was another one, and so on. The last of these has not begun; nor does it on this way, for then the first one would
 * have begun before the end of the other.
 */
function wayAround(order: CausalOrder, clause: readonly Atom[]): Int32Array | undefined {
  const lattice = new CutLattice(order, clause.flatMap(columnsOf));
  const { width, sizes } = lattice;
  const intervals = Array.from({ length: width }, (): [start: number, end: number][] => []);
  for (const atom of clause) {
    const [column] = atom.columns as readonly [Column<boolean>];
    const list = intervals[lattice.processes.indexOf(column.process)] as [number, number][];
    for (const [steps, value] of lattice.bySteps(column).entries()) {
      const last = list.at(-1);
      if (value && last?.[1] === steps - 1) last[1] = steps;
      else if (value) list.push([steps, steps]);
    }
  }
  const passed = new Int32Array(width);
  const events: number[] = [];
  const at = new Int32Array(width);
  const interval = (own: number) => intervals[own]?.[at[own] as number];
  const pairs: number[] = [];
  /** Whether an interval of `last` can be over before that of `first` begins. */
  const canPass = (first: number, last: number): boolean => {
    const [start = 0] = interval(first) ?? [];
    const [, end = 0] = interval(last) ?? [];
    return end < (sizes[last] as number) && lattice.needed(last, end + 1, first) < start;
  };
  const lookAt = (own: number): void => {
    for (let other = 0; other < width; other += 1) {
      if (other === own) continue;
      if (canPass(other, own)) pairs.push(other, own);
      if (canPass(own, other)) pairs.push(own, other);
    }
  };
  if (intervals.some(({ length }) => length === 0)) return order.linear;
  for (let own = 0; own < width; own += 1) lookAt(own);
  while (pairs.length > 0) {
    const [first, last] = pairs.splice(-2) as [number, number];
    if (!canPass(first, last)) continue;
    const exit = (interval(last)?.[1] as number) + 1;
    events.push(lattice.event(last, exit));
    const moved: number[] = [];
    for (let own = 0; own < width; own += 1) {
      passed[own] = Math.max(passed[own] as number, lattice.needed(last, exit, own));
      const before = at[own] as number;
      for (let now = interval(own); now && now[1] < (passed[own] as number); now = interval(own))
        at[own] = (at[own] as number) + 1;
      // From here on its condition never holds again.
      if (interval(own) === undefined) return order.lift(events);
      if (at[own] !== before) moved.push(own);
    }
    for (const own of moved) lookAt(own);
  }
  return undefined;
}

/** Cuts of one lattice, each once, in the order in which they came. */
class CutSet {
  readonly #width: number;
  #cuts: Int32Array;
  #table = new Int32Array(16);
  #size = 0;

  constructor(width: number) {
    this.#width = width;
    this.#cuts = new Int32Array(8 * width);
  }

  get size(): number {
    return this.#size;
  }

  /** About so much memory one takes: the cut, twice at the worst, and its places in the table. */
  get bytesEach(): number {
    return 8 * this.#width + 16;
  }

  at(index: number): StepCut {
    return this.#cuts.subarray(index * this.#width, (index + 1) * this.#width);
  }

  has(cut: StepCut): boolean {
    return this.#table[this.#find(cut)] !== 0;
  }

  /** Its place; nothing if it is there already. */
  add(cut: StepCut): number | undefined {
    let slot = this.#find(cut);
    if (this.#table[slot] !== 0) return undefined;
    if (2 * (this.#size + 1) > this.#table.length) {
      this.#table = new Int32Array(2 * this.#table.length);
      for (let i = 0; i < this.#size; i += 1) this.#table[this.#find(this.at(i))] = i + 1;
      slot = this.#find(cut);
    }
    if ((this.#size + 1) * this.#width > this.#cuts.length) {
      const cuts = new Int32Array(2 * this.#cuts.length);
      cuts.set(this.#cuts);
      this.#cuts = cuts;
    }
    this.#cuts.set(cut, this.#size * this.#width);
    this.#size += 1;
    this.#table[slot] = this.#size;
    return this.#size - 1;
  }

  /** The slot that has it, or is free for it. */
  #find(cut: StepCut): number {
    let hash = 0;
    for (const steps of cut) hash = Math.imul(hash ^ steps, 0x9e3779b1) ^ (hash >>> 15);
    const mask = this.#table.length - 1;
    for (let slot = (hash ^ (hash >>> 16)) & mask; ; slot = (slot + 1) & mask) {
      const place = this.#table[slot] as number;
      if (place === 0 || isSame(this.at(place - 1), cut)) return slot;
    }
  }
}

function isSame(a: StepCut, b: StepCut): boolean {
  for (let i = 0; i < a.length; i += 1) if (a[i] !== b[i]) return false;
  return true;
}
