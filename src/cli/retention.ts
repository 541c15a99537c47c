/**
 * Keeps the newest snapshots of a store and removes the others, but for those with a label. One that is in use, for the present
 * epoch began from it, is kept beside them until the next restore.
 */

import { isTidemarkError, textOf } from "../core/error.ts";
import type { SnapshotId } from "../core/id.ts";
import type { SnapshotStore } from "../runtime/snapshot-store.ts";
import { expired, type Retained } from "../snapshot/retention.ts";

/** So many are removed at a time: each removal keeps those who store a snapshot waiting. */
const BATCH_MAX = 50;

/** See the head of the file. */
export class Retention {
  readonly #store: SnapshotStore;
  readonly #keep: number;
  readonly #problem: (text: string) => void;
  /** Without a label when they were stored, newest first. */
  #snapshots: Retained[] = [];
  /** Those that are to go and could not, for they were in use. */
  #inUse: Retained[] = [];
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
  add(id: SnapshotId): void {
    if (this.#keep === 0) return;
    this.#snapshots.unshift({ id, startedAtMs: Date.now() });
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
      const before: Retained[] = [];
      for await (const { id, label, startedAtMs } of this.#store.list())
        if (label === undefined && !this.#snapshots.some((one) => one.id === id))
          before.push({ id, startedAtMs });
      this.#snapshots.push(...before);
    } catch (error) {
      this.#problem(`old snapshots cannot be listed: ${textOf(error)}`);
    }
  }

  #prune(): void {
    if (this.#keep === 0) return;
    this.#working = this.#working.then(async () => {
      const expiredNow = expired(this.#snapshots, { keep: this.#keep }, Date.now());
      const gone = new Set([...this.#inUse, ...expiredNow]);
      this.#inUse = [];
      this.#snapshots = this.#snapshots.filter((one) => !gone.has(one));
      for (const one of gone) {
        const { id } = one;
        try {
          // Somebody may have given it a label since.
          await this.#store.delete(id, true);
        } catch (error) {
          if (isTidemarkError(error, "IN_USE")) this.#inUse.push(one);
          else this.#problem(`${id} cannot be removed: ${textOf(error)}`);
        }
      }
    });
  }
}
