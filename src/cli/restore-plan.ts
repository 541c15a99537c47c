/** Whether a snapshot can be restored, what would be lost by it, and a restore where no system runs. */

import { TidemarkError } from "../core/error.ts";
import type { ProcessId, SnapshotId } from "../core/id.ts";
import { ControlServer } from "../runtime/control-socket.ts";
import { GlobalSnapshot } from "../runtime/global-snapshot.ts";
import type { SnapshotStore } from "../runtime/snapshot-store.ts";
import type { RestorePlan } from "../serve/web/api.ts";
import type { Manifest, SnapshotSummary } from "../snapshot/manifest.ts";
import { newestEpoch } from "./system-directory.ts";

/**
 * Proves a snapshot from its files, every part of it, and gives its manifest.
 *
 * @param processes those of the system that is to be restored
 * @throws TidemarkError `NOT_FOUND`, `DAMAGED` also if it is not consistent, `UNKNOWN_PROCESS` if it is of other processes, `STORE_FAILED`
 */
export async function checkRestorable(
  store: SnapshotStore,
  id: SnapshotId,
  processes?: readonly ProcessId[],
): Promise<Manifest> {
  const stored = await store.get(id);
  if (!stored)
    throw new TidemarkError(
      "NOT_FOUND",
      `there is no snapshot ${id}: tidemark snapshots lists those that there are`,
    );
  const { manifest } = stored;
  const verdict = await new GlobalSnapshot(stored).verify();
  if (!verdict.consistent)
    throw new TidemarkError("DAMAGED", `${id} is not proven: ${verdict.place} ${verdict.reason}`);
  if (processes && String([...processes].sort()) !== String(manifest.processes))
    throw new TidemarkError(
      "UNKNOWN_PROCESS",
      `${id} has ${manifest.processes.join(", ")}, and the system ${processes.join(", ")}`,
    );
  return manifest;
}

/**
 * What a restore would take back, compared with a later snapshot.
 * @param taken that one was taken for the comparison, and is nothing that there was before
 */
export async function planRestore(
  store: SnapshotStore,
  before: Manifest,
  after: Manifest,
  taken: boolean,
): Promise<RestorePlan> {
  let snapshotsSince = 0;
  let inFlight = 0;
  for await (const { id, startedAtMs } of store.list())
    if (startedAtMs > before.startedAtMs && !(taken && id === after.id)) snapshotsSince += 1;
  for (const piece of before.pieces)
    for (const channel of piece.incoming) inFlight += channel.inFlight;
  const record = await store.epoch();
  // A restore goes on counting from what the snapshot says.
  const comparable =
    before.epoch === after.epoch ||
    (record?.epoch === after.epoch && record.snapshot === before.id);
  const processes = before.processes.map((process) => {
    const then = countsIn(before, process);
    const now = countsIn(after, process);
    if (!comparable || !then || !now) return { process };
    return { process, sent: now.sent - then.sent, received: now.received - then.received };
  });
  return {
    snapshot: before.id,
    now: after.id,
    agoMs: after.startedAtMs - before.startedAtMs,
    snapshotsSince,
    processes,
    inFlight,
  };
}

/**
 * The same, compared with what there is now: a snapshot that was taken for it, or else the newest one.
 * @param taken the one that was taken, if one could be
 */
export async function planFromNow(
  store: SnapshotStore,
  before: Manifest,
  taken: SnapshotId | undefined,
): Promise<RestorePlan> {
  const id = taken ?? (await newestSnapshot(store))?.id ?? before.id;
  const after = (await store.get(id))?.manifest ?? before;
  return await planRestore(store, before, after, taken !== undefined);
}

/**
 * Writes the record alone: whoever starts next finds it. As long as it takes, no system can start. Gives the epoch.
 * @param by who restores
 * @throws TidemarkError `ALREADY_RUNNING`; as `beginEpoch`
 */
export async function restoreLater(
  store: SnapshotStore,
  directory: string,
  snapshot: SnapshotId,
  by: string,
): Promise<number> {
  const lock = await ControlServer.listen(directory, {});
  try {
    const epoch = Math.max(1, await newestEpoch(directory, store)) + 1;
    await store.beginEpoch({ epoch, snapshot, atMs: Date.now(), by });
    return epoch;
  } finally {
    await lock.close();
  }
}

/** The newest snapshot of a store. */
export async function newestSnapshot(
  store: SnapshotStore,
  damaged?: (error: Error) => void,
): Promise<SnapshotSummary | undefined> {
  for await (const summary of store.list(damaged)) return summary;
  return undefined;
}

function countsIn(
  { pieces }: Manifest,
  process: ProcessId,
): { readonly sent: number; readonly received: number } | undefined {
  const piece = pieces.find((one) => one.process === process);
  return (
    piece && {
      sent: piece.outgoing.reduce((sum, { sent }) => sum + sent, 0),
      received: piece.incoming.reduce((sum, { received }) => sum + received, 0),
    }
  );
}
