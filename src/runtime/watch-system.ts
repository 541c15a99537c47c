/**
 * Standing detectors: what becomes true of a system that runs, found in global snapshots that are taken again and again.
 *
 * Theory of operation. A clock drives it, not messages: markers pass below applications, so a system in which everybody waits for
 * everybody can be looked at like all others. What detectors find is stable: what was true at one snapshot is true at the next. It is
 * found by the second snapshot after it became true at the latest: one that was begun before may still show the time before.
 */

import { setTimeout as pause } from "node:timers/promises";
import { isTidemarkError, TidemarkError } from "../core/error.ts";
import type { SnapshotId } from "../core/id.ts";
import { type Detector, detectTermination, parseDetector } from "../detect/detection.ts";
import type { GlobalState } from "../detect/global-state.ts";
import type { Detection } from "../detect/verdict.ts";
import type { GlobalSnapshot } from "./global-snapshot.ts";
import { type InspectOptions, inspectSnapshot } from "./inspect-snapshot.ts";
import type { SnapshotOptions } from "./running-process.ts";
import type { SnapshotStore } from "./snapshot-store.ts";

/** What both ways of watching take. */
interface LookOptions extends Pick<InspectOptions, "application"> {
  readonly signal?: AbortSignal;
  /** Where the snapshots go: then those in which nothing was found are deleted again. @default they stay */
  readonly store?: Pick<SnapshotStore, "delete">;
}

/** How a system is watched. */
export interface WatchOptions extends LookOptions {
  /** What to look for, as on the command line (`deadlock`, `sum=money`), or detectors of one's own. */
  readonly detectors: readonly (string | Detector)[];
  /** From one snapshot to the next, in milliseconds; 0: one right after the other. @default 2000 */
  readonly everyMs?: number;
}

/** Something that has changed: a verdict, or that no snapshot could be taken. */
export type WatchEvent =
  | { readonly type: "verdict"; readonly snapshot: SnapshotId; readonly detection: Detection }
  | { readonly type: "failed"; readonly problem: TidemarkError };

/** A running process, or whatever else can take a snapshot of the whole system. */
export interface SnapshotTaker {
  snapshot(options?: SnapshotOptions): Promise<GlobalSnapshot>;
}

const EVERY_MS = 2_000;
const FIRST_LOOK_MS = 10;
const LOOK_MS_MAX = 1_000;

/**
 * Watches a system: takes a snapshot every so often, with that process as the initiator, and says what each detector finds, first of all
 * and then whenever it changes. It never ends by itself: stop it by leaving the loop, or by the signal. A snapshot that is abandoned is
 * told once, and the next one is taken in time.
 *
 * Each look restores all applications anew from what was recorded, so watching a large system often costs much.
 *
 * @throws TidemarkError `BAD_OPTION` for a detector that there is not; `STOPPED` when the process has stopped
 *
 * @example
 * ```ts
 * import { MemoryNetwork, memoryStore, startProcess, type Turn, watchSystem } from "tidemark";
 *
 * const application = () => {
 *   let money = 100;
 *   return {
 *     request: (id: number, lost: number, turn: Turn<never, number>) => turn.reply(id, (money -= lost)),
 *     capture: () => money,
 *     restore: (state: number) => void (money = state),
 *     goods: () => ({ money }),
 *   };
 * };
 * const bank = await startProcess({
 *   ...{ id: "solo", processes: ["solo"], store: memoryStore(), transport: new MemoryNetwork().transport() },
 *   application: application(),
 * });
 * const found: (boolean | null)[] = [];
 * for await (const event of watchSystem(bank, { application, detectors: ["sum=money:100"], everyMs: 1 })) {
 *   if (event.type === "failed") throw event.problem;
 *   found.push(event.detection.detected);
 *   if (found.length === 2) break;
 *   await bank.request(5);
 * }
 * if (found.join() !== "false,true") throw new Error("money was lost between the first look and the second");
 * await bank.stop();
 * ```
 */
export async function* watchSystem(
  running: SnapshotTaker,
  options: WatchOptions,
): AsyncGenerator<WatchEvent, void, void> {
  const { everyMs = EVERY_MS, signal } = options;
  const detectors = options.detectors.map((one) =>
    typeof one === "string" ? parseDetector(one) : one,
  );
  const only = detectors.flatMap(({ needs }) => needs);
  const said = new Map<Detector, string>();
  let first: GlobalState | undefined;
  let failure: string | undefined;
  while (!signal?.aborted) {
    const beganMs = performance.now();
    const looked = await look(running, options, only);
    if ("problem" in looked) {
      const { problem } = looked;
      if (signal?.aborted) return;
      if (problem.code === "STOPPED") throw problem;
      if (failure !== problem.message) yield { type: "failed", problem };
      failure = problem.message;
    } else {
      const { snapshot, state } = looked;
      failure = undefined;
      first ??= state;
      const before = first;
      const detections = detectors.map((one) => one.detect(state, before));
      if (!detections.some(({ detected }) => detected)) await options.store?.delete(snapshot.id);
      for (const [i, detection] of detections.entries()) {
        const detector = detectors[i] as Detector;
        // How much work is in flight, say, is another number each time.
        const now =
          detection.detected === false ? "" : `${detection.detected} ${detection.sentence}`;
        if (said.get(detector) === now) continue;
        said.set(detector, now);
        yield { type: "verdict", snapshot: snapshot.id, detection };
      }
    }
    await restUntil(beganMs + everyMs, signal);
  }
}

/**
 * Waits until a system has nothing more to do: every application says that it is passive, and no work is in flight. For tests, and before a
 * system is shut down. It looks again and again, ever less often.
 *
 * @returns the snapshot that shows it
 * @throws TidemarkError `BAD_OPTION` if some application does not declare `isPassive`; `ABORTED`, `STOPPED`
 *
 * @example
 * ```ts
 * import { MemoryNetwork, memoryStore, quiescent, startProcess, type Turn } from "tidemark";
 *
 * const application = () => {
 *   let jobs = 0;
 *   return {
 *     request: (id: number, more: number, turn: Turn<never, number>) => {
 *       jobs += more;
 *       turn.setTimer("work", 1);
 *       turn.reply(id, jobs);
 *     },
 *     timer(_: string, turn: Turn<never, number>) {
 *       jobs -= 1;
 *       if (jobs > 0) turn.setTimer("work", 1);
 *     },
 *     capture: () => jobs,
 *     restore: (state: number) => void (jobs = state),
 *     isPassive: () => jobs === 0,
 *   };
 * };
 * const worker = await startProcess({
 *   ...{ id: "solo", processes: ["solo"], store: memoryStore(), transport: new MemoryNetwork().transport() },
 *   application: application(),
 * });
 * await worker.request(5);
 * const snapshot = await quiescent(worker, { application, signal: AbortSignal.timeout(10_000) });
 * if ((await snapshot.state("solo")) !== 0) throw new Error("all is done");
 * await worker.stop();
 * ```
 */
export async function quiescent(
  running: SnapshotTaker,
  options: LookOptions,
): Promise<GlobalSnapshot> {
  const { signal, store } = options;
  for (let everyMs = FIRST_LOOK_MS; ; everyMs = Math.min(LOOK_MS_MAX, 2 * everyMs)) {
    if (signal?.aborted)
      throw new TidemarkError("ABORTED", "the caller gave up waiting", { cause: signal.reason });
    const looked = await look(running, options, ["isPassive"]);
    if ("problem" in looked) {
      const { problem } = looked;
      if (problem.code === "STOPPED" || problem.code === "ABORTED") throw problem;
    } else {
      const { snapshot, state } = looked;
      const detection = detectTermination(state);
      if (detection.detected) return snapshot;
      if (detection.detected === null) throw new TidemarkError("BAD_OPTION", detection.reason);
      await store?.delete(snapshot.id);
    }
    await restUntil(performance.now() + everyMs, signal);
  }
}

/** Takes a snapshot and asks the applications; or says why there is none. */
async function look(
  running: SnapshotTaker,
  { application, signal }: LookOptions,
  only: InspectOptions["only"] & {},
): Promise<
  | { readonly snapshot: GlobalSnapshot; readonly state: GlobalState }
  | { readonly problem: TidemarkError }
> {
  try {
    const snapshot = await running.snapshot(signal ? { signal } : {});
    return { snapshot, state: await inspectSnapshot(snapshot, { application, only }) };
  } catch (thrown) {
    if (isTidemarkError(thrown)) return { problem: thrown };
    throw thrown;
  }
}

/** Ends early, without a word, when the signal comes. */
async function restUntil(atMs: number, signal: AbortSignal | undefined): Promise<void> {
  const leftMs = Math.max(0, atMs - performance.now());
  await pause(leftMs, undefined, signal ? { signal } : {}).catch(() => {});
}
