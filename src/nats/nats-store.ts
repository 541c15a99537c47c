/**
 * Snapshots on NATS JetStream, which any number of OS processes on any number of machines use at once.
 *
 *     KV_PREFIX-register    a key-value bucket
 *       snapshot.p2.7         p2/7 is there: its summary with its label, and where its manifest lies
 *       epoch.2               epoch 2 began, and from which snapshot; the highest one counts
 *     OBJ_PREFIX-pieces     an object bucket: the bytes of each piece and of each manifest (objects.ts)
 *     PREFIX-notes          a stream
 *       PREFIX.notes.p2       what p2 noted of attempts at snapshots, the latest 500
 *
 * What is in the register has the SHA-256 of its lines on its first one; a manifest is as in the file of one (manifest-file.ts),
 * but without its label.
 *
 * Theory of operation. Everything of a snapshot lies in objects that are its own, under its id: nobody else needs them. So a part is
 * never shared, nothing is counted, and to delete a snapshot is to take its key away and then its objects. The key of a snapshot is
 * written last, after a look at every chunk that it needs, and only if it never was: an id whose key was taken away is dead for
 * ever. Whoever wants to remove what has no key yet therefore takes that key away first. If the snapshot was written in the meantime,
 * that is refused; if not, its writer will be. So no snapshot that is there loses anything, whatever anybody's clock says.
 *
 * What has no key is litter, or it is waiting for its manifest. Its writers know; when they are dead nobody does. So whoever has written a
 * manifest sweeps now and then: what has a dead id goes at once, what has none goes when nobody has written to any of its objects for
 * `graceMs`, by the server's clock. A wrong guess costs the waiting snapshot, which is refused, and no other. The marks of dead ids
 * are forgotten later, but the one with the highest count of each initiator: counts go on from there.
 *
 * Epochs. That one begins depends on the newest epoch and on its snapshot; that a snapshot may be deleted depends on its key and on the
 * newest epoch. Both are written only if nothing in the register has changed since all that was looked at (register.ts): of two at
 * once one looks again.
 */

import { hash, randomUUID } from "node:crypto";
import { setImmediate as nextTurn } from "node:timers/promises";
import { DiscardPolicy } from "@nats-io/jetstream";
import { TidemarkError, textOf } from "../core/error.ts";
import {
  checkForm,
  count,
  duration,
  type Form,
  ms,
  record,
  snapshotId,
  text,
} from "../core/form.ts";
import { checkProcessId, type ProcessId, parseSnapshotId, type SnapshotId } from "../core/id.ts";
import {
  decodeEpoch,
  decodeJson,
  decodeManifest,
  encodeEpoch,
  encodeJson,
  encodeManifest,
  MANIFEST_BYTES_MAX,
} from "../runtime/manifest-file.ts";
import {
  checkEpochRecord,
  checkedNote,
  EPOCH_MAX,
  type EpochRecord,
  type PieceBodies,
  type SnapshotStore,
  type StoredPiece,
  type StoredSnapshot,
} from "../runtime/snapshot-store.ts";
import type { AttemptNote } from "../snapshot/attempt.ts";
import {
  type Manifest,
  newestFirst,
  type PartReference,
  partsOf,
  type SnapshotSummary,
  summarise,
} from "../snapshot/manifest.ts";
import { labelled } from "../snapshot/manifest-check.ts";
import { type NatsOptions, NatsSession } from "./connection.ts";
import {
  CHUNK_BYTES,
  type Chunks,
  Objects,
  type ObjectWriter,
  objectsSettings,
  type PackName,
  processOf,
  subjectOf,
  subjectToken,
} from "./objects.ts";
import { Register, registerSettings } from "./register.ts";
import { checkPlace, Stream, type StreamSettings } from "./stream.ts";

/** Where `natsStore` keeps snapshots, and how. */
export interface NatsStoreOptions extends NatsOptions {
  /**
   * What the names of its streams begin with: 1 to 64 letters, digits, "-" or "_". Systems that share a server need different ones.
   * @default "tidemark"
   */
  readonly prefix?: string;
  /**
   * On how many servers everything is kept: 1, or 3 of a cluster. With 3, one of them may fail without anybody noticing more than
   * a pause.
   * @default 1
   */
  readonly replicas?: 1 | 3;
  /**
   * How many bytes the bodies of all snapshots may take on each server; then writing fails until some are deleted.
   * @default undefined, as many as the server allows
   */
  readonly maxBytes?: number;
  /**
   * For how long the pieces of a snapshot without a manifest are spared, in milliseconds since anybody wrote to them. Make it more
   * than a snapshot takes from its first piece to its manifest; with less it is refused. More takes room for longer after
   * somebody has died.
   * @default 600_000
   */
  readonly graceMs?: number;
}

/**
 * Keeps snapshots on NATS JetStream: in streams of its own, which the first write makes. Every process of a system has a store of its own
 * on the same servers. It connects when it is first used, and holds its OS process until it is closed.
 *
 * @throws TidemarkError `BAD_OPTION`
 *
 * @example
 * ```ts
 * import { natsStore } from "tidemark/nats";
 * const store = natsStore({ servers: "nats://127.0.0.1:4222", prefix: "bank", replicas: 1 });
 * await store.close();
 * ```
 */
export function natsStore(options: NatsStoreOptions): SnapshotStore {
  return new NatsStore(options);
}

/** Of one process. */
const NOTES_KEPT = 500;
/** Snapshots whose fate this process does not know; of older ones it does not clear up what is abandoned. */
const PENDING_MAX = 64;
/** Keys that are read at once. */
const READ_AT_ONCE = 16;
/** So many parts are gone through without giving way to other work. */
const GONE_THROUGH_AT_ONCE = 500;

const SNAPSHOT_KEY = /^snapshot\.([^.]+)\.([1-9][0-9]{0,14})$/;
const EPOCH_KEY = /^epoch\.([1-9][0-9]{0,9})$/;

/** What the register has of a snapshot. */
interface Listed {
  readonly summary: SnapshotSummary;
  /** Where the file of its manifest is. */
  readonly manifest: { readonly pack: string; readonly bytes: number; readonly sha256: string };
}

const sha256 = text("64 hexadecimal digits in lower case", /^[0-9a-f]{64}$/);
const name = text("a text of 1 to 256 characters", /^.{1,256}$/s);
const listedForm: Form<Listed> = record<Listed>({
  summary: record<SnapshotSummary>({
    id: snapshotId,
    label: { optional: name },
    system: name,
    epoch: count,
    startedAtMs: ms,
    cutMs: duration,
    processes: count,
    inFlight: count,
    bytes: count,
  }),
  manifest: record<Listed["manifest"]>({ pack: sha256, bytes: count, sha256 }),
});

/** What this store wrote for one snapshot that had no manifest when it was last looked at. */
interface Pending {
  readonly packs: Set<string>;
  /** Pieces that are being written now. */
  writers: number;
  abandoned: boolean;
}

const registerOf = (prefix: string): string => `${prefix}-register`;
const piecesOf = (prefix: string): string => `${prefix}-pieces`;
const notesBefore = (prefix: string): string => `${prefix}.notes.`;
const REGISTER = "Tidemark: what snapshots and epochs there are";
/** As many as the server has room for. */
const ANY_BYTES = -1;

function notesSettings(prefix: string, replicas: number): StreamSettings {
  return {
    name: `${prefix}-notes`,
    description: "Tidemark: what processes noted of attempts at snapshots",
    subjects: [`${notesBefore(prefix)}*`],
    num_replicas: replicas,
    max_msgs_per_subject: NOTES_KEPT,
    discard: DiscardPolicy.Old,
  };
}

/** What the streams of a store without `maxBytes` should be. */
export function storeStreams(prefix: string, replicas: number): StreamSettings[] {
  return [
    registerSettings(registerOf(prefix), replicas, REGISTER),
    objectsSettings(piecesOf(prefix), replicas, ANY_BYTES),
    notesSettings(prefix, replicas),
  ];
}

class NatsStore implements SnapshotStore {
  readonly #session: NatsSession;
  readonly #register: Register;
  readonly #objects: Objects;
  readonly #notes: Stream;
  readonly #notesBefore: string;
  readonly #graceMs: number;
  readonly #pending = new Map<SnapshotId, Pending>();
  /** The highest count of each initiator that went through this store. */
  readonly #counts = new Map<ProcessId, number>();
  /** What `close` waits for. */
  readonly #running = new Set<Promise<unknown>>();
  /** The end of the queue of notes. */
  #noteQueue: Promise<unknown> = Promise.resolve();
  /** Snapshots that were there when they were last looked at. */
  readonly #known = new Set<SnapshotId>();
  /** When this store last swept, by the server's clock. */
  #sweptAtMs = 0;

  constructor(options: NatsStoreOptions) {
    const { prefix = "tidemark", replicas = 1, maxBytes, graceMs = 600_000 } = options;
    const bad = (what: string): TidemarkError => new TidemarkError("BAD_OPTION", what);
    checkPlace(prefix, replicas);
    if (maxBytes !== undefined && (!Number.isSafeInteger(maxBytes) || maxBytes < 1))
      throw bad(`maxBytes is ${maxBytes}; use a whole number of bytes, 1 or more`);
    if (typeof graceMs !== "number" || !(graceMs >= 0))
      throw bad(`graceMs is ${graceMs}; use 0 or more milliseconds`);
    this.#session = new NatsSession(options, "STORE_FAILED");
    this.#register = new Register(this.#session, registerOf(prefix), replicas, REGISTER);
    this.#objects = new Objects(this.#session, piecesOf(prefix), replicas, maxBytes ?? ANY_BYTES);
    this.#notesBefore = notesBefore(prefix);
    this.#notes = new Stream(this.#session, notesSettings(prefix, replicas));
    this.#graceMs = graceMs;
  }

  async writePiece(bodies: PieceBodies): Promise<StoredPiece> {
    const { snapshot, process } = bodies;
    this.#noteCount(snapshot);
    checkProcessId(process);
    return await this.#use(async () => {
      await this.#forgetPending();
      const pending = this.#pending.get(snapshot) ?? {
        packs: new Set(),
        writers: 0,
        abandoned: false,
      };
      this.#pending.set(snapshot, pending);
      pending.writers += 1;
      try {
        return await this.#writeParts(bodies, pending);
      } finally {
        pending.writers -= 1;
      }
    });
  }

  async #writeParts(
    { snapshot, process, state, channels }: PieceBodies,
    pending: Pending,
  ): Promise<StoredPiece> {
    const writer = this.#objects.writer(snapshot, `the piece of ${process} in ${snapshot}`);
    pending.packs.add(writer.name.pack);
    const goOn = (): void => {
      if (pending.abandoned)
        throw new TidemarkError("SNAPSHOT_ABANDONED", `${snapshot} ended while it was written`);
    };
    try {
      const slices: PartReference[] = [];
      for await (const slice of state) {
        goOn();
        slices.push(await writePart(writer, [slice]));
      }
      const inFlight = new Map<ProcessId, PartReference>();
      for (const [from, runs] of channels) inFlight.set(from, await writePart(writer, runs));
      await writer.end();
      goOn();
      return { state: slices, channels: inFlight };
    } catch (error) {
      // What came after `abandon`; if that fails now, who sweeps finds it.
      if (pending.abandoned) await this.#discard(snapshot, pending).catch(() => {});
      throw error;
    }
  }

  async writeManifest(manifest: Manifest): Promise<void> {
    const { id } = manifest;
    this.#noteCount(id);
    await this.#use(async () => {
      const { label: _, ...plain } = manifest;
      const file = await encodeManifest(plain, undefined);
      const before = await this.#register.get(keyOf(id));
      if (before) throw taken(id, before.value !== undefined);
      await this.#checkParts(manifest);
      const writer = this.#objects.writer(id, `the manifest of ${id}`);
      await writer.write(file);
      await writer.end();
      const listed: Listed = {
        summary: summarise(manifest),
        manifest: {
          pack: writer.name.pack,
          bytes: file.length,
          sha256: hash("sha256", file),
        },
      };
      const written = await this.#register.set(keyOf(id), encodeListed(id, listed), {
        revision: 0,
      });
      const entry = await this.#register.get(keyOf(id));
      const mine = entry?.value && readListed(id, entry.value).manifest?.pack === writer.name.pack;
      // A write that was repeated after a long while is refused, though it was done.
      if (!written && !mine) {
        await this.#objects.remove(id, [writer.name.pack]).catch(() => {});
        throw taken(id, entry?.value !== undefined);
      }
      this.#pending.delete(id);
      this.#known.add(id);
      if (entry) this.#sweepIfDue(entry.atMs);
    });
  }

  async abandon(id: SnapshotId): Promise<void> {
    parseSnapshotId(id);
    const pending = this.#pending.get(id);
    if (!pending) return;
    pending.abandoned = true;
    await this.#use(async () => {
      await this.#discard(id, pending);
      if (this.#pending.get(id) === pending) this.#pending.delete(id);
    });
  }

  async get(id: SnapshotId): Promise<StoredSnapshot | undefined> {
    parseSnapshotId(id);
    return await this.#use(async () => {
      const listed = (await this.#listed(id))?.listed;
      if (!listed) return undefined;
      const file = await this.#manifestFile(id, listed);
      if (!file) return undefined;
      const decoded = decodeManifest(id, file, undefined);
      if ("problem" in decoded) throw this.#damagedManifest(id, listed, decoded.problem);
      const reader = new PartReader(this.#objects, id);
      return {
        manifest: labelled(decoded.manifest, listed.summary.label),
        part: (reference: PartReference) => this.#use(() => this.#readPart(id, reader, reference)),
      };
    });
  }

  async *list(damaged: (error: Error) => void = () => {}): AsyncGenerator<SnapshotSummary> {
    const summaries = await this.#use(async () => {
      const all: SnapshotSummary[] = [];
      await forEach(await this.#ids("snapshot.>"), async (id) => {
        try {
          const found = await this.#listed(id);
          if (found) all.push(found.listed.summary);
        } catch (error) {
          if (!(error instanceof TidemarkError) || error.code !== "DAMAGED") throw error;
          damaged(error);
        }
      });
      return all.sort(newestFirst);
    });
    yield* summaries;
  }

  async lastCount(initiator: ProcessId): Promise<number> {
    checkProcessId(initiator);
    return await this.#use(async () => {
      const ids = await this.#ids(`snapshot.${subjectToken(initiator)}.*`);
      // Whoever died in the middle has left nothing else.
      const objects = await this.#objects.all();
      let highest = this.#counts.get(initiator) ?? 0;
      for (const id of [...ids, ...objects.map(({ snapshot }) => snapshot)]) {
        const parsed = parseSnapshotId(id);
        if (parsed.initiator === initiator) highest = Math.max(highest, parsed.count);
      }
      return highest;
    });
  }

  async epoch(): Promise<EpochRecord | undefined> {
    return await this.#use(async () => await this.#readEpoch(await this.#newestEpoch()));
  }

  async beginEpoch(epochRecord: EpochRecord): Promise<void> {
    const checked = checkEpochRecord(epochRecord);
    const { epoch, snapshot } = checked;
    await this.#use(async () => {
      for (;;) {
        const sequence = await this.#register.sequence();
        const newest = await this.#newestEpoch();
        if (newest >= epoch)
          throw new TidemarkError("EPOCH_TAKEN", `epoch ${newest} has begun already`);
        const stored = await this.get(snapshot);
        if (!stored)
          throw new TidemarkError("NOT_FOUND", `${snapshot} is not in the store: no epoch begins`);
        await this.#checkParts(stored.manifest);
        const content = encodeEpoch(checked, undefined);
        if (await this.#register.set(epochKey(epoch), content, { sequence })) return;
      }
    });
  }

  async label(id: SnapshotId, label: string | undefined): Promise<boolean> {
    parseSnapshotId(id);
    return await this.#use(async () => {
      for (;;) {
        const found = await this.#listed(id);
        if (!found) return false;
        const { label: _, ...summary } = found.listed.summary;
        const listed = {
          ...found.listed,
          summary: label === undefined ? summary : { ...summary, label },
        };
        const since = { revision: found.revision };
        if (await this.#register.set(keyOf(id), encodeListed(id, listed), since)) return true;
      }
    });
  }

  async delete(id: SnapshotId, unlabelled = false): Promise<boolean> {
    parseSnapshotId(id);
    return await this.#use(async () => {
      for (;;) {
        const sequence = await this.#register.sequence();
        const entry = await this.#register.get(keyOf(id));
        if (!entry?.value) return false;
        if (unlabelled && this.#decodeListed(id, entry.value).summary.label !== undefined)
          return false;
        const epoch = await this.#newestEpoch();
        if ((await this.#readEpoch(epoch))?.snapshot === id)
          throw new TidemarkError(
            "IN_USE",
            `epoch ${epoch} began from ${id}: it can be deleted after the next restore`,
          );
        if (await this.#register.set(keyOf(id), undefined, { sequence })) break;
      }
      this.#known.delete(id);
      // It is gone; what cannot be removed now, who sweeps finds.
      await this.#removeAll(id).catch(() => {});
      return true;
    });
  }

  async note(note: AttemptNote): Promise<void> {
    const checked = checkedNote(note);
    const content = Buffer.from(JSON.stringify(checked));
    // One after the other: what is written again keeps its place.
    const written = this.#noteQueue.then(() =>
      this.#use(() =>
        this.#notes.write(this.#notesBefore + subjectToken(checked.by), content, {
          id: randomUUID(),
        }),
      ),
    );
    this.#noteQueue = written.catch(() => {});
    await written;
  }

  async *notes(damaged: (error: Error) => void = () => {}): AsyncGenerator<AttemptNote> {
    const subjects = await this.#use(() => this.#notes.subjects(`${this.#notesBefore}*`));
    for (const subject of subjects.sort())
      for (let sequence = 1; ; ) {
        const message = await this.#use(() => this.#notes.next(subject, sequence));
        if (!message) break;
        sequence = message.seq + 1;
        try {
          yield checkedNote(JSON.parse(Buffer.from(message.data).toString("utf8")));
        } catch (error) {
          damaged(damagedAt(`message ${message.seq} of ${this.#notes.name}`, textOf(error)));
        }
      }
  }

  async close(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled(this.#running);
    await this.#session.close();
  }

  // --- Snapshots ---------------------------------------------------------------------------------

  /** The snapshots that are or were there. */
  async #ids(filter: string): Promise<SnapshotId[]> {
    return (await this.#register.keys(filter)).flatMap((key) => {
      const [, token = "", digits = ""] = SNAPSHOT_KEY.exec(key) ?? [];
      return token === "" ? [] : [`${processOf(token)}/${Number(digits)}` as SnapshotId];
    });
  }

  /** What the register has of a snapshot, if it is there. */
  async #listed(
    id: SnapshotId,
  ): Promise<{ readonly listed: Listed; readonly revision: number } | undefined> {
    const entry = await this.#register.get(keyOf(id));
    if (!entry?.value) return undefined;
    return { listed: this.#decodeListed(id, entry.value), revision: entry.revision };
  }

  #decodeListed(id: SnapshotId, value: Uint8Array): Listed {
    const read = readListed(id, value);
    if (read.problem === undefined) return read;
    throw damagedAt(this.#register.nameOf(keyOf(id)), read.problem);
  }

  /** Undefined if the snapshot is deleted meanwhile. */
  async #manifestFile(id: SnapshotId, listed: Listed): Promise<Uint8Array | undefined> {
    const { pack, bytes } = listed.manifest;
    const read =
      bytes > MANIFEST_BYTES_MAX
        ? { missing: 0 }
        : await this.#objects.read({ snapshot: id, pack }, 0, bytes);
    if ("missing" in read) {
      if (!(await this.#listed(id))) return undefined;
      const where = this.#objects.nameOf({ snapshot: id, pack }, read.missing);
      throw damagedAt(where, `the manifest of ${id} needs it, and it is missing or too short`);
    }
    if (hash("sha256", read.content) === listed.manifest.sha256) return read.content;
    throw this.#damagedManifest(id, listed, "it does not have the SHA-256 that the register says");
  }

  #damagedManifest(id: SnapshotId, { manifest }: Listed, problem: string): TidemarkError {
    const where = this.#objects.nameOf({ snapshot: id, pack: manifest.pack }, 0);
    return damagedAt(`the manifest of ${id}, from ${where} on,`, problem);
  }

  async #readPart(
    id: SnapshotId,
    reader: PartReader,
    reference: PartReference,
  ): Promise<Uint8Array> {
    const { sha256: digest, bytes, pack, offset = 0 } = reference;
    const read =
      bytes === 0
        ? { content: new Uint8Array() }
        : pack && (await reader.read(pack, offset, bytes));
    if (read && "content" in read && hash("sha256", read.content) === digest) return read.content;
    if (!(await this.#register.get(keyOf(id)))?.value)
      throw new TidemarkError("NOT_FOUND", `${id} has been deleted`);
    if (!read) throw damagedAt(`part ${digest} of ${id}`, "nothing says where it is");
    const chunk = "missing" in read ? read.missing : Math.floor(offset / CHUNK_BYTES);
    throw damagedAt(
      this.#objects.nameOf({ snapshot: id, pack: pack ?? "" }, chunk),
      "missing" in read
        ? `part ${digest} of ${id} needs it, and it is missing or too short`
        : `part ${digest} of ${id}, which begins there, is not what was written`,
    );
  }

  /** Looks whether every chunk is there that a manifest needs. */
  async #checkParts(manifest: Manifest): Promise<void> {
    const { id } = manifest;
    const chunks = await this.#objects.chunks(id);
    let looked = 0;
    for (const { sha256: digest, bytes, pack, offset = 0 } of partsOf(manifest)) {
      looked += 1;
      if (looked % GONE_THROUGH_AT_ONCE === 0) await nextTurn();
      if (bytes === 0) continue;
      const own = pack === undefined ? undefined : chunks.get(pack);
      if (!own)
        throw damagedAt(`part ${digest} of ${id}`, "the object that it should be in is missing");
      const end = Math.floor((offset + bytes - 1) / CHUNK_BYTES);
      for (let chunk = Math.floor(offset / CHUNK_BYTES); chunk <= end; chunk += 1)
        if (!own.has(chunk))
          throw damagedAt(
            this.#objects.nameOf({ snapshot: id, pack: pack ?? "" }, chunk),
            `part ${digest} of ${id} needs it, and it is missing`,
          );
    }
  }

  // --- Epochs ------------------------------------------------------------------------------------

  /** 0 if none has begun. */
  async #newestEpoch(): Promise<number> {
    const epochs = (await this.#register.keys("epoch.*")).map((key) =>
      Number(EPOCH_KEY.exec(key)?.[1] ?? 0),
    );
    return Math.max(0, ...epochs.filter((epoch) => epoch <= EPOCH_MAX));
  }

  async #readEpoch(epoch: number): Promise<EpochRecord | undefined> {
    if (epoch === 0) return undefined;
    const value = (await this.#register.get(epochKey(epoch)))?.value;
    const read = value ? decodeEpoch(epoch, value, undefined) : { problem: "it was taken away" };
    if ("record" in read) return read.record;
    throw damagedAt(this.#register.nameOf(epochKey(epoch)), read.problem);
  }

  // --- Removing ----------------------------------------------------------------------------------

  /** Makes an id dead, if it is not there. False: it is there. */
  async #fence(id: SnapshotId): Promise<boolean> {
    if (await this.#register.set(keyOf(id), undefined, { revision: 0 })) return true;
    return (await this.#register.get(keyOf(id)))?.value === undefined;
  }

  /** Removes what this store wrote for an id, which is dead from then on; nothing if its snapshot is there. */
  async #discard(id: SnapshotId, { packs }: Pending): Promise<void> {
    if (await this.#fence(id)) await this.#objects.remove(id, packs);
  }

  /** Removes whatever there is of an id that is dead. */
  async #removeAll(id: SnapshotId): Promise<void> {
    const packs = (await this.#objects.all()).filter(({ snapshot }) => snapshot === id);
    await this.#objects.remove(
      id,
      packs.map(({ pack }) => pack),
    );
  }

  #sweepIfDue(nowMs: number): void {
    if (nowMs - this.#sweptAtMs < this.#graceMs) return;
    this.#sweptAtMs = nowMs;
    // Whatever fails is tried again by whoever sweeps next.
    void this.#use(() => this.#sweep(nowMs)).catch(() => {});
  }

  async #sweep(nowMs: number): Promise<void> {
    const packs = Map.groupBy(await this.#objects.all(), ({ snapshot }) => snapshot);
    const ids = await this.#ids("snapshot.>");
    const highest = new Map<ProcessId, number>();
    for (const id of ids) {
      const { initiator, count: one } = parseSnapshotId(id);
      highest.set(initiator, Math.max(one, highest.get(initiator) ?? 0));
    }
    await forEach(new Set([...ids, ...packs.keys()]), async (id) => {
      if (this.#known.has(id)) return;
      const entry = await this.#register.get(keyOf(id));
      if (entry?.value) {
        this.#known.add(id);
        return;
      }
      const own = packs.get(id) ?? [];
      if (!entry && ((await this.#isWaiting(id, own, nowMs)) || !(await this.#fence(id)))) return;
      await this.#objects.remove(
        id,
        own.map(({ pack }) => pack),
      );
      const { initiator, count: one } = parseSnapshotId(id);
      const isLast = (highest.get(initiator) ?? 0) <= one;
      if (entry && own.length === 0 && !isLast && nowMs - entry.atMs > this.#graceMs)
        await this.#register.forget(entry.revision);
    });
  }

  /** Somebody may yet write the manifest. */
  async #isWaiting(id: SnapshotId, packs: readonly PackName[], nowMs: number): Promise<boolean> {
    const pending = this.#pending.get(id);
    if (pending && !pending.abandoned) return true;
    const chunks: Chunks = await this.#objects.chunks(id);
    return nowMs - (await this.#objects.writtenAtMs(packs, chunks)) < this.#graceMs;
  }

  /** Forgets pieces that have their manifest by now, and the oldest of too many. */
  async #forgetPending(): Promise<void> {
    for (const [id, { writers }] of this.#pending) {
      if (this.#pending.size <= PENDING_MAX) return;
      if (writers === 0) this.#pending.delete(id);
    }
  }

  #noteCount(id: SnapshotId): void {
    const { initiator, count: one } = parseSnapshotId(id);
    this.#counts.set(initiator, Math.max(one, this.#counts.get(initiator) ?? 0));
  }

  /** What `close` waits for. */
  async #use<T>(work: () => Promise<T>): Promise<T> {
    const running = work();
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }
}

/** Reads parts of a snapshot; those that lie behind each other in a chunk read it once. */
class PartReader {
  readonly #objects: Objects;
  readonly #snapshot: SnapshotId;
  #last: { readonly name: string; readonly content: Uint8Array | undefined } | undefined;

  constructor(objects: Objects, snapshot: SnapshotId) {
    this.#objects = objects;
    this.#snapshot = snapshot;
  }

  async read(
    pack: string,
    offset: number,
    bytes: number,
  ): Promise<{ readonly content: Uint8Array } | { readonly missing: number }> {
    const name = { snapshot: this.#snapshot, pack };
    return await this.#objects.read(name, offset, bytes, async (chunk) => {
      const called = `${pack} ${chunk}`;
      const last = this.#last;
      if (last?.name === called) return last.content;
      const content = await this.#objects.chunk(name, chunk);
      this.#last = { name: called, content };
      return content;
    });
  }
}

/** Writes a part behind what was written before. */
async function writePart(
  writer: ObjectWriter,
  runs: readonly Uint8Array[],
): Promise<PartReference> {
  const content = runs.length === 1 ? (runs[0] as Uint8Array) : Buffer.concat(runs);
  const digest = hash("sha256", content);
  const offset = writer.bytes;
  const bytes = content.length;
  await writer.write(content);
  return { sha256: digest, bytes, ...(bytes > 0 ? { pack: writer.name.pack, offset } : {}) };
}

function keyOf(id: SnapshotId): string {
  return `snapshot.${subjectOf(id)}`;
}

function epochKey(epoch: number): string {
  return `epoch.${epoch}`;
}

/** @throws TidemarkError `BAD_OPTION` if it could not be read back: the label is not well formed */
function encodeListed(id: SnapshotId, listed: Listed): Uint8Array {
  const { label } = listed.summary;
  const checked = checkForm(name, label ?? "none");
  if ("problem" in checked)
    throw new TidemarkError("BAD_OPTION", `a label of ${id} has 1 to 256 characters`);
  return encodeJson(listed);
}

function readListed(
  id: SnapshotId,
  value: Uint8Array,
):
  | (Listed & { readonly problem?: undefined })
  | { readonly problem: string; manifest?: undefined } {
  const read = decodeJson(value);
  if ("problem" in read) return read;
  const checked = checkForm(listedForm, read.content);
  if ("problem" in checked) return checked;
  const { copy } = checked;
  return copy.summary.id === id ? copy : { problem: `it is that of ${copy.summary.id}` };
}

function taken(id: SnapshotId, isThere: boolean): TidemarkError {
  return new TidemarkError(
    "STORE_FAILED",
    isThere
      ? `snapshot ${id} is in the store already`
      : `snapshot ${id} was deleted or abandoned, or its pieces have waited for longer than graceMs: its id is used up`,
  );
}

function damagedAt(where: string, problem: string): TidemarkError {
  return new TidemarkError("DAMAGED", `${where} is damaged: ${problem}`);
}

/** Does it for all items, some at a time; a failure is thrown when all that was begun has ended. */
async function forEach<T>(items: Iterable<T>, work: (item: T) => Promise<unknown>): Promise<void> {
  const rest = [...items].values();
  const worker = async (): Promise<void> => {
    for (const item of rest) await work(item);
  };
  const workers = await Promise.allSettled(Array.from({ length: READ_AT_ONCE }, worker));
  for (const { reason } of workers.filter((one) => one.status === "rejected")) throw reason;
}
