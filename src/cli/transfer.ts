/** What takes long because there is much of it: into a new file or to standard output, and how far it is. */

import * as fs from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { isTidemarkError, TidemarkError, textOf } from "../core/error.ts";
import { isLive } from "./terminal.ts";

/** A file that is standard output, or input. */
export const STANDARD = "-";
/** A terminal is told no more often. */
const TELL_EVERY_MS = 200;
const LINES_AT_A_TIME = 1000;

/**
 * Into a new file, all or nothing, or to standard output.
 * @throws TidemarkError `STORE_FAILED`, or what the content throws if that is one
 */
export async function writeTo(file: string, content: AsyncIterable<Uint8Array>): Promise<void> {
  try {
    if (file === STANDARD) {
      await pipeline(Readable.from(content), process.stdout, { end: false }).catch(
        unlessReadEnough,
      );
      return;
    }
    if (await isThere(file)) throw alreadyThere(file);
    await writeWhole(file, content);
  } catch (error) {
    if (isTidemarkError(error)) throw error;
    if (codeOf(error) === "EEXIST") throw alreadyThere(file);
    throw new TidemarkError("STORE_FAILED", `cannot write ${file}: ${textOf(error)}`, {
      cause: error,
    });
  }
}

/** Under a name of its own until all of it is on the disk: whoever is killed in the middle leaves nothing that looks like the whole. */
async function writeWhole(file: string, content: AsyncIterable<Uint8Array>): Promise<void> {
  const part = `${file}.${process.pid}.part`;
  const handle = await fs.open(part, "wx", 0o600);
  try {
    try {
      for await (const chunk of content) await handle.writeFile(chunk);
      await handle.sync();
    } finally {
      await handle.close();
    }
    // A second name does not take the place of what has come there meanwhile. Some file systems know only one.
    await fs.link(part, file).catch(async (error: unknown) => {
      if (codeOf(error) === "EEXIST" || (await isThere(file))) throw error;
      await fs.rename(part, file);
    });
  } finally {
    await fs.unlink(part).catch(() => {});
  }
}

async function isThere(file: string): Promise<boolean> {
  return (await fs.lstat(file).catch(() => undefined)) !== undefined;
}

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;

function alreadyThere(file: string): TidemarkError {
  return new TidemarkError("STORE_FAILED", `${file} is there already, and is not overwritten`);
}

/** Whoever read standard output has seen enough. */
function unlessReadEnough(error: unknown): void {
  if (codeOf(error) !== "EPIPE") throw error;
}

/** Many lines at a time. */
export async function* bytesOfLines(lines: Iterable<string>): AsyncGenerator<Uint8Array> {
  let some: string[] = [];
  for (const line of lines) {
    some.push(line);
    if (some.length < LINES_AT_A_TIME) continue;
    yield Buffer.from(`${some.join("\n")}\n`);
    some = [];
  }
  if (some.length > 0) yield Buffer.from(`${some.join("\n")}\n`);
}

/** How far it is, at a terminal. */
export class Progress {
  readonly #live: boolean = isLive(process.stderr);
  #toldMs: number = performance.now();
  #told: boolean = false;

  tell(text: () => string): void {
    const nowMs = performance.now();
    if (!this.#live || nowMs - this.#toldMs < TELL_EVERY_MS) return;
    this.#toldMs = nowMs;
    this.#told = true;
    process.stderr.write(`\r\u001b[K${text()}`);
  }

  end(): void {
    if (this.#told) process.stderr.write("\r\u001b[K");
    this.#told = false;
  }
}
