/**
 * A second system from a snapshot of a first one, which runs on: the snapshot is copied to a store of its own, with other names of
 * processes if wanted, and an epoch begins there from it. Whoever starts the second system on that store goes on from it.
 *
 * Nothing in a certificate depends on names, so the copy proves itself as the original does. Names that an application has put
 * into its state or messages are its own: `Application.restore` is told what has been renamed.
 */

import { TidemarkError } from "../core/error.ts";
import { checkProcessId, type ProcessId, parseSnapshotId, type SnapshotId } from "../core/id.ts";
import type { Manifest, PieceRecord } from "../snapshot/manifest.ts";
import type { SnapshotStore, StoredSnapshot } from "./snapshot-store.ts";

/** How `cloneSnapshot` names things. */
export interface CloneOptions {
  /** New names of processes, by the old ones; the others keep theirs. @default {} */
  readonly rename?: Readonly<Record<ProcessId, ProcessId>>;
  /** The name of the second system. @default that of the first */
  readonly system?: string;
  /** Called after each process, with how many are done. */
  readonly onProgress?: (done: number, processes: number) => void;
}

/**
 * Copies a snapshot, without its label, into another store, which must be without an epoch, and begins epoch 2 there from it. If it
 * is interrupted, the other store has a snapshot too few or one too many, and no epoch.
 *
 * @returns the id of the copy: that of the original, with the initiator's new name
 * @throws TidemarkError `NOT_FOUND`, `DAMAGED`, `STORE_FAILED`; `UNKNOWN_PROCESS`, `BAD_ID`, `BAD_OPTION` for names; `EPOCH_TAKEN`
 *   if a system has begun from a snapshot in that store already
 *
 * @example
 * ```ts
 * import { cloneSnapshot, memoryStore } from "tidemark";
 * const [first, second] = [memoryStore(), memoryStore()];
 * // await cloneSnapshot(first, "p1/7", second, { rename: { p1: "a", p2: "b" } });
 * await first.close();
 * await second.close();
 * ```
 */
export async function cloneSnapshot(
  from: SnapshotStore,
  id: SnapshotId,
  to: SnapshotStore,
  options: CloneOptions = {},
): Promise<SnapshotId> {
  const stored = await from.get(id);
  if (!stored) throw new TidemarkError("NOT_FOUND", `there is no snapshot ${id}`);
  // The label is the user's, who gave it to the original.
  const { label: _, ...manifest } = stored.manifest;
  const { copy, system, epoch, nameOf } = await planClone(manifest, to, options);
  const pieces: PieceRecord[] = [];
  for (const piece of manifest.pieces) {
    pieces.push(await copyPiece(stored, piece, to, copy, nameOf));
    options.onProgress?.(pieces.length, manifest.pieces.length);
  }
  const byName = (one: string, other: string): number => (one < other ? -1 : 1);
  const renamed = manifest.processes
    .map((was) => ({ was, is: nameOf(was) }))
    .filter(({ was, is }) => was !== is)
    .sort((one, other) => byName(one.is, other.is));
  await to.writeManifest({
    ...manifest,
    id: copy,
    system,
    initiator: nameOf(manifest.initiator),
    processes: manifest.processes.map(nameOf).sort(),
    channels: manifest.channels
      .map((channel) => ({ from: nameOf(channel.from), to: nameOf(channel.to) }))
      .sort((one, other) => byName(`${one.from} ${one.to}`, `${other.from} ${other.to}`)),
    pieces: pieces.sort((one, other) => byName(one.process, other.process)),
    ...(renamed.length > 0 && { renamed }),
  });
  const by = `a clone of ${id} of ${manifest.system}`.slice(0, 256);
  await to.beginEpoch({ epoch, snapshot: copy, atMs: Date.now(), by });
  return copy;
}

/** What a clone would be called, and all in it. */
export interface ClonePlan {
  /** The id of the copy. */
  readonly copy: SnapshotId;
  readonly system: string;
  readonly epoch: number;
  nameOf(was: ProcessId): ProcessId;
}

/**
 * Looks whether a snapshot can be cloned into that store, and changes nothing.
 * @throws TidemarkError `UNKNOWN_PROCESS`, `BAD_ID`, `BAD_OPTION` for names; `EPOCH_TAKEN`
 */
export async function planClone(
  manifest: Manifest,
  to: SnapshotStore,
  { rename = {}, system = manifest.system }: CloneOptions,
): Promise<ClonePlan> {
  const begun = await to.epoch();
  if (begun)
    throw new TidemarkError(
      "EPOCH_TAKEN",
      `a system has begun there from ${begun.snapshot}, in epoch ${begun.epoch}: clone into another directory`,
    );
  const nameOf = naming(manifest, rename);
  const { initiator, count } = parseSnapshotId(manifest.id);
  return { copy: `${nameOf(initiator)}/${count}`, system, epoch: manifest.epoch + 1, nameOf };
}

function naming(
  { processes, id }: Manifest,
  rename: Readonly<Record<ProcessId, ProcessId>>,
): (was: ProcessId) => ProcessId {
  const names = new Map(Object.entries(rename));
  for (const [was, is] of names) {
    checkProcessId(is);
    if (processes.includes(was)) continue;
    const known = processes.join(", ");
    throw new TidemarkError("UNKNOWN_PROCESS", `${id} has no ${was} to rename, only ${known}`);
  }
  const nameOf = (was: ProcessId): ProcessId => names.get(was) ?? was;
  const all = processes.map(nameOf);
  const twice = all.find((one, i) => all.indexOf(one) < i);
  if (twice === undefined) return nameOf;
  throw new TidemarkError("BAD_OPTION", `two processes would have the name ${twice}`);
}

async function copyPiece(
  stored: StoredSnapshot,
  piece: PieceRecord,
  to: SnapshotStore,
  snapshot: SnapshotId,
  nameOf: (was: ProcessId) => ProcessId,
): Promise<PieceRecord> {
  async function* slices(): AsyncGenerator<Uint8Array> {
    for (const part of piece.state.parts) yield await stored.part(part);
  }
  const channels = new Map<ProcessId, readonly Uint8Array[]>();
  for (const { from, part } of piece.incoming)
    if (part) channels.set(nameOf(from), [await stored.part(part)]);
  const process = nameOf(piece.process);
  const bodies = await to.writePiece({ snapshot, process, state: slices(), channels });
  const incoming = piece.incoming.map(({ from, part: _, ...rest }) => {
    const part = bodies.channels.get(nameOf(from));
    return { ...rest, from: nameOf(from), ...(part && { part }) };
  });
  const outgoing = piece.outgoing.map((channel) => ({ ...channel, to: nameOf(channel.to) }));
  return {
    ...piece,
    snapshot,
    process,
    state: { ...piece.state, parts: bodies.state },
    incoming: incoming.sort((one, other) => (one.from < other.from ? -1 : 1)),
    outgoing: outgoing.sort((one, other) => (one.to < other.to ? -1 : 1)),
  };
}
