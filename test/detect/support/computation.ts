/** A computation that ends some time, in a network, with something that is to find out when. */

import type { ProcessId } from "../../../src/core/id.ts";
import { Topology } from "../../../src/core/topology.ts";
import { DijkstraScholten } from "../../../src/detect/dijkstra-scholten.ts";
import type { DirectEffect } from "../../../src/detect/members.ts";
import { Safra } from "../../../src/detect/safra.ts";
import { ChandyLamport } from "../../../src/snapshot/chandy-lamport.ts";
import type { Marker } from "../../../src/snapshot/recordings.ts";
import { garbage, Network, type NetworkOptions } from "./network.ts";

export type Algorithm = "safra" | "dijkstra-scholten" | "snapshots";
export type Shape = "ring" | "mesh";

export interface ComputationOptions extends NetworkOptions {
  readonly algorithm: Algorithm;
  readonly shape: Shape;
  readonly processes: number;
  /** Of the computation, in all. */
  readonly messages: number;
  /** How probable it is that a process that is active sends one more. */
  readonly busy: number;
  /** Who is active at first: the first one, or each by chance. */
  readonly begins: "first" | "some";
  /** So often work comes from outside. @default 0 */
  readonly outside?: number;
  /** So often something comes that nobody should have sent. @default 0 */
  readonly garbage?: number;
  /** What a planted mistake does to a machine after each step. */
  readonly spoil?: (machine: Safra | DijkstraScholten) => void;
}

export interface Counts {
  /** Messages of the computation. */
  readonly messages: number;
  /** Messages of the detection. */
  readonly control: number;
  /** Of these, such as were sent after the computation was over. */
  readonly after: number;
  /** Rounds that were begun, and after the computation was over. */
  readonly rounds: number;
  readonly roundsAfter: number;
  /** What cannot be, as the machines said. */
  readonly irregular: number;
}

interface Station {
  readonly id: ProcessId;
  isActive: boolean;
  /** By the other process. */
  readonly sent: Map<ProcessId, number>;
  readonly received: Map<ProcessId, number>;
  /** At its visit by the token, or when it was recorded. */
  seen: { sent: Map<ProcessId, number>; received: Map<ProcessId, number>; isActive: boolean };
}

/** What each process tells its detector. */
interface Watcher {
  told(type: "active" | "passive"): void;
  sent(to: ProcessId): void;
  received(from: ProcessId): void;
  control(from: ProcessId, message: unknown): void;
}

/**
 * Runs it until the end is claimed, and then until nothing is left to do.
 * @throws Error naming the seed: the end is claimed too soon, or twice, or never
 */
export function runComputation(options: ComputationOptions): Counts {
  const { seed, algorithm, shape, messages, busy } = options;
  const network = new Network(options);
  const { random } = network;
  const ids = Array.from({ length: options.processes }, (_, i) => `p${i + 1}`).sort();
  const around = (by: number) =>
    ids.map((from, i) => ({ from, to: ids[(i + by + ids.length) % ids.length] as ProcessId }));
  const both = ids.length > 2 ? [...around(1), ...around(-1)] : around(1);
  const topology = new Topology(ids, shape === "mesh" || ids.length === 1 ? "mesh" : both);
  const stations = ids.map((id): Station => {
    const seen = { sent: new Map(), received: new Map(), isActive: false };
    return { id, isActive: false, sent: new Map(), received: new Map(), seen };
  });
  const counts = { messages: 0, control: 0, after: 0, rounds: 0, roundsAfter: 0, irregular: 0 };
  let [outside, inFlight, active, claims] = [options.outside ?? 0, 0, 0, 0];
  const wrong = (what: string): never => {
    throw new Error(`seed ${seed}, ${algorithm}: ${what}`);
  };
  const isOver = (): boolean => active === 0 && inFlight === 0;

  const count = (): void => {
    counts.control += 1;
    if (isOver()) counts.after += 1;
  };
  const begin = (): void => {
    counts.rounds += 1;
    if (isOver()) counts.roundsAfter += 1;
  };
  const see = (station: Station): void => {
    const { sent, received, isActive } = station;
    station.seen = { sent: new Map(sent), received: new Map(received), isActive };
  };
  const claim = (): void => {
    claims += 1;
    if ((options.outside ?? 0) === 0 && !isOver())
      wrong(`it is over, and yet ${active} are active and ${inFlight} messages in flight`);
    if (claims > 1) wrong("it is over twice");
  };
  /** What the paper's proof is about: nothing was to do at the cut. */
  const claimOfCut = (): void => {
    for (const { id, seen } of stations) {
      if (seen.isActive) wrong(`${id} was active at the cut`);
      for (const other of stations)
        if ((seen.sent.get(other.id) ?? 0) !== (other.seen.received.get(id) ?? 0))
          wrong(`the channel from ${id} to ${other.id} was not empty at the cut`);
    }
    claim();
  };
  const watchers = new Map<ProcessId, Watcher>();
  const transmit = (from: ProcessId, to: ProcessId, message: unknown): void => {
    count();
    network.control(from, to, () => watchers.get(to)?.control(from, message));
  };

  const safra = (station: Station): Watcher => {
    const machine = new Safra(station.id, ids);
    const step = (input: Parameters<Safra["step"]>[0]): void => {
      const { round } = machine.state;
      const effects = machine.step(input);
      options.spoil?.(machine);
      if (machine.isLeader && machine.state.round > round) begin();
      for (const effect of effects)
        if (effect.type === "irregular") counts.irregular += 1;
        else if (effect.type === "control") {
          if (!machine.isLeader) see(station);
          transmit(station.id, effect.to, effect.message);
        } else {
          see(station);
          if (effect.type === "terminated") claimOfCut();
          else step({ type: "probe" });
        }
    };
    if (machine.isLeader) network.laterCheck(() => step({ type: "probe" }));
    return {
      told: (type) => step({ type }),
      sent: () => step({ type: "sent" }),
      received: () => step({ type: "received" }),
      control: (from, message) => step({ type: "control", from, message }),
    };
  };
  const dijkstraScholten = (station: Station): Watcher => {
    const machine = new DijkstraScholten(station.id, ids, ids[0] as ProcessId);
    const step = (input: Parameters<DijkstraScholten["step"]>[0]): void => {
      const effects: readonly (DirectEffect<unknown> | { readonly type: "terminated" })[] =
        machine.step(input);
      options.spoil?.(machine);
      for (const effect of effects)
        if (effect.type === "irregular") counts.irregular += 1;
        else if (effect.type === "control") transmit(station.id, effect.to, effect.message);
        else claim();
    };
    return {
      told: (type) => step({ type }),
      sent: (to) => step({ type: "sent", to }),
      received: (from) => step({ type: "received", from }),
      control: (from, message) => step({ type: "control", from, message }),
    };
  };

  // Global snapshots, one after the other; each is looked at when it is complete.
  let [pieces, isQuiet, snapshots] = [0, true, 0];
  const initiate = (): void => {
    begin();
    [pieces, isQuiet] = [0, true];
    snapshots += 1;
    const marker: Marker = {
      ...{ snapshot: `${ids[0] as ProcessId}/${snapshots}`, incarnation: 1, view: 1 },
      ...{ live: snapshots, timeoutMs: Number.POSITIVE_INFINITY },
    };
    first?.step({ type: "initiate", marker, nowMs: network.nowMs });
  };
  let first: { step(input: Parameters<ChandyLamport["step"]>[0]): void } | undefined;
  const chandyLamport = (station: Station): Watcher => {
    const { id } = station;
    const machine = new ChandyLamport(1, topology.incoming(id), topology.outgoing(id));
    const body = new Uint8Array(4);
    const step = (input: Parameters<ChandyLamport["step"]>[0]): void => {
      for (const effect of machine.step(input))
        if (effect.type === "record") isQuiet &&= !station.isActive;
        else if (effect.type === "marker") transmit(id, effect.to, effect.marker);
        else if (effect.type === "complete") {
          isQuiet &&= effect.recorded.incoming.every(({ messages: runs }) => runs.length === 0);
          effect.recorded.tape.erase();
          pieces += 1;
          if (pieces < ids.length) continue;
          if (isQuiet) claim();
          else network.laterCheck(initiate);
        } else if (effect.type === "irregular") counts.irregular += 1;
    };
    if (id === ids[0]) {
      first = { step };
      network.laterCheck(initiate);
    }
    return {
      told: () => {},
      sent: (to) => step({ type: "sent", to, count: 1, body }),
      received: (from) => step({ type: "received", from, count: 1, body, nowMs: network.nowMs }),
      control: (from, marker) =>
        step({ type: "marker", from, marker: marker as Marker, nowMs: network.nowMs }),
    };
  };
  const make = { safra, "dijkstra-scholten": dijkstraScholten, snapshots: chandyLamport };
  for (const station of stations) watchers.set(station.id, make[algorithm](station));

  const become = (station: Station, isActive: boolean): void => {
    if (station.isActive !== isActive) active += isActive ? 1 : -1;
    station.isActive = isActive;
  };
  const work = (station: Station): void => {
    const watcher = watchers.get(station.id) as Watcher;
    const to = random.pick(topology.outgoing(station.id));
    const isLast = active === 1 && inFlight === 0;
    if (counts.messages < messages && to !== undefined && (isLast || random.chance(busy))) {
      counts.messages += 1;
      inFlight += 1;
      station.sent.set(to, (station.sent.get(to) ?? 0) + 1);
      watcher.sent(to);
      network.send(station.id, to, () => receive(station.id, to));
      network.later(() => work(station));
      return;
    }
    become(station, false);
    watcher.told("passive");
  };
  const wake = (station: Station): void => {
    if (station.isActive) return;
    become(station, true);
    network.later(() => work(station));
  };
  const receive = (from: ProcessId, to: ProcessId): void => {
    const station = stations[ids.indexOf(to)] as Station;
    inFlight -= 1;
    station.received.set(from, (station.received.get(from) ?? 0) + 1);
    wake(station);
    watchers.get(to)?.received(from);
  };
  const begins = stations.filter((_, i) =>
    options.begins === "first" ? i === 0 : random.chance(0.5),
  );
  for (const station of begins) {
    wake(station);
    watchers.get(station.id)?.told("active");
  }
  for (; outside > 0; outside -= 1)
    network.later(() => {
      const station = random.pick(stations) as Station;
      wake(station);
      watchers.get(station.id)?.told("active");
    });
  for (let i = options.garbage ?? 0; i > 0; i -= 1)
    network.later(() => {
      const from = random.pick([...ids, "p9", "", 7, undefined]) as ProcessId;
      const to = random.pick(ids) as ProcessId;
      watchers.get(to)?.control(from, strange(from, to, random.chance(0.5)));
    });
  /** Of a stranger anything; of a process only what has not the form: what a process says in the right form is believed. */
  const strange = (from: ProcessId, to: ProcessId, isToken: boolean): unknown => {
    const isStranger = !ids.includes(from) || from === to;
    if (isStranger && isToken)
      return { round: 1 + random.below(4), sum: 0, black: false, answered: 1 };
    const given = garbage(random);
    const isRecord = typeof given === "object" && given !== null && !Array.isArray(given);
    return isStranger || !isRecord ? given : { ...given, sum: "0", answered: -1 };
  };
  network.run();
  if (claims === 0 && begins.length > 0) wrong("nobody says that it is over");
  return counts;
}
