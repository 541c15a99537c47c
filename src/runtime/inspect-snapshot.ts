/** A stored snapshot as a global state: its applications are made anew, restored, and asked what detectors want to know. */

import type { ProcessId } from "../core/id.ts";
import {
  type Declaration,
  type GlobalState,
  type GlobalStateOptions,
  globalState,
} from "../detect/global-state.ts";
import type { GlobalSnapshot } from "./global-snapshot.ts";

/** How a snapshot is inspected. */
export interface InspectOptions {
  /** As in the definition of the system. An application is restored and asked; it never runs. */
  readonly application: GlobalStateOptions["application"];
  /** Ask for these only: some may take long. @default all */
  readonly only?: readonly Declaration[];
}

/**
 * Reads a whole snapshot, restores an application for each process, and asks it. All states and messages are in memory at once.
 *
 * The snapshot must have been given the codecs of the system, if these are others than JSON or MessagePack; with groups, those that
 * `groupedCodecs` gave. That it is consistent is for `snapshot.verify()` to prove.
 *
 * @throws TidemarkError as `GlobalSnapshot.state`; `BAD_MESSAGE` if an application cannot be restored
 *
 * @example
 * ```ts
 * import { inspectSnapshot, MemoryNetwork, memoryStore, startProcess, type Turn } from "tidemark";
 * import { detectTermination } from "tidemark/detect";
 *
 * const application = () => {
 *   let jobs = 0;
 *   return {
 *     request: (id: number, more: number, turn: Turn<never, number>) => turn.reply(id, (jobs += more)),
 *     capture: () => jobs,
 *     restore: (state: number) => void (jobs = state),
 *     isPassive: () => jobs === 0,
 *   };
 * };
 * const worker = await startProcess({
 *   ...{ id: "solo", processes: ["solo"], store: memoryStore(), transport: new MemoryNetwork().transport() },
 *   application: application(),
 * });
 * const idle = await inspectSnapshot(await worker.snapshot(), { application });
 * await worker.request(3);
 * const busy = await inspectSnapshot(await worker.snapshot(), { application });
 * if (detectTermination(idle).detected !== true) throw new Error("nothing is to be done");
 * if (detectTermination(busy).detected !== false) throw new Error("three jobs are to be done");
 * await worker.stop();
 * ```
 */
export async function inspectSnapshot<State = unknown, M = unknown>(
  snapshot: GlobalSnapshot,
  options: InspectOptions,
): Promise<GlobalState<State, M>> {
  const { processes, channels, renamed } = snapshot.manifest;
  const states: Record<ProcessId, unknown> = {};
  for (const id of processes) states[id] = await snapshot.state(id);
  const inFlight: GlobalStateOptions["inFlight"][number][] = [];
  for (const { from, to } of channels)
    inFlight.push({ from, to, messages: await snapshot.inFlight(from, to) });
  return globalState<State, M>({
    ...options,
    ...{ states, inFlight },
    renamed: renamed && new Map(renamed.map(({ was, is }) => [was, is])),
  });
}
