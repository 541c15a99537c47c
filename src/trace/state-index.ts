/**
 * The state of a system at a cut of its trace: what values each process has, and how many messages are in flight.
 *
 * Assumptions. A value holds until its process says another one; before it is first said there is none. Messages are what is sent, each as
 * many as its event says, whether it comes or not; and else what arrows carry. Markers of snapshots are none, nor are packets of groups:
 * what these bring is a message for each other process that delivers it; who else should have is not known.
 *
 * Theory of operation. The state of a process depends only on how many of its events are inside, and so does how much it has sent and
 * received on a channel. So all is kept process by process, as the counts at which it changes, and looked up there.
 */

import type { Frontier } from "./causal-order.ts";
import { messagesOf, type Trace, type TraceEvent } from "./trace.ts";

/** How many messages are in flight on one channel. */
export interface MessagesInFlight {
  readonly from: string;
  readonly to: string;
  readonly messages: number;
}

/** What becomes of one value: after how many events of its process it changes, and to what. */
interface Changes {
  readonly counts: number[];
  readonly values: unknown[];
}

/** How many messages have gone past one end of a channel: after how many events of the process there that changes, and to how many. */
export interface Tally {
  readonly counts: readonly number[];
  readonly totals: readonly number[];
}

/** What goes from one process to another. */
export interface Passage {
  readonly from: number;
  readonly to: number;
  readonly sent: Tally;
  readonly received: Tally;
}

/**
 * Answers for a trace what its state is at any cut.
 *
 * @example
 * ```ts
 * import { CausalOrder, parseTrace, StateIndex } from "tidemark/trace";
 * const trace = parseTrace(`
 *   {"process":"p","type":"send","to":"q","message":1,"values":{"balance":70}}
 *   {"process":"q","type":"receive","from":"p","message":1,"values":{"balance":130}}`);
 * const cut = new CausalOrder(trace).frontier(new Map([["p", 1]]));
 * const states = new StateIndex(trace);
 * if (states.values(cut).get("p")?.["balance"] !== 70) throw new Error("p has paid");
 * if (states.inFlight(cut)[0]?.messages !== 1) throw new Error("and it is under way");
 * ```
 */
export class StateIndex {
  readonly trace: Trace;
  readonly #changes: readonly ReadonlyMap<string, Changes>[];
  #passages: ReadonlyMap<string, Passage> | undefined;

  constructor(trace: Trace) {
    this.trace = trace;
    this.#changes = trace.timelines.map((timeline) => {
      const changes = new Map<string, Changes>();
      for (const [position, e] of timeline.entries())
        for (const [name, value] of Object.entries(trace.events[e]?.values ?? {})) {
          const known = changes.get(name) ?? { counts: [], values: [] };
          changes.set(name, known);
          known.counts.push(position + 1);
          known.values.push(value);
        }
      return changes;
    });
  }

  /** The names of the values that a process has at some time. */
  names(process: number): readonly string[] {
    return [...(this.#changes[process]?.keys() ?? [])];
  }

  /** A value of a process after so many of its events. */
  value(process: number, name: string, count: number): unknown {
    const changes = this.#changes[process]?.get(name);
    return changes?.values[upTo(changes.counts, count) - 1];
  }

  /** A value of a process for each number of its events. */
  column(process: number, name: string): unknown[] {
    const column: unknown[] = new Array((this.trace.timelines[process]?.length ?? 0) + 1);
    const { counts = [], values = [] } = this.#changes[process]?.get(name) ?? {};
    column.fill(undefined);
    for (const [i, count] of counts.entries()) column.fill(values[i], count, counts[i + 1]);
    return column;
  }

  /** All values of a process after so many of its events. */
  processValues(process: number, count: number): Readonly<Record<string, unknown>> {
    const values: [string, unknown][] = [];
    for (const [name, { counts, values: all }] of this.#changes[process] ?? []) {
      const known = upTo(counts, count);
      if (known > 0) values.push([name, all[known - 1]]);
    }
    return Object.fromEntries(values);
  }

  /** All values at a cut, by the names of the processes. */
  values(cut: Frontier): ReadonlyMap<string, Readonly<Record<string, unknown>>> {
    return new Map(
      this.trace.processes.map((name, p) => [name, this.processValues(p, cut[p] as number)]),
    );
  }

  /** The channels on which messages are in flight at a cut. */
  inFlight(cut: Frontier): readonly MessagesInFlight[] {
    return [...this.passages.values()].flatMap((passage) => {
      const { from, to } = passage;
      const messages = inFlightOn(passage, cut[from] as number, cut[to] as number);
      const [sender, receiver] = [this.trace.processes[from], this.trace.processes[to]];
      return messages > 0 ? [{ from: sender as string, to: receiver as string, messages }] : [];
    });
  }

  /** What passes from one process to another; nothing if no message ever does. */
  passage(from: number, to: number): Passage | undefined {
    return this.passages.get(`${from} ${to}`);
  }

  /** All channels on which messages pass. */
  get passages(): ReadonlyMap<string, Passage> {
    this.#passages ??= findPassages(this.trace);
    return this.#passages;
  }
}

/** How many messages of a channel are in flight after so many events of its ends. */
export function inFlightOn({ sent, received }: Passage, from: number, to: number): number {
  return gone(sent, from) - gone(received, to);
}

/** How many messages have gone after so many events. */
export function gone({ counts, totals }: Tally, count: number): number {
  return totals[upTo(counts, count) - 1] ?? 0;
}

/** How many of some ascending numbers are no larger than that. */
function upTo(numbers: readonly number[], most: number): number {
  let [low, high] = [0, numbers.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((numbers[middle] as number) <= most) low = middle + 1;
    else high = middle;
  }
  return low;
}

function findPassages(trace: Trace): Map<string, Passage> {
  const { events, arrows, processes, unexplained } = trace;
  /** For each channel what goes at which event of either end. */
  const channels = new Map<string, { readonly sent: Moves; readonly received: Moves }>();
  const channel = (
    from: number,
    to: number,
  ): { readonly sent: Moves; readonly received: Moves } => {
    const key = `${from} ${to}`;
    const known = channels.get(key) ?? { sent: [], received: [] };
    channels.set(key, known);
    return known;
  };
  const index = new Map(processes.map((name, p) => [name, p]));
  const unknown = new Set(unexplained);
  for (const [e, event] of events.entries()) {
    const { type, peer = "", process, position, count = 1 } = event;
    const other = index.get(peer);
    if (other === undefined || !isMessage(event)) continue;
    if (type === "send") channel(process, other).sent.push([position + 1, count]);
    // What a process sends to itself has no arrow.
    if (type === "receive" && other === process && !unknown.has(e))
      channel(process, process).received.push([position + 1, count]);
  }
  for (const arrow of arrows) {
    const [source, target] = [events[arrow.from], events[arrow.to]] as [TraceEvent, TraceEvent];
    if (!isMessage(source)) continue;
    const { process: from, type, peer = "", position } = source;
    const isSent = type === "send" && index.has(peer);
    const isOwn = target.type === "receive" && target.peer === processes[from];
    // An arrow from what sends to somebody else is no message of its own.
    if (isSent && !(isOwn && peer === processes[target.process])) continue;
    const messages = messagesOf(trace, arrow);
    const { sent, received } = channel(from, target.process);
    if (!isSent) sent.push([position + 1, messages]);
    received.push([target.position + 1, messages]);
  }
  return new Map(
    [...channels].map(([key, { sent, received }]) => {
      const [from, to] = key.split(" ").map(Number) as [number, number];
      return [key, { from, to, sent: tallyOf(sent), received: tallyOf(received) }];
    }),
  );
}

/** After how many events, and how many messages. */
type Moves = (readonly [count: number, messages: number])[];

const isMessage = ({ type, snapshot, carries }: TraceEvent): boolean =>
  (type !== "send" && type !== "receive") || (snapshot === undefined && carries === undefined);

function tallyOf(moves: Moves): Tally {
  moves.sort(([a], [b]) => a - b);
  let total = 0;
  const totals = moves.map(([, messages]) => {
    total += messages;
    return total;
  });
  return { counts: moves.map(([count]) => count), totals };
}
