/**
 * Snapshots in a directory, which any number of OS processes use at once.
 *
 *     snapshots/p2-7.json    the manifest of p2/7; the snapshot is listed while this file is here
 *     snapshots/p2-9.used    says only that p2/9 is used up; goes when a higher count of p2 has a file
 *     epochs/2.json          the record that epoch 2 began, and from which snapshot; the highest one counts
 *     parts/ab/ab12…         a part, named by the SHA-256 of its bytes; or a pack of parts, named by
 *                            the SHA-256 of their names, one after the other; with a key, an HMAC
 *     attempts/p2.jsonl      what p2 noted of attempts at snapshots (note-files.ts)
 *     open/OPENER            empty; since its mtime, parts may be waiting here for their manifest
 *     lock/OPENER            empty; who is committing, deleting or sweeping, or wants to
 *     tmp/OPENER.N           what is being written or removed
 *
 * A file name splits at its last "-": a process id may hold one, a count cannot. An OPENER is one store
 * object: the number of its OS process (on Linux, of its thread), when that started, and a random number. What is in the file of a
 * manifest or of a record, manifest-file.ts says. Files that have other names than these are somebody else's and are left alone.
 *
 * Assumptions. A local file system: `rename` is atomic and `fsync` does what it says. All processes run
 * on one machine and see each other's process numbers; two containers that share the directory must share
 * those as well. Where a thread has no number of its own, as on systems without /proc, the lock of a worker
 * thread that was terminated inside a commit is free only when its OS process ends.
 *
 * Theory of operation. Parts are written by anyone at any time; they are named by their content, so nobody
 * can spoil another's. A part that is there already is not written again, it is *touched*: its mtime says
 * that somebody relies on it. Then, in the lock, a manifest is renamed into place, after a look at every
 * file that it needs. Files of parts go only in the lock, and only when no manifest refers to them.
 * Together: a committed snapshot never loses a part, whatever anybody's clock says.
 *
 * A piece refers to packs of the piece before it, of the same process, for what has not changed, and writes
 * the rest (pack-index.ts decides which packs are worth it). A pack that it refers to is touched first, once, like
 * any part that is there already, and if it is gone, what it held is written anew. A part that
 * is compressed or encrypted lies in a pack, alone if it is large: a file that is named by its own SHA-256 is always
 * plain. Two packs of one name have the same layout, also if they were compressed by different versions or have
 * different salts, so it does no harm when one takes the place of the other.
 *
 * A store with a key writes and reads nothing that is not encrypted, and one without refuses to be opened
 * where something is: nobody forgets the key by mistake, and a plain forgery is not taken for a snapshot.
 *
 * A part without a manifest is litter, or it is waiting for its manifest; only those who wrote it know.
 * So it is removed when it has not been touched since the oldest opener that lives came (what the dead left
 * is swept by whoever opens next), or for `graceMs` (after a delete), or since this store wrote it (when it
 * is abandoned). A wrong guess costs the waiting snapshot, which is refused, and no other. Between that
 * look at the mtime and the removal somebody may touch it: the file is moved aside first, and looked at
 * again. While some manifest is damaged nobody knows what it needs, so no part is removed; `list` tells of
 * it, and deleting that snapshot ends it.
 *
 * The lock, in lock/, is that of directory-lock.ts.
 *
 * Epochs. A record is renamed into place in the lock, after a look at the records that are there and at every file of
 * its snapshot; so of two who restore at once one comes second and is refused, and a snapshot is not deleted under an epoch that
 * begins from it. Readers take no lock: they read the file with the highest number in its name. If that is damaged nobody may
 * go on from the one before, for others have read it when it was whole; a later epoch may begin, and then it counts no more. A
 * record that was seen is never taken back, whatever fails after the rename: somebody may live by it already. For the same
 * reason a reader flushes the directory before it tells of a record that it has not told of before.
 *
 * Durability. Every file is written in tmp/, flushed, and renamed; the directories that a piece changed are
 * flushed at its end, and the manifest is last. Deleting goes the other way round: the manifest is removed
 * and its directory flushed before any part goes.
 */

import { createHash, hash } from "node:crypto";
import { constants, type Stats } from "node:fs";
import * as fs from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { setImmediate as nextTurn, setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import { constants as zlib, zstdCompress, zstdCompressSync, zstdDecompress } from "node:zlib";
import { isTidemarkError, TidemarkError, textOf } from "../core/error.ts";
import { checkProcessId, type ProcessId, parseSnapshotId, type SnapshotId } from "../core/id.ts";
import { Slab } from "../core/slab.ts";
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
import {
  DirectoryLock,
  isOfDeadOpener,
  LOCK_PAUSE_MAX_MS,
  newOpener,
  OPENER,
} from "./directory-lock.ts";
import {
  decodeEpoch,
  decodeManifest,
  encodeEpoch,
  encodeManifest,
  MANIFEST_BYTES_MAX,
} from "./manifest-file.ts";
import { NoteFiles } from "./note-files.ts";
import {
  indexOf,
  type PackedPart,
  type PackIndex,
  type PackUse,
  packsToKeep,
} from "./pack-index.ts";
import { type FileSeal, SALT_BYTES, SEAL_BYTES, Seal } from "./seal.ts";
import {
  checkEpochRecord,
  checkedNote,
  EPOCH_MAX,
  type EpochRecord,
  type PieceBodies,
  type SnapshotStore,
  type StoredPiece,
  type StoredSnapshot,
} from "./snapshot-store.ts";

/** How `directoryStore` writes and waits. */
export interface DirectoryStoreOptions {
  /**
   * Flushes everything to the disk before saying that it is done. False is for tests and demos: when the
   * machine crashes or loses power, the latest snapshots may be gone or damaged, which is noticed and said;
   * when only the process crashes nothing is lost. The same for all processes that use the directory.
   * @default true
   */
  readonly sync?: boolean;
  /**
   * How long a commit or delete waits while another process holds the lock, in milliseconds; then it is
   * `STORE_FAILED`. 0 tries once.
   * @default 10_000
   */
  readonly lockTimeoutMs?: number;
  /**
   * For how long a part that no snapshot needs any more is kept, in milliseconds: a piece that is waiting
   * for its manifest may rely on it. Make it more than a snapshot takes from first to last; with less,
   * deleting one snapshot can cost another that is being made. More takes disk space for longer.
   * @default 60_000
   */
  readonly graceMs?: number;
  /**
   * Compresses parts by zstd with that level, 1 to 19, where that makes them smaller; higher takes more of
   * the processor. 0 compresses nothing. Every process may have its own: what is compressed can always be read.
   * @default 0
   */
  readonly compressLevel?: number;
  /**
   * Encrypts all that is written, by AES-256-GCM, and reads nothing else: 32 random bytes, the same for all
   * processes that use the directory. Without them the snapshots are lost. See docs/operate/backup.md for
   * what it protects and what not.
   * @default undefined, nothing is encrypted
   */
  readonly key?: Uint8Array;
}

/** A store in a directory. Its methods throw `KEY_REQUIRED` and `WRONG_KEY`, too. */
export interface DirectoryStore extends SnapshotStore {
  /**
   * The files that a snapshot needs, by their path in the directory, with their size in bytes: what it
   * takes on the disk, together with other snapshots that need the same. A file that is missing is left out.
   * Undefined if there is no such snapshot.
   */
  files(id: SnapshotId): Promise<ReadonlyMap<string, number> | undefined>;
  /**
   * Every snapshot there is, with when its manifest was written, in milliseconds since 1970: another time, if it has another label
   * since. No manifest is read, so it is quick also for very many.
   */
  written(): Promise<ReadonlyMap<SnapshotId, number>>;
}

/**
 * Keeps snapshots in a directory, made if need be, readable by its owner only. Every process of a system
 * may have a store of its own on the same directory. Reading makes and changes nothing in it.
 *
 * @throws TidemarkError `BAD_OPTION`
 *
 * @example
 * ```ts
 * import { directoryStore } from "tidemark";
 * const store = directoryStore("backups/bank");
 * for await (const { id, label } of store.list()) console.log(id, label ?? "");
 * await store.close();
 * ```
 */
export function directoryStore(
  directory: string,
  options: DirectoryStoreOptions = {},
): DirectoryStore {
  return new StoreInDirectory(directory, options);
}

/** Slices of a state below this size share a file, a pack … */
const SMALL_BYTES = 65_536;
/** … that no slice lets grow beyond this. */
const PACK_BYTES = 1_048_576;
/** So many parts are gone through without giving way to other work. */
const GONE_THROUGH_AT_ONCE = 500;
/** As much is hashed without giving way to other work. */
const HASHED_AT_ONCE_BYTES = 1_048_576;
const EPOCH_BYTES_MAX = 4_096;
/** Snapshots whose fate this process does not know; of older ones it does not clear up what is abandoned. */
const PENDING_MAX = 64;
/** Files that are looked at or read at once. */
const FILES_AT_ONCE = 16;
/** Files that are removed before others come to the lock. */
const REMOVED_AT_ONCE = 1_000;
/** Higher levels of zstd take hundreds of megabytes. */
const LEVEL_MAX = 19;

const SHA256 = /^[0-9a-f]{64}$/;
const SNAPSHOT_FILE = /^([A-Za-z0-9][A-Za-z0-9._-]{0,63})-([1-9][0-9]{0,14})\.(json|used)$/;
const EPOCH_FILE = /^([1-9][0-9]{0,9})\.json$/;

/** A file in snapshots/ by what its name says. */
interface SnapshotFile {
  readonly name: string;
  readonly initiator: ProcessId;
  readonly count: number;
  /** There is no snapshot, only its count. */
  readonly used: boolean;
}

/** What this store wrote for one snapshot that had no manifest when it was last looked at. */
interface Pending {
  /** The files that were not there before, and the mtime each got. */
  readonly written: Map<string, number>;
  /** Pieces that are being written now. */
  writers: number;
  abandoned: boolean;
}

/** Parts to remove: each if its mtime is the one given, or is earlier than `untilMs`. */
interface Clearing {
  readonly parts: Map<string, number | undefined>;
  readonly untilMs: number;
}

class StoreInDirectory implements DirectoryStore {
  readonly #directory: string;
  readonly #snapshots: string;
  readonly #epochs: string;
  readonly #parts: string;
  readonly #openers: string;
  readonly #lock: DirectoryLock;
  readonly #notes: NoteFiles;
  readonly #tmp: string;
  readonly #sync: boolean;
  readonly #lockTimeoutMs: number;
  readonly #graceMs: number;
  readonly #compressLevel: number;
  readonly #seal: Seal | undefined;
  readonly #opener = newOpener();
  #temporaries = 0;
  /** Set while this store is open, or is being opened. */
  #opening: Promise<void> | undefined;
  /** What `close` waits for. */
  readonly #running = new Set<Promise<unknown>>();
  /** The end of the queue of this store's own users of the lock. */
  #lockQueue: Promise<unknown> = Promise.resolve();
  /** Folders of parts that are known to be there for good. */
  readonly #folders = new Set<string>();
  readonly #pending = new Map<SnapshotId, Pending>();
  readonly #references = new References();
  /** What the next piece of each process need not write. */
  readonly #indexes = new Map<ProcessId, PackIndex>();
  /** The newest snapshot that was there when the store was opened: pieces of processes without an index go on from it. */
  #newest: SnapshotSummary | undefined;
  /** Files to remove once they can be, and the mtime that they got if this store wrote them. */
  readonly #expendable = new Map<string, number | undefined>();
  /** The highest count of each initiator that went through this store. */
  readonly #counts = new Map<ProcessId, number>();
  /** The newest epoch whose record is known to survive a crash. */
  #flushedEpoch = 0;

  constructor(directory: string, options: DirectoryStoreOptions) {
    const { sync = true, lockTimeoutMs = 10_000, graceMs = 60_000 } = options;
    const { compressLevel = 0, key } = options;
    if (typeof directory !== "string" || directory === "")
      throw new TidemarkError("BAD_OPTION", "a directory store needs the path of a directory");
    for (const [name, value] of Object.entries({ lockTimeoutMs, graceMs }))
      if (typeof value !== "number" || !(value >= 0))
        throw new TidemarkError("BAD_OPTION", `${name} is ${value}; use 0 or more milliseconds`);
    if (!Number.isInteger(compressLevel) || compressLevel < 0 || compressLevel > LEVEL_MAX)
      throw new TidemarkError(
        "BAD_OPTION",
        `compressLevel is ${compressLevel}; use a whole number from 0 to ${LEVEL_MAX}`,
      );
    this.#compressLevel = compressLevel;
    this.#seal = key === undefined ? undefined : new Seal(key);
    this.#directory = resolve(directory);
    this.#snapshots = join(this.#directory, "snapshots");
    this.#epochs = join(this.#directory, "epochs");
    this.#parts = join(this.#directory, "parts");
    this.#openers = join(this.#directory, "open");
    this.#lock = new DirectoryLock(join(this.#directory, "lock"), this.#opener, failed);
    this.#notes = new NoteFiles(join(this.#directory, "attempts"), this.#seal, failed);
    this.#tmp = join(this.#directory, "tmp");
    this.#sync = sync;
    this.#lockTimeoutMs = lockTimeoutMs;
    this.#graceMs = graceMs;
  }

  async writePiece({ snapshot, process, state, channels }: PieceBodies): Promise<StoredPiece> {
    this.#noteCount(snapshot);
    checkProcessId(process);
    return await this.#use(async () => {
      await this.#forgetCommitted();
      const pending = this.#pending.get(snapshot) ?? {
        written: new Map(),
        writers: 0,
        abandoned: false,
      };
      this.#pending.set(snapshot, pending);
      pending.writers += 1;
      try {
        return await this.#writeParts({ snapshot, process, state, channels }, pending);
      } catch (error) {
        // Whatever was written since `abandon`; if that fails now, it is tried again with the next removal.
        if (pending.abandoned) await this.#drop(snapshot, pending).catch(() => {});
        throw error;
      } finally {
        pending.writers -= 1;
      }
    });
  }

  async #writeParts(
    { snapshot, process, state, channels }: PieceBodies,
    pending: Pending,
  ): Promise<StoredPiece> {
    const changed = new Set<string>();
    const index = await this.#indexFor(process);
    const uses = new PackUses();
    /** The small and the coded parts of this piece. */
    const placed = new Map<string, PackedPart>();
    let pack = this.#emptyPack();
    /** What is to be written, copied: memory that is written anew is far faster than new memory. */
    const slab = new Slab();
    const goOn = (): void => {
      if (pending.abandoned)
        throw new TidemarkError(
          "SNAPSHOT_ABANDONED",
          `${snapshot} was abandoned while it was written`,
        );
    };
    const writePack = async (): Promise<void> => {
      if (pack.parts.length === 0) return;
      const { parts, chunks, bytes } = pack;
      pack = this.#emptyPack();
      const names = parts.map(({ sha256, zstd }) =>
        zstd === undefined ? sha256 : `${sha256}:${zstd}`,
      );
      const text = names.join("");
      const name = this.#seal ? this.#seal.nameOf(text) : hash("sha256", text);
      await this.#writePart({ name, chunks, bytes }, pending, changed);
      for (const chunk of chunks) slab.release(chunk);
      for (const part of parts) part.pack = name;
      uses.setSize(name, bytes);
    };
    const addToPack = (sha256: string, bytes: number, { chunks, zstd }: Coded): PackedPart => {
      const part = {
        ...{ sha256, bytes, pack: "", offset: pack.bytes },
        ...(zstd === undefined ? {} : { zstd }),
        ...(pack.seal ? ({ sealed: true } as const) : {}),
      };
      const stored = pack.seal ? pack.seal.seal(pack.bytes, chunks) : chunks;
      pack.parts.push(part);
      for (const chunk of stored) {
        pack.chunks.push(chunk);
        pack.bytes += chunk.length;
      }
      return part;
    };
    /** Where the piece before has it, if that is still there. */
    const find = async (sha256: string): Promise<PackedPart | undefined> => {
      const part = index.get(sha256);
      if (!part) return undefined;
      if (!uses.knows(part.pack)) {
        const path = this.#partPath(part.pack);
        uses.setSize(part.pack, await touch(path, () => true));
        // It may have been removed and written again by somebody who has not come to this.
        changed.add(dirname(path));
      }
      return uses.has(part) ? part : undefined;
    };
    const put = async (content: Uint8Array): Promise<PartReference> => {
      goOn();
      const bytes = content.length;
      const large = bytes >= SMALL_BYTES;
      const sha256 = large ? await sha256Of([content]) : hash("sha256", content);
      const known = placed.get(sha256) ?? (await find(sha256));
      if (known) {
        placed.set(sha256, known);
        return known;
      }
      const coded = await this.#code(content);
      if (large && coded.zstd === undefined && !this.#seal) {
        await this.#writePart({ name: sha256, ...coded, bytes }, pending, changed);
        return { sha256, bytes };
      }
      const stored = coded.zstd ?? bytes;
      if (pack.bytes + stored > PACK_BYTES || stored >= SMALL_BYTES) await writePack();
      // The caller may use its buffer again.
      if (coded.zstd === undefined && !pack.seal) coded.chunks = [slab.copy(content)];
      const part = addToPack(sha256, bytes, coded);
      placed.set(sha256, part);
      if (stored >= SMALL_BYTES) await writePack();
      return part;
    };

    const slices: PartReference[] = [];
    for await (const slice of state) slices.push(await put(slice));
    const inFlight = new Map<ProcessId, PartReference>();
    // Messages in flight are never the same twice: they need no file of their own, whatever their size.
    for (const [from, runs] of channels) {
      goOn();
      const bytes = runs.reduce((sum, { length }) => sum + length, 0);
      const sha256 = await sha256Of(runs);
      const coded = this.#compressLevel > 0 ? await this.#code(Buffer.concat(runs)) : undefined;
      inFlight.set(from, addToPack(sha256, bytes, coded?.zstd ? coded : { chunks: runs }));
    }
    await writePack();
    for (const folder of changed) await this.#flushFolder(folder);
    for (const folder of changed) this.#folders.add(folder);
    goOn();
    await forAll(placed.values(), (part) => uses.add(part));
    const kept = packsToKeep(uses.all);
    const next = new Map<string, PackedPart>();
    await forAll(placed.values(), (part) => {
      if (kept.has(part.pack)) next.set(part.sha256, part);
    });
    this.#indexes.set(process, next);
    return { state: slices, channels: inFlight };
  }

  /** How a part is stored, before it is encrypted. */
  async #code(content: Uint8Array): Promise<Coded> {
    const bytes = content.length;
    if (this.#compressLevel > 0 && bytes > 0) {
      const options = { params: { [zlib.ZSTD_c_compressionLevel]: this.#compressLevel } };
      const compressed =
        bytes >= SMALL_BYTES
          ? await promisify(zstdCompress)(content, options)
          : zstdCompressSync(content, options);
      if (compressed.length < bytes) return { chunks: [compressed], zstd: compressed.length };
    }
    return { chunks: [content] };
  }

  #emptyPack(): Pack {
    const seal = this.#seal?.newFile();
    return { parts: [], seal, chunks: seal ? [seal.salt] : [], bytes: seal ? SALT_BYTES : 0 };
  }

  /** Of its last piece, or else of the newest snapshot that was there before. */
  async #indexFor(process: ProcessId): Promise<PackIndex> {
    const known = this.#indexes.get(process);
    if (known || !this.#newest) return known ?? new Map();
    try {
      const manifest = await this.#readManifest(this.#newest.id);
      const piece = manifest?.pieces.find((one) => one.process === process);
      return indexOf(piece?.state.parts ?? []);
    } catch {
      // Then everything is written.
      return new Map();
    }
  }

  /** Sees to it that this file is there. */
  async #writePart(
    { name, chunks, bytes }: PartFile,
    pending: Pending,
    changed: Set<string>,
  ): Promise<void> {
    const path = this.#partPath(name);
    const folder = dirname(path);
    if (!this.#folders.has(folder)) {
      await attempt("create", folder, fs.mkdir(folder, { recursive: true, mode: 0o700 }));
      changed.add(this.#parts);
    }
    // Also when the file is there already: whoever wrote it may not have come to this.
    changed.add(folder);
    if ((await touch(path, (size) => size === bytes)) !== undefined) return;
    const { temporary, mtimeMs } = await this.#writeTemporary(chunks);
    await this.#rename(temporary, path);
    pending.written.set(name, mtimeMs);
  }

  async writeManifest(manifest: Manifest): Promise<void> {
    const { id } = manifest;
    this.#noteCount(id);
    const path = this.#manifestPath(id);
    await this.#use(async () => {
      const bytes = await encodeManifest(manifest, this.#seal);
      const { temporary } = await this.#writeTemporary([bytes]);
      try {
        await this.#exclusive(async () => {
          if (await lstat(path))
            throw new TidemarkError("STORE_FAILED", `cannot write ${path}: it is there already`);
          await this.#checkParts(manifest);
          try {
            await this.#rename(temporary, path);
            await this.#flushFolder(this.#snapshots);
          } catch (error) {
            await fs.unlink(path).catch(() => {});
            // If the machine crashes before that is on the disk, the snapshot may be there again.
            throw indefinite(error as TidemarkError);
          }
        });
      } catch (error) {
        await fs.rm(temporary, { force: true }).catch(() => {});
        throw error;
      }
      this.#pending.delete(id);
    });
  }

  async #checkParts(manifest: Manifest): Promise<void> {
    const files = new Map<string, number>();
    await forAll(partsOf(manifest), (part) => addFile(files, part));
    await forEach(files, async ([name, bytes]) => {
      const path = this.#partPath(name);
      const stat = await lstat(path);
      if (!stat) throw damaged(path, `it is missing, and ${manifest.id} needs it`);
      if (!stat.isFile() || stat.size < bytes)
        throw damaged(path, `it has ${stat.size} bytes, and ${manifest.id} needs ${bytes}`);
    });
    const wanted = this.#seal ? true : undefined;
    for (const { process, state, incoming } of manifest.pieces)
      for (const part of [...state.parts, ...incoming.flatMap((from) => from.part ?? [])])
        if (part.sealed !== wanted)
          throw new TidemarkError(
            "KEY_REQUIRED",
            `${process} wrote its piece of ${manifest.id} ${wanted ? "without the key" : "with a key"}, ` +
              `and ${manifest.initiator} its manifest ${wanted ? "with it" : "without"}`,
          );
  }

  async abandon(id: SnapshotId): Promise<void> {
    parseSnapshotId(id);
    const pending = this.#pending.get(id);
    if (!pending) return;
    pending.abandoned = true;
    await this.#use(() => this.#drop(id, pending));
  }

  /** Removes what was written for a snapshot that will have no manifest, and keeps its count. */
  async #drop(id: SnapshotId, pending: Pending): Promise<void> {
    await this.#clear(async (files) => {
      const { initiator, count } = parseSnapshotId(id);
      if (!files.some((file) => file.initiator === initiator && file.count >= count)) {
        const path = this.#usedPath(id);
        await attempt("write", path, create(path));
        await this.#flushFolder(this.#snapshots);
      }
      await this.#removeLowerCounts(initiator, count, files);
      for (const [name, mtimeMs] of pending.written) this.#expendable.set(name, mtimeMs);
      return this.#dueNow();
    });
    if (this.#pending.get(id) === pending) this.#pending.delete(id);
  }

  async get(id: SnapshotId): Promise<StoredSnapshot | undefined> {
    const manifest = await this.#readManifest(id);
    return manifest && { manifest, part: (reference) => this.#readPart(id, reference) };
  }

  /** Gives `undefined` if it is not there. */
  async #readManifest(id: SnapshotId): Promise<Manifest | undefined> {
    const path = this.#manifestPath(id);
    const [bytes] = await read(path, (size) => {
      if (size > MANIFEST_BYTES_MAX) throw damaged(path, `${size} bytes are too many`);
      return [{ start: 0, length: size }];
    });
    if (!bytes) return undefined;
    const decoded = decodeManifest(id, bytes, this.#seal);
    if ("problem" in decoded) throw damaged(path, decoded.problem);
    return decoded.manifest;
  }

  async #readPart(id: SnapshotId, reference: PartReference): Promise<Uint8Array> {
    const { sha256, bytes, pack, offset = 0, sealed } = reference;
    const name = pack ?? sha256;
    if (!SHA256.test(name)) throw damaged(this.#parts, `${JSON.stringify(name)} names no part`);
    const path = this.#partPath(name);
    const length = storedBytes(reference);
    const [content, salt] = await read(path, (size) => {
      const end = offset + length;
      if (pack === undefined ? size !== end : size < end)
        throw damaged(path, `it has ${size} bytes instead of ${pack ? "at least " : ""}${end}`);
      const own = { start: offset, length };
      return sealed ? [own, { start: 0, length: SALT_BYTES }] : [own];
    });
    if (!content && !(await lstat(this.#manifestPath(id))))
      throw new TidemarkError("NOT_FOUND", `${id} has been deleted from ${this.#directory}`);
    if (!content) throw damaged(path, "it is missing");
    const plain = await this.#decode(reference, content, salt);
    if (plain?.length !== bytes || (await sha256Of([plain])) !== sha256)
      throw damaged(path, `bytes ${offset} to ${offset + length} have changed`);
    return plain;
  }

  /** The plain bytes of a part, or `undefined` if they cannot be got from those. */
  async #decode(
    { bytes, offset = 0, zstd, sealed }: PartReference,
    stored: Uint8Array,
    salt: Uint8Array | undefined,
  ): Promise<Uint8Array | undefined> {
    let content: Uint8Array | undefined = stored;
    if (sealed && !this.#seal) throw new TidemarkError("KEY_REQUIRED", "the part is encrypted");
    // With a key, what is not encrypted is not ours.
    if (this.#seal) content = salt && this.#seal.openPart(salt, offset, stored);
    if (zstd === undefined || !content) return content;
    try {
      return await promisify(zstdDecompress)(content, { maxOutputLength: Math.max(1, bytes) });
    } catch {
      return undefined;
    }
  }

  async *list(told: (error: Error) => void = () => {}): AsyncGenerator<SnapshotSummary> {
    const summaries: SnapshotSummary[] = [];
    const problems: TidemarkError[] = [];
    await forEach(await this.#snapshotFiles(), async ({ initiator, count, used }) => {
      if (used) return;
      try {
        const manifest = await this.#readManifest(`${initiator}/${count}`);
        if (manifest) summaries.push(summarise(manifest));
      } catch (error) {
        problems.push(error as TidemarkError);
      }
    });
    const locked = problems.find(isKeyError);
    // A store that can read nothing for want of the key is not an empty one.
    if (summaries.length === 0 && locked) throw locked;
    for (const problem of problems) told(problem);
    yield* summaries.sort(newestFirst);
  }

  async lastCount(initiator: ProcessId): Promise<number> {
    checkProcessId(initiator);
    let last = this.#counts.get(initiator) ?? 0;
    for (const file of await this.#snapshotFiles())
      if (file.initiator === initiator && file.count > last) last = file.count;
    return last;
  }

  async files(id: SnapshotId): Promise<ReadonlyMap<string, number> | undefined> {
    const manifest = await this.#readManifest(id);
    if (!manifest) return undefined;
    const paths = [...filesOf(manifest).keys()].map((name) => this.#partPath(name));
    const files = new Map<string, number>();
    await forEach([this.#manifestPath(id), ...paths], async (path) => {
      const stat = await lstat(path);
      if (stat?.isFile()) files.set(relative(this.#directory, path), stat.size);
    });
    return files;
  }

  async written(): Promise<ReadonlyMap<SnapshotId, number>> {
    const written = new Map<SnapshotId, number>();
    await forEach(await this.#snapshotFiles(), async ({ initiator, count, used }) => {
      if (used) return;
      const id: SnapshotId = `${initiator}/${count}`;
      const stat = await lstat(this.#manifestPath(id));
      if (stat) written.set(id, stat.mtimeMs);
    });
    return written;
  }

  async label(id: SnapshotId, label: string | undefined): Promise<boolean> {
    const path = this.#manifestPath(id);
    if (!(await lstat(path))) return false;
    return await this.#use(() =>
      this.#exclusive(async () => {
        const manifest = await this.#readManifest(id);
        if (!manifest) return false;
        const bytes = await encodeManifest(labelled(manifest, label), this.#seal);
        const { temporary } = await this.#writeTemporary([bytes]);
        try {
          await this.#rename(temporary, path);
          await this.#flushFolder(this.#snapshots);
        } catch (error) {
          throw indefinite(error as TidemarkError);
        }
        return true;
      }),
    );
  }

  async delete(id: SnapshotId, unlabelled = false): Promise<boolean> {
    const path = this.#manifestPath(id);
    if (!(await lstat(path))) return false;
    let deleting = false;
    const remove = async (files: readonly SnapshotFile[]): Promise<Clearing | undefined> => {
      const { initiator, count } = parseSnapshotId(id);
      const same = files.filter((file) => file.initiator === initiator);
      const own = same.find((file) => !file.used && file.count === count);
      if (!own) return undefined;
      if (unlabelled && (await this.#readManifest(id))?.label !== undefined) return undefined;
      const newest = await this.#newestEpoch();
      if (newest?.snapshot === id)
        throw new TidemarkError(
          "IN_USE",
          `epoch ${newest.epoch} began from ${id}: it can be deleted after the next restore`,
        );
      const used = this.#usedPath(id);
      const keepsCount = !same.some((file) => file !== own && file.count >= count);
      deleting = true;
      // A rename needs no room: deleting must work when the disk is full.
      if (keepsCount) await this.#rename(path, used);
      else await attempt("remove", path, fs.unlink(path));
      await this.#flushFolder(this.#snapshots);
      for (const name of this.#references.delete(own.name)) this.#expendable.set(name, undefined);
      if (keepsCount) await this.#empty(used);
      await this.#removeLowerCounts(initiator, count, same);
      return this.#dueNow();
    };
    try {
      await this.#use(() => this.#clear(remove));
    } catch (error) {
      throw deleting ? indefinite(error as TidemarkError) : error;
    }
    return deleting;
  }

  async epoch(): Promise<EpochRecord | undefined> {
    const newest = await this.#newestEpoch();
    if (newest && newest.epoch > this.#flushedEpoch) {
      await this.#flushFolder(this.#epochs);
      this.#flushedEpoch = newest.epoch;
    }
    return newest;
  }

  async beginEpoch(record: EpochRecord): Promise<void> {
    const checked = checkEpochRecord(record);
    const { epoch, snapshot } = checked;
    const path = this.#epochPath(epoch);
    await this.#use(async () => {
      const { temporary } = await this.#writeTemporary([encodeEpoch(checked, this.#seal)]);
      try {
        await this.#exclusive(async () => {
          const last = await this.#lastEpoch();
          if (last >= epoch)
            throw new TidemarkError(
              "EPOCH_TAKEN",
              `epoch ${last} has begun already: ${this.#epochPath(last)}`,
            );
          const manifest = await this.#readManifest(snapshot);
          if (!manifest)
            throw new TidemarkError(
              "NOT_FOUND",
              `${snapshot} is not in ${this.#directory}: no epoch begins`,
            );
          await this.#checkParts(manifest);
          try {
            await this.#rename(temporary, path);
            await this.#flushFolder(this.#epochs);
            this.#flushedEpoch = epoch;
          } catch (error) {
            throw indefinite(error as TidemarkError);
          }
        });
      } catch (error) {
        await fs.rm(temporary, { force: true }).catch(() => {});
        throw error;
      }
    });
  }

  async #newestEpoch(): Promise<EpochRecord | undefined> {
    const last = await this.#lastEpoch();
    if (last === 0) return undefined;
    const path = this.#epochPath(last);
    const [bytes] = await read(path, (size) => {
      if (size > EPOCH_BYTES_MAX) throw damaged(path, `${size} bytes are too many`);
      return [{ start: 0, length: size }];
    });
    // Nobody removes a record.
    if (!bytes) throw damaged(path, "it is gone");
    const decoded = decodeEpoch(last, bytes, this.#seal);
    if ("problem" in decoded)
      throw damaged(path, `${decoded.problem}; put the file back, or restore again`);
    return decoded.record;
  }

  /** The number of the newest epoch, damaged or not; 0 if none has begun. */
  async #lastEpoch(): Promise<number> {
    let last = 0;
    for (const name of await readFolder(this.#epochs)) {
      const epoch = Number(EPOCH_FILE.exec(name)?.[1] ?? 0);
      if (epoch <= EPOCH_MAX) last = Math.max(last, epoch);
    }
    return last;
  }

  async note(note: AttemptNote): Promise<void> {
    const checked = checkedNote(note);
    await this.#use(() => this.#notes.append(checked));
  }

  notes(told: (error: Error) => void = () => {}): AsyncIterable<AttemptNote> {
    return this.#notes.read(told);
  }

  async close(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled(this.#running);
    if (!this.#opening) return;
    const registration = join(this.#openers, this.#opener);
    await attempt("remove", registration, fs.rm(registration, { force: true }));
    this.#opening = undefined;
  }

  // --- Opening -----------------------------------------------------------------------------------

  /** Does what writes or removes, in an open store. */
  async #use<T>(work: () => Promise<T>): Promise<T> {
    const running = (async () => {
      this.#opening ??= this.#open().catch(async (error: unknown) => {
        // Else what this store never relied on is not swept while its OS process lives.
        await fs.rm(join(this.#openers, this.#opener), { force: true }).catch(() => {});
        this.#opening = undefined;
        throw error;
      });
      await this.#opening;
      try {
        return await work();
      } catch (error) {
        // Somebody removed the directory, or some of it: with the next use it is made again.
        if (isTidemarkError(error, "STORE_FAILED") && codeOf(error.cause) === "ENOENT")
          this.#opening = undefined;
        throw error;
      }
    })();
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }

  async #open(): Promise<void> {
    this.#folders.clear();
    const make = (folder: string): Promise<string | undefined> =>
      attempt("create", folder, fs.mkdir(folder, { recursive: true, mode: 0o700 }));
    const first = await make(this.#directory);
    for (const folder of [
      this.#snapshots,
      this.#epochs,
      this.#parts,
      this.#openers,
      this.#notes.folder,
      this.#lock.folder,
      this.#tmp,
    ])
      await make(folder);
    const top = first === undefined ? this.#directory : dirname(first);
    for (let folder = this.#directory; ; folder = dirname(folder)) {
      await this.#flushFolder(folder);
      if (folder === top) break;
    }
    const registration = join(this.#openers, this.#opener);
    await attempt("write", registration, create(registration));
    for (const folder of [this.#tmp, this.#openers, this.#lock.folder])
      for (const name of await readFolder(folder)) {
        const path = join(folder, name);
        if (this.#isDead(name)) await attempt("remove", path, fs.rm(path, { force: true }));
      }
    await this.#sweep();
  }

  /** Removes the parts that nobody who lives can be relying on. */
  async #sweep(): Promise<void> {
    // Most of the reading is done before others are kept waiting.
    await this.#learn(await this.#snapshotFiles(), (error) => {
      if (isKeyError(error)) throw error;
    });
    const litter = new Map<string, undefined>();
    for (const prefix of await readFolder(this.#parts)) {
      const folder = join(this.#parts, prefix);
      if (!/^[0-9a-f]{2}$/.test(prefix) || !(await lstat(folder))?.isDirectory()) continue;
      for (const name of await readFolder(folder))
        if (SHA256.test(name) && name.startsWith(prefix) && !this.#references.has(name))
          litter.set(name, undefined);
    }
    if (litter.size === 0) return;
    await this.#clear(async () => {
      let untilMs = Number.POSITIVE_INFINITY;
      for (const name of await readFolder(this.#openers)) {
        const stat = OPENER.test(name) && (await lstat(join(this.#openers, name)));
        if (stat && !this.#isDead(name)) untilMs = Math.min(untilMs, stat.mtimeMs);
      }
      return { parts: litter, untilMs };
    });
  }

  /** True for what was left in tmp/, open/ or lock/ by an opener that does not live any more. */
  #isDead(name: string): boolean {
    return isOfDeadOpener(name, this.#opener);
  }

  // --- What may be removed -----------------------------------------------------------------------

  /**
   * Learns what the manifests refer to that it does not know yet. False: one of them is damaged, so not
   * everything is known. Outside the lock, manifests may have come and gone since.
   */
  async #learn(
    files: readonly SnapshotFile[],
    told: (error: TidemarkError) => void = () => {},
  ): Promise<boolean> {
    const unknown = files.filter(({ used, name }) => !used && !this.#references.knows(name));
    let all = true;
    await forEach(unknown, async ({ name, initiator, count }) => {
      try {
        const manifest = await this.#readManifest(`${initiator}/${count}`);
        if (!manifest) return;
        this.#references.add(name, filesOf(manifest).keys());
        const newest = this.#newest;
        if (!newest || newestFirst(manifest, newest) < 0) this.#newest = summarise(manifest);
      } catch (error) {
        // `list` and `get` tell what is wrong with it.
        all = false;
        told(error as TidemarkError);
      }
    });
    return all;
  }

  /**
   * Removes parts that no manifest refers to, if it is known which these are. It goes some at a time, so that
   * others come to the lock in between. `begin` is done first, in the lock, and says which parts.
   */
  async #clear(
    begin: (files: readonly SnapshotFile[]) => Promise<Clearing | undefined>,
  ): Promise<void> {
    let clearing: Clearing | undefined;
    let left: string[] | undefined;
    do {
      if (left) await pause(2 * LOCK_PAUSE_MAX_MS);
      await this.#exclusive(async () => {
        const files = await this.#snapshotFiles();
        this.#references.keepOnly(new Set(files.map(({ name }) => name)));
        const known = await this.#learn(files);
        if (!left) clearing = await begin(files);
        const { parts, untilMs } = clearing ?? { parts: new Map<string, undefined>(), untilMs: 0 };
        // What is not removed now, whoever opens next will sweep.
        if (!known) parts.clear();
        left ??= [...parts.keys()];
        await forEach(left.splice(0, REMOVED_AT_ONCE), async (name) => {
          const mayGo = (ms: number): boolean => ms === parts.get(name) || ms < untilMs;
          if (this.#references.has(name) || (await this.#removePart(name, mayGo)))
            parts.delete(name);
        });
      });
    } while (left && left.length > 0);
  }

  #dueNow(): Clearing {
    // This clock is coarser than mtimes are: with no grace, even what was written just now may go.
    return { parts: this.#expendable, untilMs: Date.now() + 1 - this.#graceMs };
  }

  /** Removes one file, in the lock, if its mtime says that it may go. False: it is still there. */
  async #removePart(name: string, mayGo: (mtimeMs: number) => boolean): Promise<boolean> {
    const path = this.#partPath(name);
    const stat = await lstat(path);
    if (!stat) return true;
    if (!stat.isFile() || !mayGo(stat.mtimeMs)) return false;
    const aside = this.#temporaryPath();
    try {
      await this.#rename(path, aside);
      const { mtimeMs } = await attempt("look at", aside, fs.lstat(aside));
      if (mayGo(mtimeMs)) {
        await attempt("remove", aside, fs.unlink(aside));
        return true;
      }
    } catch (error) {
      await fs.rename(aside, path).catch(() => {});
      throw error;
    }
    await this.#rename(aside, path);
    return false;
  }

  /** Gives back the room of a manifest that now only keeps its count. Somebody may still be reading it. */
  async #empty(used: string): Promise<void> {
    try {
      const { temporary } = await this.#writeTemporary([]);
      await this.#rename(temporary, used);
    } catch {
      // Then not: no harm is done, and it goes when a higher count has a file.
    }
  }

  /** Of the files that only keep a count, the one with the highest is enough. */
  async #removeLowerCounts(
    initiator: ProcessId,
    count: number,
    files: readonly SnapshotFile[],
  ): Promise<void> {
    const same = files.filter((file) => file.initiator === initiator);
    const highest = same.reduce((max, file) => Math.max(max, file.count), count);
    for (const file of same) {
      const path = join(this.#snapshots, file.name);
      if (file.used && file.count < highest)
        await attempt("remove", path, fs.rm(path, { force: true }));
    }
  }

  /** Forgets pieces that have their manifest by now, and the oldest of too many. */
  async #forgetCommitted(): Promise<void> {
    for (const [id, { writers }] of this.#pending)
      if (
        writers === 0 &&
        (this.#pending.size > PENDING_MAX || (await lstat(this.#manifestPath(id))))
      )
        this.#pending.delete(id);
  }

  #noteCount(id: SnapshotId): void {
    const { initiator, count } = parseSnapshotId(id);
    this.#counts.set(initiator, Math.max(count, this.#counts.get(initiator) ?? 0));
  }

  // --- The lock ----------------------------------------------------------------------------------

  /** Does it while no other process commits, deletes or sweeps. */
  async #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#lockQueue.then(async () => {
      await this.#lock.acquire(this.#lockTimeoutMs);
      try {
        return await work();
      } finally {
        // If it fails: what was done is done, and this store's next turn at the lock ends by trying again.
        await this.#lock.release();
      }
    });
    this.#lockQueue = turn.catch(() => {});
    return await turn;
  }

  // --- Files -------------------------------------------------------------------------------------

  #manifestPath(id: SnapshotId): string {
    const { initiator, count } = parseSnapshotId(id);
    return join(this.#snapshots, `${initiator}-${count}.json`);
  }

  #epochPath(epoch: number): string {
    return join(this.#epochs, `${epoch}.json`);
  }

  #usedPath(id: SnapshotId): string {
    const { initiator, count } = parseSnapshotId(id);
    return join(this.#snapshots, `${initiator}-${count}.used`);
  }

  #partPath(name: string): string {
    return join(this.#parts, name.slice(0, 2), name);
  }

  #temporaryPath(): string {
    this.#temporaries += 1;
    return join(this.#tmp, `${this.#opener}.${this.#temporaries}`);
  }

  async #snapshotFiles(): Promise<SnapshotFile[]> {
    const files: SnapshotFile[] = [];
    for (const name of await readFolder(this.#snapshots)) {
      const [, initiator, count, kind] = SNAPSHOT_FILE.exec(name) ?? [];
      if (initiator !== undefined)
        files.push({ name, initiator, count: Number(count), used: kind === "used" });
    }
    return files;
  }

  /** Writes and flushes a new file in tmp/. */
  async #writeTemporary(
    chunks: readonly Uint8Array[],
  ): Promise<{ temporary: string; mtimeMs: number }> {
    const temporary = this.#temporaryPath();
    try {
      const handle = await fs.open(temporary, "wx", 0o600);
      try {
        // One call for all: libuv goes on until everything is written, or something fails.
        if (chunks.length > 0) await handle.writev(chunks);
        if (this.#sync) await handle.sync();
        return { temporary, mtimeMs: (await handle.stat()).mtimeMs };
      } finally {
        await handle.close();
      }
    } catch (error) {
      await fs.rm(temporary, { force: true }).catch(() => {});
      throw failed("write", temporary, error);
    }
  }

  /** Moves a file to or from tmp/, replacing what is there. */
  async #rename(from: string, to: string): Promise<void> {
    try {
      await fs.rename(from, to);
    } catch (error) {
      if (dirname(from) === this.#tmp) await fs.rm(from, { force: true }).catch(() => {});
      throw failed("write", to, error);
    }
  }

  /** Makes what was renamed or removed in a folder survive a crash of the machine. */
  async #flushFolder(folder: string): Promise<void> {
    // Windows has no such thing.
    if (!this.#sync || process.platform === "win32") return;
    const flush = async (): Promise<void> => {
      const handle = await fs.open(folder, "r");
      try {
        await handle.sync();
      } finally {
        await handle.close();
      }
    };
    await attempt("flush", folder, flush());
  }
}

/** Which files the manifests refer to. */
class References {
  readonly #filesOf = new Map<string, readonly FileUse[]>();
  readonly #files = new Map<string, FileUse>();

  knows(manifest: string): boolean {
    return this.#filesOf.has(manifest);
  }

  has(file: string): boolean {
    return this.#files.has(file);
  }

  add(manifest: string, files: Iterable<string>): void {
    if (this.knows(manifest)) return;
    const uses: FileUse[] = [];
    for (const name of files) {
      const use = this.#files.get(name) ?? { name, manifests: 0 };
      use.manifests += 1;
      this.#files.set(name, use);
      uses.push(use);
    }
    this.#filesOf.set(manifest, uses);
  }

  keepOnly(manifests: ReadonlySet<string>): void {
    for (const manifest of this.#filesOf.keys())
      if (!manifests.has(manifest)) this.delete(manifest);
  }

  /** Gives the files that no manifest refers to any more. */
  delete(manifest: string): string[] {
    const last: string[] = [];
    for (const use of this.#filesOf.get(manifest) ?? []) {
      use.manifests -= 1;
      if (use.manifests > 0) continue;
      this.#files.delete(use.name);
      last.push(use.name);
    }
    this.#filesOf.delete(manifest);
    return last;
  }
}

interface FileUse {
  readonly name: string;
  /** How many manifests refer to it. */
  manifests: number;
}

/** A file in parts/. */
interface PartFile {
  readonly name: string;
  readonly chunks: readonly Uint8Array[];
  readonly bytes: number;
}

/** Parts on their way into one file. */
interface Pack {
  readonly parts: (PackedPart & { pack: string })[];
  readonly seal: FileSeal | undefined;
  readonly chunks: Uint8Array[];
  bytes: number;
}

/** A part as it is stored, but for encryption. */
interface Coded {
  chunks: readonly Uint8Array[];
  /** How long it is, if it is compressed. */
  readonly zstd?: number;
}

/** Which packs a piece refers to, and how large these files are. */
class PackUses {
  /** Undefined: it is not there. */
  readonly #sizes = new Map<string, number | undefined>();
  readonly all: Map<string, PackUse> = new Map();

  knows(pack: string): boolean {
    return this.#sizes.has(pack);
  }

  /** The pack may have been cut. */
  has(part: PackedPart): boolean {
    return part.offset + storedBytes(part) <= (this.#sizes.get(part.pack) ?? -1);
  }

  setSize(pack: string, bytes: number | undefined): void {
    this.#sizes.set(pack, bytes);
  }

  /** Every part once. */
  add(part: PackedPart): void {
    const live = (this.all.get(part.pack)?.live ?? 0) + storedBytes(part);
    this.all.set(part.pack, { bytes: this.#sizes.get(part.pack) ?? live, live });
  }
}

/** How many bytes of its file a part takes. */
function storedBytes({ bytes, zstd = bytes, sealed }: PartReference): number {
  return sealed ? zstd + SEAL_BYTES : zstd;
}

/** The files that a manifest needs, with how long each must at least be. */
function filesOf(manifest: Manifest): Map<string, number> {
  const files = new Map<string, number>();
  for (const part of partsOf(manifest)) addFile(files, part);
  return files;
}

function addFile(files: Map<string, number>, part: PartReference): void {
  const { sha256, pack = sha256, offset = 0 } = part;
  files.set(pack, Math.max(offset + storedBytes(part), files.get(pack) ?? 0));
}

/** Does it for all items, which are as they are until then, and nothing else has to wait for long. */
async function forAll<T>(items: Iterable<T>, act: (item: T) => void): Promise<void> {
  let done = 0;
  for (const item of items) {
    act(item);
    done += 1;
    if (done % GONE_THROUGH_AT_ONCE === 0) await nextTurn();
  }
}

/** Hashes much in turns, so that nothing else has to wait for long. */
async function sha256Of(chunks: readonly Uint8Array[]): Promise<string> {
  const sha256 = createHash("sha256");
  let hashed = 0;
  for (const chunk of chunks) {
    for (let at = 0; at < chunk.length; at += HASHED_AT_ONCE_BYTES) {
      const bytes = chunk.subarray(at, at + HASHED_AT_ONCE_BYTES);
      if (hashed + bytes.length > HASHED_AT_ONCE_BYTES) {
        await nextTurn();
        hashed = 0;
      }
      sha256.update(bytes);
      hashed += bytes.length;
    }
  }
  return sha256.digest("hex");
}

/** Says that the file is relied on, and gives its size; `undefined` if there is none of a size that fits. */
async function touch(path: string, fits: (size: number) => boolean): Promise<number | undefined> {
  const stat = await lstat(path);
  if (!stat?.isFile() || !fits(stat.size)) return undefined;
  const now = new Date();
  try {
    await fs.utimes(path, now, now);
    return stat.size;
  } catch (error) {
    // Removed just now.
    if (codeOf(error) === "ENOENT") return undefined;
    throw failed("touch", path, error);
  }
}

interface Range {
  readonly start: number;
  readonly length: number;
}

/** Reads the parts of a file that `ranges` chooses, knowing its size; none if there is no file. */
async function read(
  path: string,
  ranges: (size: number) => readonly Range[],
): Promise<Uint8Array[]> {
  let handle: fs.FileHandle;
  try {
    // A pipe does not keep us waiting for someone to write to it.
    handle = await fs.open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return [];
    throw failed("read", path, error);
  }
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw damaged(path, "it is not a file");
    const all: Uint8Array[] = [];
    for (const { start, length } of ranges(stat.size)) {
      const bytes = new Uint8Array(length);
      for (let at = 0; at < length; ) {
        const { bytesRead } = await handle.read(bytes, at, length - at, start + at);
        if (bytesRead === 0) throw damaged(path, "it became shorter while it was read");
        at += bytesRead;
      }
      all.push(bytes);
    }
    return all;
  } catch (error) {
    throw isTidemarkError(error) ? error : failed("read", path, error);
  } finally {
    // All that was wanted has been read.
    await handle.close().catch(() => {});
  }
}

/** The names in a folder; none if there is no folder. */
async function readFolder(folder: string): Promise<string[]> {
  try {
    return await fs.readdir(folder);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return [];
    throw failed("read", folder, error);
  }
}

async function lstat(path: string): Promise<Stats | undefined> {
  try {
    return await fs.lstat(path);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw failed("look at", path, error);
  }
}

/** Makes an empty file, if there is none. */
async function create(path: string): Promise<void> {
  const handle = await fs.open(path, "a", 0o600);
  await handle.close();
}

/** Does it for all items, some at a time; a failure is thrown when all that was begun has ended. */
async function forEach<T>(items: Iterable<T>, work: (item: T) => Promise<unknown>): Promise<void> {
  const rest = [...items].values();
  const worker = async (): Promise<void> => {
    for (const item of rest) await work(item);
  };
  const workers = await Promise.allSettled(Array.from({ length: FILES_AT_ONCE }, worker));
  for (const { reason } of workers.filter((worker) => worker.status === "rejected")) throw reason;
}

async function attempt<T>(what: string, path: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw failed(what, path, error);
  }
}

function failed(what: string, path: string, cause: unknown): TidemarkError {
  return new TidemarkError("STORE_FAILED", `cannot ${what} ${path}: ${textOf(cause)}`, { cause });
}

/** The same, but what was asked may have happened, or may happen yet. */
function indefinite(error: TidemarkError): TidemarkError {
  return new TidemarkError(error.code, error.message, { cause: error.cause, definite: false });
}

function damaged(path: string, problem: string): TidemarkError {
  return new TidemarkError("DAMAGED", `${path} is damaged: ${problem}`);
}

function isKeyError(error: unknown): boolean {
  return isTidemarkError(error, "KEY_REQUIRED") || isTidemarkError(error, "WRONG_KEY");
}

function codeOf(error: unknown): string {
  return String((error as { code?: unknown } | undefined)?.code);
}
