/** What the server of the page asks of what it serves; the command line has the answers. */

import type { ProcessId, SnapshotId } from "../../core/id.ts";
import type { StoredSnapshot } from "../../runtime/snapshot-store.ts";
import type { Attempt } from "../../snapshot/attempt.ts";
import type { OperationsSource } from "../operations.ts";
import type { RedisAddress } from "../redis-connection.ts";
import type { SystemMethods } from "../system-methods.ts";
import type {
  PageAbout,
  PageClone,
  PageCloneRequest,
  PageRestoration,
  PageRestorePlan,
  PageSnapshots,
  PageSnapshotsKind,
} from "./api.ts";
import type { WatchSource } from "./watching.ts";

/**
 * Asks a running system; what it is asked is checked there.
 * @param options.timeoutMs how long it may take there; the caller waits a little longer. @default for ever
 */
export type SystemCaller = <K extends keyof SystemMethods>(
  method: K,
  parameter: SystemMethods[K][0],
  options?: { readonly timeoutMs?: number },
) => Promise<SystemMethods[K][1]>;

/** What is served. Absent parts are answered with `NOT_RUNNING` or `NOT_FOUND`, in words. */
export interface PageBackend {
  about(): Promise<PageAbout>;
  /** Asks the system that runs, if one does. */
  readonly system?: SystemCaller;
  /** The same system, as those ask who operate it. */
  readonly operations?: OperationsSource;
  /** The same system, as detectors look at it. */
  readonly watch?: WatchSource;
  /** The store that runs; present also where one may be started. */
  readonly store?: PageStoreBackend;
  /** A trace or an exported snapshot, as it is in its file. */
  readonly file?: { readonly name: string; read(): Promise<Uint8Array> };
  /** The snapshots of a directory. */
  readonly snapshots?: SnapshotsBackend;
}

/** Which snapshots and attempts are listed. */
export interface SnapshotsQuery {
  readonly from: number;
  readonly limit: number;
  readonly kind: PageSnapshotsKind;
  /** In an id, a label, a reason, or the name of an initiator, however it is written. */
  readonly text: string;
}

/** What is asked of a directory of snapshots. Ids come from outside, and are checked there. */
export interface SnapshotsBackend {
  list(query: SnapshotsQuery): Promise<PageSnapshots>;
  /** @throws TidemarkError `NOT_FOUND`, `DAMAGED`, `KEY_REQUIRED`, `WRONG_KEY` */
  get(id: SnapshotId): Promise<StoredSnapshot>;
  /** The same, as it was when it was asked for before: it may have been deleted since. */
  held(id: SnapshotId): Promise<StoredSnapshot>;
  /** What came of the attempt; undefined if nothing is noted of it. */
  attempt(id: SnapshotId): Promise<Attempt | undefined>;
  /** @throws TidemarkError `NOT_FOUND`, `BAD_OPTION` */
  label(id: SnapshotId, label: string | undefined): Promise<void>;
  /** @throws TidemarkError `NOT_FOUND`, `IN_USE` */
  delete(id: SnapshotId): Promise<void>;
  planRestore(id: SnapshotId, timeoutMs: number): Promise<PageRestorePlan>;
  restore(id: SnapshotId, timeoutMs: number): Promise<PageRestoration>;
  planClone(id: SnapshotId, request: PageCloneRequest): Promise<PageClone>;
  clone(id: SnapshotId, request: PageCloneRequest): Promise<PageClone>;
}

/** How a store is reached by its clients. */
export interface PageStoreBackend {
  /** Where each process serves. @throws TidemarkError `NOT_FOUND`, `NOT_RUNNING` if there is no store */
  serves(): Promise<ReadonlyMap<ProcessId, RedisAddress>>;
  /** What it was started with. */
  readonly password?: string;
}
