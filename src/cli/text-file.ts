/** Text files that the user names. */

import { createReadStream, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { text } from "node:stream/consumers";
import { isTidemarkError, TidemarkError, textOf } from "../core/error.ts";
import { shellWord } from "../core/shell-word.ts";

const CHUNK_BYTES = 1 << 20;
/** A line that is longer is handed over in pieces. */
const LINE_LENGTH_MAX = 1 << 22;

/** @throws TidemarkError `BAD_OPTION` */
export function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw unreadable(file, error);
  }
}

/**
 * Hands over one line after another, of a file that may be larger than memory, or of standard input if that is `-`.
 * @throws TidemarkError `BAD_OPTION`, or what `take` throws
 */
export async function eachLine(file: string, take: (line: string) => void): Promise<void> {
  const stream =
    file === "-" ? process.stdin : createReadStream(file, { highWaterMark: CHUNK_BYTES });
  stream.setEncoding("utf8");
  let rest = "";
  try {
    let isFirst = true;
    for await (const chunk of stream as AsyncIterable<string>) {
      if (isFirst) refuseCompressed(file, chunk);
      isFirst = false;
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) take(line);
      if (rest.length > LINE_LENGTH_MAX) {
        take(rest);
        rest = "";
      }
    }
    if (rest !== "") take(rest);
  } catch (error) {
    throw isTidemarkError(error) ? error : unreadable(file, error);
  }
}

/**
 * The whole of a file, or of standard input if that is `-`.
 * @throws TidemarkError `BAD_OPTION`
 */
export async function readAll(file: string): Promise<string> {
  if (file !== "-") return refuseCompressed(file, readText(file));
  try {
    return refuseCompressed(file, await text(process.stdin));
  } catch (error) {
    throw isTidemarkError(error) ? error : unreadable(file, error);
  }
}

/** How every file of gzip begins, read as text: the second byte is none. */
const GZIP = "\u001f\ufffd";

function refuseCompressed(file: string, text: string): string {
  if (!text.startsWith(GZIP)) return text;
  const how = file === "-" ? "gunzip first" : `gunzip -c ${shellWord(file)}, and read it from -`;
  throw new TidemarkError("BAD_OPTION", `${file} is compressed by gzip; ${how}`);
}

export function unreadable(file: string, error: unknown): TidemarkError {
  return new TidemarkError("BAD_OPTION", `${file} cannot be read: ${textOf(error)}`);
}

/**
 * Makes the directory, too, if there is none.
 * @throws TidemarkError `STORE_FAILED`
 */
export function writeText(file: string, text: string): void {
  makeDirectory(dirname(file));
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw new TidemarkError("STORE_FAILED", `${file} cannot be written: ${textOf(error)}`);
  }
}

/**
 * Makes a directory, and those above it, unless they are there. Step by step: where nothing can be made, as in /proc, what
 * Node has for this goes round for ever.
 * @throws TidemarkError `STORE_FAILED`
 */
export function makeDirectory(directory: string): void {
  try {
    if (statSync(directory, { throwIfNoEntry: false })?.isDirectory()) return;
    const above = dirname(directory);
    if (above !== directory) makeDirectory(above);
    mkdirSync(directory);
  } catch (error) {
    if (isTidemarkError(error)) throw error;
    throw new TidemarkError("STORE_FAILED", `${directory} cannot be made: ${textOf(error)}`);
  }
}
