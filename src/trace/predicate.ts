/** Predicates of the global state, as programs and people write them, and what becomes of them: a formula. */

import { TidemarkError } from "../core/error.ts";
import type { CausalOrder } from "./causal-order.ts";
import type { Column } from "./cut-lattice.ts";
import { parseExpression } from "./expression.ts";
import { type Comparison, type Formula, sumAtom } from "./formula.ts";
import { inFlightOn, StateIndex } from "./state-index.ts";

/** The state of the system at a cut, as far as a predicate may look at it. */
export interface GlobalState {
  /** A value of a process; undefined before the process first says it. */
  value(process: string, name: string): unknown;
  /** All values of a process. */
  values(process: string): Readonly<Record<string, unknown>>;
  /** How many messages are in flight from one process to another. */
  inFlight(from: string, to: string): number;
}

/** The values of one process. */
export type ProcessValues = Readonly<Record<string, unknown>>;

/**
 * What is asked of the global state. An expression, as `a.balance + b.balance < 100`, is taken apart, and decided in the best way that
 * its parts have. Of a function nothing is known, and cuts are searched. The other forms say what they are: a condition of each of some
 * processes; a sum of a number of each, compared with a bound; or, for what is *linear*, which process must go on before it can hold,
 * whatever the others do (undefined: it holds).
 */
export type Predicate =
  | string
  | ((state: GlobalState) => boolean)
  | { readonly every: Readonly<Record<string, (values: ProcessValues) => boolean>> }
  | {
      readonly sum: Readonly<Record<string, (values: ProcessValues) => number>>;
      readonly comparison: Comparison;
      readonly bound: number;
    }
  | { readonly forbidden: (state: GlobalState) => string | undefined };

/** @throws TidemarkError `BAD_OPTION` for an expression that is wrong, and a process that is not there; what a function throws */
export function formulaOf(order: CausalOrder, predicate: Predicate): Formula {
  const states = new StateIndex(order.trace);
  if (typeof predicate === "string") return parseExpression(predicate, states);
  if (typeof predicate === "function") {
    const columns = moments(states);
    return {
      ...{ type: "open", columns },
      holds: (counts) => predicate(new CountedState(states, counts as number[])) === true,
    };
  }
  if ("every" in predicate)
    return {
      type: "and",
      parts: Object.entries(predicate.every).map(([name, holds]) => ({
        type: "local",
        columns: [localColumn(states, name, (values) => holds(values) === true)],
      })),
    };
  if ("sum" in predicate) {
    const { sum, comparison, bound } = predicate;
    const columns = Object.entries(sum).map(([name, of]) =>
      localColumn(states, name, (values) => {
        const number: unknown = of(values);
        if (typeof number === "number" && Number.isFinite(number)) return number;
        throw new TidemarkError("BAD_OPTION", `the sum has ${number} of ${name}, and not a number`);
      }),
    );
    return sumAtom(columns, comparison, bound);
  }
  const { forbidden } = predicate;
  return {
    type: "linear",
    columns: moments(states),
    forbidden: (counts) => {
      const name = forbidden(new CountedState(states, counts as number[]));
      return name === undefined ? undefined : processOf(states, name);
    },
  };
}

function processOf({ trace }: StateIndex, name: string): number {
  const process = trace.processes.indexOf(name);
  if (process >= 0) return process;
  throw new TidemarkError(
    "BAD_OPTION",
    `there is no process ${name}; the trace has ${trace.processes.join(", ") || "none"}`,
  );
}

/** What a function makes of the values of a process, which is asked only where they change. */
function localColumn<T>(
  states: StateIndex,
  name: string,
  of: (values: ProcessValues) => T,
): Column<T> {
  const process = processOf(states, name);
  const { events, timelines } = states.trace;
  const timeline = timelines[process] as Int32Array;
  let now = of({});
  const column = [now];
  for (const [position, e] of timeline.entries()) {
    if (events[e]?.values) now = of(states.processValues(process, position + 1));
    column.push(now);
  }
  return { process, values: column };
}

/** For each process after how many events its state changed last: values, or what it has sent and received. */
function moments(states: StateIndex): Column<number>[] {
  const { trace, passages } = states;
  const changes = trace.timelines.map(({ length }) => new Uint8Array(length + 1));
  for (const { process, position, values } of trace.events)
    if (values) (changes[process] as Uint8Array)[position + 1] = 1;
  for (const { from, to, sent, received } of passages.values()) {
    for (const count of sent.counts) (changes[from] as Uint8Array)[count] = 1;
    for (const count of received.counts) (changes[to] as Uint8Array)[count] = 1;
  }
  return changes.map((own, process) => {
    let last = 0;
    const values = Array.from(own, (changed, count) => {
      if (changed) last = count;
      return last;
    });
    return { process, values };
  });
}

class CountedState implements GlobalState {
  readonly #states: StateIndex;
  readonly #counts: readonly number[];

  constructor(states: StateIndex, counts: readonly number[]) {
    this.#states = states;
    this.#counts = counts;
  }

  value(name: string, value: string): unknown {
    const process = processOf(this.#states, name);
    return this.#states.value(process, value, this.#counts[process] as number);
  }

  values(name: string): ProcessValues {
    const process = processOf(this.#states, name);
    return this.#states.processValues(process, this.#counts[process] as number);
  }

  inFlight(from: string, to: string): number {
    const [sender, receiver] = [processOf(this.#states, from), processOf(this.#states, to)];
    const passage = this.#states.passage(sender, receiver);
    if (passage === undefined) return 0;
    return inFlightOn(passage, this.#counts[sender] as number, this.#counts[receiver] as number);
  }
}
