/**
 * Where the events of a trace stand in a space-time diagram (Lamport 1978, Figure 1): processes are lines, time runs to the right, and
 * messages are arrows. One layout for all pictures: SVG, page and terminal.
 *
 * Assumptions. None of clocks, unless time is asked for by them: an event stands to the right of all that happened before it.
 *
 * Theory of operation. Events that stand next to each other become one mark when there are too many; a run may be one mark if no arrow
 * leaves it before one comes in. A mark has its place in the order of events at its last event that an arrow leads to, or else at its
 * first one. So what an arrow leads to is later: it leaves the mark after that place, and arrives in the other before that of the other.
 * A prefix or a window of that order is taken, and nothing has to be sorted.
 *
 * Marks are then placed in this order, each as far left as it can be: right of the one before it, so that their labels do not touch; right
 * of where its arrows come from; and so that no arrow passes through a point that it does not belong to. That is looked at from both
 * sides: each line knows where arrows pass it, and each arrow which points stand on the lines between. Nothing is moved later, so all
 * this takes one pass.
 */

import type { CausalOrder, Frontier } from "./causal-order.ts";
import { NumberHeap } from "./number-heap.ts";
import type { Trace, TraceEvent } from "./trace.ts";

/** What a mark stands for: one event of that kind, or a run of them. */
export type MarkKind = "internal" | "send" | "receive" | "record" | "crash";

/** One or several events of a process that stand next to each other, at one place. */
export interface Mark {
  readonly row: number;
  readonly kind: MarkKind;
  /** The position of the first event in its process, from 0, and how many there are. */
  readonly first: number;
  readonly count: number;
  /** What stands beside the point; may be empty. */
  readonly label: string;
  /** Whether there was room for the label. */
  readonly isLabelled: boolean;
  /** Whether the label stands below the line, as arrows leave above. */
  readonly isBelow: boolean;
  readonly x: number;
}

/** How a message stands to the cut. */
export type Crossing = "none" | "in flight" | "orphan";

/** One message, or several between the same two marks. */
export interface LaidArrow {
  /** Indices of marks. */
  readonly from: number;
  readonly to: number;
  readonly count: number;
  /** Whether it is a marker of a snapshot. */
  readonly isMarker: boolean;
  readonly crossing: Crossing;
  /** Whether it must not be straight, as it would pass through a point. */
  readonly isBent: boolean;
  /** For how long it had been there when it was delivered, and how long that is in the picture; both 0 if it was not held back. */
  readonly heldMs: number;
  readonly heldLength: number;
}

/** Arrows of which one end is not shown, or not known. */
export interface Stub {
  /** The index of the mark at the end that is shown. */
  readonly mark: number;
  readonly isOutgoing: boolean;
  /** Whether the other end is farther down; if it has no row, it is up. */
  readonly isDown: boolean;
  readonly count: number;
  /** `elsewhere`: the other end is not shown; `nowhere`: the trace has no other end. */
  readonly end: "elsewhere" | "nowhere";
  readonly crossing: Crossing;
}

/** The line of a process. */
export interface LaidRow {
  /** Which process of the trace. */
  readonly process: number;
  readonly name: string;
  /** So many of its events stand before those that are shown, and after them. */
  readonly before: number;
  readonly after: number;
  /** Where it ends, if it crashed. */
  readonly crashedAt: number | undefined;
}

/** A cut as a frontier through all lines. */
export interface LaidCut {
  /** Where it passes each row, and how many events of its process are inside. */
  readonly xs: readonly number[];
  readonly counts: readonly number[];
  /** Of the whole trace, also of what is not shown. */
  readonly inFlight: number;
  readonly orphans: number;
}

/** What the picture leaves out. */
export interface NotShown {
  /** Events before and after what is shown, of the processes that are shown. */
  readonly before: number;
  readonly after: number;
  /** Events that stand together in marks of several. */
  readonly collapsed: number;
  /** Processes without a line. */
  readonly processes: number;
  /** Messages of which one end is not shown, and those of which neither is. */
  readonly cutOff: number;
  readonly messages: number;
}

/** Everything has its place; the unit is about a pixel. */
export interface Layout {
  readonly trace: Trace;
  readonly rows: readonly LaidRow[];
  /** In an order in which they can have happened. */
  readonly marks: readonly Mark[];
  readonly arrows: readonly LaidArrow[];
  readonly stubs: readonly Stub[];
  readonly width: number;
  readonly cut: LaidCut | undefined;
  /** By the clock: where which time is. */
  readonly axis: readonly { readonly x: number; readonly text: string }[];
  /** By the clock: arrows that lead back, as clocks differ. */
  readonly backward: number;
  readonly notShown: NotShown;
}

/** What is laid out, and how. */
export interface LayoutOptions {
  /** Drawn as a frontier. */
  readonly cut?: Frontier | undefined;
  /** What is to the right: what happened later in a logical order, or later by the clocks of the processes. @default "order" */
  readonly time?: "order" | "clock" | undefined;
  /** The only processes that are shown, in that order. @default all, in an order with short arrows */
  readonly processes?: readonly number[] | undefined;
  /** Which events, as numbers from 1 in the order of `CausalOrder.linear`; both are shown. @default all */
  readonly window?: readonly [from: number, to: number] | undefined;
  /** The index of an event that stands in the middle if not all can be shown. */
  readonly around?: number | undefined;
  /** If there are more events, runs of them become one; if there are still more marks, only so many are shown. @default all events */
  readonly marksMax?: number | undefined;
}

const LABEL_LENGTH_MAX = 18;
/** The width of a letter of a label. */
const LETTER = 6.2;
const LABEL_GAP = 9;
/** From one point to the next on a line, and where time is by the clock. */
const GAP = 18;
const CLOCK_GAP = 7;
/** From the end of an arrow to the other one, and for each row that it passes. */
const ARROW = 26;
const ARROW_PER_ROW = 7;
/** How far from a point a foreign arrow passes it. */
const CLEARANCE = 9;
/** So often a mark is moved out of the way of what its arrows pass. */
const TRIES_MAX = 12;
/** Fewer events than that are not drawn together. */
const RUN_LEAST = 3;
/** An arrow over more rows is bent without looking for a way. */
const ROWS_PASSED_MAX = 64;
/** More processes than that stay in the order of their names. */
const ARRANGED_MAX = 128;
const MARGIN = 20;
/** A narrower picture is stretched, but not more than that. */
const WIDTH_LEAST = 640;
const STRETCH_MAX = 3;
/** So many processes of a cut are named. */
const NAMED_MAX = 8;

/**
 * Lays out a trace.
 *
 * @example
 * ```ts
 * import { CausalOrder, drawSvg, layOut, parseTrace } from "tidemark/trace";
 * const trace = parseTrace(
 *   '{"process":"p","type":"send","to":"q","message":"M"}\n{"process":"q","type":"receive","from":"p","message":"M"}',
 * );
 * const layout = layOut(new CausalOrder(trace), { cut: Int32Array.of(1, 0) });
 * const [sent, received] = layout.marks;
 * if (!sent || !received || sent.x >= received.x) throw new Error("time runs to the right");
 * if (layout.arrows[0]?.crossing !== "in flight") throw new Error("it crosses the cut");
 * if (!drawSvg(layout).startsWith("<svg")) throw new Error("a picture");
 * ```
 */
export function layOut(order: CausalOrder, options: LayoutOptions = {}): Layout {
  const { trace } = order;
  const { events, arrows, processes } = trace;
  const { cut, around, marksMax = Number.POSITIVE_INFINITY, time = "order" } = options;
  const chosen = new Set(options.processes ?? processes.keys());
  const [from, to] = options.window ?? [1, events.length];
  const shown = order.linear
    .subarray(Math.max(0, from - 1), to)
    .filter((e) => chosen.has((events[e] as TraceEvent).process));
  const groups = groupsOf(order, shown, { cut, around, mayCollapse: shown.length > marksMax });
  const part = partOf(trace, groups, marksMax, cut, around);

  const markOf = new Int32Array(events.length).fill(-1);
  for (const [m, { process, first, count }] of part.entries())
    for (const e of eventsAt(trace, process, first, count)) markOf[e] = m;
  const crossingOf = crossings(trace, cut);
  const drawn = join(trace, part, markOf, crossingOf);
  const rowed = options.processes ?? arrange(trace, part, drawn.arrows);
  const rowOf = new Map(rowed.map((process, row) => [process, row]));
  const stubs = stubsOf(trace, part, markOf, rowOf, crossingOf);

  const labels = part.map((group) => labelOf(trace, group, cut !== undefined));
  const marks = part.map(({ process, first, count, kind }, m) => ({
    ...{ row: rowOf.get(process) as number, kind, first, count, label: labels[m] as string },
    ...{ isLabelled: labels[m] !== "", isBelow: false, x: 0 },
  }));
  const axis = time === "clock" ? placeByClock(trace, part, marks, drawn) : [];
  if (time === "order") {
    placeByOrder(marks, drawn, rowed.length);
    stretch(marks, drawn.arrows);
  }
  setLabels(marks, drawn.arrows, stubs, rowed.length);
  const width = marks.reduce((most, { x, label, isLabelled }) => {
    return Math.max(most, x + (isLabelled ? half(label) : 0));
  }, MARGIN);

  const rows = rowsOf(trace, rowed, part, marks);
  const beyond = (side: "before" | "after"): number =>
    rows.reduce((sum, row) => sum + row[side], 0);
  const seen = drawn.arrows.reduce((sum, { count }) => sum + count, 0);
  const cutOff = stubs.reduce((sum, { end, count }) => sum + (end === "elsewhere" ? count : 0), 0);
  return {
    ...{ trace, rows, marks, arrows: drawn.arrows, stubs, width: Math.ceil(width + MARGIN), axis },
    cut: cut && frontierOf(order, cut, rows, marks, width + MARGIN),
    backward: drawn.arrows.filter(
      (arrow) => (marks[arrow.from]?.x ?? 0) >= (marks[arrow.to]?.x ?? 0),
    ).length,
    notShown: {
      before: beyond("before"),
      after: beyond("after"),
      collapsed: marks.reduce(
        (sum, { kind, count }) => sum + (count > 1 && kind !== "record" ? count : 0),
        0,
      ),
      processes: processes.length - rows.length,
      cutOff,
      messages: arrows.length - seen - cutOff,
    },
  };
}

/** What is left out, in words; nothing if all is shown. */
export function notShownText({ notShown, backward }: Layout): string[] {
  const { before, after, collapsed, processes, cutOff, messages } = notShown;
  const said: string[] = [];
  const say = (count: number, one: string, several: string, what: string): void => {
    if (count > 0) said.push(`${withCommas(count)} ${count === 1 ? one : several} ${what}`);
  };
  say(before, "event", "events", "before these");
  say(after, "event", "events", "after these");
  say(processes, "process", "processes", "without a line");
  say(cutOff, "message", "messages", "of which only one end is shown");
  say(messages, "message", "messages", "between events that are not shown");
  const lines = said.length > 0 ? [`not shown: ${said.join(", ")}`] : [];
  if (collapsed > 0) lines.push(`drawn together: ${withCommas(collapsed)} events in runs`);
  if (backward > 0)
    lines.push(
      `${withCommas(backward)} ${backward === 1 ? "arrow leads" : "arrows lead"} back: the clocks of the processes differ`,
    );
  return lines;
}

/** What is to be said of the cut; nothing if there is none. */
export function cutCaption({ cut, rows }: Layout): string {
  if (!cut) return "";
  const { counts, inFlight, orphans } = cut;
  const many = (count: number, one: string): string =>
    `${withCommas(count)} ${one}${count === 1 ? "" : "s"}`;
  const all = rows.map(({ name }, row) => `${shortened(name, LABEL_LENGTH_MAX)}=${counts[row]}`);
  // Of many processes those say most of which something is inside.
  const some = rows.length > NAMED_MAX ? all.filter((_, row) => counts[row] !== 0) : all;
  const names = some.slice(0, NAMED_MAX);
  if (names.length < all.length) names.push("…");
  const flight = `${many(inFlight, "message")} in flight`;
  const verdict =
    orphans === 0
      ? `consistent, ${flight}`
      : `not consistent: ${many(orphans, "orphan")}; ${flight}`;
  return `cut ${names.join(" ")}: ${verdict}`;
}

/** p2 before p10. */
export function naturally(a: string, b: string): number {
  const key = (id: string): string =>
    id.replaceAll(/[0-9]+/g, (digits) => digits.padStart(64, "0"));
  return key(a) < key(b) ? -1 : 1;
}

/** 1234567 as 1,234,567. */
export function withCommas(value: number): string {
  return String(value).replaceAll(/\B(?=([0-9]{3})+$)/g, ",");
}

/** A text from outside, without what could drive a terminal, and not longer than that. */
export function shortened(text: string, lengthMax: number): string {
  const clean = text.replaceAll(/\s/gu, " ").replaceAll(/\p{C}/gu, "?");
  const letters = [...clean];
  return letters.length > lengthMax ? `${letters.slice(0, lengthMax - 1).join("")}…` : clean;
}

/** The events of a mark. */
export function eventsOf({ trace, rows }: Layout, { row, first, count }: Mark): Int32Array {
  return eventsAt(trace, rows[row]?.process ?? 0, first, count);
}

function eventsAt(trace: Trace, process: number, first: number, count: number): Int32Array {
  return (trace.timelines[process] as Int32Array).subarray(first, first + count);
}

/** Events that become a mark. */
interface Group {
  readonly process: number;
  readonly kind: MarkKind;
  readonly first: number;
  readonly count: number;
}

interface Grouping {
  readonly cut: Frontier | undefined;
  readonly around: number | undefined;
  readonly mayCollapse: boolean;
}

/** Events that arrows neither come to nor leave. */
const ALONE = "alone";

/** What is shown, put into marks, in an order in which they can have happened. */
function groupsOf(
  order: CausalOrder,
  shown: Int32Array,
  { cut, around, mayCollapse }: Grouping,
): Group[] {
  const { trace, linear } = order;
  const { events, arrows, timelines, processes } = trace;
  const [into, out] = [new Int32Array(events.length), new Int32Array(events.length)];
  /** Of which processes, as one number; if two sets of them have the same, more is drawn together, and nothing wrong. */
  const mates = new Int32Array(events.length);
  const mix = (event: number): number =>
    Math.imul((events[event] as TraceEvent).process + 1, 0x9e3779b1);
  for (const { from, to } of arrows) {
    out[from] = (out[from] as number) + 1;
    into[to] = (into[to] as number) + 1;
    mates[from] = (mates[from] as number) + mix(to);
    mates[to] = (mates[to] as number) + mix(from);
  }
  const kindOf = (e: number): MarkKind => {
    const { type } = events[e] as TraceEvent;
    if (type === "record" || type === "crash") return type;
    if (type === "send" || type === "multicast" || (out[e] as number) > 0) return "send";
    return type === "internal" && into[e] === 0 ? "internal" : "receive";
  };
  /** Events that follow each other and have the same are drawn together; undefined: it stands alone. */
  const keyOf = (e: number): string | undefined => {
    if (e === around) return undefined;
    const { type, snapshot } = events[e] as TraceEvent;
    const [ins, outs] = [into[e] as number, out[e] as number];
    if (type === "record" || type === "crash" || (ins > 0 && outs > 0)) return undefined;
    if (ins + outs > 0) return `${ins > 0} ${mates[e]} ${snapshot ?? ""}`;
    return type === "send" || type === "multicast" ? undefined : ALONE;
  };

  const place = new Int32Array(events.length);
  for (const [i, e] of linear.entries()) place[e] = i;
  const at = new Map<number, Group>();
  const [start, end] = [
    new Int32Array(processes.length).fill(-1),
    new Int32Array(processes.length),
  ];
  for (const e of shown) {
    const { process, position } = events[e] as TraceEvent;
    if (start[process] === -1) start[process] = position;
    end[process] = position + 1;
  }
  for (const process of processes.keys()) {
    const timeline = timelines[process] as Int32Array;
    const frontier = cut?.[process] ?? -1;
    for (let first = start[process] as number; first >= 0 && first < (end[process] as number); ) {
      const e = timeline[first] as number;
      const limit = first < frontier ? Math.min(frontier, end[process] as number) : end[process];
      let next = first + 1;
      let last = into[e] === 0 ? -1 : e;
      const take = (one: number): void => {
        if ((into[one] as number) > 0) last = one;
        next += 1;
      };
      const { type, snapshot } = events[e] as TraceEvent;
      if (type === "record" && snapshot !== undefined) {
        // The markers of a process that records are received and sent in the same turn.
        let hasSent = false;
        for (; next < (limit as number); ) {
          const one = timeline[next] as number;
          const [ins, outs] = [into[one] as number, out[one] as number];
          if (events[one]?.snapshot !== snapshot || one === around || (hasSent && ins > 0)) break;
          if (outs > 0) hasSent = true;
          take(one);
        }
      } else if (mayCollapse) {
        const key = keyOf(e);
        let end = next;
        while (key !== undefined && end < (limit as number)) {
          if (keyOf(timeline[end] as number) !== key) break;
          end += 1;
        }
        if (end - first >= RUN_LEAST) while (next < end) take(timeline[next] as number);
      }
      at.set(place[last === -1 ? e : last] as number, {
        ...{ process, kind: kindOf(e), first, count: next - first },
      });
      first = next;
    }
  }
  const groups: Group[] = [];
  for (const e of shown) {
    const group = at.get(place[e] as number);
    if (group) groups.push(group);
  }
  return groups;
}

/** No more than that many: around an event, around the frontier of the cut, or the first ones. */
function partOf(
  trace: Trace,
  groups: readonly Group[],
  most: number,
  cut: Frontier | undefined,
  around: number | undefined,
): readonly Group[] {
  if (groups.length <= most) return groups;
  let middle = 0;
  if (around !== undefined) {
    const { process, position } = trace.events[around] as TraceEvent;
    middle = groups.findIndex((group) => group.process === process && group.first >= position);
  } else if (cut) {
    const firsts: number[] = [];
    const met = new Set<number>();
    for (const [i, { process, first }] of groups.entries())
      if (first >= (cut[process] as number) && !met.has(process)) {
        met.add(process);
        firsts.push(i);
      }
    middle = firsts[firsts.length >> 1] ?? groups.length;
  }
  const start = Math.max(0, Math.min(groups.length - most, middle - (most >> 1)));
  return groups.slice(start, start + most);
}

/** How each message stands to the cut. */
function crossings(
  trace: Trace,
  cut: Frontier | undefined,
): (from: number, to: number) => Crossing {
  if (!cut) return () => "none";
  const inside = (e: number): boolean => {
    const { process, position } = trace.events[e] as TraceEvent;
    return position < (cut[process] as number);
  };
  return (from, to) => {
    const [sent, received] = [inside(from), inside(to)];
    if (sent === received) return "none";
    return sent ? "in flight" : "orphan";
  };
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** All arrows between marks, and for each mark those that come to it, as indices. */
interface Drawn {
  readonly arrows: Mutable<LaidArrow>[];
  readonly into: readonly (readonly number[])[];
}

function join(
  trace: Trace,
  part: readonly Group[],
  markOf: Int32Array,
  crossingOf: (from: number, to: number) => Crossing,
): Drawn {
  const arrows: Mutable<LaidArrow>[] = [];
  const into: number[][] = part.map(() => []);
  const known = new Map<number, Mutable<LaidArrow>>();
  for (const { from, to } of trace.arrows) {
    const [a, b] = [markOf[from] as number, markOf[to] as number];
    if (a < 0 || b < 0) continue;
    const { heldMs = 0, snapshot, type } = trace.events[to] as TraceEvent;
    const key = a * part.length + b;
    const same = known.get(key);
    if (same) {
      same.count += 1;
      same.heldMs = Math.max(same.heldMs, heldMs);
      continue;
    }
    const isMarker = snapshot !== undefined && type !== "record";
    const arrow = {
      ...{ from: a, to: b, count: 1, isMarker, crossing: crossingOf(from, to) },
      ...{ isBent: false, heldMs: Math.max(0, heldMs), heldLength: 0 },
    };
    known.set(key, arrow);
    into[b]?.push(arrows.push(arrow) - 1);
  }
  return { arrows, into };
}

/** What a process sends to itself has no arrow, also if it is received. */
function isSentAway({ events, processes }: Trace, e: number): boolean {
  const { type, peer, process = -1 } = events[e] ?? {};
  return type === "send" && peer !== processes[process];
}

function stubsOf(
  trace: Trace,
  part: readonly Group[],
  markOf: Int32Array,
  rowOf: ReadonlyMap<number, number>,
  crossingOf: (from: number, to: number) => Crossing,
): Stub[] {
  const stubs = new Map<string, Mutable<Stub>>();
  const add = (one: Omit<Stub, "count">): void => {
    const key = `${one.mark} ${one.isOutgoing} ${one.isDown} ${one.end} ${one.crossing}`;
    const same = stubs.get(key);
    if (same) same.count += 1;
    else stubs.set(key, { ...one, count: 1 });
  };
  const isDown = (mark: number, toward: number | undefined): boolean =>
    (toward ?? -1) > (rowOf.get(part[mark]?.process ?? -1) ?? 0);
  const hasArrow = new Uint8Array(trace.events.length);
  for (const { from, to } of trace.arrows) {
    hasArrow[from] = 1;
    const [a, b] = [markOf[from] as number, markOf[to] as number];
    if (a < 0 === b < 0) continue;
    const other = trace.events[a < 0 ? from : to] as TraceEvent;
    const mark = Math.max(a, b);
    add({
      ...{ mark, isOutgoing: a >= 0, isDown: isDown(mark, rowOf.get(other.process)) },
      ...{ end: "elsewhere", crossing: crossingOf(from, to) },
    });
  }
  const named = new Map(trace.processes.map((name, process) => [name, rowOf.get(process)]));
  const nowhere = (e: number, isOutgoing: boolean): void => {
    const mark = markOf[e] as number;
    if (mark < 0) return;
    const toward = named.get(trace.events[e]?.peer ?? "");
    add({ mark, isOutgoing, isDown: isDown(mark, toward), end: "nowhere", crossing: "none" });
  };
  for (const e of trace.unexplained) nowhere(e, false);
  for (const { process, first, count } of part)
    for (const e of eventsAt(trace, process, first, count))
      if (isSentAway(trace, e) && hasArrow[e] === 0) nowhere(e, true);
  return [...stubs.values()];
}

/**
 * The processes with something to show, from top to bottom. By name, as readers expect; but if arrows pass a fifth fewer lines in another
 * order, then in that one. It is found by moving one process after the other to where that is best (sifting).
 */
function arrange(
  trace: Trace,
  part: readonly Group[],
  arrows: readonly LaidArrow[],
): readonly number[] {
  const { processes } = trace;
  const used = new Set(part.map(({ process }) => process));
  const rows = [...used].sort((a, b) => naturally(processes[a] as string, processes[b] as string));
  const n = rows.length;
  if (n < 3 || n > ARRANGED_MAX) return rows;
  const index = new Map(rows.map((process, i) => [process, i]));
  const weights = new Float64Array(n * n);
  for (const { from, to, isMarker } of arrows) {
    if (isMarker) continue;
    const a = index.get(part[from]?.process ?? -1) as number;
    const b = index.get(part[to]?.process ?? -1) as number;
    weights[a * n + b] = (weights[a * n + b] as number) + 1;
    weights[b * n + a] = (weights[b * n + a] as number) + 1;
  }
  const weight = (a: number, b: number): number => weights[a * n + b] as number;
  const cost = (list: readonly number[]): number => {
    let sum = 0;
    for (let i = 0; i < n; i += 1)
      for (let j = i + 1; j < n; j += 1)
        sum += weight(list[i] as number, list[j] as number) * (j - i);
    return sum;
  };
  const list = rows.map((_, i) => i);
  const byName = cost(list);
  for (let pass = 0; pass < 3; pass += 1) {
    for (let one = 0; one < n; one += 1) {
      // From where it is to the top, then down to the bottom; each swap with the neighbour changes the cost by what is between the two.
      let at = list.indexOf(one);
      let [change, best, bestAt] = [0, 0, at];
      const swap = (by: 1 | -1): void => {
        const other = list[at + by] as number;
        for (const [i, third] of list.entries()) {
          if (third === one || third === other) continue;
          const side = i < at === by > 0 ? 1 : -1;
          change += side * (weight(one, third) - weight(other, third));
        }
        [list[at], list[at + by]] = [other, one];
        at += by;
        if (change < best) [best, bestAt] = [change, at];
      };
      while (at > 0) swap(-1);
      while (at < n - 1) swap(1);
      while (at > bestAt) swap(-1);
    }
  }
  if (cost(list) > 0.8 * byName) return rows;
  // Turned upside down it would be as good.
  if ((list[0] as number) > (list[n - 1] as number)) list.reverse();
  return list.map((i) => rows[i] as number);
}

function labelOf(trace: Trace, { process, kind, first, count }: Group, hasCut: boolean): string {
  const timeline = trace.timelines[process] as Int32Array;
  const event = trace.events[timeline[first] as number] as TraceEvent;
  if (kind === "record") return hasCut ? "" : shortened(event.snapshot ?? "", LABEL_LENGTH_MAX);
  if (count > 1)
    return kind === "internal" ? `${withCommas(count)} events` : `×${withCommas(count)}`;
  if (event.text !== undefined) return shortened(event.text, LABEL_LENGTH_MAX);
  if (event.snapshot !== undefined) return "";
  if (kind === "send" && event.message !== undefined)
    return shortened(`${event.message}`, LABEL_LENGTH_MAX);
  if (kind === "crash") return "crashes";
  return kind === "internal" ? shortened(valuesText(event), LABEL_LENGTH_MAX) : "";
}

/** Its values as they are written: `x=3 y="a"`. */
export function valuesText({ values = {} }: Pick<TraceEvent, "values">): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
    .join(" ");
}

const half = (label: string): number => ([...label].length * LETTER) / 2;

type Placed = Mutable<Mark>;

function placeByOrder(marks: readonly Placed[], { arrows, into }: Drawn, rows: number): void {
  const last: (Placed | undefined)[] = Array.from({ length: rows });
  const xs: number[][] = Array.from({ length: rows }, () => []);
  /** Of each row, where arrows pass its line. */
  const passed = Array.from({ length: rows }, () => new NumberHeap());
  /** Calls with each row that an arrow passes, and where; false if it passes too many. */
  const passing = (
    from: Placed,
    to: Placed,
    end: number,
    take: (row: number, x: number) => void,
  ): void => {
    const [top, bottom] = [Math.min(from.row, to.row), Math.max(from.row, to.row)];
    for (let row = top + 1; row < bottom; row += 1)
      take(row, from.x + ((end - from.x) * (row - from.row)) / (to.row - from.row));
  };
  for (const [m, mark] of marks.entries()) {
    const before = last[mark.row];
    let least = half(mark.label) + MARGIN;
    if (before) {
      const labels = half(before.label) + half(mark.label) + LABEL_GAP;
      least = before.x + Math.max(GAP, before.label && mark.label ? labels : 0);
    }
    const incoming = (into[m] as readonly number[]).map((i) => arrows[i] as Mutable<LaidArrow>);
    for (const arrow of incoming) {
      const source = marks[arrow.from] as Placed;
      const apart = Math.abs(source.row - mark.row);
      if (arrow.heldMs > 0) arrow.heldLength = 12 + 6 * Math.log2(1 + arrow.heldMs);
      arrow.heldLength = Math.min(60, arrow.heldLength);
      least = Math.max(
        least,
        source.x + ARROW + ARROW_PER_ROW * Math.min(apart, 8) + arrow.heldLength,
      );
    }
    const lines = passed[mark.row] as NumberHeap;
    let x = clearOf(lines, least);
    for (let tries = 0; tries < TRIES_MAX; tries += 1) {
      const hits = incoming.some((arrow) => passesPoint(arrow, x));
      if (!hits) break;
      x = clearOf(lines, x + CLEARANCE / 2);
    }
    mark.x = x;
    for (const arrow of incoming) {
      const source = marks[arrow.from] as Placed;
      arrow.isBent = passesPoint(arrow, x);
      if (!arrow.isBent)
        passing(source, mark, x - arrow.heldLength, (row, at) =>
          (passed[row] as NumberHeap).push(at),
        );
    }
    (xs[mark.row] as number[]).push(x);
    last[mark.row] = mark;

    function passesPoint(arrow: LaidArrow, end: number): boolean {
      const source = marks[arrow.from] as Placed;
      if (Math.abs(source.row - mark.row) > ROWS_PASSED_MAX) return true;
      let hits = false;
      passing(source, mark, end - arrow.heldLength, (row, at) => {
        hits ||= nearest(xs[row] as number[], at) < CLEARANCE;
      });
      return hits;
    }
  }
}

/** A small picture has room. Whatever was apart is farther apart, and straight lines stay so. */
function stretch(marks: readonly Placed[], arrows: readonly Mutable<LaidArrow>[]): void {
  const width = marks.reduce((most, { x }) => Math.max(most, x), 1);
  const factor = Math.min(STRETCH_MAX, WIDTH_LEAST / width);
  if (factor <= 1) return;
  for (const mark of marks) mark.x *= factor;
  for (const arrow of arrows) arrow.heldLength *= factor;
}

/** How far the nearest of some ascending numbers is. */
function nearest(ascending: readonly number[], x: number): number {
  let [low, high] = [0, ascending.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ascending[middle] as number) < x) low = middle + 1;
    else high = middle;
  }
  const [left = Number.NEGATIVE_INFINITY, right = Number.POSITIVE_INFINITY] = [
    ascending[low - 1],
    ascending[low],
  ];
  return Math.min(x - left, right - x);
}

/** The first place from x on where no arrow passes. What is left of it is forgotten: points only go to the right. */
function clearOf(passes: NumberHeap, x: number): number {
  let place = x;
  for (;;) {
    const { first } = passes;
    if (first === undefined || first >= place + CLEARANCE) return place;
    place = Math.max(place, first + CLEARANCE);
    passes.pop();
  }
}

/** Where each mark is by its clock; one whose time is not known, or that would stand on another, follows the one before it. */
function placeByClock(
  trace: Trace,
  part: readonly Group[],
  marks: readonly Placed[],
  { arrows }: Drawn,
): Layout["axis"] {
  const times = part.map(({ process, first }) => {
    const { atMs } = trace.events[eventsAt(trace, process, first, 1)[0] as number] as TraceEvent;
    return atMs;
  });
  let [start, end] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const at of times)
    if (at !== undefined) [start, end] = [Math.min(start, at), Math.max(end, at)];
  const span = Math.max(end - start, 0);
  const rows = new Set(marks.map(({ row }) => row)).size;
  const length = Math.max(640, Math.min(12_000, (marks.length * 40) / Math.sqrt(rows + 1)));
  const scale = span > 0 && Number.isFinite(span) ? length / span : 0;
  const left = 2 * MARGIN;
  const last = new Map<number, number>();
  for (const [m, mark] of marks.entries()) {
    const at = times[m];
    const before = last.get(mark.row);
    mark.x = Math.max(
      at === undefined ? left : left + (at - start) * scale,
      before === undefined ? left : before + CLOCK_GAP,
    );
    last.set(mark.row, mark.x);
  }
  for (const arrow of arrows) arrow.heldLength = arrow.heldMs * scale;
  if (scale === 0) return [];
  const step = niceStep(span / (length / 110));
  const ticks: { x: number; text: string }[] = [];
  for (let at = 0; at <= span; at += step)
    ticks.push({ x: left + at * scale, text: durationText(at) });
  return ticks;
}

/** 1, 2 or 5 times a power of ten, and not less than that. */
function niceStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  return ([1, 2, 5].find((factor) => factor * power >= least) ?? 10) * power;
}

function durationText(ms: number): string {
  const round = (value: number): string => String(Number(value.toPrecision(6)));
  return ms >= 1000 ? `${round(ms / 1000)} s` : `${round(ms)} ms`;
}

/** Below where arrows are above only; and only those labels for which there is room. */
function setLabels(
  marks: readonly Placed[],
  arrows: readonly LaidArrow[],
  stubs: readonly Stub[],
  rows: number,
): void {
  const [up, down] = [new Uint8Array(marks.length), new Uint8Array(marks.length)];
  for (const { from, to } of arrows) {
    const isDown = (marks[from] as Placed).row < (marks[to] as Placed).row;
    (isDown ? down : up)[from] = 1;
    (isDown ? up : down)[to] = 1;
  }
  for (const { mark, isDown } of stubs) (isDown ? down : up)[mark] = 1;
  const ends = [0, 1].map(() => new Float64Array(rows).fill(Number.NEGATIVE_INFINITY));
  for (const [m, mark] of marks.entries()) {
    mark.isBelow = up[m] === 1 && down[m] === 0;
    const side = ends[mark.isBelow ? 1 : 0] as Float64Array;
    mark.isLabelled &&= mark.x - half(mark.label) >= (side[mark.row] as number) + LABEL_GAP / 2;
    if (mark.isLabelled) side[mark.row] = mark.x + half(mark.label);
  }
}

function rowsOf(
  trace: Trace,
  rowed: readonly number[],
  part: readonly Group[],
  marks: readonly Mark[],
): LaidRow[] {
  const [start, end] = [new Map<number, number>(), new Map<number, number>()];
  const crashed = new Map<number, number>();
  for (const [m, { process, first, count, kind }] of part.entries()) {
    if (!start.has(process)) start.set(process, first);
    end.set(process, first + count);
    if (kind === "crash") crashed.set(process, (marks[m] as Mark).x);
  }
  return rowed.map((process) => ({
    process,
    name: trace.processes[process] as string,
    before: start.get(process) ?? 0,
    after: (trace.timelines[process] as Int32Array).length - (end.get(process) ?? 0),
    crashedAt: crashed.get(process),
  }));
}

/** Through the gap that the cut has on each line, and as straight as the gaps allow. */
function frontierOf(
  order: CausalOrder,
  cut: Frontier,
  rows: readonly LaidRow[],
  marks: readonly Mark[],
  width: number,
): LaidCut {
  const [low, high] = [rows.map(() => 0), rows.map(() => width)];
  for (const { row, first, x } of marks) {
    if (first < (cut[rows[row]?.process ?? 0] as number)) low[row] = x;
    else high[row] = Math.min(high[row] as number, x);
  }
  const within = (row: number, x: number): number => {
    const [left, right] = [low[row] as number, high[row] as number];
    const space = Math.min(10, (right - left) / 2);
    return Math.min(right - space, Math.max(left + space, x));
  };
  const middles = rows.map((_, row) => ((low[row] as number) + (high[row] as number)) / 2);
  const median = [...middles].sort((a, b) => a - b)[middles.length >> 1] ?? 0;
  const xs = rows.map((_, row) => within(row, median));
  // A string that is pulled tight.
  for (let pass = 0; pass < 24; pass += 1)
    for (const row of rows.keys()) {
      const [above, below] = [xs[row - 1] ?? xs[row + 1], xs[row + 1] ?? xs[row - 1]];
      if (above !== undefined && below !== undefined) xs[row] = within(row, (above + below) / 2);
    }
  return {
    ...{ xs, counts: rows.map(({ process }) => cut[process] as number) },
    ...{ inFlight: order.crossing(cut).length, orphans: order.orphans(cut).length },
  };
}
