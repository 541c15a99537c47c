/**
 * A layout with all that is asked of it many times a second: what is in a window, what is at a place, where an event is.
 *
 * Theory of operation. The marks of a row ascend in x, so a window of them is found by halving. Arrows have an index of intervals. From
 * afar neither is looked at: the marks of a row, and the arrows between a row and the next one, are known by how dense they are.
 */

import type { Layout, Mark, Stub } from "../../src/trace/layout.ts";
import type { TraceEvent } from "../../src/trace/trace.ts";
import { Density } from "./density.ts";
import { type Kind, kindOf } from "./events.ts";
import { below, IntervalIndex } from "./interval-index.ts";

/** One line of the picture. */
export interface SceneRow {
  readonly process: number;
  readonly name: string;
  /** The marks of it, as indices, and where they are; both ascend. */
  readonly marks: Int32Array;
  readonly xs: Float64Array;
  readonly density: Density;
}

/** See the head of the file. */
export interface Scene {
  readonly layout: Layout;
  readonly rows: readonly SceneRow[];
  /** Of each process its row; -1: it has none. */
  readonly rowOf: Int32Array;
  /** Of each event its mark; -1: it has none. */
  readonly markOf: Int32Array;
  readonly arrows: IntervalIndex;
  /** Of each row how dense the arrows between it and the next one are. */
  readonly gaps: readonly Density[];
  /** Marks that are drawn from afar as well: records and crashes. */
  readonly special: readonly number[];
  /** Of each mark, and of each arrow, 1 if nobody wants to see it. */
  readonly hiddenMarks: Uint8Array;
  readonly hiddenArrows: Uint8Array;
  /** By mark: arrows of which one end is missing. */
  readonly stubs: ReadonlyMap<number, readonly Stub[]>;
}

export function makeScene(layout: Layout, hidden: ReadonlySet<Kind>): Scene {
  const { trace, marks, arrows, rows } = layout;
  const hiddenMarks = Uint8Array.from(marks, ({ row, first }) => {
    const event = trace.timelines[rows[row]?.process ?? 0]?.[first] ?? 0;
    return Number(hidden.has(kindOf(trace.events[event] as TraceEvent)));
  });
  const hiddenArrows = Uint8Array.from(arrows, ({ from, isMarker }) =>
    isMarker ? Number(hidden.has("markers")) : (hiddenMarks[from] as number),
  );
  const stubs = new Map<number, Stub[]>();
  for (const stub of layout.stubs) stubs.set(stub.mark, [...(stubs.get(stub.mark) ?? []), stub]);
  const lists: number[][] = rows.map(() => []);
  const markOf = new Int32Array(trace.events.length).fill(-1);
  const special: number[] = [];
  for (const [m, { row, first, count, kind }] of marks.entries()) {
    lists[row]?.push(m);
    const timeline = trace.timelines[rows[row]?.process ?? 0] as Int32Array;
    for (let i = first; i < first + count; i += 1) markOf[timeline[i] as number] = m;
    if (kind === "record" || kind === "crash") special.push(m);
  }
  const rowOf = new Int32Array(trace.processes.length).fill(-1);
  for (const [row, { process }] of rows.entries()) rowOf[process] = row;

  const [starts, ends] = [new Float64Array(arrows.length), new Float64Array(arrows.length)];
  const passes = rows.map((): [number[], number[]] => [[], []]);
  for (const [a, { from, to, heldLength }] of arrows.entries()) {
    const [source, target] = [marks[from] as Mark, marks[to] as Mark];
    starts[a] = Math.min(source.x, target.x - heldLength);
    ends[a] = Math.max(source.x, target.x);
    const [top, bottom] = [Math.min(source.row, target.row), Math.max(source.row, target.row)];
    const [topX, bottomX] =
      source.row < target.row
        ? [source.x, target.x - heldLength]
        : [target.x - heldLength, source.x];
    if (hiddenArrows[a] === 1) continue;
    const slope = (bottomX - topX) / (bottom - top || 1);
    for (let row = top; row < bottom; row += 1) {
      const [x, next] = [topX + slope * (row - top), topX + slope * (row + 1 - top)];
      passes[row]?.[0].push(Math.min(x, next));
      passes[row]?.[1].push(Math.max(x, next));
    }
  }
  return {
    ...{ layout, rowOf, markOf, special, hiddenMarks, hiddenArrows, stubs },
    rows: rows.map(({ process, name }, row) => {
      const own = Int32Array.from(lists[row] ?? []);
      const xs = Float64Array.from(own, (m) => (marks[m] as Mark).x);
      const seen = xs.filter((_, i) => hiddenMarks[own[i] as number] === 0);
      return { process, name, marks: own, xs, density: new Density(seen) };
    }),
    arrows: new IntervalIndex(starts, ends),
    gaps: passes.map(([from, to]) => new Density(Float64Array.from(from), Float64Array.from(to))),
  };
}

/** Calls with each mark of a row in a range of x. */
export function marksIn(
  { marks, xs }: SceneRow,
  from: number,
  to: number,
  take: (mark: number, x: number) => void,
): void {
  for (let i = below(xs, from, false); i < xs.length && (xs[i] as number) <= to; i += 1)
    take(marks[i] as number, xs[i] as number);
}

/** The mark of a row that is nearest to x, if it has one. */
export function nearestMark({ marks, xs }: SceneRow, x: number): number | undefined {
  const after = below(xs, x, false);
  const [left, right] = [xs[after - 1], xs[after]];
  if (left === undefined) return marks[after];
  return right !== undefined && right - x < x - left ? marks[after] : marks[after - 1];
}

/** How many events of the process of a row are left of x. */
export function eventsBefore({ layout, rows }: Scene, row: number, x: number): number {
  const { marks, xs, process } = rows[row] as SceneRow;
  const mark = layout.marks[marks[below(xs, x, false)] ?? -1];
  return mark ? mark.first : (layout.trace.timelines[process] as Int32Array).length;
}

/** A cut straight through all rows at x; of processes without a row nothing is inside. */
export function straightCut(scene: Scene, x: number): Int32Array {
  return Int32Array.from(scene.rowOf, (row) => (row === -1 ? 0 : eventsBefore(scene, row, x)));
}

const TIGHTENINGS = 24;
const CLEAR = 10;

/** Where a cut passes each row: through its gap there, and as straight as gaps allow. */
export function placeCut({ layout, rows }: Scene, cut: Int32Array): Float64Array {
  const [low, high] = [new Float64Array(rows.length), new Float64Array(rows.length)];
  for (const [row, { marks, xs, process }] of rows.entries()) {
    const count = cut[process] as number;
    // The first mark that is not inside, or is so in part only.
    let [first, end] = [0, marks.length];
    while (first < end) {
      const middle = (first + end) >>> 1;
      if ((layout.marks[marks[middle] as number] as Mark).first < count) first = middle + 1;
      else end = middle;
    }
    low[row] = xs[first - 1] ?? 0;
    high[row] = Math.max(low[row] as number, xs[first] ?? layout.width);
  }
  const within = (row: number, x: number): number => {
    const [left, right] = [low[row] as number, high[row] as number];
    const space = Math.min(CLEAR, (right - left) / 2);
    return Math.min(right - space, Math.max(left + space, x));
  };
  const middles = [...low].map((left, row) => (left + (high[row] as number)) / 2);
  const median = [...middles].sort((a, b) => a - b)[middles.length >> 1] ?? 0;
  const places = Float64Array.from(low, (_, row) => within(row, median));
  for (let pass = 0; pass < TIGHTENINGS; pass += 1)
    for (const row of rows.keys()) {
      const above = places[row - 1] ?? places[row + 1];
      const under = places[row + 1] ?? places[row - 1];
      if (above !== undefined && under !== undefined)
        places[row] = within(row, (above + under) / 2);
    }
  return places;
}
