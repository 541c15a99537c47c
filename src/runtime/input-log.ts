/**
 * The input log: what a process was given, on disk, so that after a crash it can come back to where it was. A device that knows
 * nothing of processes: it takes records, says when each is safe, keeps one state (a *capture*) with the records after it, and
 * gives them back.
 *
 * Assumptions. A local file system: what has been written survives the death of the OS process, what has been flushed survives a
 * loss of power, `rename` is atomic, and a flushed folder keeps its names. Writes that were not flushed may survive or not, in any
 * order and in parts. One OS process has the log at a time, which a lock sees to; see directory-lock.ts for whom it takes for dead.
 *
 * Theory of operation. `append` copies the record into the batch that is being filled, and gives its position. One *driver* writes:
 * it takes everything that has been appended, as a list of batches, with one call; what comes meanwhile goes with the next. With
 * `always` it flushes before it goes on, with `everysec` a timer does, beside the writes; with `none` nobody does. So each batch
 * can say up to which position all was on the disk when it was made (`syncedUpTo`), which is how a reader tells damage from a torn
 * tail (see log-files.ts). What is settled by the last batch is told by no batch after it; so when nothing more comes, an empty one
 * says so.
 *
 * A capture begins a segment, so everything before it lies in files of its own, which are removed when it is committed. Its file is
 * written under another name, flushed, renamed, and the folder is flushed; only then does anything go. A new segment is flushed
 * together with the one before it and with the folder, before anybody hears that its records are safe.
 *
 * When a write fails, the file is cut back to where the write began, the batches stay as they are, and it is tried again every
 * second: nothing is lost but time, and memory for what is appended meanwhile. When a flush fails that is the end: the system may
 * have dropped what it could not write and marked it as clean, so a second flush that succeeds says nothing. From then on
 * everything is refused. The bytes on the disk are whatever they are; whoever opens the log next reads what is there.
 */

import { randomBytes } from "node:crypto";
import * as fs from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { isTidemarkError, TidemarkError } from "../core/error.ts";
import { forEachRecord, readRecords, recordBytes } from "../core/record.ts";
import { DirectoryLock, newOpener } from "./directory-lock.ts";
import {
  attempt,
  BlockFile,
  CaptureReader,
  captureName,
  cutLog,
  damage,
  findNext,
  flushFolder,
  goesOn,
  HEADER_BYTES,
  IDENTITY_BYTES,
  logFailed,
  makeAside,
  RECORD_BYTES_MAX,
  type Survey,
  sealBlock,
  segmentName,
  surveyLog,
  TEMPORARY,
} from "./log-files.ts";

/**
 * What it takes for a record to be *settled*, and so what can be lost of those that are.
 *
 * - `always`: it has been written and flushed to the disk. Nothing is lost, also when the machine loses power.
 * - `everysec`: it has been handed to the operating system, which is told about once a second to flush. Nothing is lost when
 *   the process is killed; about the last second, when the machine loses power.
 * - `none`: it has been handed to the operating system. Nothing is lost when the process is killed; when the machine loses
 *   power, what the system had not yet written by itself, on Linux about the last half minute.
 */
export type LogPolicy = "always" | "everysec" | "none";

/** How `openInputLog` writes, and whom it tells. */
export interface InputLogOptions {
  /** @default "everysec" */
  readonly policy?: LogPolicy;
  /**
   * A segment that has grown beyond this is followed by another, in bytes. Less: more files. More: a file that takes longer to read when
   * damage is looked for.
   * @default 67_108_864
   */
  readonly segmentBytes?: number;
  /**
   * Told of what goes wrong and goes on: `LOG_FAILED` when the log cannot be written, once, and `LOG_RESUMED` when it can again;
   * `LOG_CUT` when a torn tail was cut at opening; `LOG_DAMAGED` when a capture is damaged and the one before it was used.
   */
  readonly onProblem?: (problem: TidemarkError) => void;
  /** All records up to that position are settled. Called after each write, never from inside `append`. */
  readonly onSettled?: (position: number) => void;
}

/** A state that was put into the log, and is there as a whole. */
export interface LogCapture {
  readonly image: Uint8Array;
  /** The slices that were added, in order, each lent until the next is asked for. @throws TidemarkError `LOG_DAMAGED` */
  slices(): AsyncIterable<Uint8Array>;
}

/** Puts a state into the log. After an error nothing of it is left, and another may begin. */
export interface CaptureWriter {
  /**
   * Adds a slice, which is copied at once. Wait for one before adding the next: that is what bounds memory.
   * @throws TidemarkError `LOG_FAILED`, `STOPPED`
   */
  add(slice: Uint8Array): Promise<void>;
  /**
   * The state is whole. Once resolved it survives a loss of power, whatever the policy, and what came before it is removed.
   * @throws TidemarkError `LOG_FAILED`, `STOPPED`
   */
  commit(): Promise<void>;
  /** Removes it. After `commit` or an error it does nothing. */
  abort(): Promise<void>;
}

/** See `openInputLog`. */
export interface InputLog extends AsyncDisposable {
  /** The newest whole one that was there at opening. */
  readonly capture: LogCapture | undefined;
  /** Bytes ever appended, with what frames the records: where the next one goes. */
  readonly position: number;
  /** Everything up to there may be acted on. */
  readonly settled: number;
  /** Bytes of the records after the newest capture. */
  readonly bytesSinceCapture: number;
  /** Everything up to there is on the disk, as far as this program has seen to it. */
  readonly synced: number;
  /** How often what was written has been flushed to the disk since it was opened. */
  readonly flushes: number;
  /** Why nothing is settled at the moment, or ever again; undefined if all is well. */
  readonly stalled: TidemarkError | undefined;
  /**
   * The records that were there at opening, after the capture, oldest first; some at a time, which are lent until the next are asked
   * for. Read them before another capture is committed, for that removes them.
   * @throws TidemarkError `LOG_DAMAGED`, `LOG_FAILED`
   */
  records(): AsyncIterable<readonly Uint8Array[]>;
  /**
   * Appends one record, `head` and `body` one behind the other, which are copied at once; gives the position after it. While the log
   * cannot be written, records wait in memory without a limit: look at `stalled`.
   * @throws TidemarkError `MESSAGE_TOO_LARGE` beyond 1 GiB, `STOPPED` after `close`, `LOG_FAILED` after a flush that failed
   */
  append(head: Uint8Array, body?: Uint8Array): number;
  /**
   * Begins a capture of the state that all records so far led to: those that are appended from now on come after it. The image is copied at
   * once. One at a time.
   * @throws TidemarkError `BUSY`, `MESSAGE_TOO_LARGE`, `STOPPED`, `LOG_FAILED`
   */
  beginCapture(image: Uint8Array): CaptureWriter;
  /**
   * Writes what is left and lets others have the log. A capture that is not committed is removed.
   * @throws TidemarkError `LOG_FAILED` if something that was appended could not be written
   */
  close(): Promise<void>;
}

/**
 * Opens the input log in a directory, made if need be, for this OS process alone, and reads what is there. A torn tail, of which nobody was
 * told that it is safe under `always`, is cut.
 *
 * @throws TidemarkError `BAD_OPTION`; `LOG_LOCKED` if somebody has it; `LOG_DAMAGED` if something is missing or not what was written;
 *   `LOG_FAILED` if it cannot be read or written
 *
 * @example
 * ```ts
 * import { openInputLog } from "tidemark";
 *
 * const log = await openInputLog("state/p1", { policy: "always", onSettled: (position) => console.log("safe up to", position) });
 * for await (const records of log.records()) for (const record of records) console.log("again", record);
 * log.append(new TextEncoder().encode("deposit 5"));
 * await log.close();
 * ```
 */
export async function openInputLog(
  directory: string,
  options: InputLogOptions = {},
): Promise<InputLog> {
  const { policy = "everysec", segmentBytes = 64 * 1_048_576 } = options;
  checkDirectoryName(directory);
  if (!["always", "everysec", "none"].includes(policy))
    throw new TidemarkError(
      "BAD_OPTION",
      `policy is ${policy}; use "always", "everysec" or "none"`,
    );
  if (!(Number.isSafeInteger(segmentBytes) && segmentBytes > 0))
    throw new TidemarkError("BAD_OPTION", `segmentBytes is ${segmentBytes}; use a number of bytes`);
  const path = resolve(directory);
  const lock = await lockLog(path);
  try {
    return await DiskLog.open(path, lock, { ...options, policy, segmentBytes });
  } catch (error) {
    await lock.release();
    throw error;
  }
}

/** What `salvageLog` did. */
export interface Salvage {
  readonly survey: Survey;
  /** Where the rest was moved; undefined if the log was not damaged. */
  readonly aside: string | undefined;
}

/**
 * Keeps what is before the damage of a log, moves the rest to a folder in its directory, and removes nothing.
 *
 * @throws TidemarkError as `openInputLog`
 */
export async function salvageLog(directory: string): Promise<Salvage> {
  const path = resolve(directory);
  const lock = await lockLog(path);
  try {
    const survey = await surveyLog(path, true);
    if (survey.broken?.kind !== "damaged") return { survey, aside: undefined };
    const aside = await makeAside(path);
    await cutLog(survey, aside);
    return { survey, aside };
  } finally {
    await lock.release();
  }
}

function checkDirectoryName(directory: string): void {
  if (typeof directory !== "string" || directory === "")
    throw new TidemarkError("BAD_OPTION", "an input log needs the path of a directory");
}

/** Two who come at once see each other; one of them has it after a moment. Who has it keeps it for long. */
const LOCK_TIMEOUT_MS = 200;

async function lockLog(directory: string): Promise<DirectoryLock> {
  const folder = join(directory, "lock");
  const first = await attempt("create", folder, fs.mkdir(folder, { recursive: true, mode: 0o700 }));
  if (first !== undefined)
    for (let above = directory; ; above = dirname(above)) {
      await flushFolder(above);
      if (above === dirname(first) || above === dirname(above)) break;
    }
  const lock = new DirectoryLock(folder, newOpener(), (what, path, cause) =>
    what === "lock"
      ? new TidemarkError(
          "LOG_LOCKED",
          `another process has the input log ${directory}: ${String(cause)}`,
        )
      : logFailed(what, path, cause),
  );
  await lock.acquire(LOCK_TIMEOUT_MS);
  return lock;
}

/** A batch is written when it has that many bytes, or nothing else is being written. */
const BATCH_BYTES = 1_048_576;
const FIRST_BATCH_BYTES = 65_536;
/** So many batches are kept to be filled anew. */
const FREE_MAX = 8;
/** Between two flushes with `everysec`, between two marks, and between two attempts to write. */
const AGAIN_MS = 1_000;
/** What is written at once of a capture. */
const CAPTURE_BLOCK_BYTES = 262_144;
const NOTHING = new Uint8Array(0);

/** Records that are written as one block. */
interface Batch {
  bytes: Uint8Array;
  view: DataView;
  end: number;
  count: number;
  /** Of its first record. */
  position: number;
  /** It begins a segment. */
  rolls: boolean;
}

/** The file that batches are written to. */
interface Segment {
  readonly path: string;
  readonly position: number;
  readonly handle: fs.FileHandle;
  size: number;
}

type Settings = InputLogOptions & Required<Pick<InputLogOptions, "policy" | "segmentBytes">>;

class DiskLog implements InputLog {
  readonly #directory: string;
  readonly #lock: DirectoryLock;
  readonly #policy: LogPolicy;
  readonly #segmentBytes: number;
  readonly #onProblem: (problem: TidemarkError) => void;
  readonly #onSettled: (position: number) => void;
  readonly #found: Survey;
  readonly #identity: Uint8Array;
  readonly capture: LogCapture | undefined;
  flushes: number = 0;

  #position: number;
  #written: number;
  #synced: number;
  #settled: number;
  /** What the newest batch says. */
  #told: number;
  /** Where the newest capture is, or where the log began. */
  #base: number;

  #filling: Batch;
  readonly #queue: Batch[] = [];
  readonly #free: Batch[] = [];
  #segment: Segment;
  /** Is kept open: to open it may fail, and that would say nothing about what is on the disk. */
  readonly #folder: fs.FileHandle | undefined;
  /** Segments that were left behind and are not flushed. */
  #left: Segment[] = [];
  #folderChanged: boolean = false;
  #driver: Promise<void> | undefined;
  #flush: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** Ends the pause before the next attempt to write. */
  #wake = new AbortController();
  #capturing: DiskCapture | undefined;

  #stalled: TidemarkError | undefined;
  /** Set for good: everything is refused with this. */
  #refusal: TidemarkError | undefined;
  #closing: Promise<void> | undefined;

  private constructor(
    directory: string,
    lock: DirectoryLock,
    { policy, segmentBytes, onProblem, onSettled }: Settings,
    found: Survey,
    capture: LogCapture | undefined,
    segment: Segment,
    folder: fs.FileHandle | undefined,
  ) {
    this.#folder = folder;
    this.#directory = directory;
    this.#lock = lock;
    this.#policy = policy;
    this.#segmentBytes = segmentBytes;
    this.#onProblem = onProblem ?? (() => {});
    this.#onSettled = onSettled ?? (() => {});
    this.#found = found;
    this.#identity = found.identity ?? new Uint8Array(randomBytes(IDENTITY_BYTES));
    this.capture = capture;
    this.#segment = segment;
    this.#base = found.from;
    this.#position = found.position;
    this.#written = found.position;
    this.#settled = found.position;
    this.#synced = found.synced;
    this.#told = found.synced;
    this.#filling = newBatch(FIRST_BATCH_BYTES, found.position);
  }

  static async open(directory: string, lock: DirectoryLock, settings: Settings): Promise<DiskLog> {
    const found = await surveyLog(directory);
    const { base, broken, from, position, chain, captures, segments } = found;
    const tell = settings.onProblem ?? (() => {});
    if (broken?.kind === "damaged") throw damagedLog(found);
    if (broken) {
      await cutLog(found);
      tell(cutNotice(found));
    }
    const [newest] = captures;
    if (newest?.problem !== undefined)
      tell(
        new TidemarkError(
          "LOG_DAMAGED",
          `${newest.file} is damaged: ${newest.problem}; what came before it is still there, and nothing is lost`,
        ),
      );
    for (const name of await attempt("read", directory, fs.readdir(directory)))
      if (TEMPORARY.test(name)) await remove(join(directory, name));
    const old = [...captures, ...segments].filter((file) => file.position < from);
    // Its writer may have died before the name of the capture was on the disk.
    if (old.length > 0) await flushFolder(directory);
    for (const { file } of old) await remove(file);

    const last = chain.at(-1);
    const path = last?.file ?? join(directory, segmentName(position));
    const handle = await attempt("write", path, fs.open(path, last ? "r+" : "wx", 0o600));
    // Windows has no such thing.
    const opening = process.platform === "win32" ? undefined : fs.open(directory, "r");
    let folder: fs.FileHandle | undefined;
    try {
      folder = await attempt("read", directory, Promise.resolve(opening));
      const segment = { path, handle, position: last?.position ?? position, size: last?.end ?? 0 };
      const capture = base && (await readCapture(base.file, base.position));
      const log = new DiskLog(directory, lock, settings, found, capture, segment, folder);
      // A process that was killed may have left what nobody has flushed, names of files and what was cut back among it. From now on it
      // is acted on, whatever the policy: else what was cut back may be there again, in the place of what came after it.
      if (position > found.synced) for (const { file } of chain.slice(0, -1)) await flushFile(file);
      await attempt("flush", path, handle.datasync());
      await log.#flushFolder();
      log.#synced = position;
      return log;
    } catch (error) {
      await handle.close().catch(() => {});
      await folder?.close().catch(() => {});
      throw error;
    }
  }

  get position(): number {
    return this.#position;
  }

  get synced(): number {
    return this.#synced;
  }

  get settled(): number {
    return this.#settled;
  }

  get bytesSinceCapture(): number {
    return this.#position - this.#base;
  }

  get stalled(): TidemarkError | undefined {
    return this.#refusal ?? this.#stalled;
  }

  async *records(): AsyncGenerator<readonly Uint8Array[], void> {
    let position = this.#found.from;
    for (const { file: path, end } of this.#found.chain) {
      const file = await BlockFile.open(path);
      try {
        for (let at = 0; at < end; ) {
          const next = (await findNext(file, at, position, this.#identity))?.block;
          if (next?.position !== position) throw damage(path, at, "it changed since it was opened");
          const records = readRecords(next.body);
          position += next.body.length;
          at = next.end;
          // Small batches that are in memory already go with it.
          while (at < end) {
            const more = file.peek(at);
            if (!goesOn(more, position, this.#identity)) break;
            forEachRecord(more.body, (record) => void records.push(record));
            position += more.body.length;
            at = more.end;
          }
          if (records.length > 0) yield records;
        }
      } finally {
        await file.close();
      }
    }
  }

  append(head: Uint8Array, body: Uint8Array = NOTHING): number {
    if (this.#refusal) throw this.#refusal;
    if (this.#closing !== undefined) throw closed();
    const length = head.length + body.length;
    checkLength(length);
    const room = recordBytes(length);
    let batch = this.#filling;
    if (batch.end + room > batch.bytes.length) batch = this.#makeRoom(room);
    const { bytes, end } = batch;
    // Its padding may have been something else before.
    batch.view.setUint32(end + room - 4, 0, true);
    batch.view.setUint32(end, length, true);
    bytes.set(head, end + 4);
    if (body.length > 0) bytes.set(body, end + 4 + head.length);
    batch.end = end + room;
    batch.count += 1;
    this.#position += room;
    if (this.#driver === undefined) this.#drive();
    return this.#position;
  }

  beginCapture(image: Uint8Array): CaptureWriter {
    if (this.#refusal) throw this.#refusal;
    if (this.#closing !== undefined) throw closed();
    checkLength(image.length);
    if (this.#capturing)
      throw new TidemarkError("BUSY", "the capture before it is not committed yet");
    if (this.#filling.count > 0) this.#sealFilling();
    this.#filling.rolls = true;
    this.#drive();
    this.#capturing = new DiskCapture(this.#directory, this.#position, this.#identity, {
      flushFolder: () => this.#flushFolder(),
      commit: (position) => this.#committed(position),
      fail: (error) => this.#fail(error),
      refusal: () => this.#refusal,
      ended: () => {
        this.#capturing = undefined;
      },
    });
    this.#capturing.begin(image);
    return this.#capturing;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    await this.#capturing?.abort();
    this.#wake.abort();
    while (this.#driver !== undefined) await this.#driver;
    let problem = this.stalled;
    clearInterval(this.#timer);
    if (!problem && this.#policy !== "none") {
      await this.#flushed().catch(() => {});
      await this.#mark();
      problem = this.stalled;
    }
    await this.#flush?.catch(() => {});
    for (const { handle } of [...this.#left, this.#segment]) await handle.close().catch(() => {});
    await this.#folder?.close().catch(() => {});
    await this.#lock.release();
    if (this.#refusal) throw this.#refusal;
    const bytes = this.#position - this.#written;
    if (problem && bytes > 0)
      throw new TidemarkError(
        "LOG_FAILED",
        `${bytes} bytes of the input log were never written: ${problem.message}`,
        { cause: problem },
      );
  }

  // --- Batches -----------------------------------------------------------------------------------

  /** Gives the batch that the next record goes to. */
  #makeRoom(room: number): Batch {
    const batch = this.#filling;
    if (batch.count > 0 && batch.end + room > BATCH_BYTES) {
      this.#sealFilling();
      return this.#filling.bytes.length >= HEADER_BYTES + room
        ? this.#filling
        : this.#makeRoom(room);
    }
    grow(batch, Math.max(batch.end + room, Math.min(BATCH_BYTES, 2 * batch.bytes.length)));
    return batch;
  }

  #sealFilling(): void {
    const { length } = this.#filling.bytes;
    this.#queue.push(this.#filling);
    // The next one will have about as much in it.
    const batch = this.#free.pop() ?? newBatch(Math.min(BATCH_BYTES, length), 0);
    batch.position = this.#position;
    this.#filling = batch;
  }

  #recycle(batch: Batch): void {
    if (this.#free.length >= FREE_MAX || batch.bytes.length > BATCH_BYTES) return;
    batch.end = HEADER_BYTES;
    batch.count = 0;
    batch.rolls = false;
    this.#free.push(batch);
  }

  #seal(batch: Batch): void {
    const { bytes, view, end, count, position } = batch;
    sealBlock(bytes, view, end, "batch", count, this.#identity, position, this.#synced);
  }

  // --- Writing -----------------------------------------------------------------------------------

  #drive(): void {
    // What the same turn appends goes with it.
    this.#driver ??= Promise.resolve()
      .then(() => this.#run())
      .finally(() => {
        this.#driver = undefined;
        if (this.#hasWork() && !this.#refusal && !this.#stalled) this.#drive();
      });
  }

  #hasWork(): boolean {
    return this.#queue.length > 0 || this.#filling.count > 0 || this.#filling.rolls;
  }

  async #run(): Promise<void> {
    // Who closes the log waits for one more attempt, and not for room on the disk.
    let last = false;
    while (!this.#refusal && this.#hasWork()) {
      if (this.#filling.count > 0 || this.#filling.rolls) this.#sealFilling();
      try {
        await this.#write();
      } catch (error) {
        if (this.#refusal) return;
        this.#stall(error as TidemarkError);
        if (this.#closing !== undefined) {
          if (last) return;
          last = true;
          continue;
        }
        await pause(AGAIN_MS, undefined, { ref: false, signal: this.#wake.signal }).catch(() => {});
        if (this.#closing === undefined) this.#wake = new AbortController();
        continue;
      }
      this.#resume();
      if (this.#policy === "always") await this.#flushed().catch(() => {});
      if (this.#refusal) return;
      this.#settle(this.#policy === "always" ? this.#synced : this.#written);
      if (this.#policy !== "none") this.#tick();
    }
  }

  /** Writes what fits into one segment; if it fails the queue is as it was, but for what is no longer needed. */
  async #write(): Promise<void> {
    // What a capture stands for need not be written.
    while (
      this.#queue[0] &&
      endOf(this.#queue[0]) <= this.#base &&
      this.#queue[0].position < this.#base
    )
      this.#skip(this.#queue.shift() as Batch);
    const [first] = this.#queue;
    if (!first) return;
    if (first.rolls || this.#segment.size >= this.#segmentBytes) await this.#roll(first.position);
    first.rolls = false;
    const segment = this.#segment;
    const batches: Batch[] = [];
    let bytes = 0;
    for (const batch of this.#queue) {
      if (batch.rolls || (bytes > 0 && segment.size + bytes >= this.#segmentBytes)) break;
      batches.push(batch);
      if (batch.count > 0) bytes += batch.end;
    }
    const runs = batches.filter(({ count }) => count > 0).map((batch) => this.#sealed(batch));
    if (runs.length > 0) {
      await this.#put(segment, runs, bytes);
      this.#told = this.#synced;
      segment.size += bytes;
    }
    this.#queue.splice(0, batches.length);
    for (const batch of batches) this.#skip(batch);
  }

  #sealed(batch: Batch): Uint8Array {
    this.#seal(batch);
    return batch.bytes.subarray(0, batch.end);
  }

  #skip(batch: Batch): void {
    this.#written = Math.max(this.#written, endOf(batch));
    this.#recycle(batch);
  }

  /** Writes at the end of the segment, all or nothing. */
  async #put({ handle, path, size }: Segment, runs: Uint8Array[], bytes: number): Promise<void> {
    try {
      let { bytesWritten: at } = await handle.writev(runs, size);
      // Not all was taken; the next attempt takes the rest, or says why not.
      while (at < bytes) {
        const rest = restOf(runs, at);
        const { bytesWritten } = await handle.writev(rest, size + at);
        if (bytesWritten === 0) throw new Error("nothing was written");
        at += bytesWritten;
      }
    } catch (error) {
      // If this fails as well, the next attempt writes over it, and a reader takes it for a torn tail.
      await handle.truncate(size).catch(() => {});
      throw logFailed("write", path, error);
    }
  }

  /** Begins a segment, unless it is there already. */
  async #roll(position: number): Promise<void> {
    const old = this.#segment;
    if (old.position === position) return;
    const path = join(this.#directory, segmentName(position));
    let handle: fs.FileHandle;
    try {
      handle = await fs.open(path, "wx", 0o600);
    } catch (error) {
      // Nothing of this log can be there; if it was made all the same, it must not be in the way of the next attempt.
      await fs.rm(path, { force: true }).catch(() => {});
      throw logFailed("write", path, error);
    }
    this.#segment = { path, position, handle, size: 0 };
    this.#folderChanged = true;
    if (this.#policy === "none") await old.handle.close().catch(() => {});
    else this.#left.push(old);
    await this.#removeOld();
  }

  #stall(error: TidemarkError): void {
    if (this.#stalled) return;
    this.#stalled = error;
    this.#onProblem(error);
  }

  #resume(): void {
    if (!this.#stalled) return;
    this.#stalled = undefined;
    this.#onProblem(
      new TidemarkError("LOG_RESUMED", `the input log ${this.#directory} can be written again`),
    );
  }

  #settle(position: number): void {
    if (position <= this.#settled) return;
    this.#settled = position;
    this.#onSettled(position);
  }

  // --- Flushing ----------------------------------------------------------------------------------

  /** All that is written now is on the disk. */
  async #flushed(): Promise<void> {
    // One that is under way may not have all of it.
    while (this.#flush !== undefined) await this.#flush;
    if (this.#refusal) throw this.#refusal;
    if (this.#synced >= this.#written) return;
    this.#flush = this.#flushNow();
    try {
      await this.#flush;
    } finally {
      this.#flush = undefined;
    }
  }

  async #flushNow(): Promise<void> {
    const position = this.#written;
    // A copy: while this flushes, the segment that is being written may be left behind with more in it.
    const left = [...this.#left];
    const segments = [...left, this.#segment];
    const folder = this.#folderChanged;
    this.#folderChanged = false;
    try {
      for (const { path, handle } of segments) await attempt("flush", path, handle.datasync());
      if (folder) await this.#flushFolder();
    } catch (error) {
      throw this.#fail(error as TidemarkError);
    }
    this.#left = this.#left.filter((segment) => !left.includes(segment));
    for (const { handle } of left) await handle.close().catch(() => {});
    this.#synced = Math.max(this.#synced, position);
    this.flushes += 1;
  }

  async #flushFolder(): Promise<void> {
    await attempt("flush", this.#directory, Promise.resolve(this.#folder?.sync()));
  }

  /** Nobody knows what is on the disk, and no later flush will tell. */
  #fail(cause: TidemarkError): TidemarkError {
    if (this.#refusal) return this.#refusal;
    this.#refusal = new TidemarkError(
      "LOG_FAILED",
      `${cause.message}; nobody knows now what is on the disk, and another attempt would not tell: the input log ends here`,
      { cause, definite: false },
    );
    clearInterval(this.#timer);
    this.#onProblem(this.#refusal);
    return this.#refusal;
  }

  /** Flushes once a second while there is something to flush; then says so in the log, and stops. */
  #tick(): void {
    this.#timer ??= setInterval(() => void this.#everySecond(), AGAIN_MS).unref();
  }

  async #everySecond(): Promise<void> {
    if (this.#closing || this.#refusal || this.#flush !== undefined) return;
    if (this.#synced < this.#written) {
      await this.#flushed().catch(() => {});
      return;
    }
    if (this.#driver !== undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#driver = this.#mark().finally(() => {
      this.#driver = undefined;
      if (this.#hasWork() && !this.#refusal) this.#drive();
    });
  }

  /** An empty batch: what was written before it is on the disk. Nothing depends on it, so a failure is none. */
  async #mark(): Promise<void> {
    if (this.#told >= this.#synced || this.#synced < this.#position) return;
    if (this.#written < this.#position) return;
    const segment = this.#segment;
    const mark = newBatch(HEADER_BYTES, this.#written);
    try {
      await this.#put(segment, [this.#sealed(mark)], HEADER_BYTES);
      segment.size += HEADER_BYTES;
      this.#told = this.#synced;
    } catch {
      // The next write tells what is wrong.
    }
  }

  // --- Captures ----------------------------------------------------------------------------------

  /** A capture is there for good: what came before it is not needed any more. */
  async #committed(position: number): Promise<void> {
    this.#base = position;
    this.#synced = Math.max(this.#synced, position);
    // What could not be written may not have to be.
    this.#wake.abort();
    if (!this.#stalled) this.#wake = new AbortController();
    this.#settle(position);
    await this.#removeOld();
  }

  /** Removes what is before the newest capture, but for the segment that is being written. If it fails, the next one does it. */
  async #removeOld(): Promise<void> {
    if (this.#base === this.#found.from) return;
    const own = new Set([this.#segment.path]);
    const survivors = (name: string): boolean => {
      const [, digits, kind] = /^([0-9]{16})\.(log|capture)$/.exec(name) ?? [];
      return kind === undefined || Number(digits) >= this.#base;
    };
    for (const name of await fs.readdir(this.#directory).catch(() => [])) {
      const path = join(this.#directory, name);
      if (!survivors(name) && !own.has(path)) await fs.rm(path, { force: true }).catch(() => {});
    }
  }
}

/** What a capture tells its log. */
interface CaptureEvents {
  flushFolder(): Promise<void>;
  /** It is there for good. */
  commit(position: number): Promise<void>;
  /** The folder could not be flushed. Gives what is thrown. */
  fail(error: TidemarkError): TidemarkError;
  refusal(): TidemarkError | undefined;
  /** Another may begin. */
  ended(): void;
}

class DiskCapture implements CaptureWriter {
  readonly #directory: string;
  readonly #position: number;
  readonly #identity: Uint8Array;
  readonly #events: CaptureEvents;
  readonly #temporary: string;
  #handle: fs.FileHandle | undefined;
  #block = newBatch(FIRST_BATCH_BYTES, 0);
  /** One that has been written. */
  #spare: Batch | undefined;
  #blocks = 0;
  #size = 0;
  /** The end of what is being done. */
  #work: Promise<void> = Promise.resolve();
  /** Why nothing more can be added. */
  #over: TidemarkError | undefined;
  #ended: boolean = false;

  constructor(directory: string, position: number, identity: Uint8Array, events: CaptureEvents) {
    this.#directory = directory;
    this.#position = position;
    this.#identity = identity;
    this.#events = events;
    this.#temporary = join(directory, `${captureName(position)}.tmp`);
  }

  begin(image: Uint8Array): void {
    this.#put(image);
    this.#work = this.#do(async () => {
      this.#handle = await fs.open(this.#temporary, "w", 0o600);
    });
    this.#write("slices");
    // Whoever adds or commits hears of it.
    this.#work.catch(() => {});
  }

  async add(slice: Uint8Array): Promise<void> {
    if (this.#over) throw this.#over;
    checkLength(slice.length);
    if (this.#block.count > 0 && this.#block.end + recordBytes(slice.length) > CAPTURE_BLOCK_BYTES)
      this.#write("slices");
    this.#put(slice);
    await this.#work;
  }

  async commit(): Promise<void> {
    if (this.#over) throw this.#over;
    if (this.#block.count > 0) this.#write("slices");
    this.#write("end");
    this.#over = new TidemarkError("STOPPED", "the capture is committed already");
    const path = join(this.#directory, captureName(this.#position));
    this.#work = this.#do(async () => {
      await this.#handle?.sync();
      await this.#handle?.close();
      this.#handle = undefined;
      const refusal = this.#events.refusal();
      if (refusal) throw refusal;
      await fs.rename(this.#temporary, path);
      try {
        await this.#events.flushFolder();
      } catch (error) {
        throw this.#events.fail(error as TidemarkError);
      }
      await this.#events.commit(this.#position);
      this.#end();
    });
    await this.#work;
  }

  async abort(): Promise<void> {
    this.#over ??= new TidemarkError("STOPPED", "the capture was aborted");
    await this.#work.catch(() => {});
    await this.#clear();
  }

  #put(slice: Uint8Array): void {
    const block = this.#block;
    const { end } = block;
    const room = recordBytes(slice.length);
    if (end + room > block.bytes.length) grow(block, Math.max(end + room, CAPTURE_BLOCK_BYTES));
    block.view.setUint32(end + room - 4, 0, true);
    block.view.setUint32(end, slice.length, true);
    block.bytes.set(slice, end + 4);
    block.end += room;
    block.count += 1;
  }

  /** Writes the block that has been filled. */
  #write(kind: "slices" | "end"): void {
    const block = this.#block;
    const { bytes, view, end, count } = block;
    sealBlock(bytes, view, end, kind, count, this.#identity, this.#position, this.#blocks);
    this.#block = this.#spare ?? newBatch(FIRST_BATCH_BYTES, 0);
    this.#spare = undefined;
    this.#blocks += 1;
    this.#work = this.#do(async () => {
      for (let at = 0; at < end; ) {
        const rest = bytes.subarray(at, end);
        const written = await this.#handle?.write(rest, 0, rest.length, this.#size + at);
        if (!written?.bytesWritten) throw new Error("nothing was written");
        at += written.bytesWritten;
      }
      this.#size += end;
      block.end = HEADER_BYTES;
      block.count = 0;
      if (bytes.length <= CAPTURE_BLOCK_BYTES) this.#spare = block;
    });
    this.#work.catch(() => {});
  }

  /** Does it after all else; a failure is the end. */
  #do(work: () => Promise<void>): Promise<void> {
    return this.#work.then(async () => {
      try {
        await work();
      } catch (error) {
        this.#over = isTidemarkError(error) ? error : logFailed("write", this.#temporary, error);
        await this.#clear();
        throw this.#over;
      }
    });
  }

  async #clear(): Promise<void> {
    if (this.#ended) return;
    await this.#handle?.close().catch(() => {});
    this.#handle = undefined;
    await fs.rm(this.#temporary, { force: true }).catch(() => {});
    this.#end();
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#events.ended();
  }
}

// --- Small things --------------------------------------------------------------------------------

function newBatch(bytes: number, position: number): Batch {
  const room = new Uint8Array(bytes);
  const view = new DataView(room.buffer);
  return { bytes: room, view, end: HEADER_BYTES, count: 0, position, rolls: false };
}

function grow(batch: Batch, length: number): void {
  const bytes = new Uint8Array(length);
  bytes.set(batch.bytes.subarray(0, batch.end));
  batch.bytes = bytes;
  batch.view = new DataView(bytes.buffer);
}

/** The position after its last record. */
const endOf = ({ position, end }: Batch): number => position + end - HEADER_BYTES;

/** The runs without so many of their first bytes. */
function restOf(runs: readonly Uint8Array[], bytes: number): Uint8Array[] {
  const rest: Uint8Array[] = [];
  let skip = bytes;
  for (const run of runs) {
    if (skip < run.length) rest.push(run.subarray(skip));
    skip = Math.max(0, skip - run.length);
  }
  return rest;
}

function checkLength(length: number): void {
  if (length > RECORD_BYTES_MAX)
    throw new TidemarkError(
      "MESSAGE_TOO_LARGE",
      `a record of the input log has ${length} bytes; at most ${RECORD_BYTES_MAX} are possible`,
    );
}

const closed = (): TidemarkError => new TidemarkError("STOPPED", "the input log is closed");

async function readCapture(path: string, position: number): Promise<LogCapture> {
  const reader = await CaptureReader.open(path, position);
  try {
    const image = await reader.image();
    return { image, slices: () => slicesOf(path, position) };
  } finally {
    await reader.close();
  }
}

async function* slicesOf(path: string, position: number): AsyncGenerator<Uint8Array, void> {
  const reader = await CaptureReader.open(path, position);
  try {
    // So it is known to be the same that was there before.
    await reader.image();
    yield* reader.slices();
  } finally {
    await reader.close();
  }
}

async function remove(path: string): Promise<void> {
  await attempt("remove", path, fs.rm(path, { force: true }));
}

async function flushFile(path: string): Promise<void> {
  const flush = async (): Promise<void> => {
    const handle = await fs.open(path, "r+");
    try {
      await handle.datasync();
    } finally {
      await handle.close();
    }
  };
  await attempt("flush", path, flush());
}

/** What a log that cannot be opened says. */
function damagedLog({ directory, broken, records }: Survey): TidemarkError {
  const { file, offset, problem } = broken ?? { file: directory, offset: 0, problem: "" };
  return new TidemarkError(
    "LOG_DAMAGED",
    `${file} is damaged at byte ${offset}: ${problem}; \`tidemark log ${directory} --salvage\` keeps ` +
      `the ${records} records before it, and moves the rest aside`,
  );
}

function cutNotice({ broken }: Survey): TidemarkError {
  const { file, offset, bytes, records, problem } = broken as NonNullable<Survey["broken"]>;
  const whole = records > 0 ? `, with ${records} records that nobody knew to be on the disk` : "";
  return new TidemarkError(
    "LOG_CUT",
    `${file} ends at byte ${offset}, where it was being written: ${problem}; cut ${bytes} bytes${whole}`,
  );
}
