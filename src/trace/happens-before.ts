/**
 * Happens-before on a history (Lamport 1978; "causally precedes" of Hadzilacos and Toueg 1994, §2.7): events of one process in
 * their order, a multicast before each delivery, a send before each receive, and what follows from these.
 *
 * Theory of operation. What happened before an event is, of each process, a number of its first events. So a vector of counts
 * says it, and a search backwards takes of each process one stretch after another: it looks at every event once at most.
 */

import type { EventPlace, History } from "./history.ts";

/** Events in an order in which they can have happened; or a circle of them, each of which happened before the next. */
export type Linear =
  /** Whose turn it is: a process each time, with its next event. */
  | { readonly turns: Int32Array; readonly circle?: never }
  /** Arrivals and, after each, what its process multicast or sent later: the message of the next arrival. */
  | { readonly circle: readonly EventPlace[]; readonly turns?: never };

/** Puts all events in an order in which they can have happened, if there is one. */
export function linearize(history: History): Linear {
  const { timelines, messages } = history;
  const total = timelines.reduce((sum, { length }) => sum + length, 0);
  const turns = new Int32Array(total);
  const next = new Int32Array(timelines.length);
  /** Which processes wait for a message, and which message each waits for. */
  const waiting = new Map<number, number[]>();
  const waitsFor = new Map<number, number>();
  const ready = timelines.map((_, process) => process).reverse();
  let done = 0;
  for (let p = ready.pop(); p !== undefined; p = ready.pop()) {
    const timeline = history.timeline(p);
    for (let i = next[p] ?? 0; i < timeline.length; i += 1) {
      const m = timeline.message(i);
      if (timeline.isArrival(i)) {
        const position = messages.positions.at(m);
        if (position >= 0 && position >= (next[messages.senders.at(m)] ?? 0)) {
          waiting.set(m, [...(waiting.get(m) ?? []), p]);
          waitsFor.set(p, m);
          break;
        }
      }
      turns[done++] = p;
      next[p] = i + 1;
      if (waiting.size > 0 && !timeline.isArrival(i)) {
        for (const waiter of waiting.get(m) ?? []) {
          waitsFor.delete(waiter);
          ready.push(waiter);
        }
        waiting.delete(m);
      }
    }
  }
  if (done === total) return { turns };

  // Everyone who is left waits for one message of somebody else who is left, or of itself.
  const [first = 0] = waitsFor.keys();
  const senderFor = (p: number): number => messages.senders.at(waitsFor.get(p) ?? 0);
  let p = first;
  for (const seen = new Set<number>(); !seen.has(p); p = senderFor(p)) seen.add(p);
  const start = p;
  const circle: EventPlace[] = [];
  do {
    const m = waitsFor.get(p) ?? 0;
    circle.unshift(
      { process: senderFor(p), position: messages.positions.at(m) },
      { process: p, position: next[p] ?? 0 },
    );
    p = senderFor(p);
  } while (p !== start);
  // It begins with an arrival.
  circle.push(circle.shift() as EventPlace);
  return { circle };
}

/** How many multicasts of some processes happened before that of each message. */
export interface Counts {
  /** For message `m` and the `i`-th of the processes at `m * width + i`. */
  readonly values: Int32Array;
  readonly width: number;
}

/**
 * Counts them. All messages at once, for a few processes at a time: that bounds the memory.
 * @param turns as `linearize` gives them
 */
export function countBefore(
  history: History,
  turns: Int32Array,
  processes: readonly number[],
): Counts {
  const { timelines, messages } = history;
  const width = processes.length;
  const column = new Int32Array(timelines.length).fill(-1);
  for (const [i, process] of processes.entries()) column[process] = i;
  const values = new Int32Array(messages.length * width);
  const clocks = new Int32Array(timelines.length * width);
  const next = new Int32Array(timelines.length);
  for (const p of turns) {
    const position = next[p] as number;
    next[p] = position + 1;
    const timeline = history.timeline(p);
    const m = timeline.message(position);
    const [own, its] = [p * width, m * width];
    if (timeline.isArrival(position)) {
      // What nobody multicast has no past.
      if (messages.positions.at(m) < 0) continue;
      for (let i = 0; i < width; i += 1) {
        const known = values[its + i] as number;
        if (known > (clocks[own + i] as number)) clocks[own + i] = known;
      }
      const from = column[messages.senders.at(m)] as number;
      if (from >= 0 && messages.groups.at(m) >= 0) {
        const known = (values[its + from] as number) + 1;
        if (known > (clocks[own + from] as number)) clocks[own + from] = known;
      }
    } else {
      for (let i = 0; i < width; i += 1) values[its + i] = clocks[own + i] as number;
      const self = column[p] as number;
      if (self >= 0 && timeline.isMulticast(position))
        clocks[own + self] = (clocks[own + self] as number) + 1;
    }
  }
  return { values, width };
}

/** A stretch of events of one process that happened before the target. */
interface Stretch {
  readonly process: number;
  /** The last of them, and the last of its process that an earlier stretch has. */
  readonly last: number;
  readonly known: number;
  /** The arrival of what the last one multicast or sent, and whose stretch that is in; none of the first stretch. */
  readonly arrival: EventPlace | undefined;
  readonly towards: Stretch | undefined;
}

/**
 * The shortest chain from the multicast of a message that is `wanted` to another multicast: the two, and between them the arrivals
 * and multicasts or sends that lead from one to the other. `undefined` if no wanted one happened before it.
 */
export function shortestChain(
  history: History,
  target: EventPlace,
  wanted: (message: number) => boolean,
): EventPlace[] | undefined {
  const { timelines, messages } = history;
  const reached = new Int32Array(timelines.length).fill(-1);
  const { process, position } = target;
  reached[process] = position - 1;
  let stretches: Stretch[] = [
    { process, last: position - 1, known: -1, arrival: undefined, towards: undefined },
  ];
  while (stretches.length > 0) {
    /** Of each process the latest that is one message farther away. */
    const farther = new Map<number, Stretch>();
    /** A wanted message whose own arrival lies in this round. */
    let direct: Stretch | undefined;
    for (const stretch of stretches) {
      const timeline = history.timeline(stretch.process);
      for (let i = stretch.last; i > stretch.known; i -= 1) {
        const m = timeline.message(i);
        if (!timeline.isArrival(i)) {
          if (timeline.isMulticast(i) && wanted(m))
            return [{ process: stretch.process, position: i }, ...wayFrom(stretch, target)];
          continue;
        }
        const last = messages.positions.at(m);
        if (last < 0) continue;
        const from = messages.senders.at(m);
        if (last <= (reached[from] as number)) continue;
        const step: Stretch = {
          process: from,
          last,
          known: reached[from] as number,
          arrival: { process: stretch.process, position: i },
          towards: stretch,
        };
        if (messages.groups.at(m) >= 0 && wanted(m)) direct ??= step;
        if (last > (farther.get(from)?.last ?? -1)) farther.set(from, step);
      }
    }
    if (direct) return wayFrom(direct, target);
    for (const { process: from, last } of farther.values()) reached[from] = last;
    stretches = [...farther.values()];
  }
  return undefined;
}

/** From the last event of a stretch to the target. */
function wayFrom(stretch: Stretch, target: EventPlace): EventPlace[] {
  const way: EventPlace[] = [];
  for (let s = stretch; s.arrival && s.towards; s = s.towards)
    way.push({ process: s.process, position: s.last }, s.arrival);
  return [...way, target];
}
