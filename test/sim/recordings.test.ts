/** What is recorded of simulated worlds, beside what their applications have written down themselves. */

import { describe, expect, test } from "vitest";
import type { ProcessId } from "../../src/core/id.ts";
import { ORDER_LEVELS, type OrderLevel } from "../../src/core/order-level.ts";
import type { Application, Turn } from "../../src/process/application.ts";
import { jsonCodec } from "../../src/process/codec.ts";
import { Grouped, groupedCodecs } from "../../src/process/grouped.ts";
import type { World } from "../../src/sim/world.ts";
import {
  drawFaults,
  type Faults,
  runWorld,
  type SeenSnapshot,
  type Simulation,
} from "../../src/sim.ts";
import { CausalOrder } from "../../src/trace/causal-order.ts";
import { parseHistory } from "../../src/trace/history.ts";
import { checkHistory } from "../../src/trace/promises.ts";
import type { RecordedEvent, RecorderOptions, Recording } from "../../src/trace/recorder.ts";
import { traceLines } from "../../src/trace/recording.ts";
import { parseTrace, type Trace } from "../../src/trace/trace.ts";
import { seeds } from "../support/soak.ts";

/** A message, and how much of each writer its sender had seen or done by then. */
interface Note {
  readonly id: string;
  readonly seen: Readonly<Record<string, number>>;
}

/** What an application has done with messages. */
interface Entry {
  readonly type: "send" | "receive";
  readonly peer: ProcessId;
  readonly id: string;
  /** All entries of a turn have the same, and other turns another one. */
  readonly turn: number;
}

/** Which turn it is, seen from outside; in a replay, which one it was. */
class Turns {
  now: () => number = () => 0;
  readonly #known = new Map<string, number>();

  of(turn: Turn<Note>, what: string): number {
    const key = `${turn.self} ${what}`;
    const number = turn.replays ? (this.#known.get(key) ?? 0) : this.now();
    this.#known.set(key, number);
    return number;
  }
}

interface WriterState {
  readonly name: string;
  readonly seen: Record<string, number>;
  readonly entries: Entry[];
  readonly budget: number;
}

/** Sends at random, answers at random, and writes down what it does: its messages say what happened before them. */
class Writer implements Application<Note, WriterState> {
  name = "";
  seen: Record<string, number> = {};
  entries: Entry[] = [];
  budget = 25;
  readonly #turns: Turns;

  constructor(turns: Turns) {
    this.#turns = turns;
  }

  start(turn: Turn<Note>): void {
    this.name = `${turn.self}~${turn.random.below(2 ** 30)}`;
    turn.setTimer("write", turn.random.below(5));
    this.#write(turn);
  }

  timer(_name: string, turn: Turn<Note>): void {
    for (let i = turn.random.between(1, 4); i > 0; i -= 1) this.#write(turn);
    if (this.budget > 0) turn.setTimer("write", turn.random.between(1, 30));
  }

  receive(from: ProcessId, { id, seen }: Note, turn: Turn<Note>): void {
    for (const [name, count] of Object.entries(seen))
      this.seen[name] = Math.max(this.seen[name] ?? 0, count);
    const number = this.#turns.of(turn, `receives ${id}`);
    this.entries.push({ type: "receive", peer: from, id, turn: number });
    if (turn.random.chance(0.3)) this.#write(turn);
  }

  capture(): WriterState {
    return structuredClone({
      ...{ name: this.name, seen: this.seen, entries: this.entries, budget: this.budget },
    });
  }

  restore(state: WriterState): void {
    Object.assign(this, structuredClone(state));
  }

  values(): Readonly<Record<string, unknown>> {
    return { written: 25 - this.budget, read: this.entries.length };
  }

  #write(turn: Turn<Note>): void {
    const to = turn.random.pick(turn.peers);
    if (to === undefined || this.budget === 0) return;
    this.budget -= 1;
    const count = 25 - this.budget;
    this.seen[this.name] = count;
    const id = `${this.name}#${count}`;
    this.entries.push({ type: "send", peer: to, id, turn: this.#turns.of(turn, `sends ${id}`) });
    turn.send(to, { id, seen: { ...this.seen } });
  }
}

interface Run {
  readonly recordings: readonly Recording[];
  readonly lives: ReadonlyMap<ProcessId, readonly Writer[]>;
  readonly snapshots: readonly SeenSnapshot<Note, WriterState>[];
  readonly traceHash: string;
}

type WriterWorld = World<Note, WriterState>;

/** A world of writers by the seed, and the writer of each life of each process. */
function writers(
  seed: number,
  turns: Turns,
): { world: WriterWorld; lives: Map<ProcessId, Writer[]> } {
  const processes = Array.from({ length: 2 + (seed % 3) }, (_, i) => `p${i + 1}`);
  const lives = new Map<ProcessId, Writer[]>(processes.map((id) => [id, []]));
  const logsInputs = seed % 4 === 1;
  const application = (id: ProcessId): Writer => {
    const writer = new Writer(turns);
    const known = lives.get(id) as Writer[];
    // With its log it is the same one that goes on.
    if (logsInputs) known.splice(0, 1, writer);
    else known.push(writer);
    return writer;
  };
  const order = seed % 5 === 2 ? "none" : "fifo";
  const algorithm = order === "none" || seed % 7 === 3 ? "lai-yang" : "chandy-lamport";
  const snapshots = [...processes, ...processes];
  return { world: { processes, application, snapshots, order, algorithm, logsInputs }, lives };
}

/** Nobody is restored: then what an application has written down is what its life has done. */
function faultsOf(seed: number): Faults {
  return { ...drawFaults(seed), fromSnapshot: 0 };
}

function run(seed: number, record?: RecorderOptions, faults = faultsOf(seed)): Run {
  const turns = new Turns();
  const { world, lives } = writers(seed, turns);
  let simulation: Simulation<Note, WriterState> | undefined;
  const { traceHash } = runWorld(world, {
    ...{ seed, faults, ...(record && { record }) },
    prepare: (made) => {
      simulation = made;
      turns.now = () => made.events;
    },
  });
  const { recordings = [], view } = simulation ?? {};
  return { recordings, lives, snapshots: view?.snapshots ?? [], traceHash };
}

/** What an event of a recording was about: in a trace, and by what the application says. */
interface Told {
  /** The index in the trace. */
  readonly event: number;
  readonly recorded: RecordedEvent;
  readonly entries: readonly Entry[];
}

/** Of each process of the trace its sends and receives of messages, with what its application wrote down of each. */
function tellApart({ recordings, lives }: Run, trace: Trace): Map<string, Told[]> {
  const told = new Map<string, Told[]>();
  for (const recording of recordings)
    for (const life of recording.lives.keys()) {
      const own = recording.events.filter((event) => event.life === life);
      const first = own[0];
      if (!first) continue;
      const name = life === 0 ? recording.process : `${recording.process}.${life + 1}`;
      const timeline = trace.timelines[trace.processes.indexOf(name)] as Int32Array;
      expect(timeline.length).toBe(own.length);
      const writer = lives.get(recording.process)?.[life] as Writer;
      const rest = new Map<string, Entry[]>();
      for (const entry of writer.entries) {
        const key = `${entry.type} ${entry.peer}`;
        rest.set(key, [...(rest.get(key) ?? []), entry]);
      }
      const list: Told[] = [];
      for (const [i, recorded] of own.entries()) {
        const { type, peer, count = 0, snapshot } = recorded;
        if ((type !== "send" && type !== "receive") || snapshot !== undefined) continue;
        const entries = rest.get(`${type} ${peer}`)?.splice(0, count) ?? [];
        expect(entries.length, "each message is recorded").toBe(count);
        list.push({ event: timeline[i] as number, recorded, entries });
      }
      expect([...rest.values()].flat(), "nothing is missing").toEqual([]);
      told.set(name, list);
    }
  return told;
}

const idOf = (name: string): readonly [writer: string, number: number] => {
  const [writer = "", number] = name.split("#");
  return [writer, Number(number)];
};

/** What is wrong with the order of a trace, by what the applications wrote down. */
function flawsOfOrder(trace: Trace, told: ReadonlyMap<string, readonly Told[]>): string[] {
  const flaws: string[] = [];
  const order = new CausalOrder(trace);
  const all = [...told.values()].flat();
  const sentBy = new Map<string, Told>();
  for (const one of all)
    if (one.recorded.type === "send") for (const { id } of one.entries) sentBy.set(id, one);
  const atOrBefore = (a: number, b: number): boolean => a === b || order.happensBefore(a, b);

  // Each turn comes after those before it, and after those in which was sent what it receives.
  const turns = new Map<string, { readonly own: string; readonly before: Map<string, number> }>();
  const turnOf = (name: string, { entries }: Told): string => `${name} ${entries[0]?.turn}`;
  const next = new Map([...told.keys()].map((name) => [name, 0]));
  const clocks = new Map<string, Map<string, number>>();
  for (let more = true; more; ) {
    more = false;
    for (const [name, list] of told) {
      const one = list[next.get(name) as number];
      if (!one) continue;
      // All of one turn at once.
      const key = turnOf(name, one);
      const whole = list.filter((other) => turnOf(name, other) === key);
      const sources = whole
        .filter(({ recorded }) => recorded.type === "receive")
        .flatMap(({ entries }) => entries.map(({ id }) => sentBy.get(id)))
        .filter((source) => source !== undefined)
        .map((source) => {
          const sender = [...told].find(([, others]) => others.includes(source))?.[0] ?? "";
          return turnOf(sender, source);
        });
      if (sources.some((source) => source !== key && !turns.has(source))) continue;
      const before = new Map(clocks.get(name));
      for (const source of sources)
        for (const [who, count] of turns.get(source)?.before ?? [])
          before.set(who, Math.max(before.get(who) ?? 0, count));
      before.set(name, (before.get(name) ?? 0) + 1);
      clocks.set(name, before);
      turns.set(key, { own: name, before });
      next.set(name, (next.get(name) as number) + whole.length);
      more = true;
    }
  }
  if ([...told].some(([name, list]) => next.get(name) !== list.length))
    flaws.push("what the applications say goes round in a circle");
  const turnAtOrBefore = (a: string, b: string): boolean => {
    const one = turns.get(a);
    const count = one?.before.get(one.own) ?? Number.POSITIVE_INFINITY;
    return (turns.get(b)?.before.get(one?.own ?? "") ?? 0) >= count;
  };

  for (const [name, list] of told)
    for (const one of list)
      for (const [other, others] of told)
        for (const two of others) {
          if (one === two) continue;
          // No more than turns allow.
          if (
            order.happensBefore(one.event, two.event) &&
            !turnAtOrBefore(turnOf(name, one), turnOf(other, two))
          )
            flaws.push(`${one.event} is not before ${two.event}`);
          // No less than messages say.
          if (two.recorded.type === "receive" && one.recorded.type === "send") {
            const passes = two.entries.some(({ id }) => one.entries.some((sent) => sent.id === id));
            if (passes && !order.happensBefore(one.event, two.event))
              flaws.push(`${one.event} is sent, and received by ${two.event}`);
          }
        }
  return flaws.length > 0 ? flaws : flawsOfChains(told, sentBy, atOrBefore);
}

/** Message by message: whoever had seen a message when it sent another has sent that one later. */
function flawsOfChains(
  told: ReadonlyMap<string, readonly Told[]>,
  sentBy: ReadonlyMap<string, Told>,
  atOrBefore: (a: number, b: number) => boolean,
): string[] {
  const flaws: string[] = [];
  for (const list of told.values()) {
    const seen = new Map<string, number>();
    for (const one of list)
      for (const { id } of one.entries) {
        const [writer, number] = idOf(id);
        seen.set(writer, Math.max(seen.get(writer) ?? 0, number));
        for (const [other, count] of seen) {
          const source = sentBy.get(`${other}#${count}`);
          if (source && !atOrBefore(source.event, one.event))
            flaws.push(`${other}#${count} was seen before ${id} was sent or received`);
        }
      }
  }
  return flaws;
}

/** What is wrong with the cuts of snapshots in a trace, by what was stored of them; and how many there were to look at. */
function flawsOfCuts(
  { snapshots, recordings }: Run,
  trace: Trace,
  told: ReadonlyMap<string, readonly Told[]>,
): { readonly flaws: string[]; readonly looked: number; readonly inFlight: number } {
  const order = new CausalOrder(trace);
  const flaws: string[] = [];
  let inFlight = 0;
  for (const { id, inFlight: channels, states } of snapshots) {
    const cut = order.cutOf(id);
    if (!order.isConsistent(cut)) flaws.push(`the cut of ${id} is not consistent`);
    if (order.orphans(cut).length > 0) flaws.push(`${id} has orphans`);
    const inside = ({ event }: Told): boolean => {
      const { process = 0, position = 0 } = trace.events[event] ?? {};
      return position < (cut[process] as number);
    };
    /** The life of a process that recorded, as it is called. */
    const lifeOf = (process: ProcessId): string =>
      [...told.keys()]
        .filter((name) => name === process || name.startsWith(`${process}.`))
        .filter((name) =>
          trace.timelines[trace.processes.indexOf(name)]?.some((event) => {
            const { type, snapshot } = trace.events[event] ?? {};
            return type === "record" && snapshot === id;
          }),
        )
        .at(-1) ?? process;
    for (const from of recordings.map(({ process }) => process))
      for (const to of recordings.map(({ process }) => process)) {
        const [sender, receiver] = [lifeOf(from), lifeOf(to)];
        const ids = (name: string, type: "send" | "receive", peer: string): string[] =>
          (told.get(name) ?? [])
            .filter((one) => one.recorded.type === type && inside(one))
            .filter(({ event }) => trace.events[event]?.peer === peer)
            .flatMap(({ entries }) => entries.map((entry) => entry.id));
        const received = new Set(ids(receiver, "receive", sender));
        const left = ids(sender, "send", receiver).filter((one) => !received.has(one));
        const stored =
          channels
            .find((channel) => channel.from === from && channel.to === to)
            ?.messages.map((message) => message.id) ?? [];
        inFlight += stored.length;
        if (`${left.sort()}` !== `${[...stored].sort()}`)
          flaws.push(`${id}, ${from} → ${to}: ${left} crosses the cut, and ${stored} is stored`);
      }
    // The values at the cut are those that were recorded.
    for (const [process, state] of Object.entries(states)) {
      const name = lifeOf(process);
      const p = trace.processes.indexOf(name);
      let values: Record<string, unknown> = {};
      for (const event of trace.timelines[p]?.subarray(0, cut[p]) ?? [])
        values = { ...values, ...trace.events[event]?.values };
      const { budget, entries } = state as WriterState;
      const expected = { written: 25 - budget, read: entries.length };
      if (JSON.stringify(values) !== JSON.stringify(expected))
        flaws.push(`${id}: ${process} has ${JSON.stringify(values)} at the cut`);
    }
  }
  return { flaws, looked: snapshots.length, inFlight };
}

/** Markers carry order, too, of which applications know nothing. */
const withoutMarkers = (done: Run): Run => ({
  ...done,
  recordings: done.recordings.map((one) => ({
    ...one,
    events: one.events.filter(({ type, snapshot }) => type === "record" || snapshot === undefined),
  })),
});

const linesOf = (recordings: readonly Recording[]): string[] => [
  ...traceLines(recordings, { complete: true }),
];

describe("what is recorded of a simulated world", () => {
  test("has the order in which its applications did what they did, and the cuts of its snapshots", () => {
    let [snapshots, inFlight, lives] = [0, 0, 0];
    for (const seed of seeds("recordings", 12, 20_000)) {
      const place = `SEED=${seed}`;
      const done = run(seed, {});
      const bare = withoutMarkers(done);
      const unmarked = parseTrace(linesOf(bare.recordings).join("\n"));
      expect(flawsOfOrder(unmarked, tellApart(bare, unmarked)), place).toEqual([]);
      const trace = parseTrace(linesOf(done.recordings).join("\n"));
      expect(trace.unexplained, place).toEqual([]);
      const told = tellApart(done, trace);
      const cuts = flawsOfCuts(done, trace, told);
      expect(cuts.flaws, place).toEqual([]);
      snapshots += cuts.looked;
      inFlight += cuts.inFlight;
      lives += trace.processes.length - done.recordings.length;
    }
    expect([snapshots > 0, inFlight > 0, lives > 0]).toEqual([true, true, true]);
  }, 86_400_000);

  test("changes nothing that happens", () => {
    for (const seed of seeds("recordings-undisturbed", 8, 2_000)) {
      const faults = drawFaults(seed);
      const [off, on] = [run(seed, undefined, faults), run(seed, { text: true }, faults)];
      expect(on.traceHash, `SEED=${seed}`).toBe(off.traceHash);
      expect(off.recordings).toEqual([]);
    }
  }, 86_400_000);

  test("a restore begins other processes, and what was in flight comes from nowhere that is known", () => {
    let [again, restored] = [0, 0];
    for (const seed of seeds("recordings-restored", 8, 2_000)) {
      const place = `SEED=${4 * seed + 1}`;
      const faults = { ...drawFaults(4 * seed + 1), crashes: 2, fromSnapshot: 1 };
      const { recordings, snapshots } = run(4 * seed + 1, {}, faults);
      const trace = parseTrace(linesOf(recordings).join("\n"));
      const order = new CausalOrder(trace);
      for (const { id } of snapshots) {
        const cut = order.cutOf(id);
        expect(order.orphans(cut), place).toEqual([]);
      }
      for (const event of trace.unexplained)
        expect(String(trace.events[event]?.message), place).toMatch(/^in flight /);
      again += trace.unexplained.length;
      restored += recordings.filter(({ lives }) => lives.some(({ epoch }) => epoch > 1)).length;
    }
    expect([again > 0, restored > 0]).toEqual([true, true]);
  }, 86_400_000);

  test("the newest events are kept, and it is said that others are lost", () => {
    for (const seed of [3, 4, 9]) {
      const [all, newest] = [run(seed, {}).recordings, run(seed, { events: 16 }).recordings];
      for (const [i, { events, lost, lives }] of newest.entries()) {
        const whole = all[i]?.events ?? [];
        // Whoever took steps once more has lost what it wrote over the first time.
        if (seed % 4 !== 1) expect(lost).toBe(Math.max(0, whole.length - 16));
        const rest = (one: readonly RecordedEvent[]): unknown[] =>
          one.map(({ values: _, ...event }) => event);
        expect(rest(events)).toEqual(rest(events.length === 0 ? [] : whole.slice(-events.length)));
        // Values that have not changed since then are told of at the first of them.
        const lastLife = lives.length - 1;
        const valuesIn = (one: readonly RecordedEvent[]): object =>
          Object.assign({}, ...one.filter(({ life }) => life === lastLife).map((e) => e.values));
        if (events[0]?.life === lastLife) expect(valuesIn(events)).toEqual(valuesIn(whole));
        expect(lives).toEqual(all[i]?.lives);
      }
      const lines = linesOf(newest);
      expect(JSON.parse(lines[0] ?? "")).toMatchObject({ complete: false, late: true });
      const trace = parseTrace(lines.join("\n"));
      for (const event of trace.unexplained) expect(trace.events[event]?.type).toBe("receive");
      const verdicts = checkHistory(parseHistory(lines.join("\n")));
      expect(verdicts.filter(({ holds }) => holds === false)).toEqual([]);
    }
  });

  test("sampled, both ends keep the same messages, and all that belongs to snapshots", () => {
    const passes = ({ events, processes, arrows }: Trace): string[] =>
      arrows.map(({ from, to }) => {
        const [a, b] = [events[from], events[to]];
        return `${processes[a?.process ?? 0]} ${processes[b?.process ?? 0]} ${a?.message}`;
      });
    for (const seed of [2, 3, 4, 6]) {
      const all = passes(parseTrace(linesOf(run(seed, {}).recordings).join("\n")));
      const { recordings, snapshots } = run(seed, { every: 3 });
      const trace = parseTrace(linesOf(recordings).join("\n"));
      expect(trace.unexplained).toEqual([]);
      const kept = passes(trace);
      expect(kept.length).toBeGreaterThan(0);
      expect(kept.length).toBeLessThan(all.length);
      expect(kept.filter((one) => !all.includes(one))).toEqual([]);
      const order = new CausalOrder(trace);
      for (const { id } of snapshots) expect(order.orphans(order.cutOf(id))).toEqual([]);
    }
  });

  test("control: numbers that are off by one, and a record that comes too late, are found", () => {
    let [orders, cuts, looked] = [0, 0, 0];
    for (const seed of [2, 3, 4, 6, 8, 10]) {
      const done = run(seed, {});
      const bare = withoutMarkers(done);
      const shifted = linesOf(bare.recordings).map((line) =>
        line.includes('"type":"receive"')
          ? line.replace(/"message":(\d+)/, (_, number) => `"message":${Number(number) + 1}`)
          : line,
      );
      const trace = parseTrace(shifted.join("\n"));
      try {
        if (flawsOfOrder(trace, tellApart(bare, trace)).length > 0) orders += 1;
      } catch (error) {
        expect(String(error)).toContain("no order of the events is possible");
        orders += 1;
      }
      // Each record behind the next message that is received.
      const late = {
        ...done,
        recordings: done.recordings.map((one) => {
          const events = [...one.events];
          for (let i = events.length - 1; i >= 0; i -= 1) {
            if (events[i]?.type !== "record") continue;
            const next = events.findIndex(
              ({ type, snapshot, life }, j) =>
                j > i && type === "receive" && snapshot === undefined && life === events[i]?.life,
            );
            if (next > i) events.splice(next, 0, ...events.splice(i, 1));
          }
          return { ...one, events };
        }),
      };
      const changed = parseTrace(linesOf(late.recordings).join("\n"));
      const { flaws } = flawsOfCuts(late, changed, tellApart(late, changed));
      looked += done.snapshots.length;
      if (flaws.length > 0) cuts += 1;
    }
    expect(looked).toBeGreaterThan(0);
    expect([orders, cuts > 3]).toEqual([6, true]);
  });
});

/** Talks in a group, at every level of order, and to one member alone now and then. */
function talkers(seed: number, told: string[]): World<Uint8Array, unknown> {
  const processes = ["p1", "p2", "p3"];
  const codecs = { messageCodec: jsonCodec<number>(), stateCodec: jsonCodec<unknown>() };
  const levels = Object.keys(ORDER_LEVELS) as OrderLevel[];
  const application = (self: ProcessId): Grouped<number, number, never, never> => {
    let left = 12;
    return new Grouped<number, number, never, never>({
      ...{ self, messageCodec: codecs.messageCodec },
      groups: { talk: { members: processes, total: seed % 2 === 0 ? "agreed" : "sequencer" } },
      application: {
        start: (turn) => turn.setTimer("talk", turn.random.below(5)),
        timer: (_name, turn) => {
          for (let i = turn.random.between(1, 3); i > 0 && left > 0; i -= 1, left -= 1) {
            const order = turn.random.pick(levels) as OrderLevel;
            if (turn.random.chance(0.2)) turn.send(turn.peers, left, { group: "talk", order });
            else turn.multicast("talk", left, { order });
          }
          if (left > 0) turn.setTimer("talk", turn.random.between(1, 20));
        },
        receive: () => {},
        deliver: () => {},
        capture: () => left,
        restore: (state) => {
          left = state;
        },
      },
      onEvent: (event) => told.push(JSON.stringify(event)),
    });
  };
  return {
    ...{ processes, application, snapshots: processes },
    ...groupedCodecs<number, number>(codecs),
  };
}

test("what groups multicast and deliver is recorded, packet by packet, and keeps all promises", () => {
  let delivered = 0;
  for (const seed of seeds("recordings-groups", 6, 2_000)) {
    const place = `SEED=${seed}`;
    const told: string[] = [];
    let simulation: Simulation<Uint8Array, unknown> | undefined;
    runWorld(talkers(seed, told), {
      ...{ seed, faults: { ...drawFaults(seed), crashes: 0 }, record: {} },
      prepare: (made) => {
        simulation = made;
      },
    });
    const lines = linesOf(simulation?.recordings ?? []);
    const history = parseHistory(lines.join("\n"));
    expect(history.complete, place).toBe(true);
    for (const verdict of checkHistory(history, { uniform: true }))
      expect([verdict.holds, verdict], place).toEqual([true, verdict]);
    /** Each message of a packet by itself, as `onEvent` tells of them. */
    const single = lines
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter(({ type }) => type === "multicast" || type === "deliver")
      .flatMap(({ process, group, type, message, count = 1 }) =>
        Array.from({ length: count as number }, (_, i) =>
          [process, group, type, `${message}.${i + 1}`].join(" "),
        ),
      );
    const expected = told.map((line) => {
      const { process, group, type, message } = JSON.parse(line);
      return [process, group, type, message].join(" ");
    });
    expect(single.sort(), place).toEqual(expected.sort());
    delivered += history.counts.deliveries;
  }
  expect(delivered).toBeGreaterThan(0);
}, 86_400_000);
