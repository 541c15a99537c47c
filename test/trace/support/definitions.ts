/**
 * The promises as Hadzilacos and Toueg define them (TR 94-1425, §3.1 to §3.8), word for word over all pairs of messages and
 * all paths between events. Slow, and with nothing in common with what is tested but the form of a history.
 */

import { ORDER_LEVELS } from "../../../src/core/order-level.ts";
import type { HistoryEvent, HistoryLine } from "../../../src/trace/history.ts";
import type { CheckOptions, PromiseName } from "../../../src/trace/promises.ts";

type Multicast = Extract<HistoryEvent, { type: "multicast" }>;
type Of<Type extends HistoryEvent["type"]> = Extract<HistoryEvent, { type: Type }>;

const isFor = ({ to }: Multicast, process: string): boolean => (to ?? process) === process;

export class Definitions {
  readonly events: readonly HistoryEvent[];
  readonly #lines: readonly HistoryLine[];
  readonly #options: CheckOptions;
  readonly #before: readonly (readonly boolean[])[];

  constructor(lines: readonly HistoryLine[], options: CheckOptions) {
    this.#lines = lines;
    this.#options = options;
    this.events = lines.filter(
      (line): line is HistoryEvent => line.type !== "group" && line.type !== "history",
    );
    this.#before = this.#closure();
  }

  /** Null of what cannot be judged. */
  verdicts(): Map<PromiseName, boolean | null> {
    const found = new Map<PromiseName, boolean | null>();
    const complete = !this.#lines.some(
      (line) => line.type === "history" && line.complete === false,
    );
    found.set("validity", complete ? this.#validity() : null);
    found.set("agreement", complete ? this.#agreement() : null);
    found.set("integrity", this.#integrity());
    const circular = this.events.some((_, i) => this.#before[i]?.[i]);
    const promised = new Set(
      this.#options.order
        ? ORDER_LEVELS[this.#options.order]
        : this.#multicasts().flatMap(({ order }) => ORDER_LEVELS[order ?? "reliable"]),
    );
    if (promised.has("FIFO order")) found.set("FIFO order", this.#fifo());
    if (promised.has("causal order")) found.set("causal order", circular ? null : this.#causal());
    if (promised.has("total order")) found.set("total order", this.#total());
    return found;
  }

  /** How many events a smallest witness has, of the first wrong delivery of that process; without the late delivery. */
  smallestCausalWitness(p: string): number {
    const own = this.#own(p);
    const wrong = own.find(
      (event, i) =>
        event.type === "deliver" &&
        this.#members(event.group).has(p) &&
        this.#first(p, event) === i &&
        this.#lacking(p, event, i).length > 0,
    ) as Of<"deliver">;
    const later = this.#multicastOf(wrong) as Multicast;
    const lacking = this.#lacking(p, wrong, own.indexOf(wrong));
    return 1 + Math.min(...lacking.map((earlier) => this.#shortest(earlier, later)));
  }

  /** What happened before the multicast of what is delivered there, was promised to come first, and has not. */
  #lacking(p: string, delivery: Of<"deliver">, position: number): Multicast[] {
    const later = this.#multicastOf(delivery);
    return this.#multicasts().filter((earlier) => {
      if (!later || earlier.group !== later.group || !isFor(earlier, p)) return false;
      if (!this.#both("causal order", earlier, later) || !this.#happenedBefore(earlier, later))
        return false;
      const first = this.#first(p, earlier);
      return first < 0 || first > position;
    });
  }

  #validity(): boolean {
    return this.#multicasts().every((multicast) => {
      const { process, group } = multicast;
      if (!this.#correct(process)) return true;
      if (this.#members(group).has(process) && isFor(multicast, process))
        return this.#first(process, multicast) >= 0;
      const members = [...this.#members(group)].filter(
        (p) => this.#correct(p) && isFor(multicast, p),
      );
      return members.length === 0 || members.some((p) => this.#first(p, multicast) >= 0);
    });
  }

  #agreement(): boolean {
    return this.#deliveries().every((delivery) => {
      const { process, group } = delivery;
      if (!this.#judges(process) || !this.#members(group).has(process)) return true;
      if (this.#multicastOf(delivery)?.to !== undefined) return true;
      return [...this.#members(group)].every(
        (q) => !this.#correct(q) || this.#first(q, delivery) >= 0,
      );
    });
  }

  #integrity(): boolean {
    // Nothing happens before itself: so nothing is delivered or received before it is multicast or sent.
    if (this.events.some((_, i) => this.#before[i]?.[i])) return false;
    return this.#deliveries().every((delivery) => {
      const { process, group, message, from } = delivery;
      if (!this.#judges(process)) return true;
      const same = this.#deliveries().filter(
        (other) => other.process === process && other.group === group && other.message === message,
      );
      const multicast = this.#multicastOf(delivery);
      return (
        same.length === 1 &&
        multicast !== undefined &&
        (from === undefined || from === multicast.process) &&
        this.#members(group).has(process) &&
        isFor(multicast, process)
      );
    });
  }

  #fifo(): boolean {
    return this.#ordered("FIFO order", (a, b) => {
      const own = this.#own(a.process);
      return a.process === b.process && own.indexOf(a) < own.indexOf(b);
    });
  }

  #causal(): boolean {
    return this.#ordered("causal order", (a, b) => this.#happenedBefore(a, b));
  }

  /** Nobody delivers the later of two messages unless it has delivered the earlier. */
  #ordered(promise: PromiseName, isBefore: (a: Multicast, b: Multicast) => boolean): boolean {
    const multicasts = this.#multicasts();
    return multicasts.every((a) =>
      multicasts.every((b) => {
        if (a === b || a.group !== b.group || !this.#both(promise, a, b) || !isBefore(a, b))
          return true;
        return [...this.#members(a.group)]
          .filter((p) => this.#judges(p) && isFor(a, p))
          .every((p) => {
            const [first, second] = [this.#first(p, a), this.#first(p, b)];
            return second < 0 || (first >= 0 && first < second);
          });
      }),
    );
  }

  #total(): boolean {
    const multicasts = this.#multicasts();
    return multicasts.every((a) =>
      multicasts.every((b) => {
        if (a === b || a.group !== b.group || !this.#both("total order", a, b)) return true;
        const orders = [...this.#members(a.group)]
          .filter((p) => this.#judges(p))
          .map((p) => [this.#first(p, a), this.#first(p, b)] as const)
          .filter(([x, y]) => x >= 0 && y >= 0)
          .map(([x, y]) => x < y);
        return new Set(orders).size <= 1;
      }),
    );
  }

  #multicasts(): Multicast[] {
    return this.events.filter((event) => event.type === "multicast");
  }

  #deliveries(): Of<"deliver">[] {
    return this.events.filter((event) => event.type === "deliver");
  }

  #multicastOf({ group, message }: Of<"deliver">): Multicast | undefined {
    return this.#multicasts().find((one) => one.group === group && one.message === message);
  }

  #own(p: string): HistoryEvent[] {
    return this.events.filter(({ process }) => process === p);
  }

  /** At which of its events a process first delivers a message; -1 if it does not. */
  #first(p: string, { group, message }: Multicast | Of<"deliver">): number {
    return this.#own(p).findIndex(
      (event) => event.type === "deliver" && event.group === group && event.message === message,
    );
  }

  #correct(p: string): boolean {
    return !this.#own(p).some(({ type }) => type === "crash");
  }

  #judges(p: string): boolean {
    return this.#options.uniform === true || this.#correct(p);
  }

  #members(group: string): Set<string> {
    const declared = this.#lines.find((line) => line.type === "group" && line.group === group);
    if (declared?.type === "group") return new Set(declared.members);
    return new Set(
      this.events
        .filter((event) => "group" in event && event.group === group)
        .flatMap((event) =>
          event.type === "multicast" && event.to !== undefined
            ? [event.process, event.to]
            : [event.process],
        ),
    );
  }

  #both(promise: PromiseName, a: Multicast, b: Multicast): boolean {
    return [a, b].every(({ order }) =>
      (ORDER_LEVELS[this.#options.order ?? order ?? "reliable"] as PromiseName[]).includes(promise),
    );
  }

  #happenedBefore(a: HistoryEvent, b: HistoryEvent): boolean {
    return this.#before[this.events.indexOf(a)]?.[this.events.indexOf(b)] === true;
  }

  #closure(): boolean[][] {
    const { events } = this;
    const before = events.map((a, i) => events.map((b, j) => this.#follows(a, i, b, j)));
    for (const middle of events.keys())
      for (const from of before)
        if (from[middle]) for (const to of events.keys()) if (before[middle]?.[to]) from[to] = true;
    return before;
  }

  /** One step of happens-before. */
  #follows(a: HistoryEvent, i: number, b: HistoryEvent, j: number): boolean {
    return (i < j && a.process === b.process) || arrivesFrom(a, b);
  }

  /** How many events a shortest chain has, both ends included, that says that one multicast happened before another. */
  #shortest(earlier: Multicast, later: Multicast): number {
    const known = new Map<HistoryEvent, number>();
    const least = (event: HistoryEvent): number => {
      if (event === earlier) return 1;
      const found = known.get(event);
      if (found !== undefined) return found;
      let best = Number.POSITIVE_INFINITY;
      const own = this.#own(event.process);
      for (const previous of own.slice(0, own.indexOf(event)))
        best = Math.min(best, least(previous));
      for (const source of this.events)
        if (arrivesFrom(source, event))
          best = Math.min(best, least(source) + (source === earlier ? 1 : 2));
      known.set(event, best);
      return best;
    };
    return least(later) + 1;
  }
}

function arrivesFrom(a: HistoryEvent, b: HistoryEvent): boolean {
  if (a.type === "multicast" && b.type === "deliver")
    return a.group === b.group && a.message === b.message;
  return (
    a.type === "send" &&
    b.type === "receive" &&
    a.to === b.process &&
    b.from === a.process &&
    a.message === b.message
  );
}
