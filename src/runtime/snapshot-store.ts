/**
 * The port to where snapshots are kept. Every process writes its own piece; the initiator writes the
 * manifest last, and only then does the snapshot exist. Whoever restores writes one record, that an epoch begins
 * from a snapshot; that record is the restore, and all else follows from it.
 */

import { TidemarkError } from "../core/error.ts";
import { type ProcessId, parseSnapshotId, type SnapshotId } from "../core/id.ts";
import { type AttemptNote, checkNote } from "../snapshot/attempt.ts";
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

/** The last epoch there can be: frames have 32 bits for it. */
export const EPOCH_MAX: number = 2 ** 32 - 1;

/** That the system was restored: which epoch began, and from what. */
export interface EpochRecord {
  /** From 1 to 2^32 - 1. */
  readonly epoch: number;
  readonly snapshot: SnapshotId;
  /** When it began, in milliseconds since 1970, by the clock of whoever restored. */
  readonly atMs: number;
  /** Who restored, for people to read: 1 to 256 characters. */
  readonly by: string;
}

/**
 * Gives the record back, as a copy with nothing else in it, if it is well formed; for stores, in `beginEpoch` and when they read one.
 * @throws TidemarkError `BAD_OPTION`, `BAD_ID`
 */
export function checkEpochRecord(record: EpochRecord): EpochRecord {
  const { epoch, snapshot, atMs, by } = record;
  const bad = (what: string): TidemarkError =>
    new TidemarkError("BAD_OPTION", `the record of an epoch needs ${what}`);
  if (!Number.isInteger(epoch) || epoch < 1 || epoch > EPOCH_MAX)
    throw bad("an epoch from 1 to 2^32 - 1");
  if (!Number.isFinite(atMs) || atMs < 0) throw bad("atMs, milliseconds since 1970");
  if (typeof by !== "string" || by.length < 1 || by.length > 256)
    throw bad("by, a text of 1 to 256 characters");
  return { epoch, snapshot: parseSnapshotId(snapshot).id, atMs, by };
}

/**
 * Gives the note back, as a copy with nothing else in it, if it is well formed; for stores.
 * @throws TidemarkError `BAD_OPTION`
 */
export function checkedNote(note: AttemptNote): AttemptNote {
  const checked = checkNote(note);
  if ("note" in checked) return checked.note;
  throw new TidemarkError("BAD_OPTION", `it is not the note of an attempt: ${checked.problem}`);
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
   * The newest epoch that began in this store; `undefined` if the system was never restored. What it tells survives a crash.
   * @throws TidemarkError `DAMAGED` naming the file when the newest record is not what was written; never an older one instead
   */
  epoch(): Promise<EpochRecord | undefined>;
  /**
   * Begins an epoch from a snapshot that is in this store: all or nothing, and once resolved it survives a crash. Epochs may be
   * left out. An error that is not `definite` leaves open whether it began: `epoch` tells.
   * @throws TidemarkError `EPOCH_TAKEN` if that epoch or a later one has begun: of two who restore at once exactly one succeeds;
   * `NOT_FOUND` if the snapshot is not there, `DAMAGED` if its manifest is not what was written or a part of it is missing;
   * `BAD_OPTION`, `BAD_ID`
   */
  beginEpoch(record: EpochRecord): Promise<void>;
  /**
   * Gives a snapshot that label in place of the one it has, or none. Whoever reads meanwhile gets the old one or the new
   * one. False if there is no such snapshot.
   * @throws TidemarkError `BAD_OPTION` if the label has not 1 to 256 characters, `DAMAGED`
   */
  label(id: SnapshotId, label: string | undefined): Promise<boolean>;
  /**
   * Removes a snapshot and the parts that no other snapshot needs. False if there was none.
   * @param unlabelled true: only if it has no label at that moment; else it stays, and this gives false
   * @throws TidemarkError `IN_USE` if the newest epoch began from it, for processes that come back later need it; `DAMAGED`
   * naming the record when it cannot be known from which one that was
   */
  delete(id: SnapshotId, unlabelled?: boolean): Promise<boolean>;
  /**
   * Keeps what a process knows of an attempt at a snapshot, beside the notes before; the oldest notes of a process go, so that
   * what is kept has a bound. A crash of the OS process loses nothing, one of the machine the latest notes.
   * @throws TidemarkError `BAD_OPTION` if it is not well formed
   */
  note(note: AttemptNote): Promise<void>;
  /**
   * All notes that are kept, those of one process in the order in which it made them. What is damaged is skipped; `damaged` is told.
   * `attemptsOf` puts them together.
   */
  notes(damaged?: (error: Error) => void): AsyncIterable<AttemptNote>;
  /** Ends use by this process. */
  close(): Promise<void>;
}
