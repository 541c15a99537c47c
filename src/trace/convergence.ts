/**
 * Whether what clients of replicas that converge have seen is as it may be, if nobody waits for anybody.
 *
 * - *Causal*: whoever has seen something has seen all that it depends on: what its client had done and seen before, and so on; and of what
 *   was written to a key without one having seen the other, everybody has the same last.
 * - *FIFO*: the same, but with something that it sees a client has seen only what that one's writer had written before.
 *
 * Assumptions. No two operations write the same to a key: so it is known whose it was that somebody saw.
 *
 * Theory of operation (Bouajjani, Enea, Guerraoui and Hamza 2017, "On Verifying Causal Consistency": a history is right if and only if
 * it has none of a few patterns, which are looked for in polynomial time). An operation *depends* on what its client has done before and
 * on the writes of what it saw; that is never a circle (`CyclicCO`). Its *past* is all that it depends on, directly or not; in FIFO order
 * what its client has done, what that saw, and what the same writers had written before. Of its past an operation must not miss anything
 * (`ThinAirRead`, `WriteCOInitRead`): what was added must all be there, and what was put only if nothing else was put later. So a write in
 * the past of who saw another one is before that one. All of that, with what depends on what, is never a circle (`WriteCORead`,
 * `CyclicCF`): then there is an order of all writes in which whatever anybody sees is the last.
 *
 * In the end, when all have been told all, everybody's past is the same: all that was answered and all that anybody has in the end.
 *
 * To leave out who only sees, or a write that nobody saw who is left, makes nothing right that was wrong the less: so a witness gets small.
 */

import { TidemarkError } from "../core/error.ts";
import {
  type ConsistencyVerdict,
  isAnswered,
  type Operation,
  smallest,
  textOf,
  witnessOf,
} from "./consistency.ts";
import { formatReply } from "./store-model.ts";

/** What an operation does with a key, or with a part of one. */
export interface Access {
  /** What is put there and what is added there are not of the same key. */
  readonly key: string;
  /** It has put that in place of what was there. */
  readonly put?: string;
  /** It has added that to what was there. */
  readonly add?: string;
  /** What it saw there, before what it did itself: of what was put the last, of what was added all. */
  readonly saw?: readonly string[];
}

/** How clients are judged. */
export interface ConvergenceOptions {
  readonly order: "causal" | "fifo";
  /** Reads of replicas that have been told all. Each is a client of its own. @default none */
  readonly end?: readonly Operation[];
  /** What operations do. Of those that were not answered, what they write. @default storeAccesses */
  readonly accesses?: (operation: Operation) => readonly Access[];
}

/**
 * What commands of a store do: `SET`, `GET`, `MSET`, `MGET`, `HSET` and `HGET` put and see, `SADD` and `SMEMBERS` add and see. Those that
 * were refused do nothing.
 * @throws TidemarkError `BAD_OPTION` for another one
 */
export function storeAccesses({ command, reply, returnedAt }: Operation): readonly Access[] {
  const [name = "", ...rest] = command;
  const [key = "", ...words] = rest;
  if (typeof reply === "object" && reply !== null && "error" in reply) return [];
  const isRead = returnedAt !== undefined;
  const saw = (one: string, seen: unknown): readonly Access[] =>
    isRead ? [{ key: one, saw: seen === null ? [] : [String(seen)] }] : [];
  const pairs = (some: readonly string[]): readonly (readonly [string, string])[] =>
    some.flatMap((one, i) => (i % 2 === 0 ? [[one, some[i + 1] ?? ""] as const] : []));
  switch (name) {
    case "SET":
    case "MSET":
      return pairs(name === "SET" ? rest.slice(0, 2) : rest).map(([one, put]) => ({
        key: one,
        put,
      }));
    case "HSET":
      return pairs(words).map(([field, put]) => ({ key: `${key}.${field}`, put }));
    case "SADD":
      return words.map((add) => ({ key, add }));
    case "GET":
      return saw(key, reply);
    case "HGET":
      return saw(`${key}.${words[0]}`, reply);
    case "MGET":
      return rest.flatMap((one, i) => saw(one, (reply as readonly unknown[])?.[i] ?? null));
    case "SMEMBERS":
      return isRead ? [{ key, saw: reply as readonly string[] }] : [];
    default:
      throw new TidemarkError("BAD_OPTION", `there is no ${JSON.stringify(name)} here`);
  }
}

/**
 * Judges what clients of replicas that converge have seen.
 * @throws TidemarkError `BAD_OPTION` if two write the same to a key, or if something is put where something is added
 *
 * @example
 * ```ts
 * import { checkConvergence, drawOperations } from "tidemark/trace";
 * // Somebody sees an answer, and not the question that its writer had seen.
 * const operations = [
 *   { client: "a", command: ["SET", "question", "when?"], reply: "OK", calledAt: 1, returnedAt: 2 },
 *   { client: "b", command: ["GET", "question"], reply: "when?", calledAt: 3, returnedAt: 4 },
 *   { client: "b", command: ["SET", "answer", "now"], reply: "OK", calledAt: 5, returnedAt: 6 },
 *   { client: "c", command: ["GET", "answer"], reply: "now", calledAt: 7, returnedAt: 8 },
 *   { client: "c", command: ["GET", "question"], reply: null, calledAt: 9, returnedAt: 10 },
 * ];
 * const causal = checkConvergence(operations, { order: "causal" });
 * if (!checkConvergence(operations, { order: "fifo" }).holds || causal.holds !== false) throw new Error("it is only not causal");
 * if (!drawOperations(causal.witness).includes("✗")) throw new Error("the last read is what is wrong");
 * ```
 */
export function checkConvergence(
  operations: readonly Operation[],
  { order, end = [], accesses = storeAccesses }: ConvergenceOptions,
): ConsistencyVerdict {
  const sorted = operations.toSorted((a, b) => a.calledAt - b.calledAt);
  const acts = [...sorted, ...end].map((operation, i): Act => {
    const does = accesses(operation).flatMap(partsOf);
    return { operation, does, isEnd: i >= sorted.length };
  });
  checkWrites(acts);
  const flaw = flawIn(acts, order);
  if (!flaw) return { holds: true, judged: [...sorted, ...end].filter(isAnswered).length };
  const restOf = parting(acts);
  const isWrong = (some: readonly Piece[]): boolean => {
    const rest = restOf(some);
    return rest !== undefined && flawIn(rest, order) !== undefined;
  };
  const shown = restOf(smallest(nearTo(flaw.acts, acts), isWrong)) ?? acts;
  const { wrong, reason } = flawIn(shown, order) ?? flaw;
  const witness = shown.map(({ operation }) => operation);
  return { holds: false, reason, witness: witnessOf(witness, wrong?.operation) };
}

/** An operation, and what it does; what it saw is apart from what it wrote. */
interface Act {
  readonly operation: Operation;
  readonly does: readonly Access[];
  readonly isEnd: boolean;
}

interface Flaw {
  readonly reason: string;
  readonly wrong?: Act;
  /** Those that show it, by their index. */
  readonly acts: ReadonlySet<number>;
}

const placeOf = (key: string, value: string): string => JSON.stringify([key, value]);
const isWriting = ({ put, add }: Access): boolean => (put ?? add) !== undefined;

function partsOf({ saw, ...does }: Access): readonly Access[] {
  const parts: Access[] = saw ? [{ key: does.key, saw }] : [];
  return isWriting(does) ? [...parts, does] : parts;
}

function checkWrites(acts: readonly Act[]): void {
  const known = new Set<string>();
  const kinds = new Map<string, "put" | "add">();
  for (const does of acts.flatMap((act) => act.does.filter(isWriting))) {
    const { key, put } = does;
    for (const place of placesOf(does)) {
      if (known.has(place))
        throw new TidemarkError("BAD_OPTION", `${put ?? does.add} is written to ${key} twice`);
      known.add(place);
    }
    const kind = put === undefined ? "add" : "put";
    if ((kinds.get(key) ?? kind) !== kind)
      throw new TidemarkError("BAD_OPTION", `${key} is put as well as added to`);
    kinds.set(key, kind);
  }
}

/** One thing that an operation does; the others may not matter. */
interface Piece {
  readonly act: Act;
  readonly does: Access;
}

const placesOf = ({ key, put, add }: Access): readonly string[] =>
  [put, add].flatMap((value) => (value === undefined ? [] : [placeOf(key, value)]));
const placesSeen = ({ key, saw = [] }: Access): readonly string[] =>
  saw.map((value) => placeOf(key, value));

/** All that these do, and what they saw. */
function nearTo(some: ReadonlySet<number>, acts: readonly Act[]): readonly Piece[] {
  const seen = new Set<string>();
  for (const i of some)
    for (const does of acts[i]?.does ?? []) for (const place of placesSeen(does)) seen.add(place);
  return acts.flatMap((act, i) =>
    act.does
      .filter((does) => some.has(i) || placesOf(does).some((place) => seen.has(place)))
      .map((does) => ({ act, does })),
  );
}

/**
 * Gives what makes a history of some of what was done: nothing, if somebody would see what is not there any more. But of what is added each
 * is for itself: then nobody has seen it.
 */
function parting(acts: readonly Act[]): (pieces: readonly Piece[]) => readonly Act[] | undefined {
  const put = new Set<string>();
  const added = new Set<string>();
  for (const does of acts.flatMap((act) => act.does))
    for (const place of placesOf(does)) (does.put === undefined ? added : put).add(place);
  return (pieces) => {
    const there = new Set(pieces.flatMap(({ does }) => placesOf(does)));
    const grouped = new Map<Act, Access[]>();
    for (const { act, does } of pieces) {
      const gone = placesSeen(does).filter((place) => !there.has(place));
      if (gone.some((place) => put.has(place))) return undefined;
      const { key, saw } = does;
      const left = saw?.filter(
        (value) => !gone.includes(placeOf(key, value)) || !added.has(placeOf(key, value)),
      );
      grouped.set(act, [...(grouped.get(act) ?? []), left ? { key, saw: left } : does]);
    }
    return [...grouped].map(([act, does]) => ({ ...act, does }));
  };
}

/** Some of so many. */
class Bits {
  readonly #words: Uint32Array;

  constructor(count: number) {
    this.#words = new Uint32Array((count + 31) >> 5);
  }

  has(i: number): boolean {
    return (((this.#words[i >> 5] as number) >>> (i & 31)) & 1) === 1;
  }

  add(i: number): void {
    this.#words[i >> 5] = (this.#words[i >> 5] as number) | (1 << (i & 31));
  }

  addAll({ words }: { readonly words: Uint32Array }): void {
    for (let i = 0; i < words.length; i += 1)
      this.#words[i] = (this.#words[i] as number) | (words[i] as number);
  }

  get words(): Uint32Array {
    return this.#words;
  }
}

/** One is before another, for that reason. */
interface Before {
  readonly earlier: number;
  readonly later: number;
  /** Of what was put: it saw the later one, and has the earlier one in its past. Absent: the later one depends on the earlier one. */
  readonly by?: number;
}

/** The first that there is. */
function flawIn(acts: readonly Act[], order: "causal" | "fifo"): Flaw | undefined {
  const count = acts.length;
  const isCausal = order === "causal";
  const writers = new Map<string, number>();
  const written = new Map<string, number[]>();
  const added = new Set<string>();
  for (const [i, act] of acts.entries()) {
    for (const does of act.does.filter(isWriting)) {
      const { key, add } = does;
      for (const place of placesOf(does)) writers.set(place, i);
      const those = written.get(key) ?? [];
      written.set(key, those);
      if (those.at(-1) !== i) those.push(i);
      if (add !== undefined) added.add(key);
    }
  }
  /** Of each what the same client had done before; -1 if there is nothing. */
  const before = new Int32Array(count).fill(-1);
  const last = new Map<string, number>();
  for (const [i, { operation, isEnd }] of acts.entries()) {
    if (isEnd) continue;
    before[i] = last.get(operation.client) ?? -1;
    if (isAnswered(operation)) last.set(operation.client, i);
  }
  /** Of each whose writes it saw. */
  const saw: number[][] = acts.map(() => []);
  for (const [i, act] of acts.entries())
    for (const { key, saw: values = [] } of act.does)
      for (const value of values) {
        const writer = writers.get(placeOf(key, value));
        if (writer === undefined || writer === i)
          return {
            reason: `${said(act)}, and nobody had written ${value}`,
            ...{ wrong: act, acts: new Set([i]) },
          };
        saw[i]?.push(writer);
      }
  const direct: Before[] = [];
  for (let later = 0; later < count; later += 1)
    for (const earlier of [before[later] as number, ...(saw[later] as number[])])
      if (earlier >= 0) direct.push({ earlier, later });
  const sequence = sequenceOf(count, direct);
  if (!sequence)
    return {
      reason: "these depend on each other in a circle",
      acts: new Set(circleIn(count, direct).map(({ later }) => later)),
    };

  const pasts = acts.map(() => new Bits(count));
  const lines = acts.map(() => new Bits(count));
  const everything = new Bits(count);
  for (const i of sequence) {
    const [past, line] = [pasts[i] as Bits, lines[i] as Bits];
    const { operation, isEnd } = acts[i] as Act;
    for (let one = before[i] as number; one >= 0; one = -1) {
      past.addAll(pasts[one] as Bits);
      line.addAll(lines[one] as Bits);
      past.add(one);
      line.add(one);
    }
    for (const one of saw[i] as number[]) {
      past.addAll((isCausal ? pasts : lines)[one] as Bits);
      past.add(one);
    }
    const isWrite = !isEnd && isAnswered(operation) && (acts[i] as Act).does.some(isWriting);
    if (!isWrite && !isEnd) continue;
    if (isWrite) everything.add(i);
    everything.addAll(isCausal || isEnd ? past : line);
  }
  for (const [i, { isEnd }] of acts.entries()) if (isEnd) pasts[i]?.addAll(everything);

  /** How one came into the past of another. */
  const wayTo = (earlier: number, later: number): readonly number[] =>
    wayBetween({ acts, before, saw, isCausal }, earlier, later);
  const turned: Before[] = [];
  for (const [i, act] of acts.entries())
    for (const { key, saw: values } of act.does) {
      if (values === undefined) continue;
      const seen = new Set(values.map((value) => writers.get(placeOf(key, value)) as number));
      const [winner] = seen;
      for (const other of written.get(key) ?? []) {
        if (other === i || seen.has(other) || !pasts[i]?.has(other)) continue;
        if (winner !== undefined && !added.has(key)) {
          turned.push({ earlier: other, later: winner, by: i });
          continue;
        }
        const missed = textOf((acts[other] as Act).operation);
        return {
          reason: `${said(act)}, and ${missed} is ${act.isEnd ? "missing" : "in its past"}`,
          ...{ wrong: act, acts: new Set(wayTo(other, i)) },
        };
      }
    }
  const all = [...direct, ...turned];
  if (sequenceOf(count, all)) return undefined;
  const circle = circleIn(count, all);
  const shown = circle.flatMap(({ earlier, later, by }) =>
    by === undefined ? [earlier, later] : [earlier, later, ...wayTo(earlier, by)],
  );
  const [only, ...others] = circle.filter((one) => one.by !== undefined);
  if (!only || others.length > 0)
    return { reason: "no order of what was written explains these", acts: new Set(shown) };
  const wrong = acts[only.by as number] as Act;
  const over = textOf((acts[only.earlier] as Act).operation);
  return { reason: `${said(wrong)}, which ${over} had written over`, wrong, acts: new Set(shown) };
}

function said({ operation, isEnd }: Act): string {
  return `${textOf(operation)} gave ${formatReply(operation.reply)}${isEnd ? " in the end" : ""}`;
}

/** All of them in an order in which each comes behind what is before it; nothing if there is none. */
function sequenceOf(count: number, edges: readonly Before[]): readonly number[] | undefined {
  const laters: number[][] = Array.from({ length: count }, () => []);
  const left = new Int32Array(count);
  for (const { earlier, later } of edges) {
    laters[earlier]?.push(later);
    left[later] = (left[later] as number) + 1;
  }
  const sequence: number[] = [];
  for (let i = 0; i < count; i += 1) if (left[i] === 0) sequence.push(i);
  for (let at = 0; at < sequence.length; at += 1)
    for (const later of laters[sequence[at] as number] as number[]) {
      left[later] = (left[later] as number) - 1;
      if (left[later] === 0) sequence.push(later);
    }
  return sequence.length === count ? sequence : undefined;
}

/** A shortest circle, of which there is one. */
function circleIn(count: number, edges: readonly Before[]): readonly Before[] {
  const outgoing: Before[][] = Array.from({ length: count }, () => []);
  for (const edge of edges) outgoing[edge.earlier]?.push(edge);
  let best: readonly Before[] = [];
  for (let start = 0; start < count; start += 1) {
    const into = new Map<number, Before>();
    const queue = [start];
    for (let at = 0; at < queue.length && !into.has(start); at += 1)
      for (const edge of outgoing[queue[at] as number] as Before[]) {
        if (into.has(edge.later)) continue;
        into.set(edge.later, edge);
        queue.push(edge.later);
      }
    if (!into.has(start)) continue;
    const circle: Before[] = [];
    for (let at = start; circle.length === 0 || at !== start; at = circle.at(-1)?.earlier ?? start)
      circle.push(into.get(at) as Before);
    if (best.length === 0 || circle.length < best.length) best = circle;
  }
  return best;
}

interface Dependencies {
  readonly acts: readonly Act[];
  readonly before: Int32Array;
  readonly saw: readonly (readonly number[])[];
  readonly isCausal: boolean;
}

/** As few as lead from one to another that has it in its past; of what all have in the end, these two. */
function wayBetween(
  { acts, before, saw, isCausal }: Dependencies,
  earlier: number,
  later: number,
): readonly number[] {
  // In FIFO order, what comes behind somebody's write that was seen is only what the same one wrote: a second place for each.
  const count = acts.length;
  const from = new Map<number, number>([[later, -1]]);
  const queue = [later];
  if (acts[later]?.isEnd)
    for (const [i, { operation, does, isEnd }] of acts.entries()) {
      if (i === later || !(isEnd || (isAnswered(operation) && does.some(isWriting)))) continue;
      const place = isCausal || isEnd ? i : i + count;
      from.set(place, later);
      queue.push(place);
    }
  for (const at of queue) {
    const i = at % count;
    const isBehind = at >= count;
    if (i === earlier) {
      const way: number[] = [];
      for (let one = at; one >= 0; one = from.get(one) ?? -1) way.push(one % count);
      return way;
    }
    const next = isCausal || !isBehind ? (saw[i] as readonly number[]) : [];
    const places = next.map((one) => (isCausal ? one : one + count));
    for (let one = before[i] as number; one >= 0; one = before[one] as number)
      places.push(isBehind ? one + count : one);
    for (const place of places) {
      if (from.has(place)) continue;
      from.set(place, at);
      queue.push(place);
    }
  }
  return [earlier, later];
}
