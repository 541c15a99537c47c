/**
 * What is written of a global snapshot. One JSON manifest, written last, says everything but the
 * bodies: who took part, which channels there are, and each process' piece with its certificate. The
 * bodies (states, and messages in flight) are *parts*: runs of bytes named by their SHA-256.
 * The format is open; docs/internals/snapshot-format.md describes it for other programs.
 */

import { type ProcessId, parseSnapshotId, type SnapshotId } from "../core/id.ts";
import type { Channel } from "../core/topology.ts";

/** The value of `Manifest.format`. A program refuses a format that it does not know. */
export const MANIFEST_FORMAT = "tidemark-snapshot/1";

/** A run of bytes in a store. */
export interface PartReference {
  /** Of the part's bytes, 64 hexadecimal digits. */
  readonly sha256: string;
  readonly bytes: number;
  /** Parts of one piece may be stored together in a pack: its name, a SHA-256 over theirs, or 64 digits by chance … */
  readonly pack?: string;
  /** … and where in the pack this part begins. */
  readonly offset?: number;
  /** The part is compressed by zstd in its pack, to so many bytes. */
  readonly zstd?: number;
  /** The part is encrypted in its pack, after it was compressed. */
  readonly sealed?: true;
}

/** What one process recorded of one incoming channel. */
export interface IncomingRecord {
  readonly from: ProcessId;
  /** Messages that the process had received on the channel when it recorded its state. */
  readonly received: number;
  /** The channel hash over exactly those: a running one, or a set hash if they come in no order. */
  readonly hash: string;
  /** Messages in flight: the channel state. */
  readonly inFlight: number;
  /** The messages in flight as records (core/record.ts), in the order in which they came. Absent when there are none. */
  readonly part?: PartReference;
}

/** What one process recorded of one outgoing channel. */
export interface OutgoingRecord {
  readonly to: ProcessId;
  /** Messages that the process had sent on the channel when it recorded its state. */
  readonly sent: number;
  /** The channel hash over exactly those. */
  readonly hash: string;
}

/** A timer that was set and not due. */
export interface TimerRecord {
  readonly name: string;
  /** After the recording. */
  readonly afterMs: number;
}

/** One process' part of a global snapshot. */
export interface PieceRecord {
  readonly snapshot: SnapshotId;
  readonly process: ProcessId;
  readonly epoch: number;
  readonly state: {
    /** The name of the codec that made the bytes, e.g. `msgpack`. */
    readonly encoding: string;
    /** False: a plain value, in one part. True: a frozen state, one part per slice, in order. */
    readonly sliced: boolean;
    readonly parts: readonly PartReference[];
  };
  /** The name of the codec that made the messages in flight. */
  readonly messageEncoding: string;
  /** Ascending by `from`. */
  readonly incoming: readonly IncomingRecord[];
  /** Ascending by `to`. */
  readonly outgoing: readonly OutgoingRecord[];
  /** Ascending by name. Absent when there are none. */
  readonly timers?: readonly TimerRecord[];
  readonly timing: PieceTiming;
}

/** How long a process was busy with a snapshot, in milliseconds of its own clock. */
export interface PieceTiming {
  /** Wall-clock time of recording, milliseconds since 1970 by that process' clock. */
  readonly recordedAtMs: number;
  /** From recording until the last channel was closed. */
  readonly recordingMs: number;
  /** What the application's `capture` and the encoding of a plain state took: the pause. */
  readonly captureMs: number;
  /** From the last channel's closing until the piece was durable; absent if that is not known. */
  readonly storedMs?: number;
}

/** A whole global snapshot, but for the bodies. */
export interface Manifest {
  readonly format: typeof MANIFEST_FORMAT;
  readonly id: SnapshotId;
  /** Given by whoever asked for the snapshot. */
  readonly label?: string;
  /** The name of the system. */
  readonly system: string;
  readonly epoch: number;
  readonly initiator: ProcessId;
  /** Wall-clock time at the initiator, milliseconds since 1970. */
  readonly startedAtMs: number;
  /** From initiation until the initiator knew that every piece was complete, in milliseconds. */
  readonly cutMs: number;
  /** Ascending. */
  readonly processes: readonly ProcessId[];
  /** By source, then destination. */
  readonly channels: readonly Channel[];
  /** One for each process, ascending. */
  readonly pieces: readonly PieceRecord[];
  /** Of a clone: the processes that had other names when they were recorded. Ascending by the new ones. */
  readonly renamed?: readonly Renaming[];
}

/** A process of a clone. */
export interface Renaming {
  readonly was: ProcessId;
  readonly is: ProcessId;
}

/** One line of a listing. */
export interface SnapshotSummary {
  readonly id: SnapshotId;
  readonly label?: string;
  readonly system: string;
  readonly epoch: number;
  readonly startedAtMs: number;
  readonly cutMs: number;
  readonly processes: number;
  /** Messages in flight over all channels. */
  readonly inFlight: number;
  /** Size of all parts together. */
  readonly bytes: number;
}

/** Every part that a manifest refers to, piece by piece. */
export function* partsOf(manifest: Manifest): Generator<PartReference> {
  for (const piece of manifest.pieces) {
    yield* piece.state.parts;
    for (const { part } of piece.incoming) if (part) yield part;
  }
}

/** The order of a listing: by start, then by count, the later one first. */
export function newestFirst(
  a: Pick<SnapshotSummary, "id" | "startedAtMs">,
  b: Pick<SnapshotSummary, "id" | "startedAtMs">,
): number {
  return (
    b.startedAtMs - a.startedAtMs ||
    parseSnapshotId(b.id).count - parseSnapshotId(a.id).count ||
    (a.id < b.id ? -1 : 1)
  );
}

/** The summary of a manifest. */
export function summarise(manifest: Manifest): SnapshotSummary {
  let inFlight = 0;
  let bytes = 0;
  for (const part of partsOf(manifest)) bytes += part.bytes;
  for (const piece of manifest.pieces)
    for (const incoming of piece.incoming) inFlight += incoming.inFlight;
  const { id, label, system, epoch, startedAtMs, cutMs } = manifest;
  return {
    id,
    ...(label === undefined ? {} : { label }),
    system,
    epoch,
    startedAtMs,
    cutMs,
    processes: manifest.processes.length,
    inFlight,
    bytes,
  };
}
