/** The snapshots of a directory, for its page: what the commands do, done for whoever looks at it in a browser. */

import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { isTidemarkError, TidemarkError, textOf } from "../core/error.ts";
import type { SnapshotId } from "../core/id.ts";
import type { DirectoryStore } from "../runtime/directory-store.ts";
import { readAttempts } from "../runtime/read-attempts.ts";
import type { StoredSnapshot } from "../runtime/snapshot-store.ts";
import type {
  PageClone,
  PageCloneRequest,
  PageRestoration,
  PageRestorePlan,
  PageSnapshots,
} from "../serve/web/api.ts";
import type { SnapshotsBackend, SnapshotsQuery, SystemCaller } from "../serve/web/backend.ts";
import type { Attempt } from "../snapshot/attempt.ts";
import { cloneProven, planProven } from "./clone.ts";
import { checkRestorable, planFromNow, restoreLater } from "./restore-plan.ts";
import { SnapshotIndex } from "./snapshot-index.ts";
import { checkLabel } from "./store.ts";

/** So many snapshots that were asked for last are kept at hand: not what they hold, but where it lies. */
const HELD = 4;

/** See the head of the file. */
export class PageSnapshotStore implements SnapshotsBackend {
  readonly #directory: string;
  readonly #store: DirectoryStore;
  readonly #openOther: (directory: string) => DirectoryStore;
  readonly #system: SystemCaller;
  readonly #index: SnapshotIndex;
  readonly #held = new Map<SnapshotId, StoredSnapshot>();

  /**
   * @param store of the directory
   * @param openOther the store of another directory, with the same key
   * @param system asks the system that runs in it; says `NOT_RUNNING` if none does
   */
  constructor(
    directory: string,
    store: DirectoryStore,
    openOther: (directory: string) => DirectoryStore,
    system: SystemCaller,
  ) {
    this.#directory = directory;
    this.#store = store;
    this.#openOther = openOther;
    this.#system = system;
    this.#index = new SnapshotIndex(store);
  }

  /** The store is closed by who has opened it. */
  async close(): Promise<void> {
    await this.#index.close();
  }

  async list(query: SnapshotsQuery): Promise<PageSnapshots> {
    return await this.#index.list(query);
  }

  async get(id: SnapshotId): Promise<StoredSnapshot> {
    this.#held.delete(id);
    const stored = await this.#store.get(id);
    if (!stored) throw nothing(id);
    return this.#hold(id, stored);
  }

  async held(id: SnapshotId): Promise<StoredSnapshot> {
    const held = this.#held.get(id);
    return held ? this.#hold(id, held) : await this.get(id);
  }

  #hold(id: SnapshotId, stored: StoredSnapshot): StoredSnapshot {
    this.#held.delete(id);
    this.#held.set(id, stored);
    for (const oldest of this.#held.keys()) {
      if (this.#held.size <= HELD) break;
      this.#held.delete(oldest);
    }
    return stored;
  }

  async attempt(id: SnapshotId): Promise<Attempt | undefined> {
    return (await readAttempts(this.#store)).find(({ snapshot }) => snapshot === id);
  }

  async label(id: SnapshotId, label: string | undefined): Promise<void> {
    const isThere = await this.#store.label(id, label === undefined ? label : checkLabel(label));
    this.#changed(id);
    if (!isThere) throw nothing(id);
  }

  async delete(id: SnapshotId): Promise<void> {
    const wasThere = await this.#store.delete(id);
    this.#changed(id);
    if (!wasThere) throw nothing(id);
  }

  async planRestore(id: SnapshotId, timeoutMs: number): Promise<PageRestorePlan> {
    const before = await checkRestorable(this.#store, id);
    let taken: SnapshotId | undefined;
    let reason: string | undefined;
    const running = await this.#isRunning();
    if (running)
      try {
        taken = (await this.#system("snapshot", {}, { timeoutMs })).snapshot;
        this.#index.changed();
      } catch (error) {
        reason = textOf(error);
      }
    const plan = await planFromNow(this.#store, before, taken);
    return {
      ...plan,
      running,
      isTaken: taken !== undefined,
      ...(reason !== undefined && { reason }),
    };
  }

  async restore(id: SnapshotId, timeoutMs: number): Promise<PageRestoration> {
    await checkRestorable(this.#store, id);
    try {
      if (!(await this.#isRunning())) {
        const epoch = await restoreLater(this.#store, this.#directory, id, "the page");
        return { snapshot: id, running: false, epoch, absent: [] };
      }
      const done = await this.#system("restore", { snapshot: id, timeoutMs }, { timeoutMs });
      return { ...done, running: true };
    } finally {
      this.#index.changed();
    }
  }

  async planClone(id: SnapshotId, request: PageCloneRequest): Promise<PageClone> {
    return await this.#toOther(id, request, planProven);
  }

  async clone(id: SnapshotId, request: PageCloneRequest): Promise<PageClone> {
    return await this.#toOther(id, request, cloneProven);
  }

  async #toOther(
    snapshot: SnapshotId,
    request: PageCloneRequest,
    clone: typeof cloneProven,
  ): Promise<PageClone> {
    const directory = resolve(request.directory);
    if ((await stat(directory).catch(() => undefined))?.isDirectory() === false)
      throw new TidemarkError(
        "BAD_OPTION",
        `${directory} is a file: name a directory, or what is not there yet`,
      );
    const other = this.#openOther(directory);
    try {
      return { snapshot, directory, ...(await clone(this.#store, snapshot, other, request)) };
    } finally {
      await other.close();
    }
  }

  async #isRunning(): Promise<boolean> {
    try {
      await this.#system("status", null);
      return true;
    } catch (error) {
      if (isTidemarkError(error, "NOT_RUNNING")) return false;
      throw error;
    }
  }

  /** What others change is seen when the list is asked for, and a label when the page is loaded. */
  #changed(id: SnapshotId): void {
    this.#held.delete(id);
    this.#index.changed();
  }
}

function nothing(id: SnapshotId): TidemarkError {
  return new TidemarkError("NOT_FOUND", `there is no snapshot ${id}`);
}
