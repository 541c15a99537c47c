/** What is done with a cut in the picture: step it, snap it, and say what it is. Cuts do not change; each step gives another one. */

import type { CausalOrder, Frontier } from "../../src/trace/causal-order.ts";
import type { Arrow, Trace, TraceEvent } from "../../src/trace/trace.ts";

/** What there is to say of a cut. */
export interface CutVerdict {
  /** Messages that are received inside and sent outside: with one of them the cut is not consistent. */
  readonly orphans: readonly Arrow[];
  readonly inFlight: readonly Arrow[];
  /** So many of these are markers. */
  readonly markers: number;
  /** So many more were sent inside, of which the trace has no receipt. */
  readonly unreceived: number;
}

/** Answers for many cuts of one trace. */
export class CutJudge {
  readonly #order: CausalOrder;
  /** Of each process the positions of what it sent away and nobody receives, ascending. */
  readonly #unreceived: readonly (readonly number[])[];

  constructor(order: CausalOrder) {
    this.#order = order;
    const { events, arrows, processes, timelines } = order.trace;
    const arrives = new Uint8Array(events.length);
    for (const { from } of arrows) arrives[from] = 1;
    this.#unreceived = timelines.map((timeline, process) =>
      [...timeline.entries()]
        .filter(([, e]) => {
          const { type, peer } = events[e] as TraceEvent;
          return type === "send" && peer !== processes[process] && arrives[e] === 0;
        })
        .map(([position]) => position),
    );
  }

  judge(cut: Frontier): CutVerdict {
    const unreceived = this.#unreceived.reduce(
      (sum, positions, process) =>
        sum + positions.filter((position) => position < (cut[process] as number)).length,
      0,
    );
    const inFlight = this.#order.crossing(cut);
    const { events } = this.#order.trace;
    const markers = inFlight.filter(({ from }) => events[from]?.snapshot !== undefined).length;
    return { orphans: this.#order.orphans(cut), inFlight, markers, unreceived };
  }
}

/** How many events are inside one cut only. */
export function distance(a: Frontier, b: Frontier): number {
  return a.reduce((sum, count, process) => sum + Math.abs(count - (b[process] as number)), 0);
}

/**
 * The consistent cut that is nearest to a cut, of the greatest one inside it and the least one around it; of two that are as near, the one
 * inside.
 */
export function nearestConsistent(order: CausalOrder, cut: Frontier): Frontier {
  const [inside, around] = [order.greatest(cut), order.least(cut)];
  return distance(cut, around) < distance(cut, inside) ? around : inside;
}

/** The place of each event in the order of `CausalOrder.linear`. */
export function ranksOf({ linear }: CausalOrder): Int32Array {
  const ranks = new Int32Array(linear.length);
  for (const [rank, e] of linear.entries()) ranks[e] = rank;
  return ranks;
}

/** The first event that a cut has not inside, and the last that it has, in a linear order; undefined: there is none. */
export function neighbours(
  { timelines }: Trace,
  ranks: Int32Array,
  cut: Frontier,
): { readonly next: number | undefined; readonly last: number | undefined } {
  let [next, last]: (number | undefined)[] = [undefined, undefined];
  const rank = (e: number): number => ranks[e] as number;
  for (const [process, timeline] of timelines.entries()) {
    const count = cut[process] as number;
    const [before, after] = [timeline[count - 1], timeline[count]];
    if (after !== undefined && (next === undefined || rank(after) < rank(next))) next = after;
    if (before !== undefined && (last === undefined || rank(before) > rank(last))) last = before;
  }
  return { next, last };
}

/** A cut with another number of events of a process, as far as it has them. */
export function withCount(trace: Trace, cut: Frontier, process: number, count: number): Frontier {
  const moved = cut.slice();
  moved[process] = Math.max(0, Math.min((trace.timelines[process] as Int32Array).length, count));
  return moved;
}

/** All that happened before an event, and itself, as a cut. */
export function pastOf(order: CausalOrder, event: number): Frontier {
  return Int32Array.from(order.trace.processes, (_, process) => order.known(event, process));
}

/** Of each process how many of its events come before the first that an event led to, or that is it. */
export function beforeFutureOf(order: CausalOrder, event: number): Frontier {
  const { events, timelines } = order.trace;
  const { process, position } = events[event] as TraceEvent;
  return Int32Array.from(timelines, (timeline) => {
    // What is known only grows along a process.
    let [low, high] = [0, timeline.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (order.known(timeline[middle] as number, process) > position) high = middle;
      else low = middle + 1;
    }
    return low;
  });
}

/** The other ends of the arrows of an event. */
export function otherEnds(
  order: CausalOrder,
  event: number,
): { readonly causes: readonly number[]; readonly effects: readonly number[] } {
  const { arrows } = order.trace;
  return {
    causes: order.arrowsInto(event).map(({ from }) => from),
    effects: arrows.flatMap(({ from, to }) => (from === event ? [to] : [])),
  };
}

/** A cut as it stands in an address. */
export const cutText = (cut: Frontier): string => cut.join(",");

/** @throws Error in words if it is no cut of this trace */
export function parseCut({ processes, timelines }: Trace, text: string): Frontier {
  const counts = text.split(",").map((part) => (/^[0-9]{1,9}$/.test(part) ? Number(part) : -1));
  if (counts.length !== processes.length)
    throw new Error(
      `the cut has ${counts.length} numbers, and the trace ${processes.length} processes`,
    );
  for (const [process, count] of counts.entries()) {
    const most = (timelines[process] as Int32Array).length;
    if (count < 0 || count > most)
      throw new Error(
        `of ${processes[process]} a cut has 0 to ${most} events, not ${text.split(",")[process]}`,
      );
  }
  return Int32Array.from(counts);
}
