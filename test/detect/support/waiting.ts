/** Processes that wait for each other, in a network, and something that is to find out who waits for ever. */

import type { ProcessId } from "../../../src/core/id.ts";
import { ChandyMisraHaasAnd } from "../../../src/detect/chandy-misra-haas-and.ts";
import { ChandyMisraHaasOr } from "../../../src/detect/chandy-misra-haas-or.ts";
import { garbage, Network, type NetworkOptions } from "./network.ts";

export interface WaitingOptions<Machine> extends NetworkOptions {
  readonly processes: number;
  /** How often they ask, or send, in all. */
  readonly budget: number;
  /** For how many others one waits at the most. */
  readonly width: number;
  /** So often something comes that nobody should have sent. */
  readonly garbage: number;
  /** They grant also while they are blocked, which they must not. @default false */
  readonly grantsBlocked?: boolean;
  /** What a planted mistake does to a machine after each step. */
  readonly spoil?: (machine: Machine) => void;
}

/** What came of it. */
export interface Waited {
  /** Who found a deadlock while it came about. */
  readonly claims: number;
  /** Of those that are left in the end, who is deadlocked. */
  readonly deadlocked: number;
  readonly control: number;
  readonly irregular: number;
}

interface Asker {
  readonly id: ProcessId;
  readonly machine: ChandyMisraHaasAnd;
  /** Who asked, and was not granted it. */
  readonly wanted: ProcessId[];
  /** Its next piece of work is put down. */
  works: boolean;
  /** Grants that it waits for. */
  missing: number;
}

interface Receiver {
  readonly id: ProcessId;
  readonly machine: ChandyMisraHaasOr;
  /** While it is blocked. */
  waits: readonly ProcessId[] | undefined;
}

const CHECK_AT_ONCE = 0.5;

const others = (ids: readonly ProcessId[], self: ProcessId): readonly ProcessId[] =>
  ids.filter((id) => id !== self);

/** All that can be reached from it, by one step or more. */
function reachable(from: ProcessId, next: (id: ProcessId) => Iterable<ProcessId>): Set<ProcessId> {
  const seen = new Set<ProcessId>();
  const open = [from];
  for (let id = open.pop(); id !== undefined; id = open.pop())
    for (const to of next(id))
      if (!seen.has(to)) {
        seen.add(to);
        open.push(to);
      }
  return seen;
}

/** Of a stranger anything; of a process only what has not the form: what a process says in the right form is believed. */
function scatter(
  network: Network,
  ids: readonly ProcessId[],
  times: number,
  bring: (to: ProcessId, from: ProcessId, message: unknown) => void,
): void {
  const { random } = network;
  for (let i = times; i > 0; i -= 1)
    network.later(() => {
      const from = random.pick([...ids, "p9", "", 7, undefined]) as ProcessId;
      const to = random.pick(ids) as ProcessId;
      const right = {
        ...{ number: 1, request: 1, path: ["p1", from], type: "reply", initiator: to, blocked: [] },
      };
      const given = random.chance(0.5) ? right : garbage(random);
      const isStranger = !ids.includes(from) || from === to;
      const isRecord = typeof given === "object" && given !== null && !Array.isArray(given);
      bring(to, from, isStranger || !isRecord ? given : { ...given, number: "1" });
    });
}

/**
 * Processes ask several others at a time, and are blocked until all have granted.
 * @throws Error naming the seed: a deadlock is claimed that is none, or one is not found, or at too high a cost
 */
export function runAnd(options: WaitingOptions<ChandyMisraHaasAnd>): Waited {
  const network = new Network(options);
  const { random } = network;
  const ids = Array.from({ length: options.processes }, (_, i) => `p${i + 1}`);
  const wrong = (what: string): never => {
    throw new Error(`seed ${options.seed}, and: ${what}`);
  };
  let { budget } = options;
  let [control, irregular] = [0, 0];
  let claimed = new Map<ProcessId, readonly ProcessId[]>();
  /** Requests that were not granted, whether they have come or not. */
  const open = new Map<string, number>();
  const isOpen = (from: ProcessId, to: ProcessId): boolean => (open.get(`${from} ${to}`) ?? 0) > 0;
  const waitsFor = (id: ProcessId): ProcessId[] => ids.filter((to) => isOpen(id, to));
  const stations = new Map(
    ids.map((id) => {
      const machine = new ChandyMisraHaasAnd(id, ids);
      return [id, { id, machine, wanted: [], works: false, missing: 0 } as Asker] as const;
    }),
  );
  const step = ({ id, machine }: Asker, input: Parameters<ChandyMisraHaasAnd["step"]>[0]): void => {
    const effects = machine.step(input);
    options.spoil?.(machine);
    for (const effect of effects)
      if (effect.type === "irregular") irregular += 1;
      else if (effect.type === "control") {
        control += 1;
        const { to, message } = effect;
        network.control(id, to, () =>
          step(stations.get(to) as Asker, { type: "control", from: id, message }),
        );
      } else {
        const { circle } = effect;
        if (circle[0] !== id) wrong(`${id} claims a circle that begins at ${circle[0]}`);
        for (const [i, one] of circle.entries()) {
          const next = circle[(i + 1) % circle.length] as ProcessId;
          if (!isOpen(one, next)) wrong(`${id} claims ${circle}, but ${one} waits not for ${next}`);
        }
        claimed.set(id, circle);
      }
  };
  const wake = (station: Asker): void => {
    if (station.works) return;
    station.works = true;
    network.later(() => work(station));
  };
  const grant = (station: Asker): void => {
    const at = random.below(station.wanted.length);
    const [to] = station.wanted.splice(at, 1) as [ProcessId];
    const way = `${to} ${station.id}`;
    open.set(way, (open.get(way) ?? 0) - 1);
    step(station, { type: "grants", to });
    network.send(station.id, to, () => {
      const asker = stations.get(to) as Asker;
      asker.missing -= 1;
      step(asker, { type: "got", from: station.id });
      wake(asker);
    });
  };
  const ask = (station: Asker): void => {
    const { id } = station;
    for (let i = random.between(1, options.width); i > 0; i -= 1) {
      const of = random.pick(others(ids, id)) as ProcessId;
      budget -= 1;
      station.missing += 1;
      open.set(`${id} ${of}`, (open.get(`${id} ${of}`) ?? 0) + 1);
      step(station, { type: "asks", of });
      network.send(id, of, () => {
        const asked = stations.get(of) as Asker;
        asked.wanted.push(id);
        step(asked, { type: "asked", by: id });
        wake(asked);
      });
    }
    // Whoever is free by then has nothing to check.
    if (random.chance(CHECK_AT_ONCE)) step(station, { type: "check" });
    else network.later(() => step(station, { type: "check" }));
  };
  const work = (station: Asker): void => {
    station.works = false;
    const isBlocked = station.missing > 0;
    const grants = station.wanted.length > 0 && random.chance(0.6);
    if (isBlocked) {
      if (options.grantsBlocked && grants) grant(station);
      return;
    }
    if (grants) grant(station);
    else if (budget > 0 && random.chance(0.7)) ask(station);
    if (station.missing === 0 && (station.wanted.length > 0 || budget > 0)) wake(station);
  };
  for (const station of stations.values()) wake(station);
  scatter(network, ids, options.garbage, (to, from, message) =>
    step(stations.get(to) as Asker, { type: "control", from, message }),
  );
  network.run();

  const claims = claimed.size;
  const [left] = ids.filter(
    (id) =>
      !claimed.has(id) &&
      reachable(id, (one) => waitsFor(one).filter((to) => !claimed.has(to))).has(id),
  );
  if (left !== undefined) wrong(`${left} is in a circle of which nobody knows`);
  // Once more, one after the other: exactly those in a circle find it, and no edge has two probes.
  const edges = ids.flatMap(waitsFor).length;
  let deadlocked = 0;
  for (const station of stations.values()) {
    claimed = new Map();
    const before = control;
    step(station, { type: "check" });
    network.run();
    const isIn = reachable(station.id, waitsFor).has(station.id);
    if (claimed.has(station.id) !== isIn)
      wrong(`${station.id} ${isIn ? "finds nothing" : "is free"}`);
    if (control - before > edges) wrong(`${control - before} probes on ${edges} edges`);
    if (isIn) deadlocked += 1;
  }
  return { claims, deadlocked, control, irregular };
}

/**
 * Processes send messages, or wait for one of any of several others, or end.
 * @throws Error naming the seed: a deadlock is claimed that is none, or one is not found, or at too high a cost
 */
export function runOr(options: WaitingOptions<ChandyMisraHaasOr>): Waited {
  const network = new Network(options);
  const { random } = network;
  const ids = Array.from({ length: options.processes }, (_, i) => `p${i + 1}`);
  const wrong = (what: string): never => {
    throw new Error(`seed ${options.seed}, or: ${what}`);
  };
  let { budget } = options;
  let [control, irregular] = [0, 0];
  /** But for replies to what was repeated. */
  const said = new Set<string>();
  let claimed = new Map<ProcessId, readonly ProcessId[]>();
  const inFlight = new Map<string, number>();
  const stations = new Map(
    ids.map((id) => {
      const machine = new ChandyMisraHaasOr(id, ids);
      return [id, { id, machine, waits: undefined } as Receiver] as const;
    }),
  );
  const waitsFor = (id: ProcessId): readonly ProcessId[] => stations.get(id)?.waits ?? [];
  /** Those that will never go on, whatever the others do. */
  const dead = (): Set<ProcessId> => {
    const set = new Set(ids.filter((id) => stations.get(id)?.waits !== undefined));
    for (let size = -1; size !== set.size; ) {
      size = set.size;
      for (const id of set)
        if (waitsFor(id).some((one) => !set.has(one) || (inFlight.get(`${one} ${id}`) ?? 0) > 0))
          set.delete(id);
    }
    return set;
  };
  const step = (
    { id, machine }: Receiver,
    input: Parameters<ChandyMisraHaasOr["step"]>[0],
  ): void => {
    const effects = machine.step(input);
    options.spoil?.(machine);
    for (const effect of effects)
      if (effect.type === "irregular") irregular += 1;
      else if (effect.type === "control") {
        control += 1;
        const { to, message } = effect;
        said.add(`${id} ${to} ${message.type} ${message.initiator}`);
        network.control(id, to, () =>
          step(stations.get(to) as Receiver, { type: "control", from: id, message }),
        );
      } else {
        const never = dead();
        for (const one of [id, ...effect.with])
          if (!never.has(one)) wrong(`${id} claims ${effect.with}, but ${one} may go on`);
        claimed.set(id, effect.with);
      }
  };
  const send = (from: ProcessId, to: ProcessId): void => {
    const way = `${from} ${to}`;
    inFlight.set(way, (inFlight.get(way) ?? 0) + 1);
    network.send(from, to, () => {
      inFlight.set(way, (inFlight.get(way) ?? 0) - 1);
      const station = stations.get(to) as Receiver;
      if (!station.waits?.includes(from)) return;
      station.waits = undefined;
      step(station, { type: "active" });
      network.later(() => work(station));
    });
  };
  const work = (station: Receiver): void => {
    const rest = others(ids, station.id);
    if (budget > 0 && random.chance(0.5)) {
      budget -= 1;
      send(station.id, random.pick(rest) as ProcessId);
    } else if (random.chance(0.6)) {
      const many = random.chance(0.05) ? 0 : random.between(1, options.width);
      const waits = Array.from({ length: many }, () => random.pick(rest) as ProcessId);
      station.waits = waits;
      step(station, { type: "waits", for: waits });
      if (random.chance(CHECK_AT_ONCE)) step(station, { type: "check" });
      else network.later(() => step(station, { type: "check" }));
      return;
    } else if (budget === 0 && random.chance(0.3)) return;
    network.later(() => work(station));
  };
  for (const station of stations.values()) network.later(() => work(station));
  scatter(network, ids, options.garbage, (to, from, message) =>
    step(stations.get(to) as Receiver, { type: "control", from, message }),
  );
  network.run();

  const claims = claimed.size;
  const never = dead();
  const circleOf = (id: ProcessId): Set<ProcessId> => reachable(id, waitsFor).add(id);
  for (const id of never)
    if (![...circleOf(id)].some((one) => claimed.has(one))) wrong(`nobody knows of ${id}`);
  // Once more, one after the other: exactly those find it that are deadlocked, and no edge has two queries or two replies.
  for (const station of stations.values()) {
    claimed = new Map();
    said.clear();
    step(station, { type: "check" });
    network.run();
    const all = circleOf(station.id);
    const found = claimed.get(station.id);
    if (never.has(station.id) !== (found !== undefined)) wrong(`${station.id} finds ${found}`);
    if (found && String(found) !== String([...all].sort()))
      wrong(`${station.id} finds ${found}, and it is ${[...all]}`);
    const edges = [...all].flatMap((id) => [...new Set(waitsFor(id))]).length;
    if (said.size > 2 * edges) wrong(`${said.size} messages on ${edges} edges`);
  }
  return { claims, deadlocked: never.size, control, irregular };
}
