/**
 * A process that uses a store on NATS until its parent sends it anything, or kills it. It tells what it does, before it writes or deletes
 * and after everything else.
 *
 * usage: node nats-store-child.ts URLS PREFIX REPLICAS write|delete|begin NAME GRACE_MS
 */
import { isTidemarkError } from "../../src/core/error.ts";
import { parseSnapshotId, type SnapshotId, snapshotId } from "../../src/core/id.ts";
import { Random } from "../../src/core/random.ts";
import { natsStore } from "../../src/nats/nats-store.ts";
import { bytes, writePieces } from "../../src/runtime/snapshot-store-contract.ts";

/** What a child tells. */
export interface Told {
  readonly what: "writing" | "committed" | "deleting" | "deleted" | "kept" | "refused" | "begun";
  readonly id: SnapshotId;
  /** The one that has begun. */
  readonly epoch?: number | undefined;
}

const [servers = "", prefix = "", replicas = "", task = "", name = "", graceMs = ""] =
  process.argv.slice(2);
const random = new Random(`${name} ${process.pid}`);
const store = natsStore({
  ...{ servers, prefix, replicas: replicas === "3" ? 3 : 1, graceMs: Number(graceMs) },
});
const tell = (what: Told["what"], id: SnapshotId, epoch?: number): boolean | undefined =>
  process.send?.({ what, id, epoch });
let ending = false;
process.on("message", () => {
  ending = true;
});
// The parent is gone.
process.on("disconnect", () => process.exit(1));

/** Slices large and small, and messages in flight. */
async function write(count: number): Promise<void> {
  const id = snapshotId(name, count);
  const states = {
    p1: [bytes(300_000 + random.below(4)), bytes(random.below(1_000))],
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
    const late = (["EPOCH_TAKEN", "NOT_FOUND", "DAMAGED"] as const).some((code) =>
      isTidemarkError(error, code),
    );
    if (!late) throw error;
    return;
  }
  tell("begun", snapshot, epoch);
}

const tasks: Record<string, (count: number) => Promise<void>> = {
  write: async (count) => {
    await write(count);
    if (count % 5 === 0) await deleteSome(6);
  },
  delete: () => deleteSome(4),
  begin,
};
for (
  let count = 1 + (await store.lastCount(parseSnapshotId(`${name}/1`).initiator));
  !ending;
  count++
)
  await tasks[task]?.(count);
await store.close();
process.exit(0);
