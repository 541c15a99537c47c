/**
 * One run of a world: faults for a while, as one seed draws them, then healing, after which everything must complete.
 * Safety is judged all the time; liveness only of the healed world, for nothing can be promised of one that is broken for ever.
 */

import { textOf } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";
import { Random } from "../core/random.ts";
import type { RecorderOptions } from "../trace/recorder.ts";
import { checkKeys, checkSynchronous } from "./check.ts";
import { checkFaults, drawFaults, type Faults } from "./faults.ts";
import { checkSeed, Simulation, type SimulationEvent } from "./simulation.ts";
import { Violation } from "./witness.ts";
import type { Properties, Property, View, World } from "./world.ts";
import { checkWorld } from "./world-check.ts";

/** How a world is run. */
export interface RunOptions<M = unknown, State = unknown, Request = never, Reply = never> {
  readonly seed: number | string;
  /** @default what the seed draws */
  readonly faults?: Faults;
  readonly watch?: (event: SimulationEvent) => void;
  /** As for `Simulation`; `prepare` has the simulation, and with it the recordings, also of a run that fails. */
  readonly record?: RecorderOptions;
  /** As for `Simulation`. */
  readonly onUnasked?: (process: ProcessId, reply: Reply) => void;
  /** Has the simulation before anything happens: for what is to happen beside what the world asks for. */
  readonly prepare?: (simulation: Simulation<M, State, Request, Reply>) => void;
}

/** What came of a run in which no promise was broken. */
export interface RunReport {
  readonly seed: number | string;
  readonly faults: Faults;
  /** The same for the same seed and faults, on every machine. */
  readonly traceHash: string;
  readonly events: number;
  /** Virtual time. */
  readonly tookMs: number;
  readonly snapshots: { readonly complete: number; readonly abandoned: number };
  /** The `sometimes` that held at some moment. */
  readonly happened: readonly string[];
}

/** After healing, all must be done within so much virtual time, or four times what a snapshot may take. */
const CALM_MS = 60_000;
/** A snapshot may take so long, or longer where frames and stores are slow. */
const TIMEOUT_MS = 5_000;
/** Frames that faults made late by no more than this make no snapshot late. */
const LATE_MS = 2_500;
const LOOK_EVERY_MS = 50;
/** How long a process may be away before snapshots no longer wait for it. */
const LOST_AFTER_MS = 1000;
/** More than any run that comes to rest needs. */
const EVENTS_MAX = 2_000_000;

/**
 * Runs a world once.
 * @throws Violation when a promise is broken: of Tidemark's own, or one of the world's properties
 *
 * @example
 * ```ts
 * import { defineWorld, drawFaults, runWorld } from "tidemark/sim";
 * const world = defineWorld<"ping", number>({
 *   processes: ["a", "b"],
 *   application: () => {
 *     let pings = 0;
 *     return {
 *       start: (turn) => void turn.send(turn.peers, "ping"),
 *       receive: () => void (pings += 1),
 *       capture: () => pings,
 *       restore: (state) => void (pings = state),
 *     };
 *   },
 *   always: { "no ping twice": (view) => view.up.every((id) => (view.state(id) ?? 0) <= 1) },
 *   eventually: { "all pings": (view) => view.up.every((id) => view.state(id) === 1) },
 * });
 * // Whatever befalls the frames; but whoever dies and comes back begins anew, and pings again.
 * const options = { seed: 7, faults: { ...drawFaults(7), crashes: 0 } };
 * const [first, again] = [runWorld(world, options), runWorld(world, options)];
 * if (first.traceHash !== again.traceHash) throw new Error("the same seed, the same run");
 * ```
 */
export function runWorld<M, State, Request, Reply>(
  world: World<M, State, Request, Reply>,
  options: RunOptions<M, State, Request, Reply>,
): RunReport {
  checkWorld(world);
  checkKeys("the options of a run", options, [
    "seed",
    "faults",
    "watch",
    "record",
    "onUnasked",
    "prepare",
  ] satisfies (keyof RunOptions)[]);
  const { seed, watch, record, onUnasked, prepare } = options;
  checkSeed(seed);
  const { faults = drawFaults(seed) } = options;
  const timeoutMs = snapshotMs(checkFaults(faults), world.processes.length);
  const simulation = new Simulation(world, {
    ...{ seed, faults, timeoutMs, lostAfterMs: LOST_AFTER_MS },
    ...(watch ? { watch } : {}),
    ...(record ? { record } : {}),
    ...(onUnasked ? { onUnasked } : {}),
  });
  try {
    prepare?.(simulation);
    return runToEnd(world, simulation, seed, faults, timeoutMs);
  } catch (thrown) {
    if (thrown instanceof Violation) thrown.events = simulation.events;
    throw thrown;
  }
}

function runToEnd<M, State, Request, Reply>(
  world: World<M, State, Request, Reply>,
  simulation: Simulation<M, State, Request, Reply>,
  seed: number | string,
  faults: Faults,
  timeoutMs: number,
): RunReport {
  const happened = new Set<string>();
  const look = (): void => {
    if (!world.always && !world.sometimes) return;
    const { view } = simulation;
    for (const [name, holds] of entries(world.always)) mustHold("always", name, holds, view);
    for (const [name, holds] of entries(world.sometimes))
      if (!happened.has(name) && ask("sometimes", name, holds, view) === true) happened.add(name);
  };
  const pass = (ms: number): void => {
    const untilMs = simulation.nowMs + ms;
    while (simulation.nextMs <= untilMs) {
      simulation.step();
      look();
      if (simulation.events > EVENTS_MAX)
        throw new Violation("liveness", `it is not done after ${EVENTS_MAX} events`);
    }
    simulation.runFor(untilMs - simulation.nowMs);
  };
  const calmMs = Math.max(CALM_MS, 4 * timeoutMs);
  const rest = (): void => {
    for (let ms = 0; simulation.unrest() !== undefined; ms += LOOK_EVERY_MS) {
      if (ms >= calmMs)
        throw new Violation("liveness", `${calmMs} ms after healing ${simulation.unrest()}`);
      pass(LOOK_EVERY_MS);
    }
  };
  schedule(world, simulation, faults, new Random(`schedule ${seed}`));
  look();
  pass(faults.lastMs);
  simulation.heal();
  // Time for connections to come back, and for what was lost to be noticed.
  const lateMs = simulation.arrivedMs - simulation.nowMs;
  pass(Math.max(1_000, faults.troubleMs + 800, lateMs > LATE_MS ? lateMs + 1_000 : 0));
  rest();
  for (const id of simulation.topology.processes)
    if (simulation.topology.unreachableFrom(id).length === 0) simulation.snapshot(id);
  rest();
  // Time for all to hear how the last snapshots ended.
  pass(Math.max(1_000, 4 * faults.delayMs[1]));
  simulation.judge();
  const [abandoned] = simulation.abandoned;
  if (abandoned && lateMs <= LATE_MS && mustAllComplete(faults))
    throw new Violation("liveness", `${abandoned.id} had to complete, but: ${abandoned.reason}`);
  const { view } = simulation;
  for (const [name, holds] of entries(world.eventually)) mustHold("eventually", name, holds, view);
  return {
    seed,
    faults,
    traceHash: simulation.traceHash,
    events: simulation.events,
    tookMs: Math.round(simulation.nowMs),
    snapshots: { complete: view.snapshots.length, abandoned: simulation.abandoned.length },
    happened: [...happened],
  };
}

/** Its markers go all the way round, its words there and back, each thrice as late as one frame; and a store writes in steps. */
function snapshotMs({ delayMs, syncMs }: Faults, processes: number): number {
  return Math.max(TIMEOUT_MS, (4 * processes + 10) * delayMs[1] + 10 * syncMs);
}

/** Nobody dies, gives up or fails to store, and no connection is away for so long that a process is taken for lost. */
function mustAllComplete(faults: Faults): boolean {
  const { crashes, captureThrows, givesUp, storeFails, lastMs, troubleMs, drift } = faults;
  const awayMs = (lastMs + 2 * troubleMs) * (1 + drift);
  return crashes + captureThrows + givesUp + storeFails === 0 && awayMs < LOST_AFTER_MS;
}

/** Puts down when the outside asks, when snapshots are begun, and when what goes wrong. */
function schedule<M, State, Request, Reply>(
  world: World<M, State, Request, Reply>,
  simulation: Simulation<M, State, Request, Reply>,
  faults: Faults,
  random: Random,
): void {
  const { processes } = simulation.topology;
  const sometime = (): number => random.fraction() * faults.lastMs;
  const lasting = (): number => random.fraction() * faults.troubleMs;
  const one = (): ProcessId => random.pick(processes) as ProcessId;
  const two = (): [ProcessId, ProcessId] => {
    const from = one();
    return [from, random.pick(processes.filter((id) => id !== from)) as ProcessId];
  };
  const many = (count: number, act: () => void): void => {
    for (let i = 0; i < count; i += 1) simulation.after(sometime(), act);
  };

  const times = (world.requests ?? []).map(sometime).sort((a, b) => a - b);
  const next = new Map<ProcessId, number[]>();
  for (const [index, { of }] of (world.requests ?? []).entries())
    next.set(of, [...(next.get(of) ?? []), index]);
  // Shuffled among processes; of one process in order.
  for (const atMs of times) {
    const of = random.pick([...next.keys()]) as ProcessId;
    const [index = 0, ...rest] = next.get(of) ?? [];
    if (rest.length > 0) next.set(of, rest);
    else next.delete(of);
    const { request } = (world.requests ?? [])[index] as { request: Request };
    simulation.after(atMs, () => simulation.request(of, request, index));
  }
  for (const by of world.snapshots ?? [])
    simulation.after(sometime(), () => simulation.snapshot(by));

  many(faults.crashes, () => {
    const id = one();
    const fromSnapshot = random.chance(faults.fromSnapshot);
    if (world.logsInputs) {
      simulation.crash(id, random.between(1, 20));
      if (fromSnapshot) simulation.after(lasting(), () => simulation.restore(one()));
    } else simulation.crash(id);
    simulation.after(lasting(), () =>
      simulation.restart(id, fromSnapshot ? "snapshot" : "nothing"),
    );
  });
  if (processes.length < 2) return;
  many(faults.cuts, () => simulation.cut(...two()));
  many(faults.clogs, () => simulation.clog(...two(), lasting()));
  many(faults.holds, () => {
    const [from, to] = two();
    simulation.hold(from, to);
    simulation.after(lasting(), () => simulation.release(from, to));
  });
  let oneWays = faults.oneWay;
  many(faults.partitions, () => {
    const some = processes.filter(() => random.chance(0.5));
    const others = processes.filter((id) => !some.includes(id));
    oneWays -= 1;
    simulation.partition(some, others, { oneWay: oneWays >= 0 });
    simulation.after(lasting(), () => simulation.repair());
  });
}

const entries = <M, State, Reply>(
  properties: Properties<M, State, Reply> | undefined,
): readonly [string, Properties<M, State, Reply>[string]][] => Object.entries(properties ?? {});

function mustHold<M, State, Reply>(
  kind: string,
  name: string,
  property: Property<M, State, Reply>,
  view: View<M, State, Reply>,
): void {
  const holds = ask(kind, name, property, view);
  if (holds === true) return;
  throw new Violation(kind, `"${name}" does not hold${holds === false ? "" : `: ${holds}`}`);
}

function ask<M, State, Reply>(
  kind: string,
  name: string,
  property: Property<M, State, Reply>,
  view: View<M, State, Reply>,
): boolean | string {
  let holds: boolean | string;
  try {
    holds = property(view);
  } catch (thrown) {
    throw new Violation(kind, `"${name}" threw: ${textOf(thrown)}`);
  }
  try {
    checkSynchronous(`"${name}"`, "properties", holds);
  } catch (error) {
    throw new Violation(kind, textOf(error));
  }
  return holds;
}
