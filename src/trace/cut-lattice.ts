/**
 * The consistent cuts of a trace as far as they differ in what somebody looks at, and those among them at which something holds.
 *
 * Assumptions. What is looked at changes at some events of some processes: these are the steps. All else is left out.
 *
 * Theory of operation. Happens-before between the steps alone is an order as well, and each of its cuts is what is left of some
 * consistent cut of the whole; and each order in which the steps can happen is what is left of an order of all events. So what is
 * possible or definite can be decided on the steps, which are few where the trace is long.
 *
 * Consistent cuts are closed under union and intersection. So are the cuts that keep conditions which are *regular* (Garg and Mittal
 * 2001): conditions of single processes, bounds on how much is in flight. Such cuts are the unions of the least ones that have a given
 * step, and these are found one after the other by going on: a condition that does not hold names a process which must go on before it
 * can (Chase and Garg 1998). A family of cuts is kept as that table, called the slice; it has no cut in it that is not asked for.
 */

import { TidemarkError } from "../core/error.ts";
import type { CausalOrder, Frontier } from "./causal-order.ts";
import type { TraceEvent } from "./trace.ts";

/** How many of its steps each process of a lattice has inside, by the place of the process in the lattice. */
export type StepCut = Int32Array;

/** The value of something that depends on one process, for each number of its events. */
export interface Column<T = unknown> {
  readonly process: number;
  readonly values: readonly T[];
}

const TABLE_BYTES_MAX = 2 ** 30;
/** So many numbers are worked out beforehand at the most. */
const NEEDS_MAX = 2 ** 24;

/** The consistent cuts, as far as some columns differ at them. */
export class CutLattice {
  readonly order: CausalOrder;
  /** The processes that have a column, in the order of the trace. */
  readonly processes: readonly number[];
  /** How many steps each has. */
  readonly sizes: Int32Array;
  /** For each process after how many of its events each of its steps is. */
  readonly #counts: readonly Int32Array[];
  /** For each process how many steps it has taken after each number of its events. */
  readonly #ranks: readonly Int32Array[];
  /** For each process and number of its steps how many of each must be inside, if that is not too much to keep. */
  readonly #needs: readonly Int32Array[] | undefined;

  constructor(order: CausalOrder, columns: readonly Column[]) {
    this.order = order;
    const { timelines } = order.trace;
    this.processes = [...new Set(columns.map(({ process }) => process))].sort((a, b) => a - b);
    const lattice = this.processes.map((process) => {
      const own = columns.filter((column) => column.process === process);
      const ranks = new Int32Array((timelines[process] as Int32Array).length + 1);
      const counts = [0];
      for (let count = 1; count < ranks.length; count += 1) {
        if (own.some(({ values }) => !Object.is(values[count], values[count - 1])))
          counts.push(count);
        ranks[count] = counts.length - 1;
      }
      return { counts: Int32Array.from(counts), ranks };
    });
    this.#counts = lattice.map(({ counts }) => counts);
    this.#ranks = lattice.map(({ ranks }) => ranks);
    this.sizes = Int32Array.from(this.#counts, ({ length }) => length - 1);
    const { width } = this;
    const cells = this.#counts.reduce((sum, { length }) => sum + length, 0) * width;
    if (cells <= NEEDS_MAX)
      this.#needs = Array.from(this.sizes, (size, own) =>
        Int32Array.from({ length: (size + 1) * width }, (_, i) =>
          this.#need(own, Math.floor(i / width), i % width),
        ),
      );
  }

  get width(): number {
    return this.processes.length;
  }

  /** How many steps of `other` must be inside if the first `steps` of `own` are; both are places in the lattice. */
  needed(own: number, steps: number, other: number): number {
    const needs = this.#needs?.[own];
    if (needs === undefined) return this.#need(own, steps, other);
    return needs[steps * this.processes.length + other] as number;
  }

  #need(own: number, steps: number, other: number): number {
    if (steps === 0) return 0;
    if (own === other) return steps;
    return (this.#ranks[other] as Int32Array)[
      this.order.known(this.event(own, steps), this.processes[other] as number)
    ] as number;
  }

  /** The event of a step, which is one from 1. */
  event(own: number, step: number): number {
    const count = (this.#counts[own] as Int32Array)[step] as number;
    const timeline = this.order.trace.timelines[this.processes[own] as number] as Int32Array;
    return timeline[count - 1] as number;
  }

  /** Whether a process can take its next step at a consistent cut. */
  canAdvance(cut: StepCut, own: number): boolean {
    const next = (cut[own] as number) + 1;
    if (next > (this.sizes[own] as number)) return false;
    for (let other = 0; other < this.width; other += 1)
      if (other !== own && this.needed(own, next, other) > (cut[other] as number)) return false;
    return true;
  }

  /** The steps of some events, or of all in the order of the trace, from one cut to another. `taken`: after how many of the events. */
  *steps(
    from: StepCut,
    to: StepCut,
    events: Int32Array = this.order.linear,
  ): Generator<{ readonly own: number; readonly steps: number; readonly taken: number }> {
    const places = new Map(this.processes.map((process, own) => [process, own]));
    for (const [i, e] of events.entries()) {
      const { process, position } = this.order.trace.events[e] as TraceEvent;
      const own = places.get(process);
      if (own === undefined) continue;
      const ranks = this.#ranks[own] as Int32Array;
      const steps = ranks[position + 1] as number;
      if (
        steps > (from[own] as number) &&
        steps <= (to[own] as number) &&
        steps > (ranks[position] as number)
      )
        yield { own, steps, taken: i + 1 };
    }
  }

  /**
   * The cuts that events pass, one after the other; each is good until the next is asked for. `taken`: after how many of the events it
   * is.
   */
  *along(
    events: Int32Array,
    from: StepCut = new Int32Array(this.width),
    to: StepCut = this.sizes,
  ): Generator<{ readonly cut: StepCut; readonly taken: number }> {
    const cut = from.slice();
    yield { cut, taken: 0 };
    for (const { own, steps, taken } of this.steps(from, to, events)) {
      cut[own] = steps;
      yield { cut, taken };
    }
  }

  /** A column as it is after each number of steps. */
  bySteps<T>({ process, values }: Column<T>): readonly T[] {
    const counts = this.#counts[this.processes.indexOf(process)] as Int32Array;
    return Array.from(counts, (count) => values[count] as T);
  }

  /** After how many events a number of steps is taken. */
  count(own: number, steps: number): number {
    return (this.#counts[own] as Int32Array)[steps] as number;
  }

  /** The least consistent cut of the trace with those steps. */
  frontier(cut: StepCut): Frontier {
    const frontier = new Int32Array(this.order.trace.processes.length);
    for (const [own, process] of this.processes.entries())
      frontier[process] = this.count(own, cut[own] as number);
    return this.order.least(frontier);
  }
}

/** A number of a process after each number of its steps. */
export interface Term {
  readonly own: number;
  readonly values: readonly number[];
}

/** What must hold at a cut. All that are asked together are of one lattice, and its places are what they name. */
export type Condition =
  | {
      /** It depends on one process: whether it holds after each number of steps. */
      readonly type: "local";
      readonly own: number;
      readonly holds: readonly boolean[];
    }
  | {
      /**
       * A sum of numbers, one of each of some processes, is at most so much. All but the one at `falling` never get less: only that can
       * help.
       */
      readonly type: "bound";
      readonly terms: readonly Term[];
      readonly most: number;
      readonly falling: number | undefined;
    }
  | {
      /** Whatever it is: a process that must go on before it can hold, or nothing if it holds. */
      readonly type: "linear";
      readonly forbidden: (cut: StepCut) => number | undefined;
    };

/** Goes on from a cut to the least consistent one at which all conditions hold; false, and some cut, if there is none. */
function rise(lattice: CutLattice, conditions: readonly Condition[], cut: StepCut): boolean {
  const { width, sizes } = lattice;
  const risen = Array.from(cut.keys());
  const raise = (own: number, steps: number): boolean => {
    if (steps > (sizes[own] as number)) return false;
    if (steps > (cut[own] as number)) {
      cut[own] = steps;
      risen.push(own);
    }
    return true;
  };
  for (;;) {
    for (let own = risen.pop(); own !== undefined; own = risen.pop())
      for (let other = 0; other < width; other += 1)
        raise(other, lattice.needed(own, cut[own] as number, other));
    let all = true;
    for (const condition of conditions) {
      const lack = missing(condition, cut);
      if (lack === undefined) continue;
      if (!raise(lack.own, lack.steps)) return false;
      all = false;
      // What one process must do may have changed what others must.
      if (condition.type !== "local") break;
    }
    if (all) return true;
  }
}

/** Which process must go on at the least, and how far, for a condition to hold: one further than it has if it never will. */
function missing(
  condition: Condition,
  cut: StepCut,
): { readonly own: number; readonly steps: number } | undefined {
  switch (condition.type) {
    case "local": {
      const { own, holds } = condition;
      let steps = cut[own] as number;
      while (steps < holds.length && !holds[steps]) steps += 1;
      return steps === cut[own] ? undefined : { own, steps };
    }
    case "bound": {
      const { terms, most, falling } = condition;
      let sum = 0;
      for (const { own, values } of terms) sum += values[cut[own] as number] as number;
      if (sum <= most) return undefined;
      const { own, values } = terms[falling ?? 0] as (typeof terms)[number];
      if (falling === undefined) return { own, steps: values.length };
      const rest = sum - (values[cut[own] as number] as number);
      let steps = cut[own] as number;
      while (steps < values.length && rest + (values[steps] as number) > most) steps += 1;
      return { own, steps };
    }
    case "linear": {
      const own = condition.forbidden(cut);
      return own === undefined ? undefined : { own, steps: (cut[own] as number) + 1 };
    }
  }
}

/**
 * The least consistent cut at which all conditions hold: Garg and Waldecker 1994 for conditions of single processes, Chase and Garg 1998
 * for the others. Each step is passed once.
 */
export function leastCut(
  lattice: CutLattice,
  conditions: readonly Condition[],
): StepCut | undefined {
  const cut = new Int32Array(lattice.width);
  return rise(lattice, conditions, cut) ? cut : undefined;
}

/**
 * A family of consistent cuts that is closed under union and intersection: all at which some conditions hold, if these are regular. If
 * they only have a least cut each time, it is the smallest such family that has all these.
 */
export class Slice {
  readonly lattice: CutLattice;
  /** The cut that is within all others; nothing if there is none. */
  readonly least: StepCut | undefined;
  /** For each process how many steps it has at the most. */
  readonly reach: Int32Array;
  /** For each process and number of steps the least cut with these; nothing if conditions do not narrow the lattice. */
  readonly #rows: readonly Int32Array[] | undefined;

  /** @throws TidemarkError `BAD_OPTION` if it would take too much memory */
  constructor(lattice: CutLattice, conditions: readonly Condition[] = []) {
    this.lattice = lattice;
    this.least = leastCut(lattice, conditions);
    this.reach = lattice.sizes.slice();
    const { least } = this;
    if (least === undefined || conditions.length === 0) return;
    const { width, sizes } = lattice;
    const cells = (sizes.reduce((sum, size) => sum + size, 0) + width) * width;
    if (cells * 4 > TABLE_BYTES_MAX)
      throw new TidemarkError(
        "BAD_OPTION",
        `a slice of ${cells / width} steps of ${width} processes is more than fits; look at a part of the trace, or at fewer processes`,
      );
    this.#rows = Array.from(sizes, (size, own) => {
      const rows = new Int32Array((size + 1) * width);
      const cut = least.slice();
      for (let steps = 0; steps <= size; steps += 1) {
        if (steps > (cut[own] as number)) {
          cut[own] = steps;
          if (!rise(lattice, conditions, cut)) {
            this.reach[own] = steps - 1;
            break;
          }
        }
        rows.set(cut, steps * width);
      }
      return rows;
    });
  }

  /** How many steps of `other` the least cut has that has so many of `own`, which are no more than its reach. */
  needed(own: number, steps: number, other: number): number {
    const rows = this.#rows?.[own];
    if (rows === undefined) return this.lattice.needed(own, steps, other);
    return rows[steps * this.lattice.width + other] as number;
  }

  /** Adds what a process needs for so many steps. */
  join(cut: StepCut, own: number, steps: number): void {
    for (let other = 0; other < cut.length; other += 1) {
      const needed = this.needed(own, steps, other);
      if (needed > (cut[other] as number)) cut[other] = needed;
    }
  }

  /** The cuts that follow from a cut by a step of one process and what it needs: all others come after one of these. */
  *after(cut: StepCut): Generator<StepCut> {
    for (let own = 0; own < cut.length; own += 1) {
      if (this.#rows === undefined) {
        if (!this.lattice.canAdvance(cut, own)) continue;
      } else if ((cut[own] as number) >= (this.reach[own] as number)) continue;
      const next = cut.slice();
      if (this.#rows === undefined) next[own] = (cut[own] as number) + 1;
      else this.join(next, own, (cut[own] as number) + 1);
      yield next;
    }
  }

  /**
   * All of its cuts, each once, in the order of the numbers of their steps, the first process first; no more is kept than one of them
   * (Garg 2003, "Enumerating Global States of a Distributed Computation").
   */
  *cuts(): Generator<StepCut> {
    let cut = this.least;
    while (cut !== undefined) {
      yield cut;
      cut = this.#next(cut);
    }
  }

  #next(cut: StepCut): StepCut | undefined {
    const least = this.least as StepCut;
    for (let own = cut.length - 1; own >= 0; own -= 1) {
      const steps = (cut[own] as number) + 1;
      if (steps > (this.reach[own] as number)) continue;
      const next = least.slice();
      for (let before = 0; before < own; before += 1)
        this.join(next, before, cut[before] as number);
      this.join(next, own, steps);
      if (next.subarray(0, own).every((count, before) => count === cut[before])) return next;
    }
    return undefined;
  }
}

/** The greatest that a sum can be at a cut of a slice, and the least cut at which it is. */
export interface Extreme {
  readonly value: number;
  readonly cut: StepCut;
}

/**
 * Where a sum of numbers of processes is greatest in a slice that is not empty: a closure of greatest weight, which is a minimum cut of a
 * network (Picard 1976; Chase and Garg 1998).
 *
 * Theory of operation. A step that adds to the sum is a gain; it can only be had together with all that it needs, some of which are
 * losses. Gains pay for losses that they need, as much as they can: a flow. What is left of the gains is by how much the sum can rise at
 * the most, and the steps that they need, with all that those need which pay for their losses, are the cut.
 */
export function greatestSum(slice: Slice, terms: readonly Term[]): Extreme {
  const least = slice.least as StepCut;
  const valuesOf: (readonly number[])[] = Array.from(least, () => []);
  let value = 0;
  for (const { own, values } of terms) {
    valuesOf[own] = values;
    value += values[least[own] as number] as number;
  }
  const losses: number[][] = Array.from(least, () => []);
  const ranks = Array.from(valuesOf, ({ length }) => new Int32Array(length));
  const gains: { readonly own: number; readonly steps: number; readonly amount: number }[] = [];
  // In the order of the trace: then most of what a gain needs was settled by those before it.
  for (const { own, steps } of slice.lattice.steps(least, slice.reach)) {
    const [values = [], rank] = [valuesOf[own], ranks[own] as Int32Array];
    const more = (values[steps] ?? 0) - (values[steps - 1] ?? 0);
    if (more > 0) gains.push({ own, steps, amount: more });
    if (more < 0) losses[own]?.push(-more);
    if (rank.length > 0) rank[steps] = losses[own]?.length ?? 0;
  }
  const needs = (gain: number, other: number): number => {
    const { own, steps } = gains[gain] as (typeof gains)[number];
    return slice.needed(own, steps, other);
  };
  const cut = least.slice();
  const payments = new Payments(losses, ranks, needs, cut);
  for (const [gain, { amount }] of gains.entries()) value += payments.pay(gain, amount);
  return { value, cut };
}

/**
 * Losses of one process that a search has come to: those from one place up to another, by way of others or, if there are none, by itself.
 */
interface Stretch {
  readonly own: number;
  readonly from: number;
  readonly to: number;
  readonly by: Stretch | undefined;
}

/**
 * A flow from gains to losses.
 *
 * Theory of operation. When a gain finds no open loss among those it needs, it takes one over from a gain that pays for it and that can
 * pay for another one instead, and so on: a search (Ford and Fulkerson 1956). Whatever a gain needs is the first losses of each process;
 * so what a search has come to is that, too, and it goes on by asking of a stretch of losses how far those who pay for them can go, which
 * a tree of the greatest needs answers. What a search has come to in vain is settled: no later one can find anything there.
 */
class Payments {
  /** For each process how much of each loss is not paid for. */
  readonly #open: readonly number[][];
  /**
   * For each process and number of losses which is the last of them that is open, from 1; 0 if there is none. Some lead there by way of
   * others.
   */
  readonly #lastOpen: readonly Int32Array[];
  /** For each process and loss who pays how much for it. */
  readonly #payers: readonly (Map<number, number> | undefined)[][];
  /** For each process a tree over its losses: how many steps of each process those who pay for a loss below need at the most. */
  readonly #trees: readonly Int32Array[];
  /** For each process how many losses come within each number of steps. */
  readonly #ranks: readonly Int32Array[];
  readonly #needs: (gain: number, own: number) => number;
  /** For each process how many of the first losses are settled. */
  #settled: Int32Array;
  /** All steps that gains need which have nothing more to pay for. */
  readonly #cut: StepCut;

  constructor(
    losses: readonly number[][],
    ranks: readonly Int32Array[],
    needs: (gain: number, own: number) => number,
    cut: StepCut,
  ) {
    const width = losses.length;
    this.#open = losses;
    this.#lastOpen = losses.map(({ length }) =>
      Int32Array.from({ length: length + 1 }, (_, i) => i),
    );
    this.#payers = losses.map(({ length }) => new Array(length).fill(undefined));
    this.#trees = losses.map(({ length }) => new Int32Array(2 * length * width));
    this.#ranks = ranks;
    this.#needs = needs;
    this.#settled = new Int32Array(width);
    this.#cut = cut;
  }

  /** Lets a gain pay for what it needs; gives what is left of it. */
  pay(gain: number, amount: number): number {
    let left = amount;
    while (left > 0) {
      const paid = this.#payOnce(gain, left);
      if (paid === 0) break;
      left -= paid;
    }
    return left;
  }

  #payOnce(gain: number, left: number): number {
    const width = this.#settled.length;
    const seen = this.#settled.slice();
    const needed = new Int32Array(width);
    for (let own = 0; own < width; own += 1) needed[own] = this.#needs(gain, own);
    const most = needed.slice();
    const queue: Stretch[] = [];
    const reach = (by: Stretch | undefined): number => {
      for (let own = 0; own < width; own += 1) {
        const [from, to] = [seen[own] as number, this.#rank(own, needed[own] as number)];
        if (to <= from) continue;
        const stretch = { own, from, to, by };
        const open = this.#findOpen(own, to);
        if (open > from) return this.#spend(gain, left, stretch, open - 1);
        seen[own] = to;
        queue.push(stretch);
      }
      return 0;
    };
    let paid = reach(undefined);
    for (let head = 0; head < queue.length && paid === 0; head += 1) {
      const stretch = queue[head] as Stretch;
      this.#greatest(stretch, needed);
      for (let own = 0; own < width; own += 1)
        most[own] = Math.max(most[own] as number, needed[own] as number);
      paid = reach(stretch);
    }
    if (paid > 0) return paid;
    this.#settled = seen;
    for (let own = 0; own < width; own += 1)
      this.#cut[own] = Math.max(this.#cut[own] as number, most[own] as number);
    return 0;
  }

  /** Pays for an open loss, on the way on which it was found: each gain takes over from the next what that was to pay. */
  #spend(gain: number, left: number, found: Stretch, open: number): number {
    const way: { readonly gain: number; readonly own: number; readonly loss: number }[] = [];
    let at = { own: found.own, loss: open };
    for (let { by } = found; by !== undefined; by = by.by) {
      const loss = this.#lossThatReaches(by, at.own, at.loss);
      const payers = this.#payers[by.own]?.[loss]?.keys() ?? [];
      for (const one of payers)
        if (this.#rank(at.own, this.#needs(one, at.own)) > at.loss) {
          way.push({ gain: one, ...at });
          break;
        }
      at = { own: by.own, loss };
    }
    way.push({ gain, ...at });
    let amount = Math.min(left, this.#open[found.own]?.[open] as number);
    for (const [i, { gain: one }] of way.slice(0, -1).entries()) {
      const { own, loss } = way[i + 1] as (typeof way)[number];
      amount = Math.min(amount, this.#payers[own]?.[loss]?.get(one) as number);
    }
    for (const [i, { gain: one, own, loss }] of way.entries()) {
      this.#change(own, loss, one, amount);
      const next = way[i + 1];
      if (next) this.#change(next.own, next.loss, one, -amount);
    }
    for (const { own, loss } of way) this.#renew(own, loss);
    const losses = this.#open[found.own] as number[];
    losses[open] = (losses[open] as number) - amount;
    if (losses[open] === 0) (this.#lastOpen[found.own] as Int32Array)[open + 1] = open;
    return amount;
  }

  #change(own: number, loss: number, gain: number, amount: number): void {
    const row = this.#payers[own] as (Map<number, number> | undefined)[];
    row[loss] ??= new Map();
    const paid = (row[loss].get(gain) ?? 0) + amount;
    if (paid > 0) row[loss].set(gain, paid);
    else row[loss].delete(gain);
  }

  #rank(own: number, steps: number): number {
    return this.#ranks[own]?.[steps] ?? 0;
  }

  #findOpen(own: number, most: number): number {
    const last = this.#lastOpen[own] as Int32Array;
    let root = most;
    while (last[root] !== root) root = last[root] as number;
    for (let at = most; at > root; ) {
      const next = last[at] as number;
      last[at] = root;
      at = next;
    }
    return root;
  }

  /** Works out anew what those who pay for a loss need. */
  #renew(own: number, loss: number): void {
    const [tree, width] = [this.#trees[own] as Int32Array, this.#settled.length];
    let node = loss + (this.#open[own] as number[]).length;
    for (let other = 0; other < width; other += 1) {
      let most = 0;
      for (const payer of this.#payers[own]?.[loss]?.keys() ?? [])
        most = Math.max(most, this.#needs(payer, other));
      tree[node * width + other] = most;
    }
    for (node >>= 1; node >= 1; node >>= 1)
      for (let other = 0; other < width; other += 1) {
        const left = tree[2 * node * width + other] as number;
        const right = tree[(2 * node + 1) * width + other] as number;
        tree[node * width + other] = left > right ? left : right;
      }
  }

  /** What those who pay for the losses of a stretch need at the most. */
  #greatest({ own, from, to }: Stretch, needed: Int32Array): void {
    const [tree, width] = [this.#trees[own] as Int32Array, this.#settled.length];
    needed.fill(0);
    for (const node of nodesOf((this.#open[own] as number[]).length, from, to))
      for (let other = 0; other < width; other += 1)
        needed[other] = Math.max(needed[other] as number, tree[node * width + other] as number);
  }

  /** A loss of a stretch for which somebody pays who needs a loss of another process as well. */
  #lossThatReaches({ own, from, to }: Stretch, other: number, loss: number): number {
    const [tree, width] = [this.#trees[own] as Int32Array, this.#settled.length];
    const { length } = this.#open[own] as number[];
    const reaches = (node: number): boolean =>
      this.#rank(other, tree[node * width + other] as number) > loss;
    let node = nodesOf(length, from, to).find(reaches) as number;
    while (node < length) node = reaches(2 * node) ? 2 * node : 2 * node + 1;
    return node - length;
  }
}

/** The nodes of a tree with so many leaves that together are above the leaves from one up to another. */
function nodesOf(leaves: number, from: number, to: number): number[] {
  const nodes: number[] = [];
  for (let [low, high] = [from + leaves, to + leaves]; low < high; low >>= 1, high >>= 1) {
    if (low & 1) nodes.push(low++);
    if (high & 1) nodes.push(--high);
  }
  return nodes;
}
