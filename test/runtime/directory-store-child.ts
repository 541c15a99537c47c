/**
 * A process that uses a directory store until its parent sends it anything, or kills it. It tells what it does,
 * before it deletes and after everything else.
 *
 * usage: node directory-store-child.ts DIRECTORY write|delete|sweep NAME GRACE_MS
 */
import { isTidemarkError } from "../../src/core/error.ts";
import { parseSnapshotId, type SnapshotId, snapshotId } from "../../src/core/id.ts";
import { Random } from "../../src/core/random.ts";
import { directoryStore } from "../../src/runtime/directory-store.ts";
import { bytes, writePieces } from "../../src/runtime/snapshot-store-contract.ts";

/** What a child tells. */
export interface Told {
  readonly what: "committed" | "deleting" | "deleted" | "refused" | "swept";
  readonly id: SnapshotId;
}

const [directory = "", task = "", name = "", graceMs = ""] = process.argv.slice(2);
const options = { sync: false, graceMs: Number(graceMs) };
const random = new Random(`${name} ${process.pid}`);
const store = directoryStore(directory, options);
const tell = (what: Told["what"], id: SnapshotId): boolean | undefined =>
  process.send?.({ what, id });
let ending = false;
process.on("message", () => {
  ending = true;
});
// The parent is gone.
process.on("disconnect", () => process.exit(1));

/** Slices that all processes have in common, some of its own, large and small, and messages in flight. */
async function write(count: number): Promise<void> {
  const id = snapshotId(name, count);
  const states = {
    p1: [bytes(70_000 + random.below(4)), bytes(random.below(1_000))],
    p2: [bytes(80_000 + random.below(1_000)), bytes(9)],
  };
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
    if (!isTidemarkError(error, "DAMAGED")) throw error;
    tell("refused", id);
  }
}

async function deleteSome(keep: number): Promise<void> {
  const ids: SnapshotId[] = [];
  for await (const { id } of store.list()) ids.push(id);
  for (const id of ids.slice(keep)) {
    if (random.chance(0.5)) continue;
    tell("deleting", id);
    if (await store.delete(id)) tell("deleted", id);
  }
}

async function sweep(count: number): Promise<void> {
  const visitor = directoryStore(directory, options);
  const id = snapshotId(name, count);
  await writePieces(visitor, { id, states: { p1: [bytes(75_000 + count)] } });
  await visitor.close();
  tell("swept", id);
}

const tasks: Record<string, (count: number) => Promise<void>> = {
  write: async (count) => {
    await write(count);
    if (count % 5 === 0) await deleteSome(6);
  },
  delete: () => deleteSome(4),
  sweep,
};
for (
  let count = 1 + (await store.lastCount(parseSnapshotId(`${name}/1`).initiator));
  !ending;
  count++
)
  await tasks[task]?.(count);
await store.close();
process.exit(0);
