/**
 * What two runs have in common, event by event, and where they part.
 *
 * Theory of operation. Processes are matched by name. The events of a process in one run and in the other are two sequences; what is the
 * same is a longest common subsequence of what events are, which is not when they were, nor what they were caused by. It is found in
 * linear space (Myers 1986, §4b) in O((N + M) D) steps for D differences, after what only one side has was left out. Where that would take
 * too long, the search goes on from the furthest point that it has come to: the alignment is right, but there may be a longer one, and
 * `minimal` says so. Then an event that is the same but comes after others in the other run is moved, so traces that do not differ have
 * the same happens-before.
 *
 * The first difference is one that no other one happened before. There may be one in each run: the two at one place, or at places that
 * know nothing of each other.
 */

import { TidemarkError, textOf } from "../core/error.ts";
import { CausalOrder } from "./causal-order.ts";
import type { Trace, TraceEvent } from "./trace.ts";

export interface DifferenceOptions {
  /** Names of fields that make an event another one, too. @default none */
  readonly fields?: readonly string[];
}

/** What two traces have in common, and what not; events are indices of each. */
export interface TraceDifference {
  readonly isSame: boolean;
  /** Of each process of either: how many of its events are the same, and how many only one has. */
  readonly processes: readonly {
    readonly process: string;
    readonly same: number;
    readonly onlyBefore: number;
    readonly onlyAfter: number;
  }[];
  /** For each event of the first trace the same one in the second; -1: there is none. */
  readonly partners: Int32Array;
  readonly onlyBefore: readonly number[];
  readonly onlyAfter: readonly number[];
  /** Events of the first that are in both, and come right after others in each. */
  readonly moved: readonly number[];
  /** A difference before which there is none, in each trace or in one. */
  readonly first: { readonly before?: number; readonly after?: number };
  /** False if there may be a longer alignment. */
  readonly minimal: boolean;
}

/**
 * Compares two traces.
 * @throws TidemarkError `BAD_OPTION` if an event of one happened before itself
 *
 * @example
 * ```ts
 * import { compareTraces, parseTrace } from "tidemark/trace";
 * const before = parseTrace('{"process":"p","type":"internal","text":"begins"}');
 * const after = parseTrace('{"process":"p","type":"internal","text":"begins"}\n{"process":"p","type":"crash"}');
 * if (compareTraces(before, after).first.after !== 1) throw new Error("it crashes");
 * ```
 */
export function compareTraces(
  before: Trace,
  after: Trace,
  { fields = [] }: DifferenceOptions = {},
): TraceDifference {
  const orders = [new CausalOrder(before), new CausalOrder(after)] as const;
  const numbers = new Map<string, number>();
  const kindsOf = (trace: Trace): Int32Array =>
    Int32Array.from(trace.events, (_, e) => numberOf(numbers, kindOf(trace, e, fields)));
  const [kinds, otherKinds] = [kindsOf(before), kindsOf(after)];
  const partners = new Int32Array(before.events.length).fill(-1);
  const partnersBack = new Int32Array(after.events.length).fill(-1);
  let minimal = true;
  const [timelines, otherTimelines] = [byName(before), byName(after)];
  const names = new Set([...before.processes, ...after.processes]);
  const processes = [...names].map((process) => {
    const own = timelines.get(process) ?? NOTHING;
    const other = otherTimelines.get(process) ?? NOTHING;
    const aligned = align(
      own.map((e) => kinds[e] as number),
      other.map((e) => otherKinds[e] as number),
    );
    minimal &&= aligned.minimal;
    for (const [i, j] of aligned.pairs) {
      partners[own[i] as number] = other[j] as number;
      partnersBack[other[j] as number] = own[i] as number;
    }
    const same = aligned.pairs.length;
    return { process, same, onlyBefore: own.length - same, onlyAfter: other.length - same };
  });
  const moved = [...partners.keys()].filter(
    (e) => (partners[e] as number) >= 0 && isMoved(orders, [partners, partnersBack], e),
  );
  const onlyBefore = [...partners.keys()].filter((e) => partners[e] === -1);
  const onlyAfter = [...partnersBack.keys()].filter((e) => partnersBack[e] === -1);
  const isSame = onlyBefore.length + onlyAfter.length + moved.length === 0;
  const first = firstOf(orders, [partners, partnersBack], moved);
  return { isSame, processes, partners, onlyBefore, onlyAfter, moved, first, minimal };
}

const NOTHING = new Int32Array(0);

function byName({ processes, timelines }: Trace): ReadonlyMap<string, Int32Array> {
  return new Map(processes.map((name, p) => [name, timelines[p] ?? NOTHING]));
}

function numberOf(numbers: Map<string, number>, kind: string): number {
  const number = numbers.get(kind) ?? numbers.size;
  numbers.set(kind, number);
  return number;
}

/** What an event is, wherever and whenever it is. */
function kindOf(trace: Trace, event: number, names: readonly string[]): string {
  const {
    process,
    position,
    line: _,
    atMs: __,
    heldMs: ___,
    message,
    fields,
    ...details
  } = trace.events[event] as TraceEvent;
  const said = message === undefined ? null : `${message}`;
  const chosen = names.map((name) => fields?.[name] ?? null);
  try {
    return JSON.stringify([details, said, chosen], inOrder);
  } catch (error) {
    throw new TidemarkError(
      "BAD_OPTION",
      `the values of event ${position + 1} of ${trace.processes[process]} cannot be compared: ${textOf(error)}`,
    );
  }
}

/** In JSON, the order of fields says nothing. */
function inOrder(_: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/**
 * Whether what comes right before an event, at other processes, is not the same as in the other trace. What only one trace has is a
 * difference of its own, and says nothing of what follows.
 */
function isMoved(
  [before, after]: readonly [CausalOrder, CausalOrder],
  [partners, partnersBack]: readonly [Int32Array, Int32Array],
  event: number,
): boolean {
  const sources = new Set<number>();
  for (const { from } of before.arrowsInto(event))
    if (partners[from] !== -1) sources.add(partners[from] as number);
  const others = new Set<number>();
  for (const { from } of after.arrowsInto(partners[event] as number))
    if (partnersBack[from] !== -1) others.add(from);
  return sources.size !== others.size || [...sources].some((source) => !others.has(source));
}

function firstOf(
  orders: readonly [CausalOrder, CausalOrder],
  partners: readonly [Int32Array, Int32Array],
  moved: readonly number[],
): TraceDifference["first"] {
  const isMovedEvent = new Set(moved);
  const before = orders[0].linear.find((e) => partners[0][e] === -1 || isMovedEvent.has(e));
  const isMovedAfter = new Set(moved.map((e) => partners[0][e]));
  const after = orders[1].linear.find((e) => partners[1][e] === -1 || isMovedAfter.has(e));
  if (before === undefined || after === undefined)
    return { ...(before !== undefined && { before }), ...(after !== undefined && { after }) };
  const beforeFirst = precedes(orders[0], partners[0], before, orders[1], after);
  const afterFirst = precedes(orders[1], partners[1], after, orders[0], before);
  if (beforeFirst === afterFirst) return { before, after };
  return beforeFirst ? { before } : { after };
}

/**
 * Whether a difference in one trace comes before one in the other: the next event of its process that both have happened before it there,
 * or is it.
 */
function precedes(
  { trace }: CausalOrder,
  partners: Int32Array,
  event: number,
  other: CausalOrder,
  otherEvent: number,
): boolean {
  const { process, position } = trace.events[event] as TraceEvent;
  const timeline = trace.timelines[process] as Int32Array;
  for (let i = position; i < timeline.length; i += 1) {
    const partner = partners[timeline[i] as number] as number;
    if (partner === -1 || i === position) continue;
    return partner === otherEvent || other.happensBefore(partner, otherEvent);
  }
  return false;
}

/** Pairs of equal places in two sequences, both ascending. */
interface Alignment {
  readonly pairs: readonly (readonly [number, number])[];
  readonly minimal: boolean;
}

/**
 * In a box, so many edits from each end are tried before it is cut where the search has come to; or the root of its size, if that is
 * more.
 */
const EDITS_MAX = 256;

/**
 * A longest common subsequence.
 * @param editsMax see above; tests ask for fewer
 */
export function align(
  before: Int32Array,
  after: Int32Array,
  editsMax: number = EDITS_MAX,
): Alignment {
  const [inBefore, inAfter] = [new Set(before), new Set(after)];
  const places = Int32Array.from(before.keys()).filter((i) => inAfter.has(before[i] as number));
  const otherPlaces = Int32Array.from(after.keys()).filter((j) => inBefore.has(after[j] as number));
  const a = places.map((i) => before[i] as number);
  const b = otherPlaces.map((j) => after[j] as number);
  const pairs: (readonly [number, number])[] = [];
  const pair = (x: number, y: number): void => {
    pairs.push([places[x] as number, otherPlaces[y] as number]);
  };
  const search = new MiddleSearch(a, b, editsMax);
  const boxes: Box[] = [{ x: 0, xEnd: a.length, y: 0, yEnd: b.length }];
  let minimal = true;
  for (let box = boxes.pop(); box !== undefined; box = boxes.pop()) {
    let { x, xEnd, y, yEnd } = box;
    for (; x < xEnd && y < yEnd && a[x] === b[y]; x += 1, y += 1) pair(x, y);
    for (; x < xEnd && y < yEnd && a[xEnd - 1] === b[yEnd - 1]; xEnd -= 1, yEnd -= 1)
      pair(xEnd - 1, yEnd - 1);
    if (x === xEnd || y === yEnd) continue;
    const middle = search.middleOf({ x, xEnd, y, yEnd });
    minimal &&= middle.minimal;
    boxes.push({ x, xEnd: middle.x, y, yEnd: middle.y }, { x: middle.x, xEnd, y: middle.y, yEnd });
  }
  return { pairs: pairs.sort(([i], [j]) => i - j), minimal };
}

/** Parts of both sequences, to be aligned with each other. */
interface Box {
  readonly x: number;
  readonly xEnd: number;
  readonly y: number;
  readonly yEnd: number;
}

/** Finds where a shortest way from one corner of a box to the other one is half done, from both corners at once. */
class MiddleSearch {
  readonly #a: Int32Array;
  readonly #b: Int32Array;
  readonly #editsMax: number;
  /** By diagonal x - y: how far the ways from the first corner have come, and those from the last one. */
  readonly #forward: Int32Array;
  readonly #backward: Int32Array;
  readonly #zero: number;

  constructor(a: Int32Array, b: Int32Array, editsMax: number) {
    [this.#a, this.#b, this.#editsMax] = [a, b, editsMax];
    this.#forward = new Int32Array(a.length + b.length + 3);
    this.#backward = new Int32Array(a.length + b.length + 3);
    this.#zero = b.length + 1;
  }

  /** Of a box whose corners differ: a place in it that is none of its corners. */
  middleOf(box: Box): { readonly x: number; readonly y: number; readonly minimal: boolean } {
    const { x, xEnd, y, yEnd } = box;
    const [forward, backward, zero] = [this.#forward, this.#backward, this.#zero];
    const [least, most] = [x - yEnd, xEnd - y];
    const [start, end] = [x - y, xEnd - yEnd];
    const isOdd = ((start - end) & 1) !== 0;
    const editsMax = Math.max(this.#editsMax, Math.floor(Math.sqrt(xEnd - x + yEnd - y)));
    let [low, high, backLow, backHigh] = [start, start, end, end];
    forward[zero + start] = x;
    backward[zero + end] = xEnd;
    for (let edits = 1; ; edits += 1) {
      // A diagonal that leaves the box is not gone on; one next to it that was never gone is far behind.
      if (low > least) {
        low -= 1;
        forward[zero + low - 1] = -1;
      } else low += 1;
      if (high < most) {
        high += 1;
        forward[zero + high + 1] = -1;
      } else high -= 1;
      for (let k = high; k >= low; k -= 2) {
        const [right, down] = [forward[zero + k - 1] as number, forward[zero + k + 1] as number];
        const at = this.#slide(right >= down ? right + 1 : down, k, box);
        forward[zero + k] = at;
        if (isOdd && k >= backLow && k <= backHigh && (backward[zero + k] as number) <= at)
          return { x: at, y: at - k, minimal: true };
      }
      if (backLow > least) {
        backLow -= 1;
        backward[zero + backLow - 1] = FAR;
      } else backLow += 1;
      if (backHigh < most) {
        backHigh += 1;
        backward[zero + backHigh + 1] = FAR;
      } else backHigh -= 1;
      for (let k = backHigh; k >= backLow; k -= 2) {
        const [up, left] = [backward[zero + k - 1] as number, backward[zero + k + 1] as number];
        const at = this.#slideBack(up < left ? up : left - 1, k, box);
        backward[zero + k] = at;
        if (!isOdd && k >= low && k <= high && at <= (forward[zero + k] as number))
          return { x: at, y: at - k, minimal: true };
      }
      if (edits >= editsMax) return this.#furthest(box, [low, high], [backLow, backHigh]);
    }
  }

  #slide(from: number, k: number, { xEnd, yEnd }: Box): number {
    let at = from;
    while (at < xEnd && at - k < yEnd && this.#a[at] === this.#b[at - k]) at += 1;
    return at;
  }

  #slideBack(from: number, k: number, { x, y }: Box): number {
    let at = from;
    while (at > x && at - k > y && this.#a[at - 1] === this.#b[at - 1 - k]) at -= 1;
    return at;
  }

  /** Where either search has come furthest. */
  #furthest(
    { x, xEnd, y, yEnd }: Box,
    [low, high]: readonly [number, number],
    [backLow, backHigh]: readonly [number, number],
  ): { readonly x: number; readonly y: number; readonly minimal: boolean } {
    let best = { x, y };
    for (let k = high; k >= low; k -= 2) {
      const at = Math.min(this.#forward[this.#zero + k] as number, xEnd, yEnd + k);
      if (at + at - k > best.x + best.y) best = { x: at, y: at - k };
    }
    let bestBack = { x: xEnd, y: yEnd };
    for (let k = backHigh; k >= backLow; k -= 2) {
      const at = Math.max(this.#backward[this.#zero + k] as number, x, y + k);
      if (at + at - k < bestBack.x + bestBack.y) bestBack = { x: at, y: at - k };
    }
    const gone = best.x + best.y - x - y;
    const goneBack = xEnd + yEnd - bestBack.x - bestBack.y;
    return { ...(gone >= goneBack ? best : bestBack), minimal: false };
  }
}

const FAR = 2 ** 31 - 1;
