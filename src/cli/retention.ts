/** Keeps the newest snapshots of a store and removes the others, but for those with a label. */

import { isTidemarkError, textOf } from "../core/error.ts";
import type { SnapshotId } from "../core/id.ts";
import type { SnapshotStore } from "../runtime/snapshot-store.ts";

/** So many are removed at a time: each removal keeps those who store a snapshot waiting. */
const BATCH_MAX = 50;

/** See the head of the file. */
export class Retention {
  readonly #store: SnapshotStore;
  readonly #keep: number;
  readonly #problem: (text: string) => void;
  /** Without a label, oldest first. */
  #snapshots: SnapshotId[] = [];
  #working: Promise<void>;

  /**
   * @param keep how many to keep, 0 for all
   * @param problem hears of what could not be removed
   */
  constructor(store: SnapshotStore, keep: number, problem: (text: string) => void) {
    this.#store = store;
    this.#keep = keep;
    this.#problem = problem;
    this.#working = keep === 0 ? Promise.resolve() : this.#look();
  }

  /** A snapshot without a label was stored. */
  add(snapshot: SnapshotId): void {
    if (this.#keep === 0) return;
    this.#snapshots.push(snapshot);
    const batch = Math.min(BATCH_MAX, Math.ceil(this.#keep / 10));
    if (this.#snapshots.length >= this.#keep + batch) this.#prune();
  }

  /** Removes what is too much now, and waits until that is done. */
  async close(): Promise<void> {
    this.#prune();
    await this.#working;
  }

  /** What was there before. */
  async #look(): Promise<void> {
    try {
      const before: SnapshotId[] = [];
      for await (const { id, label } of this.#store.list())
        if (label === undefined && !this.#snapshots.includes(id)) before.push(id);
      this.#snapshots.unshift(...before.reverse());
    } catch (error) {
      this.#problem(`old snapshots cannot be listed: ${textOf(error)}`);
    }
  }

  #prune(): void {
    if (this.#keep === 0) return;
    this.#working = this.#working.then(async () => {
      const tooMany = Math.max(0, this.#snapshots.length - this.#keep);
      for (const snapshot of this.#snapshots.splice(0, tooMany)) {
        try {
          await this.#store.delete(snapshot);
        } catch (error) {
          // The present epoch began from it: it is looked at again by the next system.
          if (!isTidemarkError(error, "IN_USE"))
            this.#problem(`${snapshot} cannot be removed: ${textOf(error)}`);
        }
      }
    });
  }
}
