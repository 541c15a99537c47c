/**
 * Snapshots of processes whose only channels are streams of JetStream (nats-process.ts), and their restore.
 *
 * Theory of operation. Whoever takes one is no process of the system: he counts it in `control`, where all processes look, and waits until
 * each has left the checkpoint that it recorded. Then he reads what the streams hold between the position of the reader that is
 * farthest behind and the end, puts the cut together (stream-cut.ts), and writes it into a store as the global snapshot that it is:
 * streams are processes of it, called `stream.NAME`. So everything that reads snapshots reads this one, and the verifier proves it like
 * any other. Any number may be under way.
 *
 * A restore. What each process begins with, its checkpoint of the snapshot, is written beside what is there, and one
 * write begins the epoch. The streams are not touched: what was in flight is still in them, and what was sent after the snapshot is
 * passed over by all who live in the new epoch, for its stamp says when it was sent. What came from outside
 * after the snapshot is had again: nobody took it back.
 */

import { setTimeout as pause } from "node:timers/promises";
import { nuid } from "@nats-io/transport-node";
import { TidemarkError, textOf } from "../core/error.ts";
import { checkForm } from "../core/form.ts";
import { type ProcessId, type SnapshotId, snapshotId } from "../core/id.ts";
import type { Channel } from "../core/topology.ts";
import type { SnapshotStore, StoredPiece, StoredSnapshot } from "../runtime/snapshot-store.ts";
import { MANIFEST_FORMAT, type Manifest, type PieceRecord } from "../snapshot/manifest.ts";
import { labelled } from "../snapshot/manifest-check.ts";
import type { NatsOptions, NatsSession } from "./connection.ts";
import { epochOf, openControl } from "./nats-process.ts";
import {
  type Control,
  OPEN_MAX,
  type StreamControl,
  type StreamState,
  streamStateForm,
} from "./stream-control.ts";
import { cutOf, type StreamCut, sentCounts, windowBegin } from "./stream-cut.ts";
import { type Checkpoint, jsonText } from "./stream-ledger.ts";
import { placeOf, readWindow } from "./stream-reader.ts";

/** How far a snapshot is. */
export type NatsSnapshotProgress =
  | {
      readonly phase: "recording";
      readonly recorded: number;
      readonly processes: number;
      /** Who has not recorded yet. */
      readonly missing: readonly ProcessId[];
    }
  | { readonly phase: "reading"; readonly stream: string };

export interface NatsSnapshotOptions extends NatsOptions {
  /**
   * As the processes have it.
   * @default "tidemark"
   */
  readonly prefix?: string;
  /**
   * As the processes have it.
   * @default 1
   */
  readonly replicas?: 1 | 3;
  /** All streams that the processes read and write: if one is missing, or one is too many, that is an error. */
  readonly streams: readonly string[];
  /** Where the snapshot goes: any store. */
  readonly store: SnapshotStore;
  readonly label?: string;
  /**
   * For how long processes may take to record, in milliseconds.
   * @default 30_000
   */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: NatsSnapshotProgress) => void;
}

const LOOK_MS = 25;
/** What a stream may hold between the reader that is farthest behind and its end: it goes through memory. */
const WINDOW_BYTES_MAX = 268_435_456;
const encoding = "json";

/** Among processes. */
export function streamProcess(stream: string): ProcessId {
  return `stream.${stream}`;
}

/**
 * Takes one snapshot of all processes with that prefix and of the streams between them.
 *
 * @throws TidemarkError `NOT_FOUND` if there are no processes; `BAD_OPTION` if the streams are not theirs; `SNAPSHOT_ABANDONED` if one
 * does not record in time, or a stream has lost what is needed; `ABORTED`, `STORE_FAILED`
 */
export async function takeNatsSnapshot(options: NatsSnapshotOptions): Promise<Manifest> {
  const { store, timeoutMs = 30_000 } = options;
  if (typeof timeoutMs !== "number" || !(timeoutMs > 0))
    throw new TidemarkError(
      "BAD_OPTION",
      `timeoutMs is ${timeoutMs}; use more than 0 milliseconds`,
    );
  const { session, control } = openControl(options);
  try {
    const begun = await begin(control, options);
    try {
      return await complete(session, control, begun, options);
    } catch (error) {
      // What is left is removed by whoever takes the next one, or sweeps the store.
      await store.abandon(begun.id).catch(() => {});
      throw error;
    } finally {
      await settle(control, begun.count).catch(() => {});
    }
  } finally {
    await session.close();
  }
}

/** A snapshot that processes are about to record. */
interface Begun {
  readonly id: SnapshotId;
  readonly count: number;
  readonly control: Control;
  readonly processes: readonly ProcessId[];
  readonly startedAtMs: number;
  readonly startMs: number;
}

async function begin(
  control: StreamControl,
  { streams, store, prefix = "tidemark" }: NatsSnapshotOptions,
): Promise<Begun> {
  checkStreams((await control.read()).value, streams, prefix);
  const [first = ""] = (await control.read()).value.processes.map(({ process }) => process);
  // The store knows counts that the bucket does not, if that was made anew.
  const used = first === "" ? 0 : await store.lastCount(first);
  const startedAtMs = Date.now();
  const startMs = performance.now();
  const now = await control.update((before) => {
    checkStreams(before, streams, prefix);
    const count = Math.max(before.snapshots, used) + 1;
    const processes = before.processes.map(({ process }) => process);
    const open = [...before.open, { count, processes }].slice(-OPEN_MAX);
    return { ...before, snapshots: count, open };
  });
  const count = now.snapshots;
  const processes = now.processes.map(({ process }) => process);
  await control.sweep(now.open);
  const [initiator = ""] = processes;
  return {
    ...{ id: snapshotId(initiator, count), count, control: now, processes },
    ...{ startedAtMs, startMs },
  };
}

/** @throws TidemarkError `NOT_FOUND`, `BAD_OPTION` */
function checkStreams(control: Control, streams: readonly string[], prefix: string): void {
  if (control.processes.length === 0)
    throw new TidemarkError(
      "NOT_FOUND",
      `no process with the prefix ${prefix} uses streams here: start them by startNatsProcess, or record positions alone`,
    );
  const bad = (what: string): TidemarkError => new TidemarkError("BAD_OPTION", what);
  for (const { process, reads, writes } of control.processes) {
    const missing = [...reads, ...writes].find((stream) => !streams.includes(stream));
    if (missing !== undefined)
      throw bad(
        `${process} uses the stream ${missing} as well: without it the cut would have a hole, so name it, too`,
      );
  }
  const used = new Set(control.processes.flatMap(({ reads, writes }) => [...reads, ...writes]));
  const idle = streams.find((stream) => !used.has(stream));
  if (idle !== undefined)
    throw bad(
      `no process with the prefix ${prefix} uses the stream ${idle}: leave it out, or record positions alone`,
    );
}

async function complete(
  session: NatsSession,
  control: StreamControl,
  begun: Begun,
  options: NatsSnapshotOptions,
): Promise<Manifest> {
  const { id, count, startMs, startedAtMs, processes } = begun;
  const { store, prefix = "tidemark", label, streams, onProgress } = options;
  const checkpoints = await piecesOf(control, begun, options);
  const cutMs = performance.now() - startMs;
  const { lineage } = begun.control;
  const cuts: (StreamCut & { readonly created: string })[] = [];
  for (const stream of [...new Set(streams)].sort()) {
    onProgress?.({ phase: "reading", stream });
    const from = windowBegin(stream, checkpoints);
    // Behind everything that any process has had or published when it recorded.
    const place = await placeOf(session, stream);
    if (!place) throw abandoned(id, `the stream ${stream} is gone`);
    if (place.first > from + 1 && checkpoints.some(({ reads }) => reads.some(isOf(stream))))
      throw abandoned(
        id,
        `the stream ${stream} begins at ${place.first}, but a process has had it up to ${from} only: its limits removed the rest`,
      );
    const messages = await readWindow(session, stream, from, place.last, WINDOW_BYTES_MAX);
    const found = cutOf(count, checkpoints, { stream, to: place.last, messages }, lineage);
    if ("problem" in found) throw abandoned(id, found.problem);
    cuts.push({ ...found.cut, created: place.created });
    options.signal?.throwIfAborted();
  }

  const pieces: PieceRecord[] = [];
  for (const checkpoint of checkpoints) {
    const { process } = checkpoint;
    pieces.push(
      await writePiece(store, begun, process, checkpoint.state, checkpoint.atMs, {
        incoming: cuts.flatMap((cut) => endsAt(cut.readers, process, streamProcess(cut.stream))),
        outgoing: cuts.flatMap((cut) => endsAt(cut.writers, process, streamProcess(cut.stream))),
      }),
    );
  }
  for (const cut of cuts) {
    const state = streamState(cut, checkpoints, begun.control);
    pieces.push(
      await writePiece(store, begun, streamProcess(cut.stream), state, Date.now(), {
        incoming: cut.writers.map((writer) => ({ ...writer, peer: writer.process })),
        outgoing: cut.readers.map((reader) => ({ ...reader, peer: reader.process })),
      }),
    );
  }
  pieces.sort((a, b) => (a.process < b.process ? -1 : 1));
  const channels: Channel[] = pieces.flatMap(({ process, outgoing }) =>
    outgoing.map(({ to }) => ({ from: process, to })),
  );
  const [initiator = ""] = processes;
  const manifest = labelled(
    {
      ...{ format: MANIFEST_FORMAT, id, system: prefix, epoch: epochOf(begun.control), initiator },
      ...{ startedAtMs, cutMs, processes: pieces.map(({ process }) => process), channels, pieces },
    },
    label,
  );
  await store.writeManifest(manifest);
  return manifest;
}

const isOf =
  (name: string) =>
  ({ stream }: { readonly stream: string }): boolean =>
    stream === name;

/** Waits until every process has recorded. */
async function piecesOf(
  control: StreamControl,
  { id, count, processes, control: began, startMs }: Begun,
  { timeoutMs = 30_000, signal, onProgress }: NatsSnapshotOptions,
): Promise<Checkpoint[]> {
  let told = -1;
  for (;;) {
    const recorded = await control.recorded(count);
    const missing = processes.filter((process) => !recorded.has(process));
    if (recorded.size !== told)
      onProgress?.({
        ...{ phase: "recording", recorded: processes.length - missing.length },
        ...{ processes: processes.length, missing },
      });
    told = recorded.size;
    if (missing.length === 0) break;
    if (signal?.aborted) throw new TidemarkError("ABORTED", `${id} was given up`);
    if (performance.now() - startMs > timeoutMs)
      throw abandoned(
        id,
        `${missing.slice(0, 5).join(", ")}${missing.length > 5 ? ", …" : ""} did not record within ${timeoutMs} ms. ` +
          "Start what does not run; `tidemark nats forget` takes out what is gone for good",
      );
    await pause(LOOK_MS);
    const { value } = await control.read();
    if (epochOf(value) !== epochOf(began))
      throw abandoned(id, "the system was restored to a snapshot meanwhile");
    if (!value.open.some((one) => one.count === count))
      throw abandoned(id, `${OPEN_MAX} others were begun after it`);
  }
  const pieces: Checkpoint[] = [];
  for (const process of processes) {
    const piece = await control.piece(count, process);
    if (!piece) throw abandoned(id, `what ${process} recorded is gone`);
    pieces.push(piece);
  }
  return pieces;
}

async function settle(control: StreamControl, count: number): Promise<void> {
  const { open } = await control.update((now) => ({
    ...now,
    open: now.open.filter((one) => one.count !== count),
  }));
  await control.sweep(open);
}

function streamState(
  { stream, created, sequence }: StreamCut & { readonly created: string },
  checkpoints: readonly Checkpoint[],
  { lineage }: Control,
): StreamState {
  return {
    ...{ stream, created, sequence, lineage },
    readers: checkpoints.flatMap(({ process, reads }) =>
      reads.filter(isOf(stream)).map((reading) => ({ process, ...reading })),
    ),
    writers: checkpoints.flatMap(({ process, writes, unpublished }) =>
      writes.filter(isOf(stream)).map((writing) => ({
        ...{ process, ...writing },
        unpublished: unpublished.filter(isOf(stream)),
      })),
    ),
  };
}

/** A channel as one of its ends sees it. */
type ChannelEnd = StreamCut["readers"][number] & { readonly peer: ProcessId };

function endsAt(
  channels: StreamCut["readers"],
  process: ProcessId,
  peer: ProcessId,
): readonly ChannelEnd[] {
  return channels.filter((one) => one.process === process).map((one) => ({ ...one, peer }));
}

async function writePiece(
  store: SnapshotStore,
  { id, control }: Begun,
  process: ProcessId,
  state: unknown,
  recordedAtMs: number,
  ends: { readonly incoming: readonly ChannelEnd[]; readonly outgoing: readonly ChannelEnd[] },
): Promise<PieceRecord> {
  const stored: StoredPiece = await store.writePiece({
    ...{ snapshot: id, process, state: [Buffer.from(jsonText(state, "the state"))] },
    channels: new Map(
      ends.incoming
        .filter(({ inFlight }) => inFlight.length > 0)
        .map(({ peer, inFlight }) => [peer, inFlight]),
    ),
  });
  const byPeer = (a: ChannelEnd, b: ChannelEnd): number => (a.peer < b.peer ? -1 : 1);
  return {
    ...{ snapshot: id, process, epoch: epochOf(control) },
    state: { encoding, sliced: false, parts: stored.state },
    messageEncoding: encoding,
    incoming: ends.incoming.toSorted(byPeer).map(({ peer, received, inFlight }) => {
      const part = stored.channels.get(peer);
      return {
        ...{ from: peer, received: received.count, hash: received.hash },
        ...{ inFlight: inFlight.length, ...(part && { part }) },
      };
    }),
    outgoing: ends.outgoing.toSorted(byPeer).map(({ peer, sent }) => {
      return { to: peer, sent: sent.count, hash: sent.hash };
    }),
    timing: { recordedAtMs, recordingMs: 0, captureMs: 0 },
  };
}

function abandoned(id: SnapshotId, why: string): TidemarkError {
  return new TidemarkError("SNAPSHOT_ABANDONED", `${id} was abandoned: ${why}`);
}

export interface NatsRestoreOptions
  extends NatsOptions,
    Pick<NatsSnapshotOptions, "prefix" | "replicas"> {
  /** A snapshot that `takeNatsSnapshot` took, of the processes with that prefix. */
  readonly snapshot: StoredSnapshot;
}

/**
 * Begins an epoch from a snapshot: processes that run end with `RESTORED`, and each one that is started goes on from there. Gives the
 * epoch.
 *
 * @throws TidemarkError `BAD_OPTION` if it is a snapshot of something else; `DAMAGED` if a stream does not hold any more what was in
 * flight; `STORE_FAILED`
 */
export async function restoreNatsSnapshot(options: NatsRestoreOptions): Promise<number> {
  const { snapshot, prefix = "tidemark" } = options;
  const { manifest } = snapshot;
  if (manifest.system !== prefix)
    throw new TidemarkError(
      "BAD_OPTION",
      `${manifest.id} is of the system ${manifest.system}, not of processes with the prefix ${prefix}`,
    );
  const { states, streams } = await contentsOf(snapshot);
  const { session, control } = openControl(options);
  try {
    for (const state of streams) await checkStream(session, manifest.id, state);
    for (;;) {
      const { value, revision } = await control.read();
      const epoch = epochOf(value) + 1;
      const { snapshots } = value;
      const checkpoints = [...states].map(([process, state]) =>
        checkpointOf(process, state, streams, epoch, snapshots),
      );
      const name = nuid.next();
      for (const checkpoint of checkpoints) await control.writeRestored(name, checkpoint);
      const [{ lineage } = value] = streams;
      const restored: Control = {
        ...{ snapshots, open: [], restored: { name, snapshots } },
        processes: participants(value, checkpoints),
        lineage: [...lineage, { epoch, counts: sentCounts(checkpoints) }],
      };
      if (!(await control.write({ value: restored, revision }))) continue;
      await control.sweepRestored(name);
      return epoch;
    }
  } finally {
    await session.close();
  }
}

/** The states of processes and of streams. */
async function contentsOf({ manifest, part }: StoredSnapshot): Promise<{
  readonly states: ReadonlyMap<ProcessId, unknown>;
  readonly streams: readonly StreamState[];
}> {
  const states = new Map<ProcessId, unknown>();
  const streams: StreamState[] = [];
  for (const { process, state } of manifest.pieces) {
    const [reference] = state.parts;
    let value: unknown;
    try {
      if (!reference || state.encoding !== encoding) throw new Error(`${process} has no JSON`);
      value = JSON.parse(Buffer.from(await part(reference)).toString());
    } catch (error) {
      if (error instanceof TidemarkError) throw error;
      throw notOurs(manifest.id, textOf(error));
    }
    if (!process.startsWith("stream.")) {
      states.set(process, value);
      continue;
    }
    const checked = checkForm(streamStateForm, value);
    if ("problem" in checked) throw notOurs(manifest.id, `${process}: ${checked.problem}`);
    streams.push(checked.copy);
  }
  if (streams.length === 0) throw notOurs(manifest.id, "it has no streams");
  return { states, streams };
}

function notOurs(id: SnapshotId, why: string): TidemarkError {
  return new TidemarkError(
    "BAD_OPTION",
    `${id} is no snapshot of processes that use streams: ${why}`,
  );
}

/** @throws TidemarkError `DAMAGED` if it is another one, or what was in flight is gone */
async function checkStream(
  session: NatsSession,
  id: SnapshotId,
  { stream, created, readers, writers }: StreamState,
): Promise<void> {
  const damaged = (why: string): TidemarkError =>
    new TidemarkError("DAMAGED", `${id} cannot be restored: the stream ${stream} ${why}`);
  const place = await placeOf(session, stream);
  if (!place) throw damaged("is not there");
  const had = Math.max(
    ...readers.map((one) => one.position),
    ...writers.map((one) => one.position),
  );
  if (place.created !== created || place.last < had) throw damaged("was made anew since");
  const behind = readers.find(({ position }) => place.first > position + 1);
  if (behind)
    throw damaged(
      `begins at ${place.first}, and ${behind.process} goes on from ${behind.position + 1}: its limits have removed what is between`,
    );
}

function checkpointOf(
  process: ProcessId,
  state: unknown,
  streams: readonly StreamState[],
  epoch: number,
  snapshots: number,
): Checkpoint {
  const writers = streams.flatMap((one) => one.writers).filter((one) => one.process === process);
  const readers = streams.flatMap((one) => one.readers).filter((one) => one.process === process);
  return {
    ...{ process, epoch, snapshots, recorded: [], atMs: Date.now(), state },
    reads: readers.map(({ process: _, ...reading }) => reading),
    writes: writers.map(({ process: _, unpublished: __, ...writing }) => writing),
    unpublished: writers.flatMap(({ unpublished }) => unpublished),
  };
}

/** Who takes part from then on: those of the snapshot, and whoever came later, who begins anew. */
function participants(
  { processes, snapshots }: Control,
  checkpoints: readonly Checkpoint[],
): Control["processes"] {
  const restored = checkpoints.map(({ process, reads, writes }) => ({
    ...{ process, joined: snapshots },
    reads: reads.map(({ stream }) => stream).sort(),
    writes: writes.map(({ stream }) => stream).sort(),
  }));
  const known = new Set(checkpoints.map(({ process }) => process));
  const others = processes
    .filter(({ process }) => !known.has(process))
    .map((one) => ({ ...one, joined: snapshots }));
  return [...restored, ...others].sort((a, b) => (a.process < b.process ? -1 : 1));
}
