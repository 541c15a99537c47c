/** A snapshot that is named on the command line. */

import { TidemarkError } from "../core/error.ts";
import { parseSnapshotId } from "../core/id.ts";
import { directoryStore } from "../runtime/directory-store.ts";
import { GlobalSnapshot } from "../runtime/global-snapshot.ts";

/** @throws TidemarkError `BAD_ID`, `NOT_FOUND`, `DAMAGED`, `STORE_FAILED` */
export async function openSnapshot(text: string, directory: string): Promise<GlobalSnapshot> {
  const { id } = parseSnapshotId(text);
  const stored = await directoryStore(directory).get(id);
  if (stored) return new GlobalSnapshot(stored);
  throw new TidemarkError(
    "NOT_FOUND",
    `there is no snapshot ${id} in ${directory}: tidemark snapshots lists those that there are`,
  );
}
