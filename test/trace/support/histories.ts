/** Histories at random: any that can be written down, and such as an ideal multicast would leave behind. */

import fc from "fast-check";
import { ORDER_LEVELS, type OrderLevel } from "../../../src/core/order-level.ts";
import { Random } from "../../../src/core/random.ts";
import type { HistoryEvent, HistoryLine } from "../../../src/trace/history.ts";
import type { CheckOptions } from "../../../src/trace/promises.ts";

export const anyLevel: fc.Arbitrary<OrderLevel> = fc.constantFrom(
  ...(Object.keys(ORDER_LEVELS) as OrderLevel[]),
);

export const anyOptions: fc.Arbitrary<CheckOptions> = fc.record(
  { order: anyLevel, uniform: fc.boolean() },
  { requiredKeys: [] },
);

const anyProcess = fc.constantFrom("p1", "p2", "p3", "p4");
const anyGroup = fc.constantFrom("g", "g", "g", "h");
const anyMessage = fc.constantFrom("m1", "m2", "m3", "m4");

/** Mostly deliveries. */
const anyEvent: fc.Arbitrary<HistoryEvent> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record(
      {
        type: fc.constant("multicast" as const),
        process: anyProcess,
        group: anyGroup,
        message: anyMessage,
        order: anyLevel,
      },
      { requiredKeys: ["type", "process", "group", "message"] },
    ),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant("multicast" as const),
      process: anyProcess,
      group: anyGroup,
      message: anyMessage,
      order: anyLevel,
      to: anyProcess,
    }),
  },
  {
    weight: 12,
    arbitrary: fc.record({
      type: fc.constant("deliver" as const),
      process: anyProcess,
      group: anyGroup,
      message: anyMessage,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant("deliver" as const),
      process: anyProcess,
      group: anyGroup,
      message: anyMessage,
      from: anyProcess,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant("send" as const),
      process: anyProcess,
      to: anyProcess,
      message: fc.constantFrom("x", "y"),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant("receive" as const),
      process: anyProcess,
      from: anyProcess,
      message: fc.constantFrom("x", "y"),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("crash" as const), process: anyProcess }) },
);

const anyHead: fc.Arbitrary<HistoryLine[]> = fc.constantFrom<HistoryLine[]>(
  [],
  [],
  [{ type: "history", format: "tidemark-history/1", complete: false }],
  [{ type: "group", group: "g", members: ["p1", "p2", "p3"] }],
  [{ type: "group", group: "h", members: ["p4", "p1"] }],
);

/** Any history. Few of them keep every promise. */
export const anyHistory: fc.Arbitrary<HistoryLine[]> = fc
  .tuple(anyHead, fc.array(anyEvent, { maxLength: 24, size: "max" }))
  .map(([head, events]) => [...head, ...possible(events)]);

/** Without what a history refuses: a message that has another's name, and events after a crash. */
function possible(events: readonly HistoryEvent[]): HistoryEvent[] {
  const names = new Set<string>();
  const crashed = new Set<string>();
  return events.filter((event) => {
    if (crashed.has(event.process)) return false;
    if (event.type === "crash") crashed.add(event.process);
    if (event.type !== "multicast" && event.type !== "send") return true;
    const name =
      event.type === "send"
        ? `${event.process} ${event.to} ${event.message}`
        : `${event.group} ${event.message}`;
    if (names.has(name)) return false;
    names.add(name);
    return true;
  });
}

export interface Ideal {
  readonly processes: number;
  readonly messages: number;
  /** `causal`: each delivers what it may; `causal-total`: all in one order. */
  readonly order: "causal" | "causal-total";
  /** Whether some are for one process alone. @default false */
  readonly addressed?: boolean;
}

/**
 * What a multicast leaves behind that keeps every promise. Each process multicasts or delivers at random; it may deliver a message
 * once it has delivered all that its sender had delivered or multicast before.
 */
export function idealHistory(
  random: Random,
  { processes, messages, order, addressed = false }: Ideal,
): HistoryEvent[] {
  const ids = Array.from({ length: processes }, (_, i) => `p${i + 1}`);
  const events: HistoryEvent[] = [];
  const multicast: {
    readonly sender: string;
    readonly past: ReadonlySet<number>;
    readonly to: string | undefined;
  }[] = [];
  const delivered = new Map(ids.map((id) => [id, new Set<number>()]));
  const own = new Map(ids.map((id) => [id, new Set<number>()]));
  for (;;) {
    const process = random.pick(ids) as string;
    const done = delivered.get(process) as Set<number>;
    const possible = [...multicast.keys()].filter(
      (m) => !done.has(m) && [...(multicast[m]?.past ?? [])].every((before) => done.has(before)),
    );
    const next = order === "causal" ? random.pick(possible) : possible[0];
    if (multicast.length < messages && (next === undefined || random.chance(0.3))) {
      const mine = own.get(process) as Set<number>;
      const past = new Set([...done, ...mine]);
      mine.add(multicast.length);
      const to = addressed && random.chance(0.4) ? random.pick(ids) : undefined;
      multicast.push({ sender: process, past, to });
      const message = multicast.length;
      const event: HistoryEvent = { type: "multicast", process, group: "g", message, order };
      events.push(to === undefined ? event : { ...event, to });
    } else if (next !== undefined) {
      done.add(next);
      const { sender, to = process } = multicast[next] as (typeof multicast)[number];
      // What is for another has its place and is no event.
      if (to === process)
        events.push({ type: "deliver", process, group: "g", message: next + 1, from: sender });
    } else if (ids.every((id) => delivered.get(id)?.size === messages)) return events;
  }
}

/** Nearly ideal: a few messages have another level, a few events are somewhere else, missing, repeated or new. */
export const anySpoiltHistory: fc.Arbitrary<HistoryLine[]> = fc
  .tuple(anyHead, fc.integer(), fc.constantFrom<Ideal["order"]>("causal", "causal-total"))
  .map(([head, seed, order]) => {
    const random = new Random(seed);
    const size = { processes: random.between(2, 4), messages: random.between(2, 5), order };
    let events = idealHistory(random, { ...size, addressed: random.chance(0.3) });
    if (random.chance(0.5))
      events = events.map((event) =>
        event.type === "multicast"
          ? { ...event, order: random.pick(Object.keys(ORDER_LEVELS) as OrderLevel[]) ?? order }
          : event,
      );
    for (let edits = random.below(6); edits > 0; edits -= 1) edit(random, events);
    return [...head, ...possible(random.chance(0.5) ? shuffled(random, events) : events)];
  });

function edit(random: Random, events: HistoryEvent[]): void {
  const at = random.below(events.length);
  const to = random.below(events.length);
  const event = events[at] as HistoryEvent;
  const { process } = event;
  const other = random.pick(events)?.process ?? process;
  switch (random.below(6)) {
    case 0:
      events.splice(at, 1);
      break;
    case 1:
      events.splice(to, 0, event);
      break;
    case 2:
      events.splice(at, 1);
      events.splice(to, 0, event);
      break;
    case 3:
      events.splice(at, 0, { type: "crash", process });
      break;
    case 4: {
      const message = `x${events.length}`;
      events.splice(Math.max(at, to), 0, {
        type: "receive",
        process: other,
        from: process,
        message,
      });
      events.splice(Math.min(at, to), 0, { type: "send", process, to: other, message });
      break;
    }
    default: {
      const second = events.findIndex((one, i) => i > at && one.process === process);
      if (second < 0) break;
      events[at] = events[second] as HistoryEvent;
      events[second] = event;
    }
  }
}

/** The same history, with the events of different processes in any other order between each other. */
export function shuffled(random: Random, events: readonly HistoryEvent[]): HistoryEvent[] {
  const left = new Map<string, HistoryEvent[]>();
  for (const event of events) left.set(event.process, [...(left.get(event.process) ?? []), event]);
  const mixed: HistoryEvent[] = [];
  while (left.size > 0) {
    const process = random.pick([...left.keys()]) as string;
    const own = left.get(process) as HistoryEvent[];
    mixed.push(own.shift() as HistoryEvent);
    if (own.length === 0) left.delete(process);
  }
  return mixed;
}
