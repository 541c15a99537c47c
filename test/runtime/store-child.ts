/**
 * A process that uses a store of snapshots until its parent sends it anything, or kills it. It tells what it does, before it writes or
 * deletes and after everything else.
 *
 * usage: node store-child.ts PLACE TASK NAME; a `Place` as JSON
 */
import { isTidemarkError } from "../../src/core/error.ts";
import { parseSnapshotId, type SnapshotId, snapshotId } from "../../src/core/id.ts";
import { Random } from "../../src/core/random.ts";
import { type NatsStoreOptions, natsStore } from "../../src/nats/nats-store.ts";
import { type DirectoryStoreOptions, directoryStore } from "../../src/runtime/directory-store.ts";
import type { SnapshotStore } from "../../src/runtime/snapshot-store.ts";
import { bytes, writePieces } from "../../src/runtime/snapshot-store-contract.ts";

/** Where snapshots lie. */
export type Place =
  | { readonly directory: string; readonly options: DirectoryStoreOptions }
  | { readonly nats: NatsStoreOptions };

/** Writes, and deletes now and then; deletes; leaves pieces and sweeps; begins epochs. */
export type Task = "write" | "delete" | "sweep" | "begin";

/** What a child tells. */
export interface Told {
  readonly what:
    | "writing"
    | "committed"
    | "refused"
    | "deleting"
    | "deleted"
    | "kept"
    | "swept"
    | "begun";
  readonly id: SnapshotId;
  /** The one that has begun. */
  readonly epoch?: number | undefined;
}

const [where = "", task = "", name = ""] = process.argv.slice(2);
const place = JSON.parse(where) as Place;
const open = (): SnapshotStore =>
  "nats" in place ? natsStore(place.nats) : directoryStore(place.directory, place.options);
const random = new Random(`${name} ${process.pid}`);
const store = open();
/** On NATS several chunks; in a directory more than what small parts are put together in. */
const LARGE_BYTES = "nats" in place ? 300_000 : 70_000;
const tell = (what: Told["what"], id: SnapshotId, epoch?: number): boolean | undefined =>
  process.send?.({ what, id, epoch });
let ending = false;
process.on("message", () => {
  ending = true;
});
// The parent is gone.
process.on("disconnect", () => process.exit(1));

/** Slices that others have too, some of its own, large and small, and messages in flight. */
async function write(count: number): Promise<void> {
  const id = snapshotId(name, count);
  const states = {
    p1: [bytes(LARGE_BYTES + random.below(4)), bytes(random.below(1_000))],
    p2: [bytes(80_000 + random.below(1_000)), bytes(9)],
  };
  tell("writing", id);
  const { manifest } = await writePieces(store, { id, states });
  if (random.chance(0.2)) {
    await store.abandon(id);
    return;
  }
  try {
    await store.writeManifest(manifest);
    tell("committed", id);
  } catch (error) {
    // It waited for longer than the grace period.
    const swept = isTidemarkError(error, "STORE_FAILED") && /graceMs/.test(error.message);
    if (!swept && !isTidemarkError(error, "DAMAGED")) throw error;
    tell("refused", id);
  }
}

async function deleteSome(keep: number): Promise<void> {
  const ids: SnapshotId[] = [];
  for await (const { id } of store.list()) ids.push(id);
  for (const id of ids.slice(keep)) {
    if (random.chance(0.5)) continue;
    tell("deleting", id);
    try {
      if (await store.delete(id)) tell("deleted", id);
    } catch (error) {
      if (!isTidemarkError(error, "IN_USE")) throw error;
      tell("kept", id);
    }
  }
}

async function sweep(count: number): Promise<void> {
  const visitor = open();
  const id = snapshotId(name, count);
  await writePieces(visitor, { id, states: { p1: [bytes(75_000 + count)] } });
  await visitor.close();
  tell("swept", id);
}

/** Begins the next epoch from any snapshot, if nobody else does, and reads what it began from. */
async function begin(): Promise<void> {
  const ids: SnapshotId[] = [];
  for await (const { id } of store.list()) ids.push(id);
  const snapshot = random.pick(ids);
  const epoch = 1 + ((await store.epoch())?.epoch ?? 0);
  // Gives way: there may be nothing to begin from for a while.
  await new Promise((resolve) => setTimeout(resolve, random.below(10)));
  if (!snapshot) return;
  try {
    await store.beginEpoch({ epoch, snapshot, atMs: Date.now(), by: name });
  } catch (error) {
    const late = isTidemarkError(error, "EPOCH_TAKEN") || isTidemarkError(error, "NOT_FOUND");
    // On NATS there is no lock: a part may be deleted while it is looked at.
    if (!late && !("nats" in place && isTidemarkError(error, "DAMAGED"))) throw error;
    return;
  }
  tell("begun", snapshot, epoch);
}

const tasks: Readonly<Record<Task, (count: number) => Promise<void>>> = {
  write: async (count) => {
    await write(count);
    if (count % 5 === 0) await deleteSome(6);
  },
  delete: () => deleteSome(4),
  sweep,
  begin,
};
for (
  let count = 1 + (await store.lastCount(parseSnapshotId(`${name}/1`).initiator));
  !ending;
  count++
)
  await tasks[task as Task](count);
await store.close();
process.exit(0);
