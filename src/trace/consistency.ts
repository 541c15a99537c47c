/**
 * Whether what clients of something shared have seen can be explained by one order in which everything was done, one after another.
 *
 * - *Linearizable*: by one in which whatever was answered before something else was asked comes before it (Herlihy and Wing 1990).
 * - *Sequential*: by one in which only what the same client did keeps its order (Lamport 1979).
 *
 * Theory of operation. If the shared thing says in which order it has done everything, that order is looked at, and no other: it is
 * followed once. Otherwise one is searched for, as Wing and Gong 1993, "Testing and Verifying Concurrent Objects", do, with what Lowe 2017,
 * "Testing for Linearizability", adds: a state in which the same has been done is not gone on from twice. Beyond that, what changes
 * nothing and has the right reply is done as soon as it can be, and of what may have been done or not as little as possible: whoever has
 * come as far with less need not be followed. What shares no keys does not matter to each other, and is searched by itself (of
 * sequential consistency only to find what is wrong: two orders that are right may not fit together).
 *
 * What was never answered may have been done at any time after it was asked, or never. That is also the way to a small witness. To forget
 * that something was answered, or to leave out what changes nothing, makes nothing right that was wrong the less; so what is forgotten
 * while all remains wrong need not be shown.
 */

import { TidemarkError } from "../core/error.ts";
import {
  type Asked,
  formatReply,
  type Model,
  type Reply,
  type StoreState,
  storeModel,
} from "./store-model.ts";

/** One thing that a client asked, and what came of it. Times are those of one clock, of any kind. */
export interface Operation extends Asked {
  readonly calledAt: number;
  /** Absent: nobody knows what became of it. */
  readonly returnedAt?: number;
  readonly reply?: Reply;
  /**
   * Its place among all that was done, if that is known: anything that rises. If all that was answered has one, what has none was
   * not done.
   */
  readonly position?: number;
}

export type Consistency = "linearizable" | "sequential";

/** How clients are judged. */
export interface ConsistencyOptions<State> {
  readonly consistency: Consistency;
  /** What they share. @default storeModel */
  readonly model?: Model<State>;
  /** So many states are looked at before a search gives up. @default 200,000 */
  readonly statesMax?: number;
}

/** Why there is no such order. */
export interface Contradiction {
  /** As few as show it, in the order in which they were asked. Whatever else was done explains nothing, be it done or not. */
  readonly operations: readonly Operation[];
  /** Which of them cannot be, if it is one. */
  readonly wrong?: number;
}

/** What has come of it. */
export type ConsistencyVerdict =
  | { readonly holds: true; readonly judged: number }
  | { readonly holds: false; readonly reason: string; readonly witness: Contradiction }
  /** The search gave up. */
  | { readonly holds: null; readonly reason: string };

const STATES_MAX = 200_000;
/** What makes a witness smaller may take so much of what the search may. */
const SHRINKING = 0.05;

/**
 * Judges what clients have seen.
 * @throws TidemarkError `BAD_OPTION` for something that was answered before it was asked, or that the model does not know
 *
 * @example
 * ```ts
 * import { checkClients, drawOperations } from "tidemark/trace";
 * // Somebody reads what has been written over.
 * const operations = [
 *   { client: "a", command: ["SET", "x", "1"], reply: "OK", calledAt: 1, returnedAt: 2 },
 *   { client: "a", command: ["SET", "x", "2"], reply: "OK", calledAt: 3, returnedAt: 4 },
 *   { client: "b", command: ["GET", "x"], reply: "1", calledAt: 5, returnedAt: 6 },
 * ];
 * const sequential = checkClients(operations, { consistency: "sequential" });
 * const linearizable = checkClients(operations, { consistency: "linearizable" });
 * if (!sequential.holds || linearizable.holds !== false) throw new Error("late is not wrong, but it is late");
 * if (!drawOperations(linearizable.witness).includes("✗")) throw new Error("the read is what is wrong");
 * ```
 */
export function checkClients<State = StoreState>(
  operations: readonly Operation[],
  options: ConsistencyOptions<State>,
): ConsistencyVerdict {
  const { consistency, statesMax = STATES_MAX } = options;
  // Without a model it is the model of a store.
  const model = (options.model ?? storeModel) as Model<State>;
  const late = operations.find(({ calledAt, returnedAt = calledAt }) => returnedAt < calledAt);
  if (late)
    throw new TidemarkError("BAD_OPTION", `${textOf(late)} was answered before it was asked`);
  const sorted = operations.toSorted((a, b) => a.calledAt - b.calledAt);
  const answered = sorted.filter(isAnswered);
  const isPlaced = answered.length > 0 && answered.every(({ position }) => position !== undefined);
  return isPlaced
    ? followed(sorted, consistency, model)
    : searched(sorted, consistency, model, statesMax);
}

export const isAnswered = ({ returnedAt }: Operation): boolean => returnedAt !== undefined;
const nameOf = ({ command }: Operation): string => command.join(" ");
export const textOf = (one: Operation): string => `${nameOf(one)} of ${one.client}`;
const isSame = (a: Reply | undefined, b: Reply | undefined): boolean =>
  JSON.stringify(a) === JSON.stringify(b);

// The order is known.

function followed<State>(
  sorted: readonly Operation[],
  consistency: Consistency,
  model: Model<State>,
): ConsistencyVerdict {
  const order = sorted
    .filter(({ position }) => position !== undefined)
    .toSorted((a, b) => placeOf(a) - placeOf(b));
  const turned = turnedRound(sorted, order, consistency);
  if (turned) return turned;
  let state = model.start;
  for (const [at, one] of order.entries()) {
    const next = model.apply(state, one);
    state = next.state;
    if (!isAnswered(one) || isSame(next.reply, one.reply)) continue;
    const causes = causesOf(order.slice(0, at), one, next.reply, model);
    const reason = `${textOf(one)} gave ${formatReply(one.reply)}, and by then it was ${formatReply(next.reply)}`;
    return { holds: false, reason, witness: witnessOf([...causes, one], one) };
  }
  return { holds: true, judged: order.filter(isAnswered).length };
}

const placeOf = ({ position = 0 }: Operation): number => position;

/** Two that are in another order than they must be. */
function turnedRound(
  sorted: readonly Operation[],
  order: readonly Operation[],
  consistency: Consistency,
): ConsistencyVerdict | undefined {
  const wrong = (earlier: Operation, later: Operation, why: string): ConsistencyVerdict => ({
    holds: false,
    reason: `${textOf(later)} was done before ${nameOf(earlier)}${why}`,
    witness: witnessOf([earlier, later], later),
  });
  const last = new Map<string, Operation>();
  for (const one of sorted) {
    if (one.position === undefined) continue;
    const before = last.get(one.client);
    if (before && placeOf(before) > placeOf(one))
      return wrong(before, one, ", which the same client had asked before");
    if (isAnswered(one)) last.set(one.client, one);
  }
  if (consistency === "sequential") return undefined;
  // Of all that come before it the one that was asked last.
  let latest: Operation | undefined;
  for (const one of order) {
    if (latest && one.returnedAt !== undefined && one.returnedAt < latest.calledAt)
      return wrong(one, latest, ` of ${one.client}, which had been answered when it was asked`);
    if (!latest || one.calledAt > latest.calledAt) latest = one;
  }
  return undefined;
}

/** As few of what was done before as lead to the same reply. */
function causesOf<State>(
  before: readonly Operation[],
  one: Operation,
  reply: Reply,
  model: Model<State>,
): readonly Operation[] {
  const leads = (causes: readonly Operation[]): boolean => {
    let state = model.start;
    for (const cause of causes) state = model.apply(state, cause).state;
    return isSame(model.apply(state, one).reply, reply);
  };
  const near = before.filter((cause) => !model.reads(cause));
  return smallest(leads(near) ? near : before, leads);
}

/** Leaves out what it can, in large parts at first, from the latest on. */
export function smallest<T>(
  all: readonly T[],
  holds: (rest: readonly T[]) => boolean,
): readonly T[] {
  let rest = all;
  for (let size = Math.ceil(rest.length / 2); size >= 1; size = size > 1 ? Math.ceil(size / 2) : 0)
    for (let end = rest.length; end > 0; end -= size) {
      const less = [...rest.slice(0, Math.max(0, end - size)), ...rest.slice(end)];
      if (less.length < rest.length && holds(less)) rest = less;
    }
  return rest;
}

export function witnessOf(operations: readonly Operation[], wrong?: Operation): Contradiction {
  const sorted = operations.toSorted((a, b) => a.calledAt - b.calledAt);
  return { operations: sorted, ...(wrong ? { wrong: sorted.indexOf(wrong) } : {}) };
}

// The order is searched for.

function searched<State>(
  sorted: readonly Operation[],
  consistency: Consistency,
  model: Model<State>,
  statesMax: number,
): ConsistencyVerdict {
  const parts = partsOf(sorted, model);
  const whole = consistency === "sequential" && parts.length > 1 ? [sorted] : [];
  let gaveUp = false;
  for (const part of [...parts, ...whole]) {
    const found = search(part, consistency, model, statesMax);
    if (found === false)
      return contradiction(part, consistency, model, Math.ceil(statesMax * SHRINKING));
    // If all fit together, each does by itself.
    if (found === undefined) gaveUp = true;
    else if (part === sorted) gaveUp = false;
  }
  if (gaveUp) return { holds: null, reason: `more than ${statesMax} states are to be looked at` };
  return { holds: true, judged: sorted.filter(isAnswered).length };
}

/** Those that have to do with each other, directly or not. */
function partsOf<State>(sorted: readonly Operation[], model: Model<State>): Operation[][] {
  const parents = new Map<string, string>();
  const root = (key: string): string => {
    let at = key;
    for (let up = parents.get(at); up !== undefined; up = parents.get(at)) at = up;
    return at;
  };
  const keys = sorted.map((one) => model.keys(one));
  for (const [first, ...others] of keys)
    for (const other of others) {
      const [a, b] = [root(first as string), root(other)];
      if (a !== b) parents.set(a, b);
    }
  const parts = new Map<string, Operation[]>();
  for (const [i, one] of sorted.entries()) {
    const key = root(keys[i]?.[0] ?? "");
    parts.set(key, [...(parts.get(key) ?? []), one]);
  }
  return [...parts.values()];
}

function contradiction<State>(
  part: readonly Operation[],
  consistency: Consistency,
  model: Model<State>,
  statesMax: number,
): ConsistencyVerdict {
  let wrong: Operation | undefined;
  let history = part;
  const fails = (some: readonly Operation[]): boolean =>
    search(some, consistency, model, statesMax) === false;
  if (consistency === "linearizable") {
    // The first answer that cannot be: what comes later cannot make it right.
    const returns = part.filter(isAnswered).toSorted((a, b) => returnOf(a) - returnOf(b));
    let [low, high] = [0, returns.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (fails(until(part, returnOf(returns[middle])))) high = middle;
      else low = middle + 1;
    }
    const early = until(part, returnOf(returns[low]));
    if (fails(early)) {
      history = early;
      wrong = returns[low];
    }
  }
  const forgotten = (shown: readonly Operation[]): readonly Operation[] => {
    const known = new Set(shown);
    return history.flatMap((one) => {
      if (known.has(one)) return [one];
      return model.reads(one) ? [] : [unanswered(one)];
    });
  };
  const answered = history.filter(isAnswered);
  const shown = smallest(answered, (some) => fails(forgotten(some)));
  const last = wrong && shown.includes(wrong) ? wrong : undefined;
  const what = last ? `${textOf(last)} gave ${formatReply(last.reply)}` : "these";
  const reason = `no order explains ${what}${consistency === "linearizable" ? " in time" : ""}`;
  return { holds: false, reason, witness: witnessOf(shown, last) };
}

const returnOf = (one: Operation | undefined): number =>
  one?.returnedAt ?? Number.POSITIVE_INFINITY;

function unanswered({ returnedAt: _, reply: __, ...one }: Operation): Operation {
  return one;
}

/** As it was at that time. */
function until(part: readonly Operation[], atMs: number): readonly Operation[] {
  return part
    .filter(({ calledAt }) => calledAt <= atMs)
    .map((one) => (returnOf(one) <= atMs ? one : unanswered(one)));
}

/** Of a search: where it may go back to. */
interface Turn<State> {
  readonly state: State;
  /** What was done there, as a number. */
  readonly did: number;
  /** A read: there is nothing else to try. */
  readonly isForced: boolean;
}

/** True if there is an order, false if there is none, nothing if it would take too long. */
function search<State>(
  part: readonly Operation[],
  consistency: Consistency,
  model: Model<State>,
  statesMax: number,
): boolean | undefined {
  const isLinear = consistency === "linearizable";
  const count = part.length;
  const isKnown = part.map(isAnswered);
  const isRead = part.map((one) => model.reads(one));
  const asked = part.map((one) =>
    JSON.stringify([model.keys(one), one.command, one.transaction, one.atMs]),
  );
  /** Of each what the same client had asked before and must be done before; -1 if there is nothing. */
  const before = new Int32Array(count).fill(-1);
  const last = new Map<string, number>();
  for (const [i, { client }] of part.entries()) {
    before[i] = last.get(client) ?? -1;
    if (isKnown[i]) last.set(client, i);
  }
  // What is not done yet: a ring, in the order in which it was asked; the last place is its end.
  const next = Int32Array.from({ length: count + 1 }, (_, i) => (i + 1) % (count + 1));
  const previous = Int32Array.from({ length: count + 1 }, (_, i) => (i + count) % (count + 1));
  const first = (): number => next[count] as number;
  const isDone = new Uint8Array(count + 1);
  const take = (i: number): void => {
    const [a, b] = [previous[i] as number, next[i] as number];
    next[a] = b;
    previous[b] = a;
    isDone[i] = 1;
  };
  const giveBack = (i: number): void => {
    next[previous[i] as number] = i;
    previous[next[i] as number] = i;
    isDone[i] = 0;
  };
  let left = isKnown.filter(Boolean).length;
  let state = model.start;
  let looked = 0;
  /** By what was done and answered, and the state: what was done beside it. */
  const seen = new Map<string, bigint[]>();
  const isNew = (): boolean => {
    let done = "";
    let beside = 0n;
    for (let i = 0, bits = 0; i < count; i += 1) {
      if (isDone[i] === 1) {
        if (isKnown[i]) bits |= 1 << (i & 15);
        else beside |= 1n << BigInt(i);
      }
      if ((i & 15) === 15 || i === count - 1) {
        done += String.fromCharCode(bits);
        bits = 0;
      }
    }
    const key = done + model.text(state);
    const known = seen.get(key);
    if (known?.some((less) => (less & beside) === less)) return false;
    looked += 1;
    if (known) known.push(beside);
    else seen.set(key, [beside]);
    return true;
  };
  const turns: Turn<State>[] = [];
  /** What is tried next must come behind it. */
  let tried = -1;
  isNew();
  while (left > 0) {
    let limit = Number.POSITIVE_INFINITY;
    let forced = -1;
    let chosen = -1;
    let to = state;
    const idle = new Set<string>();
    // Reads first: they take nothing away.
    for (let i = first(); i !== count; i = next[i] as number) {
      const one = part[i] as Operation;
      if (isLinear && one.calledAt > limit) break;
      if (isLinear && isKnown[i]) limit = Math.min(limit, returnOf(one));
      const waitsFor = before[i] as number;
      if (waitsFor >= 0 && isDone[waitsFor] === 0) continue;
      if (isRead[i]) {
        if (!isKnown[i] || tried >= 0) continue;
        if (!isSame(model.apply(state, one).reply, one.reply)) continue;
        forced = i;
        break;
      }
      if (chosen >= 0 || i <= tried) {
        if (!isKnown[i]) idle.add(asked[i] as string);
        continue;
      }
      // Of two that are the same the first will do.
      if (!isKnown[i] && idle.has(asked[i] as string)) continue;
      const result = model.apply(state, one);
      if (!isKnown[i]) idle.add(asked[i] as string);
      if (isKnown[i] && !isSame(result.reply, one.reply)) continue;
      chosen = i;
      to = result.state;
    }
    const did = forced >= 0 ? forced : chosen;
    if (did >= 0) {
      turns.push({ state, did, isForced: forced >= 0 });
      take(did);
      if (isKnown[did]) left -= 1;
      if (forced < 0) state = to;
      tried = -1;
      if (forced >= 0 || isNew()) {
        if (looked > statesMax) return undefined;
        continue;
      }
    }
    // Back to where something else can be tried.
    for (;;) {
      const turn = turns.pop();
      if (!turn) return false;
      giveBack(turn.did);
      if (isKnown[turn.did]) left += 1;
      if (turn.isForced) continue;
      state = turn.state;
      tried = turn.did;
      break;
    }
  }
  return true;
}
