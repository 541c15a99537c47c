/**
 * Detectors in simulated worlds, judged by an omniscient look: at what is true of the whole world at one moment, which nobody inside
 * could know.
 *
 * Facts are texts, such as who is blocked. They are stable: what is a fact once stays one. So
 * - what is found in a snapshot is a fact when the snapshot is complete, and ever after (no false positive);
 * - what was a fact when a snapshot began is found in it. So of the snapshots that are complete after something has become true,
 *   only those that were under way by then may miss it.
 *
 * A process that is down has no state to look at; what was found then is judged when all are up. What is not yet on a log is undone by
 * a crash: so who crashes makes facts of before worth nothing for what must be found.
 */

import type { ProcessId, SnapshotId } from "../../../src/core/id.ts";
import { parseSnapshotId } from "../../../src/core/id.ts";
import { type GlobalState, globalState } from "../../../src/detect.ts";
import {
  type Faults,
  runWorld,
  type Simulation,
  type View,
  Violation,
  type World,
} from "../../../src/sim.ts";

/** What is tried: a world, what is true of it, and what is found. */
export interface Trial<M, State> {
  readonly world: World<M, State, never, never>;
  readonly seed: number;
  readonly faults: Faults;
  /** By the true states and messages of all. */
  facts(view: View<M, State, never>): readonly string[];
  /** By what a snapshot says. */
  found(state: GlobalState<State, M>): readonly string[];
}

/** What has been judged: something has. */
export interface TrialReport {
  readonly snapshots: number;
  /** Facts that were found, each once. */
  readonly found: ReadonlySet<string>;
  /** How often a fact had to be found, for it was one when a snapshot began. */
  readonly due: number;
}

interface Begun {
  readonly nowMs: number;
  readonly crashes: number;
  /** `undefined` if somebody was down. */
  readonly facts: readonly string[] | undefined;
}

/**
 * Runs a world, and judges what is found in each of its snapshots.
 * @throws Violation `detected` for what is not so, `undetected` for what was not found
 */
export function runTrial<M, State>(trial: Trial<M, State>): TrialReport {
  const { world, seed, faults, facts, found } = trial;
  const asked = new Map<ProcessId, Begun[]>();
  const begun = new Map<SnapshotId, Begun>();
  const claims = new Map<string, SnapshotId>();
  let crashes = 0;
  let due = 0;
  let snapshots = 0;
  const look = (view: View<M, State, never>): readonly string[] | undefined => {
    if (view.up.length < world.processes.length) return undefined;
    const all = facts(view);
    for (const [claim, by] of claims)
      if (!all.includes(claim))
        throw new Violation(
          "detected",
          `${claim} is found in ${by}, and is not so at ${view.nowMs}`,
        );
    return all;
  };
  const complete = (id: SnapshotId, view: View<M, State, never>): void => {
    const snapshot = view.snapshots.at(-1);
    if (snapshot?.id !== id) throw new Error(`${id} is not the newest`);
    snapshots += 1;
    const { application } = world;
    const claimed = found(globalState<State, M>({ ...snapshot, application }));
    for (const claim of claimed) if (!claims.has(claim)) claims.set(claim, id);
    look(view);
    const since = begun.get(id);
    if (since?.facts === undefined || since.crashes < crashes) return;
    due += since.facts.length;
    for (const fact of since.facts)
      if (!claimed.includes(fact))
        throw new Violation("undetected", `${fact} was so when ${id} began, at ${since.nowMs}`);
  };
  let running: Simulation<M, State, never, never> | undefined;
  runWorld(
    {
      ...world,
      eventually: {
        ...world.eventually,
        "what was found is so": (view) => look(view) !== undefined || "somebody is down",
      },
    },
    {
      seed,
      faults,
      prepare(simulation) {
        const begin = simulation.snapshot.bind(simulation);
        simulation.snapshot = (by) => {
          const now = { nowMs: simulation.nowMs, crashes, facts: look(simulation.view) };
          asked.set(by, [...(asked.get(by) ?? []), now]);
          begin(by);
        };
        running = simulation;
      },
      watch({ nowMs, process, happening }) {
        if (happening.type === "crash") crashes += 1;
        if (happening.type === "record") {
          const { initiator } = parseSnapshotId(happening.snapshot);
          if (initiator !== process) return;
          // That it was recorded is told once it is on the log; the oldest that may have led to it makes the least demands.
          const since = asked.get(initiator)?.find((one) => one.nowMs >= nowMs - faults.syncMs - 1);
          if (since) begun.set(happening.snapshot, since);
        }
        if (happening.type === "complete" && running) complete(happening.snapshot, running.view);
      },
    },
  );
  return { snapshots, found: new Set(claims.keys()), due };
}

/** Runs many seeds, and adds up what was judged; a seed that fails is named. */
export function runTrials(
  seeds: Iterable<number>,
  run: (seed: number) => TrialReport,
): {
  readonly many: number;
  readonly snapshots: number;
  readonly found: number;
  readonly due: number;
} {
  const sum = { many: 0, snapshots: 0, found: 0, due: 0 };
  for (const seed of seeds) {
    try {
      const { snapshots, found, due } = run(seed);
      sum.many += 1;
      sum.snapshots += snapshots;
      sum.found += found.size;
      sum.due += due;
    } catch (thrown) {
      throw new Error(`seed ${seed}: ${(thrown as Error).message}`, { cause: thrown });
    }
  }
  return sum;
}

/** The first seed from 1 on, of so many, with which a detector that is planted to be wrong is found out. */
export function firstWrong(
  most: number,
  run: (seed: number) => TrialReport,
  check: "detected" | "undetected" = "detected",
): number | undefined {
  for (let seed = 1; seed <= most; seed += 1)
    try {
      run(seed);
    } catch (thrown) {
      if (!(thrown instanceof Violation)) throw thrown;
      if (thrown.check === check) return seed;
    }
  return undefined;
}
