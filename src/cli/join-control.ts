/** What one process of a system on several machines can be asked, over the control socket of its directory. */

import { TidemarkError } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";
import type { ControlHandlers } from "../runtime/control-socket.ts";
import type { SnapshotStore } from "../runtime/snapshot-store.ts";
import type {
  SnapshotResult,
  SystemMethods,
  SystemNote,
  SystemStatus,
} from "../serve/system-methods.ts";
import { prove } from "./audit.ts";
import type { Tell } from "./event-log.ts";
import type { HostedProcess } from "./hosted-process.ts";
import { checkRestorable } from "./restore-plan.ts";
import type { SupervisedProcess } from "./supervised-process.ts";
import {
  PATIENCE_MS,
  READ_TIMEOUT_MS,
  RESTORE_PATIENCE_MS,
  STATUS_TIMEOUT_MS,
  within,
} from "./system.ts";
import {
  checkApplicationRequest,
  checkRestoreRequest,
  checkSnapshotRequest,
  checkTracePageRequest,
  checkTraceRequest,
  proofResult,
  restoredText,
} from "./system-control.ts";
import { jsonLine } from "./values.ts";
import { VERSION } from "./version.ts";

/** Whom it is about. */
export interface Joined {
  readonly id: ProcessId;
  /** All of the system. */
  readonly processes: readonly ProcessId[];
  readonly store: SnapshotStore;
  readonly timeoutMs: number;
  /** Undefined while it is starting. */
  readonly supervised: () => SupervisedProcess | undefined;
  readonly status: () => Promise<SystemStatus>;
  readonly notes: readonly SystemNote[];
  readonly tell: Tell;
}

export function joinHandlers(joined: Joined): ControlHandlers<SystemMethods> {
  const { id, processes, store, tell, notes, status } = joined;
  const hosted = (): HostedProcess => hostedOf(joined);
  /** @throws TidemarkError `UNKNOWN_PROCESS` */
  const here = (process: string): HostedProcess => {
    if (process === id) return hosted();
    throw new TidemarkError(
      "UNKNOWN_PROCESS",
      processes.includes(process)
        ? `${process} runs on another machine, and here runs ${id}: ask there`
        : `there is no process ${process}, only ${processes.join(", ")}`,
    );
  };
  return {
    status,
    async versions() {
      const own = { version: VERSION, node: process.versions.node };
      const asked = within(STATUS_TIMEOUT_MS, id, hosted().call("versions", null));
      const told = await asked.then((said) => [{ process: id, ...said }]).catch(() => []);
      return { ...own, processes: told };
    },
    notes: async () => ({ notes }),
    snapshot: async (parameter) => await takeSnapshot(joined, checkSnapshotRequest(parameter)),
    async restore(parameter) {
      const { snapshot, timeoutMs } = checkRestoreRequest(parameter);
      await checkRestorable(store, snapshot, processes);
      const asked = hosted().call("restore", { snapshot, timeoutMs });
      const done = await within(timeoutMs + RESTORE_PATIENCE_MS, id, asked);
      const { epoch, absent } = done;
      tell(restoredText(done), { event: "restored", snapshot, epoch, absent });
      return done;
    },
    async request(parameter) {
      const { process: of, request, timeoutMs } = checkApplicationRequest(parameter);
      const reply = await within(timeoutMs, id, here(of).call("request", request));
      // What has no form in JSON has one for people.
      return { reply: JSON.parse(jsonLine(reply ?? null)) };
    },
    async disturb() {
      throw new TidemarkError("BAD_OPTION", "a system on several machines may not be disturbed");
    },
    async startTrace(parameter) {
      const { options, forMs } = checkTraceRequest(parameter);
      await within(STATUS_TIMEOUT_MS, id, hosted().call("startTrace", { options, forMs }));
      return null;
    },
    async stopTrace() {
      const head = await within(STATUS_TIMEOUT_MS, id, hosted().call("stopTrace", null));
      return { recordings: head ? [head] : [] };
    },
    async readTrace(parameter) {
      const { process: of, from } = checkTracePageRequest(parameter);
      return {
        events: await within(READ_TIMEOUT_MS, id, here(of).call("readTrace", { from })),
      };
    },
  };
}

/**
 * Takes a snapshot of the whole system, and proves it.
 * @throws TidemarkError `SNAPSHOT_ABANDONED`, `BUSY`, `STOPPED`, `PEER_UNREACHABLE`
 */
export async function takeSnapshot(
  joined: Joined,
  { label }: { readonly label?: string } = {},
): Promise<SnapshotResult> {
  const { id, store, timeoutMs } = joined;
  const options = { timeoutMs, ...(label !== undefined && { label }) };
  const asked = hostedOf(joined).call("snapshot", options);
  // It keeps to the time-out by itself, unless it hangs.
  const { snapshot, problem } = await within(timeoutMs + PATIENCE_MS, id, asked);
  if (snapshot === undefined || problem !== undefined)
    throw new TidemarkError("SNAPSHOT_ABANDONED", String(problem));
  return proofResult(await prove(store, snapshot));
}

/** @throws TidemarkError `BUSY` */
function hostedOf({ id, supervised }: Joined): HostedProcess {
  const { hosted } = supervised() ?? {};
  if (hosted) return hosted;
  throw new TidemarkError("BUSY", `${id} is starting: try again in a moment`);
}
