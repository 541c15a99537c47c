/**
 * The files of an input log: how they are read, what they say together, and how what cannot be used is taken out. Who writes them
 * is input-log.ts; the format, for other programs, is docs/internals/log-format.md.
 *
 *     0000000000001024.log       a segment: batches of records, the first of which has the position in the name
 *     0000000000001024.capture   the state that all records before that position led to
 *     *.capture.tmp              one that is being written, or was when its writer died
 *     lock/OPENER                who writes this log
 *     aside-N/                   what `salvage` took out
 *
 * Theory of operation. A *position* counts the bytes of all records ever appended. Everything is written in *blocks*, each with a
 * checksum, the identity of its log and its position, so a block that is whole is known to be what was written there and nowhere
 * else. The log is the newest whole capture, and from its position on all blocks that follow each other without a gap: the *chain*.
 *
 * Where the chain ends there may be more bytes. They are a *torn tail* if nobody ever knew them to be on the disk: the machine lost
 * power, or the process died, while they were being written. Such a tail is cut. They are *damage* if they were on the disk: a
 * whole block that comes later says up to which position everything was (`synced`), and that is beyond. Then somebody may have been
 * told that they are safe, and to go on without them is for people to decide. So what is looked for behind the end is not data but
 * evidence.
 *
 * What comes in messages may look like blocks. It cannot pass for evidence: the identity is eight random bytes that never leave the
 * computer, and offset and position must fit together. How many bytes are checked in a search is limited.
 */

import * as fs from "node:fs/promises";
import { basename, join } from "node:path";
import { crc32 } from "node:zlib";
import { isTidemarkError, TidemarkError, textOf } from "../core/error.ts";
import { countRecords, readRecords } from "../core/record.ts";

/** Of each block, before its records. */
export const HEADER_BYTES = 40;
export const IDENTITY_BYTES = 8;
/** What one record, or one slice or image of a capture, may have: what fits into a block with room to spare. */
export const RECORD_BYTES_MAX: number = 2 ** 30;

const MAGIC = { batch: 0x31424c54, slices: 0x31434c54, end: 0x31454c54 } as const;
export type BlockKind = keyof typeof MAGIC;
const KINDS = new Map<number, BlockKind>(
  Object.entries(MAGIC).map(([kind, magic]) => [magic, kind as BlockKind]),
);
const BATCH_MAGIC = Buffer.from("TLB1", "latin1");

const SEGMENT = /^([0-9]{16})\.log$/;
const CAPTURE = /^([0-9]{16})\.capture$/;
export const TEMPORARY: RegExp = /^[0-9]{16}\.capture\.tmp$/;

export const segmentName = (position: number): string => `${digits(position)}.log`;
export const captureName = (position: number): string => `${digits(position)}.capture`;
const digits = (position: number): string => String(position).padStart(16, "0");

// --- Blocks --------------------------------------------------------------------------------------

/** One block that is whole. Its body is lent: the next that is read may lie in the same place. */
export interface Block {
  readonly kind: BlockKind;
  readonly count: number;
  readonly position: number;
  /** Of a batch: up to there all was on the disk when it was made. Of others: its number in the file. */
  readonly extra: number;
  readonly body: Uint8Array;
  /** Where the next block begins. */
  readonly end: number;
  readonly identity: Uint8Array;
}

/** Fills in the header of a block that takes the bytes up to `end`, with its records in place. */
export function sealBlock(
  bytes: Uint8Array,
  view: DataView,
  end: number,
  kind: BlockKind,
  count: number,
  identity: Uint8Array,
  position: number,
  extra: number,
): void {
  view.setUint32(0, MAGIC[kind], true);
  view.setUint32(8, end - HEADER_BYTES, true);
  view.setUint32(12, count, true);
  bytes.set(identity, 16);
  setCount(view, 24, position);
  setCount(view, 32, extra);
  view.setUint32(4, crc32(bytes.subarray(8, end)), true);
}

function setCount(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}

function getCount(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
}

/** What the header of a block says may be so; asked before its body is read and checked. */
type Plausible = (
  kind: BlockKind,
  position: number,
  offset: number,
  identity: Uint8Array,
) => boolean;

const READ_BYTES = 1_048_576;
/** Beyond that many times the size of a file, a search through it gives up. */
const SEARCH_FACTOR = 4;

/** A file of blocks, as long as it was when it was opened, read through a window of little more than one block. */
export class BlockFile {
  readonly path: string;
  readonly size: number;
  readonly #handle: fs.FileHandle;
  #window = new Uint8Array(0);
  #view = new DataView(this.#window.buffer);
  #start = 0;
  #length = 0;

  private constructor(path: string, handle: fs.FileHandle, size: number) {
    this.path = path;
    this.#handle = handle;
    this.size = size;
  }

  /** @throws TidemarkError `LOG_FAILED` */
  static async open(path: string): Promise<BlockFile> {
    const handle = await attempt("read", path, fs.open(path, "r"));
    try {
      return new BlockFile(path, handle, (await handle.stat()).size);
    } catch (error) {
      await handle.close().catch(() => {});
      throw logFailed("read", path, error);
    }
  }

  async close(): Promise<void> {
    // All that was wanted has been read.
    await this.#handle.close().catch(() => {});
  }

  /** The block there, if all of it happens to be in the window; so many of them cost no promise. */
  peek(offset: number): Block | undefined {
    return this.#holds(offset, HEADER_BYTES) && this.#holds(offset, this.#bytesAt(offset))
      ? this.#parse(offset)
      : undefined;
  }

  /** The block there; undefined if there is none that is whole. */
  async block(offset: number, plausible?: Plausible): Promise<Block | undefined> {
    if (offset + HEADER_BYTES > this.size) return undefined;
    await this.#see(offset, HEADER_BYTES);
    if (plausible && !this.#isPlausible(offset, plausible)) return undefined;
    const bytes = this.#bytesAt(offset);
    if (offset + bytes > this.size) return undefined;
    await this.#see(offset, bytes);
    return this.#parse(offset);
  }

  /** The next whole batch from there on that is plausible. @throws TidemarkError `LOG_DAMAGED` if it has to give up */
  async find(
    from: number,
    plausible: Plausible,
  ): Promise<{ block: Block; offset: number } | undefined> {
    let checked = 0;
    for (let at = from; at + HEADER_BYTES <= this.size; ) {
      await this.#see(at, HEADER_BYTES);
      const window = Buffer.from(this.#window.buffer, 0, this.#length);
      const found = window.indexOf(BATCH_MAGIC, at - this.#start);
      if (found < 0) {
        // Blocks begin at multiples of four, and so does the window: none lies across its end.
        at = Math.max(at + 4, (this.#start + this.#length) & -4);
        continue;
      }
      const offset = this.#start + found;
      if (offset % 4 !== 0 || offset + HEADER_BYTES > this.size) {
        at = (offset & -4) + 4;
        continue;
      }
      await this.#see(offset, HEADER_BYTES);
      // One that claims to be longer than the file is none, and costs nothing.
      if (this.#isPlausible(offset, plausible) && offset + this.#bytesAt(offset) <= this.size) {
        checked += this.#bytesAt(offset);
        if (checked > SEARCH_FACTOR * this.size)
          throw damage(this.path, offset, "too much in it looks like batches and is none");
        const block = await this.block(offset);
        if (block) return { block, offset };
      }
      at = offset + 4;
    }
    return undefined;
  }

  #holds(offset: number, bytes: number): boolean {
    return offset >= this.#start && offset + bytes <= this.#start + this.#length;
  }

  #bytesAt(offset: number): number {
    return HEADER_BYTES + this.#view.getUint32(offset - this.#start + 8, true);
  }

  #isPlausible(offset: number, plausible: Plausible): boolean {
    const at = offset - this.#start;
    const kind = KINDS.get(this.#view.getUint32(at, true));
    return (
      kind !== undefined &&
      plausible(
        kind,
        getCount(this.#view, at + 24),
        offset,
        this.#window.subarray(at + 16, at + 24),
      )
    );
  }

  #parse(offset: number): Block | undefined {
    const at = offset - this.#start;
    const view = this.#view;
    const kind = KINDS.get(view.getUint32(at, true));
    const start = at + HEADER_BYTES;
    const end = start + view.getUint32(at + 8, true);
    if (kind === undefined) return undefined;
    if (view.getUint32(at + 4, true) !== crc32(this.#window.subarray(at + 8, end)))
      return undefined;
    const count = view.getUint32(at + 12, true);
    const position = getCount(view, at + 24);
    const extra = getCount(view, at + 32);
    // The checksum is right, so this is what was written; whoever wrote it may have been no log.
    if (countRecords(view, start, end) !== count) return undefined;
    if (!Number.isSafeInteger(position) || !Number.isSafeInteger(extra)) return undefined;
    return {
      kind,
      count,
      position,
      extra,
      body: this.#window.subarray(start, end),
      end: this.#start + end,
      identity: this.#window.subarray(at + 16, at + 16 + IDENTITY_BYTES),
    };
  }

  /** Moves the window to where it has those bytes, which the file has. */
  async #see(offset: number, bytes: number): Promise<void> {
    if (this.#holds(offset, bytes)) return;
    const length = Math.min(this.size - offset, Math.max(bytes, READ_BYTES));
    if (this.#window.length < length) {
      this.#window = new Uint8Array(length);
      this.#view = new DataView(this.#window.buffer);
    }
    this.#length = 0;
    this.#start = offset;
    for (let at = 0; at < length; ) {
      const { bytesRead } = await attempt(
        "read",
        this.path,
        this.#handle.read(this.#window, at, length - at, offset + at),
      );
      if (bytesRead === 0) throw logFailed("read", this.path, "it became shorter meanwhile");
      at += bytesRead;
    }
    this.#length = length;
  }
}

// --- What is there -------------------------------------------------------------------------------

export interface FoundCapture {
  readonly file: string;
  readonly position: number;
  /** Of the file. */
  readonly bytes: number;
  /** Why it cannot be used. */
  readonly problem?: string;
  readonly identity?: Uint8Array;
}

export interface FoundSegment {
  readonly file: string;
  readonly position: number;
  /** Of the file. */
  readonly bytes: number;
  /** Of the chain. */
  records: number;
  batches: number;
  /** Where the last block of the chain that is in this file ends. */
  end: number;
}

/** The chain ends before the files do. */
export interface Break {
  readonly kind: "torn" | "damaged";
  readonly file: string;
  readonly offset: number;
  readonly position: number;
  readonly problem: string;
  /** What is there from that place on, in files of the log; of records, only those in batches that are whole. */
  readonly records: number;
  readonly bytes: number;
}

/** What the files say together. */
export interface Survey {
  readonly directory: string;
  /** Newest first. */
  readonly captures: readonly FoundCapture[];
  /** Oldest first. */
  readonly segments: readonly FoundSegment[];
  /** What the chain begins with; undefined: with nothing, at position 0. */
  readonly base: FoundCapture | undefined;
  /** The segments that the chain goes through. */
  readonly chain: readonly FoundSegment[];
  /** Where the chain begins and ends. */
  readonly from: number;
  readonly position: number;
  /** Records of the chain. */
  readonly records: number;
  /** The position up to which all is known to have been on the disk. */
  readonly synced: number;
  readonly identity: Uint8Array | undefined;
  readonly broken: Break | undefined;
}

/**
 * Reads all files of a log and changes nothing. Captures are looked at as a whole when that can matter, or `deep` is asked for.
 *
 * @throws TidemarkError `LOG_FAILED` if something cannot be read
 */
export async function surveyLog(directory: string, deep = false): Promise<Survey> {
  const names = await attempt("read", directory, fs.readdir(directory));
  const positions = (pattern: RegExp): number[] =>
    names
      .flatMap((name) => pattern.exec(name)?.[1] ?? [])
      .map(Number)
      .filter(Number.isSafeInteger)
      .sort((a, b) => a - b);
  const segments: FoundSegment[] = [];
  for (const position of positions(SEGMENT)) {
    const file = join(directory, segmentName(position));
    const { size } = await attempt("look at", file, fs.stat(file));
    segments.push({ file, position, bytes: size, records: 0, batches: 0, end: 0 });
  }
  const captures: FoundCapture[] = [];
  const newestFirst = positions(CAPTURE).reverse();
  // If there is something to fall back to, a capture of which only the slices are damaged must be known now.
  const fallBack =
    newestFirst.length > 1 || (newestFirst.length === 1 && segments[0]?.position === 0);
  for (const position of newestFirst)
    captures.push(await lookAtCapture(directory, position, deep || fallBack));

  const base = captures.find(({ problem }) => problem === undefined);
  const newest = captures[0];
  const lost = newest?.problem === undefined ? undefined : newest;
  const fresh = segments.length === 0 && captures.length === 0;
  const founded = base !== undefined || fresh || segments[0]?.position === 0;
  const from = base?.position ?? 0;
  const chain = new Chain(from, base?.identity, founded);
  await chain.follow(segments.filter(({ position }) => !founded || position >= from));

  let { broken } = chain;
  if (lost && chain.position < lost.position) broken = chain.breakAt(lost.file, 0, problemOf(lost));
  return {
    directory,
    captures,
    segments,
    base,
    from,
    chain: chain.segments,
    position: chain.position,
    records: chain.records,
    synced: chain.synced,
    identity: chain.identity,
    broken,
  };
}

const problemOf = ({ problem = "" }: FoundCapture): string => problem;

/** Follows the blocks of the segments, and looks for evidence where they break off. */
class Chain {
  readonly segments: FoundSegment[] = [];
  position: number;
  records = 0;
  synced: number;
  identity: Uint8Array | undefined;
  #at: { file: string; offset: number; problem: string } | undefined;
  #restRecords = 0;
  #restBytes = 0;
  #evidence = 0;
  /** There is something to begin with: a capture, or the first records of all. */
  readonly #founded: boolean;

  constructor(from: number, identity: Uint8Array | undefined, founded: boolean) {
    this.position = from;
    this.synced = 0;
    this.identity = identity && new Uint8Array(identity);
    this.#founded = founded;
  }

  get broken(): Break | undefined {
    if (!this.#at) return undefined;
    const { file, offset, problem } = this.#at;
    return {
      ...this.breakAt(file, offset, problem),
      kind: this.#evidence > this.position ? "damaged" : "torn",
    };
  }

  breakAt(file: string, offset: number, problem: string): Break {
    const { position } = this;
    const [records, bytes] = [this.#restRecords, this.#restBytes];
    return { kind: "damaged", file, offset, position, problem, records, bytes };
  }

  async follow(segments: readonly FoundSegment[]): Promise<void> {
    for (const [i, segment] of segments.entries()) {
      const file = await BlockFile.open(segment.file);
      try {
        await this.#followOne(segment, file, segments[i + 1]?.position);
      } catch (error) {
        if (!isTidemarkError(error, "LOG_DAMAGED")) throw error;
        // A search gave up: what is not known is not cut.
        this.#at ??= {
          file: file.path,
          offset: segment.end,
          problem: "a batch in it is not whole",
        };
        this.#evidence = Number.POSITIVE_INFINITY;
      } finally {
        await file.close();
      }
    }
  }

  async #followOne(
    segment: FoundSegment,
    file: BlockFile,
    next: number | undefined,
  ): Promise<void> {
    if (!this.#at && !this.#founded)
      this.#at = {
        file: file.path,
        offset: 0,
        problem: "the capture that it goes on from is missing",
      };
    if (!this.#at && segment.position !== this.position) {
      const problem =
        segment.position > this.position
          ? `the records from position ${this.position} on, before it, are missing`
          : `it begins at position ${segment.position}, before the end of the one before it`;
      this.#at = { file: file.path, offset: 0, problem };
    }
    if (this.#at) {
      this.#restBytes += file.size;
      await this.#lookBehind(file, 0, segment.position, 0);
      return;
    }
    this.segments.push(segment);
    while (segment.end < file.size) {
      const at = segment.end;
      const found = await findNext(file, at, this.position, this.identity);
      if (found?.block.position === this.position) {
        this.#take(segment, found.block);
        continue;
      }
      if (!found && next === this.position) return;
      this.#at = { file: file.path, offset: at, problem: "a batch in it is not whole" };
      this.#restBytes += file.size - at;
      if (found) await this.#lookBehind(file, found.offset, this.position, at);
      return;
    }
  }

  #take(segment: FoundSegment, block: Block): void {
    this.identity ??= new Uint8Array(block.identity);
    this.position += block.body.length;
    this.records += block.count;
    this.synced = Math.max(this.synced, block.extra);
    segment.records += block.count;
    segment.batches += 1;
    segment.end = block.end;
  }

  /** Goes through what is behind the end: what do whole batches there say was on the disk? */
  async #lookBehind(
    file: BlockFile,
    from: number,
    position: number,
    offset: number,
  ): Promise<void> {
    const plausible = fitting(offset, position, 0, this.identity);
    for (let at = from; ; ) {
      const found = await file.find(at, plausible);
      if (!found) return;
      this.#restRecords += found.block.count;
      this.#evidence = Math.max(this.#evidence, found.block.extra);
      at = found.block.end;
    }
  }
}

/**
 * The batch that a log goes on with, after what ends at `at` of a file and at `position` of the log; or, if that is not there, the next
 * that may be of the log. What lies in between may have held no record: a mark, or the half of a batch that was written again.
 */
export async function findNext(
  file: BlockFile,
  at: number,
  position: number,
  identity: Uint8Array | undefined,
): Promise<{ readonly offset: number; readonly block: Block } | undefined> {
  const block = file.peek(at) ?? (await file.block(at));
  if (goesOn(block, position, identity)) return { offset: at, block };
  return await file.find(at + 4, fitting(at, position, 1, identity));
}

/** True for the batch that a log goes on with at that position. */
export function goesOn(
  block: Block | undefined,
  position: number,
  identity: Uint8Array | undefined,
): block is Block {
  return (
    block?.kind === "batch" && block.position === position && sameIdentity(identity, block.identity)
  );
}

/** A batch of this log may lie there, if at least `between` whole ones lie between it and that place. */
function fitting(
  offset: number,
  position: number,
  between: number,
  identity: Uint8Array | undefined,
): Plausible {
  return (kind, at, there, its) => {
    const headers = there - offset - (at - position);
    return (
      kind === "batch" &&
      at >= position &&
      headers >= between * HEADER_BYTES &&
      headers % HEADER_BYTES === 0 &&
      sameIdentity(identity, its)
    );
  };
}

const sameIdentity = (known: Uint8Array | undefined, its: Uint8Array): boolean =>
  known === undefined || Buffer.compare(known, its) === 0;

async function lookAtCapture(
  directory: string,
  position: number,
  deep: boolean,
): Promise<FoundCapture> {
  const path = join(directory, captureName(position));
  const reader = await CaptureReader.open(path, position);
  try {
    const found = { file: path, position, bytes: reader.bytes };
    try {
      await reader.image();
      if (deep) for await (const _ of reader.slices());
      return { ...found, identity: reader.identity };
    } catch (error) {
      if (!isTidemarkError(error, "LOG_DAMAGED")) throw error;
      return { ...found, problem: String(error.cause) };
    }
  } finally {
    await reader.close();
  }
}

/** Reads one capture; everything that is not as it was written is `LOG_DAMAGED`. */
export class CaptureReader {
  readonly #file: BlockFile;
  readonly #position: number;
  #identity: Uint8Array | undefined;

  private constructor(file: BlockFile, position: number) {
    this.#file = file;
    this.#position = position;
  }

  static async open(path: string, position: number): Promise<CaptureReader> {
    return new CaptureReader(await BlockFile.open(path), position);
  }

  get bytes(): number {
    return this.#file.size;
  }

  get identity(): Uint8Array {
    return this.#identity ?? new Uint8Array(IDENTITY_BYTES);
  }

  /** A copy. Looks also at the end of the file: a capture that is there as a whole, has one. */
  async image(): Promise<Uint8Array> {
    const last = this.#file.size - HEADER_BYTES;
    const end = last < 0 ? undefined : await this.#file.block(last);
    if (end?.kind !== "end" || end.position !== this.#position)
      throw damage(this.#file.path, Math.max(0, last), "it has no end");
    this.#identity = new Uint8Array(end.identity);
    const { body } = await this.#block(0, 0);
    const [image, ...more] = readRecords(body);
    if (!image || more.length > 0)
      throw damage(this.#file.path, 0, "it does not begin with an image");
    return new Uint8Array(image);
  }

  /** The slices after the image, each lent until the next. */
  async *slices(): AsyncGenerator<Uint8Array, void> {
    let number = 1;
    for (let { end } = await this.#block(0, 0); ; number += 1) {
      if (end === this.#file.size - HEADER_BYTES) break;
      const block = await this.#block(end, number);
      end = block.end;
      for (const slice of readRecords(block.body)) yield slice;
    }
    const end = await this.#file.block(this.#file.size - HEADER_BYTES);
    if (end?.extra !== number)
      throw damage(this.#file.path, this.#file.size - HEADER_BYTES, "some of it is missing");
  }

  async #block(offset: number, number: number): Promise<Block> {
    const block = this.#file.peek(offset) ?? (await this.#file.block(offset));
    const right =
      block?.kind === "slices" &&
      block.extra === number &&
      block.position === this.#position &&
      sameIdentity(this.#identity, block.identity);
    if (!right) throw damage(this.#file.path, offset, "a part of it is not what was written");
    return block;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

// --- Taking out what cannot be used --------------------------------------------------------------

/**
 * Ends the log where its chain ends: removes what is behind it, or moves it to a folder, and flushes all. A crash in between leaves it
 * broken at the same place: what comes last in the log goes first.
 */
export async function cutLog(survey: Survey, aside?: string): Promise<void> {
  const { directory, segments, captures, chain } = survey;
  const inChain = new Set<FoundSegment>(chain);
  const last = chain.at(-1);
  const remove = async (file: string): Promise<void> => {
    if (aside === undefined) await attempt("remove", file, fs.unlink(file));
    else await attempt("move", file, fs.rename(file, join(aside, basename(file))));
  };
  if (aside !== undefined) {
    if (last && last.end < last.bytes)
      await copyTail(last, join(aside, `${basename(last.file)}.from-${last.end}`));
    for (const { file, problem } of captures) if (problem !== undefined) await remove(file);
  }
  for (const segment of [...segments].reverse())
    if (!inChain.has(segment) && segment.position >= survey.from) await remove(segment.file);
  if (aside !== undefined) await flushFolder(aside);
  await flushFolder(directory);
  if (last && last.end < last.bytes) await attempt("cut", last.file, truncate(last.file, last.end));
}

async function truncate(file: string, length: number): Promise<void> {
  const handle = await fs.open(file, "r+");
  try {
    await handle.truncate(length);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function copyTail({ file, end, bytes }: FoundSegment, to: string): Promise<void> {
  const work = async (): Promise<void> => {
    const source = await fs.open(file, "r");
    try {
      const copy = await fs.open(to, "wx", 0o600);
      try {
        const buffer = new Uint8Array(READ_BYTES);
        for (let at = end; at < bytes; ) {
          const { bytesRead } = await source.read(buffer, 0, buffer.length, at);
          if (bytesRead === 0) break;
          await copy.writeFile(buffer.subarray(0, bytesRead));
          at += bytesRead;
        }
        await copy.sync();
      } finally {
        await copy.close();
      }
    } finally {
      await source.close();
    }
  };
  await attempt("write", to, work());
}

/** Makes a new folder to move things to. */
export async function makeAside(directory: string): Promise<string> {
  for (let number = 1; ; number += 1) {
    const folder = join(directory, `aside-${number}`);
    try {
      await fs.mkdir(folder, { mode: 0o700 });
      await flushFolder(directory);
      return folder;
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw logFailed("create", folder, error);
    }
  }
}

/** Makes what was renamed, made or removed in a folder survive a crash of the machine. */
export async function flushFolder(folder: string): Promise<void> {
  // Windows has no such thing.
  if (process.platform === "win32") return;
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

// --- Errors --------------------------------------------------------------------------------------

export async function attempt<T>(what: string, path: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw isTidemarkError(error) ? error : logFailed(what, path, error);
  }
}

export function logFailed(what: string, path: string, cause: unknown): TidemarkError {
  return new TidemarkError("LOG_FAILED", `cannot ${what} ${path}: ${textOf(cause)}`, { cause });
}

/** What is wrong is also the cause, for those who put it into other words. */
export function damage(path: string, offset: number, problem: string): TidemarkError {
  return new TidemarkError("LOG_DAMAGED", `${path} is damaged at byte ${offset}: ${problem}`, {
    cause: problem,
  });
}

function codeOf(error: unknown): string {
  return String((error as { code?: unknown } | undefined)?.code);
}
