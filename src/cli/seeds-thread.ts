/**
 * The thread in which `tidemark sim run` loads a world and runs its seeds. It tells what comes of each; whoever started it
 * prints that, and can end it at any moment, also in a loop without an end.
 */

import { inspect } from "node:util";
import { parentPort, workerData } from "node:worker_threads";
import { type ErrorCode, isTidemarkError, TidemarkError, textOf } from "../core/error.ts";
import { drawFaults, type Faults, formatFaults } from "../sim/faults.ts";
import { type RunReport, runWorld } from "../sim/run.ts";
import type { Simulation, SimulationEvent } from "../sim/simulation.ts";
import { Violation } from "../sim/witness.ts";
import type { RecorderOptions } from "../trace/recorder.ts";
import { traceLines } from "../trace/recording.ts";
import { bytesOfLines, writeTo } from "./transfer.ts";
import { type AnyWorld, loadWorld } from "./world-file.ts";

/** What the thread is started with. */
export interface SeedsWanted {
  readonly file: string;
  readonly first: number;
  readonly last: number;
  /** @default what each seed draws */
  readonly faults?: Faults | undefined;
  /** Also after a seed that fails. */
  readonly keepGoing: boolean;
  readonly trace: boolean;
  /** Where a trace of the seed is to be, if that is wanted. */
  readonly traceTo?: string | undefined;
}

/** What it tells, in this order: one `loaded`, of each seed all that is traced and how it ended, `done`; or `refused`. */
export type SeedsNews =
  | { readonly type: "loaded"; readonly sometimes: readonly string[] }
  | { readonly type: "traced"; readonly line: string }
  | { readonly type: "passed"; readonly seed: number; readonly report: RunReport }
  | {
      readonly type: "failed";
      readonly seed: number;
      readonly message: string;
      readonly faults: Faults;
      readonly events: number;
    }
  | { readonly type: "done" }
  | {
      readonly type: "refused";
      readonly code: ErrorCode;
      readonly message: string;
      readonly stack: string;
    };

const tell = (news: SeedsNews): void => parentPort?.postMessage(news);

// Not awaited: a file may wait for ever, and Node would blame this line.
void runSeeds(workerData as SeedsWanted).then(
  () => tell({ type: "done" }),
  (error: unknown) => {
    if (!isTidemarkError(error)) throw error;
    const { code, message, stack = "" } = error;
    tell({ type: "refused", code, message, stack });
  },
);

async function runSeeds(wanted: SeedsWanted): Promise<void> {
  const world = await loadWorld(wanted.file);
  tell({ type: "loaded", sometimes: Object.keys(world.sometimes ?? {}) });
  for (let seed = wanted.first; seed <= wanted.last; seed += 1) {
    let simulation: Recorded | undefined;
    const passed = runSeed(world, seed, wanted, (made) => {
      simulation = made;
    });
    if (wanted.traceTo !== undefined && simulation) {
      const lines = traceLines(simulation.recordings, { complete: passed });
      await writeTo(wanted.traceTo, bytesOfLines(lines));
    }
    if (!passed && !wanted.keepGoing) break;
  }
}

type Recorded = Pick<Simulation, "recordings">;

/** All that happens. */
const RECORDED: RecorderOptions = { events: 4_194_304, text: true };

/** True if no promise was broken. */
function runSeed(
  world: AnyWorld,
  seed: number,
  wanted: SeedsWanted,
  prepare: (simulation: Recorded) => void,
): boolean {
  const { file, first, last, trace, traceTo } = wanted;
  const faults = wanted.faults ?? drawFaults(seed);
  if (trace && first < last)
    tell({ type: "traced", line: `seed ${seed}, faults: ${formatFaults(faults)}` });
  try {
    const report = runWorld(world, {
      ...{ seed, faults, prepare },
      ...(trace ? { watch: traceEvent } : {}),
      ...(traceTo === undefined ? {} : { record: RECORDED }),
    });
    tell({ type: "passed", seed, report });
    return true;
  } catch (thrown) {
    if (thrown instanceof TidemarkError)
      throw new TidemarkError("BAD_OPTION", `${file}: ${thrown.message}`, { cause: thrown });
    const events = thrown instanceof Violation ? thrown.events : 0;
    tell({ type: "failed", seed, message: textOf(thrown), faults, events });
    return false;
  }
}

function traceEvent({ nowMs, process: id, happening }: SimulationEvent): void {
  const { type, ...rest } = happening;
  const details = Object.entries(rest).map(
    ([key, value]) =>
      `${key} ${inspect(value, { breakLength: Number.POSITIVE_INFINITY, depth: 4 })}`,
  );
  const line = `${nowMs.toFixed(3).padStart(10)}  ${id}  ${type}  ${details.join("  ")}`;
  tell({ type: "traced", line: line.trimEnd() });
}
