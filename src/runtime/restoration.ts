/** What came of a restore of a whole system. */

import type { ProcessId, SnapshotId } from "../core/id.ts";

/** What came of a restore. */
export interface Restoration {
  readonly snapshot: SnapshotId;
  /** The epoch that began with it. */
  readonly epoch: number;
  /** Processes that were not there in time: they follow when they come back. */
  readonly absent: readonly ProcessId[];
  /** The snapshot that was taken after it, and is consistent: the system goes on. Absent when it could not be taken in time. */
  readonly proof?: SnapshotId;
  /** Why not. */
  readonly reason?: string;
}
