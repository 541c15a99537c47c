/**
 * The notes of attempts in files, for people to ask later why there is no snapshot. One file for each process that notes:
 *
 *     p2.jsonl        what p2 noted last, a line of JSON each
 *     p2.jsonl.old    what it noted before that; the file that was there before is gone
 *
 * Assumptions. A process notes from one OS process at a time; if not, a line may be lost when a file becomes the old one.
 *
 * Theory of operation. A line is appended with one write, and not flushed: a crash of the process loses nothing, a crash of the machine
 * the last lines. A line that is cut off is passed over; the next one begins on a line of its own. Nothing else depends on
 * what is here, so nothing that is wrong with it keeps anybody from taking or restoring a snapshot. With a key every line is sealed
 * (seal.ts), as base64 in `{ "sealed": … }`; then a plain line counts as damaged.
 */

import * as fs from "node:fs/promises";
import { join } from "node:path";
import { isTidemarkError, TidemarkError } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";
import { type AttemptNote, checkNote } from "../snapshot/attempt.ts";
import type { Failed } from "./directory-lock.ts";
import type { Seal } from "./seal.ts";

/** When a file is as long as this it becomes the old one. */
const FILE_BYTES = 524_288;
/** No line that was written is nearly as long; a longer file is not ours. */
const FILE_BYTES_MAX = 16 * FILE_BYTES;
const NOTE_FILE = /^([A-Za-z0-9][A-Za-z0-9._-]{0,63})\.jsonl(?:\.old)?$/;
const NEWLINE = 10;

/** See the head of the file. The folder is made, the one above it must be there. */
export class NoteFiles {
  readonly folder: string;
  readonly #seal: Seal | undefined;
  readonly #failed: Failed;
  /** What is appended goes in the order in which it was given. */
  #queue: Promise<unknown> = Promise.resolve();

  constructor(folder: string, seal: Seal | undefined, failed: Failed) {
    this.folder = folder;
    this.#seal = seal;
    this.#failed = failed;
  }

  append(note: AttemptNote): Promise<void> {
    const turn = this.#queue.then(() => this.#append(note));
    this.#queue = turn.catch(() => {});
    return turn;
  }

  async #append(note: AttemptNote): Promise<void> {
    const path = join(this.folder, `${note.by}.jsonl`);
    try {
      let file = await this.#openToAppend(path);
      try {
        let { size } = await file.stat();
        if (size >= FILE_BYTES) {
          await file.close();
          await fs.rename(path, `${path}.old`);
          file = await this.#openToAppend(path);
          size = 0;
        }
        const torn = size > 0 && (await lastByte(file, size)) !== NEWLINE;
        await file.appendFile(`${torn ? "\n" : ""}${this.#lineOf(note)}\n`);
      } finally {
        await file.close();
      }
    } catch (cause) {
      throw this.#failed("write", path, cause);
    }
  }

  async #openToAppend(path: string): Promise<fs.FileHandle> {
    const file = await openIfThere(path, "a+");
    if (file) return file;
    // Somebody removed the folder, as they may. If it cannot be made, or another has made it meanwhile, the next line tells.
    await fs.mkdir(this.folder, { mode: 0o700 }).catch(() => {});
    return await fs.open(path, "a+", 0o600);
  }

  /**
   * All notes that are left, those of one process in the order in which it made them.
   *
   * @param damaged is told, once for each file, of lines that are not what was written, and of files that cannot be read
   * @throws TidemarkError `STORE_FAILED`, `KEY_REQUIRED`, `WRONG_KEY`
   */
  async *read(damaged: (error: TidemarkError) => void = () => {}): AsyncGenerator<AttemptNote> {
    for (const process of await this.#processes()) {
      const path = join(this.folder, `${process}.jsonl`);
      for (const { path: file, lines } of await this.#linesOf(path, damaged)) {
        let bad = 0;
        let otherKey: TidemarkError | undefined;
        for (const line of lines) {
          const note = this.#noteIn(line, process, file, (error) => {
            otherKey ??= error;
          });
          if (note?.by === process) yield note;
          else bad += 1;
        }
        // One line among others was changed; with another key none can be read.
        if (otherKey && bad === lines.length) throw otherKey;
        if (bad > 0)
          damaged(
            new TidemarkError("DAMAGED", `${file}: ${bad} line(s) are no notes of ${process}`),
          );
      }
    }
  }

  /** Those that have noted something. */
  async #processes(): Promise<ProcessId[]> {
    try {
      const names = await fs.readdir(this.folder);
      return [...new Set(names.flatMap((name) => NOTE_FILE.exec(name)?.[1] ?? []))].sort();
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw this.#failed("read", this.folder, cause);
    }
  }

  /** The whole lines of both files, the old one first. */
  async #linesOf(
    path: string,
    damaged: (error: TidemarkError) => void,
  ): Promise<{ readonly path: string; readonly lines: readonly string[] }[]> {
    const opened: { readonly path: string; readonly file: fs.FileHandle }[] = [];
    try {
      // In this order nothing falls between the two, and what became the old one meanwhile is found by its number.
      for (const one of [path, `${path}.old`]) {
        const file = await openIfThere(one, "r");
        if (file) opened.push({ path: one, file });
      }
      const numbers = await Promise.all(opened.map(async ({ file }) => (await file.stat()).ino));
      const files = opened.filter((_, i) => numbers.indexOf(numbers[i] as number) === i).reverse();
      const read: { readonly path: string; readonly lines: readonly string[] }[] = [];
      for (const one of files) {
        const { size } = await one.file.stat();
        if (size > FILE_BYTES_MAX) {
          damaged(new TidemarkError("DAMAGED", `${one.path}: ${size} bytes are too many`));
          continue;
        }
        const text = await one.file.readFile("utf8");
        // What is behind the last newline was cut off, or is being written.
        read.push({ path: one.path, lines: text.split("\n").slice(0, -1) });
      }
      return read;
    } catch (cause) {
      damaged(this.#failed("read", path, cause));
      return [];
    } finally {
      for (const { file } of opened) await file.close().catch(() => {});
    }
  }

  #lineOf(note: AttemptNote): string {
    const plain = JSON.stringify(note);
    if (!this.#seal) return plain;
    const sealed = this.#seal.sealManifest(sealName(note.by), Buffer.from(plain));
    return JSON.stringify({ sealed: Buffer.from(sealed).toString("base64") });
  }

  /** Undefined if the line is none. */
  #noteIn(
    line: string,
    process: ProcessId,
    path: string,
    otherKey: (error: TidemarkError) => void,
  ): AttemptNote | undefined {
    let value = parse(line);
    const { sealed } = (value ?? {}) as { readonly sealed?: unknown };
    if (typeof sealed === "string") {
      if (!this.#seal)
        throw new TidemarkError("KEY_REQUIRED", `${path} is encrypted, and no key was given`);
      value = undefined;
      try {
        const plain = this.#seal.openManifest(sealName(process), Buffer.from(sealed, "base64"));
        value = plain && parse(Buffer.from(plain).toString("utf8"));
      } catch (error) {
        if (!isTidemarkError(error, "WRONG_KEY")) throw error;
        const message = `${path} is encrypted with another key than the one that was given`;
        otherKey(new TidemarkError("WRONG_KEY", message));
      }
    } else if (this.#seal) return undefined;
    const checked = checkNote(value);
    return "problem" in checked ? undefined : checked.note;
  }
}

/** No snapshot and no epoch can have that name. */
const sealName = (process: ProcessId): string => `notes of ${process}`;

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function lastByte(file: fs.FileHandle, size: number): Promise<number | undefined> {
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, size - 1);
  return buffer[0];
}

async function openIfThere(path: string, how: "r" | "a+"): Promise<fs.FileHandle | undefined> {
  try {
    return await fs.open(path, how, 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
