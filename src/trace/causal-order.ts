/**
 * Which event of a trace happened before which (Lamport 1978), and what follows for cuts of it (Mattern 1989; Babaoglu and Marzullo
 * 1993, §4).
 *
 * Theory of operation. One pass through the arrows gives each event a vector: of each process, how many of its events happened before
 * it or are it. Then every question is a comparison of numbers. Between two arrivals the vectors of a process differ in its own number
 * only, which is the position; so a row is kept for each arrival, and an event knows its row.
 *
 * Consistent cuts are closed under union and under intersection, so there is a least one that contains something, and a greatest one
 * within something. They are the joins of vectors, and the events whose vectors are within: nothing has to be searched.
 */

import { TidemarkError } from "../core/error.ts";
import type { SnapshotId } from "../core/id.ts";
import { NumberHeap } from "./number-heap.ts";
import type { Arrow, Trace } from "./trace.ts";

/** How many of its first events each process has inside, by the index of the process. */
export type Frontier = Int32Array;

const ROW_BYTES_MAX = 2 ** 31;
/** So many events of a circle are told. */
const CIRCLE_MAX = 20;

/** The happens-before order of a trace; every question is answered in O(1), or in O(processes) for whole cuts. */
export class CausalOrder {
  readonly trace: Trace;
  /** All events in an order in which they can have happened, as indices. */
  readonly linear: Int32Array;
  /** For each event the row of the last arrival of its process up to it; 0 has nothing. */
  readonly #row: Int32Array;
  readonly #rows: Int32Array;
  readonly #width: number;
  /** For each event the first of its arrows in `trace.arrows`, which are in the order of where they lead; and one more at the end. */
  readonly #firstArrow: Int32Array;

  /** @throws TidemarkError `BAD_OPTION` if an event happened before itself, or there is too much of it */
  constructor(trace: Trace) {
    this.trace = trace;
    const { events, arrows, processes } = trace;
    this.#width = processes.length;
    this.#firstArrow = new Int32Array(events.length + 1);
    for (const { to } of arrows)
      this.#firstArrow[to + 1] = (this.#firstArrow[to + 1] as number) + 1;
    let arrivals = 0;
    for (let e = 0; e < events.length; e += 1) {
      if ((this.#firstArrow[e + 1] as number) > 0) arrivals += 1;
      this.#firstArrow[e + 1] =
        (this.#firstArrow[e + 1] as number) + (this.#firstArrow[e] as number);
    }
    if ((arrivals + 1) * this.#width * 4 > ROW_BYTES_MAX)
      throw new TidemarkError(
        "BAD_OPTION",
        `${arrivals} arrivals at ${this.#width} processes are more than can be ordered at once; look at a part of the trace`,
      );
    this.linear = linearize(trace, (e) => this.arrowsInto(e));
    this.#row = new Int32Array(events.length);
    this.#rows = new Int32Array((arrivals + 1) * this.#width);
    this.#number();
  }

  /** The arrows that lead to an event. */
  arrowsInto(event: number): readonly Arrow[] {
    const [first, end] = [this.#firstArrow[event] as number, this.#firstArrow[event + 1] as number];
    return first === end ? NONE : this.trace.arrows.slice(first, end);
  }

  /** How many events of a process happened before that event, or are it. */
  known(event: number, process: number): number {
    const { process: own, position } = this.trace.events[event] as Trace["events"][number];
    if (own === process) return position + 1;
    return this.#rows[(this.#row[event] as number) * this.#width + process] as number;
  }

  /** Whether one event happened before another. */
  happensBefore(a: number, b: number): boolean {
    const { process, position } = this.trace.events[a] as Trace["events"][number];
    return a !== b && this.known(b, process) > position;
  }

  /** Whether neither happened before the other. */
  isConcurrent(a: number, b: number): boolean {
    return a !== b && !this.happensBefore(a, b) && !this.happensBefore(b, a);
  }

  /** All events in an order in which they can have happened: these, each as early as it can be after the one before, and what is left. */
  lift(events: Iterable<number>): Int32Array {
    const ranks = new Int32Array(this.linear.length);
    for (const [rank, e] of this.linear.entries()) ranks[e] = rank;
    const lifted = new Int32Array(this.linear.length);
    const has = new Int32Array(this.#width);
    let used = 0;
    const take = (missing: Iterable<number>): void => {
      for (const e of missing) {
        lifted[used++] = e;
        const { process, position } = this.trace.events[e] as Trace["events"][number];
        has[process] = position + 1;
      }
    };
    const hasNot = (e: number): boolean => {
      const { process, position } = this.trace.events[e] as Trace["events"][number];
      return position >= (has[process] as number);
    };
    for (const e of events) {
      if (!hasNot(e)) continue;
      const missing: number[] = [];
      for (const [q, timeline] of this.trace.timelines.entries())
        for (let count = has[q] as number; count < this.known(e, q); count += 1)
          missing.push(timeline[count] as number);
      take(missing.sort((a, b) => (ranks[a] as number) - (ranks[b] as number)));
    }
    take(this.linear.filter(hasNot));
    return lifted;
  }

  /** Everything. */
  get end(): Frontier {
    return Int32Array.from(this.trace.timelines, ({ length }) => length);
  }

  /**
   * The cut that a user means; a process that is not named has no event inside.
   * @throws TidemarkError `BAD_OPTION` for a process that is not there, or more events than it has
   */
  frontier(cut: ReadonlyMap<string, number>): Frontier {
    const frontier = new Int32Array(this.#width);
    for (const [name, count] of cut) {
      const process = this.trace.processes.indexOf(name);
      const most = this.trace.timelines[process]?.length;
      if (most === undefined)
        throw new TidemarkError(
          "BAD_OPTION",
          `the cut names ${name}; the trace has ${this.#width === 0 ? "no event" : `only ${this.trace.processes.join(", ")}`}`,
        );
      if (!Number.isInteger(count) || count < 0 || count > most)
        throw new TidemarkError(
          "BAD_OPTION",
          `the cut has ${count} events of ${name}; it must be a whole number from 0 to ${most}`,
        );
      frontier[process] = count;
    }
    return frontier;
  }

  /**
   * The cut that a snapshot is of: all that its processes did before they recorded. Of who had crashed by then all is inside, of who came
   * back later nothing.
   * @throws TidemarkError `BAD_OPTION` if the trace does not say where that is at some process
   */
  cutOf(snapshot: SnapshotId): Frontier {
    const cut = new Int32Array(this.#width).fill(-1);
    for (const { type, process, position, snapshot: id } of this.trace.events)
      if (type === "record" && id === snapshot) cut[process] = position;
    const { was, timelines } = this.trace;
    const recorded = cut.map((count) => (count === -1 ? 0 : 1));
    // An earlier one may have recorded for another snapshot, which was abandoned and had the same name.
    for (let p = 0; p < this.#width; p += 1)
      if (recorded[p] === 1)
        for (let q = was[p] as number; q >= 0; q = was[q] as number)
          cut[q] = (timelines[q] as Int32Array).length;
    for (let p = 0; p < this.#width; p += 1) {
      let q = p;
      while (q >= 0 && recorded[q] === 0) q = was[q] as number;
      if (q >= 0 && cut[p] === -1) cut[p] = 0;
    }
    const unknown = this.trace.processes.filter((_, p) => cut[p] === -1);
    if (unknown.length > 0)
      throw new TidemarkError(
        "BAD_OPTION",
        `the trace does not say where ${unknown.join(", ")} recorded for ${snapshot}`,
      );
    return cut;
  }

  /** Whether all that happened before what is inside is inside: no message is received that was not sent. */
  isConsistent(cut: Frontier): boolean {
    return this.trace.timelines.every((_, p) => this.#fits(p, cut[p] as number, cut));
  }

  /** Arrows from outside to inside, which make a cut inconsistent. */
  orphans(cut: Frontier): readonly Arrow[] {
    return this.trace.arrows.filter(
      ({ from, to }) => this.#inside(to, cut) && !this.#inside(from, cut),
    );
  }

  /** Arrows from inside to outside: messages in flight. */
  crossing(cut: Frontier): readonly Arrow[] {
    return this.trace.arrows.filter(
      ({ from, to }) => this.#inside(from, cut) && !this.#inside(to, cut),
    );
  }

  /** The least consistent cut that has all events inside which `cut` has. */
  least(cut: Frontier): Frontier {
    const least = cut.slice();
    for (const [p, timeline] of this.trace.timelines.entries()) {
      const count = cut[p] as number;
      if (count === 0) continue;
      const last = timeline[count - 1] as number;
      for (let q = 0; q < this.#width; q += 1)
        least[q] = Math.max(least[q] as number, this.known(last, q));
    }
    return least;
  }

  /** The greatest consistent cut that has no event inside which `cut` does not have. */
  greatest(cut: Frontier): Frontier {
    return Int32Array.from(this.trace.timelines, (_, p) => {
      // Vectors only grow along a process: those that fit are its first ones.
      let [low, high] = [0, cut[p] as number];
      while (low < high) {
        const middle = (low + high + 1) >>> 1;
        if (this.#fits(p, middle, cut)) low = middle;
        else high = middle - 1;
      }
      return low;
    });
  }

  /** Whether a process can take its next event at a consistent cut, so that the cut stays consistent. */
  canAdvance(cut: Frontier, process: number): boolean {
    const count = (cut[process] as number) + 1;
    return (
      count <= (this.trace.timelines[process] as Int32Array).length &&
      this.#fits(process, count, cut)
    );
  }

  #inside(event: number, cut: Frontier): boolean {
    const { process, position } = this.trace.events[event] as Trace["events"][number];
    return position < (cut[process] as number);
  }

  /** Whether all that happened before the first `count` events of a process is inside, as far as it is of others. */
  #fits(process: number, count: number, cut: Frontier): boolean {
    if (count === 0) return true;
    const last = (this.trace.timelines[process] as Int32Array)[count - 1] as number;
    const row = (this.#row[last] as number) * this.#width;
    for (let q = 0; q < this.#width; q += 1)
      if (q !== process && (this.#rows[row + q] as number) > (cut[q] as number)) return false;
    return true;
  }

  #number(): void {
    const latest = new Int32Array(this.#width);
    const [rows, width] = [this.#rows, this.#width];
    let used = 1;
    for (const e of this.linear) {
      const { process } = this.trace.events[e] as Trace["events"][number];
      const arrows = this.arrowsInto(e);
      if (arrows.length > 0) {
        const row = used * width;
        const before = (latest[process] as number) * width;
        rows.copyWithin(row, before, before + width);
        for (const { from } of arrows)
          for (let q = 0; q < width; q += 1)
            rows[row + q] = Math.max(rows[row + q] as number, this.known(from, q));
        latest[process] = used;
        used += 1;
      }
      this.#row[e] = latest[process] as number;
    }
  }
}

const NONE: readonly Arrow[] = [];

/**
 * All events in an order in which they can have happened; of those that can, as they were told.
 * @throws TidemarkError `BAD_OPTION` if there is none
 */
function linearize(trace: Trace, arrowsInto: (event: number) => readonly Arrow[]): Int32Array {
  const { events, arrows, timelines, processes } = trace;
  /** Of each event, how many events right before it are still to come. */
  const missing = new Int32Array(events.length);
  for (const [e, { position }] of events.entries()) missing[e] = position > 0 ? 1 : 0;
  for (const { to } of arrows) missing[to] = (missing[to] as number) + 1;
  const [firstOut, out] = outgoing(trace);
  const linear = new Int32Array(events.length);
  const ready = new NumberHeap();
  for (let e = 0; e < events.length; e += 1) if (missing[e] === 0) ready.push(e);
  let done = 0;
  const release = (e: number): void => {
    missing[e] = (missing[e] as number) - 1;
    if (missing[e] === 0) ready.push(e);
  };
  for (let e = ready.pop(); e !== undefined; e = ready.pop()) {
    linear[done++] = e;
    const { process, position } = events[e] as Trace["events"][number];
    const next = timelines[process]?.[position + 1];
    if (next !== undefined) release(next);
    for (let i = firstOut[e] as number; i < (firstOut[e + 1] as number); i += 1)
      release(out[i] as number);
  }
  if (done === events.length) return linear;

  // Each event that is left waits for another one that is left: going back from one leads into a circle.
  const before = (e: number): number => {
    const { process, position } = events[e] as Trace["events"][number];
    const previous = timelines[process]?.[position - 1];
    if (previous !== undefined && (missing[previous] as number) > 0) return previous;
    return arrowsInto(e).find(({ from }) => (missing[from] as number) > 0)?.from ?? e;
  };
  let e = missing.findIndex((count) => count > 0);
  for (const seen = new Set<number>(); !seen.has(e); e = before(e)) seen.add(e);
  const circle = [e];
  for (e = before(e); e !== circle[0]; e = before(e)) circle.push(e);
  circle.reverse();
  const first = circle.indexOf(circle.reduce((a, b) => Math.min(a, b)));
  const names = [...circle.slice(first), ...circle.slice(0, first)]
    .slice(0, CIRCLE_MAX)
    .map((one) => {
      const { process, position, line } = events[one] as Trace["events"][number];
      const where = line === undefined ? "" : ` (line ${line})`;
      return `event ${position + 1} of ${processes[process]}${where}`;
    });
  if (circle.length > CIRCLE_MAX) names.push(`${circle.length - CIRCLE_MAX} more`);
  throw new TidemarkError(
    "BAD_OPTION",
    `no order of the events is possible: each of these is before the next, and the last before the first: ${names.join(", ")}`,
  );
}

/** For each event where its arrows lead, one after the other, and where those of each begin. */
function outgoing({ events, arrows }: Trace): readonly [Int32Array, Int32Array] {
  const first = new Int32Array(events.length + 1);
  for (const { from } of arrows) first[from + 1] = (first[from + 1] as number) + 1;
  for (let e = 0; e < events.length; e += 1)
    first[e + 1] = (first[e + 1] as number) + (first[e] as number);
  const next = first.slice();
  const out = new Int32Array(arrows.length);
  for (const { from, to } of arrows) {
    out[next[from] as number] = to;
    next[from] = (next[from] as number) + 1;
  }
  return [first, out];
}
