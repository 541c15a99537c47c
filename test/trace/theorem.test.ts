// Chandy and Lamport 1985, "Distributed Snapshots: Determining Global States of Distributed Systems", §4, Theorem 1: the
// events of a run can be put in another order, in which the system passes the recorded state and comes to the same
// end. Shipping snapshot machines run, what happens is written down, and it happens again in the other order.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { ProcessId, SnapshotId } from "../../src/core/id.ts";
import { Random } from "../../src/core/random.ts";
import { Topology } from "../../src/core/topology.ts";
import type { SnapshotEffect } from "../../src/snapshot/recordings.ts";
import { type ChannelEvent, findFlaw, inFlight, permute } from "../../src/trace/permute.ts";
import { BareSystem, textsOf } from "../support/bare-system.ts";
import { cases } from "../support/soak.ts";
import { topologyOf } from "../support/worlds.ts";

/** An application. What it does when it is told to depends on nothing but its state. */
interface Actor {
  /** Another value each time that it changes. */
  readonly state: unknown;
  work(): void;
  /** Gives the message, which says something about the state. */
  send(to: ProcessId): string;
  receive(from: ProcessId, message: string): void;
}

const MONEY = 100;

/** An account. How much it sends depends on all that went before, and in which order. */
class Account implements Actor {
  state: { readonly balance: number; readonly sent: number; readonly past: number } = {
    balance: MONEY,
    sent: 0,
    past: 7,
  };
  readonly #id: ProcessId;

  constructor(id: ProcessId) {
    this.#id = id;
  }

  work(): void {
    this.#become(0, 1);
  }

  send(to: ProcessId): string {
    const { balance, past } = this.state;
    const amount = past % (balance + 1);
    this.#become(-amount, Number(to.slice(1)) + 10);
    const sent = this.state.sent + 1;
    this.state = { ...this.state, sent };
    return `${this.#id}.${sent}: ${amount}`;
  }

  receive(from: ProcessId, message: string): void {
    const amount = amountOf(message);
    this.#become(amount, Number(from.slice(1)) + 100 + amount);
  }

  #become(more: number, what: number): void {
    const { balance, sent, past } = this.state;
    this.state = { balance: balance + more, sent, past: (Math.imul(past, 31) + what) >>> 0 };
  }
}

const amountOf = (message: string): number => Number(message.split(": ")[1]);

/** The states of all processes, and of all channels that are not empty. */
interface GlobalState {
  readonly states: ReadonlyMap<ProcessId, unknown>;
  readonly channels: ReadonlyMap<string, readonly (string | number)[]>;
}

/** Where two global states differ. */
function differences(one: GlobalState, other: GlobalState): string[] {
  const places: string[] = [];
  for (const part of ["states", "channels"] as const)
    for (const place of new Set([...one[part].keys(), ...other[part].keys()]))
      if (JSON.stringify(one[part].get(place)) !== JSON.stringify(other[part].get(place)))
        places.push(place);
  return places.sort();
}

/** What is known of one snapshot from outside the machines. */
interface Watched {
  /** How many events each process had had when it recorded. */
  readonly cut: Map<ProcessId, number>;
  /** How long the trace was when the snapshot began, and when its last piece was complete. */
  readonly begun: number;
  complete: number;
  left: number;
}

/** Applications over shipping snapshot machines, and the trace of what they did. */
class Recorded {
  readonly trace: ChannelEvent[] = [];
  readonly watched: Map<SnapshotId, Watched> = new Map();
  readonly topology: Topology;
  readonly #system: BareSystem;
  readonly #actors: ReadonlyMap<ProcessId, Actor>;

  constructor(topology: Topology, begin: (id: ProcessId) => Actor) {
    this.topology = topology;
    this.#system = new BareSystem(topology);
    this.#actors = new Map(topology.processes.map((id) => [id, begin(id)]));
    for (const [id, { state }] of this.#actors) this.#system.states.set(id, state);
  }

  work(process: ProcessId): void {
    this.#actor(process).work();
    this.#did({ type: "internal", process });
  }

  send(process: ProcessId, to: ProcessId): void {
    const message = this.#actor(process).send(to);
    this.#system.send(process, to, message);
    this.#did({ type: "send", process, to, message });
  }

  /** Takes the head of that channel. A marker is no event: it changes nothing that the applications see. */
  receive(process: ProcessId, from: ProcessId): void {
    const message = this.#system.receive(from, process);
    if (typeof message !== "string") {
      this.#note(process, message);
      return;
    }
    this.#actor(process).receive(from, message);
    this.#did({ type: "receive", process, from, message });
  }

  initiate(process: ProcessId, snapshot: SnapshotId): void {
    const begun = this.trace.length;
    const left = this.topology.processes.length;
    this.watched.set(snapshot, { cut: new Map(), begun, complete: begun, left });
    this.#note(process, this.#system.initiate(process, snapshot));
  }

  /** The channels that are not empty, markers included. */
  busy(): readonly [from: ProcessId, to: ProcessId][] {
    return this.#system.busy();
  }

  /** What the machines say. */
  snapshot(id: SnapshotId): GlobalState {
    const records = [...(this.#system.records.get(id) ?? [])];
    const channels = records.flatMap(([to, { recorded }]) =>
      (recorded?.incoming ?? []).map(
        ({ from, messages }) => [`${from} → ${to}`, textsOf(messages)] as const,
      ),
    );
    return {
      states: new Map(records.map(([process, { state }]) => [process, state])),
      channels: new Map(channels.filter(([, messages]) => messages.length > 0)),
    };
  }

  now(): GlobalState {
    return globalState(this.#actors, this.trace);
  }

  #did(event: ChannelEvent): void {
    this.trace.push(event);
    this.#system.states.set(event.process, this.#actor(event.process).state);
  }

  #note(process: ProcessId, effects: readonly SnapshotEffect[]): void {
    for (const effect of effects) {
      if (effect.type === "record") {
        const events = this.trace.filter((event) => event.process === process).length;
        this.watched.get(effect.marker.snapshot)?.cut.set(process, events);
      } else if (effect.type === "complete") {
        const watched = this.watched.get(effect.snapshot) as Watched;
        watched.left -= 1;
        watched.complete = this.trace.length;
      }
    }
  }

  #actor(id: ProcessId): Actor {
    return this.#actors.get(id) as Actor;
  }
}

function globalState(
  actors: ReadonlyMap<ProcessId, Actor>,
  trace: readonly ChannelEvent[],
): GlobalState {
  return {
    states: new Map([...actors].map(([id, { state }]) => [id, state])),
    channels: new Map(
      inFlight(trace).map(({ from, to, messages }) => [`${from} → ${to}`, messages]),
    ),
  };
}

/** Lets a trace happen to fresh applications; gives the global state before each event, and the last one. */
function* replay(
  topology: Topology,
  begin: (id: ProcessId) => Actor,
  trace: readonly ChannelEvent[],
): Generator<GlobalState> {
  const actors = new Map(topology.processes.map((id) => [id, begin(id)]));
  for (const [index, event] of trace.entries()) {
    yield globalState(actors, trace.slice(0, index));
    const actor = actors.get(event.process) as Actor;
    if (event.type === "internal") actor.work();
    else if (event.type === "receive") actor.receive(event.from, `${event.message}`);
    else if (actor.send(event.to) !== event.message)
      throw new Error(`event ${index}: ${event.process} does not send ${event.message} now`);
  }
  yield globalState(actors, trace);
}

const account = (id: ProcessId): Account => new Account(id);

/** A run of accounts at random, with up to four snapshots under way at a time, until all is received. */
function runOf(seed: number): Recorded {
  const random = new Random(`theorem ${seed}`);
  const topology = topologyOf(random, random.between(2, 6));
  const able = topology.processes.filter((id) => topology.unreachableFrom(id).length === 0);
  const run = new Recorded(topology, account);
  const pick = <T>(items: readonly T[]): T => random.pick(items) as T;
  const act = (): void => {
    const process = pick(topology.processes);
    const outgoing = topology.outgoing(process);
    if (random.chance(0.15)) run.work(process);
    else if (random.chance(0.45) && outgoing.length > 0) run.send(process, pick(outgoing));
    else if (run.busy().length > 0) {
      const [from, to] = pick(run.busy());
      run.receive(to, from);
    }
  };
  for (let i = 0; i < 10; i += 1) act();
  for (let count = 1, left = random.between(1, 4); count <= left; count += 1) {
    const initiator = pick(able);
    run.initiate(initiator, `${initiator}/${count}`);
    for (let i = random.below(12); i > 0; i -= 1) act();
  }
  for (let i = 0; i < 25; i += 1) act();
  while (run.busy().length > 0) {
    const [from, to] = pick(run.busy());
    run.receive(to, from);
  }
  return run;
}

describe("§4, Theorem 1, on runs of the shipping machines", () => {
  test("the permuted run is a run: it passes the recorded state, and ends as the run did", () => {
    const seen = { inFlight: 0, moved: 0, neverOccurred: 0, overlapping: 0, snapshots: 0 };
    for (let seed = 1; seed <= cases("theorem", 400, 30_000); seed += 1) {
      const run = runOf(seed);
      const { trace, topology } = run;
      const occurred = new Set([...replay(topology, account, trace)].map(textOf));
      let complete = 0;
      for (const [id, watched] of run.watched) {
        const place = `seed ${seed}, ${id}`;
        expect(watched.left, place).toBe(0);
        const { before, after, flaw } = permute(trace, watched.cut);
        expect(flaw, place).toBeUndefined();
        const permuted = [...before, ...after];
        const states = [...replay(topology, account, permuted)];
        const reached = states[before.length] as GlobalState;
        const snapshot = run.snapshot(id);
        expect(differences(snapshot, reached), place).toEqual([]);
        expect(differences(states.at(-1) as GlobalState, run.now()), place).toEqual([]);
        // What happened before the snapshot began, and after it was complete, keeps its place.
        expect(permuted.slice(0, watched.begun), place).toEqual(trace.slice(0, watched.begun));
        expect(permuted.slice(watched.complete), place).toEqual(trace.slice(watched.complete));
        expect(before.length, place).toBeGreaterThanOrEqual(watched.begun);
        expect(before.length, place).toBeLessThanOrEqual(watched.complete);
        seen.snapshots += 1;
        if (snapshot.channels.size > 0) seen.inFlight += 1;
        if (permuted.some((event, index) => event !== trace[index])) seen.moved += 1;
        if (!occurred.has(textOf(snapshot))) seen.neverOccurred += 1;
        if (watched.begun < complete) seen.overlapping += 1;
        complete = Math.max(complete, watched.complete);
      }
    }
    // Sometimes: it was worth looking.
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(100);
  });

  test("the swaps of the proof give the same order, and every order on the way is a run to the same end", () => {
    let swaps = 0;
    for (let seed = 1; seed <= 60; seed += 1) {
      const run = runOf(seed);
      const end = textOf(run.now());
      for (const { cut } of run.watched.values()) {
        const { before, after } = permute(run.trace, cut);
        const inside = new Set(before);
        const order = [...run.trace];
        const wrong = (): number =>
          order.findIndex(
            (event, i) => i > 0 && inside.has(event) && !inside.has(order[i - 1] as ChannelEvent),
          );
        for (let i = wrong(); i > 0; i = wrong()) {
          order.splice(i - 1, 2, order[i] as ChannelEvent, order[i - 1] as ChannelEvent);
          swaps += 1;
          expect(findFlaw(order)).toBeUndefined();
        }
        expect(order).toEqual([...before, ...after]);
        expect(textOf([...replay(run.topology, account, order)].at(-1) as GlobalState)).toBe(end);
      }
    }
    expect(swaps).toBeGreaterThan(1000);
  });
});

/** The same text for equal global states. */
function textOf({ states, channels }: GlobalState): string {
  return JSON.stringify([[...states].sort(), [...channels].sort()]);
}

describe("§4, Example 4.1", () => {
  const text = readFileSync(new URL("../cases/paper/cl85-section4.json", import.meta.url), "utf8");
  const paper: {
    readonly processes: Readonly<Record<"P" | "Q", string>>;
    readonly steps: readonly { readonly do: string }[];
    readonly recorded: Readonly<{ P: string; Q: string; ch0: string[]; ch1: string[] }>;
  } = JSON.parse(text);

  /** A process of the paper: it sends when it may, and then waits. */
  class Party implements Actor {
    state: string;

    constructor(id: ProcessId) {
      this.state = paper.processes[id as "P" | "Q"];
    }

    work(): void {
      throw new Error("it does nothing by itself");
    }

    send(): string {
      return this.#turn("Send", "Wait") === "S" ? "M" : "M'";
    }

    receive(): void {
      this.#turn("Wait", "Send");
    }

    #turn(from: string, to: string): string {
      const [who = "", what] = this.state.split("_");
      if (what !== from) throw new Error(`it cannot do that in ${this.state}`);
      this.state = `${who}_${to}`;
      return who;
    }
  }

  const party = (id: ProcessId): Party => new Party(id);
  const S = "P/1" as const;

  function theRun(): Recorded {
    const run = new Recorded(new Topology(["P", "Q"]), party);
    for (const { do: what } of paper.steps) {
      if (what === "P records spontaneously") run.initiate("P", S);
      else if (what === "P sends M on 0") run.send("P", "Q");
      else if (what === "Q sends M' on 1") run.send("Q", "P");
      else if (what === "Q receives marker on 0") run.receive("Q", "P");
      else if (what.startsWith("P receives ")) run.receive("P", "Q");
      // The case splits the receipt of the first marker; here it is one step.
      else expect(what).toMatch(/^Q records/);
    }
    return run;
  }

  test("the recorded state never occurred, is reached in the permuted run, and leads to the same end", () => {
    const run = theRun();
    const { P, Q, ch0, ch1 } = paper.recorded;
    expect(ch0).toEqual([]);
    const recorded: GlobalState = {
      states: new Map([
        ["P", P],
        ["Q", Q],
      ]),
      channels: new Map([["Q → P", ch1]]),
    };
    expect(differences(run.snapshot(S), recorded)).toEqual([]);
    for (const state of replay(run.topology, party, run.trace))
      expect(differences(state, recorded)).not.toEqual([]);

    const { before, after, flaw } = permute(run.trace, run.watched.get(S)?.cut ?? new Map());
    expect(flaw).toBeUndefined();
    expect([before, after].map((events) => events.map(short))).toEqual([
      ["Q sends M'"],
      ["P sends M", "P receives M'"],
    ]);
    const states = [...replay(run.topology, party, [...before, ...after])];
    expect(differences(states[1] as GlobalState, recorded)).toEqual([]);
    expect(differences(states[3] as GlobalState, run.now())).toEqual([]);
  });

  const short = (event: ChannelEvent): string =>
    event.type === "internal" ? "" : `${event.process} ${event.type}s ${event.message}`;
});

describe("what is wrong is found", () => {
  /** By the definition: no message is received inside that was sent outside. */
  function orphansOf(
    trace: readonly ChannelEvent[],
    cut: ReadonlyMap<ProcessId, number>,
  ): ChannelEvent[] {
    const counts = new Map<ProcessId, number>();
    const sentOutside = new Set<string>();
    return trace.filter((event) => {
      const count = (counts.get(event.process) ?? 0) + 1;
      counts.set(event.process, count);
      const inside = count <= (cut.get(event.process) ?? 0);
      if (event.type === "send" && !inside) sentOutside.add(`${event.message}`);
      return event.type === "receive" && inside && sentOutside.has(`${event.message}`);
    });
  }

  test("a cut that is not consistent makes the permuted run impossible, at the first orphan", () => {
    let consistent = 0;
    let broken = 0;
    for (let seed = 1; seed <= cases("theorem", 1000, 30_000); seed += 1) {
      const { trace, topology } = runOf(seed);
      const random = new Random(`cut ${seed}`);
      const moment = random.below(trace.length);
      const cut = new Map<ProcessId, number>();
      for (const id of topology.processes) {
        const events = trace.filter((event) => event.process === id).length;
        // Near one moment of the run: far apart hardly any cut is consistent.
        const then = trace.slice(0, moment).filter((event) => event.process === id).length;
        cut.set(id, Math.max(0, Math.min(events, then + random.between(-1, 1))));
      }
      const { before, flaw } = permute(trace, cut);
      const orphans = orphansOf(trace, cut);
      if (orphans.length === 0) consistent += 1;
      else broken += 1;
      expect(flaw?.event, `seed ${seed}`).toBe(orphans[0]);
      if (flaw) expect(before[flaw.index]).toBe(flaw.event);
    }
    expect(Math.min(consistent, broken)).toBeGreaterThan(100);
  });

  test("the orphan is named", () => {
    const trace: ChannelEvent[] = [
      { type: "internal", process: "q" },
      { type: "send", process: "p", to: "q", message: 1 },
      { type: "send", process: "p", to: "q", message: 2 },
      { type: "receive", process: "q", from: "p", message: 1 },
    ];
    expect(permute(trace, new Map([["q", 2]])).flaw).toEqual({
      index: 1,
      event: trace[3],
      reason: "q receives 1 from p, but it is not in the channel",
    });
    expect(
      permute(
        trace,
        new Map([
          ["p", 1],
          ["q", 2],
        ]),
      ).flaw,
    ).toBeUndefined();
  });

  test("a message that overtakes another, or is received twice, is no run on FIFO channels", () => {
    const sent = [1, 2].map(
      (message) => ({ type: "send", process: "p", to: "q", message }) as const,
    );
    const received = [2, 1, 1].map(
      (message) => ({ type: "receive", process: "q", from: "p", message }) as const,
    );
    expect(findFlaw([...sent, ...received])).toEqual({
      index: 2,
      event: received[0],
      reason: "q receives 2 from p, but 1 is ahead of it",
    });
    const twice = [...sent, ...received.slice(1)];
    expect(findFlaw(twice)?.index).toBe(3);
    expect(() => inFlight(twice)).toThrow("event 3 cannot happen: q receives 1 from p");
  });

  test("a cut with more than happened is refused", () => {
    const trace: ChannelEvent[] = [{ type: "internal", process: "p" }];
    for (const cut of [[["p", 2]], [["p", -1]], [["p", 0.5]], [["q", 1]]] as const)
      expect(() => permute(trace, new Map(cut))).toThrow("must be a whole number from 0 to");
  });

  test("a snapshot in which one thing is changed is not what the permuted run reaches", () => {
    const planted = { message: 0, lost: 0, order: 0, state: 0 };
    for (let seed = 1; seed <= 100; seed += 1) {
      const run = runOf(seed);
      for (const [id, { cut }] of run.watched) {
        const { before } = permute(run.trace, cut);
        const reached = [...replay(run.topology, account, before)].at(-1) as GlobalState;
        const snapshot = run.snapshot(id);
        const noticed = (changed: Partial<GlobalState>, place: string): void =>
          expect(differences({ ...snapshot, ...changed }, reached)).toEqual([place]);

        const [process = "", state] = [...snapshot.states][0] as [ProcessId, Account["state"]];
        const richer = { ...state, balance: state.balance + 1 };
        noticed({ states: new Map(snapshot.states).set(process, richer) }, process);
        planted.state += 1;
        for (const [channel, messages] of snapshot.channels) {
          const [head = "", ...rest] = messages.map(String);
          const change = (...to: string[]): void =>
            noticed({ channels: new Map(snapshot.channels).set(channel, to) }, channel);
          change(head.replace(/\d+$/, `${amountOf(head) + 1}`), ...rest);
          planted.message += 1;
          change(...rest);
          planted.lost += 1;
          if (rest.length === 0) continue;
          change(...rest, head);
          planted.order += 1;
        }
      }
    }
    for (const count of Object.values(planted)) expect(count).toBeGreaterThan(20);
  });
});
