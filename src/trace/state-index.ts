/**
 * The state of a system at a cut of its trace: what values each process has, and how many messages are in flight.
 *
 * Assumptions. A value holds until its process says another one; before it is first said there is none. A message is what an arrow from one
 * process to another carries, or what is sent and never comes; markers of snapshots are none. Of a multicast it is one for each other
 * process that delivers it: who else should have is not known.
 *
 * Theory of operation. The state of a process depends only on how many of its events are inside, and so does how much it has sent and
 * received on a channel. So all is kept process by process, as the counts at which it changes, and looked up there.
 */

import type { Frontier } from "./causal-order.ts";
import type { Trace } from "./trace.ts";

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

/** After how many events of either end each message of a channel was sent and received. */
export interface Passage {
  readonly from: number;
  readonly to: number;
  readonly sent: readonly number[];
  readonly received: readonly number[];
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
  return upTo(sent, from) - upTo(received, to);
}

/** How many of some ascending numbers are no larger than that. */
export function upTo(numbers: readonly number[], most: number): number {
  let [low, high] = [0, numbers.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((numbers[middle] as number) <= most) low = middle + 1;
    else high = middle;
  }
  return low;
}

function findPassages({ events, arrows, processes, unexplained }: Trace): Map<string, Passage> {
  type Open = Passage & { readonly sent: number[]; readonly received: number[] };
  const passages = new Map<string, Open>();
  const passage = (from: number, to: number): Open => {
    const key = `${from} ${to}`;
    const known = passages.get(key) ?? { from, to, sent: [], received: [] };
    passages.set(key, known);
    return known;
  };
  const isMessage = (e: number): boolean => {
    const { type, snapshot } = events[e] as Trace["events"][number];
    return snapshot === undefined || (type !== "send" && type !== "receive");
  };
  const leads = new Uint8Array(events.length);
  for (const { from, to } of arrows) {
    leads[from] = 1;
    const [source, target] = [events[from], events[to]];
    if (source === undefined || target === undefined || !isMessage(from)) continue;
    const { sent, received } = passage(source.process, target.process);
    sent.push(source.position + 1);
    received.push(target.position + 1);
  }
  const index = new Map(processes.map((name, p) => [name, p]));
  const unknown = new Set(unexplained);
  for (const [e, { type, peer, process, position }] of events.entries()) {
    const other = index.get(peer ?? "");
    if (other === undefined || !isMessage(e)) continue;
    // What never comes has no arrow; nor has what a process sends to itself.
    if (type === "send" && !leads[e]) passage(process, other).sent.push(position + 1);
    if (type === "receive" && other === process && !unknown.has(e))
      passage(process, process).received.push(position + 1);
  }
  for (const { sent, received } of passages.values()) {
    sent.sort((a, b) => a - b);
    received.sort((a, b) => a - b);
  }
  return passages;
}
