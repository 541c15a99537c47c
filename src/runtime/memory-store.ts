/** Snapshots in memory, for tests, demos and processes that restore only while they live. */

import { hash } from "node:crypto";
import { TidemarkError } from "../core/error.ts";
import { checkProcessId, type ProcessId, parseSnapshotId, type SnapshotId } from "../core/id.ts";
import type { AttemptNote } from "../snapshot/attempt.ts";
import {
  type Manifest,
  newestFirst,
  type PartReference,
  partsOf,
  type SnapshotSummary,
  summarise,
} from "../snapshot/manifest.ts";
import { checkManifest, labelled } from "../snapshot/manifest-check.ts";
import {
  checkEpochRecord,
  checkedNote,
  type EpochRecord,
  type PieceBodies,
  type SnapshotStore,
  type StoredPiece,
  type StoredSnapshot,
} from "./snapshot-store.ts";

/**
 * Keeps snapshots in the memory of this OS process: nothing survives its end. Several running processes
 * may share one store, and must, if their pieces are to meet in one snapshot. `close` changes nothing.
 *
 * @example
 * ```ts
 * import { memoryStore } from "tidemark";
 * const store = memoryStore();
 * for await (const snapshot of store.list()) throw new Error(`unexpected: ${snapshot.id}`);
 * if ((await store.lastCount("p1")) !== 0) throw new Error("a new store has seen no snapshot");
 * ```
 */
export function memoryStore(): SnapshotStore {
  return new MemoryStore();
}

/** A run of bytes, kept while a pending or committed snapshot holds it. */
interface Part {
  readonly bytes: Uint8Array;
  holders: number;
}

/** The SHA-256 of every part that a snapshot holds, each once. */
type Holdings = Set<string>;

/** Of one process, at least. */
const NOTES_KEPT = 1_000;

class MemoryStore implements SnapshotStore {
  readonly #parts = new Map<string, Part>();
  /** What was written for snapshots that have no manifest yet. */
  readonly #pending = new Map<SnapshotId, Holdings>();
  /** Manifests as text, so that whoever reads one gets a copy of their own. */
  readonly #committed = new Map<
    SnapshotId,
    { readonly manifest: string; readonly summary: SnapshotSummary; readonly holdings: Holdings }
  >();
  readonly #lastCounts = new Map<ProcessId, number>();
  readonly #notes = new Map<ProcessId, AttemptNote[]>();
  /** The newest. */
  #epoch: EpochRecord | undefined;

  async writePiece({ snapshot, process, state, channels }: PieceBodies): Promise<StoredPiece> {
    this.#noteCount(snapshot);
    checkProcessId(process);
    const holdings = this.#pending.get(snapshot) ?? new Set();
    this.#pending.set(snapshot, holdings);
    const put = (bytes: Uint8Array): PartReference => {
      // Nothing would ever release what is put after the snapshot has ended.
      if (this.#pending.get(snapshot) !== holdings)
        throw new TidemarkError("SNAPSHOT_ABANDONED", `${snapshot} ended while it was written`);
      const sha256 = hash("sha256", bytes);
      // A copy: the caller may use its buffer again.
      if (!this.#parts.has(sha256))
        this.#parts.set(sha256, { bytes: new Uint8Array(bytes), holders: 0 });
      this.#hold(holdings, sha256);
      return { sha256, bytes: bytes.length };
    };
    const slices: PartReference[] = [];
    for await (const slice of state) slices.push(put(slice));
    return {
      state: slices,
      channels: new Map([...channels].map(([from, runs]) => [from, put(Buffer.concat(runs))])),
    };
  }

  async writeManifest(manifest: Manifest): Promise<void> {
    const { id } = manifest;
    this.#noteCount(id);
    const checked = checkManifest(manifest);
    if ("problem" in checked)
      throw new TidemarkError("DAMAGED", `the manifest of ${id} is not valid: ${checked.problem}`);
    if (this.#committed.has(id))
      throw new TidemarkError("STORE_FAILED", `snapshot ${id} is in the store already`);
    for (const reference of partsOf(checked.manifest)) this.#find(reference);
    const holdings: Holdings = new Set();
    for (const { sha256 } of partsOf(checked.manifest)) this.#hold(holdings, sha256);
    this.#committed.set(id, {
      manifest: JSON.stringify(checked.manifest),
      summary: summarise(checked.manifest),
      holdings,
    });
    this.#endPending(id);
  }

  async abandon(id: SnapshotId): Promise<void> {
    parseSnapshotId(id);
    this.#endPending(id);
  }

  async get(id: SnapshotId): Promise<StoredSnapshot | undefined> {
    parseSnapshotId(id);
    const committed = this.#committed.get(id);
    return (
      committed && {
        manifest: JSON.parse(committed.manifest),
        part: async (reference) => {
          if (!this.#committed.has(id) && !this.#parts.has(reference.sha256))
            throw new TidemarkError("NOT_FOUND", `${id} has been deleted`);
          return this.#find(reference).slice();
        },
      }
    );
  }

  async *list(): AsyncGenerator<SnapshotSummary> {
    yield* [...this.#committed.values()].map(({ summary }) => summary).sort(newestFirst);
  }

  async lastCount(initiator: ProcessId): Promise<number> {
    return this.#lastCounts.get(checkProcessId(initiator)) ?? 0;
  }

  async label(id: SnapshotId, label: string | undefined): Promise<boolean> {
    parseSnapshotId(id);
    const committed = this.#committed.get(id);
    if (!committed) return false;
    const manifest = labelled(JSON.parse(committed.manifest), label);
    this.#committed.set(id, {
      ...committed,
      manifest: JSON.stringify(manifest),
      summary: summarise(manifest),
    });
    return true;
  }

  async delete(id: SnapshotId, unlabelled = false): Promise<boolean> {
    parseSnapshotId(id);
    const committed = this.#committed.get(id);
    if (!committed || (unlabelled && committed.summary.label !== undefined)) return false;
    if (this.#epoch?.snapshot === id)
      throw new TidemarkError(
        "IN_USE",
        `epoch ${this.#epoch.epoch} began from ${id}: it can be deleted after the next restore`,
      );
    this.#committed.delete(id);
    this.#drop(committed.holdings);
    return true;
  }

  async epoch(): Promise<EpochRecord | undefined> {
    return this.#epoch && { ...this.#epoch };
  }

  async beginEpoch(record: EpochRecord): Promise<void> {
    const checked = checkEpochRecord(record);
    const { epoch, snapshot } = checked;
    if (this.#epoch && this.#epoch.epoch >= epoch)
      throw new TidemarkError("EPOCH_TAKEN", `epoch ${this.#epoch.epoch} has begun already`);
    const committed = this.#committed.get(snapshot);
    if (!committed)
      throw new TidemarkError("NOT_FOUND", `${snapshot} is not in the store: no epoch begins`);
    this.#epoch = checked;
  }

  async note(note: AttemptNote): Promise<void> {
    const checked = checkedNote(note);
    const notes = this.#notes.get(checked.by) ?? [];
    this.#notes.set(checked.by, notes);
    notes.push(structuredClone(checked));
    if (notes.length >= 2 * NOTES_KEPT) notes.splice(0, notes.length - NOTES_KEPT);
  }

  async *notes(): AsyncGenerator<AttemptNote> {
    for (const notes of [...this.#notes.values()]) yield* structuredClone(notes);
  }

  async close(): Promise<void> {}

  #noteCount(id: SnapshotId): void {
    const { initiator, count } = parseSnapshotId(id);
    this.#lastCounts.set(initiator, Math.max(count, this.#lastCounts.get(initiator) ?? 0));
  }

  #find({ sha256, bytes }: PartReference): Uint8Array {
    const part = this.#parts.get(sha256);
    if (part?.bytes.length === bytes) return part.bytes;
    throw new TidemarkError(
      "DAMAGED",
      `part ${sha256} with ${bytes} bytes is ${part ? `${part.bytes.length} bytes long` : "missing"}`,
    );
  }

  #hold(holdings: Holdings, sha256: string): void {
    if (holdings.has(sha256)) return;
    holdings.add(sha256);
    (this.#parts.get(sha256) as Part).holders += 1;
  }

  #drop(holdings: Holdings): void {
    for (const sha256 of holdings) {
      const part = this.#parts.get(sha256) as Part;
      part.holders -= 1;
      if (part.holders === 0) this.#parts.delete(sha256);
    }
  }

  /** Lets go of what was written for a snapshot, which has its manifest now or never will. */
  #endPending(id: SnapshotId): void {
    const holdings = this.#pending.get(id);
    this.#pending.delete(id);
    this.#drop(holdings ?? new Set());
  }
}
