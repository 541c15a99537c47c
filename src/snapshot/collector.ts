/**
 * The initiator's side of a global snapshot: waits for every piece and settles the outcome.
 *
 * Assumptions. Messages between collector and participants arrive exactly once while both are alive; a
 * participant may vanish.
 *
 * Theory of operation. A participant reports twice: `complete` when its last channel is closed, which makes
 * the cut when all have, and `stored` when its piece is durable. When all are stored the manifest is
 * written, and only a written manifest makes a snapshot. Whatever goes wrong before (a participant
 * fails or is lost, time runs out, the caller gives up) abandons it, once, with a reason. Either way every participant
 * is told how it was settled, so that nobody keeps anything of it.
 */

import type { ProcessId, SnapshotId } from "../core/id.ts";
import type { Machine } from "../core/machine.ts";
import type { PieceRecord } from "./manifest.ts";

/** What happens to the collector. */
export type CollectorInput =
  | {
      readonly type: "begin";
      readonly snapshot: SnapshotId;
      readonly participants: readonly ProcessId[];
      readonly timeoutMs: number;
      readonly nowMs: number;
    }
  | {
      readonly type: "complete";
      readonly from: ProcessId;
      readonly snapshot: SnapshotId;
      readonly nowMs: number;
    }
  | { readonly type: "stored"; readonly from: ProcessId; readonly piece: PieceRecord }
  /** The manifest is written. */
  | { readonly type: "committed"; readonly snapshot: SnapshotId }
  /** The manifest could not be written. */
  | { readonly type: "commit-failed"; readonly snapshot: SnapshotId; readonly reason: string }
  /** Comes too late once the manifest is being written: then only writing decides. */
  | { readonly type: "abandon"; readonly snapshot: SnapshotId; readonly reason: string }
  | { readonly type: "abandon-all"; readonly reason: string }
  | { readonly type: "tick"; readonly nowMs: number };

/** What the driver must do. */
export type CollectorEffect =
  /** Every piece is complete: the cut is made. */
  | { readonly type: "cut"; readonly snapshot: SnapshotId; readonly cutMs: number }
  /** Every piece is stored: write the manifest, then say `committed`. */
  | {
      readonly type: "commit";
      readonly snapshot: SnapshotId;
      readonly startedAtMs: number;
      readonly cutMs: number;
      readonly pieces: readonly PieceRecord[];
    }
  /** It is over; tell every participant. No reason: it is complete. */
  | {
      readonly type: "settled";
      readonly snapshot: SnapshotId;
      readonly reason?: string;
      /** Whom it had waited for, if it was abandoned. */
      readonly late?: Late;
    };

/** Whom a snapshot waits for, ascending. */
export interface Late {
  /** Their channels are not all closed. */
  readonly unclosed: readonly ProcessId[];
  /** Their channels are, and their pieces are not stored. */
  readonly unstored: readonly ProcessId[];
}

/** A snapshot that is being collected. */
export interface Collection {
  readonly startedAtMs: number;
  readonly timeoutMs: number;
  readonly incomplete: Set<ProcessId>;
  readonly unstored: Set<ProcessId>;
  readonly pieces: Map<ProcessId, PieceRecord>;
  cutMs: number;
  /** The manifest is being written. */
  committing: boolean;
}

/** Everything the collector knows; plain data. */
export interface CollectorState {
  readonly collections: Map<SnapshotId, Collection>;
}

/** See the head of the file. */
export class Collector implements Machine<CollectorInput, CollectorEffect, CollectorState> {
  readonly state: CollectorState = { collections: new Map() };

  /** When `tick` is wanted; Infinity if not at all. */
  get deadlineMs(): number {
    let deadline = Number.POSITIVE_INFINITY;
    for (const { startedAtMs, timeoutMs, committing } of this.state.collections.values())
      if (!committing) deadline = Math.min(deadline, startedAtMs + timeoutMs);
    return deadline;
  }

  step(input: CollectorInput): readonly CollectorEffect[] {
    const { collections } = this.state;
    switch (input.type) {
      case "begin":
        collections.set(input.snapshot, {
          startedAtMs: input.nowMs,
          timeoutMs: input.timeoutMs,
          incomplete: new Set(input.participants),
          unstored: new Set(input.participants),
          pieces: new Map(),
          cutMs: 0,
          committing: false,
        });
        return [];
      case "complete":
        return this.#complete(input.from, input.snapshot, input.nowMs);
      case "stored":
        return this.#stored(input.from, input.piece);
      case "committed":
        return collections.delete(input.snapshot)
          ? [{ type: "settled", snapshot: input.snapshot }]
          : [];
      case "commit-failed":
        return collections.delete(input.snapshot)
          ? [{ type: "settled", snapshot: input.snapshot, reason: input.reason }]
          : [];
      case "abandon":
        return this.#abandon(input.snapshot, input.reason);
      case "abandon-all":
        return [...collections.keys()].flatMap((id) => this.#abandon(id, input.reason));
      case "tick":
        return [...collections]
          .filter(([, { startedAtMs, timeoutMs }]) => startedAtMs + timeoutMs <= input.nowMs)
          .flatMap(([id, collection]) => this.#abandon(id, `timeout: ${waitsFor(collection)}`));
    }
  }

  #complete(from: ProcessId, snapshot: SnapshotId, nowMs: number): CollectorEffect[] {
    const collection = this.state.collections.get(snapshot);
    if (!collection?.incomplete.delete(from) || collection.incomplete.size > 0) return [];
    collection.cutMs = nowMs - collection.startedAtMs;
    return [{ type: "cut", snapshot, cutMs: collection.cutMs }];
  }

  #stored(from: ProcessId, piece: PieceRecord): CollectorEffect[] {
    const { snapshot } = piece;
    const collection = this.state.collections.get(snapshot);
    if (!collection || collection.incomplete.has(from) || piece.process !== from) return [];
    if (!collection.unstored.delete(from)) return [];
    collection.pieces.set(from, piece);
    if (collection.unstored.size > 0) return [];
    collection.committing = true;
    const { startedAtMs, cutMs } = collection;
    const pieces = [...collection.pieces.values()].sort((a, b) => (a.process < b.process ? -1 : 1));
    return [{ type: "commit", snapshot, startedAtMs, cutMs, pieces }];
  }

  #abandon(snapshot: SnapshotId, reason: string): CollectorEffect[] {
    const { collections } = this.state;
    const collection = collections.get(snapshot);
    if (collection?.committing !== false) return [];
    collections.delete(snapshot);
    return [{ type: "settled", snapshot, reason, late: lateOf(collection) }];
  }
}

/** Whom a snapshot waits for now. */
export function lateOf({ incomplete, unstored }: Collection): Late {
  return {
    unclosed: [...incomplete].sort(),
    unstored: [...unstored].filter((id) => !incomplete.has(id)).sort(),
  };
}

/** What a snapshot waits for, as in "it waits for". */
export function neededFor(collection: Collection): string {
  const { unclosed, unstored } = lateOf(collection);
  if (unclosed.length > 0) return `the channels of ${unclosed.join(", ")}`;
  if (unstored.length > 0) return `the pieces of ${unstored.join(", ")}`;
  return "its manifest";
}

/** Says whom a snapshot waits for. */
export function waitsFor(collection: Collection): string {
  const { unclosed, unstored } = lateOf(collection);
  if (unclosed.length > 0) return `channels are not closed at ${unclosed.join(", ")}`;
  if (unstored.length > 0) return `pieces are not stored at ${unstored.join(", ")}`;
  return "the manifest is not written";
}
