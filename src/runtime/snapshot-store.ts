/**
 * The port to where snapshots are kept. Every process writes its own piece; the initiator writes the
 * manifest last, and only then does the snapshot exist.
 */

import type { ProcessId, SnapshotId } from "../core/id.ts";
import type { Manifest, PartReference, SnapshotSummary } from "../snapshot/manifest.ts";

/** The bodies of one process' piece, as they are lent to a store: once `writePiece` has ended they are written over. */
export interface PieceBodies {
  readonly snapshot: SnapshotId;
  readonly process: ProcessId;
  /** The slices of the state, in order; each becomes one part. */
  readonly state: Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
  /** The messages in flight of each incoming channel that has any, as records in order. */
  readonly channels: ReadonlyMap<ProcessId, readonly Uint8Array[]>;
}

/** Where the bodies of a piece are now. */
export interface StoredPiece {
  readonly state: readonly PartReference[];
  readonly channels: ReadonlyMap<ProcessId, PartReference>;
}

/** A snapshot that is in a store. */
export interface StoredSnapshot {
  readonly manifest: Manifest;
  /**
   * The bytes of one part of this snapshot, checked against its SHA-256.
   * @throws TidemarkError `DAMAGED` naming the file, `NOT_FOUND` if the snapshot was deleted meanwhile
   */
  part(reference: PartReference): Promise<Uint8Array>;
}

/** Keeps snapshots. All methods throw `STORE_FAILED` when the medium does, with the cause. */
export interface SnapshotStore {
  /**
   * Writes the bodies of a piece. Once resolved they survive a crash, but no snapshot is listed yet.
   * An error that `state` throws is passed on.
   * @throws TidemarkError `SNAPSHOT_ABANDONED` if `abandon` came meanwhile
   */
  writePiece(bodies: PieceBodies): Promise<StoredPiece>;
  /**
   * Writes the manifest, and with it the snapshot: all or nothing, and once resolved it survives a crash.
   * Every part must be there, or `DAMAGED` is thrown and nothing is listed. A manifest is never replaced:
   * for an id that is in the store already it throws `STORE_FAILED`.
   */
  writeManifest(manifest: Manifest): Promise<void>;
  /** Forgets pieces of a snapshot that will have no manifest. Does nothing if there are none. */
  abandon(id: SnapshotId): Promise<void>;
  /** @throws TidemarkError `DAMAGED` naming the file when the manifest is not what was written */
  get(id: SnapshotId): Promise<StoredSnapshot | undefined>;
  /** Newest first. A damaged manifest is skipped here; `damaged` is told. */
  list(damaged?: (error: Error) => void): AsyncIterable<SnapshotSummary>;
  /** The highest count that `initiator` has used in this store, 0 if none: new ids go on from there. */
  lastCount(initiator: ProcessId): Promise<number>;
  /**
   * Gives a snapshot that label in place of the one it has, or none. Whoever reads meanwhile gets the old one or the new
   * one. False if there is no such snapshot.
   * @throws TidemarkError `BAD_OPTION` if the label has not 1 to 256 characters, `DAMAGED`
   */
  label(id: SnapshotId, label: string | undefined): Promise<boolean>;
  /**
   * Removes a snapshot and the parts that no other snapshot needs. False if there was none.
   * @param unlabelled true: only if it has no label at that moment; else it stays, and this gives false
   */
  delete(id: SnapshotId, unlabelled?: boolean): Promise<boolean>;
  /** Ends use by this process. */
  close(): Promise<void>;
}
